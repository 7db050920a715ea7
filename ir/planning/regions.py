"""Which nodes run block by block: a graph in, groups of its nodes out, each with the axis along which all it computes is cut.

Axes are followed from operand to result by the operations' `axes` records, so that "the rows" of a whole network are one class of
(value, axis). Each node joins the class along which most of what it reads and gives is cut; classes give groups:

    e = exp(x - max(x, 1))      max and sum read whole rows: the rows are the class, and one group holds all three.
    s = sum(e, 1)
    b = sum(e, 0)               along the class: computed in parts, which a step of its own adds up. Who reads b is in a later group.

A group is convex: a level is counted along every path, and it rises wherever a path leaves a group. What only new values of states need
is in groups of its own, which may write over the old ones. Whether a group pays is a matter of bytes: what a block reads and writes in
its own buffers stays in the cache, what crosses the group's border is moved.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ir.errors import Error
from ir.graph import CONSTANT, Graph, Node, Value
from ir.op import Mixed, Same
from ir.planning.blocks import Cut, blocked_attrs, cut_spec, moved_bytes
from ir.planning.lockstep import Lockstep, lockstep
from ir.planning.outside import is_view, unfit
from ir.target import Target

Spot = tuple[Value, int]  # a value and one of its axes
NO_AXIS = "it has no axis along which its operands and its result can be cut alike"
ALONE = "none of its neighbours is cut along the same axis"


@dataclass
class Group:
    """Nodes in the order of the graph, the `size` of the axis, and where it is in each value that varies along it: (axis, how many of that
    axis's indices go with one of the `size`).
    """

    nodes: list[Node]
    size: int
    cuts: dict[Value, Cut]
    parts: set[Node] = field(default_factory=set)  # reductions along the axis itself

    def operands(self) -> list[Value]:
        """What the group reads of others; constants that every block reads whole are its own."""
        inside = set(self.nodes)
        read = [v for n in self.nodes for v in self.read(n) if v.node not in inside]
        found = [v for v in read if v.node.op is not CONSTANT or v in self.cuts]
        return list(dict.fromkeys(found))

    def read(self, node: Node) -> list[Value]:
        """A node's operands, without one that only counts the rows: each block has a counter of its own."""
        step = lockstep(node)
        return [v for k, v in enumerate(node.operands) if step is None or k != step.counter or v not in self.cuts]

    def outputs(self) -> list[Value]:
        """What others read of the group, parts of reductions last."""
        inside = set(self.nodes)
        graph = self.nodes[0].graph
        wanted = set(graph.results())
        found = [n.outputs[0] for n in self.nodes if n.outputs[0] in wanted or any(u not in inside for u in graph.users(n))]
        return [v for v in found if v.node not in self.parts] + [v for v in found if v.node in self.parts]


def groups(graph: Graph, target: Target, exact: bool) -> tuple[list[Group], dict[Node, str]]:
    """The groups that pay, in the order of their first nodes, and why each other node is in none. The groups share no nodes and may be
    contracted all together.
    """
    order = graph.order()
    finder = _Finder(graph, order, exact, target)
    why = {node: finder.unfit[node] or NO_AXIS for node in order}
    found = finder.found()
    parts = {node for group in found for node in group.parts}
    kept = []
    for group in found:
        lack = _lack(group, parts, target, exact)
        if not lack:
            kept.append(group)
        for node in group.nodes:
            why[node] = lack
    return kept, {node: lack for node, lack in why.items() if lack}


class _Finder:
    def __init__(self, graph: Graph, order: list[Node], exact: bool, target: Target):
        self.graph, self.order, self.exact, self.cache_bytes = graph, order, exact, target.cache_bytes
        self.parents: dict[Spot, Spot] = {}
        self.sizes: dict[Spot, int] = {}  # of classes of more than one axis: the length of the shortest
        self.unfit = {n: unfit(n, exact, target) for n in order}
        self.nodes = [n for n in order if not self.unfit[n]]
        self.steps: dict[Node, Lockstep] = {n: step for n in self.nodes if (step := lockstep(n)) is not None}
        self.followed = {n: self._followed(n) for n in self.nodes}
        for node, followed in self.followed.items():
            for (position, axis), out in followed.items():
                self._unite((node.operands[position], axis), (node.outputs[0], out))
        self.spots: dict[Value, dict[Spot, list[int]]] = {}

    # ---- classes of axes
    def _root(self, spot: Spot) -> Spot:
        path = []
        while (above := self.parents.get(spot, spot)) != spot:
            path.append(spot)
            spot = above
        for below in path:
            self.parents[below] = spot
        return spot

    def _unite(self, a: Spot, b: Spot) -> None:
        a, b = self._root(a), self._root(b)
        if a != b:
            size = min(self._size(a), self._size(b))
            self.parents[a] = b
            self.sizes[b] = size

    def _size(self, root: Spot) -> int:
        return self.sizes.get(root) or root[0].shape[root[1]]

    def _followed(self, node: Node) -> dict[tuple[int, int], int]:
        """(operand, its axis) -> the axis of the output that goes with it: index by index, or a run of indices with one (merged, split)."""
        found: dict[tuple[int, int], int] = {}
        shape = node.outputs[0].shape
        rules = node.op.axes(node.specs, tuple([v.spec for v in node.operands]), **node.attrs)
        for position, (value, axes) in enumerate(zip(node.operands, rules)):
            for axis, how in enumerate(axes):
                if type(how) is Same and value.shape[axis] == shape[how.axis] > 1:
                    found[position, axis] = how.axis
                elif type(how) is Mixed and how.axes and how not in axes[:axis]:  # the first axis of those that are merged or split leads
                    long, short = sorted((value.shape[axis], shape[how.axes[0]]), reverse=True)
                    if short > 1 and long % short == 0:
                        found[position, axis] = how.axes[0]
        step = self.steps.get(node)
        if step is not None:
            if node.op.family == "update":  # what another index array points at may lie in any block
                found = {at: axis for at, axis in found.items() if axis not in node.attrs["axes"]}
            found.update(dict.fromkeys(step.same, step.axis))
        return found

    def found(self) -> list[Group]:
        chosen, late = self._choose(), self._late()
        level: dict[Node, int] = {}
        gathered: dict[tuple[Spot, int, bool], list[Node]] = {}
        for node in self.order:
            mine = chosen.get(node)
            high = 0
            for value in node.operands:
                there = level.get(value.node, 0)
                other = chosen.get(value.node)
                alike = mine is not None and other is not None and other[0] == mine[0] and (value.node in late) == (node in late)
                inside = alike and other is not None and other[1] is not None
                high = max(high, there + (other is not None and not inside))
            level[node] = high
            if mine is not None:
                gathered.setdefault((mine[0], high, node in late), []).append(node)
        made = [g for (spot, _, _), nodes in gathered.items() for g in self._connected(nodes, spot, chosen)]
        position = {node: k for k, node in enumerate(self.order)}
        return sorted(made, key=lambda g: position[g.nodes[0]])

    def _late(self) -> set[Node]:
        """The nodes that new values of states alone need: they may run at the very end and write over the old ones."""
        early: set[Node] = set()
        todo = [v.node for v in self.graph.outputs]
        while todo:
            node = todo.pop()
            if node not in early:
                early.add(node)
                todo += [v.node for v in node.operands]
        return {node for node in self.order if node not in early}

    def _choose(self) -> dict[Node, tuple[Spot, int | None]]:
        """For each node that joins one: its class, and the axis of its output that is cut (None: the class is reduced)."""
        ways = {node: dict(self._ways(node)) for node in self.nodes}
        score: dict[Spot, int] = {}
        outer: dict[Spot, int] = {}  # bytes of results in which it is the outermost axis
        for node, mine in ways.items():
            for spot in mine:
                score.setdefault(spot, 0)
                outer.setdefault(spot, 0)
                outer[spot] += node.outputs[0].spec.nbytes * (mine[spot] == 0)
                for value in node.operands:
                    if ways.get(value.node, {}).get(spot) is not None:
                        score[spot] += value.spec.nbytes
        first = {spot: k for k, spot in enumerate(score)}
        found = {}
        for node, mine in ways.items():
            if mine:  # of equals the one that is outermost and has enough to cut: its blocks lie together; all nodes see it alike
                spot = max(mine, key=lambda s: (score[s], mine[s] is not None, self._fine(s), outer[s], -first[s]))
                found[node] = (spot, mine[spot])
        for node in self.nodes:  # a view costs nothing outside, and inside only what is computed there need be viewed
            if node in found and is_view(node.op) and found.get(node.operands[0].node, (None, None))[0] != found[node][0]:
                del found[node]
        return found

    def _fine(self, spot: Spot) -> bool:
        """Whether one index of the axis is a small part of what a worker's cache holds."""
        value, axis = spot
        return value.spec.nbytes // value.shape[axis] * 16 <= self.cache_bytes

    def _ways(self, node: Node) -> Iterator[tuple[Spot, int | None]]:
        """The classes along which the node can be computed in blocks."""
        out = node.outputs[0]
        spots = self._spots(out)
        for spot, axes in spots.items():
            if len(axes) == 1 and self._legal(node, spot, axes[0]):
                yield spot, axes[0]
        if combines(node) and not self.exact:
            for spot in dict.fromkeys([spot for v in node.operands for spot in self._spots(v)]):
                if spot not in spots and all(self._cut(v, spot) for v in node.operands):
                    yield spot, None

    def _spots(self, value: Value) -> dict[Spot, list[int]]:
        """The axes of a value by class. Asked for when the classes are made: they are found once."""
        found = self.spots.get(value)
        if found is None:
            found = self.spots[value] = {}
            for axis, n in enumerate(value.shape):
                if n > 1:
                    found.setdefault(self._root((value, axis)), []).append(axis)
        return found

    def _along(self, value: Value, spot: Spot) -> list[int]:
        return self._spots(value).get(spot, [])

    def _cut(self, value: Value, spot: Spot) -> Cut | None:
        """Where the class is in a value; None where it is not, or not in one place alone."""
        along = self._along(value, spot)
        size = self._size(spot)
        return (along[0], value.shape[along[0]] // size) if len(along) == 1 and value.shape[along[0]] % size == 0 else None

    def _legal(self, node: Node, spot: Spot, axis: int) -> bool:
        """Whether the operation, given blocks, gives the block: its own spec rule is asked."""
        out, followed = self._cut(node.outputs[0], spot), self.followed[node]
        specs = []
        for position, value in enumerate(node.operands):
            if not self._along(value, spot):
                specs.append(value.spec)
                continue
            cut = self._cut(value, spot)
            if cut is None or followed.get((position, cut[0])) != axis:
                return False
            specs.append(cut_spec(value.spec, cut, 2))
        if out is None or self._size(spot) < 2:
            return False
        wanted = cut_spec(node.outputs[0].spec, out, 2)
        try:
            return node.op.infer(tuple(specs), blocked_attrs(node, out, 2)) == (wanted,)
        except Error:  # the rule refuses: not in blocks
            return False

    # ---- groups
    def _connected(self, nodes: list[Node], spot: Spot, chosen: dict[Node, tuple[Spot, int | None]]) -> Iterator[Group]:
        """The nodes as groups that share what they read or give; views that no node of the group needs are left outside."""
        nodes = _without_loose_views(nodes)
        near: dict[Value, list[Node]] = {}
        for node in nodes:
            for value in (*node.operands, *node.outputs):
                if self._along(value, spot):
                    near.setdefault(value, []).append(node)
        left = dict.fromkeys(nodes)
        while left:
            first = next(iter(left))
            todo, seen = [first], {first}
            while todo:
                node = todo.pop()
                for value in (*node.operands, *node.outputs):
                    for other in near.get(value, ()):
                        if other not in seen:
                            seen.add(other)
                            todo.append(other)
            mine = [n for n in nodes if n in seen]
            for node in mine:
                del left[node]
            cuts = {v: cut for n in mine for v in (*n.operands, *n.outputs) if (cut := self._cut(v, spot))}
            parts = {n for n in mine if chosen[n][1] is None}
            yield Group(mine, self._size(spot), cuts, parts)


def combines(node: Node) -> bool:
    """Whether the reduction can be taken in parts that are joined afterwards."""
    return node.op.combines is not None and node.outputs[0].dtype.kind in ("iufc" if node.op.combines is np.add else "iufb")


def _without_loose_views(nodes: list[Node]) -> list[Node]:
    """Without views of what the group does not compute, and views that nothing of the group reads."""
    inside = dict.fromkeys(nodes)
    for node in nodes:
        if is_view(node.op) and node.operands[0].node not in inside:
            del inside[node]
    for node in reversed(nodes):
        if node in inside and is_view(node.op) and not any(u in inside for u in node.graph.users(node)):
            del inside[node]
    return list(inside)


def _lack(group: Group, parts: set[Node], target: Target, exact: bool) -> str:
    """Why a group is not worth cutting: too small, or no fewer bytes are moved; nothing where it is. `parts`: those of all groups."""
    steps = [n for n in group.nodes if not is_view(n.op)]
    if len(steps) < 2:
        summed = any(v.node in parts for n in steps for v in n.operands)
        if summed:
            return "what it reads is reduced along the axis that is cut, and its other neighbours are in no region"
        return f"exact=True takes no reduction in parts, and {ALONE}" if exact and steps and combines(steps[0]) else ALONE
    largest = max([v.spec.nbytes for n in steps for v in n.operands + n.outputs if v in group.cuts])
    if largest < target.cache_bytes // 4:
        return f"too small: arrays of {largest} bytes stay in the cache"
    single, border = moved_bytes(group.nodes, [*group.operands(), *group.outputs()])
    return "" if border < single else "in blocks it would move as many bytes"
