"""The end of a plan: states written in place, what follows them, what comes along; drawn updates judged by replay."""
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ir.graph import Graph, Value
from ir.ops import TABLE
from ir.ops import elementwise as e
from ir.ops.opaque import opaque
from ir.plan import Call, Copy, Plan
from ir.planning import loop, plan
from ir.spec import Spec
from tests.ir.plan_checker import check
from tests.ir.plan_toys import TOY

SHAPE = (3, 3)
WHOLE = ((0, 3, 1), (0, 3, 1))


@st.composite
def updates(draw: st.DrawFn) -> Graph:
    """A few states, each updated by something made of old and new values of all, of views, of slices written, and of what may not end."""
    graph = Graph()
    states = [graph.input(Spec(SHAPE), "state") for _ in range(draw(st.integers(1, 4)))]
    values: list[Value] = [*states, graph.input(Spec(SHAPE))]
    recent = st.integers(0, 4).map(lambda k: values[max(len(values) - 1 - k, 0)])
    for _ in range(draw(st.integers(1, 14))):
        kind = draw(st.sampled_from(["binary", "binary", "binary", "unary", "number", "view", "write", "part", "opaque"]))
        one, other = draw(st.one_of(recent, st.sampled_from(values))), draw(st.sampled_from(values))
        if kind == "binary":
            values.append(draw(st.sampled_from([e.add, e.multiply, e.subtract]))(one, other))
        elif kind == "unary":
            values.append(e.sqrt(one))
        elif kind == "number":
            values.append(e.multiply(one, 0.5))
        elif kind == "view":
            values.append(TABLE["transpose"](one, axes=(1, 0)))
        elif kind == "write":
            values.append(TABLE["set_slice"](one, other, index=WHOLE))
        elif kind == "part":
            row = TABLE["slice"](other, index=((0, 1, 1), (0, 3, 1)))
            values.append(TABLE[draw(st.sampled_from(["set_slice", "add_slice"]))](one, row, index=((1, 2, 1), (0, 3, 1))))
        else:
            values.append(opaque(one, specs=(Spec(SHAPE),)))
    graph.updates = [(state, draw(st.one_of(recent, st.sampled_from(values)))) for state in states]
    graph.outputs = draw(st.lists(st.sampled_from(values), max_size=2))
    needed = {v.node for v in graph.inputs}
    queue = [v.node for v in graph.results()]
    while queue:
        node = queue.pop()
        if node not in needed:
            needed.add(node)
            queue += [v.node for v in node.operands]
    graph.remove([node for node in graph.nx if node not in needed])
    return graph


@settings(max_examples=150)
@given(updates())
def test_drawn_updates_hold(graph):
    check(plan(graph, TOY))
    check(loop(plan(graph, TOY), 2))


# ---- one by one
def inputs(states: int, others: int = 0, shape: tuple[int, ...] = (100,)) -> tuple[Graph, list[Value]]:
    graph = Graph()
    return graph, [graph.input(Spec(shape), "state") for _ in range(states)] + [graph.input(Spec(shape)) for _ in range(others)]


def names(made: Plan) -> list[str]:
    check(made)
    return [step.node.op.name if isinstance(step, Call) else "copy" for step in made.steps[made.tail :]]


def test_an_average_is_kept_where_it_lies():
    graph, (v, x) = inputs(1, 1)
    graph.updates = [(v, e.add(e.multiply(v, 0.9), x))]
    made = plan(graph, TOY)
    assert names(made) == ["multiply", "add"] and made.arena_bytes == 0 and made.tail == 0


def test_momentum_takes_no_memory_of_its_own():
    graph, (p, v, x) = inputs(2, 1)
    g = opaque(x, specs=(Spec((100,)),))
    velocity = e.add(e.multiply(v, 0.9), g)
    graph.updates = [(p, e.subtract(p, e.multiply(velocity, 0.1))), (v, velocity)]
    made = plan(graph, TOY)
    assert names(made) == ["multiply", "add", "multiply", "subtract"]
    assert made.arena_bytes == 800  # the gradient, and lr * velocity in its place


def test_adam_keeps_the_gradients_alone_until_the_end():
    graph = Graph()
    states = [[graph.input(Spec((100,)), "state") for _ in range(3)] for _ in range(5)]
    x = graph.input(Spec((100,)))
    for p, m, v in states:
        g = x = opaque(x, specs=(Spec((100,)),))
        new_m = e.add(e.multiply(m, 0.9), e.multiply(g, 0.1))
        new_v = e.add(e.multiply(v, 0.999), e.multiply(e.multiply(g, 0.001), g))
        graph.updates += [(p, e.subtract(p, e.divide(new_m, e.sqrt(new_v)))), (m, new_m), (v, new_v)]
    made = plan(graph, TOY)
    assert "copy" not in names(made)
    assert made.arena_bytes <= 5 * 832 + 832  # five gradients, and one array at work


def test_a_new_value_that_a_result_needs_is_computed_before():
    graph, (v, x) = inputs(1, 1)
    new = e.add(v, x)
    graph.updates, graph.outputs = [(v, new)], [TABLE["sum"](new, axis=(0,), keepdims=False)]
    assert names(plan(graph, TOY)) == ["copy"]


def test_a_reader_that_can_fail_is_never_at_the_end():
    graph, (v, w, x) = inputs(2, 1)
    new = e.add(v, x)
    graph.updates = [(v, new), (w, opaque(new, specs=(Spec((100,)),)))]
    assert names(plan(graph, TOY)) == ["copy", "copy"]


@pytest.mark.parametrize("turned", [False, True])
def test_old_values_are_read_first(turned):
    graph, (a, b) = inputs(2)
    pair = [(a, e.add(a, 1.0)), (b, e.multiply(a, 2.0))]
    graph.updates = pair[::-1] if turned else pair
    assert names(plan(graph, TOY)) == ["multiply", "add"]


def test_two_that_read_each_other():
    graph, (a, b) = inputs(2)
    graph.updates = [(a, e.add(a, b)), (b, e.subtract(b, a))]
    made = plan(graph, TOY)
    assert names(made)[-1] == "copy" and len(made.steps) == 4  # both computed before, or one of them


def test_a_view_of_itself():
    graph, (a,) = inputs(1, shape=(3, 3))
    graph.updates = [(a, e.add(a, TABLE["transpose"](a, axes=(1, 0))))]
    assert names(plan(graph, TOY)) == ["copy"]


def test_written_parts():
    graph, (a, x) = inputs(1, 1, (3, 3))
    row = TABLE["slice"](x, index=((0, 1, 1), (0, 3, 1)))
    once = TABLE["set_slice"](a, row, index=((1, 2, 1), (0, 3, 1)))
    graph.updates = [(a, TABLE["add_slice"](once, row, index=((2, 3, 1), (0, 3, 1))))]
    made = plan(graph, TOY)
    assert names(made) == ["set_slice", "add_slice"] and made.arena_bytes == 0
    graph, (a,) = inputs(1, shape=(3, 3))
    row = TABLE["slice"](a, index=((0, 1, 1), (0, 3, 1)))
    graph.updates = [(a, TABLE["set_slice"](a, row, index=((1, 2, 1), (0, 3, 1))))]
    assert names(plan(graph, TOY)) == ["copy"]


def test_a_value_of_two_states():
    graph, (a, b, x) = inputs(2, 1)
    new = e.add(a, x)
    graph.updates = [(a, new), (b, new)]
    made = plan(graph, TOY)
    assert names(made) == ["copy", "copy"] and all(isinstance(step, Copy) for step in made.steps[made.tail :])
