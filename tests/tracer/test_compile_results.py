"""What a compiled function gives back and writes: results are the caller's, arguments are written, Variables keep their history."""
from __future__ import annotations

import numpy as np
import pytest

import tracer
from tests.tracer.test_compile import A, traces
from tracer import Parameter, Variable
from tracer import functions as F


# ---- results and arguments
def test_results_belong_to_the_caller():
    fast = tracer.compile(lambda x: (x + 1, x, x[1:], np.sum(x)))
    first = fast(A)
    copies = [np.copy(r) for r in first]
    fast(A * 100)
    for got, due in zip(first, copies):
        np.testing.assert_array_equal(got, due)
    first[1][:] = -1
    first[2][:] = -1
    np.testing.assert_array_equal(A, [1.0, 2.0, 3.0])


def test_one_value_returned_twice_is_two_arrays():
    def fn(x):
        y = x * 2
        return y, y, y.reshape(1, 3)

    one, two, three = tracer.compile(fn)(A)
    one[:] = 0
    np.testing.assert_array_equal(two, 2 * A)
    np.testing.assert_array_equal(three, [2 * A])


def test_a_constant_result_is_fresh_each_time():
    fast = tracer.compile(lambda x: np.zeros(2))
    fast(A)[:] = 5
    np.testing.assert_array_equal(fast(A), [0, 0])


def test_zero_dimensional_results_are_what_numpy_gives():
    def fn(x, s):
        return np.sum(x), x[0], x.reshape(3, 1)[1, 0], np.add(s, 1), s, np.reshape(x[:1], ()), x[0] * 2.0, x.max(), np.exp(s)

    s = np.array(2.0)
    for got, due in zip(tracer.compile(fn)(A, s), fn(A, s), strict=True):
        assert type(got) is type(due), (got, due)
        np.testing.assert_array_equal(got, due)


def test_python_numbers_come_back_as_python_numbers():
    fast = tracer.compile(lambda x, n, k: (n + 1, k * 2.0, n // 2, x))
    got = fast(A, 7, 0.5)
    assert got[:3] == (8, 1.0, 3) and [type(g) for g in got[:3]] == [int, float, int]
    big = 10**40
    assert fast(A, big, 0.5)[0] == big + 1


def test_written_arguments_are_written():
    def fn(x, y):
        x += y
        x[0] = 9
        y[1:] = x[:-1]
        return x.sum()

    fast = tracer.compile(fn)
    for k in (1, 2):
        x, y = A * k, A.copy()
        xs, ys = x.copy(), y.copy()
        got, due = fast(x, y), fn(xs, ys)
        assert got == due
        np.testing.assert_array_equal(x, xs)
        np.testing.assert_array_equal(y, ys)
    assert traces(fast) == 1


def test_writing_into_what_cannot_be_written():
    def fn(x):
        x[0] = 1
        return x

    fast = tracer.compile(fn)
    frozen = A.copy()
    frozen.flags.writeable = False
    with pytest.raises((tracer.Error, ValueError), match="read-only"):
        fast(frozen)
    fast(A.copy())
    with pytest.raises((tracer.Error, ValueError), match="read-only"):
        fast(frozen)
    np.testing.assert_array_equal(frozen, A)


def test_written_strided_argument():
    def fn(x):
        x *= 2
        return x + 0

    fast = tracer.compile(fn)
    big = np.arange(6.0)
    for _ in range(2):
        fast(big[::2])
    np.testing.assert_array_equal(big, [0, 1, 8, 3, 16, 5])


def test_traced_data_into_a_plain_array_is_refused():
    log = np.zeros(3)

    def fn(x):
        log[:] = x * 2
        return x

    with pytest.raises(tracer.TraceError, match="plain") as error:
        tracer.compile(fn)(A)
    assert "log[:] = x * 2" in str(error.value) and "mend" in str(error.value)
    np.testing.assert_array_equal(log, 0)


# ---- Variables
def test_variables_as_arguments_results_and_gradients():
    W = Parameter(np.full((3, 1), 0.5))
    fast = tracer.compile(lambda x: F.matmul(x, W))
    x, y = np.arange(6.0).reshape(2, 3), np.ones((2, 1))
    for _ in range(2):
        W.cleargrad()
        out = fast(x)
        assert isinstance(out, Variable)
        F.mean_squared_error(y, out).backward()
        np.testing.assert_allclose(W.grad.data, x.T @ (2 * (x @ W.data - y)) / 2)
        W.data -= 0.01 * W.grad.data
    assert traces(fast) == 1

    v = Variable(x)
    out = fast(v)
    F.sum(out * out).backward()
    np.testing.assert_allclose(v.grad.data, 2 * (x @ W.data) @ W.data.T)


def test_variables_in_trees_and_arrays_beside_them():
    fast = tracer.compile(lambda d: {"v": d["v"] * 2, "sum": np.sum(d["x"])})
    v = Variable(A)
    out = fast({"v": v, "x": A})
    assert isinstance(out["v"], Variable) and type(out["sum"]) is np.float64 and out["sum"] == 6
    out["v"].backward()
    np.testing.assert_array_equal(v.grad.data, [2, 2, 2])


def test_a_variable_without_data():
    fast = tracer.compile(lambda x, b: x * 2 if b.data is None else x * 2 + b)
    np.testing.assert_array_equal(np.asarray(fast(A, Variable(None))), 2 * A)
    np.testing.assert_array_equal(fast(A, Variable(A)).data, 3 * A)
