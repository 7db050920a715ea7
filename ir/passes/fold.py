"""Constant folding: an operation whose operands are all constants is computed once, by its meaning, and becomes a constant.

Left as they are: what would hold more memory than its operands (a constant broadcast to a large shape), what raises or gives a
floating-point warning (that is for the run to give), what NumPy would lay out in another than C order, and a scalar that is itself a
result, which stays the NumPy scalar that its operation gives. A Python number stays one.

Before:

    graph {
      %0 = input() {kind="argument"} : f32[3]
      %1 = const(2) : int
      %2 = const(0.5) : float
      %3 = python(%1, %2) {fn="mul"} : float
      %4 = multiply(%0, %3) : f32[3]
      %5 = const(1.0) : f32[]
      %6 = const(0.0) : f32[]
      %7 = divide(%5, %6) : f32[]
      %8 = add(%4, %7) : f32[3]
      return %8
    }

After:

    graph {
      %0 = input() {kind="argument"} : f32[3]
      %1 = const(1.0) : float
      %2 = multiply(%0, %1) : f32[3]
      %3 = const(1.0) : f32[]
      %4 = const(0.0) : f32[]
      %5 = divide(%3, %4) : f32[]
      %6 = add(%2, %5) : f32[3]
      return %6
    }
"""
from __future__ import annotations

from typing import Any

import numpy as np

from ir.graph import CONSTANT, Graph, Node, Value
from ir.rewrite import rewrite
from ir.rules import Condition, Match, Rule, Rules
from ir.spec import spec_of

EXACT = True
_FAMILIES = ("elementwise", "shape", "scalar", "reduce", "matmul", "index", "nn")
_WARNS = ("mean", "var", "std")  # through `warnings`, where too few elements are left


def _may_fold(m: Match) -> bool:
    node = m.root.node
    if len(node.outputs) > 1 or node.op.family not in _FAMILIES or node.op.name in _WARNS:
        return False
    return not _too_large(node) and not _drops_imaginary(node)


def _fold(m: Match) -> Value | None:
    node = m.root.node
    found = _compute(node)
    if found is None or spec_of(found) != node.outputs[0].spec or not np.asarray(found).flags.c_contiguous:
        return None
    return m.graph.constant(found)


def _too_large(node: Node) -> bool:
    return node.outputs[0].spec.size > 1 and node.outputs[0].spec.nbytes > sum([v.spec.nbytes for v in node.operands])


def _drops_imaginary(node: Node) -> bool:
    """A cast of complex numbers to real ones warns through `warnings`, which can't be caught for one thread alone."""
    return node.op.name == "cast" and node.operands[0].dtype.kind == "c" and node.outputs[0].dtype.kind != "c"


def _compute(node: Node) -> Any:
    """The node's value; None where the meaning raises or would warn."""
    try:
        with np.errstate(all="raise"):
            return node.op.meaning(*[v.node.attrs["value"].value for v in node.operands], **node.attrs)
    except (ArithmeticError, LookupError, TypeError, ValueError):  # what NumPy and our rules raise; anything else is a fault to be seen
        return None


FOLD = Rule(
    "constant operands", "ANY(*xs)", needs=lambda ops: all(op is CONSTANT for op in ops), where=Condition(_may_fold), to=_fold,
)
RULES = Rules(FOLD)


def run(graph: Graph, *, exact: bool = True) -> int:
    """Folds, in place; gives the number of nodes that became constants."""
    return rewrite(graph, RULES, exact=exact)
