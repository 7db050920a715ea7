"""Which class of axes each node is cut along: the classes along which it could be in, the one it joins out.

A class counts for the bytes of what its nodes hand on to each other in blocks, less those that could be moved while the blocks step from
run to run of what lies together. A node joins the class that counts most. Of equals, in this order: one in which its result is cut before
one that it reduces; one of which an index is a small part of a worker's cache; the one that is outermost in memory in most of the results'
bytes; the one that the graph's order meets first. Classes are compared alike for all nodes, so equals don't fall apart, and nothing hangs
on the order of a set or a hash.
"""
from __future__ import annotations

import math
from collections.abc import Mapping

from ir.graph import Node, Value
from ir.planning.classes import Spot
from ir.planning.follow import shows
from ir.planning.group import Group
from ir.target import Target

Ways = Mapping[Node, Mapping[Spot, int | None]]  # of a node the classes, and the axis of its output that is cut (None: it is reduced)


class Stepping:
    """What blocks take to step through memory. `lies`: the strides of each value."""

    def __init__(self, lies: Mapping[Value, tuple[int, ...]], target: Target):
        self.lies, self.target = lies, target
        self._known: dict[tuple[object, ...], float] = {}

    def ns(self, value: Value, axis: int | None, laid: bool = False) -> float:
        """For all blocks of a value, cut along the axis, from each run of elements that lie together to the next; `laid`: in C order where
        that takes less."""
        if axis is None:
            return 0.0
        strides = self.lies[value]
        key = value.shape, strides, value.dtype.itemsize, axis, laid
        found = self._known.get(key)
        if found is None:
            runs = math.prod([n for n, stride in zip(value.shape, strides) if abs(stride) > abs(strides[axis])])
            runs = min(runs, math.prod(value.shape[:axis])) if laid else runs
            blocks = max(1, value.spec.nbytes // (8 * self.target.block_elements))
            found = self._known[key] = runs * blocks * self.target.run_ns if runs > 1 else 0.0
        return found

    def of_group(self, group: Group) -> float:
        """Through what crosses the group's border, or to lay it in rows, and through what repeats an operand."""
        total = 0.0
        for value in [v for v in (*group.operands(), *group.outputs()) if v in group.cuts]:
            steps = self.ns(value, group.cuts[value][0])
            total += min(steps, value.spec.size * self.target.gap_ns) if self.target.gap_ns else steps
        for out in [n.outputs[0] for n in group.nodes if not shows(n.op) and n.outputs[0] in group.cuts]:
            if any(1 < v.spec.size < out.spec.size for v in out.node.operands):
                total += self.ns(out, group.cuts[out][0], laid=True)
        return total

    def outermost(self, value: Value) -> int:
        """The axis longer than 1 with the largest steps in memory."""
        strides = self.lies[value]
        return max(range(value.ndim), key=lambda axis: (value.shape[axis] > 1, abs(strides[axis]), -axis), default=-1)


def choose(ways: Ways, stepping: Stepping) -> dict[Node, tuple[Spot, int | None]]:
    """For each node that joins one: its class, and the axis of its output that is cut. `ways`: in the graph's order."""
    target = stepping.target
    handed: dict[Spot, int] = {}
    outer: dict[Spot, int] = {}  # bytes of results in which it is the outermost axis
    walked: dict[Spot, float] = {}
    for node, mine in ways.items():
        if not mine:
            continue
        out, outermost = node.outputs[0], stepping.outermost(node.outputs[0])
        given = [(v.spec.nbytes, ways[v.node]) for v in node.operands if v.node in ways]
        for spot, axis in mine.items():
            handed.setdefault(spot, 0)
            outer.setdefault(spot, 0)
            walked.setdefault(spot, 0.0)
            walked[spot] += stepping.ns(out, axis, laid=target.gap_ns > 0) * target.bandwidth
            outer[spot] += out.spec.nbytes * (axis == outermost)
            handed[spot] += sum([nbytes for nbytes, its in given if its.get(spot) is not None])
    counts = {spot: handed[spot] - walked[spot] for spot in handed}
    then = {spot: (_fine(spot, target), outer[spot], -k) for k, spot in enumerate(handed)}
    found = {}
    for node, mine in ways.items():
        if mine:
            spot = max(mine, key=lambda s: (counts[s], mine[s] is not None, then[s]))
            found[node] = (spot, mine[spot])
    for node in ways:  # a view costs nothing outside, and inside only what is computed there need be viewed
        if node in found and shows(node.op) and found.get(node.operands[0].node, (None, None))[0] != found[node][0]:
            del found[node]
    return found


def _fine(spot: Spot, target: Target) -> bool:
    """Whether one index of the axis is a small part of what a worker's cache holds."""
    value, axis = spot
    return value.spec.nbytes // value.shape[axis] * 16 <= target.cache_bytes
