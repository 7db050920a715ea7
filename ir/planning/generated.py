"""A node `region` becomes a Call of a generated kernel: operands are read where they lie, results are dense, or over what dies here."""
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ir.graph import Node, Value
from ir.place import Place
from ir.plan import Call
from ir.planning.blocks import Blocked
from ir.planning.draft import Draft
from ir.planning.results import fills


def place(draft: Draft, node: Node, homes: Mapping[Value, Value]) -> None:
    """Appends the step and gives the node's outputs their places. `homes`: the states that outputs are written over."""
    held: Blocked = node.attrs["blocked"]
    (kernel,) = draft.kernels(node.op.name)
    reads = []
    for value, inside in zip(node.operands, held.graph.inputs):
        where = draft.slot(value, inside.dtype, node.line) if value.spec.weak else draft.places[value]
        reads.append(where if where.strides is not None else draft.copied(where, "laid in rows", node.line))
    draft.use(node)
    over = {v.index: node.operands.index(homes[v]) for v in node.outputs if v in homes}
    shared = Counter([where.buffer for where in reads])
    for k in [k for k in range(len(held.whole)) if k not in over]:
        free = [j for j in held.over(k) if _dies(draft, reads[j]) and shared[reads[j].buffer] == 1 and j not in over.values()]
        if free:
            over[k] = free[0]
    writes = tuple([reads[over[k]] if k in over else draft.dense(spec) for k, spec in enumerate(held.specs)])
    draft.order.append(node)
    draft.steps.append(Call(kernel, node, tuple(reads), writes))
    for value, where in zip(node.outputs, writes):
        draft.put(value, where)


def _dies(draft: Draft, where: Place) -> bool:
    """Whether nothing reads it after this, and it fills a buffer of the arena."""
    return where.buffer.kind == "arena" and not draft.ahead[where.buffer] and fills(where) and where.contiguous()
