"""A node `region` becomes a Region step: the length of its blocks is chosen, the block is planned, its results get places.

Blocks are as long as the body's buffers and what it gives fit a worker's cache, and no longer: a call for each step of each block is
the price, so shorter ones cost calls. The length depends on the Target's cache alone, not on its workers, and so do the bits.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ir.graph import Node, Value
from ir.place import Place
from ir.plan import Call, Plan, Region
from ir.planning.blocks import Blocked
from ir.planning.draft import Draft
from ir.planning.flat import flattened, one_axis
from ir.planning.results import fills
from ir.planning.strides import k_strides
from ir.planning.walk import LINE, in_rows, walk_ns
from ir.planning.work import PAYS, fewest_rows, node_ns
from ir.spec import Spec
from ir.target import Target

Body = Callable[..., Plan]
Over = Mapping[int, int]  # outputs, and the operands that each is written over, by index
Turned = tuple[int, ...]  # operands that each block lays in rows
Blocks = Callable[[int, int, Over, Turned], Plan]  # of the rows from first to last + 1
OFTEN = 3  # readers of an operand that lies as only the call says, from which on each block is copied first
GAPPED = 2  # those where it is known to have gaps: max and subtract took 1.5 ns an element of every second column, 1.0 after a copy
BLOCKS = 4  # of a product alone: each reads, and BLAS packs, all of what is not cut


def place(draft: Draft, node: Node, homes: Mapping[Value, Value], plan_body: Body) -> None:
    """Appends the step and gives the node's outputs their places. `homes`: the states that outputs are written over."""
    held: Blocked = node.attrs["blocked"]
    reads = tuple([draft.places[v] for v in node.operands])
    flat = flattened(held, reads)
    run, given = (flat.held, flat.reads) if flat is not None else (held, reads)
    body = _bodies(draft, run, given, plan_body, flat is not None)
    tried, turned = _turned(draft, run, given, body)
    if flat is not None:
        lies: list[tuple[int, ...] | None] = [flat.strides(v.spec) for v in held.whole]
    else:
        lies = [*[_strides(v.spec, block) for v, block in zip(held.whole, tried.results)], *[None] * held.parts]
    draft.use(node)
    over = {v.index: node.operands.index(homes[v]) for v in node.outputs if v in homes}
    over.update(_dying(draft, held, reads, lies, over))
    if flat is not None:
        lengths = _even(run, draft.target, tried)
    else:
        lengths = _lengths(run, draft.target, tried, turned, draft.exact)
    first_rows, rows, last_rows = lengths
    first, main, last = _planned(run.size, lengths, lambda low, high: body(low, high, over, turned), flat is not None)
    writes = tuple([reads[over[k]] if k in over else draft.dense(spec, lies[k]) for k, spec in enumerate(held.specs)])
    seen = tuple([given[over[k]] if k in over else one_axis(p) for k, p in enumerate(writes)]) if flat is not None else writes
    private_bytes = max([b.arena_bytes for b in (first, main, last) if b is not None]) if draft.target.region_buffers else 0
    count = (run.size - first_rows - last_rows) // rows + (first_rows > 0) + (last_rows > 0)
    long = run.size // (_tried(run, draft.target)[1] - _tried(run, draft.target)[0]) > 1  # enough for calls at the same time
    forks = count > 1 and long and work_ns(main, draft.target) * count >= PAYS * draft.target.fork_ns
    shares = held.shares if held.parts else count  # where nothing is joined any block may go to any worker
    workers = min(draft.target.workers, shares, count) if forks else 1
    blas = 1 if forks and not draft.exact else None  # whatever the number of workers: bits depend on the number of BLAS's threads
    private = tuple([draft.dense(Spec((private_bytes,), "u1")) for _ in range(workers)]) if private_bytes else ()
    cuts = [run.cuts.get(v) for v in (*run.graph.inputs, *run.whole)] + [None] * held.parts
    extents = [run.halo.extents.get(v, (0, 0)) for v in run.graph.inputs] + [(0, 0)] * len(writes)
    draft.order.append(node)
    draft.steps.append(
        Region(
            node, run.size, rows, main, given, seen, tuple(cuts), tuple(extents), shares, tuple(held.starts()), workers, private, blas,
            flat is not None, first_rows, first, last_rows, last,
        )
    )
    for value, where in zip(node.outputs, writes):
        draft.put(value, where)


def _planned(
    size: int, lengths: tuple[int, int, int], body: Callable[[int, int], Plan], scales: bool
) -> tuple[Plan | None, Plan, Plan | None]:
    """The plans of the first block, if it has one of its own, of each, and of the last, if it has; one that `scales` does for the last."""
    first, rows, last = lengths
    main = body(first, first + rows)
    return body(0, first) if first else None, main, None if not last else main if scales else body(size - last, size)


def _bodies(draft: Draft, held: Blocked, reads: Sequence[Place], plan_body: Body, flat: bool) -> Blocks:
    """How the plan of the block of these rows, from first to last + 1, is made; equal ones of a draft are made once. On one axis they are
    equal whatever the length of the whole.
    """
    target = replace(draft.target, regions=False)
    layouts: dict[int, str | tuple[int, ...]] = {k: "any" if p.strides is None else p.strides for k, p in enumerate(reads)}
    wholes, known = tuple([v.spec for v in held.whole]), held.block(0, 1).text() if flat else held.key()
    shared = known, tuple(layouts.values())

    def body(low: int, high: int, over: Over, turned: Turned) -> Plan:
        key = (*shared, *(x if held.halo.margins != (0, 0) else high - low for x in (low, high)), tuple(sorted(over.items())), turned)
        if key not in draft.bodies:
            draft.bodies[key] = plan_body(held.block(low, high), target, layouts, draft.exact, wholes, over, turned, draft.orders)
        made: Plan = draft.bodies[key]
        return made

    return body


def _turned(draft: Draft, held: Blocked, reads: Sequence[Place], body: Blocks) -> tuple[Plan, Turned]:
    """The plan of a block, and the operands that each block first lays in rows: those whose last axis has gaps, if its steps then take
    less with the copies than they do without, and those that lie as only the call says, if they are read often: one more pass where they
    lie in rows anyway, two slow ones fewer where they do not.
    """
    rows, target = _tried(held, draft.target), draft.target
    cut = [(k, v, place) for k, (v, place) in enumerate(zip(held.graph.inputs, reads)) if v in held.cuts]
    gapped = [k for k, _, place in cut if not in_rows(place)]
    unknown = [k for k, v, place in cut if place.strides is None and len(held.graph.users(v.node)) >= _often(draft, place)]
    if draft.exact or not target.gap_ns:
        gapped = unknown = []
    plain = body(*rows, {}, tuple(unknown))
    if not gapped:
        return plain, tuple(unknown)
    every = tuple(sorted([*gapped, *unknown]))
    tried = body(*rows, {}, every)
    return (tried, every) if walk_ns(tried) < walk_ns(plain) else (plain, tuple(unknown))


def _often(draft: Draft, place: Place) -> int:
    """How many readers of what lies as only the call says are worth a copy."""
    index = place.buffer.index if place.buffer.kind == "input" else None
    return GAPPED if index is not None and draft.layouts.get(index) == "gaps" else OFTEN


def _dying(
    draft: Draft, held: Blocked, reads: Sequence[Place], lies: Sequence[tuple[int, ...] | None], over: Over
) -> dict[int, int]:
    """Outputs, and operands that nothing reads after the region and that they may be written over: a block of each is read where the block
    of the output lies. `lies`: the strides of the outputs; `over`: what is written over already.
    """
    found: dict[int, int] = {}
    shared = Counter([place.buffer for place in reads])
    for output in [k for k in range(len(held.whole)) if k not in over]:
        for k in held.over(output):
            place = reads[k]
            free = place.buffer.kind == "arena" and not draft.ahead[place.buffer] and shared[place.buffer] == 1
            if free and fills(place) and place.strides == lies[output] and k not in (*over.values(), *found.values()):
                found[output] = k
                break
    return found


def _strides(spec: Spec, block: Place | None) -> tuple[int, ...] | None:
    """The axes in the order in which the block's lie; parts of reductions lie in C order."""
    if block is None or block.strides is None or len(block.shape) != spec.ndim:
        return None
    return k_strides(spec.shape, spec.dtype.itemsize, ((block.shape, block.strides),))


def work_ns(body: Plan, target: Target) -> float:
    """What a block takes."""
    return sum([node_ns(step.node, target, (step.kernel,)) for step in body.steps if isinstance(step, Call)])


def _tried(held: Blocked, target: Target) -> tuple[int, int]:
    """The rows, from first to last + 1, of the block that is asked how much memory it takes."""
    row_bytes = max([v.spec.nbytes for v in held.cuts]) // held.size
    fewest = max(2, -(-held.size // BLOCKS)) if held.is_product else fewest_rows(row_bytes, target)
    rows = min(held.size, fewest) if target.region_buffers else 1
    low = min(held.halo.margins[0], held.size - rows)
    return low, low + rows


def _lengths(held: Blocked, target: Target, tried: Plan, turned: Turned, exact: bool) -> tuple[int, int, int]:
    """Rows of the first block, if it is not like the others, of each, and of the last, if it is not. Within the margins no block ends but
    these. Under `exact` no block has one row, what is cut short in it included: NumPy adds up a single row in another order.
    """
    size, (before, after) = held.size, held.halo.margins
    if not target.region_buffers:
        return (before, 1, after) if before + after < size else (0, size, 0)
    low, high = _tried(held, target)
    fewest = high - low
    own = max(1, (tried.arena_bytes + tried.result_bytes) // fewest)
    rows = max(2, min(size, max(min(target.cache_bytes // target.shorter // own, -(-size // held.shares)), fewest)))
    rows = -(-size // max(1, size // rows))  # as even as may be
    if turned:  # whole lines of what lies along the rows
        line = LINE // min([held.graph.inputs[k].dtype.itemsize for k in turned])
        rows = min(size, -(-rows // line) * line)
    least = 2 if exact else 0
    rows = max(rows, min(size, max(before, after) + least))
    last = size % rows
    if last and last < after + least:
        last += rows
    first, last = rows if before else 0, last or (rows if after else 0)
    return (first, rows, last) if first + last < size else (0, size, 0)


def _even(held: Blocked, target: Target, tried: Plan) -> tuple[int, int, int]:
    """`_lengths` on one axis, where any block may be shorter. Of several blocks the length is one of eight between powers of two: chains of
    about the same size so have the same.
    """
    if not target.region_buffers:
        return 0, 1, 0
    fewest = _tried(held, target)[1]
    most = max(min(target.cache_bytes // target.shorter * fewest // max(1, tried.arena_bytes), -(-held.size // held.shares)), fewest)
    count = -(-held.size // most)
    if 2 <= held.size // fewest < count:  # no shorter than that, and as many for one worker as for another
        count = held.size // fewest // 2 * 2
    rows = -(-held.size // count)
    if count > 1:
        step = 1 << max(0, rows.bit_length() - 4)
        rows = -(-rows // step) * step
    return 0, rows, held.size % rows
