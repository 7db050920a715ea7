"""Errors leave no state behind, the cache is bounded, and neither keeps arguments, results or dead functions alive."""
from __future__ import annotations

import gc
import sys
import weakref

import numpy as np
import pytest

import tracer
from tests.tracer.test_compile import A, traces, why
from tests.tracer.test_compile_captures import Model
from tracer import Parameter, Variable
from tracer.operands import stack


# ---- errors leave nothing
def test_an_exception_in_the_middle_leaves_no_state():
    W, fail = Variable(A.copy()), [True]

    def fn(x):
        y = x * W
        y += 1
        if fail:
            raise KeyError("mine")
        return y

    fast = tracer.compile(fn)
    for _ in range(2):
        with pytest.raises(KeyError, match="mine"):
            fast(A)
    assert traces(fast) == 0 and stack.current() is None
    np.testing.assert_array_equal(W.data, A)
    fail.clear()
    np.testing.assert_array_equal(fast(A).data, A * A + 1)
    np.testing.assert_array_equal((W * 2).data, 2 * A)


def test_a_leaked_traced_array_is_refused():
    kept = []
    fast = tracer.compile(lambda x: kept.append(x) or x + 1)
    fast(A)
    with pytest.raises(tracer.TraceError):
        tracer.compile(lambda x: x)(kept[0])
    with pytest.raises(tracer.TraceError):
        kept[0] + 1


def test_an_error_at_run_time_is_numpys():
    fast = tracer.compile(lambda x, i: x[i])
    assert fast(A, np.array([0, 2])).tolist() == [1.0, 3.0]
    with pytest.raises(IndexError):
        fast(A, np.array([0, 5]))
    assert fast(A, np.array([1, 1])).tolist() == [2.0, 2.0]


def test_floating_point_warnings_are_the_callers():
    fast = tracer.compile(lambda x: 1.0 / x)
    zero = np.zeros(2)
    with np.errstate(divide="ignore"):
        assert np.isinf(fast(zero)).all()
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        fast(zero)
    assert fast(np.ones(2)).tolist() == [1.0, 1.0]


# ---- memory
def test_the_cache_is_bounded(monkeypatch):
    monkeypatch.setattr(sys.modules["tracer.compile"], "LIMIT", 3)
    fast = tracer.compile(lambda x: x + 1)
    with pytest.warns(UserWarning, match="traced again at each"):
        for n in range(1, 20):
            np.testing.assert_array_equal(fast(np.zeros(n)), np.ones(n))
    assert len(fast._entries) == 3
    before = traces(fast)
    fast(np.zeros(19))
    assert traces(fast) == before
    fast(np.zeros(1))
    assert traces(fast) == before + 1 and "argument x: f64[19] -> f64[1]" in why(fast)


def test_guards_too_are_bounded(monkeypatch):
    monkeypatch.setattr(sys.modules["tracer.compile"], "LIMIT", 3)
    fast = tracer.compile(lambda x, n: x + n if n else x)
    with pytest.warns(UserWarning, match="8 times for other values of n; the last time for argument n: 8 -> 9"):
        for n in range(1, 20):
            np.testing.assert_array_equal(fast(A, n), A + n)
    assert sum(len(held) for held in fast._entries.values()) <= 3


def alive(make) -> bool:
    """Whether the thing that `make` gives is still alive once nobody here holds it."""
    held = weakref.ref(make())
    gc.collect()
    return held() is not None


def test_arguments_and_results_are_not_kept():
    fast = tracer.compile(lambda x, y: (x * 2, x @ y, np.sum(y)))
    assert not alive(lambda: fast(np.ones((4, 4)), np.ones((4, 4)))[0])

    def argument():
        x = np.ones((4, 4))
        fast(x, x)
        return x

    assert not alive(argument)
    view = tracer.compile(lambda x: x[1:])

    def viewed():
        x = np.ones((4, 4))
        view(x)
        return x

    assert not alive(viewed)


def test_arguments_are_not_kept_by_an_error():
    def fn(x):
        raise ValueError("mine")

    fast = tracer.compile(fn)

    def argument():
        x = np.ones(3)
        with pytest.raises(ValueError):
            fast(x)
        return x

    assert not alive(argument)


def test_variables_as_arguments_are_not_kept():
    fast = tracer.compile(lambda v: v * 2)

    def argument():
        v = Variable(np.ones(3))
        fast(v).data  # noqa: B018
        return v

    assert not alive(argument)
    assert not alive(lambda: fast(Variable(np.ones(3))))


def test_dead_functions_and_objects_are_not_kept():
    def function():
        def fn(x):
            return x + 1

        fast = tracer.compile(fn)
        fast(A)
        return fn

    assert not alive(function)

    def compiled():
        fast = tracer.compile(lambda x: x * 2)
        fast(A)
        return fast

    assert not alive(compiled)

    def model():
        m = Model(3)
        m.predict(A)
        return m

    assert not alive(model)

    def parameter():
        W = Parameter(np.ones(3))
        tracer.compile(lambda x: x * W)(A).data  # noqa: B018
        return W

    assert not alive(parameter)


def test_a_static_argument_that_died_is_not_mistaken_for_another():
    class Mode:
        def __init__(self, k):
            self.k = k

    fast = tracer.compile(lambda x, mode: x * mode.k)
    for k in range(5):
        np.testing.assert_array_equal(fast(A, Mode(k)), A * k)
