"""Traps of replayed programs, each a story of a few lines: what a trace must not freeze, drop, share or read too early."""
from __future__ import annotations

import threading

import numpy as np
import pytest

import tracer
from tracer import Config, Function, Parameter, Variable, no_grad, optimizers, test_mode
from tracer import functions as F

A = np.array([1.0, 2.0, 3.0])


def same(got, due):
    np.testing.assert_array_equal(np.asarray(got.data if isinstance(got, Variable) else got), due)


# ---- stale outputs
def test_yesterdays_result_is_not_overwritten_today():
    fast = tracer.compile(lambda x: x * 2)
    results = [fast(A * k) for k in range(5)]
    for k, result in enumerate(results):
        same(result, 2 * A * k)


def test_the_result_goes_in_again():
    fast = tracer.compile(lambda x: x * 0.5 + 1)
    x = A
    for _ in range(4):
        x = fast(x)
    same(x, (((A * 0.5 + 1) * 0.5 + 1) * 0.5 + 1) * 0.5 + 1)


def test_an_input_returned_unchanged_is_a_copy():
    fast = tracer.compile(lambda x, y: (x, y))
    one, two = fast(A, A)
    one[:] = 0
    same(A, [1, 2, 3])
    same(two, A)


def test_a_captured_array_returned_is_a_copy():
    table = np.ones(3)
    fast = tracer.compile(lambda x: table)
    fast(A)[:] = 9
    same(table, [1, 1, 1])
    table[:] = 4
    same(fast(A), [4, 4, 4])


# ---- frozen containers and values
def test_a_list_that_grows():
    terms = [np.ones(3)]
    fast = tracer.compile(lambda x: x + sum(terms))
    same(fast(A), A + 1)
    terms.append(np.full(3, 10.0))
    same(fast(A), A + 11)
    terms.clear()
    same(fast(A), A)


def test_a_dict_whose_entry_is_exchanged():
    params = {"W": np.ones(3), "on": True}
    fast = tracer.compile(lambda x: x * params["W"] if params["on"] else x)
    same(fast(A), A)
    params["W"] = np.full(3, 5.0)
    same(fast(A), 5 * A)
    params["on"] = False
    same(fast(A), A)
    del params["W"]
    same(fast(A), A)


def test_a_global_flag():
    global FLAG
    fast = tracer.compile(lambda x: x if FLAG else -x)
    same(fast(A), -A)
    FLAG = True
    same(fast(A), A)
    FLAG = False
    same(fast(A), -A)


FLAG = False


def test_a_helper_exchanged():
    helper = np.sin
    fast = tracer.compile(lambda x: helper(x))
    same(fast(A), np.sin(A))
    helper = np.cos
    same(fast(A), np.cos(A))

    def double(x):
        return 2 * x

    helper = double
    same(fast(A), 2 * A)


def test_a_default_argument_exchanged():
    def fn(x, table=A):
        return x + table

    fast = tracer.compile(fn)
    same(fast(A), 2 * A)
    fn.__defaults__ = (10 * A,)
    same(fast(A), 11 * A)


def test_a_shape_that_python_read():
    fast = tracer.compile(lambda x: x / len(x) + x.shape[0])
    same(fast(A), A / 3 + 3)
    same(fast(np.ones(5)), np.ones(5) / 5 + 5)


def test_a_loop_whose_count_is_an_argument():
    def fn(x, n):
        for _ in range(n):
            x = x * 2
        return x

    fast = tracer.compile(fn)
    for n in (1, 3, 0, 3):
        same(fast(A, n), A * 2**n)
    assert fast.explain().traces == 3


def test_a_number_turned_into_an_index():
    fast = tracer.compile(lambda x, k: x[k] + x[k - 1])
    same(fast(A, 1), 3.0)
    same(fast(A, 2), 5.0)
    same(fast(A, -1), 5.0)


def test_a_closure_made_anew_each_time():
    def make(k):
        return tracer.compile(lambda x: x * k)

    for k in range(3):
        same(make(k)(A), A * k)


# ---- dropped assignments
def test_an_argument_written_but_not_returned():
    def fn(x):
        x += 1

    fast, mine = tracer.compile(fn), A.copy()
    for k in (1, 2, 3):
        assert fast(mine) is None
        same(mine, A + k)


def test_a_view_of_an_argument_written():
    def fn(x):
        x[1:][0] = 7
        x.T[2, 0] = 8
        return x.sum()

    mine = np.zeros((2, 3))
    assert tracer.compile(fn)(mine) == 29
    same(mine, [[0, 0, 8], [7, 7, 7]])


def test_a_local_copy_written_leaves_the_argument():
    def fn(x):
        y = x.copy()
        y[0] = 100
        return y

    mine = A.copy()
    same(tracer.compile(fn)(mine), [100, 2, 3])
    same(mine, A)


def test_a_variable_assigned_inside():
    W = Variable(A.copy())

    def fn(x):
        W.data = W.data + x
        return W.data * 1.0

    fast = tracer.compile(fn)
    same(fast(A), 2 * A)
    same(fast(A), 3 * A)
    same(W, 3 * A)


def test_a_captured_array_written_inside_is_refused_and_left_alone():
    log = np.zeros(3)

    def fn(x):
        log[::2] += 1  # plain NumPy, which would run only when tracing
        return x * 2

    fast = tracer.compile(fn)
    for _ in range(2):
        with pytest.raises(tracer.TraceError, match="writes plain values into the array log"):
            fast(A)
    assert log.tolist() == [0.0] * 3


# ---- values read too early
def test_parameters_read_at_the_call_not_at_the_trace():
    W = Variable(np.ones(3))
    fast = tracer.compile(lambda x: x * W.data)
    same(fast(A), A)
    W.data -= 3
    same(fast(A), -2 * A)


def test_predict_sees_what_the_step_trained():
    W = Parameter(np.zeros(3))
    predict = tracer.compile(lambda x: F.sum(x * W))
    step = tracer.train_step(lambda x: (F.sum(x * W) - 1) ** 2, optimizers.SGD(lr=0.01))
    same(predict(A), 0)
    step(A)
    same(predict(A), np.sum(A * W.data))
    assert predict(A).data > 0
    step.run(A, steps=10)
    same(predict(A), np.sum(A * W.data))


def test_a_pending_value_sees_its_operands_as_they_were():
    W = Variable(A.copy())
    y = W * 2
    W.data[:] = 0
    same(y, 2 * A)
    x = A.copy()
    z = W + x
    x[:] = 50
    same(z, A)


def test_gradients_accumulate_through_replays():
    x = Variable(A.copy())
    fast = tracer.compile(lambda x: F.sum(x * x))
    for k in (1, 2, 3):
        fast(x).backward()
        same(x.grad, 2 * A * k)


# ---- aliasing
def test_the_same_array_twice():
    fast = tracer.compile(lambda x, y: x * 2 + y)
    same(fast(A, A), 3 * A)
    same(fast(A, 2 * A), 4 * A)


def test_overlapping_views_read_only():
    fast = tracer.compile(lambda x, y: x + y)
    big = np.arange(5.0)
    same(fast(big[1:], big[:-1]), big[1:] + big[:-1])


def test_the_result_written_over_the_argument_it_came_from():
    def fn(x):
        x[:] = x[::-1]
        return x

    mine = A.copy()
    out = tracer.compile(fn)(mine)
    same(mine, [3, 2, 1])
    out[:] = 0
    same(mine, [3, 2, 1])


def test_one_variable_in_two_places():
    v = Variable(A.copy())
    fast = tracer.compile(lambda a, b: F.sum(a * b))
    fast(v, v).backward()
    same(v.grad, 2 * A)


# ---- what else happens around a call
def test_a_print_happens_only_when_tracing(capsys):
    fast = tracer.compile(lambda x: print("traced") or x + 1)
    fast(A)
    fast(A)
    assert capsys.readouterr().out == "traced\n"


def test_random_draws_are_refused_and_not_spent():
    fast = tracer.compile(lambda x: x + np.random.rand(3))
    np.random.seed(0)
    with pytest.raises(tracer.TraceError, match="random"):
        fast(A)
    after = np.random.rand()
    np.random.seed(0)
    assert after == np.random.rand()


def test_a_failed_call_does_not_spoil_the_next():
    fast = tracer.compile(lambda x, i: x[i] * 2)
    same(fast(A, np.array([0])), [2])
    with pytest.raises(IndexError):
        fast(A, np.array([9]))
    same(fast(A, np.array([2])), [6])


def test_calls_from_threads_do_not_meet():
    fast = tracer.compile(lambda x: np.cumsum(np.tanh(x)) * 2)
    wrong = []

    def work(k):
        x = np.full(200, float(k))
        for _ in range(100):
            if not np.array_equal(fast(x), np.cumsum(np.tanh(x)) * 2):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_a_compiled_function_that_calls_itself():
    @tracer.compile
    def total(x, n):
        return x if n == 0 else x + total(x, n - 1)

    same(total(A, 3), 4 * A)


def test_an_error_state_of_the_caller():
    fast = tracer.compile(lambda x: np.log(x))
    with np.errstate(all="ignore"):
        same(fast(-A), [np.nan] * 3)
    with pytest.warns(RuntimeWarning):
        fast(-A)


def test_switches_are_those_of_the_call():
    x = Variable(A.copy())
    fast = tracer.compile(lambda x: F.sum(x * x))
    with no_grad():
        fast(x)
    fast(x).backward()
    same(x.grad, 2 * A)

    dropped = tracer.compile(lambda x: x * 0.5 if Config.train else x)
    same(dropped(A), A / 2)
    with test_mode():
        same(dropped(A), A)
    same(dropped(A), A / 2)


def test_a_users_function_with_state():
    class Scale(Function):
        def __init__(self, k):
            self.k = k

        def forward(self, x):
            return x * self.k

        def backward(self, gy):
            return gy * self.k

    scale = Scale(2.0)
    fast = tracer.compile(lambda x: scale(x))
    same(fast(A), 2 * A)
    scale.k = 3.0
    same(fast(A), 3 * A)
    same(scale(A), 3 * A)
