"""Common subexpressions: what is computed twice is computed once; equal constants are one.

Nodes are equal by operation, attributes and operands; the operands of a commutative operation may stand in either order, but for
`exact`, since NumPy takes the layout of the first where they differ. Results stay apart: of two equal nodes that are both results
neither goes, so that a caller who writes into one does not change the other. Opaque operations are left alone.

Before:

    graph {
      %0 = input() {kind="argument"} : f64[3]
      %1 = input() {kind="argument"} : f64[3]
      %2 = multiply(%0, %1) : f64[3]
      %3 = multiply(%1, %0) : f64[3]
      %4 = const(2.0) : f64[]
      %5 = add(%3, %4) : f64[3]
      %6 = add(%2, %5) : f64[3]
      %7 = const(2.0) : f64[]
      %8 = multiply(%6, %7) : f64[3]
      return %8
    }

After:

    graph {
      %0 = input() {kind="argument"} : f64[3]
      %1 = input() {kind="argument"} : f64[3]
      %2 = multiply(%0, %1) : f64[3]
      %3 = const(2.0) : f64[]
      %4 = add(%2, %3) : f64[3]
      %5 = add(%2, %4) : f64[3]
      %6 = multiply(%5, %3) : f64[3]
      return %6
    }
"""
from __future__ import annotations

from collections.abc import Hashable

from ir.constant import Constant
from ir.graph import CONSTANT, Graph, Node, Value
from ir.op import Trait

EXACT = False


def run(graph: Graph, *, exact: bool = False) -> int:
    """Merges equal nodes, in place; gives the number of nodes removed. One walk in the graph's order finds all there are."""
    given = set(graph.results())
    results = set(given)
    number: dict[Value, int] = {}  # equal Values have equal numbers
    first: dict[Hashable, Node] = {}
    merged = []
    for node in graph.order():
        kept = node if node.op.has(Trait.OPAQUE) else first.setdefault(_key(node, number, exact), node)
        if kept is node:
            for value in node.outputs:
                number[value] = len(number)
            continue
        for old, new in zip(node.outputs, kept.outputs):
            number[old] = number[new]
        pairs = list(zip(node.outputs, kept.outputs))
        if not any(old in results and new in results for old, new in pairs):
            merged.append((node, kept))
            results.update([new for old, new in pairs if old in results])
    for node, kept in merged:
        for old, new in zip(node.outputs, kept.outputs):
            graph.replace(old, new, old in given)
    if merged:
        graph.remove([node for node, _ in merged])
    return len(merged)


def _key(node: Node, number: dict[Value, int], exact: bool) -> Hashable:
    if node.op is CONSTANT:
        return _constant_key(node.attrs["value"])
    operands = [number[v] for v in node.operands]
    if not exact and node.op.has(Trait.COMMUTATIVE):
        operands[:2] = sorted(operands[:2])
    attrs = node.attrs
    return node.op, tuple(operands), tuple(attrs.items()) if len(attrs) < 2 else tuple(sorted(attrs.items()))


def _constant_key(constant: Constant) -> Hashable:
    """Equal for equal constants, without a hash of the bytes where that is easy: floats are told apart by their digits, -0.0 included."""
    value = constant.value
    return ("float", repr(value)) if type(value) is float and value == value else constant
