"""Which buffer an output takes over: a Call's kernel and reads in, the places it writes out.

An output may lie where an operand lies that the kernel can overwrite, if that operand's buffer has no uses ahead, is the plan's own,
and has the output's shape, strides and dtype; no other operand may lie there, but the very same place for elementwise kernels.
Updates write a part of their output only, so operand 0 must lie there. What is still to be read of that part is copied aside first
(`x[0], x[1] = x[1].copy(), x[0].copy()` copies one row); where that would be more than all of operand 0, or that is not the plan's own,
operand 0 is copied instead.
"""
from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ir.graph import Node
from ir.op import Trait
from ir.place import Place
from ir.planning import places
from ir.planning.draft import Draft
from ir.planning.results import alike, same
from ir.planning.strides import k_strides, viewed
from ir.target import Kernel, Places

FAR = 64  # values that are looked at for the way to one


def settle_writes(draft: Draft, node: Node, kernel: Kernel, reads: Places, writes: Places) -> tuple[Places, Places]:
    """(reads, writes) as they will be. The uses that `node` makes must be counted off before."""
    if node.op.family == "update":
        reads = _made_writable(draft, node, reads)
        return reads, (reads[0],)
    overwrites = kernel.overwrites if math.prod(writes[0].shape) >= draft.target.in_place_from else ()
    lent = draft.lent.get(node.outputs[0])
    if lent is not None and not draft.ahead[lent.buffer] and alike(lent, writes[0]):
        there = [k for k, place in enumerate(reads) if place.buffer is lent.buffer]
        if not there or any(k in overwrites and same(reads[k], lent) and _alone(node, reads, k) for k in there):
            return reads, (lent, *[draft.keep(w) for w in writes[1:]])
    for position in overwrites:
        place = reads[position]
        if _free(draft, place) and fits(place, writes[0]) and _alone(node, reads, position):
            return reads, (place, *[draft.keep(w) for w in writes[1:]])
    return reads, tuple([draft.keep(w) for w in writes])


def lend(draft: Draft, over: Mapping[int, int]) -> None:
    """Outputs that are to lie where inputs do, by index: they, and what is read on the way to them alone, may be computed there."""
    for output, k in over.items():
        draft.homes[output] = draft.places[draft.graph.inputs[k]]
        stack, looked = [draft.graph.outputs[output]], 0
        while stack and looked < FAR:
            value = stack.pop()
            looked += 1
            draft.lent[value] = draft.homes[output]
            operands = value.node.operands if value.node.op.has(Trait.ELEMENTWISE) else ()
            stack += [v for v in operands if v.spec == value.spec and draft.uses(v) == 1 and v.node.op.has(Trait.ELEMENTWISE)]


def _made_writable(draft: Draft, node: Node, reads: Places) -> Places:
    """The operands of an update as it may write into the first: what lies in its way is copied aside, or it is itself copied."""
    base, why = reads[0], f"{node.op.name} writes into it"
    if base.buffer.kind == "arena" and not _repeats(base) and (not draft.exact or _lies_as_new(base)):
        if _alone(node, reads, 0) and not draft.ahead[base.buffer]:
            return reads
        _place_views(draft, base)
        written = places.sliced(base, node.attrs["index"]) if "index" in node.attrs else base
        late = [v for v in draft.awaited[base.buffer] if _meet(draft.places[v], written)]
        own = [k for k in range(1, len(reads)) if _meet(reads[k], written, work=1)]  # as hard as NumPy tries before it copies itself
        aside = sum([v.spec.nbytes for v in [*late, *[node.operands[k] for k in own]]])
        if aside < math.prod(base.shape) * base.dtype.itemsize:
            for v in late:
                draft.set_aside(v, f"set aside: {why}", node.line)
            return tuple([draft.copied(p, f"set aside: {why}", node.line, order="K") if k in own else p for k, p in enumerate(reads)])
    return (draft.copied(base, why, node.line, order="K"), *reads[1:])


def _lies_as_new(place: Place) -> bool:
    """Whether a copy of what lies there, as the update's meaning makes one, would have the same strides."""
    assert place.strides is not None
    new = k_strides(place.shape, place.dtype.itemsize, ((place.shape, place.strides),))
    return all(size < 2 or here == there for size, here, there in zip(place.shape, place.strides, new))


def _place_views(draft: Draft, base: Place) -> None:
    """Places what is yet to be viewed in this buffer, so that a part is known as a part."""
    todo = list(draft.awaited[base.buffer])
    while todo:
        value = todo.pop()
        place = draft.places[value]
        for user in draft.graph.users(value.node):
            views = user.op.view_of is not None and user.operands == (value,) and user.outputs[0] not in draft.places
            if views and place.strides is not None and viewed(user, place.shape, place.strides, place.dtype) is not None:
                draft.order.append(user)
                places.place_view(draft, user)
                todo.append(user.outputs[0])


class _Address:
    """Memory that is not there, for NumPy to say whether two places share any."""

    def __init__(self, place: Place):
        self.__array_interface__: dict[str, Any] = {
            "data": ((1 << 40) + place.offset, True), "shape": place.shape, "strides": place.strides, "typestr": place.dtype.str,
            "version": 3,
        }


def _meet(a: Place, b: Place, work: Any = 1000) -> bool:
    """Whether two places may share elements, as far as can be told with that much work."""
    if a.buffer is not b.buffer:
        return False
    if a.strides is None or b.strides is None:
        return True
    return bool(np.may_share_memory(np.asarray(_Address(a)), np.asarray(_Address(b)), max_work=work))


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
