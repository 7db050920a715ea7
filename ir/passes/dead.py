"""Dead code: removes the nodes that no result needs. Inputs stay, they are the graph's signature.

Before:

    graph {
      %0 = input() {kind="argument"} : f64[3]
      %1 = input() {kind="argument"} : f64[3]
      %2 = exp(%0) : f64[3]
      %3 = negative(%0) : f64[3]
      %4 = add(%3, %1) : f64[3]
      return %2
    }

After:

    graph {
      %0 = input() {kind="argument"} : f64[3]
      %1 = input() {kind="argument"} : f64[3]
      %2 = exp(%0) : f64[3]
      return %2
    }
"""
from __future__ import annotations

from ir.graph import INPUT, Graph

EXACT = True


def run(graph: Graph, *, exact: bool = True) -> int:
    """Removes dead nodes, in place; gives their number."""
    needed = set()
    stack = [v.node for v in graph.results()]
    while stack:
        node = stack.pop()
        if node not in needed:
            needed.add(node)
            stack += [v.node for v in node.operands]
    dead = [node for node in graph.nx if node not in needed and node.op is not INPUT]
    if dead:
        graph.remove(dead)
    return len(dead)
