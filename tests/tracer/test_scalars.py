"""Python numbers as arguments: inputs at each call, with Python's arithmetic among themselves and NumPy's rules beside arrays."""
from __future__ import annotations

import numpy as np
import pytest

import tracer
from tests.tracer.test_compile import A, traces

SMALL = np.arange(3, dtype=np.uint8)
HUGE = 10**30


def outcome(fn, *args):
    """What a call gives, or the kind of its error."""
    try:
        with np.errstate(all="ignore"):
            return fn(*args)
    except (ArithmeticError, TypeError, ValueError) as error:
        return next(kind for kind in (ZeroDivisionError, OverflowError, TypeError, ValueError) if isinstance(error, kind))


def agree(got, due):
    assert type(got) is type(due) and repr(got) == repr(due), (got, due)


# ---- arithmetic among numbers: kind by value, any size, Python's errors
ARITHMETIC = {
    "int ** int": (lambda x, k: x * 2**k, (2, -1, 0, 3, -1)),
    "float ** float": (lambda x, k: x * k**0.5, (4.0, -4.0, 2.0, -1.0)),
    "a power of a sum": (lambda x, k: x * (k * 1.5 + 1) ** 0.5, (2, -2, 2.0, -2.0)),
    "// and %": (lambda x, k: x * (k // 3) + k % 3, (7, -7, 7.5, -7.5, HUGE)),
    "shifts": (lambda x, k: x * (1 << k) + (k >> 1) + (~k & 255), (3, -1, 5)),
    "division": (lambda x, k: x / k + 1 / k, (2, 0, 0.0, -0.0, 4)),
    "division of huge ones": (lambda x, k: x * (k / 3), (HUGE, 10**400, 4)),
    "infinities": (lambda x, k: x * (k - k), (np.inf, 1.0, -np.inf)),
    "divmod": (lambda x, k: divmod(k, 3), (7, -7, 7.5)),
    "unary": (lambda x, k: abs(k) + (-k) + (+k), (3, -2.5, 3j, -0.0)),
    "complex": (lambda x, k: x * (k + 1j), (1, 2.0, 3j)),
    "returned": (lambda x, k: (k, k * 2, k / 3), (1, 2.5, HUGE, -0.0)),
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_is_pythons(name):
    fn, numbers = ARITHMETIC[name]
    fast = tracer.compile(fn)
    for k in numbers * 2:
        agree(outcome(fast, A, k), outcome(fn, A, k))
    kinds = {type(k) for k in numbers}
    assert traces(fast) <= 2 * len(kinds) + 1


def test_a_new_kind_of_a_power_traces_once():
    fast = tracer.compile(lambda x, k: x * 2**k)
    for k in (2, 3, 0, 5):
        fast(A, k)
    assert traces(fast) == 1
    np.testing.assert_array_equal(fast(A, -1), A / 2)
    for k in (4, 2, 7):
        np.testing.assert_array_equal(fast(A, k), A * 2**k)
    assert traces(fast) == 2
    assert any("a power is an int (test_scalars.py:" in text for text in fast.explain().guards)


# ---- beside arrays: kinds, ranges
def put(where):
    def fn(x, k):
        y = x.copy()
        y[where(x)] = k
        return y

    return fn


def filled(x, k):
    y = x.copy()
    y.fill(k)
    return y


STORES = {
    "x + k": lambda x, k: x + k,
    "maximum": lambda x, k: np.maximum(x, k),
    "x == k": lambda x, k: x == k,
    "where": lambda x, k: np.where(x > 1, x, k),
    "full_like": lambda x, k: np.full_like(x, k),
    "dtype=": lambda x, k: np.add(x, k, dtype=x.dtype),
    "one element": put(lambda x: 1),
    "all": put(lambda x: slice(None)),
    "a mask": put(lambda x: x > 1),
    "an array of indices": put(lambda x: np.array([0, 1])),
    "fill": filled,
    "append": lambda x, k: np.append(x, k),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64, np.float16])
@pytest.mark.parametrize("name", STORES)
def test_integers_that_do_not_fit(name, dtype):
    fn, x = STORES[name], SMALL.astype(dtype)
    fast = tracer.compile(fn)
    captured = tracer.compile(lambda x: fn(x, k))
    for k in (3, 300, -1, 127, 3):
        due = outcome(fn, x, k)
        agree(outcome(fast, x, k), due)
        agree(outcome(captured, x), due)
    assert traces(fast) == traces(captured) == 1


def test_an_integer_that_does_not_fit_is_said_with_the_line():
    fast = tracer.compile(lambda x, k: x + k)
    fast(SMALL, 3)
    with pytest.raises(OverflowError, match="300 out of bounds for uint8") as error:
        fast(SMALL, 300)
    assert "x + k" in "".join(error.value.__notes__)
    np.testing.assert_array_equal(fast(SMALL, 4), SMALL + 4)
    with pytest.raises(OverflowError, match="300 out of bounds for uint8"):  # found while tracing
        tracer.compile(lambda x: np.full_like(x, 300))(SMALL)


@pytest.mark.parametrize("dtype", ["?", "i1", "u8", "f2", "f4", "f8", "c8"])
def test_numbers_are_weak(dtype):
    x = np.ones(3, dtype)
    for fn in (lambda x, k: x * k, lambda x, k: k - x * k, lambda x, k: np.hypot(x.real, abs(k)), lambda x, k: x * (k + 1)):
        fast = tracer.compile(fn)
        for k in (2, 2.5, 2j, True):
            got, due = outcome(fast, x, k), outcome(fn, x, k)
            if isinstance(due, type):
                assert got is due
            else:
                assert got.dtype == due.dtype
                np.testing.assert_allclose(got, due, rtol=1e-3 if dtype == "f2" else 1e-6)


# ---- what is no plain number
def test_bools_and_numpy_scalars_are_no_python_numbers():
    fast = tracer.compile(lambda x, k: x * k)
    x = np.ones(3, np.float32)
    for k in (1, True, np.bool_(True), 1.0, np.float64(1), np.float32(1), np.int64(1), 1j, np.array(1.0)):
        assert fast(x, k).dtype == (x * k).dtype
    assert traces(fast) == 9


def test_signs_of_zero_and_nan():
    fast = tracer.compile(lambda x, k: np.copysign(x, k) * (1 if k == k else 2))
    for k, count in ((0.0, 1), (-0.0, 2), (0.0, 2), (np.nan, 3), (np.nan, 3), (-np.nan, 3)):
        np.testing.assert_array_equal(np.abs(fast(A, k)), A * (1 if k == k else 2))
        assert traces(fast) == count
    fast = tracer.compile(lambda x, k: np.copysign(x, k))
    for k in (0.0, -0.0, -1.0, np.inf, -np.inf):
        np.testing.assert_array_equal(fast(A, k), np.copysign(A, k))
    assert traces(fast) == 1
