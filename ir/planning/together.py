"""Regions that stand one behind the other and have nothing to do with each other, by one fork: steps in, the same steps out.

A worker that has done with one goes on with the next, so thirty updates of tensors large and small keep all workers busy to the end, though
most of them alone would not pay for a fork. Those with the longest blocks go first: what is left at the end is short. Each worker has one
buffer for all of them. Nothing that is written may lie in the arena, where it would have to be there from the first region on.

Invariant: of regions that run together none writes what another reads or writes.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ir.place import Buffer, Place
from ir.plan import Region, Step
from ir.planning.draft import Draft
from ir.planning.region import work_ns
from ir.planning.work import PAYS
from ir.spec import Spec


def together(draft: Draft, steps: Sequence[Step]) -> list[Step]:
    """The steps, regions that may run together marked so where one fork of them pays."""
    found: list[Step] = []
    run: list[Region] = []
    reads, writes = set[Buffer](), set[Buffer]()
    for step in steps:
        fits = isinstance(step, Region) and all(p.buffer.kind != "arena" for p in step.writes)
        mine = {p.buffer for p in step.writes} if isinstance(step, Region) else set()
        read = {p.buffer for p in step.reads} if isinstance(step, Region) else set()
        if run and not (fits and not mine & (reads | writes) and not read & writes):
            found += _joined(draft, run)
            run, reads, writes = [], set(), set()
        if isinstance(step, Region) and fits:
            run.append(step)
            reads |= read
            writes |= mine
        else:
            found.append(step)
    return [*found, *_joined(draft, run)]


def _joined(draft: Draft, run: list[Region]) -> list[Region]:
    target, work = draft.target, {region: work_ns(region.body, draft.target) for region in run}  # of a block
    if len(run) < 2 or sum([work[r] * (r.size // r.rows) for r in run]) < PAYS * target.fork_ns:
        return run
    workers = min(target.workers, sum([region.shares for region in run]))
    private = _shared(draft, run, workers)
    ordered = sorted(run, key=lambda region: -work[region])
    blas = None if draft.exact else 1
    return [replace(r, workers=workers, private=private, blas_threads=blas, follows=k > 0) for k, r in enumerate(ordered)]


def _shared(draft: Draft, run: list[Region], workers: int) -> tuple[Place, ...]:
    """A buffer for each worker, as large as any region asks for, in place of those that they had."""
    had = [place.buffer for region in run for place in region.private]
    if not had:
        return ()
    spec = Spec((max([buffer.bytes for buffer in had]),), "u1")
    private = tuple([draft.dense(spec) for _ in range(workers)])
    gone = set(had)
    draft.buffers[:] = [buffer for buffer in draft.buffers if buffer not in gone]
    return private
