"""Whole plans, judged by replay: drawn graphs, training steps, loops, results, states, layouts."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ir.errors import ArgumentError
from ir.graph import Graph
from ir.ops import TABLE
from ir.ops import elementwise as e
from ir.ops.opaque import opaque
from ir.plan import Call, Copy, Fill, Host
from ir.planning import loop, plan
from ir.spec import Spec
from ir.target import Target
from tests.ir.plan_checker import check
from tests.ir.plan_toys import TOY, graphs, network

LAYOUTS = st.dictionaries(st.integers(0, 2), st.sampled_from(["C", "F"]))


@settings(max_examples=200)
@given(graphs(), LAYOUTS, st.booleans())
def test_drawn_plans_hold(graph, layouts, exact):
    check(plan(graph, TOY, layouts=layouts, exact=exact))


@settings(max_examples=30)
@given(graphs(), LAYOUTS, st.integers(1, 3))
def test_drawn_loops_hold(graph, layouts, trips):
    check(loop(plan(graph, TOY, layouts=layouts), trips))


@settings(max_examples=20)
@given(graphs())
def test_unknown_layouts_hold(graph):
    check(plan(graph, TOY, layouts={0: "any", 1: "any", 2: "any"}))


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("batch, width", [(512, 64), (64, 256), (100, 100)])
def test_training_is_near_the_bound(batch, width, train):
    made = plan(network(8, batch, width, train), TOY)
    assert made.peak_bytes <= 1.05 * made.lower_bound_bytes


@pytest.mark.parametrize("train", [False, True])
def test_a_training_step_holds(train):
    check(plan(network(4, 6, 5, train), TOY))


@settings(max_examples=25)
@given(st.integers(1, 8), st.integers(1, 40), st.integers(1, 40), st.booleans())
def test_drawn_training_is_near_the_bound(layers, batch, width, train):
    made = plan(network(layers, 16 * batch, 16 * width, train), TOY)
    assert made.peak_bytes <= 1.05 * made.lower_bound_bytes


@settings(max_examples=15)
@given(graphs())
def test_plans_are_determined(graph):
    first, again = plan(graph, TOY), plan(graph.copy()[0], TOY)
    assert first.text() == again.text()
    assert [repr(n) for n in first.order] == [repr(n) for n in again.order]


# ---- in place
def arrays(count: int, shape=(4, 3), kind="argument"):
    graph = Graph()
    return graph, *[graph.input(Spec(shape), kind) for _ in range(count)]


def test_a_chain_runs_in_its_result():
    graph, x = arrays(1)
    graph.outputs = [e.exp(e.exp(e.exp(x)))]
    made = plan(graph, TOY)
    check(made)
    assert made.peak_bytes == made.arena_bytes + 96 == 96
    assert {step.writes[0].buffer for step in made.steps} == {made.results[0].buffer}


def test_what_is_read_later_is_not_overwritten():
    graph, x = arrays(1)
    y = e.exp(x)
    graph.outputs = [e.add(e.exp(y), y)]
    made = plan(graph, TOY)
    check(made)
    assert made.arena_bytes == 96


def test_a_view_keeps_its_base():
    graph, x = arrays(1)
    y = e.exp(x)
    t = TABLE["transpose"](y, axes=(1, 0))
    graph.outputs = [e.exp(y), opaque(t, specs=(Spec((2,)),))]
    check(plan(graph, TOY))


def test_an_operand_read_across_is_not_overwritten():
    graph, x = arrays(1, (3, 3))
    y = e.exp(x)
    graph.outputs = [e.add(y, TABLE["transpose"](y, axes=(1, 0)))]
    made = plan(graph, TOY)
    check(made)
    assert made.steps[-1].writes[0].buffer is not made.steps[0].writes[0].buffer


def test_an_operand_read_twice_is_overwritten():
    graph, x = arrays(1)
    y = e.exp(x)
    graph.outputs = [e.multiply(y, y)]
    assert plan(graph, TOY).peak_bytes == 96


def test_an_update_writes_into_a_dying_base_and_copies_another():
    whole = ((0, 4, 1), (0, 3, 1))
    graph, x, v = arrays(2)
    graph.outputs = [TABLE["set_slice"](e.exp(x), v, index=whole)]
    assert [type(s) for s in plan(graph, TOY).steps] == [Call, Call]
    graph, x, v = arrays(2)
    graph.outputs = [TABLE["set_slice"](x, v, index=whole)]
    made = plan(graph, TOY)
    check(made)
    assert [type(s) for s in made.steps] == [Copy, Call]


def test_an_update_of_a_base_by_its_own_part():
    graph, x = arrays(1)
    y = e.exp(x)
    part = TABLE["slice"](y, index=((0, 3, 1), (0, 3, 1)))
    graph.outputs = [TABLE["set_slice"](y, part, index=((1, 4, 1), (0, 3, 1)))]
    made = plan(graph, TOY)
    check(made)
    assert [type(s) for s in made.steps] == [Call, Copy, Call]


# ---- results
def test_results_are_arrays_of_their_own():
    graph, x = arrays(1)
    y = e.exp(x)
    graph.outputs = [x, x, y, y, TABLE["transpose"](y, axes=(1, 0)), graph.constant(np.ones(3)), TABLE["broadcast_to"](y, shape=(2, 4, 3))]
    made = plan(graph, TOY)
    check(made)
    assert made.peak_bytes == 96 * 5 + 24 + 192


def test_a_number_returned_has_no_place():
    graph = Graph()
    n = graph.input(Spec((), "int64", "int"))
    graph.outputs = [n, TABLE["python"](n, n, fn="add")]
    made = plan(graph, TOY)
    check(made)
    assert made.results == (None, None) and made.peak_bytes == 0 and [type(s) for s in made.steps] == [Host]


def test_an_empty_graph_and_empty_arrays():
    check(plan(Graph(), TOY))
    graph, x = arrays(1, (0, 3))
    graph.outputs = [e.exp(e.add(x, 1.0)), x]
    made = plan(graph, TOY)
    check(made)
    assert made.peak_bytes == 2  # NumPy asks for a byte each


# ---- Python numbers
def test_a_number_gets_a_slot_in_the_loop_of_its_kernel():
    graph = Graph()
    x, y, n = graph.input(Spec((3,), "float32")), graph.input(Spec((3,))), graph.input(Spec((), "int64", "int"))
    graph.outputs = [e.multiply(x, n), e.multiply(y, n), e.add(y, n), e.power(x, 2)]
    made = plan(graph, TOY)
    check(made)
    fills = [s for s in made.steps if isinstance(s, Fill)]
    assert [f.write.dtype for f in fills] == [np.dtype("float32"), np.dtype("float64")]
    const = [b for b in made.buffers if b.kind == "const"]
    assert [b.data.dtype for b in const] == [np.dtype("float32")]


# ---- states
def test_a_state_is_written_straight_by_its_last_kernel():
    graph, w = arrays(1, kind="state")
    g = graph.input(Spec((4, 3)))
    graph.updates = [(w, e.subtract(w, g))]
    made = plan(graph, TOY)
    check(made)
    assert made.peak_bytes == 0 and made.tail == 0 and made.steps[0].writes[0] is made.states[0]


def test_a_state_that_another_update_reads_is_written_after():
    graph, v, w = arrays(2, kind="state")
    graph.updates = [(v, e.add(v, w)), (w, e.add(w, v))]
    check(plan(graph, TOY))


def test_states_change_places():
    graph, v, w = arrays(2, kind="state")
    graph.outputs = [v]
    graph.updates = [(v, w), (w, v)]
    made = plan(graph, TOY)
    check(made)
    assert made.tail == len(made.steps) - 2


def test_an_update_that_may_fail_is_not_in_place():
    graph, w = arrays(1, kind="state")
    i = graph.input(Spec((2,), "int64"))
    graph.updates = [(w, TABLE["add_at"](w, 1.0, i, axes=(0,)))]
    made = plan(graph, TOY)
    check(made)
    assert isinstance(made.steps[-1], Copy) and made.tail == len(made.steps) - 1


def test_an_unchanged_state_costs_nothing():
    graph, w = arrays(1, kind="state")
    graph.updates = [(w, w)]
    assert plan(graph, TOY).steps == []


# ---- kernels
def test_operands_are_copied_for_a_picky_kernel():
    graph, x = arrays(1)
    graph.outputs = [TABLE["sum"](TABLE["transpose"](x, axes=(1, 0)), axis=(0,), keepdims=False)]
    made = plan(graph, TOY)
    check(made)
    assert [type(s) for s in made.steps] == [Copy, Call] and made.arena_bytes == 96


def test_the_cheapest_kernel_is_taken_and_exact_leaves_some_out():
    graph, x, y = arrays(2, (4, 4))
    graph.outputs = [TABLE["dot"](x, y)]
    assert plan(graph, TOY).steps[0].kernel.name == "fast dot"
    assert plan(graph, TOY, exact=True).steps[0].kernel.name == "dot"
    assert plan(graph, TOY, layouts={1: "F"}).steps[0].kernel.name == "dot"


def test_a_missing_kernel_is_an_error_with_the_operation():
    graph, x = arrays(1)
    graph.outputs = [e.exp(x)]
    with pytest.raises(ArgumentError, match="exp: target bare has no kernel"):
        plan(graph, Target("bare", {}))


def test_an_unknown_layout_is_an_error():
    graph, x = arrays(1)
    with pytest.raises(ArgumentError, match="layout"):
        plan(graph, TOY, layouts={0: "Z"})


def test_elementwise_results_lie_as_numpy_lays_them():
    graph, x, y = arrays(2)
    graph.outputs = [e.add(x, x), e.add(y, y), e.add(x, y)]
    made = plan(graph, TOY, layouts={1: "F"})
    check(made)
    x, y = np.ones((4, 3)), np.ones((4, 3), order="F")
    assert [p.strides for p in made.results] == [(x + x).strides, (y + y).strides, (x + y).strides]
