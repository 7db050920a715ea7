"""The order of computing: a graph in, its nodes in an order out. Sources are not in it; what only writes a state comes last."""
from __future__ import annotations

from dataclasses import dataclass

from ir.graph import Graph, Node
from ir.op import Trait


@dataclass
class Schedule:
    """`hosts` compute Python numbers, `nodes` arrays."""

    hosts: list[Node]
    nodes: list[Node]


def schedule(graph: Graph) -> Schedule:
    """Host arithmetic first."""
    hosts: list[Node] = []
    nodes: list[Node] = []
    for node in graph.order():
        if not node.op.has(Trait.SOURCE):
            (hosts if all(v.spec.weak for v in node.outputs) else nodes).append(node)
    return Schedule(hosts, nodes)
