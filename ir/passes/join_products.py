"""Sums of products as one product over a longer axis: `a @ b + c @ d` is `[a c] @ [b; d]`.

Each product that is added up writes a whole result and has it read again: rank-k updates `u v^T + w z^T`, gradients of a weight that is
used at each step of a loop, `sum(x.T @ g for x, g in ...)`. As one product they are summed up in BLAS. Worth it where the factors, which
have to lie side by side for it, have far fewer elements than the result; what is computed may be computed there (see
`planning/inside.py`), so that the joins cost nothing. Outer products written by broadcasting are such products too.

Not exact: the terms are added in another order. A sum of outer products is +0.0 where all its terms are -0.0.

Before:

    graph {
      %0 = input() {kind="argument"} : f64[4,100]
      %1 = input() {kind="argument"} : f64[4,90]
      %2 = input() {kind="argument"} : f64[100,1]
      %3 = input() {kind="argument"} : f64[90]
      %4 = transpose(%0) {axes=(1, 0)} : f64[100,4]
      %5 = dot(%4, %1) : f64[100,90]
      %6 = multiply(%2, %3) : f64[100,90]
      %7 = add(%5, %6) : f64[100,90]
      return %7
    }

After:

    graph {
      %0 = input() {kind="argument"} : f64[4,100]
      %1 = input() {kind="argument"} : f64[4,90]
      %2 = input() {kind="argument"} : f64[100,1]
      %3 = input() {kind="argument"} : f64[90]
      %4 = reshape(%2) {shape=(1, 100)} : f64[1,100]
      %5 = concatenate(%0, %4) {axis=0} : f64[5,100]
      %6 = transpose(%5) {axes=(1, 0)} : f64[100,5]
      %7 = reshape(%3) {shape=(1, 90)} : f64[1,90]
      %8 = concatenate(%1, %7) {axis=0} : f64[5,90]
      %9 = dot(%6, %8) : f64[100,90]
      return %9
    }
"""
from __future__ import annotations

from typing import NamedTuple

from ir.graph import Graph, Value
from ir.ops.elementwise import add, multiply
from ir.ops.matmul import dot
from ir.ops.shape import concatenate, shaped, transpose
from ir.pattern import equal_number
from ir.rewrite import rewrite
from ir.rules import Condition, Match, Rule, Rules

EXACT = False
_JOIN = 3  # passes over memory that an element takes to where it is joined: read and written, and not always in a row
_SUM = 4  # those that an element of a product takes which is added to another: written, both read, the sum written
_LEAST = 4096  # elements that need not be moved
_OUTER = 3  # two outer products and their sum, block by block, take as long as BLAS does


class _Product(NamedTuple):
    """A term `left @ right`, or `left.T @ right` where it is turned."""

    left: Value
    right: Value
    turned: bool

    @property
    def depth(self) -> int:
        return self.right.shape[0]


def _joined(m: Match) -> Value | None:
    """The sum with its products as one; None where that does not pay."""
    if _is_inner(m):
        return None  # the sum is looked at from its end
    rows, columns = m.root.shape
    worth, most = rows * columns * _SUM, (rows + columns) * _JOIN  # of each sum that is not taken; of each row that is joined
    terms = _terms(m)
    products = {term: found for term in terms if (found := _product(m, term)) and found.depth * most < worth}
    least = 2 if any(term.node.op is dot for term in products) else _OUTER
    if len(products) < least or (len(products) - 1) * worth - sum([p.depth for p in products.values()]) * most < _LEAST:
        return None
    total = _one_product(list(products.values()))
    for term in terms:
        if term not in products and not equal_number(m.facts.fill(term), 0.0):  # no sum of products is -0.0
            total = add(total, term)
    return total


def _is_inner(m: Match) -> bool:
    """Whether all that reads the sum is another one."""
    if m.facts.uses_of(m.root, 2) != 1 or m.root in m.facts.results:
        return False
    (user,) = m.graph.users(m.root.node)
    return user.op is add and user.specs == m.root.node.specs


def _terms(m: Match) -> list[Value]:
    """What is added up, from left to right."""
    terms, stack = [], list(reversed(m.root.node.operands))
    while stack:
        value = stack.pop()
        if value.node.op is add and value.spec == m.root.spec and m.facts.uses_of(value, 2) == 1:
            stack += reversed(value.node.operands)
        else:
            terms.append(value)
    return terms


def _product(m: Match, term: Value) -> _Product | None:
    """The term as a product, if it is one of matrices, or of a column and a row."""
    if term.node.op not in (dot, multiply) or term.spec != m.root.spec or m.facts.uses_of(term, 2) != 1:
        return None
    x, y = term.node.operands
    if any(v.dtype != term.dtype or v.spec.weak for v in (x, y)):
        return None
    if term.node.op is multiply:
        rows, columns = term.shape
        for column, row in ((x, y), (y, x)):
            if column.shape == (rows, 1) and row.shape in ((columns,), (1, columns)):
                return _Product(shaped(column, (1, rows)), shaped(row, (1, columns)), True)
        return None
    if x.ndim != 2 or y.ndim != 2 or 1 in (x.spec.size, y.spec.size):
        return None
    turned = x.node.op is transpose
    return _Product(x.node.operands[0] if turned else x, y, turned)


def _one_product(products: list[_Product]) -> Value:
    right = concatenate(*[p.right for p in products], axis=0)
    if not any(p.turned for p in products):
        return dot(concatenate(*[p.left for p in products], axis=1), right)
    rows = [p.left if p.turned else transpose(p.left, axes=(1, 0)) for p in products]
    return dot(transpose(concatenate(*rows, axis=0), axes=(1, 0)), right)


def _sums(m: Match) -> bool:
    """A matrix, neither a row nor a column, of numbers whose sums may be taken otherwise."""
    root = m.root
    return root.ndim == 2 and min(root.shape) > 1 and (root.dtype.kind in "iu" or root.dtype.kind in "fc" and root.dtype != "f2")


RULES = Rules(
    Rule(
        "products that are added up", "add(x, y)", to=_joined, where=Condition(_sums), exact=False,
        needs=lambda ops: any(op in (dot, multiply, add) for op in ops),
    ),
)


def run(graph: Graph, *, exact: bool = False) -> int:
    """Applies RULES, in place; gives the number of rewrites."""
    return rewrite(graph, RULES, exact=exact)
