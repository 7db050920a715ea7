"""Copies that need not be made at each run: the steps of a draft in, those of them out that stand, taken from where they were.

What a constant is copied to (the row of ones that a layer's input carries) stays as it is if nothing else writes there: it is copied
once, when the program binds its memory. In the body of a Loop so is what an input is copied to, once before the first trip. Such a
buffer lives from the first step to the last. While all buffers together fit the cache that costs no time and saves a call; larger
programs and those under a limit of bytes keep their memory, and `exact` keeps its steps. A region's block has no memory of its own.

Invariant: no other step writes any byte between the first and the last that a standing copy writes.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ir.place import Place
from ir.plan import Call, Copy, Fill, Region, Step
from ir.planning.draft import Draft

ONCE = {"const": "once"}  # by what is read: when it is copied
ONCE_A_LOOP = {**ONCE, "input": "before the first trip"}


def standing(draft: Draft, when: Mapping[str, str]) -> list[Copy]:
    """Takes the copies that stand out of `draft.main`, and keeps their buffers to the end."""
    if not when or draft.exact or sum([b.bytes for b in draft.buffers if b.kind == "arena"]) > draft.target.cache_bytes:
        return []
    found = [s for s in draft.main if isinstance(s, Copy) and s.read.buffer.kind in when and s.write.buffer.kind == "arena"]
    written = [p for s in (*draft.main, *draft.tail) for p in _written(s)] if found else []
    found = [s for s in found if sum([_meet(s.write, p) for p in written]) == 1]
    for step in found:
        draft.main.remove(step)
        draft.kept.append(step.write.buffer)
    return [replace(step, when=when[step.read.buffer.kind]) for step in found]


def _written(step: Step) -> Iterator[Place]:
    if isinstance(step, (Copy, Fill)):
        yield step.write
    elif isinstance(step, (Call, Region)):
        yield from step.writes
        yield from _own(step)


def _own(step: Call | Region) -> Iterable[Place]:
    return step.temps if isinstance(step, Call) else step.private


def _meet(a: Place, b: Place) -> bool:
    """Whether bytes between the first and the last of one are among those of the other."""
    if a.buffer is not b.buffer:
        return False
    (one, two), (three, four) = a.span(), b.span()
    return one < four and three < two
