"""Orders: operands first, what frees goes early, nothing depends on how the graph was built, near-linear time."""
from __future__ import annotations

import time

from ir.graph import Graph
from ir.ops import TABLE
from ir.ops import elementwise as e
from ir.ops.opaque import opaque
from ir.planning import plan
from ir.planning.order import schedule
from ir.spec import Spec
from tests.ir.plan_toys import TOY, network


def big(n: int) -> tuple[Spec, ...]:
    return (Spec((n,), "uint8"),)


def test_branches_are_finished_one_by_one():
    """Four branches, each large inside and small at its end: one after another, not side by side."""
    graph = Graph()
    x = graph.input(Spec((1,)))
    middles = [opaque(x, specs=big(1000)) for _ in range(4)]
    ends = [opaque(m, specs=big(10)) for m in middles]
    graph.outputs = [opaque(*reversed(ends), specs=big(1))]
    assert plan(graph, TOY).arena_bytes <= 1100


def test_a_gradient_of_weights_goes_as_soon_as_it_frees():
    """All dx first (the graph's order) would keep every gradient of activations; the plan keeps one or two."""
    graph = Graph()
    g = graph.input(Spec((100,), "uint8"))
    small = []
    for _ in range(10):
        g = opaque(g, specs=big(1000))
        small.append(opaque(g, specs=big(10)))
    graph.outputs = [opaque(g, specs=big(1)), *small]
    assert plan(graph, TOY).lower_bound_bytes <= 2200 + 64 + 101


def test_two_readers_that_free_together_go_together():
    graph = Graph()
    g = graph.input(Spec((100,), "uint8"))
    small = []
    for _ in range(10):
        g = opaque(g, specs=big(1000))
        small += [opaque(g, specs=big(10)), opaque(g, specs=big(20))]
    graph.outputs = [opaque(g, *small, specs=big(1))]
    assert plan(graph, TOY).lower_bound_bytes <= 2000 + 300 + 64 + 1


def test_numbers_first_and_states_last():
    graph = Graph()
    w, n = graph.input(Spec((3,)), "state"), graph.input(Spec((), "float64", "float"))
    graph.updates = [(w, e.subtract(w, e.multiply(w, TABLE["python"](n, 2.0, fn="mul"))))]
    last = {graph.updates[0][1].node}
    found = schedule(graph, last)
    assert [node.op.name for node in found.hosts + found.nodes] == ["python", "multiply"]
    assert [node.op.name for node in plan(graph, TOY).order] == ["python", "multiply", "subtract"]


def test_the_order_does_not_hang_on_how_a_graph_was_built():
    graph = network(5, 8, 8, train=True)
    twin, _ = graph.copy()
    assert [repr(n) for n in plan(graph, TOY).order] == [repr(n) for n in plan(twin, TOY).order]


def test_20_000_steps_are_planned_in_linear_time():
    def took(count: int) -> float:
        graph = Graph()
        x = graph.input(Spec((100,)))
        acts = [x]
        for k in range(count // 2):
            acts.append(opaque(acts[-1], specs=(Spec((100 + k % 7,)),)))
        x = acts[-1]
        for a in reversed(acts):
            x = opaque(x, a, specs=(a.spec,))
        graph.outputs = [x]
        start = time.process_time()
        plan(graph, TOY)
        return time.process_time() - start

    few = min(took(2000) for _ in range(3))
    assert took(20_000) < 25 * few + 0.5  # ten times the steps; a quadratic stage would take a hundred times as long
