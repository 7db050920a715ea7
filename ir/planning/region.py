"""A node `region` becomes a Region step: the length of its blocks is chosen, the block is planned, its results get places.

Blocks are as long as the body's buffers fit a worker's cache, and no longer: a call for each step of each block is the price, so
shorter ones cost calls. The length depends on the Target's cache alone, not on its workers, and so do the bits.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ir.graph import Node
from ir.plan import Call, Place, Plan, Region
from ir.planning.blocks import Blocked
from ir.planning.draft import Draft
from ir.planning.strides import k_strides
from ir.spec import Spec
from ir.target import Target

Body = Callable[..., Plan]
PAYS = 4  # times the price of a fork: what a region has to do at least to be worth one


def place(draft: Draft, node: Node, plan_body: Body) -> None:
    """Appends the step and gives the node's outputs their places."""
    held: Blocked = node.attrs["blocked"]
    reads = tuple([draft.places[v] for v in node.operands])
    layouts: dict[int, str | tuple[int, ...]] = {k: "any" if p.strides is None else p.strides for k, p in enumerate(reads)}
    target = replace(draft.target, regions=False)
    wholes = tuple([v.spec for v in held.whole])

    def body(rows: int) -> Plan:
        return plan_body(held.block(rows), target, layouts, draft.exact, wholes)

    rows, last_rows = _lengths(held, target, body, draft.exact)
    main = body(rows)
    last = body(last_rows) if last_rows else None
    draft.use(node)
    writes = tuple([draft.dense(spec, _strides(spec, block)) for spec, block in zip(held.specs, (*main.results, *[None] * held.parts))])
    private_bytes = max(main.arena_bytes, last.arena_bytes if last else 0)
    workers = min(target.workers, held.shares) if _work_ns(main, target) * held.size / rows >= PAYS * target.fork_ns else 1
    private = tuple([draft.dense(Spec((private_bytes,), "u1")) for _ in range(workers)]) if private_bytes else ()
    cuts = [held.cuts.get(v) for v in held.graph.inputs] + [held.cuts.get(v) for v in held.whole] + [None] * held.parts
    draft.order.append(node)
    draft.steps.append(
        Region(
            node, held.size, rows, last_rows, main, last, reads, writes, tuple(cuts), held.parts, held.shares, tuple(held.starts()),
            workers, private,
        )
    )
    for value, where in zip(node.outputs, writes):
        draft.put(value, where)


def _strides(spec: Spec, block: Place | None) -> tuple[int, ...] | None:
    """The axes in the order in which the block's lie; parts of reductions lie in C order."""
    if block is None or block.strides is None or len(block.shape) != spec.ndim:
        return None
    return k_strides(spec.shape, spec.dtype.itemsize, ((block.shape, block.strides),))


def _work_ns(body: Plan, target: Target) -> float:
    """What a block takes: by each kernel's own cost, and no less than what it moves takes in the cache."""
    total = 0.0
    for step in body.steps:
        if isinstance(step, Call):
            moved = sum([v.spec.nbytes for v in (*step.node.operands, *step.node.outputs)])
            specs = tuple([v.spec for v in step.node.operands])
            total += max(step.kernel.cost(specs, step.node.specs, step.node.attrs), target.call_ns + moved / (4 * target.bandwidth))
    return total


def _lengths(held: Blocked, target: Target, body: Callable[[int], Plan], exact: bool) -> tuple[int, int]:
    """(rows of a block, rows of the last one or 0). Under `exact` no block has one row: NumPy adds up a single row in another order."""
    varying = [v.spec for v in held.cuts]
    elements = max([s.size for s in varying]) // held.size or 1
    fewest = -(-target.block_elements // elements)
    tried = min(held.size, max(2, fewest))
    own = max(1, body(tried).arena_bytes // tried)
    rows = max(2, min(held.size, max(target.cache_bytes // own, fewest)))
    rows = -(-held.size // max(1, held.size // rows))  # as even as may be
    last = held.size % rows
    if exact and last == 1:
        return rows, rows + 1
    return rows, last
