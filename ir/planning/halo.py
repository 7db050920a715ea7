"""What a block takes of each value of its region: its own rows and, where slices are read or written along the cut axis, some before and
after them (a halo), cut off at the ends of the array.

In: a group of nodes as a graph, and where its values are cut. Out: for each value how far its indices begin and end from the block's own;
how many rows at either end only the first and the last block may have, since they are cut short.
"""
from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from functools import cached_property

from ir.graph import Graph, Node, Value
from ir.planning.follow import Way, followed, writes_slice, written_span

Cut = tuple[int, int]  # an axis, and how many of its indices go with one row of the region


@dataclass(frozen=True, eq=False)
class Halo:
    """`whole`: the values that are given block by block; `parts`: what is reduced along the cut axis itself."""

    graph: Graph
    size: int
    cuts: dict[Value, Cut]
    counters: Set[Value]
    whole: list[Value]
    parts: list[Value]

    @cached_property
    def ways(self) -> dict[tuple[Node, int], Way]:
        """(node, operand) -> how the operand's cut axis goes with the result's (with the block's rows, where it is reduced)."""
        found: dict[tuple[Node, int], Way] = {}
        for node in self.graph.order():
            mine = followed(node) if node.operands else {}
            for position, value in enumerate(node.operands):
                cut = self.cuts.get(value)
                if cut is not None and value not in self.counters:
                    found[node, position] = mine[position, cut[0]] if node.outputs[0] in self.cuts else Way(0)
        return found

    @cached_property
    def extents(self) -> dict[Value, tuple[int, int]]:
        """Of each value that is cut the indices that a block takes, from first to last + 1, both counted from the block's own."""
        found: dict[Value, tuple[int, int]] = dict.fromkeys(self.whole, (0, 0))
        for node in reversed(self.graph.order()):
            out = node.outputs[0]
            low, high = found.get(out, (0, 0))
            runs = any(self.ways[node, k].runs for k in range(len(node.operands)) if (node, k) in self.ways)
            if runs:  # whole rows
                each = self.cuts[out][1]
                low, high = low // each * each, -(-high // each) * each
                found[out] = low, high
            for position, value in enumerate(node.operands):
                way = self.ways.get((node, position))
                if way is not None:
                    mine = (low + way.start, high + way.start)
                    if way.runs:
                        each, of = self.cuts[out][1], self.cuts[value][1]
                        mine = (low // each * of, high // each * of)
                    known = found.get(value, mine)
                    found[value] = min(mine[0], known[0]), max(mine[1], known[1])
        return found

    def span(self, value: Value, low: int, high: int) -> tuple[int, int]:
        """The indices of the cut axis that the block of rows `low` to `high` takes of a value."""
        (axis, each), (before, after) = self.cuts[value], self.extents.get(value, (0, 0))
        return max(0, low * each + before), min(value.shape[axis], high * each + after)

    @cached_property
    def margins(self) -> tuple[int, int]:
        """The rows at the beginning and at the end in which no block ends, or it would be cut short in another way than the first or last,
        or be left without a row of what is given or added up.
        """
        given = [v for v in (*self.whole, *self.parts) if v in self.cuts]
        shortest = min([v.shape[self.cuts[v][0]] // self.cuts[v][1] for v in given], default=self.size)
        first, last = 0, 0 if shortest == self.size else self.size - shortest + 1
        for value, (before, after) in self.extents.items():
            axis, each = self.cuts[value]
            first, last = max(first, -(before // each)), max(last, self.size - (value.shape[axis] - after) // each)
        for node in self.graph.order():
            out = node.outputs[0]
            if writes_slice(node):
                (axis, each), (before, after) = self.cuts[out], self.extents.get(out, (0, 0))
                start, stop = written_span(node, axis)
                first, last = max(first, -((before - start) // each)), max(last, self.size - (stop - after) // each)
        return first, last
