"""Arrays whose last axis has gaps: what a region lays in rows, which axis it cuts, and the copies from one fastest axis to another."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tracer
from backends.numpy.turn import turn
from ir.plan import Copy, Region
from ir.planning.walk import in_rows

ROWS = 512


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "c16"])
@pytest.mark.parametrize("shape", [(70, 90), (3, 64, 40), (2, 33, 5, 41), (5, 3)])
def test_turn(dtype: str, shape: tuple[int, ...]) -> None:
    """Every pair of fastest axes, within larger arrays on both sides; NaN, infinity and -0.0 come through."""
    rng = np.random.default_rng(0)
    values = rng.uniform(-9, 6, shape).astype(dtype)
    if values.dtype.kind == "f":
        values.flat[:3] = np.nan, -np.inf, -0.0
    for a, b in itertools.permutations(range(len(shape)), 2):
        read, write = [_within(shape, axis, dtype) for axis in (a, b)]
        read[...] = values
        turn(write, read, a, b)
        assert write.tobytes() == values.tobytes()
        assert np.count_nonzero(write.base == 7) == write.base.size - write.size


def _within(shape: tuple[int, ...], fastest: int, dtype: str) -> np.ndarray:
    """Of that shape, elements next to each other along axis `fastest`, inside an array of sevens."""
    order = [k for k in range(len(shape)) if k != fastest] + [fastest]
    base = np.full([shape[k] + (k == fastest) * 2 for k in order], 77, dtype)
    base[...] = 7
    return base[..., 1:-1].transpose(np.argsort(order))


def softmax(x: Any) -> Any:
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


def elementwise(x: Any) -> Any:
    return np.exp(x) * 2 + np.sin(x)


def both(x: Any) -> Any:
    """Rows are added up beside elementwise work."""
    return np.sum(np.exp(x) * x, axis=1), np.tanh(x) + x


def added_up(x: Any) -> Any:
    """What keeps its shape, and goes through an axis in order."""
    return np.cumsum(np.exp(x), axis=0) + x, np.cumsum(np.sin(x), axis=1) * 2


def region_of(fast: Any, x: np.ndarray) -> Region:
    (region,) = [step for step in fast.plan(x).steps if isinstance(step, Region)]
    return region


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("fn", [softmax, elementwise, both, added_up])
def test_values_of_fortran_order(fn: Any, dtype: str) -> None:
    x = np.asfortranarray(np.random.default_rng(0).uniform(-3, 3, (ROWS, 700)).astype(dtype))
    for exact in (False, True):
        fast = tracer.compile(fn, exact=True) if exact else tracer.compile(fn)
        results = [fast(x), fn(x)]
        for got, want in zip(*[r if isinstance(r, tuple) else (r,) for r in results], strict=True):
            np.testing.assert_allclose(got, want, rtol=0 if exact else 640 * np.finfo(dtype).eps, atol=0 if exact else np.finfo(dtype).eps)


def laid(region: Region) -> list[Copy]:
    return [step for step in region.body.steps if isinstance(step, Copy) and step.why == "laid in rows"]


def test_reduced_rows_are_laid_in_rows_once() -> None:
    x = np.ones((ROWS, 4000), "f4", order="F")
    region = region_of(tracer.compile(softmax), x)
    (copy,) = laid(region)
    assert not in_rows(copy.read) and copy.write.contiguous()
    assert region.rows % 16 == 0, "whole cache lines of what is read"
    assert not laid(region_of(tracer.compile(softmax), np.ascontiguousarray(x)))
    assert not laid(region_of(tracer.compile(softmax, exact=True), x))


def test_elementwise_work_goes_as_the_operands_lie() -> None:
    """No copy, and blocks that lie together."""
    x = np.ones((ROWS, 4000), "f4", order="F")
    fast = tracer.compile(elementwise)
    region = region_of(fast, x)
    assert not laid(region) and fast(x).strides == x.strides
    region = region_of(tracer.compile(lambda x: np.exp(x) * x + np.linspace(0, 1, ROWS, dtype="f4")[:, None]), x)
    assert not laid(region) and region.cuts[0] == (1, 1) and region.writes[0].strides == x.strides


def test_orders_that_differ_are_brought_together() -> None:
    """Of two operands of an elementwise chain the one that lies otherwise is laid in rows."""
    x = np.ones((4000, ROWS), "f4")
    fast = tracer.compile(lambda x, y: np.exp(x) * y + np.sin(y) * x)
    (region,) = [step for step in fast.plan(x, np.asfortranarray(x)).steps if isinstance(step, Region)]
    (copy,) = laid(region)
    assert copy.write.strides == (4 * ROWS, 4)


def test_gaps_are_closed_once_where_the_first_call_had_them() -> None:
    """Two readers are enough then, three where rows lie together; a call that lies the other way has the same values."""
    wide = np.random.default_rng(0).standard_normal((ROWS, 8000)).astype("f4")
    columns, window = wide[:, ::2], wide[:, 8:4008]
    for first, other, copies in ((columns, window, 1), (window, columns, 0)):
        fast = tracer.compile(softmax)
        assert len(laid(region_of(fast, first))) == copies
        for x in (first, other):
            np.testing.assert_allclose(fast(x), softmax(x), rtol=1e-4, atol=1e-7)
        assert fast.explain().traces == 1
