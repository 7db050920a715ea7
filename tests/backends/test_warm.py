"""Which plans warm BLAS's buffers, how often, and that NumPy is asked for no memory meanwhile."""
from __future__ import annotations

import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest

import tracer
from backends.numpy import blas, warm, workers
from backends.numpy.ground import multiply_together


@pytest.mark.parametrize(
    ("fn", "rows", "columns", "count"),
    [
        (lambda x, W: np.tanh(x @ W), 16, 16, 0),
        (lambda x, W: np.tanh(x @ W), 64, 64, 1),
        (lambda x, W: np.tanh(x) + W[0], 8192, 256, 0),
        (lambda x, W: np.tanh(np.tanh(x) @ W) * 2.0, 8192, 256, 2),
    ],
)
def test_threads_that_multiply_together(fn: Any, rows: int, columns: int, count: int) -> None:
    tracer.set_threads(2)
    try:
        plan = tracer.compile(fn).plan(np.ones((rows, columns), "f4"), np.ones((columns, columns), "f4"))
        assert multiply_together(plan) == count
    finally:
        tracer.set_threads(None)


def test_each_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(warm, "_warmed", 0)
    monkeypatch.setattr(warm, "fork", lambda tasks: asked.append(len(tasks)))
    monkeypatch.setattr(warm, "SETTING", blas.SETTING or object())
    for count in (0, 1, 1, 3, 2, 3):
        warm.warm_up(count)
    assert asked == [1, 3]


def test_all_at_the_same_time_and_no_memory_of_numpy_s(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[int, int] = {}
    dot = np.dot

    def watched(x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
        seen[threading.get_ident()] = seen.get(threading.get_ident(), 0) + 1
        assert not any(type(a.base) is not np.ndarray for a in (x, y, out))
        dot(x, y, out)

    monkeypatch.setattr(warm.np, "dot", watched)
    monkeypatch.setattr(warm, "PATIENCE", 5.0)
    workers.set_threads(2)
    tracemalloc.start()
    try:
        begun: list[None] = []
        workers.fork([lambda: warm._multiply(begun, 2)] * 2)
        arrays = tracemalloc.take_snapshot().filter_traces([tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)])
    finally:
        tracemalloc.stop()
        workers.set_threads(None)
    assert len(begun) == 2 and min(seen.values()) >= 1 and len(seen) == 2
    assert sum([trace.size for trace in arrays.traces]) == 0
