"""Shifts that cancel and powers written as products: gradients against autograd's and JAX's, also where a shift only seems to cancel."""
from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
import pytest

import tracer

jax = importlib.import_module("jax") if importlib.util.find_spec("jax") else None
if jax is not None:
    jax.config.update("jax_enable_x64", True)
autograd = importlib.import_module("autograd") if importlib.util.find_spec("autograd") else None
needs_jax = pytest.mark.skipif(jax is None, reason="JAX is not installed")
X = np.random.default_rng(0).standard_normal((4, 4)) * 3
LABELS = np.array([1, 0, 3, 3])


def shifted(np: Any, x: Any) -> Any:
    return x - np.max(x, axis=-1, keepdims=True)


def softmax(np: Any, x: Any) -> Any:
    e = np.exp(shifted(np, x))
    return e / np.sum(e, axis=-1, keepdims=True)


def log_softmax(np: Any, x: Any) -> Any:
    s = shifted(np, x)
    return s - np.log(np.sum(np.exp(s), axis=-1, keepdims=True))


def weights(np: Any) -> Any:
    return np.arange(16.0).reshape(4, 4) / 7


def with_the_maximum(np: Any, x: Any) -> Any:
    m = np.max(x, axis=1)
    return np.sum((m + np.log(np.sum(np.exp(x - m[:, None]), axis=1))) * weights(np)[0])


def by_the_minimum(np: Any, x: Any) -> Any:
    e = np.exp(x - np.min(x, axis=0))
    return np.sum(e / np.sum(e, axis=0) * weights(np))


CANCEL = {
    "softmax": lambda np, x: np.sum(softmax(np, x) * weights(np)),
    "log softmax": lambda np, x: np.sum(log_softmax(np, x) * weights(np)),
    "picked": lambda np, x: -np.mean(log_softmax(np, x)[np.arange(4), LABELS]),
    "with the maximum": with_the_maximum,
    "over all": lambda np, x: np.max(x) + np.log(np.sum(np.exp(x - np.max(x)))),
    "by the minimum": by_the_minimum,
    "a softmax of a softmax": lambda np, x: np.sum(softmax(np, 9 * softmax(np, x)) * weights(np)),
}


def other_axis(np: Any, x: Any) -> Any:
    e = np.exp(shifted(np, x))
    return np.sum(e / np.sum(e, axis=0, keepdims=True) * weights(np))


def other_row(np: Any, x: Any) -> Any:
    e = np.exp(shifted(np, x))
    return np.sum(e / np.sum(e, axis=1) * weights(np))


def the_sum_too(np: Any, x: Any) -> Any:
    e = np.exp(shifted(np, x))
    total = np.sum(e, axis=1, keepdims=True)
    return np.sum(e / total * weights(np)) + np.sum(total)


def the_row_too(np: Any, x: Any) -> Any:
    return np.sum(softmax(np, x) * weights(np)) + np.sum(shifted(np, x) ** 2)


def another_maximum(np: Any, x: Any) -> Any:
    e = np.exp(x - np.max(x * x, axis=1, keepdims=True))
    return np.sum(e / np.sum(e * e, axis=1, keepdims=True))


def the_maximum_too(np: Any, x: Any) -> Any:
    return np.sum(softmax(np, x) * weights(np)) + np.sum(np.max(x, axis=1) ** 2)


def twice_the_maximum(np: Any, x: Any) -> Any:
    m = np.max(x, axis=1, keepdims=True)
    return np.sum(2 * m + np.log(np.sum(np.exp(x - m), axis=1, keepdims=True)))


POWERS = {
    "square": lambda np, x: np.sum(x * x * weights(np)),
    "cube": lambda np, x: np.sum(x * x * x * weights(np)),
    "cube, the other way": lambda np, x: np.sum(x * (x * x) * weights(np)),
    "cube of a square": lambda np, x: np.sum((x * x) * (x * x) * (x * x)),
    "cube and its square": lambda np, x: np.sum((x * x) * x + np.sin(x * x)),
    "square() times x": lambda np, x: np.sum(np.square(x) * x * weights(np)),
    "gelu": lambda np, x: np.sum(0.5 * x * (1 + np.tanh(0.79788456 * (x + 0.044715 * (x * x * x)))) * weights(np)),
    "over its spread": lambda np, x: np.sum(x / np.sqrt(np.mean(x * x, axis=1, keepdims=True) + 1e-5) * weights(np)),
}
MIND = {
    f.__name__: f for f in (other_axis, other_row, the_sum_too, the_row_too, another_maximum, the_maximum_too, twice_the_maximum)
}
LOSSES = {**CANCEL, **MIND, **POWERS}


@pytest.mark.skipif(autograd is None, reason="autograd is not installed")
@pytest.mark.parametrize("name", LOSSES)
def test_gradient(name: str) -> None:
    loss, namespace = LOSSES[name], importlib.import_module("autograd.numpy")
    due = autograd.grad(lambda x: loss(namespace, x))(X)
    np.testing.assert_allclose(tracer.grad(lambda x: loss(np, x))(X), due, rtol=1e-9, atol=1e-12)


@needs_jax
@pytest.mark.parametrize("name", ["softmax", "with the maximum", "cube and its square", "gelu"])
def test_second_gradient(name: str) -> None:
    loss = LOSSES[name]
    due = jax.jit(jax.grad(lambda x: (jax.grad(lambda y: loss(jax.numpy, y))(x) ** 2).sum()))(X)
    found = tracer.grad(lambda x: (tracer.grad(lambda y: loss(np, y))(x) ** 2).sum())(X)
    np.testing.assert_allclose(found, due, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", CANCEL)
def test_nothing_is_handed_to_the_maximum(name: str) -> None:
    graph = tracer.trace(tracer.grad(lambda x: CANCEL[name](np, x)), X)
    assert not {node.op.name for node in graph.order()} & {"equal", "where"}


@pytest.mark.parametrize("row", [[1.0, np.inf, 2.0], [np.nan, 1.0, 2.0], [-np.inf] * 3, [-np.inf, 1.0, -np.inf], [3e38, -3e38, 0.0]])
def test_what_is_not_finite_shows(row: list[float]) -> None:
    """A row with NaN or +inf, or of nothing but -inf, has NaN everywhere, as with the path through the maximum; others have none."""
    x = np.array([row, [1.0, 2.0, 3.0]], np.float32)
    with np.errstate(all="ignore"):
        found = tracer.grad(lambda x: -np.mean(log_softmax(np, x)[np.arange(2), np.array([0, 1])]))(x)
        e = np.exp(x - x.max(1, keepdims=True))
        p = e / e.sum(1, keepdims=True)
    due = (p - np.eye(3, dtype=np.float32)[[0, 1]]) / 2
    np.testing.assert_allclose(found, due, rtol=1e-6)


def test_the_gradient_by_the_square_itself() -> None:
    """What is differentiated by x * x alone hands it its share of (x * x) * x."""
    def loss(s: Any, x: Any) -> Any:
        return np.sum(s * x)

    x = tracer.Variable(X.copy())
    square = x * x
    by_square = tracer.grad(lambda s: loss(s, X))(square.data)
    np.testing.assert_allclose(by_square, X)
    tracer.functions.sum(square * x).backward()
    np.testing.assert_allclose(x.grad, 3 * X * X)
