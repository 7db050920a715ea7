"""The kinds of captured numbers, and those whose value Python needs: a new kind, or a new value of those, traces again."""
from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest

import tracer
from tests.tracer.test_compile import A, traces
from tracer import Variable

RATE, COUNT = 0.5, 2


def same(got, due):
    np.testing.assert_array_equal(got.data if isinstance(got, Variable) else got, due)


# ---- their kinds
def test_another_kind_traces_again():
    k = 2
    fast = tracer.compile(lambda x: x * k)
    for count, k in enumerate((2, 2.0, 2j, True, np.float32(2), np.array(2.0)), 1):
        got, due = fast(A), A * k
        assert got.dtype == due.dtype and traces(fast) == count
        same(got, due)
    small = np.arange(3, dtype=np.uint8)
    for k in (1, 200, -1.0, 1j, True):
        assert fast(small).dtype == (small * k).dtype
    k = 300
    with pytest.raises(OverflowError, match="300 out of bounds for uint8"):
        fast(small)
    k = 3
    same(fast(small), small * 3)


def test_pythons_arithmetic_on_them():
    k, n = 7, 2
    fast = tracer.compile(lambda x: x * (k // n + k % n + (k << n) + 1 / n + k**n) - divmod(k, n)[0] + abs(-k))
    for k, n in ((7, 2), (-7, 3), (10**40, 4), (5, 1)):
        same(fast(A), A * (k // n + k % n + (k << n) + 1 / n + k**n) - divmod(k, n)[0] + abs(-k))
    assert traces(fast) == 1
    n = 0
    with pytest.raises(ZeroDivisionError):
        fast(A)
    k = n = 1
    same(fast(A), A * (1 + 0 + 2 + 1 + 1) - 1 + 1)


# ---- where Python needs the value, it is a guard
PINNED = {
    "a branch": lambda x: x if RATE > 0.4 else -x,
    "range": lambda x: sum([x * i for i in range(COUNT)]),
    "an index": lambda x: x[COUNT],
    "a shape": lambda x: np.repeat(x, COUNT),
    "math": lambda x: x * math.sqrt(RATE) + math.floor(RATE),
    "text": lambda x: x * len(f"{COUNT:b}"),
    "a key": lambda x: x * {1: 10.0, 2: 20.0}[COUNT],
    "an array": lambda x: x @ np.array([RATE, 1.0, COUNT]),
    "linspace": lambda x: np.linspace(0, RATE, 3) + x,
    "a list": lambda x: np.dot(x, [RATE, 1.0, COUNT]),
    "ddof": lambda x: np.std(x, ddof=COUNT - 1),
    "type": lambda x: x * 2 if type(COUNT) is int else x,
    "is": lambda x: x if RATE is None else x * RATE,
    "a method": lambda x: x * RATE.hex().count("1") + COUNT.bit_length(),
    "C code that takes floats alone": lambda x: x * float(Decimal(RATE)),
    "eval": lambda x: x * eval("RATE"),
    "globals": lambda x: x * globals()["RATE"] + globals().get("COUNT"),
    "a class body": lambda x: x * type("K", (), {"k": RATE}).k,
    "vars": lambda x: x * vars(__import__("sys").modules[__name__])["RATE"],
}


@pytest.mark.parametrize("what", PINNED)
def test_where_python_needs_the_value_a_new_one_traces_again(what):
    global RATE, COUNT
    fn = PINNED[what]
    fast = tracer.compile(fn)
    try:
        for values in ((0.5, 2), (0.25, 1), (1.0, 2)):
            RATE, COUNT = values
            got, due = fast(A), fn(A)
            same(got, due)
            assert got.dtype == due.dtype
    finally:
        RATE, COUNT = 0.5, 2


def test_one_number_pinned_leaves_the_others_free():
    n, rate = 3, 0.5
    fast = tracer.compile(lambda x: sum([x * i for i in range(n)]) * rate)
    for n, rate in ((3, 0.5), (3, 0.25), (2, 0.25), (2, 0.5), (3, 1.0)):
        same(fast(A), sum([A * i for i in range(n)]) * rate)
    assert traces(fast) == 2 and "n is 3 (test_captured_numbers_needed.py:" in "".join(fast.explain().guards)


def test_nan_in_a_guard_does_not_trace_at_every_call_and_zeros_have_signs():
    k = float("nan")
    fast = tracer.compile(lambda x: x if k > 0 else -x)
    for number, count in ((float("nan"), 1), (float("nan"), 1), (-0.0, 2), (0.0, 3), (-0.0, 3)):
        k = number
        same(fast(A), -A)
        assert traces(fast) == count
