"""Packs: states that the graph joins into one value lie one behind the other in one buffer, so that the join is a view of them all.

In: a graph and a Target that packs. Out: for each joined value its states, with their offsets, and the updates as the end of a run sees
them: the new values of all states of a pack are cuts of one value, so that value is the new value of the joined one. Whoever calls the
program must give arrays that lie so; `Plan.packs` says which.
"""
from __future__ import annotations

from collections.abc import Mapping

from ir.graph import Graph, Node, Value
from ir.ops.shape import concatenate
from ir.planning.strides import c_strides, viewed


class Packs:
    """`joined`: the value that joins a state with others, by state; `offsets` in bytes; `members` by joined value, in their order."""

    def __init__(self, graph: Graph, layouts: Mapping[int, object] | None):
        """`layouts`: how the inputs lie, by index; None where nothing is to be packed."""
        self.joined: dict[Value, Value] = {}
        self.offsets: dict[Value, int] = {}
        self.members: dict[Value, tuple[Value, ...]] = {}
        self.updates = list(graph.updates)
        if graph.updates and layouts is not None:
            plain = {v for k, v in enumerate(graph.inputs) if layouts.get(k, "C") == "C"}
            self._find(graph, plain.intersection(state for state, _ in graph.updates))
            for join in self.members:
                self._join_updates(dict(graph.updates), join)

    def _find(self, graph: Graph, states: set[Value]) -> None:
        for node in graph.order():
            if node.op is concatenate and node.outputs[0].ndim == 1:
                roots = [root(v) for v in node.operands]
                whole = all(r in states and r not in self.joined and r.spec.size == v.spec.size for r, v in zip(roots, node.operands))
                if whole and len(set(roots)) == len(roots):
                    join = node.outputs[0]
                    self.members[join], offset = tuple(roots), 0
                    for state in roots:
                        self.joined[state], self.offsets[state] = join, offset
                        offset += state.spec.nbytes

    def _join_updates(self, news: dict[Value, Value], join: Value) -> None:
        """One update in place of those of the members, where their new values are cut out of one value as they lie in the pack."""
        members = self.members[join]
        new = root(news[members[0]])
        if new.spec == join.spec and all(root(news[s]) is new and _cut(news[s], new) == self.offsets[s] for s in members):
            self.updates = [(s, v) for s, v in self.updates if s not in members] + [(join, new)]

    def home(self, value: Value) -> Value:
        """The value whose memory it shows: for a state of a pack, the joined one."""
        found = root(value)
        return self.joined.get(found, found)


def is_view(node: Node) -> bool:
    """Whether it costs no step: its output shows its operand's memory."""
    return node.op.view_of is not None and len(node.operands) == 1


def root(value: Value) -> Value:
    """The value whose memory it shows."""
    while is_view(value.node):
        value = value.node.operands[0]
    return value


def _cut(value: Value, whole: Value) -> int | None:
    """Where `value` begins in `whole`, in bytes, if it is a contiguous part of it in C order."""
    way = []
    seen = value
    while seen is not whole:
        way.append(seen.node)
        seen = seen.node.operands[0]
    shape, strides, offset = whole.shape, c_strides(whole.shape, whole.dtype.itemsize), 0
    for node in reversed(way):
        made = viewed(node, shape, strides, whole.dtype)
        if made is None:
            return None
        shape, strides, offset = node.outputs[0].shape, made[1], offset + made[0]
    return offset if strides == c_strides(shape, whole.dtype.itemsize) else None
