"""Algebraic simplification: the same value with fewer or cheaper operations. RULES is the list, in the order in which rules are tried;
each family has a file in `rules/`.

What never changes, asked for exactness or not: NaN, infinities and the sign of a zero. So `x + 0.0` stays (for -0.0 it is 0.0), as do
`x * 0`, `0 - x`, `x - x`, and complex products with 1. `1 / (1 + exp(-x))` stays too: `sigmoid` is another formula, whose result at -40
is 0 and not 4e-18. A rule that is not exact moves roundings or only the layout in memory; two steps where one over- or underflows stay two.
A rule that drops an operation is exact where what is left owns its memory: then NumPy's layout is the same.

Before:

    graph {
      %0 = input() {kind="argument"} : f64[4,3]
      %1 = const(1.0) : float
      %2 = multiply(%0, %1) : f64[4,3]
      %3 = negative(%0) : f64[4,3]
      %4 = add(%2, %3) : f64[4,3]
      %5 = const(2) : int
      %6 = power(%4, %5) : f64[4,3]
      %7 = const(8.0) : float
      %8 = divide(%6, %7) : f64[4,3]
      %9 = transpose(%8) {axes=(1, 0)} : f64[3,4]
      %10 = transpose(%9) {axes=(1, 0)} : f64[4,3]
      %11 = reshape(%10) {shape=(12,)} : f64[12]
      %12 = expand_dims(%11) {axis=(0,)} : f64[1,12]
      return %12
    }

After:

    graph {
      %0 = input() {kind="argument"} : f64[4,3]
      %1 = subtract(%0, %0) : f64[4,3]
      %2 = square(%1) : f64[4,3]
      %3 = const(0.125) : float
      %4 = multiply(%2, %3) : f64[4,3]
      %5 = reshape(%4) {shape=(1, 12)} : f64[1,12]
      return %5
    }
"""
from __future__ import annotations

from ir.graph import Graph
from ir.passes.fold import FOLD
from ir.passes.rules import cheaper, copies, host, picks, products, signs, slices, views
from ir.rewrite import rewrite
from ir.rules import Rules

EXACT = False
RULES = Rules(FOLD, *signs.RULES, *cheaper.RULES, *products.RULES, *host.RULES, *copies.RULES, *slices.RULES, *views.RULES, *picks.RULES)


def run(graph: Graph, *, exact: bool = False) -> int:
    """Applies RULES until none applies, in place; gives the number of rewrites."""
    return rewrite(graph, RULES, exact=exact)
