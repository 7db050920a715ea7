"""What rules ask of a graph that is being rewritten: how often a value is used, what number fills a constant, what hangs on what.

The driver in `rewrite.py` tells the facts of each change; answers hold for the graph as it is when they are asked for.
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ir.graph import Graph, Node, Value
from ir.pattern import fill

_RENUMBERINGS = 64  # how often a whole graph is numbered anew


class Facts:
    """The facts of one graph. `results` are the values that the graph gives; `fills` remembers which numbers fill constants."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.results = set(graph.results())
        self.fills: dict[Node, Any] = {}
        self._numbers: dict[Node, int] | None = None
        self._renumberings = 0

    def uses_of(self, value: Value, limit: int) -> int:
        """How many uses the value has, as operands and as a result; counts no further than `limit`."""
        count = int(value in self.results)
        for edges in self.graph.users(value.node).values():
            if count >= limit:
                break
            count += sum([edge["index"] == value.index for edge in edges.values()])
        return count

    def fill(self, value: Value) -> Any:
        """The number that fills a constant, or None."""
        return fill(value, self.fills)

    def depends(self, values: Iterable[Value], on: Iterable[Node]) -> bool:
        """Whether any of the values is computed from one of the nodes (or finding out would take too much work)."""
        targets = set(on)
        numbers = self._numbering()
        if numbers is None:
            return True
        first = min(numbers[n] for n in targets)
        seen: set[Node] = set()
        stack = [v.node for v in values]
        while stack:
            node = stack.pop()
            if node in targets:
                return True
            if node not in seen and numbers[node] >= first:
                seen.add(node)
                stack += [v.node for v in node.operands]
        return False

    # ---- told by the driver
    def made(self, nodes: list[Node], pairs: list[tuple[Value, Value]]) -> None:
        """New nodes stand for roots: (old, new) pairs. They take the number of the earliest root; where an operand comes later than
        that, all are numbered anew when asked.
        """
        if self._numbers is None:
            return
        first = min(self._numbers[old.node] for old, _ in pairs)
        if any(self._numbers.get(v.node, -1) > first for node in nodes for v in node.operands):
            self._numbers = None
        else:
            self._numbers.update(dict.fromkeys(nodes, first))

    def replaced(self, old: Value, new: Value) -> None:
        """`new` has taken the place of `old`."""
        if old in self.results:
            self.results.discard(old)
            self.results.add(new)

    def _numbering(self) -> dict[Node, int] | None:
        """Numbers that grow along every edge, so that `depends` looks at little."""
        if self._numbers is None and self._renumberings < _RENUMBERINGS:
            self._renumberings += 1
            self._numbers = {node: k for k, node in enumerate(self.graph.order())}
        return self._numbers
