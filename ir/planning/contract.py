"""Before anything is placed: each group of nodes that runs block by block becomes one node `region` of a copy of the graph.

    %1 = exp(%0)                  %1, %2 = region(%0)         blocks of rows: exp and multiply without a full-size %1 in between,
    %2 = multiply(%1, %0)    ->   %3 = sum(%2, axis=0)        the sum in eight parts, which a step of its own joins
    %3 = sum(%2)

The user's graph keeps its nodes; the copy is the planner's. All that comes after (order, lifetimes, places) knows a region as one step
with operands and results.
"""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ir.graph import CONSTANT, Graph, Node, Value
from ir.ops import elementwise
from ir.ops import reduce as reductions
from ir.passes import dead
from ir.planning.blocks import REGION, blocked, shares_of
from ir.planning.group import Group
from ir.planning.launches import launches
from ir.planning.outside import Outside, outside
from ir.planning.regions import groups
from ir.planning.select import slot_dtype
from ir.planning.shares import split_reductions, vector_products_as_sums
from ir.spec import Spec
from ir.target import Target


def contract(
    graph: Graph, target: Target, exact: bool, layouts: Mapping[int, str | tuple[int, ...]] | None = None
) -> tuple[Graph, tuple[Outside, ...]]:
    """The graph to be planned: a copy with regions, or the graph itself where none pays; and what is in none, though its arrays are large.
    `layouts`: how the inputs lie.
    """
    if target.generator is not None:
        return _generated(graph, target)
    large = target.cache_bytes // 4
    if not target.regions or not any(v.spec.nbytes >= large for n in graph.order() for v in n.outputs):
        return graph, ()
    copy, _ = graph.copy()
    if not exact:
        _means_as_sums(copy)
    order = copy.order()
    found, why = groups(copy, target, exact, layouts or {})
    instead: dict[Value, Value] = {}
    numbers: dict[tuple[Value, np.dtype], Value] = {}
    for group in found:
        group.cuts.update({instead[v]: axis for v, axis in group.cuts.items() if v in instead})
        if _numbers_as_arrays(copy, group, numbers):
            instead.update(_replace(copy, group, target))
        else:
            why.update(dict.fromkeys(group.nodes, "a Python number would be of another kind in it"))
    return copy if instead else graph, tuple(outside(order, why, large))


def _generated(graph: Graph, target: Target) -> tuple[Graph, tuple[Outside, ...]]:
    """The same with generated kernels: all that is no product is in one."""
    copy, _ = graph.copy()
    _means_as_sums(copy)
    vector_products_as_sums(copy)
    split_reductions(copy, target)
    order = copy.order()
    found, why = launches(copy, target)
    instead: dict[Value, Value] = {}
    for launch in found:
        operands = [instead.get(v, v) for v in launch.operands]
        made = copy.apply(REGION, operands, {"blocked": launch.blocked}, launch.nodes[0].line)
        given: tuple[Value, ...] = made if isinstance(made, tuple) else (made,)
        for old, new in zip(launch.outputs, given):
            copy.replace(old, new)
            instead[old] = new
    dead.run(copy)
    return copy, tuple(outside(order, why, 0))


def _means_as_sums(graph: Graph) -> None:
    """A mean is a sum and a division: the sum can be taken in parts."""
    for node in list(graph.order()):
        x, out = (node.operands[0], node.outputs[0]) if node.op is reductions.mean else (None, None)
        if x is None or out is None or out.dtype.kind not in "fc" or out.dtype != x.dtype or out.dtype.itemsize < 4:
            continue
        count = int(np.prod([x.shape[k] for k in node.attrs["axis"]]))
        with graph.at(node.line):
            total = graph.apply(reductions.sum, [x], {"axis": node.attrs["axis"], "keepdims": node.attrs["keepdims"]}, node.line)
            graph.replace(out, elementwise.divide(total, max(count, 1)))
        graph.remove([node])


def _numbers_as_arrays(graph: Graph, group: Group, made: dict[tuple[Value, np.dtype], Value]) -> bool:
    """Python numbers that come with the call are cast once, before all regions (`made`), to what the kernels' loops take them as.
    False (and nothing done) where an operation would then give another kind.
    """
    found: list[tuple[Node, int]] = []
    for node in group.nodes:
        weak = [k for k, v in enumerate(node.operands) if v.spec.weak and v.node.op is not CONSTANT]
        specs = [Spec((), slot_dtype(node, k)) if k in weak else v.spec for k, v in enumerate(node.operands)]
        if weak and node.op.infer(tuple(specs), node.attrs) != node.specs:
            return False
        found += [(node, k) for k in weak]
    for node, position in found:
        number, dtype = node.operands[position], slot_dtype(node, position)
        if (number, dtype) not in made:
            made[number, dtype] = graph.apply(elementwise.cast, [number], {"dtype": dtype}, node.line)
        graph.rewire(node, position, made[number, dtype])
    return True


def _replace(graph: Graph, group: Group, target: Target) -> dict[Value, Value]:
    """Puts a region in the place of the group; gives what stands for each value that others read."""
    operands, outputs = group.operands(), group.outputs()
    parts = sum([v.node in group.parts for v in outputs])
    held = blocked(group.nodes, group.size, group.cuts, operands, outputs, parts, shares_of(group.size, target))
    made = graph.apply(REGION, operands, {"blocked": held}, group.nodes[0].line)
    given: tuple[Value, ...] = made if isinstance(made, tuple) else (made,)
    instead = {}
    for old, new in zip(outputs, given):
        if old.node in group.parts:
            op: Node = old.node
            whole = reductions.sum if op.op.combines is np.add else op.op
            new = graph.apply(whole, [new], {"axis": (0,), "keepdims": False}, op.line)
        graph.replace(old, new)
        instead[old] = new
    gone, wanted = set(), set(graph.results())
    for node in reversed(group.nodes):  # slices stay that others read
        if node.outputs[0] not in wanted and all(u in gone for u in graph.users(node)):
            gone.add(node)
    graph.remove([n for n in group.nodes if n in gone])
    return instead
