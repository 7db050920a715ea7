"""Offsets in one arena: buffers with lifetimes in, offsets and the arena's size out."""
from __future__ import annotations

from collections.abc import Sequence

from ir.plan import Buffer


def alignment_of(bytes: int, most: int) -> int:
    """Small buffers need no more than the next power of two of their size."""
    return min(most, 1 << max(bytes - 1, 0).bit_length())


def place_buffers(buffers: Sequence[Buffer], alignment: int) -> int:
    """Sets the offsets; gives the bytes of the arena."""
    end = 0
    for buffer in buffers:
        align = alignment_of(buffer.bytes, alignment)
        buffer.offset = -(-end // align) * align
        end = buffer.offset + buffer.bytes
    return end


def most_live(buffers: Sequence[Buffer]) -> int:
    """The most bytes live at any step."""
    change: dict[int, int] = {}
    for buffer in buffers:
        change[buffer.birth] = change.get(buffer.birth, 0) + buffer.bytes
        change[buffer.death + 1] = change.get(buffer.death + 1, 0) - buffer.bytes
    live = most = 0
    for step in sorted(change):
        live += change[step]
        most = max(most, live)
    return most
