"""Memory as a plan knows it: a `Buffer` has a lifetime; a `Place` is where a value lives in one. Several places may share a buffer: views,
in-place results.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(eq=False)
class Buffer:
    """Memory. `kind`: "input" (the caller's), "state" (persists between runs), "const" (`data` holds it), "arena", "scalar" (a 0-d slot
    in the arena, set by a Fill from a Python number), "result" (fresh at each call, the caller's). `offset`: bytes into the arena,
    for kinds "arena" and "scalar". `index`: which input (input, state) or which output (result) it belongs to.
    """

    id: int
    kind: str
    bytes: int
    offset: int | None = None
    birth: int = 0
    death: int = 0
    index: int | None = None
    data: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Place:
    """Where a value lives: `offset` and `strides` in bytes within the buffer; `strides` is None where only the call will tell."""

    buffer: Buffer
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    dtype: np.dtype

    def contiguous(self, order: str = "C") -> bool:
        """Whether elements lie one after another in that order ("C" or "F"), as NumPy's flags say it."""
        if self.strides is None:
            return False
        size = self.dtype.itemsize
        axes = range(len(self.shape)) if order == "F" else reversed(range(len(self.shape)))
        if 0 in self.shape:
            return True
        for axis in axes:
            if self.shape[axis] != 1 and self.strides[axis] != size:
                return False
            size *= self.shape[axis]
        return True

    def span(self) -> tuple[int, int]:
        """The bytes of its buffer between which it lies; strides must be known."""
        assert self.strides is not None
        if 0 in self.shape:
            return 0, 0
        steps = [stride * (n - 1) for n, stride in zip(self.shape, self.strides)]
        return self.offset + sum([s for s in steps if s < 0]), self.offset + sum([s for s in steps if s > 0]) + self.dtype.itemsize
