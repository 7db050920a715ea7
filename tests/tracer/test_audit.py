"""`compile(audit=True)`: what a trace would bake in is named with its line, and the user's state is what it was."""
from __future__ import annotations

import datetime as dt
import os
import random
import time
from datetime import datetime
from time import perf_counter
from typing import Any

import numpy as np
import pytest

import tracer
from tracer import AuditError, Variable, optimizers
from tracer import functions as F

A = np.array([1.0, 2.0, 3.0])
RATE = np.array([0.5, 0.25, 0.125])
LIMIT = 0.3


class Counter:
    """A counter of the user's own: Python's `itertools.count` is refused before an audit could find it."""

    def __init__(self, first: int):
        self.at = [first - 1]

    def __next__(self) -> int:
        self.at.append(self.at[-1] + 1)
        return self.at[-1]


def found(fn: Any, *args: Any, **options: Any) -> AuditError:
    fast = tracer.compile(fn, audit=True, **options)
    with pytest.raises(AuditError) as caught:
        fast(*args)
    assert caught.value.findings and fast.explain().traces == 0
    return caught.value


def codes(error: AuditError) -> list[str]:
    return [f.line.code for f in error.findings]


# ---- nothing to find
def test_clean_functions_pass_and_give_what_they_give():
    W, seen = Variable(np.ones(3)), []

    def fn(x, k, how):
        seen.append(how)
        y = x * RATE * k if k > 2 else x - RATE
        if LIMIT > 0.2 and how == "up":
            y = np.where(RATE > 0, y, -y)
        return {"y": y * W.data, "how": how, "two": k * 2, "total": y.sum()}

    fast, plain = tracer.compile(fn, audit=True), tracer.compile(fn)
    for k in (1.0, 3.0):
        got, wanted = fast(A, k, "up"), plain(A, k, "up")
        assert np.array_equal(got["y"], wanted["y"]) and got["total"] == wanted["total"] and got["two"] == 2 * k
    assert np.array_equal(RATE, [0.5, 0.25, 0.125])


def test_training_steps_and_gradients_pass():
    W, b = Variable(np.ones((2, 1))), Variable(np.zeros(1))
    losses = []
    for audit in (False, True):
        W.data, b.data = np.ones((2, 1)), np.zeros(1)
        step = tracer.train_step(lambda x: F.sum(F.linear(x, W, b) ** 2), optimizers.SGD(lr=0.01), [W, b], audit=audit)
        losses.append([step(np.ones((3, 2))) for _ in range(3)])
    assert losses[0] == losses[1]
    fast = tracer.compile(tracer.value_and_grad(lambda x: np.sum(x * RATE)), audit=True, check=True)
    assert np.array_equal(fast(A)[1], RATE)


def test_what_is_remembered_between_calls_is_no_fault_where_the_result_is_the_same():
    memory: dict[str, float] = {}

    def fn(x):
        if "two" not in memory:
            memory["two"] = 2.0
        return x * 2.0

    assert np.array_equal(tracer.compile(fn, audit=True)(A), A * 2)


def test_a_guarded_value_is_no_fault():
    table = np.array([1.0, -1.0])
    fast = tracer.compile(lambda x: x * table.sum() if table[0] > 0 else x, audit=True)  # table itself does not enter the graph
    assert np.array_equal(fast(A), A * 0.0)
    table[0] = 3.0
    assert np.array_equal(fast(A), A * 2.0)


# ---- the clock
def scaled_by_time(x):
    y = x + 1
    y = y * time.time()
    return y


def test_the_clock_is_named():
    error = found(scaled_by_time, A)
    assert codes(error) == ["y = y * time.time()"] and error.line.code == "y = y * time.time()"
    assert error.mend.startswith("pass in what changes from call to call") and "stands where" in str(error)


@pytest.mark.parametrize(
    "clock",
    [
        lambda: int(time.time()) // 86_400, lambda: time.localtime().tm_year, lambda: datetime.now().year, lambda: dt.date.today().month,
        lambda: dt.datetime.now(dt.UTC).hour, lambda: int(perf_counter()) // 100, lambda: time.monotonic_ns() // 10**12,
    ],
)  # fmt: skip
def test_coarse_clocks_are_named(clock):
    def fn(x):
        return x * clock()

    before = time.time, datetime, dt.datetime, perf_counter
    error = found(fn, A)
    assert [f.kind for f in error.findings] == ["clock"] and codes(error) == ["return x * clock()"]
    assert "under another clock" in str(error) and "read the clock outside" in error.mend
    assert before == (time.time, datetime, dt.datetime, perf_counter) and abs(time.time() - datetime.now().timestamp()) < 60


def test_a_branch_on_the_clock_is_named():
    def fn(x):
        year = datetime.now().year
        if year % 2 == datetime(2026, 1, 1).year % 2:
            return x * 2
        return x * 3

    now = datetime.now()
    if (now.year % 2 == 0) != ((now + dt.timedelta(days=400)).year % 2 == 0):
        assert codes(found(fn, A))[0] == "if year % 2 == datetime(2026, 1, 1).year % 2:"


# ---- random numbers
def test_an_unseeded_generator_is_named():
    def fn(x):
        noise = np.full(3, random.Random().random())
        return x + noise

    error = found(fn, A)
    assert codes(error) == ["return x + noise"] and "an array float64[3] with other numbers" in str(error)


def test_a_draw_that_puts_the_state_back_is_named():
    rng = np.random.default_rng(3)

    def fn(x):
        state = rng.bit_generator.state
        k = rng.integers(1_000_000)
        rng.bit_generator.state = state
        return x * float(k)

    state = rng.bit_generator.state
    error = found(fn, A)
    assert [f.kind for f in error.findings] == ["random"] and "with another random state" in str(error) and "draw outside" in error.mend
    assert rng.bit_generator.state == state


def test_random_states_are_put_back():
    numpy_state, python_state = np.random.get_state(legacy=False), random.getstate()
    tracer.compile(lambda x: x * 2, audit=True)(A)
    found(scaled_by_time, A)
    after = np.random.get_state(legacy=False)
    assert random.getstate() == python_state and np.array_equal(after["state"]["key"], numpy_state["state"]["key"])
    assert after["state"]["pos"] == numpy_state["state"]["pos"]
    with pytest.raises(tracer.TraceError, match=r"drawn from np\.random"):
        tracer.compile(lambda x: x * np.random.normal(), audit=True)(A)


def test_bytes_of_the_system_are_named():
    def fn(x):
        return x * int.from_bytes(os.urandom(4), "big")

    assert codes(found(fn, A)) == ['return x * int.from_bytes(os.urandom(4), "big")']


# ---- arrays that the function closes over
def test_a_branch_on_an_array_that_entered_the_graph_is_named():
    def chosen(x, y, rate):
        if rate.sum() > 0.1:
            y = y + 1
        return y

    ways = [chosen]

    def fn(x):
        return ways[0](x, x * RATE, RATE)

    error = found(fn, A)
    assert codes(error) == ["if rate.sum() > 0.1:"] and error.findings[0].kind == "array"
    assert str(error).startswith("fn: when RATE holds other numbers, Python goes another way from here: later calls would not see that")
    assert "np.where" in error.mend and np.array_equal(RATE, [0.5, 0.25, 0.125])


def test_a_number_read_from_an_array_that_entered_the_graph_is_named():
    def fn(x):
        y, held = x @ RATE, RATE
        return y * float(held[0])

    error = found(fn, A)
    assert codes(error) == ["return y * float(held[0])"]
    assert "-1.5 stands where 0.5 stood" in str(error)


def test_a_loop_as_long_as_an_array_says_is_named():
    steps = np.array([2])

    def fn(x):
        held = steps
        for _ in range(int(held[0])):
            x = x * 2
        return x + held

    assert "for _ in range(int(held[0])):" in codes(found(fn, A)) and steps[0] == 2


def test_read_only_arrays_are_read_again_too():
    table = np.ones(3)
    table.flags.writeable = False

    def fn(x, held):
        if held[0] == 1:
            return x * held
        return x

    ways = [fn]
    assert codes(found(lambda x: ways[0](x, table), A))[0] == "if held[0] == 1:"
    assert not table.flags.writeable and table.sum() == 3


# ---- what changes from call to call
def test_a_counter_is_named():
    counter = Counter(1)

    def fn(x):
        k = next(counter)
        return x * k

    error = found(fn, A)
    assert codes(error) == ["return x * k"] and "traced again, 2 stands where 1 stood" in str(error)


def test_a_returned_plain_value_is_named():
    counter = Counter(1)

    def fn(x):
        label = f"call {next(counter)}"
        return x, label

    assert "'call 2' is returned where 'call 1' was" in str(found(fn, A))


def test_an_attribute_of_an_operation_is_named():
    counter = Counter(0)
    error = found(lambda x: x.sum(axis=next(counter)), np.ones((2, 3)))
    assert "sum has axis (1,), not (0,)" in str(error)


def test_a_run_that_raises_is_named():
    left = [1.0, 2.0]

    def fn(x):
        return x * left.pop()

    assert "return x * left.pop()" in codes(found(fn, A))
    only = [1.0]

    def once(x):
        k = only.pop()
        return x * k

    error = found(once, A)
    assert "traced again, it raises IndexError" in str(error) and error.line.code == "k = only.pop()"


def test_a_number_that_slips_past_is_named():
    def fn(x, n):
        return x * (2.0 if n.concrete > 3 else 1.0)  # what no user's code does: the value without the trace's knowledge

    assert [f.kind for f in found(fn, A, 3).findings] == ["number"]


# ---- the text
def test_every_line_is_listed():
    counter = Counter(1)

    def fn(x):
        x = x * next(counter)
        x = x + time.time()
        return x

    text = str(found(fn, A))
    assert text.startswith("fn: traced again, 2 stands where 1 stood: later calls would not see that; 1 more line below\n  test_audit.py:")
    assert "x = x * next(counter)\n  test_audit.py:" in text and "x = x + time.time()      traced again" in text
    assert text.splitlines()[-1].startswith("  mend: pass in what changes")


def test_the_functions_own_error_is_raised_as_it_is():
    with pytest.raises(ZeroDivisionError):
        tracer.compile(lambda x: x * (1 / 0), audit=True)(A)
    with pytest.raises(tracer.TraceError):
        tracer.compile(lambda x: x if x.sum() > 0 else -x, audit=True)(A)


def test_what_the_function_changes_is_changed_as_if_traced_once():
    class Thing:
        runs = 0

    thing, seen, count = Thing(), {"order": []}, 0

    def fn(x):
        nonlocal count
        global LIMIT
        count, LIMIT = count + 1, LIMIT + 1.0
        thing.runs += 1
        seen["order"].append(thing.runs)
        seen[f"run {count}"] = count
        return x * 2

    limit = LIMIT
    fast = tracer.compile(fn, audit=True)
    fast(A)
    fast(A + 1)
    assert (count, LIMIT, thing.runs, seen) == (1, limit + 1.0, 1, {"order": [1], "run 1": 1})
    fast(np.ones(4))
    assert (count, LIMIT, thing.runs) == (2, limit + 2.0, 2) and seen["order"] == [1, 2]


def test_each_kind_of_call_is_audited_once(capsys):
    def fn(x):
        print("traced")
        return x * 2

    fast = tracer.compile(fn, audit=True)
    fast(A)
    count = capsys.readouterr().out.count("traced")
    fast(A + 1)
    assert count > 1 and capsys.readouterr().out == ""
    fast(np.ones(4))
    assert capsys.readouterr().out.count("traced") == count
