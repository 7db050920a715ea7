"""The plan while it is being made: buffers, places, steps, and how many uses each buffer still has ahead.

The stages of `ir.planning` write into one Draft. A use is an operand, an output or an update; a value and its views share a buffer,
so when a buffer has no uses left, nothing will look at it again and its memory may be taken over.
"""
from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np

from ir.constant import Constant
from ir.graph import CONSTANT, Graph, Node, Value
from ir.place import Buffer, Place
from ir.plan import Copy, Fill, Host, Step, View
from ir.planning.packs import Packs
from ir.planning.strides import c_strides, k_strides
from ir.source import Line
from ir.spec import Spec
from ir.target import Kernel, Target, no_temps


class Draft:
    """`hosts`, `fills`, `main` and `tail` become the plan's steps in this order; `tail` holds what writes states and what follows that.

    `steps` is the list that is being written: `main` until `commit` makes it `tail`.
    """

    def __init__(self, graph: Graph, target: Target, layouts: dict[int, str | tuple[int, ...]], exact: bool):
        self.graph, self.target, self.layouts, self.exact = graph, target, layouts, exact
        self.packs = Packs(graph, layouts if target.pack_bytes and not exact else None)
        self.buffers: list[Buffer] = []
        self._ids = itertools.count()  # not their number: buffers may be taken out again
        self.places: dict[Value, Place] = {}
        self.views: list[View] = []
        self.hosts: list[Host] = []
        self.fills: list[Fill] = []
        self.main: list[Step] = []
        self.tail: list[Step] = []
        self.steps = self.main
        self.order: list[Node] = []
        self.kept: list[Buffer] = []  # arena buffers that must last to the end
        self.ahead: Counter[Buffer] = Counter()
        self.awaited: dict[Buffer, dict[Value, int]] = {}  # the values in a buffer that have uses ahead, with their number
        self.turned: set[Value] = set()  # inputs that are laid in rows before they are read
        self.homes: dict[int, Place] = {}  # where an input lies that is not read any more, for the output that is to be there
        self.lent: dict[Value, Place] = {}  # such homes, for the outputs and the values on the way to them
        self.bodies: dict[Any, Any] = {}  # plans of regions by what they are made from: equal ones are made once
        self.orders: dict[Any, Any] = {}  # in which the nodes of their blocks are computed, likewise
        self._kernels: dict[str, tuple[Kernel, ...]] = {}
        self._slots: dict[tuple[Value, np.dtype], Place] = {}
        self._uses: Counter[Value] = Counter(v for node in graph.order() for v in node.operands)
        self._uses.update(graph.results())

    def commit(self) -> None:
        """From here on steps may write states."""
        self.steps = self.tail

    def kernels(self, op: str) -> tuple[Kernel, ...]:
        """The target's kernels for an operation that count here."""
        found = self._kernels.get(op)
        if found is None:
            found = self._kernels[op] = tuple(k for k in self.target.kernels.get(op, ()) if k.exact or not self.exact)
        return found

    # ---- buffers and places
    def buffer(self, kind: str, bytes: int, index: int | None = None, data: np.ndarray | None = None) -> Buffer:
        made = Buffer(next(self._ids), kind, bytes, index=index, data=data)
        self.buffers.append(made)
        return made

    def loose(self, spec: Spec, strides: tuple[int, ...] | None = None) -> Place:
        """A dense place in a buffer that is not of the plan: to be asked about, and given to `keep` if it is taken."""
        strides = c_strides(spec.shape, spec.dtype.itemsize) if strides is None else strides
        return Place(Buffer(-1, "arena", spec.nbytes), 0, spec.shape, strides, spec.dtype)

    def keep(self, place: Place) -> Place:
        """Takes the buffer of a loose place into the plan."""
        place.buffer.id = next(self._ids)
        self.buffers.append(place.buffer)
        return place

    def dense(self, spec: Spec, strides: tuple[int, ...] | None = None, kind: str = "arena", index: int | None = None) -> Place:
        """A place in a new buffer of its own; C order unless dense strides are given."""
        strides = c_strides(spec.shape, spec.dtype.itemsize) if strides is None else strides
        return Place(self.buffer(kind, spec.nbytes, index), 0, spec.shape, strides, spec.dtype)

    def put(self, value: Value, place: Place) -> None:
        """`value` lives at `place` from now on."""
        self.places[value] = place
        uses = self._uses[value]
        if uses:
            self.ahead[place.buffer] += uses
            self.awaited.setdefault(place.buffer, {})[value] = uses

    def use(self, node: Node) -> None:
        """The uses that `node` makes of its operands are not ahead any more."""
        for operand in node.operands:
            place = self.places.get(operand)
            if place is not None:
                self.ahead[place.buffer] -= 1
                awaited = self.awaited[place.buffer]
                awaited[operand] -= 1
                if not awaited[operand]:
                    del awaited[operand]

    def set_aside(self, value: Value, why: str, line: Line | None, order: str = "K") -> None:
        """Moves a value to a buffer of its own, for the uses that it has ahead."""
        old = self.places[value]
        uses = self.awaited[old.buffer].pop(value)
        new = self.places[value] = self.copied(old, why, line, order=order)
        self.ahead[old.buffer] -= uses
        self.ahead[new.buffer] += uses
        self.awaited[new.buffer] = {value: uses}

    def uses(self, value: Value) -> int:
        """How often the graph uses `value`: as an operand, an output or an update."""
        return self._uses[value]

    def temps(self, kernel: Kernel, node: Node) -> tuple[Place, ...]:
        """Places for what the kernel needs beside its outputs."""
        if kernel.temps is no_temps:
            return ()
        return tuple([self.dense(spec) for spec in kernel.temps(tuple([v.spec for v in node.operands]), node.specs, node.attrs)])

    def copied(
        self, place: Place, why: str, line: Line | None, *, order: str = "C", kind: str = "arena", index: int | None = None
    ) -> Place:
        """A copy of what lies at `place`, made by a Copy step: dense, in C order or, with order "K", in the order of its own axes."""
        spec = Spec(place.shape, place.dtype)
        strides = None
        if order == "K" and place.strides is not None:
            strides = k_strides(place.shape, place.dtype.itemsize, ((place.shape, place.strides),))
        made = self.dense(spec, strides, kind, index)
        self.steps.append(Copy(place, made, why, line))
        return made

    def copy(self, read: Place, write: Place, why: str, line: Line | None) -> None:
        """A Copy step."""
        self.steps.append(Copy(read, write, why, line))

    # ---- Python numbers
    def slot(self, value: Value, dtype: np.dtype, line: Line | None, wraps: bool = False) -> Place:
        """The 0-d place that holds the Python number `value` as `dtype`: a constant's is made now, another's is filled at each call.

        `wraps`: a constant that the dtype can't hold is cast, as `np.where` does it.
        """
        place = self._slots.get((value, dtype))
        if place is None:
            if value.node.op is CONSTANT:
                held: Constant = value.node.attrs["value"]
                data = np.array(held.value).astype(dtype) if wraps else np.array(held.value, dtype)
                place = Place(self.buffer("const", data.nbytes, data=data), 0, (), (), dtype)
            else:
                place = self.dense(Spec((), dtype), kind="scalar")
                self.fills.append(Fill(value, place, line))
            self._slots[value, dtype] = place
        return place
