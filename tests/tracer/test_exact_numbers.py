"""exact=True where NumPy's bits hang on more than the numbers: scalars, products in place, vectors with gaps; what drawn programs found."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.linalg import norm

import tracer
from ir.errors import TraceError
from ir.evaluate import evaluate
from tests.tracer.bits import LAYOUTS, exactly, same_bits
from tracer.tracing.trace import run_trace

rng = np.random.default_rng(0)


# ---- complex numbers: NumPy's loops over arrays contract products and sums where its scalars, and some calls in place, do not
SCALARS: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "products": lambda a, b, c, x: (a * b, a * c, c * a, a * (1.5 + 0.5j), (0.5 - 1j) * b, a * a * b, np.conj(a) * b, a * 2.0, a * b.real),
    "product in place": lambda a, b, c, x: increased(a, b) + increased(b, c),
    "powers": lambda a, b, c, x: (a**2, a**-1, a**0.5, a**3, a**b, a**2.0, 2.0**a),
    "magnitudes": lambda a, b, c, x: (abs(a), np.abs(a), abs(a * b), np.absolute(x)),
    "quotients": lambda a, b, c, x: (a / b, a / c, 1.5 / a, a / (1 + 2j), a - b, a + c),
    "beside arrays": lambda a, b, c, x: (a * x, x * b, np.array(a, like=x) * x, x[0] * b, x[1] * x[2], x.sum() * a, x[1] ** 2),
}


def of_reals(a: Any, b: Any, k: Any, n: Any) -> Any:
    powers = a**2, a**3, abs(a) ** 0.5, a**-1, a**2.0, a**k, abs(a) ** k, abs(a) ** b, 2.0**a, k**a, n**0.5, n**2, n**k, n**-1.0, a**a
    return powers, np.power(a, 2), np.power(a, -1), np.square(a), np.sqrt(abs(a)), a / b, a % b, divmod(a, k), 1.7 / a, np.hypot(a, b)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
def test_real_scalars(dtype: str) -> None:
    """Powers of scalars are C's pow, which one time in a thousand is not what np.power gives for squares, roots and reciprocals."""
    draws = np.random.default_rng(5)
    fast = tracer.compile(of_reals, exact=True)
    kind = np.dtype(dtype).type
    count = 1500 if dtype in ("float32", "float64") else 200
    pairs = [*draws.uniform(-3, 3, (count, 2)), (-0.0, 1), (-np.inf, 2), (np.inf, -1), (np.nan, 1)]
    with np.errstate(all="ignore"):
        for t, (a, b) in enumerate(pairs):
            args = kind(a), kind(b), [float(draws.uniform(-2, 2)), 2.0, 0.5, -1.0][t % 4], np.int64(t % 90 + 1)
            got, want = fast(*args), of_reals(*args)
            assert str(got) == str(want) and repr(got) == repr(want), args
    assert fast.explain().traces == 1


def increased(a: Any, by: Any) -> Any:
    a *= by
    return a


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", SCALARS)
def test_complex_scalars(name: str, dtype: str) -> None:
    draws = np.random.default_rng(3)
    fast = tracer.compile(SCALARS[name], exact=True)
    for _ in range(60):
        x = (draws.uniform(-2, 2, 5) + 1j * draws.uniform(-2, 2, 5)).astype(dtype)
        args = x[0], x[1], complex(x[2]), x.copy()
        same_bits(fast(*args), SCALARS[name](*args), name)


def test_complex_products_in_place() -> None:
    """Where NumPy rounds as it does for a new product they have its bits, elsewhere they are refused."""
    draws = np.random.default_rng(4)
    x = draws.uniform(-2, 2, (6, 5)) + 1j * draws.uniform(-2, 2, (6, 5))

    def product(view: Any, by: Any) -> Any:
        view *= by
        return view

    def square(view: Any, by: Any) -> Any:
        view **= 2
        return view

    for dtype in ("complex64", "complex128"):
        z = x.astype(dtype)
        for fn, crooked in ((product, lambda x: x[::-2]), (square, lambda x: x[:, 1])):
            exactly(fn, z, z[0] + 1)
            exactly(lambda x, y, fn=fn: fn(x[2:], y), z, z[0] + 1)
            for view in (lambda x: x[:1, :1], lambda x: x[0, 0, ...], crooked):
                with pytest.raises(TraceError, match=r"in place[\s\S]*mend: x\[\.\.\.\] = np\.\w+"):
                    tracer.compile(lambda x, view=view, fn=fn: fn(view(x), 2j), exact=True)(z)
        exactly(lambda x: product(x[:, 1], x[:, 2] * 1), z)
        exactly(lambda x, y: (np.multiply(x, y, out=x), x * 1), z, z + 1)
    exactly(lambda x: (product(x[::-2, 1], 2.5), square(x[:1, :1].real, 1)), x)


def test_products_of_vectors_with_gaps() -> None:
    """BLAS sums a vector with gaps in another order than a copy of it."""
    wide, A = rng.standard_normal((3, 400, 8)), rng.standard_normal((400, 3))

    def fn(w: Any, A: Any) -> Any:
        v, u = w[0, :, 3], w[1, :, 5]
        products = [np.dot(v, u), np.dot(v, A), np.dot(A.T, u), np.dot(v[None], u[:, None]), np.dot(v[None], A), np.dot(A.T, u[:, None])]
        return products, np.dot(v[None], u), np.dot(v, u[:, None]), np.dot(v[:9, None], u[None, :9]), np.tensordot(v, u, ([0], [0]))

    exactly(fn, wide, A)
    exactly(fn, wide, np.asfortranarray(A))
    exactly(fn, wide.astype("f4"), A.astype("f4"))


def test_arrays_of_lists_are_in_c_order() -> None:
    A = np.asfortranarray(rng.standard_normal((6, 5)))
    fn = lambda A: (B := np.array([A, A * 2], like=A), B.sum((0, 1)), np.array([[A, A], [A, A]], order="F", like=A), B.ravel())
    exactly(fn, A)


def test_updates_of_reversed_values_in_gradients() -> None:
    """What a cumulated sum gives back is a reversed view: a write into a copy of it lies straight."""
    x = rng.standard_normal((1, 40))

    def loss(x: Any) -> Any:
        y = x.mT @ x
        return np.sum(np.sin(np.cumsum(y))) + np.sin(y[3, 0])

    both = tracer.value_and_grad(loss)
    want, _ = evaluate(run_trace(both, (x,), {}, exact=True).graph, [x])
    got, grad = tracer.compile(both, exact=True)(x)
    same_bits([got, grad], [loss(x), want[1]])


def test_norms_along_all_axes_there_are() -> None:
    """With `axis` NumPy sums, without it multiplies."""
    for _ in range(10):
        v, A = rng.standard_normal(101), rng.standard_normal((13, 27))
        exactly(lambda v: (norm(v, axis=0), norm(v, axis=-1, keepdims=True), norm(v, 2, 0), norm(v), norm(v, 2), norm(v, keepdims=True)), v)
        for lay in LAYOUTS.values():
            exactly(lambda A: (norm(A, axis=(0, 1)), norm(A, axis=(1, 0), keepdims=True), norm(A, "fro", (0, 1)), norm(A)), lay(A))


# ---- what drawn programs found
@pytest.mark.parametrize("dtype", ["complex64", "complex128", "float32"])
@pytest.mark.parametrize("power", [2, -1, 0.5, 3, 2.0])
def test_powers_in_place(dtype: str, power: Any) -> None:
    rng = np.random.default_rng(0)
    x = (rng.uniform(1, 2, 50) + 1j * rng.uniform(-1, 1, 50)).astype(dtype)

    def fn(x: Any) -> Any:
        x[1:] **= power
        x **= power
        return x

    mine, theirs = x.copy(), x.copy()
    assert tracer.compile(fn, exact=True)(mine).tobytes() == fn(theirs).tobytes()
    assert mine.tobytes() == theirs.tobytes()


def test_what_is_written_as_a_whole_lies_as_what_was_there() -> None:
    """A product reads a reversed vector otherwise than the same numbers one after another."""

    def fn(A: Any, v: Any) -> Any:
        v, B = v * 1.0, A * 1.0
        v[:] = v[::-1]
        B[...] = A[:, ::-1].T
        return A.mT @ v, B.sum(0), B.T @ v

    rng = np.random.default_rng(0)
    fast = tracer.compile(fn, exact=True)
    for _ in range(50):
        A, v = rng.standard_normal((4, 4)), rng.standard_normal(4)
        for got, want in zip(fast(A, v), fn(A, v)):
            assert got.tobytes() == want.tobytes()
