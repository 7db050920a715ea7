"""`explain()`: what was traced, when and why, what the passes did, and what a trace rests on."""
from __future__ import annotations

import gc
import re
import warnings
import weakref

import numpy as np
import pytest

import tracer
from tracer import Variable, optimizers
from tracer import functions as F

A = np.array([1.0, 2.0, 3.0])


def test_before_the_first_call():
    fast = tracer.compile(lambda x: x)
    explained = fast.explain()
    assert (explained.traces, explained.calls, explained.guards) == (0, 0, [])
    assert str(explained) == "<lambda>: 0 traces in 0 calls"


def test_counts():
    fast = tracer.compile(lambda x: x + 1)
    fast(A)
    fast(A)
    fast.graph(A)
    fast(np.ones(4))
    explained = fast.explain()
    assert (explained.traces, explained.calls) == (2, 3)
    assert str(explained).startswith("<lambda>: 2 traces in 3 calls")
    fast(np.ones(5))
    assert (explained.traces, explained.calls) == (2, 3)  # as it was


def test_one_of_each_is_singular():
    fast = tracer.compile(lambda x: x + 1)
    fast(A)
    assert str(fast.explain()).startswith("<lambda>: 1 trace in 1 call\n")


def test_reasons_in_order():
    def scaled(x, how, n=1):
        return x * n if how == "up" and n < 3 else x

    fast = tracer.compile(scaled)
    fast(A, "up")
    fast(np.ones(4), "up")
    fast(np.ones(4), "down")
    fast(np.ones(4), "up", 2)
    fast(np.ones(4), "up", 5)
    reasons = [line.partition(" ms: ")[2] for line in str(fast.explain()).splitlines() if re.match(r"trace \d+ at \d\d:\d\d:\d\d, ", line)]
    assert reasons[0] == "it is the first call"
    assert reasons[1] == "argument x is float64[4], it was float64[3]"
    assert reasons[2] == "argument how is 'down', it was 'up'"
    assert reasons[3].startswith("the tree of the arguments is")
    assert reasons[4].startswith("no longer holds: n is 2 (test_explain.py:") and len(reasons) == 5


def test_what_a_trace_rests_on():
    table, rate, W = np.ones(3), 0.5, Variable(np.ones(3))

    def fn(x, k):
        return x * table * W * rate + (1 if k > 2 else 0)

    fast = tracer.compile(fn)
    fast(A, 3)
    text = str(fast.explain())
    assert "argument x: f64[3]" in text and "argument k: int" in text
    assert "captured table: array f64[3]" in text and "captured W: variable f64[3]" in text
    assert "holds while k is 3 (test_explain.py:" in text and "captured rate: number float" in text
    assert [g for g in fast.explain().guards if g.startswith("k is 3")]


def test_passes_and_the_plan():
    fast = tracer.compile(lambda x, W, b: np.tanh(x @ W + b))
    fast(np.ones((2, 3)), np.ones((3, 4)), np.ones(4))
    text = str(fast.explain())
    assert re.search(r"pass fuse_linear: 1 rewrite, [\d.]+ ms", text)
    plan = fast.plan(np.ones((2, 3)), np.ones((3, 4)), np.ones(4))
    assert f"peak_bytes {plan.peak_bytes}, {len(plan.steps)} steps" in text


def test_what_tracing_changed_outside():
    calls, counter = [], [0]

    def fn(x):
        calls.append(1)
        counter[0] += 1
        return x * 2

    fast = tracer.compile(fn)
    for _ in range(3):
        fast(A)
    assert counter == [1] and len(calls) == 1 and fast.explain().traces == 1
    assert "counter[0]" in str(fast.explain()) and "only when tracing" in str(fast.explain())


def test_what_was_baked_in_with_its_line_and_bytes():
    table = np.ones(3)
    fast = tracer.compile(lambda x: x + table.cumsum() + np.float32(2) * table.sum())
    fast(A)
    text = str(fast.explain())
    assert "baked in f64[3], 24 bytes: test_explain.py:" in text and "baked in f64[], 8 bytes" in text
    plain = tracer.compile(lambda x: x * 2.0 + table)
    plain(A)
    assert "baked in" not in str(plain.explain())


def test_found_parameters_are_named():
    W, b = Variable(np.ones((2, 1))), Variable(np.zeros(1))
    step = tracer.train_step(lambda x: F.sum(F.linear(x, W, b) ** 2), optimizers.SGD(lr=0.1))
    step(np.ones((3, 2)))
    assert "W" in str(step.explain()) and "captured b: variable f64[1]" in str(step.explain())


def test_a_function_traced_at_each_call_is_warned_about_once():
    fast = tracer.compile(lambda x: x + 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n in range(1, 40):
            fast(np.ones(n))
    assert len(caught) == 1
    because = r"traced again at each of its \d+ calls; the last time because argument x is float64\[16\], it was float64\[15\]"
    assert re.search(because, str(caught[0].message))
    assert caught[0].filename == __file__


def test_many_calls_of_few_traces_are_not_warned_about():
    fast = tracer.compile(lambda x: x + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(10):
            for n in range(1, 20):
                fast(np.ones(n % 9 + 1))


def test_long_histories_are_cut():
    fast = tracer.compile(lambda x: x + 1)
    with pytest.warns(UserWarning):
        for n in range(1, 130):
            fast.graph(tracer.Spec((n,), np.float64))
    explained = fast.explain()
    assert explained.traces == 129 and "trace 30 at" in str(explained) and "trace 29 at" not in str(explained)


def test_an_explanation_holds_no_arrays():
    table = np.ones(3)
    fast = tracer.compile(lambda x, table: x * table)
    x = A.copy()
    fast(x, table)
    explained, gone = fast.explain(), weakref.ref(x)
    del x
    gc.collect()
    assert gone() is None and explained.traces == 1
