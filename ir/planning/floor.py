"""A bound below the peaks of all orders and recomputations of a plan's nodes: a plan in, bytes out.

While a node runs, what it reads and what it gives is there at once, whatever ran before it and however often: its operands' memory (a view
shows that of what it views; of several views of one thing the largest is counted) and its results', less the operands whose memory
results may take over, or all where they may lie inside the result. Inputs, states and constants are the caller's and not counted;
nor is what has the spec of a state, or of several that lie in a row, since it may be computed there. All results are asked for before the
first step and held to the end, so they are there too; an operand may lie in one of them only if a later node writes the result in its
place, and then it has as many bytes as the result: so much is counted once. An order chooses when nodes run, and a recomputation runs
them again: neither changes what one of them needs. So

    floor = results + the most, over the nodes, of (needs - what may lie in results)      and the slack of the arena, where that is above 0.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set

from ir.graph import CONSTANT, INPUT, Node, Value
from ir.plan import Loop, Plan
from ir.planning.blocks import REGION, overwrites
from ir.planning.packs import Packs, is_view, root
from ir.spec import Spec


def floor_bytes(plan: Plan) -> int:
    """The bound of a plan."""
    step = plan.steps[0] if len(plan.steps) == 1 else None
    body = step.body if isinstance(step, Loop) else plan
    sizes = [b.bytes for b in plan.buffers if b.kind == "result"] if body is plan else []
    packs = Packs(plan.graph, {})
    states = {state.spec for state, _ in plan.graph.updates}.union(v.spec for v in packs.members)
    most = max([_beside(_needed(node, plan, states), sizes) for node in body.order], default=0)
    return plan.result_bytes + most + (plan.target.alignment if most else 0)


def _needed(node: Node, plan: Plan, states: Set[Spec]) -> list[int]:
    """The sizes of what must be there while the node runs, results included."""
    if is_view(node) or node.op in (INPUT, CONSTANT) or node.outputs[0].spec.weak is not None:
        return []
    reads: dict[Value, int] = {}
    for value in () if node.op.inside else node.operands:  # what may be computed inside the result is a part of it
        base = root(value)
        if base.node.op not in (INPUT, CONSTANT) and base.spec.weak is None and base.spec not in states:
            reads[base] = max(reads.get(base, 0), min(value.spec.nbytes, base.spec.nbytes))
    given = {v: 0 if v.spec in states else v.spec.nbytes for v in node.outputs}
    for value in _written_over(node, plan, reads):
        del given[value]
    return [*reads.values(), *given.values()]


def _written_over(node: Node, plan: Plan, reads: Mapping[Value, int]) -> list[Value]:
    """The outputs that may be written over what is read, each over an operand of its own."""
    if node.op is not REGION:
        alike = node.outputs[0].spec.nbytes in reads.values()
        return [node.outputs[0]] if alike and any(k.overwrites for k in plan.target.kernels.get(node.op.name, ())) else []
    found: dict[int, Value] = {}
    for value, over in zip(node.outputs, overwrites(node)):
        free = [k for k in over if k not in found and root(node.operands[k]) in reads]
        if free:
            found[free[0]] = value
    return list(found.values())


def _beside(sizes: list[int], results: list[int]) -> int:
    """The bytes of these less those that may lie in results of the same sizes."""
    free, total = Counter(results), 0
    for size in sizes:
        if free[size]:
            free[size] -= 1
        else:
            total += size
    return total
