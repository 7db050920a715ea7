"""A run in which nodes come more than once, as a graph: the graph and the run in, a graph with clones and the order of its nodes out.

    y = tanh(x)                       y = tanh(x)
    z = exp(y)            ->          z = exp(y)
    w = multiply(z, y)                y2 = tanh(x) {recompute_of=y}       where y is run again before w
                                      w = multiply(z, y2)

A clone has the operation, attributes and line of its first run, and reads what stands there when it runs. Views cost no step: each is made
where it is first read, anew for each clone of what it shows.
"""
from __future__ import annotations

from collections.abc import Sequence

from ir.graph import CONSTANT, INPUT, Graph, Node, Value
from ir.planning.packs import is_view


def with_clones(graph: Graph, run: Sequence[Node]) -> tuple[Graph, list[Node]]:
    """The graph of a run of nodes that are no views, sources or Python numbers, and its nodes in that order, views among them.

    What the run leaves out (what only writes a state) is added at the end and not in the order.
    """
    made = _Made(graph)
    for node in run:
        made.run(node)
    order = list(made.order)
    made.finish()
    return made.graph, order


class _Made:
    def __init__(self, graph: Graph):
        self.old, self.graph = graph, Graph()
        self.order: list[Node] = []
        self.now: dict[Value, Value] = {}  # where what a Value stands for is now; views not
        self.views: dict[tuple[Node, Value], Node] = {}
        self.first: dict[Node, Node] = {}
        for value in graph.inputs:
            self.now[value] = self.graph.input(value.spec, value.node.attrs["kind"], value.node.line)
        for node in graph.order():
            if node.op is CONSTANT or (node.op is not INPUT and node.outputs[0].spec.weak):
                self.run(node)
        self.order.clear()

    def run(self, node: Node) -> None:
        copy = self._copy(node, tuple([self._read(v) for v in node.operands]))
        self.now.update(zip(node.outputs, copy.outputs))

    def finish(self) -> None:
        """What is not made yet, in the graph's order, and the ends."""
        for node in self.old.order():
            if node.op is INPUT or node in self.first:
                continue
            if is_view(node):
                self._read(node.outputs[0])
            else:
                self.run(node)
        self.graph.outputs = [self._read(v) for v in self.old.outputs]
        self.graph.updates = [(self.now[state], self._read(new)) for state, new in self.old.updates]

    def _copy(self, node: Node, operands: tuple[Value, ...]) -> Node:
        copy = self.graph._add(node.op, operands, dict(node.attrs), node.specs, node.line)
        first = self.first.setdefault(node, copy)
        copy.recompute_of = first if first is not copy else None
        self.order.append(copy)
        return copy

    def _read(self, value: Value) -> Value:
        """What stands for a Value now."""
        views = []
        while is_view(value.node):
            views.append(value.node)
            value = value.node.operands[0]
        found = self.now[value]
        for node in reversed(views):
            view = self.views.get((node, found))
            if view is None:
                view = self.views[node, found] = self._copy(node, (found,))
            found = view.outputs[0]
        return found
