"""Products where they lie: parts of wider matrices without a copy, rows of whatever leading axes as one product; in every order."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tracer
from ir.plan import Call, Copy, Plan

A, B = np.random.default_rng(0).normal(size=(2, 9, 12))


def names(plan: Plan) -> set[str]:
    return {step.kernel.name for step in plan.steps if isinstance(step, Call) and step.node.op.family == "matmul"}


@pytest.mark.parametrize("dtype", ["f4", "f8", "c16", "i8", "f2"])
def test_parts_of_wider_matrices(dtype: str) -> None:
    """Columns, rows, and both, as they are and turned; every second column or a turned row is none that BLAS reads."""
    parts = [np.s_[:, 2:7], np.s_[1:6], np.s_[2:7, 1:9], np.s_[::2, 3:8], np.s_[:5, 10:0:-2], np.s_[:, ::2], np.s_[3:4], np.s_[:, 5:6]]
    a, b = (10 * A).astype(dtype), (10 * B).astype(dtype)
    for one, two, turned in itertools.product(parts, parts, range(4)):

        def product(a: Any, b: Any, one: Any = one, two: Any = two, turned: int = turned) -> Any:
            x, y = (a + 1)[one], (b + 2)[two]
            return np.dot(x.T if turned % 2 else x, y.T if turned > 1 else y)

        try:
            wanted = product(a, b)
        except ValueError:
            continue
        got = tracer.compile(product)(a, b)
        assert got.dtype == wanted.dtype
        loose = {"f2": 1e-2, "f4": 1e-5}.get(dtype, 1e-12)
        np.testing.assert_allclose(got, wanted, rtol=loose, atol=loose * 1e3)


def test_parts_are_not_copied() -> None:
    fast = tracer.compile(lambda a, b: np.dot((a + 1)[:, 2:7], (b + 2)[2:7]))
    turned = tracer.compile(lambda a, b: np.dot((a + 1)[2:7].T, (b + 2)[2:7, 1:9]))
    for each in (fast, turned):
        plan = each.plan(A, B)
        assert names(plan) == {"dot.matmul"} and not [s for s in plan.steps if isinstance(s, Copy)]


@pytest.mark.parametrize("exact", [False, True])
def test_rows_of_leading_axes(exact: bool) -> None:
    x, W = A.reshape(3, 3, 2, 6), B[:6, :5]
    functions = [(lambda x, W: x @ (W + 0), True), (lambda x, W: x.swapaxes(0, 1) @ (W + 0), False), (lambda x, W: x @ (W.T + 0).T, True)]
    for each, one in functions:
        fast = tracer.compile(each, exact=True) if exact else tracer.compile(each)
        got, wanted = fast(x, np.ascontiguousarray(W)), each(x, np.ascontiguousarray(W))
        np.testing.assert_allclose(got, wanted, rtol=1e-13)
        assert not exact or got.tobytes() == wanted.tobytes()
        assert ("matmul.rows" in names(fast.plan(x, np.ascontiguousarray(W)))) == (one and not exact)
