"""The plan: steps over places in buffers. It states everything that a program does, so its memory bill is true.

A `Buffer` is memory with a lifetime; a `Place` is where a value lives in one (several places may share a buffer: views, in-place
results). Steps run in order; `birth` and `death` of a buffer are indices into `plan.steps`.
"""
from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ir.errors import ArgumentError
from ir.graph import Graph, Node, Value
from ir.source import Line
from ir.spec import dtype_name
from ir.target import Kernel, Target
from ir.text import comment, value_names


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

    def text(self, lines: bool = True) -> str:
        """The bill, then a row for each step; `lines=False` leaves the user's lines out.

        A place is its buffer (`#3@128` in the arena, `input0`, `state1`, `const2`, `result0`), its offset within (`+16`) and its strides
        where they are not those of C order; bytes and lifetimes are of the buffers that a step writes.
        """
        return "\n".join(_plan_text(self, lines))

    def __str__(self) -> str:
        return self.text()

    if TYPE_CHECKING:  # attached in `ir/__init__.py`

        @property
        def floor_bytes(self) -> int: ...
        def to_dot(self) -> str: ...
        def render(self, path: str | os.PathLike[str]) -> None: ...


def _plan_text(plan: Plan, lines: bool, body: bool = False) -> list[str]:
    beside = {kind: sum([b.bytes for b in plan.buffers if b.kind == kind]) for kind in ("input", "state", "const")}
    slack = plan.arena_request - plan.arena_bytes
    shown = ", ".join(["a Python number" if p is None else f"{_place_text(p)} {_spec_text(p)}" for p in plan.results])
    return [
        f"plan for {plan.target.name}{', exact' if plan.exact else ''}: {len(plan.steps)} step{'' if len(plan.steps) == 1 else 's'}",
        f"  peak_bytes {plan.peak_bytes} = arena {plan.arena_bytes} + alignment {slack} + results {plan.result_bytes}"
        f" + scratch {plan.scratch_bytes}",
        f"  lower_bound_bytes {plan.lower_bound_bytes}",
        *([] if body else _floor_text(plan)),
        f"  beside it: inputs {beside['input']}, states {beside['state']}, constants {beside['const']}",
        f"  results: {shown}".rstrip(),
        *_table(plan, lines),
    ]


def _floor_text(plan: Plan) -> list[str]:
    """How far the peak is above the floor, where it is or where there is a limit."""
    floor, limit = plan.floor_bytes, plan.memory_limit
    if limit is None and plan.peak_bytes <= floor:
        return []
    asked = f", the limit is {limit}" if limit is not None else ""
    return [f"  floor_bytes {floor}: peak_bytes is {plan.peak_bytes - floor} above it{asked}"]


def _table(plan: Plan, lines: bool) -> list[str]:
    """The steps in columns; the body of a loop stands indented under its row."""
    names = value_names(plan.graph)
    rows: list[tuple[str, ...]] = [("step", "kernel", "value", "reads", "writes", "bytes", "birth", "death")]
    rows += [(str(k), *_row(step, names)) for k, step in enumerate(plan.steps)]
    widths = [max([len(row[c]) for row in rows]) for c in range(len(rows[0]))]
    right = (0, 5, 6, 7)
    found = []
    for k, row in enumerate(rows):
        text = "  ".join([cell.rjust(w) if c in right else cell.ljust(w) for c, (cell, w) in enumerate(zip(row, widths))])
        step = plan.steps[k - 1] if k else None
        line = step.line if step is not None and lines else None
        found.append(f"  {text}".rstrip() + (f"   # {comment(line)}" if line is not None else ""))
        if isinstance(step, (Loop, Region)):
            found += _body_text(plan, k - 1, lines)
    return found


def _body_text(plan: Plan, index: int, lines: bool) -> list[str]:
    """The body of a loop or region, once for regions that run the same."""
    step = plan.steps[index]
    assert isinstance(step, (Loop, Region))
    for k, other in enumerate(plan.steps[:index]):
        if isinstance(other, Region) and other.body is step.body:
            return [f"    as in step {k}"]
    return [f"    {inner}".rstrip() for inner in _plan_text(step.body, lines, body=True)]


def _row(step: Step, names: dict[Value, str]) -> tuple[str, ...]:
    """kernel, value, reads, writes, bytes, birth, death."""
    if isinstance(step, Host):
        reads = ", ".join([names[v] for v in step.node.operands])
        return f"host {step.node.attrs.get('fn', step.node.op.name)}", names[step.node.outputs[0]], reads, "", "", "", ""
    if isinstance(step, Fill):
        return ("fill", "", names[step.value], *_written((step.write,)))
    if isinstance(step, Copy):
        return (f"copy{step.when and ', ' + step.when} ({step.why})", "", _place_text(step.read), *_written((step.write,)))
    if isinstance(step, Gate):
        return "go on if true", "", _place_text(step.read), "", "", "", ""
    if isinstance(step, Tick):
        return "count", "", "", "", "", "", ""
    if isinstance(step, Loop):
        changing = f" over {', '.join([f'input{k}' for k in step.changing])}" if step.changing else ""
        return (f"loop {step.trips} times{changing}", "", "", *_written(step.stacked))
    values = ", ".join([names[v] for v in step.node.outputs])
    if isinstance(step, Region):
        private = f" (with {', '.join(map(_place_text, step.private))})" if step.private else ""
        written = _written(step.writes)
        reads = ", ".join([f"{_place_text(p)}{_halo_text(e)}" for p, e in zip(step.reads, step.extents)])
        forks = ", with it" if step.follows else f", {step.workers} workers" if step.workers > 1 else ""
        return (f"region {step.size} by {step.rows}{forks}", values, reads, written[0] + private, *written[1:])
    temps = f" (with {', '.join(map(_place_text, step.temps))})" if step.temps else ""
    written = _written(step.writes)
    return (step.kernel.name, values, ", ".join(map(_place_text, step.reads)), written[0] + temps, *written[1:])


def _written(places: tuple[Place, ...]) -> tuple[str, str, str, str]:
    """writes, bytes, birth, death."""
    buffers = [p.buffer for p in places]
    return (
        ", ".join(map(_place_text, places)), ", ".join([str(b.bytes) for b in buffers]),
        ", ".join([str(b.birth) for b in buffers]), ", ".join([str(b.death) for b in buffers]),
    )


def _halo_text(extent: tuple[int, int]) -> str:
    """Which rows besides its own a block reads."""
    return "" if extent == (0, 0) else f" rows {extent[0]:+}..{extent[1]:+}"


def _place_text(place: Place) -> str:
    buffer = place.buffer
    number = buffer.id if buffer.index is None else buffer.index
    text = f"{buffer.kind}{number}" if buffer.offset is None else f"#{buffer.id}@{buffer.offset}"
    if place.offset:
        text += f"+{place.offset}"
    if place.strides is None:
        return f"{text} strides of the call"
    return text if place.contiguous() else f"{text} strides ({', '.join(map(str, place.strides))})"


def _spec_text(place: Place) -> str:
    return f"{dtype_name(place.dtype)}[{','.join(map(str, place.shape))}]"
