"""What a trace holds: inputs and their names, captures, guards, pinned numbers, writes, the tree that comes back."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pytest

from ir.errors import TraceError
from tests.tracer.twins import agree, replay
from tracer import trees
from tracer.operands.stack import current
from tracer.tracing.context import Tracing, entered, resume
from tracer.tracing.outcome import Trace
from tracer.tracing.trace import run_trace, trace
from tracer.variable import Variable

SCALE = 2.0
TABLE = np.arange(3.0)
Pair = collections.namedtuple("Pair", "left right")


def holds(traced: Trace, *args: Any) -> bool:
    return all(g.check(trees.flatten((args, {}))[0]) for g in traced.guards)


def helper(x: Any) -> Any:
    return x * TABLE


# ---- in
def test_inputs_carry_the_names_of_parameters() -> None:
    def model(x: Any, params: Any, *rest: Any, scale: Any = 1.0) -> Any:
        return x * params["w"][0] * rest[0] * scale

    traced = run_trace(model, (np.ones(3), {"w": [np.ones(3)]}, 2.0), {"scale": 0.5})
    texts = [v.node.line.text for v in traced.graph.inputs if v.node.line]
    assert texts == ["x", "params['w'][0]", "rest[0]", "scale"]
    assert [leaf.kind for leaf in traced.leaves] == ["array", "array", "number", "number"]
    assert all(v.node.line is not None and v.node.line.function == "model" for v in traced.graph.inputs)


def test_other_leaves_are_passed_as_they_are() -> None:
    seen: list[Any] = []

    def fn(x: Any, *options: Any) -> Any:
        seen.extend(options)
        return x, options

    thing = object()
    traced = run_trace(fn, (np.ones(2), None, True, "name", thing, slice(1, 2)), {})
    assert seen == [None, True, "name", thing, slice(1, 2)]
    assert [out.kind for out in traced.outs] == ["array"] + ["static"] * 5
    assert len(traced.graph.inputs) == 1


def test_trees_come_back_as_they_were_built() -> None:
    def fn(p: Any) -> Any:
        return {"b": p["x"] * 2.0, "a": (p["x"], None, [p["y"].left + 1.0, "name", 3]), "c": Pair(p["y"].right, -p["x"])}

    agree(fn, {"x": np.arange(2.0), "y": Pair(np.ones(3), np.float64(2))})
    agree(lambda x: [], np.ones(2))
    agree(lambda x: (), np.ones(2))


def test_the_same_array_twice_is_two_inputs() -> None:
    x = np.ones(2)
    assert len(trace(lambda a, b: a + b, x, x).inputs) == 2


# ---- captures and guards
def test_captured_arrays_are_fetched_by_their_path() -> None:
    held = {"w": [np.ones(3)]}

    class Model:
        def __init__(self) -> None:
            self.b = np.full(3, 2.0)

        def __call__(self, x: Any) -> Any:
            return helper(x) * held["w"][0] + self.b

    model = Model()
    traced = run_trace(model, (np.ones(3),), {})
    assert sorted(c.name for c in traced.captured) == ["TABLE", "b", "held['w'][0]"]
    held["w"][0] = np.full(3, 5.0)
    model.b = np.zeros(3)
    assert replay(traced, [np.ones(3)]).tolist() == [0.0, 5.0, 10.0]
    assert holds(traced, np.ones(3))


def test_plain_values_within_reach_are_guards() -> None:
    rate, table = 0.5, [1, 2.5]
    traced = run_trace(lambda x, k=3: x * rate * table[1] * k * SCALE, (np.ones(2),), {})
    described = {g.description for g in traced.guards}
    assert {"table[0] is 1", "table[1] is 2.5", "table is [1, 2.5]"} <= described
    assert not any(name in text for name in ("SCALE", "default", "rate") for text in described)
    assert [c.name for c in traced.captured] == ["rate", "default k", "SCALE"]
    assert holds(traced)
    table[1] = 3.5
    assert not holds(traced)
    table[1], rate = 2.5, 0.25
    assert holds(traced)


def test_what_numpy_made_of_a_captured_array_is_compared() -> None:
    table = np.array([1.0, 2.0, 3.0])
    seen = run_trace(lambda x: x * table, (np.ones(3),), {})
    computed = run_trace(lambda x: x * table + table.sum(), (np.ones(3),), {})
    table[0] = 50.0
    assert holds(seen) and not holds(computed)


def test_what_the_function_changes_itself_is_no_guard() -> None:
    calls, n = [], [0]

    def fn(x: Any) -> Any:
        calls.append(1)
        n[0] += 1
        return x * 2

    traced = run_trace(fn, (np.ones(2),), {})
    fn(np.ones(2))
    assert holds(traced) and [name for name, _ in traced.impure] == ["calls", "n[0]"]


# ---- numbers
def test_numbers_are_inputs_until_python_needs_them() -> None:
    def step(w: Any, lr: Any, n: Any) -> Any:
        return w - lr * 2 / n, lr * n, n // 2

    traced = run_trace(step, (np.ones(2), 0.1, 3), {})
    assert holds(traced, np.ones(2), 0.7, 9)
    got = replay(traced, [np.ones(2), 0.7, 9])
    want = step(np.ones(2), 0.7, 9)
    assert got[0].tolist() == want[0].tolist() and got[1:] == want[1:] and type(got[2]) is int


@pytest.mark.parametrize(
    "use",
    [
        lambda x, n: x * 2 if n > 2 else x, lambda x, n: x[: int(n)], lambda x, n: x * len(range(int(n))), lambda x, n: x * float(f"{n}"),
        lambda x, n: x * {3.0: 1.0}.get(n, 2.0), lambda x, n: x * round(n),
    ],
)  # fmt: skip
def test_numbers_that_python_needed_are_pinned(use: Any) -> None:
    traced = run_trace(use, (np.arange(5.0), 3.0), {})
    assert holds(traced, np.arange(5.0), 3.0)
    assert not holds(traced, np.arange(5.0), 2.0)
    assert not holds(traced, np.arange(5.0), 3)
    assert any("n is 3.0" in g.description and "test_trace.py" in g.description for g in traced.guards)


def test_derived_numbers_pin_what_they_came_from() -> None:
    traced = run_trace(lambda x, a, b: x if a * 2 > 1 else x * b, (np.ones(2), 3.0, 4.0), {})
    assert holds(traced, np.ones(2), 3.0, 7.0)
    assert not holds(traced, np.ones(2), 3.5, 4.0)


def test_pythons_arithmetic_stays_pythons() -> None:
    with pytest.raises(ZeroDivisionError):
        trace(lambda x, n: x * (1 / n), np.ones(2), 0)
    agree(lambda x, n: (x, n**3 % 7, -n // 2, n << 70 >> 69, divmod(n, 4), abs(-n), True + n, n / 2), np.ones(2), 11)


# ---- writes
def test_written_arguments_are_extra_outputs() -> None:
    def fn(x: Any, y: Any) -> Any:
        x[0] = 5.0
        y.T[...] = x.sum()
        return x[1]

    traced = agree(fn, np.arange(3.0), np.ones((2, 2)))
    assert traced.writes == {0: 1, 1: 2}
    assert any("shares memory" in g.description for g in traced.guards)
    assert agree(lambda x: x * 2, np.ones(2)).writes == {}


def test_overlap_is_a_guard_where_something_is_written() -> None:
    def fn(x: Any, y: Any) -> None:
        x += y

    base = np.arange(6.0)
    traced = run_trace(fn, (base[:3], base[3:]), {})
    assert holds(traced, base[:3].copy(), base[3:])
    assert not holds(traced, base[:3], base[1:4])


# ---- Variables
def test_variables_from_outside_are_states_met_once() -> None:
    W, b = Variable(np.ones((3, 2))), Variable(np.zeros(2))
    with entered(Tracing(lambda: (W, b))) as tracing:
        first, second = W.data, W.data
        assert first is second and tracing.outside.variables() == [W]
        (W + 1).data.value.graph.outputs.append((W * 2 + b).data.value)
    kinds = [v.node.attrs["kind"] for v in tracing.graph.inputs]
    assert kinds == ["state", "state"]
    assert [c.name for c in tracing.outside.captured] == ["W", "b"]
    assert type(W.data) is np.ndarray


def test_a_variable_written_in_a_trace_is_updated() -> None:
    W = Variable(np.ones(2))

    def step(x: Any) -> Any:
        W.data -= 0.5 * x
        return W * 1

    traced = run_trace(step, (np.ones(2),), {})
    assert len(traced.graph.updates) == 1 and traced.writes == {}
    assert [out.kind for out in traced.outs] == ["variable"]
    assert W.data.tolist() == [1.0, 1.0]


def test_a_gradient_that_only_a_variable_from_outside_would_get_is_refused() -> None:
    W = Variable(np.ones(2), name="W")

    def step(x: Any) -> Any:
        loss = (W * x).sum()
        loss.backward()
        return loss

    with pytest.raises(TraceError, match="gradient on the Variable W") as caught:
        trace(step, np.ones(2))
    assert caught.value.line is not None and caught.value.line.number == step.__code__.co_firstlineno + 1
    assert W.grad is None

    def returned(x: Any) -> Any:
        (W * x).sum().backward()
        return W.grad.data

    assert [str(v.spec) for v in trace(returned, np.ones(2)).outputs] == ["f64[2]"]


def test_variables_as_arguments() -> None:
    traced = run_trace(lambda v: v * 2, (Variable(np.ones(3)),), {})
    assert [leaf.kind for leaf in traced.leaves] == ["variable"] and traced.outs[0].kind == "variable"


# ---- traces inside traces
def test_an_inner_trace_captures_what_belongs_to_the_outer_one() -> None:
    seen: list[Trace] = []

    def outer(x: Any) -> Any:
        y = x * 2
        seen.append(run_trace(lambda z: z + y[1:], (np.ones(2),), {}))
        return y

    trace(outer, np.ones(3))
    inner = seen[0]
    assert [c.kind for c in inner.captured] == ["traced"]
    assert all(v.node.graph is inner.graph for v in inner.graph.outputs)
    assert [str(v.spec) for v in inner.graph.inputs] == ["f64[2]", "f64[3]"]


def test_resume_records_onto_a_graph() -> None:
    graph = trace(lambda x: x * 2, np.ones(3))
    with resume(graph) as tracing:
        y = np.sum(tracing.wrap(graph.outputs[0]) + 1)
        graph.outputs.append(y.value)
    assert current() is None
    graph.verify()
    with pytest.raises(TraceError):
        y + 1


# ---- size
def test_long_chains_do_not_recurse() -> None:
    """Twice the rounds are twice the nodes, and no limit of Python's is met."""

    def chain(x: Any, rounds: int) -> Any:
        for k in range(rounds):
            x = x * 0.999 + 0.001 * (k % 2)
            x[0] = 1.0
        return x

    sizes = [len(trace(lambda x, n=n: chain(x, n), np.ones(4))) for n in (1, 1000, 2000)]
    assert sizes[2] - sizes[1] == (sizes[1] - sizes[0]) // 999 * 1000
