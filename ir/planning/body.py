"""The graph of one block of a region: a group of nodes at full size and the rows of a block in, the same nodes for these rows out.

Each value has the indices along its cut axis that the block takes of it, halo included; who reads fewer of them reads a slice. A write into
a slice writes what of it lies in the block, and is left out where nothing does.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from ir.graph import INPUT, Graph, Node, Value
from ir.ops import index as indexing
from ir.ops.elementwise import copy
from ir.planning.follow import reads_slice, with_length, writes_slice, written_span
from ir.planning.halo import Halo
from ir.spec import Spec


def block_attrs(node: Node, axis: int, length: int) -> dict[str, Any]:
    """The attributes of the operation for a block that is so long along this axis of the result: a shape among them is the block's."""
    if "shape" not in node.attrs:
        return node.attrs
    return {**node.attrs, "shape": with_length(Spec(node.attrs["shape"]), axis, length).shape}


class Body:
    """The graph of the block of rows `low` to `high`, while it is made."""

    def __init__(self, halo: Halo, low: int, high: int):
        self.halo, self.low, self.high, self.graph = halo, low, high, Graph()
        self.mapped: dict[Value, Value] = {}
        self._read: dict[tuple[Value, int, int], Value] = {}

    def give(self, value: Value) -> None:
        """An operand's block."""
        spec = value.spec
        if value in self.halo.cuts:
            low, high = self.halo.span(value, self.low, self.high)
            spec = with_length(spec, self.halo.cuts[value][0], high - low)
        self.mapped[value] = self.graph.input(spec, line=value.node.line)

    def own(self, value: Value) -> Value:
        """The block's own rows of a value, without a halo."""
        cut = self.halo.cuts.get(value)
        if cut is None:
            return self.mapped[value]
        return self.read(value, self.low * cut[1], min(self.high * cut[1], value.shape[cut[0]]))

    def given(self, value: Value) -> Value:
        """A result's block: where nothing of it is written, a copy of what was there."""
        mine = self.own(value)
        return copy(mine) if mine.node.op is INPUT else mine

    def read(self, value: Value, low: int, high: int) -> Value:
        """These indices of a value along its cut axis."""
        mine = self.halo.span(value, self.low, self.high)
        if (low, high) == mine:
            return self.mapped[value]
        if (value, low, high) not in self._read:
            block, axis = self.mapped[value], self.halo.cuts[value][0]
            index = tuple([(low - mine[0], high - mine[0], 1) if k == axis else (0, n, 1) for k, n in enumerate(block.shape)])
            self._read[value, low, high] = self.graph.apply(indexing.slice, [block], {"index": index}, value.node.line)
        return self._read[value, low, high]

    def run(self, node: Node) -> None:
        """A node of the group, for what the block takes of its result."""
        halo, out = self.halo, node.outputs[0]
        cut = halo.cuts.get(out)
        if cut is None:
            operands = [self.own(v) for v in node.operands]
            self.mapped[out] = self.graph.apply(node.op, operands, node.attrs, node.line)
            return
        axis, _ = cut
        low, high = halo.span(out, self.low, self.high)
        if low >= high:  # what is read of it lies in other blocks
            return
        if reads_slice(node):
            value, start = node.operands[0], halo.ways[node, 0].start
            first = halo.span(value, self.low, self.high)[0]
            self._apply(node, [self.mapped[value]], axis, low + start - first, high + start - first)
            return
        if not writes_slice(node):
            operands = [self._operand(node, position, low, high) for position in range(len(node.operands))]
            self.mapped[out] = self.graph.apply(node.op, operands, block_attrs(node, axis, high - low), node.line)
            return
        start, stop = written_span(node, axis)
        base, (start, stop) = self._operand(node, 0, low, high), (max(start, low), min(stop, high))
        if start >= stop:
            self.mapped[out] = base
            return
        self._apply(node, [base, self._operand(node, 1, start, stop)], axis, start - low, stop - low)

    def _operand(self, node: Node, position: int, low: int, high: int) -> Value:
        """What the indices `low` to `high` of the node's result need of an operand."""
        value, way = node.operands[position], self.halo.ways.get((node, position))
        if value in self.halo.counters:
            if (value, 0, high - low) not in self._read:
                self._read[value, 0, high - low] = self.graph.constant(np.arange(high - low, dtype=value.dtype), value.node.line)
            return self._read[value, 0, high - low]
        if way is None:
            return self.mapped[value]
        if way.runs:
            each, of = self.halo.cuts[node.outputs[0]][1], self.halo.cuts[value][1]
            return self.read(value, low // each * of, high // each * of)
        return self.read(value, low + way.start, high + way.start)

    def _apply(self, node: Node, operands: list[Value], axis: int, start: int, stop: int) -> None:
        """A read or write of a slice, which along the cut axis is this."""
        index = tuple([(start, stop, 1) if k == axis else t for k, t in enumerate(node.attrs["index"])])
        self.mapped[node.outputs[0]] = self.graph.apply(node.op, operands, {**node.attrs, "index": index}, node.line)
