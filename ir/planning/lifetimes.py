"""Liveness: the steps of a plan in, first and last step of each buffer out. A value and its views share one lifetime.

A buffer of the arena lives from the first step that touches it to the last. Results are asked for before the first step and slots
keep their number, so both live throughout, as do inputs, states and constants.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ir.place import Buffer, Place
from ir.plan import Call, Copy, Fill, Gate, Region, Step


def touched(step: Step) -> Iterator[Place]:
    """The places that a step reads, writes or needs."""
    if isinstance(step, Call):
        yield from step.reads
        yield from step.writes
        yield from step.temps
    elif isinstance(step, Region):
        yield from step.reads
        yield from step.writes
        yield from step.private
    elif isinstance(step, Copy):
        yield step.read
        yield step.write
    elif isinstance(step, Fill):
        yield step.write
    elif isinstance(step, Gate):
        yield step.read


def set_lifetimes(steps: Sequence[Step], buffers: Iterable[Buffer], kept: Iterable[Buffer] = ()) -> None:
    """Sets `birth` and `death` of every buffer; those in `kept` last to the end."""
    last = max(len(steps) - 1, 0)
    first: dict[Buffer, int] = {}
    final: dict[Buffer, int] = {}
    for index, step in enumerate(steps):
        for place in touched(step):
            first.setdefault(place.buffer, index)
            final[place.buffer] = index
    final.update((buffer, last) for buffer in kept)
    for buffer in buffers:
        if buffer.kind == "arena":
            buffer.birth, buffer.death = first.get(buffer, 0), final.get(buffer, 0)
        else:
            buffer.birth, buffer.death = 0, last
