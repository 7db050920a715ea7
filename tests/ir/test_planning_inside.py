"""Joins whose operands are computed where they stand: the steps that are left, and the judge's word on drawn ones."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ir.graph import Graph, Value
from ir.ops import elementwise as e
from ir.ops.matmul import dot
from ir.ops.shape import concatenate, reshape, transpose
from ir.ops.update import set_slice
from ir.plan import Call, Copy
from ir.planning import plan
from ir.spec import Spec
from tests.ir.plan_checker import check
from tests.ir.plan_toys import TOY


def kinds(graph: Graph, **options) -> list[str]:
    made = plan(graph, TOY, **options)
    check(made)
    return [step.kernel.name if isinstance(step, Call) else "copy" for step in made.steps if isinstance(step, (Call, Copy))]


def joined(graph: Graph, *parts: Value) -> Graph:
    graph.outputs = [e.exp(concatenate(*parts, axis=0))]
    return graph


def test_computed_parts_cost_no_step():
    graph = Graph()
    x, y = graph.input(Spec((3,))), graph.input(Spec((2, 3)))
    assert kinds(joined(graph, e.exp(x), reshape(e.tanh(y), shape=(6,)))) == ["exp", "tanh", "exp"]


def test_what_is_given_is_copied_in():
    graph = Graph()
    x, ones = graph.input(Spec((3,))), graph.constant(np.ones(2))
    assert kinds(joined(graph, e.exp(x), x, ones)) == ["exp", "copy", "copy", "exp"]


def test_only_given_parts_are_joined_by_the_kernel():
    graph = Graph()
    x = graph.input(Spec((3,)))
    joined(graph, x, x)
    assert kinds(graph) == ["copy", "copy", "exp"], "but few"
    graph = Graph()
    x = graph.input(Spec((3,)))
    assert kinds(joined(graph, x, x, x, x)) == ["concatenate", "exp"]


def test_a_part_stands_in_one_place_only():
    graph = Graph()
    part = e.exp(graph.input(Spec((3,))))
    assert kinds(joined(graph, part, part)) == ["exp", "copy", "exp"]


def test_a_transposed_part_is_in_place_where_its_kernel_writes_that_order():
    for layout, steps in (("F", ["exp", "exp"]), ("C", ["exp", "copy", "exp"])):
        graph = Graph()
        x = graph.input(Spec((4, 3)))
        joined(graph, transpose(e.exp(x), axes=(1, 0)))
        assert kinds(graph, layouts={0: layout}) == steps


def test_a_part_that_is_written_into_stays_away():
    graph = Graph()
    x, row = graph.input(Spec((4, 3))), graph.input(Spec((3,)))
    part = e.exp(x)
    written = set_slice(part, row, index=((0, 1, 1), (0, 3, 1)))
    graph.outputs = [e.exp(concatenate(part, part, axis=0)), written]
    assert kinds(graph).count("copy") >= 2


def test_parts_across_the_rows_and_exact_plans_are_left_to_the_kernel():
    graph = Graph()
    x = graph.input(Spec((4, 3)))
    graph.outputs = [dot(concatenate(e.exp(x), e.tanh(x), axis=1), graph.input(Spec((6, 2))))]
    assert "concatenate" in kinds(graph)
    graph = Graph()
    assert "concatenate" in kinds(joined(graph, e.exp(graph.input(Spec((3,))))), exact=True)


@st.composite
def joins(draw: st.DrawFn) -> Graph:
    """Elementwise values, views of them and joins of all these, read in any order and several times."""
    graph = Graph()
    values = [graph.input(Spec((draw(st.integers(1, 3)), 4))) for _ in range(2)]
    for _ in range(draw(st.integers(3, 14))):
        x = draw(st.sampled_from(values))
        match draw(st.integers(0, 4)):
            case 0:
                values.append(e.exp(x))
            case 1:
                values.append(e.multiply(x, x))
            case 2:
                values.append(reshape(transpose(x, axes=(1, 0)), shape=x.shape))
            case 3:
                values.append(transpose(e.exp(transpose(x, axes=(1, 0))), axes=(1, 0)))
            case 4:
                parts = draw(st.lists(st.sampled_from(values), min_size=1, max_size=4))
                values.append(concatenate(*parts, axis=0))
    graph.outputs = [draw(st.sampled_from(values)) for _ in range(draw(st.integers(1, 3)))] + [values[-1]]
    return graph


@settings(max_examples=100)
@given(joins(), st.sampled_from(["C", "F"]))
@pytest.mark.filterwarnings("ignore")
def test_drawn_joins_hold(graph, layout):
    check(plan(graph, TOY, layouts={0: layout}))
