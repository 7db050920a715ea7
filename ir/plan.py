"""The plan: steps over places in buffers. It states everything that a program does, so its memory bill is true.

A `Buffer` is memory with a lifetime; a `Place` is where a value lives in one (several places may share a buffer: views, in-place
results). Steps run in order; `birth` and `death` of a buffer are indices into `plan.steps`.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ir.graph import Graph, Node, Value
from ir.source import Line
from ir.target import Kernel, Target


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


@dataclass(frozen=True, eq=False)
class View:
    """A place that shows `source` through the view operation of `node`; it costs no step. Listed in the order of dependence."""

    place: Place
    source: Place
    node: Node


@dataclass(frozen=True, eq=False)
class Call:
    """One kernel run on places. `node` is what it computes (its attributes are the kernel's)."""

    kernel: Kernel
    node: Node
    reads: tuple[Place, ...]
    writes: tuple[Place, ...]
    temps: tuple[Place, ...] = ()

    @property
    def line(self) -> Line | None:
        return self.node.line


@dataclass(frozen=True, eq=False)
class Copy:
    """`write[...] = read`: a relayout, a result that is an input, a cast of a slot, a state's new value."""

    read: Place
    write: Place
    why: str
    line: Line | None = None


@dataclass(frozen=True, eq=False)
class Fill:
    """`write[()] = value`, once a call: the Python number `value` (a weak input or a Host's) into a slot of the dtype of a kernel's loop.

    All Host and Fill steps stand at the front of a plan; a slot keeps its number to the end, so a Loop need not fill it again.
    """

    value: Value
    write: Place
    line: Line | None = None


@dataclass(frozen=True, eq=False)
class Host:
    """Arithmetic on Python numbers, once a call: `node` is a `python` operation; reads and writes are scalar values, not places."""

    node: Node

    @property
    def line(self) -> Line | None:
        return self.node.line


@dataclass(frozen=True, eq=False)
class Loop:
    """`body` run `trips` times. States are carried in place; output k of the body goes to row i of `stacked[k]` in trip i."""

    body: Plan
    trips: int
    stacked: tuple[Place, ...]
    line: Line | None = None


Step = Call | Copy | Fill | Host | Loop


@dataclass(eq=False)
class Plan:
    """`places` maps each Value of the graph that has memory to its place; weak Values (Python numbers) have none.

    `results` are the places of the outputs in their order, None for a Python number; `states` those of the state inputs in theirs.
    `tail` is the index of the first step that writes a state; from there on only states are written. `order` lists the nodes as they
    are computed. `peak_bytes` counts what a call holds at once: `arena_request` + results + `scratch_bytes`.
    """

    graph: Graph
    target: Target
    steps: list[Step]
    buffers: list[Buffer]
    places: dict[Value, Place]
    views: list[View]
    results: tuple[Place | None, ...]
    states: tuple[Place, ...] = ()
    order: list[Node] = field(default_factory=list)
    arena_bytes: int = 0
    scratch_bytes: int = 0
    peak_bytes: int = 0
    lower_bound_bytes: int = 0
    tail: int = 0
    exact: bool = False
    layouts: dict[int, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def arena_request(self) -> int:
        """Bytes to ask for: the arena and the slack that aligns its first byte; 0 where there is no arena."""
        return self.arena_bytes + self.target.alignment if self.arena_bytes else 0
