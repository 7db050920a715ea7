"""Memory limits: what is let go and computed again, the floor below all plans, refusals, and the marks of clones in graph and text."""
from __future__ import annotations

import itertools

import numpy as np
import pytest

import ir
from ir import Graph, Spec
from ir.errors import MemoryLimitError, ParseError, VerifyError
from ir.evaluate import evaluate
from ir.gradient import append_gradient
from ir.graph import CONSTANT, INPUT, Node
from ir.ops import elementwise as e
from ir.ops import reduce
from ir.ops.opaque import opaque
from ir.planning import _plan, loop, order, plan
from ir.planning.clones import with_clones
from ir.planning.recompute import Work, run
from tests.ir.plan_checker import check
from tests.ir.plan_toys import TOY, network

UNIT = 800


def chain(rounds: int) -> Graph:
    """The gradient of so many rounds of tanh, each value of UNIT bytes."""
    graph = Graph()
    x = y = graph.input(Spec((UNIT // 8,)))
    for _ in range(rounds):
        y = e.tanh(y)
    loss = reduce.sum(y, axis=(0,), keepdims=False)
    graph.outputs = append_gradient(graph, [loss], [graph.constant(np.float64(1.0))], [x])
    graph.remove([n for n in graph.nx if n is loss.node])
    return graph


def smallest(graph: Graph) -> MemoryLimitError:
    with pytest.raises(MemoryLimitError) as caught:
        plan(graph, TOY, memory_limit=0)
    return caught.value


def same_bits(one: Graph, other: Graph) -> None:
    rng = np.random.default_rng(0)
    inputs = [np.asarray(rng.standard_normal(v.shape), v.dtype) if v.spec.weak is None else 0.5 for v in one.inputs]
    for a, b in zip(itertools.chain(*evaluate(one, inputs)), itertools.chain(*evaluate(other, inputs)), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_a_chain_in_the_square_root_of_its_memory():
    """Chen et al.: about 2 sqrt(n) values, for about one more forward pass."""
    graph = chain(100)
    free = plan(graph, TOY)
    assert free.peak_bytes > 100 * UNIT
    made = plan(graph, TOY, memory_limit=20 * UNIT)
    assert made.peak_bytes <= 20 * UNIT
    forward = 100
    assert sum(n.recompute_of is not None for n in made.graph.order()) <= 1.2 * forward
    check(made)
    same_bits(graph, made.graph)


@pytest.mark.parametrize("train", [False, True])
def test_networks_keep_their_bits_and_plans_hold(train):
    graph = network(6, 40, 8, train)
    free = plan(graph, TOY)
    least = smallest(graph).smallest_bytes
    assert least < 0.8 * free.peak_bytes
    for limit in (least, (least + free.peak_bytes) // 2, free.peak_bytes - 1):
        made = plan(graph, TOY, memory_limit=limit)
        assert made.peak_bytes <= limit and made.memory_limit == limit and made.free_bytes == free.peak_bytes
        made.graph.verify()
        check(made)
        same_bits(graph, made.graph)
    with pytest.raises(MemoryLimitError):
        plan(graph, TOY, memory_limit=least - 1)


def test_a_limit_that_holds_already_changes_nothing():
    graph = network(3, 4, 5, True)
    free = plan(graph, TOY)
    made = plan(graph, TOY, memory_limit=free.peak_bytes)
    assert made.graph is graph and [n.op for n in made.order] == [n.op for n in free.order]
    assert made.text(lines=False).replace(f", the limit is {free.peak_bytes}", "") == free.text(lines=False)


def test_another_order_comes_before_recomputing():
    """Made early and read late: computed later instead, with no clone."""
    graph = Graph()
    x = graph.input(Spec((1,)))
    early = [opaque(x, specs=(Spec((100,), "uint8"),)) for _ in range(8)]
    late = opaque(x, specs=(Spec((1,), "uint8"),))
    for value in early:
        late = opaque(late, value, specs=(Spec((1,), "uint8"),))
    graph.outputs = [late]
    ends = [n for n in graph.order() if n.op is opaque]
    wide = with_clones(graph, [*[v.node for v in early], *[n for n in ends if n not in {v.node for v in early}]])[0]
    made = plan(wide, TOY, memory_limit=350)
    assert made.peak_bytes <= 350 and not any(n.recompute_of for n in made.graph.order())


def test_what_may_run_once_runs_once():
    """As callbacks do: what they gave is kept as long as something may have to be computed from it again."""
    graph = chain(30)
    nodes = order.schedule(graph).nodes
    memory = order.Memory(graph, nodes)
    once = {5, 11, 20}
    work = Work(memory, range(len(nodes)), [1.0] * len(nodes), [0] * len(nodes), [k not in once for k in range(len(nodes))])
    found = run(work, 11 * UNIT)
    assert found is not None and len(found) > len(nodes)
    assert all(found.count(k) == 1 for k in once)


def test_the_loop_keeps_the_limit():
    graph = network(5, 40, 8, True)
    free = loop(plan(graph, TOY), 3)
    once = plan(graph, TOY, memory_limit=int(0.85 * free.peak_bytes))
    made = loop(once, 3)
    assert made.peak_bytes <= once.memory_limit
    check(made)
    with pytest.raises(MemoryLimitError):
        loop(plan(graph, TOY, memory_limit=once.memory_limit), 100_000)  # its stacked results alone are more


def test_a_refusal_says_what_holds_it():
    graph = chain(30)
    error = smallest(graph)
    assert error.floor_bytes <= error.smallest_bytes < 8 * UNIT
    assert len(error.largest) == 3 and all(size == UNIT for size, _, _ in error.largest)
    assert isinstance(error, MemoryError) and f"{error.smallest_bytes:,}" in str(error) and "tanh" in str(error)
    assert plan(graph, TOY, memory_limit=error.smallest_bytes).peak_bytes == error.smallest_bytes


def test_the_same_limit_gives_the_same_plan():
    texts = {plan(network(5, 40, 8, True), TOY, memory_limit=20_000).text(lines=False) for _ in range(2)}
    assert len(texts) == 1


# ---- the floor
def test_the_floor_is_below_the_peak_of_every_order():
    """All orders of small graphs, one by one."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        graph = Graph()
        values = [graph.input(Spec((4,)))]
        for _ in range(6):
            picked = [values[rng.integers(len(values))] for _ in range(2)]
            values.append([e.add, e.multiply][rng.integers(2)](*picked) if rng.random() < 0.7 else e.tanh(picked[0]))
        graph.outputs = [values[-1], values[-2]] if rng.random() < 0.5 else [values[-1]]
        graph.remove([n for n in graph.nx if n not in ancestors(graph)])
        nodes = [n for n in graph.order() if n.op not in (INPUT, CONSTANT)]
        floor, peaks = plan(graph, TOY).floor_bytes, []
        for way in itertools.permutations(nodes):
            if all(way.index(v.node) < k for k, n in enumerate(way) for v in n.operands if v.node in way):
                copy, given = with_clones(graph, way)
                peaks.append(planned(copy, given))
        assert peaks and 0 < floor <= min(peaks)


def ancestors(graph: Graph) -> set[Node]:
    found = {v.node for v in graph.inputs}
    stack = [v.node for v in graph.results()]
    while stack:
        node = stack.pop()
        found.add(node)
        stack += [v.node for v in node.operands]
    return found


def planned(graph: Graph, given: list[Node]) -> int:
    return _plan(graph, TOY, {}, False, run=given).peak_bytes


def test_the_text_says_how_far_the_peak_is_above_the_floor():
    made = plan(chain(10), TOY)
    above = made.peak_bytes - made.floor_bytes
    assert f"\n  floor_bytes {made.floor_bytes}: peak_bytes is {above} above it\n" in made.text()
    under = plan(chain(10), TOY, memory_limit=5 * UNIT)
    assert f"above it, the limit is {5 * UNIT}\n" in under.text()


# ---- clones
def test_clones_are_marked_in_text_and_picture_and_come_back():
    graph = plan(chain(12), TOY, memory_limit=6 * UNIT).graph
    graph.verify()
    text = str(graph)
    again = ir.parse(text, constants=graph.constants)
    assert "recompute_of=%" in text and str(again) == text
    assert [n.recompute_of is not None for n in again.order()] == [n.recompute_of is not None for n in graph.order()]
    assert "again" in graph.to_dot() and "again" not in chain(12).to_dot()
    assert str(graph.copy()[0]) == text


def test_a_mark_must_be_of_the_same_operation():
    text = """graph {
  %0 = input() {kind="argument"} : f64[3]
  %1 = exp(%0) : f64[3]
  %2 = tanh(%0) {recompute_of=%1} : f64[3]
  return %1, %2
}"""
    with pytest.raises(ParseError, match="another operation"):
        ir.parse(text)
    with pytest.raises(ParseError, match="not defined"):
        ir.parse(text.replace("recompute_of=%1", "recompute_of=%9"))
    graph = ir.parse(text.replace(" {recompute_of=%1}", ""))
    graph.outputs[1].node.recompute_of = graph.outputs[0].node
    with pytest.raises(VerifyError, match="computes exp again"):
        graph.verify()


def test_views_of_what_is_computed_again_are_made_anew():
    graph = ir.parse("""graph {
  %0 = input() {kind="argument"} : f64[2,3]
  %1 = tanh(%0) : f64[2,3]
  %2 = transpose(%1) {axes=(1, 0)} : f64[3,2]
  %3 = exp(%2) : f64[3,2]
  %4 = add(%3, %2) : f64[3,2]
  return %4
}""")
    tanh, exp, add = (next(n for n in graph.order() if n.op.name == name) for name in ("tanh", "exp", "add"))
    copy, given = with_clones(graph, [tanh, exp, tanh, add])
    assert [n.op.name for n in given] == ["tanh", "transpose", "exp", "tanh", "transpose", "add"]
    copy.verify()
    same_bits(graph, copy)


def test_given_orders_are_taken():
    graph = network(3, 4, 5, False)
    nodes = order.schedule(graph).nodes
    copy, given = with_clones(graph, [n for n in nodes if n.op.view_of is None])
    assert order.schedule(copy, given=given).nodes == given
