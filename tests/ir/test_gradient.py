"""Gradients of gradients: chains against JAX and autograd up to the third derivative; what the gradient refuses; where it stops."""
from __future__ import annotations

import importlib
import importlib.util

import numpy as np
import pytest

from ir import Graph, Spec, evaluate
from ir.errors import GradientError
from ir.gradient import append_gradient
from ir.ops import cumulated
from ir.ops import elementwise as e
from ir.ops import reduce as r
from ir.ops import shape as s
from ir.ops.opaque import opaque

jax = importlib.import_module("jax") if importlib.util.find_spec("jax") else None
autograd = importlib.import_module("autograd") if importlib.util.find_spec("autograd") else None
if jax is not None:
    jax.config.update("jax_enable_x64", True)


class Values:
    """The names that a chain uses, on Values; JAX's and autograd's numpy modules have them as well."""

    exp, log, tanh, sin, sqrt, where, maximum, abs, power, arctan2, logaddexp, square, log1p = (
        e.exp, e.log, e.tanh, e.sin, e.sqrt, e.where, e.maximum, e.abs, e.power, e.arctan2, e.logaddexp, e.square, e.log1p
    )

    @staticmethod
    def sum(x, axis=None):
        return r.sum(x, axis=tuple(range(x.ndim)) if axis is None else (axis,), keepdims=False)

    @staticmethod
    def mean(x):
        return r.mean(x, axis=tuple(range(x.ndim)), keepdims=False)

    @staticmethod
    def prod(x, axis):
        return r.prod(x, axis=(axis,), keepdims=False)

    @staticmethod
    def var(x):
        return r.var(x, axis=tuple(range(x.ndim)), keepdims=False, ddof=0)

    @staticmethod
    def cumsum(x, axis):
        return cumulated.cumsum(x, axis=axis)

    @staticmethod
    def max(x, axis):
        return r.max(x, axis=(axis,), keepdims=False)

    @staticmethod
    def transpose(x):
        return s.transpose(x, axes=tuple(reversed(range(x.ndim))))


CHAINS = {
    "tanh of a sum": lambda np, x: np.sum(np.tanh(x * np.sum(x, axis=0))),
    "softmax": lambda np, x: np.sum(np.square(np.exp(x) / np.sum(np.exp(x), axis=0))),
    "powers": lambda np, x: np.sum((1 + x * x) ** 1.5 / (x**2 + 2) - x**3),
    "x to the x": lambda np, x: np.sum(np.power(np.exp(x), np.sin(x) + 2)),
    "branch": lambda np, x: np.sum(np.where(x > 0, x**3, np.sin(x) * x)),
    "greater": lambda np, x: np.sum(np.maximum(x**3, np.exp(x) - 1) * x),
    "product": lambda np, x: np.sum(np.prod(np.sin(x) + x, axis=1)),
    "spread": lambda np, x: np.sqrt(np.var(x * x) + 1),
    "cumulated": lambda np, x: np.sum(np.cumsum(x**2, axis=1) ** 2),
    "angles": lambda np, x: np.sum(np.arctan2(x, 1 + x * x) * np.logaddexp(x, 2 * x)),
    "turned": lambda np, x: np.mean(np.exp(np.transpose(x) / 2) * np.transpose(np.log1p(np.abs(x)))),
    "greatest": lambda np, x: np.sum(np.max(x * np.exp(x), axis=1) ** 2),
    "norms": lambda np, x: np.sum(np.sqrt(np.sum(x**2, axis=1))),
}
POINT = np.array([[0.3, -0.7, 1.1], [0.9, 0.4, -0.2]])
TURNED = np.array([[0.5, 1.5, -1.0], [0.25, -0.75, 2.0]])


def derivatives(chain, order):
    """f(x), then the gradient, then that of sum(gradient * TURNED), and so on."""
    graph = Graph()
    x = graph.input(Spec(POINT.shape))
    y = chain(Values, x)
    graph.outputs = [y]
    for _ in range(order):
        (g,) = append_gradient(graph, [y], [graph.constant(np.ones(()))], [x])
        graph.outputs.append(g)
        y = r.sum(g * TURNED, axis=(0, 1), keepdims=False)
    return evaluate(graph, [POINT])[0]


def derivatives_of_others(grad, numpy, chain, order):
    functions = [lambda x: chain(numpy, x)]
    found = [functions[0](POINT)]
    for _ in range(order):
        gradient = grad(functions[-1])
        found.append(gradient(POINT))
        functions.append(lambda x, gradient=gradient: numpy.sum(gradient(x) * TURNED))
    return found


@pytest.mark.skipif(jax is None, reason="JAX is not installed: `pip install jax` to compare with it")
@pytest.mark.parametrize("name", CHAINS)
def test_three_derivatives_are_those_of_jax(name):
    theirs = jax.jit(lambda: derivatives_of_others(jax.grad, jax.numpy, CHAINS[name], 3))()  # compiled once, not operation by operation
    for ours, other in zip(derivatives(CHAINS[name], 3), theirs, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-9, atol=1e-9)


@pytest.mark.skipif(autograd is None, reason="autograd is not installed: `pip install autograd` to compare with it")
@pytest.mark.parametrize("name", CHAINS)
def test_three_derivatives_are_those_of_autograd(name):
    theirs = derivatives_of_others(autograd.grad, importlib.import_module("autograd.numpy"), CHAINS[name], 3)
    for ours, other in zip(derivatives(CHAINS[name], 3), theirs, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-9, atol=1e-9)


# ---- where gradients go
def test_a_gradient_has_the_spec_of_what_it_belongs_to():
    graph = Graph()
    specs = Spec((2, 3), np.float32), Spec((3,)), Spec((2, 1), np.complex64), Spec((), np.float64, "float")
    x, w, z, n = [graph.input(spec) for spec in specs]
    y = e.abs(x * w + z) * n
    found = append_gradient(graph, [y], [graph.constant(np.ones(y.shape, y.dtype))], [x, w, z, n])
    assert [str(g.spec) for g in found] == ["f32[2,3]", "f64[3]", "c64[2,1]", "f64[]"]


def test_what_nothing_depends_on_has_a_gradient_of_zeros():
    graph = Graph()
    x, y = graph.input(Spec((2,))), graph.input(Spec((3,), np.float32))
    graph.outputs = append_gradient(graph, [x * 2], [graph.constant(np.ones(2))], [x, y])
    gx, gy = evaluate(graph, [np.ones(2), np.ones(3, np.float32)])[0]
    np.testing.assert_array_equal(gx, [2, 2])
    assert gy.dtype == np.float32 and not gy.any()


def test_integers_and_comparisons_stop_a_gradient():
    graph = Graph()
    x = graph.input(Spec((3,)))
    y = e.cast(e.cast(x, dtype=np.dtype(int)), dtype=np.dtype(float)) + e.floor(x) + (x > 0) + x
    graph.outputs = append_gradient(graph, [y], [graph.constant(np.ones(3))], [x])
    np.testing.assert_array_equal(evaluate(graph, [np.array([-1.5, 0.0, 2.5])])[0][0], [1, 1, 1])


def test_several_outputs_and_an_output_that_is_an_input():
    graph = Graph()
    x = graph.input(Spec((2,)))
    y = x * x
    graph.outputs = append_gradient(graph, [y, x, y], [graph.constant(np.full(2, w)) for w in (1.0, 10.0, 100.0)], [x, y])
    gx, gy = evaluate(graph, [np.array([1.0, 2.0])])[0]
    np.testing.assert_array_equal(gx, [212, 414])
    np.testing.assert_array_equal(gy, [101, 101])


def test_a_chain_far_past_the_recursion_limit():
    graph = Graph()
    x = y = graph.input(Spec(()))
    for _ in range(20_000):
        y = e.negative(y)
    append_gradient(graph, [y], [graph.constant(np.ones(()))], [x])
    assert len(graph.order()) > 40_000


def test_paths_are_not_walked_one_by_one():
    graph = Graph()
    x = y = graph.input(Spec(()))
    for _ in range(50):
        y = y + y
    graph.outputs = append_gradient(graph, [y], [graph.constant(np.ones(()))], [x])
    assert evaluate(graph, [np.array(1.0)])[0][0] == 2.0**50 and len(graph) < 200


def test_backward_nodes_carry_the_line_of_their_operation():
    graph = Graph()
    x = graph.input(Spec((3,)))
    y = e.tanh(x)
    (g,) = append_gradient(graph, [y], [graph.constant(np.ones(3))], [x])
    assert y.node.line.place().startswith("test_gradient.py") and g.node.line == y.node.line.during("backward")


# ---- complex convention
def test_the_gradient_of_a_real_loss_is_along_its_ascent():
    graph = Graph()
    z = graph.input(Spec((), complex))
    graph.outputs = append_gradient(graph, [e.square(e.abs(z))], [graph.constant(np.ones(()))], [z])
    np.testing.assert_allclose(evaluate(graph, [np.array(3 - 4j)])[0][0], 2 * (3 - 4j))


# ---- refusals
def refused(build):
    with pytest.raises(GradientError) as caught:
        build()
    return str(caught.value)


def test_integers_have_no_gradient():
    graph = Graph()
    n = graph.input(Spec((3,), int))
    message = refused(lambda: append_gradient(graph, [n * 1.5], [graph.constant(np.ones(3))], [n]))
    assert "int64" in message and "cast" in message


def test_an_operation_without_a_rule_is_named_with_its_line():
    graph = Graph()
    x = graph.input(Spec((3,)))
    y = opaque(x, specs=(Spec((3,)),))  # the line of the culprit
    message = refused(lambda: append_gradient(graph, [e.exp(y)], [graph.constant(np.ones(3))], [x]))
    assert "opaque" in message and "test_gradient.py" in message and "the line of the culprit" in message and "f64[3]" in message


def test_an_operation_without_a_rule_beside_the_way_is_no_matter():
    graph = Graph()
    x, y = graph.input(Spec((3,))), graph.input(Spec((3,)))
    (g,) = append_gradient(graph, [x * opaque(y, specs=(Spec((3,)),))], [graph.constant(np.ones(3))], [x])
    assert g.spec == x.spec
