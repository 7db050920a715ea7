"""Gradients through writes: against central differences of the same function run by NumPy, and against JAX's `.at` where it has it."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer

X = np.array([[0.7, -1.2, 2.1, 0.4], [1.6, 0.9, -0.3, 1.1], [-0.8, 1.9, 0.2, -1.5]])
V = np.array([0.6, -1.3, 1.7, 0.8])
K = np.arange(1.0, 13.0).reshape(3, 4)  # weights, so that no element counts like another


def _views(x: Any, v: Any) -> Any:
    y = x * 2
    y.T[::-1, 1] *= v
    y[1:][:, ::2] += x[:2, 1::2]
    y.reshape(-1)[3:7] = v * y.ravel()[:4]
    y[None, ..., -1][0] -= v[:3]
    return y


def _copies(x: Any, v: Any) -> Any:
    y = x * 1
    flat = y.T.reshape(-1)  # a copy: not written through
    flat[:4] *= v
    y.flatten()[0] = 100.0
    return y + flat.reshape(4, 3).T


def _swaps(x: Any, v: Any) -> Any:
    y = x * v
    y[0], y[1] = y[1], y[0]
    y[:, 0], y[:, 1] = y[:, 1].copy(), y[:, 0].copy()
    y[[0, 2]] = y[[2, 0]]
    return y


def _repeated(x: Any, v: Any) -> Any:
    y = x * x
    y[0, [1, 1, 2]] = v[:3]
    y[1, [0, 0, 3]] += v[1:]
    y[[2, 2], [1, 1]] *= v[:2]
    return y


def _traced_indices(x: Any, v: Any) -> Any:
    i = np.argsort(v)
    y = x * 1
    y[:, i] = y * v
    y[0, i[:2] * 0] = v[:2]
    y[i[0] // 2] += v
    return y


def _added(x: Any, v: Any) -> Any:
    y = x * 1
    np.add.at(y, (0, [1, 1, 2]), v[:3])
    np.subtract.at(y, ([0, 0], [3, 3]), v[:2])
    np.multiply.at(y, ([1, 1, 2], [0, 0, 1]), v[:3])
    np.divide.at(y, ([1, 1], [2, 2]), v[2:])
    np.maximum.at(y, ([2, 2], [0, 0]), v[:2])
    np.minimum.at(y, ([2, 2], [3, 3]), v[1:3])
    return y


def _masks(x: Any, v: Any) -> Any:
    y = x * 1
    y[y > 0] *= 3
    y[x < 0] = np.exp(y[x < 0])
    y[x > 1] = np.log(x[x > 1]) + np.sqrt(x[x > 1])
    y[:, v > 0] -= 0.5
    y[x[:, 0] > 0] *= v
    return y + y[x > 0].sum() * y[x > 0].mean()


def _put(x: Any, v: Any) -> Any:
    y = x * 1
    np.put(y, [0, 5, 5], v[:3])
    np.place(y, K > 10, v[1:])
    np.putmask(y, K < 3, x * 3)
    np.copyto(y[1], v, where=V > 0)
    np.fill_diagonal(y, v[:3] * 2)
    y.flat[2:4] = v[0]
    y.T.flat[9:] = v * v
    return y


def _out(x: Any, v: Any) -> Any:
    y, total = np.empty_like(x), np.zeros_like(v)
    np.multiply(x, v, out=y)
    np.exp(y[0], out=y[1])
    np.sum(y, axis=0, out=total)
    np.cumsum(y, axis=1, out=y)
    np.add(y, total, out=y, where=K > 4)
    np.sin(y[2], y[0])
    np.dot(y, np.eye(4) * 0.5, out=y)
    return y


def _loops(x: Any, v: Any) -> Any:
    y = np.zeros_like(x)
    y[0] = v
    for i in range(1, 3):
        y[i] = x[i] * y[i - 1]
        for j in range(3):
            y[i, j + 1] += np.sin(y[i, j]) * x[i - 1, j]
    return y


def _later(x: Any, v: Any) -> Any:
    y = x * 1
    row, kept = y[1], y[1].copy()
    row *= v
    y[1] += kept
    seen = row * 2
    y[...] = y[::-1] * seen
    return y + row


def _overlap(x: Any, v: Any) -> Any:
    y = x * 1
    y[1:] += y[:-1] * v
    y[:, 1:] = y[:, :-1] * y[:, 1:]
    y[::-1] -= y * 0.5
    return y


def _parts(x: Any, v: Any) -> Any:
    z = x + 1j * x[::-1]
    z.real[0] = v
    z.imag *= z.real
    z[1] *= 1j
    z.real = z.real + z.imag * v
    return np.abs(z) ** 2 + z.imag


CASES = [_views, _copies, _swaps, _repeated, _traced_indices, _added, _masks, _put, _out, _loops, _later, _overlap, _parts]


def loss(fn: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda x, v: np.sum(K * fn(x, v)) * 0.1


def differences(f: Callable[..., Any], args: tuple[np.ndarray, ...], step: float = 1e-6) -> list[np.ndarray]:
    """The gradient of `f` by each argument, element by element."""
    found = []
    for k, a in enumerate(args):
        grad = np.zeros_like(a)
        for at in np.ndindex(a.shape):
            values = []
            for sign in (1, -1):
                moved = [b.copy() for b in args]
                moved[k][at] += sign * step
                values.append(f(*moved))
            grad[at] = (values[0] - values[1]) / (2 * step)
        found.append(grad)
    return found


@pytest.mark.parametrize("fn", CASES, ids=lambda f: f.__name__.strip("_"))
def test_against_differences(fn: Any) -> None:
    f = loss(fn)
    both = tracer.value_and_grad(f, argnums=(0, 1))
    for x, v in ((X, V), (X[::-1] * 0.9, V * 1.1)):
        value, grads = both(x, v)
        np.testing.assert_allclose(value, f(x.copy(), v.copy()), rtol=1e-12)
        for got, due in zip(grads, differences(f, (x, v)), strict=True):
            np.testing.assert_allclose(got, due, rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize("fn", [_views, _repeated, _masks, _loops, _added, _later], ids=lambda f: f.__name__.strip("_"))
def test_second_derivatives(fn: Any) -> None:
    """The gradient of a directional derivative against differences of the gradient."""
    f = loss(fn)
    g = tracer.grad(f)
    rng = np.random.default_rng(3)
    d = rng.normal(size=X.shape)
    got = tracer.grad(lambda x, v: np.sum(g(x, v) * d))(X, V)
    due = (g(X + 1e-6 * d, V) - g(X - 1e-6 * d, V)) / 2e-6
    np.testing.assert_allclose(got, due, rtol=1e-5, atol=1e-6)


def test_writes_into_arguments_have_gradients() -> None:
    """By the values that were passed in; the arguments are written as the function itself writes them."""

    def f(x: Any, y: Any) -> Any:
        y[:2] = x[1:] * y[1:]
        x *= y[0]
        return (x * y).sum()

    x, y = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    fast = tracer.compile(tracer.grad(f))
    for _ in range(2):
        mine = x.copy(), y.copy()
        np.testing.assert_allclose(fast(*mine), differences(lambda a: f(a, y.copy()), (x,))[0], rtol=1e-7)
        due = x.copy(), y.copy()
        f(*due)
        np.testing.assert_array_equal(mine, due)


def test_a_slope_that_is_infinite_outside_the_mask() -> None:
    def f(x: Any) -> Any:
        y = np.zeros_like(x)
        y[x > 0] = np.log(x[x > 0]) + np.sqrt(x[x > 0])
        return y.sum()

    x = np.array([0.0, 4.0, -1.0])
    with np.errstate(all="raise"):
        np.testing.assert_allclose(tracer.grad(f)(x), [0.0, 0.5, 0.0])
        np.testing.assert_allclose(tracer.grad(f)(-np.abs(x)), [0.0, 0.0, 0.0])


@pytest.mark.slow
def test_as_jax_has_it() -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    i, m = np.array([2, 0, 2]), X > 0.5
    with jax.enable_x64(True):

        def theirs(x: Any, v: Any) -> Any:
            y = x.at[1].set(v).at[:, i].add(v[:3]).at[jnp.array([2, 0]), 1].multiply(v[2:], unique_indices=True)
            y = jnp.where(m, y**2, y).at[0, ::2].max(v[:2]).at[i, i].min(0.3)
            return jnp.sum(y * K)

        def ours(x: Any, v: Any) -> Any:
            x[1] = v
            np.add.at(x, (slice(None), i), v[:3])
            np.multiply.at(x, ([2, 0], 1), v[2:])  # JAX has no gradient where indices stand twice
            x[m] = x[m] ** 2
            np.maximum.at(x, (0, slice(None, None, 2)), v[:2])
            np.minimum.at(x, (i, i), 0.3)
            return np.sum(x * K)

        value, grads = tracer.value_and_grad(ours, argnums=(0, 1))(X.copy(), V)
        want, due = jax.value_and_grad(theirs, argnums=(0, 1))(X, V)
        np.testing.assert_allclose(value, want, rtol=1e-12)
        for got, wanted in zip(grads, due):
            np.testing.assert_allclose(got, wanted, rtol=1e-10)
