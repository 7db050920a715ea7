"""Which buffer an output takes over: a Call's kernel and reads in, the places it writes out.

An output may lie where an operand lies that the kernel can overwrite, if that operand's buffer has no uses ahead, is the plan's own,
and has the output's shape, strides and dtype; no other operand may lie there, but the very same place for elementwise kernels.
Updates write a part of their output only, so operand 0 must lie there: it is copied first where it may not be overwritten.
"""
from __future__ import annotations

import math

from ir.graph import Node
from ir.op import Trait
from ir.plan import Place
from ir.planning.draft import Draft
from ir.target import Kernel, Places


def settle_writes(draft: Draft, node: Node, kernel: Kernel, reads: Places, writes: Places) -> tuple[Places, Places]:
    """(reads, writes) as they will be. The uses that `node` makes must be counted off before."""
    if node.op.family == "update":
        base = reads[0]
        if not (_free(draft, base) and not _repeats(base) and _alone(node, reads, 0)):
            base = draft.copied(base, f"{node.op.name} writes into it", node.line, order="K")
            reads = (base, *reads[1:])
        return reads, (base,)
    for position in kernel.overwrites if math.prod(writes[0].shape) >= draft.target.in_place_from else ():
        place = reads[position]
        if _free(draft, place) and fits(place, writes[0]) and _alone(node, reads, position):
            return reads, (place, *[draft.keep(w) for w in writes[1:]])
    return reads, tuple([draft.keep(w) for w in writes])


def _free(draft: Draft, place: Place) -> bool:
    return place.buffer.kind == "arena" and draft.ahead[place.buffer] == 0


def fits(place: Place, wanted: Place) -> bool:
    """Whether `place` fills its buffer in the way in which `wanted` would."""
    return (
        place.offset == 0 and place.shape == wanted.shape and place.strides == wanted.strides
        and place.dtype == wanted.dtype and place.buffer.bytes == wanted.buffer.bytes
    )


def _repeats(place: Place) -> bool:
    """Whether elements share memory (a broadcast view)."""
    return place.strides is None or any(stride == 0 and size > 1 for stride, size in zip(place.strides, place.shape))


def _alone(node: Node, reads: tuple[Place, ...], position: int) -> bool:
    """Whether no other operand shares the buffer in a way that writing element by element would disturb."""
    place = reads[position]
    for k, other in enumerate(reads):
        if k != position and other.buffer is place.buffer:
            same = other.offset == place.offset and other.strides == place.strides and other.shape == place.shape
            if not (same and other.dtype == place.dtype and node.op.has(Trait.ELEMENTWISE)):
                return False
    return True
