"""Ints, floats and complex numbers that a function has from its cells, globals and defaults are inputs: a new value never traces again."""
from __future__ import annotations

import functools
import itertools
import sys
import threading

import numpy as np
import pytest

import tracer
from ir.evaluate import evaluate
from tests.tracer.test_compile import A, traces, why
from tracer import Parameter, Variable, optimizers
from tracer import functions as F

RATE, COUNT = 0.5, 2


def same(got, due):
    np.testing.assert_array_equal(got.data if isinstance(got, Variable) else got, due)


# ---- where they come from
def test_from_a_cell():
    rate, shift = 0.5, 1
    fast = tracer.compile(lambda x: x * (rate * 2) + shift)
    for rate in (0.5, 0.25, float("nan"), -0.0, np.inf):
        for shift in (1, -3):
            same(fast(A), A * (rate * 2) + shift)
    assert traces(fast) == 1 and "captured rate: number float" in str(fast.explain())


def test_from_a_global_and_a_global_helper():
    global RATE
    fast = tracer.compile(lambda x: helper(x) + RATE)
    for RATE in (0.5, 0.25, 3.0):
        same(fast(A), A * RATE + RATE)
    assert traces(fast) == 1


def helper(x):
    return x * RATE


def test_from_defaults_and_partials():
    def fn(x, k=2.0, *, j=3):
        return x * k + j

    fast = tracer.compile(fn)
    same(fast(A), A * 2 + 3)
    fn.__defaults__ = (5.0,)
    fn.__kwdefaults__["j"] = 7
    same(fast(A), A * 5 + 7)
    same(fast(A, 1.0, j=0), A)
    assert traces(fast) == 2  # the last with other arguments

    part = functools.partial(fn, k=2.0)
    fast = tracer.compile(part)
    for k in (2.0, 3.0):
        part.keywords["k"] = k
        same(fast(A), A * k + 7)
    assert traces(fast) == 1


def test_through_helpers_recursion_nested_functions_and_generators():
    rate = 0.5

    def scaled(x):
        return x * rate

    def power(x, n):
        return x if n == 0 else rate * power(x, n - 1)

    def parts(x):
        def inner(y):
            return y + rate

        yield scaled(x)
        yield power(x, 2)
        yield from [inner(part) for part in (x, 2 * x)]

    fast = tracer.compile(lambda x: sum(parts(x)))
    for r in (0.5, 2.0, 3.0):
        rate = r
        same(fast(A), sum(parts(A)))
    assert traces(fast) == 1


def test_of_methods_decorated_and_compiled_functions():
    rate = 2.0

    def doubled(fn):
        @functools.wraps(fn)
        def wrapper(*args):
            return fn(*args) * rate

        return wrapper

    class Model:
        @tracer.compile
        def predict(self, x):
            return x * rate

    inner = tracer.compile(lambda x: x + rate)
    fast = tracer.compile(doubled(lambda x: inner(x) * rate))
    model = Model()
    for rate in (2.0, 3.0):
        same(fast(A), (A + rate) * rate * rate)
        same(model.predict(A), A * rate)
    assert traces(fast) == 1 and traces(model.predict) == 1


def test_of_gradients_and_train_steps():
    decay = 2.0

    def loss(x):
        return np.sum(x**2) * decay

    g = tracer.grad(loss)
    both = tracer.compile(lambda x: g(x) * decay)
    W = Parameter(np.ones(3))
    step = tracer.train_step(lambda x: F.sum((x * W) ** 2) + decay * F.sum(W * W), optimizers.SGD(lr=0.0))
    tree = tracer.train_step(lambda p, x: np.sum((x * p) ** 2) + decay, optimizers.SGD(lr=0.0), np.ones(3))
    for decay in (2.0, 3.0, 0.5):
        same(g(A), 2 * A * decay)
        same(both(A), 2 * A * decay**2)
        same(step(A), 14 + decay * 3)
        same(step.run(A, steps=2), [14 + decay * 3] * 2)
        same(tree(A), 14 + decay)
    assert traces(both) == traces(step) == traces(tree) == 1


def test_beside_variables():
    W, rate = Variable(np.ones(3)), 2.0
    fast = tracer.compile(lambda x: F.sum(x * W * rate))
    for rate in (2.0, 3.0):
        W.cleargrad()
        y = fast(A)
        y.backward()
        same(y, 6 * rate)
        same(W.grad, A * rate)
    assert traces(fast) == 1


# ---- writes, identity, and what stays as it is
def test_the_function_and_its_cells_are_left_alone():
    rate = 0.5
    seen = []

    def fn(x):
        seen.append(fn)
        return x * rate

    fast = tracer.compile(fn)
    same(fast(A), A * 0.5)
    assert seen == [fn] and {type(cell.cell_contents).__name__ for cell in fn.__closure__} == {"function", "float", "list"}
    same(fn(A), A * 0.5)


def test_functions_as_keys_and_values_keep_their_identity():
    rate = 2.0

    def one(x):
        return x * rate

    def two(x):
        return x + rate

    table = {one: "scale", two: "shift"}
    fast = tracer.compile(lambda x: one(x) if table[one] == "scale" else two(x))
    for rate in (2.0, 3.0):
        same(fast(A), A * rate)
    table[one] = "shift"
    same(fast(A), A + rate)


def test_numbers_that_the_function_writes():
    total, rate = 0, 1.0

    def fn(x):
        nonlocal total
        total += 1
        return x * rate

    fast = tracer.compile(fn)
    same(fast(A), A)
    assert total == 1
    for rate in (2.0, 3.0):
        same(fast(A), A * rate)  # the count happens only when tracing
    assert "only while tracing: total is changed" in str(fast.explain())


def test_numbers_that_a_helper_writes():
    global COUNT
    n = 0

    def bump():
        global COUNT
        nonlocal n
        n, COUNT = n + 1, COUNT + 1

    def fn(x):
        y = x * COUNT
        bump()
        return y + x * n + COUNT

    COUNT = 2
    graph = tracer.trace(fn, A)  # `compile` would refuse it
    same(evaluate(graph, [A, 2])[0][0], A * 2 + A + 3)
    assert (n, COUNT) == (1, 3)
    COUNT = 2


def test_a_number_deleted_gives_pythons_own_error():
    global RATE
    RATE = 0.5
    fast = tracer.compile(lambda x: x * RATE)
    same(fast(A), A * 0.5)
    del RATE
    try:
        with pytest.raises(NameError):
            fast(A)
    finally:
        RATE = 0.5
    same(fast(A), A * 0.5)
    assert traces(fast) == 1


def test_a_number_that_python_asked_for_stays_that_number_after_the_trace():
    n = 3

    @functools.lru_cache
    def table(m):
        return np.arange(m) * 1.0

    fast = tracer.compile(lambda x: x + table(n)[:3])
    for size in (3, 4, 3):
        n = size
        same(fast(A), A + [0, 1, 2])
    same(table(3), [0, 1, 2])
    same(table(4), [0, 1, 2, 3])


def test_a_number_kept_beyond_the_trace_is_refused():
    rate, kept = 2.0, []
    fast = tracer.compile(lambda x: kept.append(rate) or x * rate)
    same(fast(A), A * 2)
    with pytest.raises(tracer.TraceError, match="after its trace has ended"):
        kept[0] + 1


def test_a_closure_kept_beyond_the_trace_reads_globals_as_they_are():
    global RATE
    kept = []
    fast = tracer.compile(lambda x: kept.append(lambda: RATE) or x * RATE)
    same(fast(A), A * 0.5)
    RATE = 0.75
    assert kept[0]() == 0.75
    RATE = 0.5


def test_numbers_in_containers_and_attributes_are_guards():
    class Config:
        rate = 0.5

    config, held = Config(), {"shift": 1, "more": [2.0]}
    fast = tracer.compile(lambda x: x * config.rate + held["shift"] + held["more"][0])
    same(fast(A), A * 0.5 + 3)
    config.rate = 2.0
    same(fast(A), A * 2 + 3)
    assert "config" in why(fast)
    held["shift"] = 5
    same(fast(A), A * 2 + 7)
    held["more"][0] = 3.0
    same(fast(A), A * 2 + 8)
    assert traces(fast) == 4


def test_another_thread_changes_them():
    rate, count, going = 0.0, 1, True

    def change():
        nonlocal rate, count
        k = 0
        while going:
            k += 1
            rate, count = float(k % 7), 1 + k % 3

    def fn(x):
        return sum([x * rate for _ in range(count)])

    thread, before = threading.Thread(target=change), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread.start()
    try:
        for _ in range(5):
            fast = tracer.compile(fn)
            for _ in range(20):
                got = fast(A)
                assert got[1] == 2 * got[0] and got[0] in {r * c for r in range(7) for c in (1, 2, 3)}
    finally:
        going = False
        thread.join()
        sys.setswitchinterval(before)
    for now in itertools.product((2.0, 5.0), (1, 2, 3)):  # nothing that was seen in between has stayed
        rate, count = now
        np.testing.assert_array_equal(fast(A), fn(A))


def test_no_input_and_no_guard_for_a_number_never_read():
    rate, debug = 0.5, 3

    def fn(x):
        return x * rate if x.ndim == 1 else x * debug

    fast = tracer.compile(fn)
    same(fast(A), A * 0.5)
    debug = 4
    same(fast(A), A * 0.5)
    assert traces(fast) == 1 and fast.explain().guards == [f"fn.__code__ is the code of line {fn.__code__.co_firstlineno}"]
