"""Sums of repeated values: what `broadcast_to` repeated n times is multiplied by n instead of being added up.

Not exact: n additions round differently. It runs after `fuse_linear`, which looks for the sums that are gradients of a bias. The sum
of zeros of either sign is +0.0, therefore the `+ 0.0`.

Before:

    graph {
      %0 = input() {kind="argument"} : f64[]
      %1 = exp(%0) : f64[]
      %2 = broadcast_to(%1) {shape=(100, 10)} : f64[100,10]
      %3 = sum(%2) {axis=(0,), keepdims=False} : f64[10]
      %4 = negative(%3) : f64[10]
      return %4
    }

After:

    graph {
      %0 = input() {kind="argument"} : f64[]
      %1 = exp(%0) : f64[]
      %2 = const(100.0) : float
      %3 = multiply(%1, %2) : f64[]
      %4 = const(0.0) : float
      %5 = add(%3, %4) : f64[]
      %6 = broadcast_to(%5) {shape=(10,)} : f64[10]
      %7 = negative(%6) : f64[10]
      return %7
    }
"""
from __future__ import annotations

import math

import numpy as np

from ir.graph import Graph, Value
from ir.ops.elementwise import add, multiply
from ir.ops.reduce import sum
from ir.ops.shape import broadcast_to, reshape
from ir.rewrite import rewrite
from ir.rules import Match, Rule, Rules, kind, same_dtype

EXACT = False


def _times(m: Match) -> Value | None:
    """The sum over the axes that are there, times the number of repetitions, broadcast where axes that stay were repeated."""
    x, shape, axis, keepdims = m["x"], m["broadcast_to"].shape, m["axis"], m["keepdims"]
    inner = (1,) * (len(shape) - x.ndim) + x.shape
    count = math.prod([shape[k] for k in axis if inner[k] == 1])
    if count < 2 or count > 1 / np.finfo(x.dtype).eps or 0 in shape:
        return None
    there = tuple([k - (len(shape) - x.ndim) for k in axis if inner[k] != 1])
    total = add(multiply(sum(x, axis=there, keepdims=True) if there else x, float(count)), 0.0)
    kept = tuple([1 if k in axis else n for k, n in enumerate(inner) if keepdims or k not in axis])
    if kept == m.root.shape or total.spec.size > 1:
        total = total if total.shape == kept else reshape(total, shape=kept)
    return total if total.shape == m.root.shape else broadcast_to(total, shape=m.root.shape)


RULES = Rules(
    Rule(
        "sum of a broadcast value", "sum(broadcast_to(x), axis=axis, keepdims=keepdims)", where=kind("f") & same_dtype("x"),
        to=_times, exact=False,
    ),
)


def run(graph: Graph, *, exact: bool = False) -> int:
    """Applies RULES, in place; gives the number of rewrites."""
    return rewrite(graph, RULES, exact=exact)
