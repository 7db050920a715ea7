"""Products of matrices of which one is a single number: multiplications, layers among them.

`np.dot` gives such a product to BLAS as a scaling, which makes 0 of 0 times NaN or infinity; `np.matmul` and a multiplication make NaN.
The multiplication is what all of them become, so that a layer of one weight comes out the same, and right, however it was written.
Not exact: for `dot`, NaN comes out where NumPy gives 0, and the zero's sign is that of the product.

Before:

    graph {
      %0 = input() {kind="argument"} : f64[100,1]
      %1 = input() {kind="argument"} : f64[1,1]
      %2 = input() {kind="argument"} : f64[1]
      %3 = linear(%0, %1, %2) : f64[100,1]
      return %3
    }

After:

    graph {
      %0 = input() {kind="argument"} : f64[100,1]
      %1 = input() {kind="argument"} : f64[1,1]
      %2 = input() {kind="argument"} : f64[1]
      %3 = multiply(%0, %1) : f64[100,1]
      %4 = add(%3, %2) : f64[100,1]
      return %4
    }
"""
from __future__ import annotations

from ir.graph import Graph
from ir.rewrite import rewrite
from ir.rules import Rule, Rules, rank, single

EXACT = False
_MATRICES = rank("x", 2) & rank("y", 2) & single("x", "y")

RULES = Rules(
    Rule("product with a number", "matmul(x, y)", to="multiply(x, y)", where=_MATRICES, exact=False),
    Rule("dot with a number", "dot(x, y)", to="multiply(x, y)", where=_MATRICES, exact=False),
    Rule("linear with a number", "linear(x, W, b)", to="add(multiply(x, W), b)", where=single("x", "W"), exact=False),
    Rule(
        "linear_vjp with a number", "linear_vjp(x, gy)", where=single("x", "gy"), exact=False,
        to="(multiply(transpose(x, axes=(1, 0)), gy), sum(gy, axis=(0,), keepdims=False))",
    ),
)


def run(graph: Graph, *, exact: bool = False) -> int:
    """Applies RULES, in place; gives the number of rewrites."""
    return rewrite(graph, RULES, exact=exact)
