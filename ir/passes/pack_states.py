"""States whose new values are computed alike, elementwise, as one: their old values joined, the operations done once, the result cut.

The planner gives joined states one buffer (a pack), so that neither the join nor the cuts cost anything: thirty small parameters are
updated by the calls of one. Two states are alike where the operations that lead from them to their new values are the same, on numbers
that are the same Values; what else is read has the state's own shape. An operation belongs to these if it reads a state or what was made
of one, or one value beside numbers, and if nothing else reads what it gives. Elementwise operations give each element the same bits
wherever it lies. Only for a Target that packs states (`Target.pack_bytes`: states up to that size), and not under `exact`, which keeps
layouts.

Before:

    graph {
      %0 = input() {kind="argument"} : f64[2,3]
      %1 = input() {kind="argument"} : f64[3]
      %2 = input() {kind="state"} : f64[2,3]
      %3 = input() {kind="state"} : f64[3]
      %4 = exp(%0) : f64[2,3]
      %5 = subtract(%2, %4) : f64[2,3]
      %6 = exp(%1) : f64[3]
      %7 = subtract(%3, %6) : f64[3]
      return
      update %2 <- %5
      update %3 <- %7
    }

After:

    graph {
      %0 = input() {kind="argument"} : f64[2,3]
      %1 = input() {kind="argument"} : f64[3]
      %2 = input() {kind="state"} : f64[2,3]
      %3 = input() {kind="state"} : f64[3]
      %4 = reshape(%2) {shape=(6,)} : f64[6]
      %5 = reshape(%3) {shape=(3,)} : f64[3]
      %6 = concatenate(%4, %5) {axis=0} : f64[9]
      %7 = reshape(%0) {shape=(6,)} : f64[6]
      %8 = reshape(%1) {shape=(3,)} : f64[3]
      %9 = concatenate(%7, %8) {axis=0} : f64[9]
      %10 = exp(%9) : f64[9]
      %11 = subtract(%6, %10) : f64[9]
      %12 = slice(%11) {index=((0, 6, 1),)} : f64[6]
      %13 = reshape(%12) {shape=(2, 3)} : f64[2,3]
      %14 = slice(%11) {index=((6, 9, 1),)} : f64[3]
      %15 = reshape(%14) {shape=(3,)} : f64[3]
      return
      update %2 <- %13
      update %3 <- %15
    }
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from ir.graph import Graph, Node, Value
from ir.op import Trait
from ir.ops.index import slice
from ir.ops.shape import concatenate, reshape
from ir.passes import dead
from ir.target import Target

MOST = 64  # operations between a state and its new value
MayJoin = Callable[[list[Value]], bool]
Row = tuple[Value, ...]  # Values that correspond, one for each state of a group


def run(graph: Graph, *, target: Target, may_join: MayJoin | None = None) -> int:
    """Joins states, in place; gives their number. `may_join(states)`: whether they may come to lie in one buffer."""
    states = {state for state, _ in graph.updates}
    groups: dict[Any, list[_Way]] = {}
    for state, new in graph.updates:
        if state.ndim and 0 < state.spec.nbytes <= target.pack_bytes and new is not state:
            way = _Way(graph, states, state, new)
            if way.nodes:
                groups.setdefault(way.key, []).append(way)
    packs = [g for g in groups.values() if len(g) > 1 and (may_join is None or may_join([way.state for way in g]))]
    rows = {tuple([way.state for way in group]) for group in packs}
    read = {tuple(row) for group in packs for row in zip(*[way.read for way in group]) if row[0] in states}
    if not packs or not read <= rows or len(set().union(*rows)) < sum(map(len, rows)):
        return 0  # a state would have to stand in two places
    made: dict[Row, Value] = {}
    news = [_joined(graph, group, made) for group in packs]
    for group, new in zip(packs, news):
        start = 0
        for way in group:
            stop = start + way.state.spec.size
            with graph.at(way.new.node.line):
                graph.replace(way.new, reshape(slice(new, index=((start, stop, 1),)), shape=way.state.shape))
            start = stop
    dead.run(graph)
    return sum(map(len, packs))


class _Way:
    """The operations from a state to its new value, operands first, in `nodes`: none where it can't be joined. `read`: their operands
    that none of them gives, numbers left out, each once. Ways of the same `key` may go together.
    """

    def __init__(self, graph: Graph, states: set[Value], state: Value, new: Value):
        self.graph, self.state, self.new = graph, state, new
        self.nodes: list[Node] = []
        near, carrying = self._near(), set[Node]()
        made_of: dict[Value, set[Value]] = {}  # what other values a node of `nodes` that carries no state was made of
        within = set(near)
        for node in near:
            held = [v for v in node.operands if v.ndim]
            if any(v in states or v.node in carrying for v in held):
                carrying.add(node)
            else:
                sources = set[Value]().union(*[made_of.get(v, {v}) for v in held])
                if len(sources) != 1 or not within.issuperset(graph.users(node)):
                    continue
                made_of[node.outputs[0]] = sources
            self.nodes.append(node)
        if new.node not in carrying:
            self.nodes = []
        inside = set(self.nodes)
        self.read = list(dict.fromkeys([v for node in self.nodes for v in node.operands if v.ndim and v.node not in inside]))
        self._states = states

    def _near(self) -> list[Node]:
        """Elementwise nodes of the state's shape and dtype that lead to the new value, operands first."""
        found: list[Node] = []
        seen: set[Node] = set()
        stack: list[tuple[Node, bool]] = [(self.new.node, False)]
        while stack:
            node, done = stack.pop()
            if done:
                found.append(node)
            elif node not in seen and len(seen) < MOST and self._fits(node):
                seen.add(node)
                stack.append((node, True))
                stack += [(v.node, False) for v in reversed(node.operands)]
        return found

    def _fits(self, node: Node) -> bool:
        alike = [v for v in (*node.operands, *node.outputs) if v.ndim]
        return node.op.has(Trait.ELEMENTWISE) and len(node.outputs) == 1 and all(v.spec == self.state.spec for v in alike)

    @cached_property
    def key(self) -> Any:
        names: dict[Value, Any] = {v: ("state" if v in self._states else "value", k) for k, v in enumerate(self.read)}
        names.update((node.outputs[0], ("made", k)) for k, node in enumerate(self.nodes))
        steps = tuple([(n.op, tuple(n.attrs.items()), tuple([names.get(v, v) for v in n.operands])) for n in self.nodes])
        return self.state.dtype, steps


def _joined(graph: Graph, group: Sequence[_Way], made: dict[Row, Value]) -> Value:
    """The new values of a group as one, of one axis. `made` has what was joined before, by its parts."""
    with graph.at(group[0].new.node.line):
        for row in zip(*[way.read for way in group]):
            if row not in made:
                made[row] = concatenate(*[reshape(v, shape=(math.prod(v.shape),)) for v in row], axis=0)
        for nodes in zip(*[way.nodes for way in group]):
            outputs = tuple([node.outputs[0] for node in nodes])
            if outputs not in made:
                columns = zip(*[node.operands for node in nodes])
                made[outputs] = graph.apply(nodes[0].op, [made[row] if row[0].ndim else row[0] for row in columns], nodes[0].attrs)
    return made[tuple([way.new for way in group])]
