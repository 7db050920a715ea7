"""Linear layers: a product and its bias become `linear`; the gradients of weight and bias, from one cotangent, `linear_vjp`.

A product that something else uses stays. Where only one of the two gradients is used, `linear_vjp` is taken apart again, so that a
layer comes out the same however it was written and whatever is asked of it. Exact, but for a product with a single number, which
`simplify` leaves as the `matmul` it was (see `scale.py`, which undoes it).

Before:

    graph {
      %0 = input() {kind="argument"} : f64[100,3]
      %1 = input() {kind="argument"} : f64[3,10]
      %2 = input() {kind="argument"} : f64[10]
      %3 = input() {kind="argument"} : f64[100,10]
      %4 = dot(%0, %1) : f64[100,10]
      %5 = add(%4, %2) : f64[100,10]
      %6 = transpose(%0) {axes=(1, 0)} : f64[3,100]
      %7 = dot(%6, %3) : f64[3,10]
      %8 = sum(%3) {axis=(0,), keepdims=False} : f64[10]
      return %5, %7, %8
    }

After:

    graph {
      %0 = input() {kind="argument"} : f64[100,3]
      %1 = input() {kind="argument"} : f64[3,10]
      %2 = input() {kind="argument"} : f64[10]
      %3 = input() {kind="argument"} : f64[100,10]
      %4 = linear(%0, %1, %2) : f64[100,10]
      %5, %6 = linear_vjp(%0, %3) : f64[3,10], f64[10]
      return %4, %5, %6
    }
"""
from __future__ import annotations

from ir.graph import Graph, Value
from ir.ops.nn import linear, linear_vjp
from ir.ops.shape import reshape
from ir.rewrite import rewrite
from ir.rules import Condition, Match, Rule, Rules, one_use, rank, same, same_dtype, single, unused

EXACT = False
_GRADIENTS = rank("x", 2) & rank("gy", 2) & same_dtype("x", "gy")


def _layer(product: str) -> Condition:
    """Matrices of one dtype, and a bias that does not enlarge their product."""
    return rank("x", 2) & rank("W", 2) & same(product) & same_dtype("x", "W", "b")


def _row(m: Match) -> bool:
    return m["b"].ndim == 2 and m["b"].shape == (1, m.root.shape[1])


def _with_row(m: Match) -> Value:
    return linear(m["x"], m["W"], reshape(m["b"], shape=(m.root.shape[1],)))


def _with_row_gradient(m: Match) -> tuple[Value, Value]:
    dW, db = linear_vjp(m["x"], m["gy"])
    return dW, reshape(db, shape=m.roots[1].shape)


RULES = Rules(
    Rule("product, then bias", "add(dot(x, W), b)", where=one_use("dot") & rank("b", 1) & _layer("dot"), to="linear(x, W, b)"),
    Rule("product, then a row", "add(dot(x, W), b)", where=one_use("dot") & Condition(_row) & _layer("dot"), to=_with_row),
    Rule(
        "product with a number, then bias", "add(matmul(x, W), b)", to="linear(x, W, b)", exact=False,
        where=one_use("matmul") & single("x", "W") & rank("b", 1) & _layer("matmul"),
    ),
    Rule("only dW", "linear_vjp(x, gy)", where=unused(1), to="(dot(transpose(x, axes=(1, 0)), gy), _)"),
    Rule("only db", "linear_vjp(x, gy)", where=unused(0), to="(_, sum(gy, axis=(0,), keepdims=False))"),
    Rule(
        "dW and db", "{dot(transpose(x, axes=(1, 0)), gy), sum(gy, axis=(0,), keepdims=False)}", where=_GRADIENTS, to="linear_vjp(x, gy)",
    ),
    Rule(
        "dW and db of a row", "{dot(transpose(x, axes=(1, 0)), gy), sum(gy, axis=(0,), keepdims=True)}", where=_GRADIENTS,
        to=_with_row_gradient,
    ),
    Rule(
        "dW with a number, and db", "{matmul(transpose(x, axes=(1, 0)), gy), sum(gy, axis=(0,), keepdims=False)}", to="linear_vjp(x, gy)",
        where=_GRADIENTS & single("x", "gy"), exact=False,
    ),
)


def run(graph: Graph, *, exact: bool = False) -> int:
    """Fuses, in place; gives the number of rewrites."""
    return rewrite(graph, RULES, exact=exact)
