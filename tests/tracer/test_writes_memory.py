"""Writes are made in place: what a plan of many writes holds, in bytes, and how little it copies."""
from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import tracer
from ir.plan import Call, Copy

LINE, SQUARE = np.linspace(0.0, 1.0, 5000) ** 2, np.sin(np.arange(10000.0)).reshape(100, 100)


def _line(u: Any, k: Any) -> None:
    for _ in range(100):
        u[1:-1] = u[1:-1] + k * (u[2:] - 2 * u[1:-1] + u[:-2])


def _added(u: Any, k: Any) -> None:
    for _ in range(100):
        u[1:-1] += k * (u[2:] - 2 * u[1:-1] + u[:-2])


def _square(u: Any, k: Any) -> None:
    for _ in range(100):
        inner = u[1:-1, 1:-1]
        inner += k * (-4 * inner + u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2])


def _turned(u: Any, k: Any) -> None:
    for _ in range(100):
        v = u.T[1:-1][:, 1:-1]
        v[...] = v + k * (-4 * v + u.T[2:, 1:-1] + u.T[:-2, 1:-1] + u[1:-1, 2:].T + u[1:-1, :-2].T)


@pytest.mark.parametrize(("sweep", "u"), [(_line, LINE), (_added, LINE), (_square, SQUARE), (_turned, SQUARE)])
@pytest.mark.parametrize("own", [True, False])
def test_a_stencil_of_100_steps_holds_two_arrays(sweep: Any, u: np.ndarray, own: bool) -> None:
    """On a copy, which is the result, or on an argument, whose new content is held until all has gone well: and one array of scratch."""

    def on_a_copy(u: Any, k: Any) -> Any:
        u = u.copy()
        sweep(u, k)
        return u

    fn = on_a_copy if own else sweep
    fast = tracer.compile(fn)
    mine, due = u.copy(), u.copy()
    got, want = fast(mine, 0.1), fn(due, 0.1)
    np.testing.assert_allclose(mine, due, rtol=1e-12)
    if own:
        np.testing.assert_allclose(got, want, rtol=1e-12)
    plan = fast.plan(u, 0.1)
    assert plan.peak_bytes <= 2 * u.nbytes + 256
    assert plan.result_bytes == u.nbytes
    copies = [s for s in plan.steps if isinstance(s, Copy)]
    assert len(copies) == 1  # of the argument, which is not written before the end


def copies(fn: Any, *args: Any) -> tuple[list[int], Any]:
    """The bytes of each Copy step; the results are NumPy's."""
    fast = tracer.compile(fn)
    np.testing.assert_allclose(fast(*[a.copy() for a in args]), fn(*[a.copy() for a in args]), rtol=1e-12, atol=1e-12)
    plan = fast.plan(*args)
    return [s.write.dtype.itemsize * int(np.prod(s.write.shape)) for s in plan.steps if isinstance(s, Copy)], plan


def test_a_swap_copies_one_row() -> None:
    def fn(x: Any) -> Any:
        y = x.copy()
        for i in range(0, 50, 2):
            y[i], y[i + 1] = y[i + 1].copy(), y[i].copy()
        return y

    found, plan = copies(fn, SQUARE)
    assert sorted(found) == [800] * 24 + [80000]  # the first rows come from x itself
    assert plan.peak_bytes <= 1.02 * SQUARE.nbytes


def test_an_overlapping_assignment_copies_the_part() -> None:
    def fn(x: Any) -> Any:
        y = x.copy()
        y[0] += 1
        for _ in range(10):
            y[1:3] = y[:2]
        return y

    found, _ = copies(fn, SQUARE)
    assert sorted(found) == [1600] * 10 + [80000]


def test_what_is_read_later_is_set_aside_by_itself() -> None:
    def fn(x: Any) -> Any:
        y = x * 2
        first, kept = y[0].copy(), y[5:7].copy()
        for i in range(1, 100):
            y[i] += y[i - 1]
        y[0] = 0
        return y + first + kept.sum()

    found, _ = copies(fn, SQUARE)
    assert sorted(found) == [800, 1600]


def test_rows_of_views_of_views_are_written_alone() -> None:
    def fn(x: Any) -> Any:
        y = x * 3.0
        half, turned, wide = y[::2], y.T[::-1], y[None, 10:60]
        for k in range(20):
            half[k] *= 2
            turned[k, 3:] += 1
            wide[0, k][::3] = k
            y.reshape(-1)[k::100] -= 1
            half[:, 5][k] = 0
        return y

    found, plan = copies(fn, SQUARE)
    assert not found
    assert plan.peak_bytes <= 1.02 * SQUARE.nbytes


def test_the_adjoint_of_a_stencil_holds_three_arrays() -> None:
    """The result, one array of cotangents on the way, and one of scratch, however many steps there are; reads add theirs in place."""

    def loss(u: Any) -> Any:
        u = u.copy()
        _line(u, 0.1)
        return (u * u).sum()

    fast = tracer.compile(tracer.grad(loss))
    step = 1e-6
    direction = np.cos(np.arange(LINE.size))
    due = (loss(LINE + step * direction) - loss(LINE - step * direction)) / (2 * step)
    np.testing.assert_allclose(np.sum(fast(LINE) * direction), due, rtol=1e-6)
    plan = fast.plan(LINE)
    assert plan.peak_bytes <= 3 * LINE.nbytes + 256
    used = Counter(s.node.op.name if isinstance(s, Call) else type(s).__name__ for s in plan.steps)
    assert used["add_slice"] == 400 and used["add"] <= 201


def test_a_hundred_reads_give_back_a_hundred_parts() -> None:
    def loss(x: Any) -> Any:
        total = 0.0
        for i in range(100):
            total = total + np.sin(x[i]).sum() * x[i, i]
        return total

    fast = tracer.compile(tracer.grad(loss))
    np.testing.assert_allclose(fast(SQUARE)[3], np.cos(SQUARE[3]) * SQUARE[3, 3] + np.sin(SQUARE[3]).sum() * np.eye(100)[3], rtol=1e-10)
    assert fast.plan(SQUARE).peak_bytes <= 1.5 * SQUARE.nbytes
