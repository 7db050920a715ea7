"""The elements that two arrays share, and how the one is brought up to date after a write into the other."""
from __future__ import annotations

from typing import Any, NamedTuple

from ir.graph import Value
from ir.ops import TABLE
from tracer.operands.refusal import refuse


class Shared(NamedTuple):
    """The elements that two arrays share: in each the slices that show them, or else their index arrays, in one order.

    `torn`: the elements of one lie across those of the other, so a write into one can't be shown in the other.
    """

    here: Any = None
    there: Any = None
    sliced: bool = False
    torn: bool = False

    def mirrored(self, here: Value, there: Value) -> Value:
        """`there` with the shared elements as they are `here`."""
        if self.torn:
            raise refuse(
                "an array is written that shares memory with another in parts of elements", "pass a copy of one of them", op="assignment",
                operands=[("x", here.spec), ("y", there.spec)],
            )
        if self.sliced:
            return TABLE["set_slice"](there, TABLE["slice"](here, index=self.here), index=self.there)
        mine, theirs = [[here.graph.constant(i) for i in index] for index in (self.here, self.there)]
        moved = TABLE["gather"](here, *mine, axes=tuple(range(len(mine)))) if mine else here
        if theirs:
            return TABLE["set_at"](there, moved, *theirs, axes=tuple(range(len(theirs))))
        return TABLE["reshape"](moved, shape=())
