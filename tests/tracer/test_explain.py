"""`explain()`: what was traced, why, what the passes did, what a trace rests on and what it left out; the text is the same in each run."""
from __future__ import annotations

import gc
import subprocess
import sys
import warnings
import weakref

import numpy as np
import pytest

import tracer
from tracer import Parameter, Variable, optimizers
from tracer import functions as F

A = np.array([1.0, 2.0, 3.0])
GLOBAL_COUNT = 0


def lines(fast, *starts: str) -> list[str]:
    """The lines of the explanation that begin so."""
    return [line.strip() for line in str(fast.explain()).splitlines() if line.strip().startswith(starts)]


# ---- counts
def test_before_the_first_call():
    explained = tracer.compile(lambda x: x).explain()
    assert (explained.traces, explained.calls, explained.guards, explained.why) == (0, 0, [], [])
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


# ---- why
def test_reasons_in_order():
    def scaled(x, how, n=1):
        return x * n if how == "up" and n < 3 else x

    fast = tracer.compile(scaled)
    fast(A, "up")
    fast(np.ones(4), "up")
    fast(np.ones(4, np.float32), "down")
    fast(np.ones(4, np.float32), "up", 2)
    fast(np.ones(4, np.float32), "up", 5)
    fast(np.ones((2, 3)).T, "up", 5.0)
    reasons = fast.explain().why
    assert reasons[:3] == ["the first call", "argument x: f64[3] -> f64[4]", "argument x: f64[4] -> f32[4], argument how: 'up' -> 'down'"]
    assert reasons[3] == "the tree of the arguments: ((*, *), {}) -> ((*, *, *), {})"
    assert reasons[4].startswith("argument n: 2 -> 5 (test_explain.py:")
    assert reasons[5] == "argument x: f32[4] -> f64[3,2] in Fortran order, argument n: a Python int -> a Python float"
    assert lines(fast, "trace ") == [f"trace {k}: {why}" for k, why in enumerate(reasons, 1)]


def test_switches_are_named():
    fast = tracer.compile(lambda x: x * 2)
    fast(A)
    with tracer.test_mode():
        fast(A)
    with tracer.no_grad():
        fast(A)
    assert fast.explain().why[1:] == ["Config.train: True -> False", "Config.enable_backprop: True -> False, Config.train: False -> True"]


def test_what_the_function_closes_over_is_named():
    class Model:
        def __init__(self):
            self.depth, self.table = 1, np.ones(3)

    model, how, read, W = Model(), "up", np.arange(3.0), Variable(np.ones(3))

    def fn(x):
        for _ in range(model.depth):
            x = x * model.table * W.data
        return x + read.sum() if how == "up" else x

    fast = tracer.compile(fn)
    fast(A)
    model.depth = 2
    fast(A)
    read[0] = 9.0
    fast(A)
    how = "down"
    fast(A)
    W.data = np.ones((1, 3))
    fast(A)
    reasons = fast.explain().why[1:]
    assert reasons[0].startswith("captured model.depth: 1 -> 2")
    assert reasons[1:] == [
        "captured read: f64[3] with other numbers", "captured how: 'up' -> 'down'", "captured W: a Variable f64[3] -> a Variable f64[1,3]",
    ]  # fmt: skip


def test_another_function_under_the_same_name():
    def helper(x):
        return x * 2

    def fn(x):
        return helper(x)

    fast = tracer.compile(fn)
    fast(A)
    first = helper

    def helper(x):
        return x * 3

    assert fast(A).tolist() == (A * 3).tolist() and first is not helper
    assert "captured helper: <function " in fast.explain().why[1] and "0x" not in str(fast.explain())


# ---- what a trace rests on
def test_guards_inputs_and_captured_things():
    table, rate, how, W = np.ones(3), 0.5, "up", Variable(np.ones(3))

    def fn(x, k):
        return x * table * W * rate + (1 if k > 2 and how == "up" else 0)

    fast = tracer.compile(fn)
    fast(A, 3)
    assert lines(fast, "argument") == ["argument x: f64[3]", "argument k: int"]
    assert lines(fast, "captured") == ["captured table: array f64[3]", "captured W: variable f64[3]", "captured rate: number float"]
    guards = fast.explain().guards
    assert guards[0].startswith("k is 3 (test_explain.py:") and "how is 'up'" in guards
    assert all(f"guard {g}" in lines(fast, "guard") for g in guards)


def test_what_was_baked_in_with_its_line_and_bytes():
    table = np.ones(3)
    fast = tracer.compile(lambda x: x + table.cumsum() + np.float32(2) * table.sum())
    fast(A)
    texts = lines(fast, "baked in")
    assert [t.partition(": test_explain.py:")[0] for t in texts] == ["baked in f64[3], 24 bytes", "baked in f64[], 8 bytes"]
    assert all("table.cumsum()" in t for t in texts)
    plain = tracer.compile(lambda x: x * 2.0 + table)
    plain(A)
    assert not lines(plain, "baked in")


def test_side_effects_are_named_with_their_lines():
    calls, counter, settings = [], [0], {"seen": 0}

    class Model:
        def __init__(self):
            self.count = 0

        def scale(self, x):
            self.count += 1
            return x * 2

    model = Model()

    def fn(x):
        calls.append("traced")
        y = x + 1
        counter[0] += 1
        settings["seen"] = 7
        return model.scale(y)

    fast = tracer.compile(fn)
    fast(A)
    assert counter == [1] and len(calls) == 1 and model.count == 1 and fast.explain().traces == 1
    for _ in range(3):
        fast(A)
    assert counter == [2] and fast.explain().traces == 2  # the second call finds what the first one set, and is no other afterwards
    assert fast.explain().why[1] == "the call before set up settings['seen']"
    texts = {t.partition(" at test_explain.py:")[0]: t.partition("   ")[2] for t in lines(fast, "only while tracing")}
    assert texts == {
        "only while tracing: calls is changed": 'calls.append("traced")',
        "only while tracing: counter[0] is changed": "counter[0] += 1",
        "only while tracing: settings['seen'] is changed": 'settings["seen"] = 7',
        "only while tracing: model.count is changed": "self.count += 1",
    }


def test_a_global_counter_is_a_side_effect():
    def fn(x):
        global GLOBAL_COUNT
        GLOBAL_COUNT += 1
        return x * 2

    fast = tracer.compile(fn)
    fast(A)
    fast(A)
    assert GLOBAL_COUNT == 1 and fast.explain().traces == 1
    assert lines(fast, "only while tracing")[0].endswith("GLOBAL_COUNT += 1")


def test_what_is_trained_is_said():
    W, b = Variable(np.ones((2, 1))), Variable(np.zeros(1))
    step = tracer.train_step(lambda x: F.sum(F.linear(x, W, b) ** 2), optimizers.SGD(lr=0.1, momentum=0.9), [W])
    step(np.ones((3, 2)))
    assert lines(step, "captured W") [:1] == ["captured W: variable f64[2,1], updated by each call"]
    assert lines(step, "captured b") == ["captured b: variable f64[1]"]
    assert any("updated by each call" in t for t in lines(step, "captured W_"))
    P = Parameter(np.ones((2, 1)))
    found = tracer.train_step(lambda x: F.sum(F.linear(x, P, b) ** 2), optimizers.SGD(lr=0.1))
    found(np.ones((3, 2)))
    assert "trains P: the Parameters that the loss uses" in str(found.explain())


# ---- what the passes did
def test_passes_and_the_plan():
    fast = tracer.compile(lambda x, W, b: np.tanh(x @ W + b))
    args = np.ones((2, 3)), np.ones((3, 4)), np.ones(4)
    fast(*args)
    plan = fast.plan(*args)
    assert lines(fast, "pass", "nothing", "3 operations", "peak_bytes") == [
        "pass simplify: 1 rewrite", "pass fuse_linear: 1 rewrite",
        "nothing to do for inline_custom, dead, common, fold, associate, join_products, scale, shrink", "3 operations traced, 2 left",
        f"peak_bytes {plan.peak_bytes}, {len(plan.steps)} steps",
    ]  # fmt: skip
    record = fast.explain().records[0]
    assert record.seconds > 0 and {p.name: p.rewrites for p in record.passes}["fuse_linear"] in (0, 1)


# ---- the text
PROGRAM = """
import numpy as np, tracer
table, seen, rate = np.ones(3), [], 0.5
class Settings: pass
settings = Settings()
settings.deep, settings.helper = True, lambda x: x + 1
def fn(x, k):
    seen.append(k > 2)
    y = settings.helper(x) if settings.deep else x
    return y * table.sum() * rate + (1 if k > 2 else 0)
fast = tracer.compile(fn)
fast(np.ones(3), 3); fast(np.ones(3), 3); fast(np.ones(4), 3); fast(np.ones(4), 1)
print(fast.explain())
"""
GOLDEN = """fn: 3 traces in 4 calls
trace 1: the first call
  argument x: f64[3]
  argument k: int
  captured rate: number float
  baked in f64[], 8 bytes: <string>:10 in fn
  guard k is 3 (<string>:8 in fn: a comparison)
  guard settings is <__main__.Settings>
"""


def test_the_text_is_the_same_in_each_run():
    texts = []
    for seed in ("0", "1"):
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM], env={"PYTHONPATH": ".", "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        texts.append(run.stdout)
    assert texts[0] == texts[1] and "0x" not in texts[0]
    text = texts[0].splitlines()
    assert text[:6] == GOLDEN.splitlines()[:6]
    assert "trace 2: argument x: f64[3] -> f64[4]" in text and "trace 3: argument k: 3 -> 1 (<string>:8 in fn: a comparison)" in text
    assert "  only while tracing: seen is changed at <string>:8 in fn" in text
    after = text[text.index("trace 2: argument x: f64[3] -> f64[4]") :]
    assert after[1] == "  argument x: f64[4]"
    assert any(t.startswith("  as in trace 1: arguments (1 of 2), captured, baked in") for t in after)


# ---- traced at each call
def test_a_function_traced_at_each_call_is_warned_about_once():
    fast = tracer.compile(lambda x: x + 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n in range(1, 40):
            fast(np.ones(n))
    assert len(caught) == 1
    assert "was traced again at each of its 16 calls; the last time for argument x: f64[15] -> f64[16]. Keep" in str(caught[0].message)
    assert caught[0].filename == __file__


class Optimizer:
    def __init__(self):
        self.lr, self.held, self.table = 0.0, {"scale": 0.0}, np.zeros(2)

    def by_attribute(self, g):
        return self.lr * g

    def by_item(self, g):
        return g * self.held["scale"]

    def by_array(self, g):
        return g * float(self.table.sum())


@pytest.mark.parametrize("how, name, use", [
    ("by_attribute", "self.lr", "return self.lr * g"), ("by_item", "self.held['scale']", 'return g * self.held["scale"]'),
    ("by_array", "self.table", "return g * float(self.table.sum())"), ("argument", "n", None),
])  # fmt: skip
def test_a_number_that_changes_and_is_no_input_is_warned_about_once(how, name, use):
    optimizer, g = Optimizer(), np.ones(2)
    fast = tracer.compile(lambda g, n: g * len(range(n))) if how == "argument" else tracer.compile(getattr(optimizer, how))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for k in range(20):
            if how == "by_attribute":
                optimizer.lr = k
            elif how == "by_item":
                optimizer.held["scale"] = k
            else:
                optimizer.table[0] = k
            for _ in range(3):  # not at each call
                assert (fast(g, k) if how == "argument" else fast(g)).tolist() == [k, k]
    assert len(caught) == 1 and caught[0].filename == __file__
    text = str(caught[0].message)
    assert f"has been traced 8 times for other values of {name}" in text
    if use is not None:
        assert f"test_explain.py:{_number_of(use)} in {how} uses:   {use} " in text and "Pass it as an argument" in text
    else:
        assert "np.where" in text and "test_explain.py" in text


def _number_of(code):
    with open(__file__) as file:
        return next(number for number, line in enumerate(file, 1) if line.strip() == code)


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
    assert explained.traces == 129 and "trace 30: " in str(explained) and "trace 29: " not in str(explained)


def test_an_explanation_holds_no_arrays():
    table = np.ones(3)
    fast = tracer.compile(lambda x, table: x * table)
    x = A.copy()
    fast(x, table)
    explained, gone = fast.explain(), weakref.ref(x)
    del x
    gc.collect()
    assert gone() is None and explained.traces == 1
