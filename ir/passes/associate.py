"""Products in the cheaper order: a factor's scale goes to what has fewer elements, chains of products are taken in the best order.

`(s * A) @ x` is `A @ (s * x)`, or `s * (A @ x)`, whichever multiplies least; s is a number, or a vector along the axis that is summed over
(then it goes to x) or along the other (then to the result). `A @ B @ x` is `A @ (B @ x)`: the order with the fewest operations, by the
classical recurrence over all splits of a chain. Only where nothing else reads what is computed in between, a gradient included.

Not exact. The roundings differ, and what overflows or is lost below the smallest numbers on the way is something else: `s * A` may
overflow where `A @ x` does not, and the other way round. A scale that goes to x meets the same infinities and NaN, term by term; one
that goes to the result, and chains, meet sums: there an infinity may be NaN, or NaN an infinity. Signs of zero stay: sums of products
start at +0.0, therefore the `+ 0.0` behind a scale that may be negative. Half precision, where ordinary numbers overflow, stays as it
is. Whole numbers wrap around to the same.

Before:

    graph {
      %0 = input() {kind="argument"} : float
      %1 = input() {kind="argument"} : f64[200,300]
      %2 = input() {kind="argument"} : f64[300,200]
      %3 = input() {kind="argument"} : f64[200]
      %4 = multiply(%1, %0) : f64[200,300]
      %5 = dot(%4, %2) : f64[200,200]
      %6 = dot(%5, %3) : f64[200]
      return %6
    }

After:

    graph {
      %0 = input() {kind="argument"} : float
      %1 = input() {kind="argument"} : f64[200,300]
      %2 = input() {kind="argument"} : f64[300,200]
      %3 = input() {kind="argument"} : f64[200]
      %4 = dot(%2, %3) : f64[300]
      %5 = multiply(%4, %0) : f64[300]
      %6 = dot(%1, %5) : f64[200]
      return %6
    }
"""
from __future__ import annotations

from typing import NamedTuple

from ir.graph import Graph, Node, Value
from ir.op import Op
from ir.ops.elementwise import add, divide, multiply, negative
from ir.ops.matmul import dot
from ir.ops.shape import shaped, transpose
from ir.ranges import range_of
from ir.rewrite import rewrite
from ir.rules import Condition, Match, Rule, Rules

EXACT = False
_SCALES = (multiply, divide, negative)
_LEAST = 2048  # elements that need not be multiplied: a microsecond or so
_MOVED = 8  # an element read or written takes as long as so many multiplications and additions of a product
_LONGEST = 16  # factors of a chain that are looked at together
_WORTH = 0.8  # of the time before
_LEAST_WORK = 1 << 14


# ---- scales
class _Scaled(NamedTuple):
    """A factor of a product without its scale: what it is then, and the scale, with the axis along which it has elements if it has."""

    base: Value
    op: Op
    scale: Value | None
    axis: int | None

    def on(self, value: Value, axis: int) -> Value:
        """`value` scaled as the factor was, along `axis` where the scale is a vector."""
        if self.scale is None:
            return self.op(value)
        if self.axis is None:
            return self.op(value, self.scale if self.scale.spec.weak else shaped(self.scale, ()))
        count = self.scale.spec.size
        return self.op(value, shaped(self.scale, (count, 1) if axis == 0 and value.ndim == 2 else (count,)))

    def may_be_negative(self) -> bool:
        return self.scale is None or self.scale.dtype.kind == "c" or range_of(self.scale).low < 0


def _moved(m: Match) -> Value | None:
    """The scale of a factor on the other factor or on the product, where that has fewer elements."""
    for side in (0, 1):
        found = _scaled(m, m.root.node.operands[side])
        built = _elsewhere(m, side, found) if found else None
        if built is not None:
            return built
    return None


def _scaled(m: Match, factor: Value) -> _Scaled | None:
    turned = _is_turned(factor)
    whole = factor.node.operands[0] if turned else factor
    if whole.node.op not in _SCALES or m.facts.uses_of(factor, 2) != 1 or m.facts.uses_of(whole, 2) != 1:
        return None
    for base, scale in _ways(whole.node):
        along = [whole.ndim - scale.ndim + k for k, n in enumerate(scale.shape) if n > 1] if scale is not None else []
        if base.spec == whole.spec and len(along) < whole.ndim:
            along = [1 - k for k in along] if turned else along
            return _Scaled(transpose(base, axes=(1, 0)) if turned else base, whole.node.op, scale, along[0] if along else None)
    return None


def _ways(node: Node) -> list[tuple[Value, Value | None]]:
    """What may be scaled there, and by what."""
    if node.op is negative:
        return [(node.operands[0], None)]
    x, y = node.operands
    return [(x, y), (y, x)] if node.op is multiply else [(x, y)]


def _elsewhere(m: Match, side: int, found: _Scaled) -> Value | None:
    x, out, base = m.root.node.operands[1 - side], m.root, found.base
    summed = base.ndim - 1 if side == 0 else 0
    signed = out.dtype.kind in "fc" and found.may_be_negative()
    of_x = x.spec.size if found.axis in (None, summed) else None
    of_out = out.spec.size * (1 + signed) if found.axis != summed or found.axis is None else None
    fewest = min([n for n in (of_x, of_out) if n is not None])
    if base.spec.size < max(2 * fewest, fewest + _LEAST):
        return None
    if of_x is not None and of_x <= 2 * fewest:
        scaled = found.on(x, 0 if side == 0 else x.ndim - 1)
        return dot(base, scaled) if side == 0 else dot(scaled, base)
    product = dot(base, x) if side == 0 else dot(x, base)
    scaled = found.on(product, 0 if side == 0 else out.ndim - 1)
    return add(scaled, 0.0) if signed else scaled


# ---- chains
class _Factor(NamedTuple):
    """One factor of a chain: `turned` where its transpose is meant, `rows` by `columns` as it is meant."""

    value: Value
    turned: bool
    rows: int
    columns: int

    def built(self) -> Value:
        return transpose(self.value, axes=(1, 0)) if self.turned else self.value


def _in_best_order(m: Match) -> Value | None:
    if _is_inner(m):
        return None  # the chain is looked at from its end
    factors, before = _factors(m)
    if len(factors) < 3 or any(f.value.spec.size == 1 for f in factors):
        return None
    after, split = _best(factors)
    if after > _WORTH * before or before - after < _LEAST_WORK:
        return None
    return _built(factors, split)


def _is_inner(m: Match) -> bool:
    """Whether all that reads the product is another product, which may read it turned."""
    value = m.root
    while m.facts.uses_of(value, 2) == 1 and value not in m.facts.results:
        (user,) = m.graph.users(value.node)
        if user.op is not transpose or not _is_turned(user.outputs[0]):
            return user.op is dot and _is_plain(user.outputs[0])
        value = user.outputs[0]
    return False


def _factors(m: Match) -> tuple[list[_Factor], float]:
    """The factors of the chain that ends in the root, from left to right, and what its products cost as they stand."""
    x, y = m.root.node.operands
    factors = [_as_row(x), _as_column(y)]
    cost, at = _cost(factors[0].rows, factors[0].columns, factors[1].columns), 0
    while at < len(factors) and len(factors) < _LONGEST:
        value, turned, _, _ = factors[at]
        if m.facts.uses_of(value, 2) != 1:
            at += 1
        elif _is_turned(value):
            factors[at] = factors[at]._replace(value=value.node.operands[0], turned=not turned)
        elif value.node.op is dot and _is_plain(value):
            parts = _parts(value, turned, last=at == len(factors) - 1)
            cost += _cost(parts[0].rows, parts[0].columns, parts[1].columns)
            factors[at : at + 1] = parts
        else:
            at += 1
    return factors, cost


def _parts(product: Value, turned: bool, last: bool) -> list[_Factor]:
    """Both factors of a product that is itself one, in the order in which they then stand."""
    a, b = product.node.operands
    if product.ndim == 1:
        turned = (a.ndim == 1) is last  # a vector stands at the end of a chain, as a column, or at its beginning, as a row
    first, second = (b, a) if turned else (a, b)
    return [_as_row(first, turned), _as_column(second, turned)]


def _as_row(value: Value, turned: bool = False) -> _Factor:
    rows, columns = value.shape if value.ndim == 2 else (1, value.spec.size)
    return _Factor(value, False, rows, columns) if value.ndim == 1 or not turned else _Factor(value, True, columns, rows)


def _as_column(value: Value, turned: bool = False) -> _Factor:
    return _as_row(value, turned) if value.ndim == 2 else _Factor(value, False, value.spec.size, 1)


def _cost(m: int, k: int, n: int) -> float:
    return m * k * n + _MOVED * (m * k + k * n + m * n)


def _best(factors: list[_Factor]) -> tuple[float, dict[tuple[int, int], int]]:
    """The least cost of the whole, and where each part of the chain, from its first to its last factor, is split for it."""
    count = len(factors)
    costs: dict[tuple[int, int], float] = {(k, k): 0.0 for k in range(count)}
    split: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            ways = [
                (costs[i, k] + costs[k + 1, j] + _cost(factors[i].rows, factors[k].columns, factors[j].columns), k) for k in range(i, j)
            ]
            costs[i, j], split[i, j] = min(ways)
    return costs[0, count - 1], split


def _built(factors: list[_Factor], split: dict[tuple[int, int], int]) -> Value:
    spans = [(0, len(factors) - 1)]
    for i, j in spans:  # it grows as it is read: what a span is made of comes after it
        if i < j:
            spans += [(i, split[i, j]), (split[i, j] + 1, j)]
    made: dict[tuple[int, int], Value] = {}
    for i, j in reversed(spans):
        made[i, j] = factors[i].built() if i == j else dot(made[i, split[i, j]], made[split[i, j] + 1, j])
    return made[0, len(factors) - 1]


# ---- rules
def _is_turned(value: Value) -> bool:
    return value.node.op is transpose and tuple(value.node.attrs["axes"]) == (1, 0)


def _is_plain(product: Value) -> bool:
    """A product of vectors and matrices of one dtype, none of them a single number or empty, in which sums may be taken otherwise."""
    sized = all(v.ndim in (1, 2) and v.spec.size > 1 and v.dtype == product.dtype and v.spec.weak is None for v in product.node.operands)
    return sized and (product.dtype.kind in "iu" or product.dtype.kind in "fc" and product.dtype != "f2")


_PLAIN = Condition(lambda m: _is_plain(m.root))

RULES = Rules(
    Rule(
        "scale of a factor", "dot(x, y)", to=_moved, where=_PLAIN, exact=False,
        needs=lambda ops: any(op in _SCALES or op is transpose for op in ops),
    ),
    Rule(
        "chain of products", "dot(x, y)", to=_in_best_order, where=_PLAIN, exact=False,
        needs=lambda ops: any(op is dot or op is transpose for op in ops),
    ),
)


def run(graph: Graph, *, exact: bool = False) -> int:
    """Applies RULES, in place; gives the number of rewrites."""
    return rewrite(graph, RULES, exact=exact)
