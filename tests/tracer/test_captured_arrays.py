"""Arrays that a function reaches: replaced, written, read by Python too; after each change the next call gives what NumPy gives."""
# ruff: noqa: E731, F841, B007  (cases rebind what their functions close over)
from __future__ import annotations

import numpy as np
import pytest

import tracer
from tests.tracer.changes import X, check

CASES = {}


def case(fn):
    CASES[fn.__name__] = fn
    return fn


@case
def arrays_replaced_by_anything():
    table = np.ones(3)
    fn = lambda x: x * table
    for table in (
        np.ones(3, np.float32), np.full(3, 2j), np.full(3, 3.0).astype(">f8"), np.arange(3.0)[::-1], np.asfortranarray(np.ones((3, 3))),
        np.arange(9.0).reshape(3, 3).T, np.ones((2, 1)), [1.0, 2.0, 3.0], np.float32(2), np.array(4.0), 2.0, True, np.arange(3),
    ):
        yield fn


@case
def arrays_changed_in_place():
    table = np.ones((3, 1))
    fn = lambda x: x * table
    yield fn
    table.shape = (3,)
    yield fn
    table.dtype = np.int64
    yield fn
    table.flags.writeable = False
    yield fn
    table.flags.writeable = True
    table[:] = 5
    yield fn


@case
def none_and_back():
    bias = None
    fn = lambda x: x if bias is None else x + bias
    yield fn
    bias = X.copy()
    yield fn
    bias[0] = 9.0
    yield fn
    bias = None
    yield fn


@case
def arrays_that_python_read_too():
    table, other, views = np.arange(3.0), np.array([1.0]), np.arange(6.0)
    fn = lambda x: (x * table + table.sum() + views[3:]) * len(views) * (1 if other[0] > 0 else -1) * other.tolist()[0]
    yield fn
    table[0] = 5.0
    yield fn
    table = X.copy()
    yield fn
    other[0] = -2.0
    yield fn
    views[4] = 50.0
    yield fn
    views = np.ones(6)
    yield fn


@case
def object_and_structured_arrays():
    boxed = np.array([np.ones(3), 2.0], dtype=object)
    record = np.zeros(3, dtype=[("a", "f8"), ("b", "i4")])
    fn = lambda x: x * boxed[1] + record["a"]
    yield fn
    boxed[1] = 3.0
    yield fn
    record["a"] = 3.0
    yield fn


@pytest.mark.parametrize("name", CASES)
def test_every_change_is_seen(name):
    check(CASES[name])


def test_a_memory_map(tmp_path):
    table = np.memmap(tmp_path / "table", np.float64, "w+", shape=(3,))
    fast = tracer.compile(lambda x: x * table)
    for k in (1.0, 4.0):
        table[:] = k
        np.testing.assert_array_equal(fast(X), X * k)
    table = np.memmap(tmp_path / "table", np.float64, "r+", shape=(3,))
    np.testing.assert_array_equal(fast(X), X * 4)
    assert fast.explain().traces == 1


def test_large_arrays_are_compared_by_checksum_with_one_warning():
    table, small = np.ones(200_000), np.ones(3)
    fast = tracer.compile(lambda x: x * small + table.sum())
    with pytest.warns(UserWarning, match=r"table.*1600\d+ bytes.*checksum.*test_captured_arrays.py:\d+ .*outside") as told:
        np.testing.assert_array_equal(fast(X), X + 200_000)
        table[7] = 3.0
        np.testing.assert_array_equal(fast(X), X + 200_002)
    assert len(told) == 1 and fast.explain().traces == 2
