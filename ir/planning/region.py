"""A node `region` becomes a Region step: the length of its blocks is chosen, the block is planned, its results get places.

Blocks are as long as the body's buffers fit a worker's cache, and no longer: a call for each step of each block is the price, so
shorter ones cost calls. The length depends on the Target's cache alone, not on its workers, and so do the bits.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ir.graph import Node, Value
from ir.plan import Call, Place, Plan, Region
from ir.planning.blocks import Blocked
from ir.planning.draft import Draft
from ir.planning.strides import k_strides
from ir.spec import Spec
from ir.target import Target

Body = Callable[..., Plan]
PAYS = 4  # times the price of a fork: what a region has to do at least to be worth one


def place(draft: Draft, node: Node, homes: Mapping[Value, Value], plan_body: Body) -> None:
    """Appends the step and gives the node's outputs their places. `homes`: the states that outputs are written over."""
    held: Blocked = node.attrs["blocked"]
    written = {node.operands.index(homes[v]): v.index for v in node.outputs if v in homes}
    kept = [k for k in range(len(node.operands)) if k not in written]
    given = [k for k in range(len(held.whole)) if k not in written.values()]
    order = [*kept, *sorted(written)]
    reads = [draft.places[v] for v in node.operands]
    layouts: dict[int, str | tuple[int, ...]] = {}
    for at, k in enumerate(order):
        strides = reads[k].strides
        layouts[at] = "any" if strides is None else strides
    target = replace(draft.target, regions=False)
    wholes = tuple([held.whole[k].spec for k in given])

    def body(rows: int) -> Plan:
        return plan_body(held.block(rows, written), target, layouts, draft.exact, wholes)

    key = (held.key(), tuple(sorted(written.items())), tuple(layouts.items()), wholes)
    if key not in draft.bodies:
        rows, last_rows = _lengths(held, target, body, draft.exact)
        draft.bodies[key] = rows, last_rows, body(rows), body(last_rows) if last_rows else None
    rows, last_rows, main, last = draft.bodies[key]
    draft.use(node)
    blocks = dict(zip(given, main.results))
    places = {k: draft.dense(spec, _strides(spec, blocks.get(k))) for k, spec in enumerate(held.specs) if k not in written.values()}
    places.update({written[k]: reads[k] for k in written})
    private_bytes = max(main.arena_bytes, last.arena_bytes if last else 0) if target.region_buffers else 0
    count = held.size // rows + (last_rows > 0)
    forks = count > 1 and _work_ns(main, target) * count >= PAYS * target.fork_ns
    workers = min(target.workers, held.shares, count) if forks else 1
    blas = 1 if forks and not draft.exact else None  # whatever the number of workers: bits depend on the number of BLAS's threads
    private = tuple([draft.dense(Spec((private_bytes,), "u1")) for _ in range(workers)]) if private_bytes else ()
    writes = [*given, *[written[k] for k in sorted(written)], *range(len(held.whole), len(held.specs))]
    cuts = [held.cuts.get(held.graph.inputs[k]) for k in kept]
    cuts += [held.cuts.get(held.graph.outputs[k]) if k < len(held.whole) else None for k in writes]
    draft.order.append(node)
    draft.steps.append(
        Region(
            node, held.size, rows, last_rows, main, last, tuple([reads[k] for k in kept]), tuple([places[k] for k in writes]), tuple(cuts),
            held.shares, tuple(held.starts()), workers, private, blas,
        )
    )
    for value in node.outputs:
        draft.put(value, places[value.index])


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
    if not target.region_buffers:
        return 1, 0
    varying = [v.spec for v in held.cuts]
    elements = max([s.size for s in varying]) // held.size or 1
    fewest = -(-target.block_elements // elements)
    tried = min(held.size, max(2, fewest))
    own = max(1, body(tried).arena_bytes // tried)
    rows = max(2, min(held.size, max(min(target.cache_bytes // own, -(-held.size // held.shares)), fewest)))
    rows = -(-held.size // max(1, held.size // rows))  # as even as may be
    last = held.size % rows
    if exact and last == 1:
        return rows, rows + 1
    return rows, last
