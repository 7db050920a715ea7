"""What a plan is on a device: works in order, on spots of memory. Records; they name no device and hold no memory.

A `Spot` says in which memory (see `KINDS`) and how far from its beginning something lies; only who runs the program knows addresses.
Invariant: whatever a work touches is in its spots, what it writes is marked, and each kernel is in `Program.text`.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backends.cupy.device import Gemm
from ir.planning.strides import c_strides

KINDS = ("arena", "input", "state", "const", "scalar", "result", "kept", "count")  # the last two are the runner's own


@dataclass(frozen=True)
class Spot:
    """`nbytes` from `offset` on: in the arena, the scalars, or the `index`-th input, state, constant or result."""

    kind: str
    offset: int
    nbytes: int
    index: int = 0
    writes: bool = False

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind


@dataclass(frozen=True)
class Launch:
    """A kernel of the program's text on spots, one for each parameter."""

    name: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    spots: tuple[Spot, ...]


@dataclass(frozen=True)
class Multiply:
    """A product; `otherwise` runs in its place where the library does not offer it with this epilogue."""

    gemm: Gemm
    a: Spot
    b: Spot
    d: Spot
    bias: Spot | None = None
    otherwise: tuple[Work, ...] = ()


@dataclass(frozen=True)
class Move:
    """`nbytes` of `source` to `target`."""

    target: Spot
    source: Spot


Work = Launch | Multiply | Move


@dataclass(frozen=True)
class Array:
    """An array as the plan has it, without gaps; `strides` in bytes, None for C's order."""

    shape: tuple[int, ...]
    dtype: np.dtype
    strides: tuple[int, ...] | None = None

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def alike(self, array: Any) -> bool:
        """Whether an array lies as this one does."""
        strides = self.strides or c_strides(self.shape, self.dtype.itemsize)
        return self.nbytes == 0 or all(n == 1 or s == t for n, s, t in zip(self.shape, strides, array.strides))


@dataclass(frozen=True)
class Program:
    """All that a device needs. `inputs`: for each input of the plan an array, or None for a Python number; `states`: which of them are
    written in place; `results`: what they are, and where they lie in the end. `fill(numbers, block)` writes into the block the scalars
    that follow from those inputs that are numbers, in order.
    """

    text: str
    works: tuple[Work, ...]
    arena_bytes: int
    inputs: tuple[Array | None, ...]
    states: tuple[int, ...] = ()
    results: tuple[tuple[Array, Spot], ...] = ()
    constants: tuple[np.ndarray, ...] = ()
    scalar_bytes: int = 0
    fill: Callable[[Sequence[Any], np.ndarray], None] = field(default=lambda numbers, block: None)
    fused: bool = True
