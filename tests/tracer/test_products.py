"""Products that are associated otherwise than written, from function to program: values, memory, what explain says, and exact."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer

rng = np.random.default_rng(7)
A, B, c, x = rng.standard_normal((90, 100)), rng.standard_normal((100, 110)), rng.standard_normal((90, 1)), rng.standard_normal(110)
d = rng.standard_normal(100)
us, vs = rng.standard_normal((2, 5, 3, 100))
FUNCTIONS: dict[str, tuple[str, Callable[..., Any], tuple[Any, ...]]] = {
    "a number": ("associate", lambda s, A, d: (s * A) @ d, (-0.7, A, d)),
    "a column": ("associate", lambda c, A, d: (c * A) @ d, (c, A, d)),
    "a chain": ("associate", lambda A, B, x: A @ B @ x, (A, B, x)),
    "a chain turned": ("associate", lambda A, B, c: (A @ B).T @ c[:, 0], (A, B, c)),
    "a loop": ("join_products", lambda us, vs: sum(u.T @ v for u, v in zip(us, vs)), (us, vs)),
    "rank 1 and a matrix": ("join_products", lambda us, vs, A: A + sum(np.outer(u[0, :90], v[0]) for u, v in zip(us, vs)), (us, vs, A)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_what_is_said(name: str) -> None:
    found, fn, arguments = FUNCTIONS[name]
    fast, exact = tracer.compile(fn), tracer.compile(fn, exact=True)
    want = fn(*arguments)
    np.testing.assert_allclose(fast(*arguments), want, rtol=1e-12, atol=1e-12)
    assert exact(*arguments).tobytes() == want.tobytes()
    assert f"pass {found}: " in str(fast.explain()) and f"pass {found}: " not in str(exact.explain())


@pytest.mark.parametrize("name", ["a number", "a column", "a chain"])
def test_no_matrix_is_made(name: str) -> None:
    _, fn, arguments = FUNCTIONS[name]
    assert tracer.compile(fn).plan(*arguments).peak_bytes < A.nbytes / 8 < tracer.compile(fn, exact=True).plan(*arguments).peak_bytes


def test_factors_that_are_computed_stand_where_they_are_joined() -> None:
    def sums(us: Any, vs: Any) -> Any:
        return sum(np.exp(u).T @ np.tanh(v) for u, v in zip(us, vs))

    plan = tracer.compile(sums).plan(us, vs)
    names = [step.kernel.name for step in plan.steps if hasattr(step, "kernel")]
    assert names.count("dot.blas") == 1 and not any("concatenate" in name for name in names)
    assert "copy" not in str(plan).replace("copyto", "")


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64])
def test_whole_numbers_wrap_alike(dtype: Any) -> None:
    high = np.iinfo(dtype).max
    P, Q, v = [rng.integers(0, high, shape).astype(dtype) for shape in ((60, 70), (70, 80), (80,))]
    fn = lambda P, Q, v: (P * dtype(3)) @ Q @ v  # noqa: E731
    np.testing.assert_array_equal(tracer.compile(fn)(P, Q, v), fn(P, Q, v))


def test_gradients_of_a_chain() -> None:
    def loss(A: Any, B: Any, x: Any) -> Any:
        return ((A @ B @ x) ** 2).sum()

    gradients = tracer.compile(tracer.grad(loss, argnums=(0, 1, 2)))
    plain = tracer.compile(tracer.grad(loss, argnums=(0, 1, 2)), exact=True)
    for got, want in zip(gradients(A, B, x), plain(A, B, x)):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-8)
