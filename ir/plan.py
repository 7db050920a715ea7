"""The plan: steps over places in buffers. It states everything that a program does, so its memory bill is true.

Steps run in order; `birth` and `death` of a buffer are indices into `plan.steps`.
"""
from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ir.errors import ArgumentError
from ir.graph import Graph, Node, Value
from ir.place import Buffer, Place
from ir.source import Line
from ir.target import Kernel, Target


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
    """`write[...] = read`: a relayout, a result that is an input, a cast of a slot, a state's new value.

    `when`: "" at each run; "once", as the memory is bound, or "before the first trip" of the Loop whose body this is: nothing else
    writes there. Such copies stand behind the Host and Fill steps.
    """

    read: Place
    write: Place
    why: str
    line: Line | None = None
    when: str = ""


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
    """`body` run `trips` times. States are carried in place; output k of the body goes to row i of `stacked[k]` in trip i.

    `changing`: the inputs, by index, that are given as a sequence of Python numbers, one for each trip. `again`: the Host and Fill steps
    at the front of the body that hang on them and run in each trip; the others run once.
    """

    body: Plan
    trips: int
    stacked: tuple[Place, ...]
    line: Line | None = None
    changing: tuple[int, ...] = ()
    again: tuple[Host | Fill, ...] = ()


@dataclass(frozen=True, eq=False)
class Region:
    """`body` run on block after block of `rows`, `size` rows in all; the last block, of `last_rows`, has a plan of its own, `last`, and so
    has the first where it is cut short in another way than the others (0 rows and None: it is like them).

    `reads` and `writes` are whole: `cuts` has, for each of them in this order, the axis that is cut and how many of its indices go with
    a row, or None for what every block reads whole. `extents`: how far from the block's own indices those that it takes begin and end, cut
    off at the ends of the array; a halo, as shifted slices need it. Where a place is in both, the body writes each block over the one that
    it read. The last writes are the body's states, one for each of `starts`: it has a row for each of as many shares of the blocks, which
    begins as that number and is carried from block to block. `workers` threads run the shares, one where it does not fork; `private`: a
    buffer for each, the body's arena (none where that is empty). `blas_threads`: of each product of the whole run, None for the
    process's own setting. `scales`: the body takes shorter blocks as well, in the first elements of its buffers; then `last` is the body.
    `follows`: it is run by one fork with the regions right before it, in the same private buffers.
    """

    node: Node
    size: int
    rows: int
    body: Plan
    reads: tuple[Place, ...]
    writes: tuple[Place, ...]
    cuts: tuple[tuple[int, int] | None, ...]
    extents: tuple[tuple[int, int], ...]
    shares: int
    starts: tuple[Any, ...]
    workers: int
    private: tuple[Place, ...]
    blas_threads: int | None = None
    scales: bool = False
    first_rows: int = 0
    first: Plan | None = None
    last_rows: int = 0
    last: Plan | None = None
    follows: bool = False

    @property
    def line(self) -> Line | None:
        return self.node.line


@dataclass(frozen=True, eq=False)
class Gate:
    """The run ends here with NotFiniteError, and nothing is written, where the bool at `read` is false: the last step before `tail`."""

    read: Place
    line: Line | None = None


@dataclass(frozen=True, eq=False)
class Tick:
    """One iteration more is counted, together with the writes of states: the last step of all."""

    line: Line | None = None


Step = Call | Copy | Fill | Host | Loop | Region | Gate | Tick


@dataclass(eq=False)
class Plan:
    """`places` maps each Value of the graph that has memory to its place; weak Values (Python numbers) have none.

    `results` are the places of the outputs in their order, None for a Python number; `states` those of the state inputs in theirs.
    States are written from step `tail` on: those steps are Copies, single calls and a Tick, made without a pause. `gate` is the index of an
    output, a bool without which they are not made; `counted`: whether iterations are counted. `order` lists the nodes as they
    are computed. `peak_bytes` counts what a call holds at once: `arena_request` + `result_bytes` + `scratch_bytes`. Under a
    `memory_limit`, `graph` may have nodes that compute again what others have computed; `traced` is the graph without them, `uncut`
    that without regions, and `free_bytes` the peak without the limit.
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
    gate: int | None = None
    counted: bool = False
    exact: bool = False
    layouts: dict[int, str | tuple[int, ...]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    memory_limit: int | None = None
    traced: Graph | None = None
    uncut: Graph | None = None
    free_bytes: int = 0

    def __copy__(self) -> Plan:
        return self

    def __deepcopy__(self, memo: Any) -> Plan:
        return self  # nothing changes a plan

    def __reduce__(self) -> Any:
        raise ArgumentError("a plan can't be pickled: its target's kernels are code", op="pickle", mend="pickle plan.graph, or str(plan)")

    @property
    def arena_request(self) -> int:
        """Bytes to ask for: the arena and the slack that aligns its first byte; 0 where there is no arena."""
        return self.arena_bytes + self.target.alignment if self.arena_bytes else 0

    @property
    def result_bytes(self) -> int:
        """Bytes to ask for to hold the results; NumPy asks for one even where an array has no elements."""
        return sum([max(b.bytes, 1) for b in self.buffers if b.kind == "result"])

    @property
    def blas_threads(self) -> int | None:
        """How many threads of the BLAS library each product of a run has, those outside regions too; None: as the process has it set.

        One where a region forks: BLAS's own threads wait for their next product awake, 25 ms long, on the processors that workers need.
        """
        plans = [s.body for s in self.steps if isinstance(s, Loop)] or [self]
        asked = [s.blas_threads for p in plans for s in p.steps if isinstance(s, Region) and s.blas_threads is not None]
        return min(asked, default=None)

    @property
    def packs(self) -> list[tuple[int, ...]]:
        """States that lie one behind the other in one buffer, by index of the input: who runs the plan gives arrays that lie so."""
        found: dict[Buffer, list[int]] = {}
        for index, value in enumerate(self.graph.inputs):
            if value in self.places:
                found.setdefault(self.places[value].buffer, []).append(index)
        return [tuple(members) for members in found.values() if len(members) > 1]

    if TYPE_CHECKING:  # attached in `ir/__init__.py`

        @property
        def floor_bytes(self) -> int: ...
        def text(self, lines: bool = True) -> str: ...
        def to_dot(self) -> str: ...
        def render(self, path: str | os.PathLike[str]) -> None: ...
