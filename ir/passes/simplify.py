"""Algebraic simplification: the same value with fewer or cheaper operations. RULES is the list, in the order in which rules are tried.

What never changes, asked for exactness or not: NaN, infinities and the sign of a zero. So `x + 0.0` stays (for -0.0 it is 0.0), as do
`x * 0`, `0 - x`, `x - x`, and complex products with 1. `1 / (1 + exp(-x))` stays too: `sigmoid` is another formula, whose result at -40
is 0 and not 4e-18. A rule that is not exact moves roundings or only the layout in memory; `scaled twice` says what it does near overflow.
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

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.graph import CONSTANT, Graph, Value
from ir.op import Op
from ir.ops.elementwise import cast, divide, multiply
from ir.ops.matmul import dot
from ir.ops.reduce import sum
from ir.ops.scalar import python
from ir.ops.shape import broadcast_to, reshape, transpose
from ir.passes.fold import FOLD
from ir.rewrite import rewrite
from ir.rules import Condition, Match, Rule, Rules, kind, leads, one_use, owned, rank, same, same_dtype, single
from ir.spec import broadcast

EXACT = False
_MODERATE = 2.0**16
_LONGEST = 1 << 16
_LARGE = np.finfo(np.float64).max
_REAL = kind("biuf")
_FLOAT = kind("f")
_DROPPED = owned("x") & leads("x")


# ---- numbers
def _number(m: Match, name: str) -> Any:
    """The real number, finite and not 0, that fills a constant; None where it is none."""
    number = m.rewriter.fill(m[name])
    if number is None or isinstance(number, (bool, np.bool_, complex, np.complexfloating)) or number == 0 or abs(number) > _LARGE:
        return None
    return None if number != number else number


def _scalar(m: Match, number: Any, *names: str) -> Value:
    """The number as a constant without axes: a Python number where the constants of these names are, else of the root's dtype."""
    weak = all(m[n].spec.weak is not None for n in names)
    return m.graph.constant(float(number) if weak else m.root.dtype.type(number))


def _is_scalar(*names: str) -> Condition:
    """Constants filled with one number, which add no axes to the result."""
    return Condition(lambda m: all(_number(m, n) is not None and m[n].spec.size == 1 and m[n].ndim == 0 for n in names))


def _reciprocal(m: Match) -> Value | None:
    """`x / c` as `x * (1 / c)` where c is a power of two whose reciprocal is a normal number: the same real number, rounded once."""
    with np.errstate(all="ignore"):
        number = m.root.dtype.type(_number(m, "c"))
    if abs(np.frexp(number)[0]) != 0.5 or not _normal(1 / np.longdouble(number), m.root.dtype):
        return None
    return multiply(m["x"], _scalar(m, 1 / number, "c"))


def _normal(number: Any, dtype: np.dtype) -> bool:
    limits = np.finfo(dtype)
    return bool(limits.smallest_normal <= abs(number) <= limits.max)


def _squares(m: Match) -> bool:
    """NumPy's power itself squares for one exponent 2, but in long double."""
    return m.root.node.operands[1].ndim == 0 and m.root.dtype.char != "g"


def _factor(m: Match, first: tuple[str, int], second: tuple[str, int]) -> Any:
    """The product of two constants, each to the power 1 or -1, in the best precision there is; None where combining could show.

    Two steps that both enlarge (or both shrink) overflow (underflow) where their product does. Where one enlarges and the other
    shrinks, both must be within 2**16, so that only values within that factor of overflow (underflow) can now come out right.
    """
    with np.errstate(all="ignore"):
        given = [m.root.dtype.type(_number(m, name)) for name, _ in (first, second)]
    if not all(_normal(g, m.root.dtype) for g in given):
        return None
    one, two = [np.longdouble(g) ** power for g, (_, power) in zip(given, (first, second))]
    product = one * two
    same_way = (abs(one) >= 1) == (abs(two) >= 1)
    moderate = all(1 / _MODERATE <= abs(f) <= _MODERATE for f in (one, two)) and m.root.dtype.itemsize > 2
    return product if (same_way or moderate) and _normal(product, m.root.dtype) else None


def _scaled_twice(first: int, second: int) -> Any:
    """`x` times c**first, then d**second, as one product (or one quotient where both divide)."""

    def build(m: Match) -> Value | None:
        both_divide = first == second == -1
        factor = _factor(m, ("c", abs(first) if both_divide else first), ("d", abs(second) if both_divide else second))
        if factor is None:
            return None
        return (divide if both_divide else multiply)(m["x"], _scalar(m, factor, "c", "d"))

    return build


def _steps_in(inner: str) -> Condition:
    return _FLOAT & one_use(inner) & _is_scalar("c", "d") & same(inner) & same("x")


def _in_order(m: Match) -> bool:
    """The operands stand as in the pattern: where their layouts differ, the first decides."""
    return m.root.node.operands[0] is m["a"]


def _negated(m: Match) -> Value:
    return _scalar(m, -_number(m, "c"), "c")


# ---- Python numbers
def _weak(name: str) -> Condition:
    """A Python float that only a call will tell."""
    return _FLOAT & Condition(lambda m: m[name].spec.weak == "float" and m[name].node.op is not CONSTANT)


def _on_host(fn: str) -> Any:
    """The operation on the Python number itself, by Python's operator: in double precision."""

    def build(m: Match) -> Value:
        return cast(python(m["s"], m.graph.constant(float(_number(m, "c"))), fn=fn), dtype=m.root.dtype)

    return build


_TO_HOST = _weak("s") & _is_scalar("c") & same_dtype("cast")
_DOUBLE = Condition(lambda m: m.root.dtype.char == "d")


# ---- products
def _one_product(m: Match) -> bool:
    """A sum over everything that BLAS multiplies in one call; of more elements NumPy's sum in pairs rounds better."""
    x = m["x"]
    return m.root.ndim == 0 < x.ndim and m.root.dtype == x.dtype and x.dtype.char in "fd" and 1 < x.spec.size <= _LONGEST


def _dot_with_itself(m: Match) -> Value:
    flat = reshape(m["x"], shape=(m["x"].spec.size,))
    return dot(flat, flat)


# ---- shapes
def _composed(m: Match) -> Value:
    return transpose(m["x"], axes=tuple([m["first"][k] for k in m["second"]]))


def _identity_axes(m: Match) -> bool:
    """No axis with more than one index moves."""
    moved = [k for k in m["axes"] if m["x"].shape[k] != 1]
    return moved == sorted(moved)


def _only_lead(m: Match) -> bool:
    """The reshape only adds or drops leading axes of size 1, which broadcasting does anyway."""
    short, long = sorted((m["x"].shape, m["reshape"].shape), key=len)
    lead = len(long) - len(short)
    return long == (1,) * lead + short


def _filled(m: Match) -> Value | None:
    """A constant filled with one number broadcasts as that number does."""
    number = m.rewriter.fill(m["x"])
    return None if number is None else broadcast_to(m.graph.constant(number), shape=m.root.shape)


def _without_broadcasts(m: Match) -> Value | None:
    """The operation on what its operands broadcast; broadcast afterwards where no other operand has the whole shape.

    Of an empty result nothing is computed, so it could not warn, as one element may.
    """
    small = [v.node.operands[0] if v.node.op is broadcast_to else v for v in m["xs"]]
    if not m.root.spec.size and broadcast([v.shape for v in small]) != m.root.shape:
        return None
    found = m.graph.apply(m.root.node.op, small, m.root.node.attrs)
    return found if found.shape == m.root.shape else broadcast_to(found, shape=m.root.shape)


def _any_broadcast(ops: Sequence[Op]) -> bool:
    return broadcast_to in ops


def _whole_shape_left(m: Match) -> bool:
    small = [v.node.operands[0] if v.node.op is broadcast_to else v for v in m["xs"]]
    return m.root.node.op.name != "power" and broadcast([v.shape for v in small]) == m.root.shape


def _kept_axes(m: Match) -> Value | None:
    """A reduction whose kept axes are dropped at once, without keeping them."""
    reduction = m["x"].node
    attrs = reduction.attrs | {"keepdims": False}
    if reduction.op.family != "reduce" or m.rewriter.uses_of(m["x"], 2) != 1 or reduction.attrs.get("keepdims") is not True:
        return None
    found = m.graph.apply(reduction.op, reduction.operands, attrs)
    return found if found.shape == m.root.shape else None


def _default_dtype(m: Match) -> Value | None:
    """The sum without its `dtype`, where that is the one it has anyway."""
    return sum(m["x"], axis=m["axis"], keepdims=m["keepdims"])


# ---- casts
def _loses_nothing(m: Match) -> bool:
    """The first cast keeps every value, and the second gives what it would have given without it."""
    old, between, new = m["x"].dtype, m["first"], m.root.dtype
    if m["x"].spec.weak is not None or "c" in (old.kind, between.kind, new.kind) or new.kind == "b" != old.kind:
        return False
    whole = old.kind in "iub"
    if whole and between.kind == "f":
        bits = 1 if old.kind == "b" else 8 * old.itemsize - (old.kind == "i")
        lossless = bits <= np.finfo(between).nmant + 1
        return lossless and (new.kind == "f" or np.can_cast(old, new, "safe"))  # out of range, floats and integers wrap differently
    return np.can_cast(old, between, "safe") and (whole or new.kind == "f")


# ---- choices
def _chosen(m: Match) -> Value | None:
    """The branch that a constant condition takes, where it has the result's spec."""
    choice = m.rewriter.fill(m["c"])
    return None if choice is None else m["x"] if choice else m["y"]


def _all_of_it(m: Match) -> bool:
    return tuple(m["where"]) == tuple([(0, n, 1) for n in m["x"].shape])


RULES = Rules(
    FOLD,
    # signs
    Rule("twice negated", "negative(negative(x))", to="x", exact=owned("x")),
    Rule("plus a negated", "add(a, negative(b))", to="subtract(a, b)", where=same_dtype("b"), exact=owned("b") & Condition(_in_order)),
    Rule("minus a negated", "subtract(a, negative(b))", to="add(a, b)", where=same_dtype("b"), exact=owned("b")),
    Rule(
        "both negated", "multiply(negative(a), negative(b))", to="multiply(a, b)", where=same_dtype("a", "b"), exact=owned("a", "b"),
    ),
    Rule("times -1", "multiply(x, -1)", to="negative(x)", where=kind("if") & same("x"), exact=leads("x")),
    Rule(
        "constant times negated", "multiply(negative(x), c)", where=_FLOAT & _is_scalar("c") & same_dtype("x"),
        to=lambda m: multiply(m["x"], _negated(m)),
    ),
    Rule(
        "constant times, negated", "negative(multiply(x, c))", where=_FLOAT & _is_scalar("c") & one_use("multiply"),
        to=lambda m: multiply(m["x"], _negated(m)),
    ),
    # neutral elements: bits stay, for a sum with 0 only where the zero's sign says so
    Rule("times 1", "multiply(x, 1)", to="x", where=_REAL & same("x"), exact=_DROPPED),
    Rule("times 1, broadcast", "multiply(x, 1)", to="broadcast_to(x, shape=root.shape)", where=_REAL & ~same("x"), exact=False),
    Rule("over 1", "divide(x, 1)", to="x", where=_REAL & same("x"), exact=_DROPPED),
    Rule("to the power 1", "power(x, 1)", to="x", where=_REAL & same("x"), exact=_DROPPED),
    Rule("minus 0", "subtract(x, 0)", to="x", where=_REAL & same("x"), exact=_DROPPED),
    Rule("plus -0.0", "add(x, -0.0)", to="x", where=_FLOAT & same("x"), exact=_DROPPED),
    Rule("plus 0, whole numbers", "add(x, 0)", to="x", where=kind("biu") & same("x"), exact=_DROPPED),
    # cheaper forms
    Rule("to the power 2", "power(x, 2)", to="square(x)", where=kind("iuf"), exact=Condition(_squares)),
    Rule("over a power of two", "divide(x, c)", to=_reciprocal, where=_FLOAT & _is_scalar("c"), needs=lambda ops: ops[1] is CONSTANT),
    Rule(
        "product of matrices", "matmul(x, y)", to="dot(x, y)", where=rank("x", 1, 2) & rank("y", 1, 2) & ~single("x", "y"),
        exact=False,
    ),
    Rule(
        "sigmoid", "add(multiply(tanh(multiply(x, 0.5)), 0.5), 0.5)", to="sigmoid(x)",
        where=_FLOAT & one_use("tanh") & same("tanh"),
    ),
    Rule("scaled twice", "multiply(multiply(x, c), d)", to=_scaled_twice(1, 1), where=_steps_in("multiply"), exact=False),
    Rule("scaled, then divided", "divide(multiply(x, c), d)", to=_scaled_twice(1, -1), where=_steps_in("multiply"), exact=False),
    Rule("divided, then scaled", "multiply(divide(x, c), d)", to=_scaled_twice(-1, 1), where=_steps_in("divide"), exact=False),
    Rule("divided twice", "divide(divide(x, c), d)", to=_scaled_twice(-1, -1), where=_steps_in("divide"), exact=False),
    # Python numbers that became 0-d arrays: their arithmetic is the host's
    Rule("a number times a constant", "multiply(cast(s), c)", to=_on_host("mul"), where=_TO_HOST, exact=_DOUBLE),
    Rule("a number over a constant", "divide(cast(s), c)", to=_on_host("truediv"), where=_TO_HOST, exact=_DOUBLE),
    Rule("a number negated", "negative(cast(s))", to=lambda m: cast(python(m["s"], fn="neg"), dtype=m.root.dtype), where=_weak("s")),
    Rule("times a number", "multiply(x, cast(s))", to="multiply(x, s)", where=_weak("s") & same("x") & same_dtype("cast")),
    Rule(
        "times a number, negated", "negative(multiply(x, s))", where=_weak("s") & same("x") & one_use("multiply"),
        to=lambda m: multiply(m["x"], python(m["s"], fn="neg")),
    ),
    Rule(
        "sum of squares", "sum(square(x), axis=axis, keepdims=False)", to=_dot_with_itself, exact=False,
        where=one_use("square") & Condition(_one_product),
    ),
    # copies, casts, choices
    Rule("copy", "copy(x)", to="x", exact=owned("x") & Condition(lambda m: not m.root.node.attrs)),
    Rule("positive", "positive(x)", to="x", exact=owned("x")),
    Rule("conjugate of a real", "conj(x)", to="x", where=_REAL, exact=owned("x")),
    Rule("real part of a real", "real(x)", to="x", where=same("x"), exact=owned("x")),
    Rule("cast to its own dtype", "cast(x)", to="x", where=same("x"), exact=owned("x")),
    Rule("cast on the way", "cast(cast(x, dtype=first), dtype=second)", to="cast(x, dtype=second)", where=Condition(_loses_nothing)),
    Rule("the same either way", "where(c, x, x)", to="x", where=same("x"), exact=False),
    Rule("always the same way", "where(c, x, y)", to=_chosen, exact=False),
    # views
    Rule("transposed twice", "transpose(transpose(x, axes=first), axes=second)", to=_composed),
    Rule("nothing transposed", "transpose(x, axes=axes)", to="x", where=same("x") & Condition(_identity_axes)),
    Rule("axes added", "expand_dims(x)", to="reshape(x, shape=root.shape)"),
    Rule("axes dropped", "squeeze(x)", to="reshape(x, shape=root.shape)"),
    Rule("reduced axes dropped", "reshape(x)", to=_kept_axes),
    Rule("nothing reshaped", "reshape(x)", to="x", where=same("x")),
    Rule("reshaped twice", "reshape(reshape(x))", to="reshape(x, shape=root.shape)", exact=False),
    Rule("nothing broadcast", "broadcast_to(x)", to="x", where=same("x")),
    Rule("broadcast twice", "broadcast_to(broadcast_to(x))", to="broadcast_to(x, shape=root.shape)"),
    Rule(
        "a filled constant broadcast", "broadcast_to(x)", needs=lambda ops: ops[0] is CONSTANT, where=Condition(lambda m: m["x"].ndim > 0),
        to=_filled,
    ),
    Rule("axes that broadcasting adds", "broadcast_to(reshape(x))", to="broadcast_to(x, shape=root.shape)", where=Condition(_only_lead)),
    Rule(
        "a number transposed", "transpose(broadcast_to(x))", to="broadcast_to(x, shape=root.shape)", where=rank("x", 0),
    ),
    Rule("a number reshaped", "reshape(broadcast_to(x))", to="broadcast_to(x, shape=root.shape)", where=rank("x", 0)),
    Rule(
        "operands that broadcast anyway", "ELEMENTWISE(*xs)", to=_without_broadcasts, exact=Condition(_whole_shape_left),
        needs=_any_broadcast,
    ),
    Rule("all of it read", "slice(x, index=where)", to="x", where=Condition(_all_of_it)),
    Rule("all of it written", "set_slice(base, x, index=where)", to="x", where=same("x") & Condition(_all_of_it), exact=False),
    # spelling
    Rule("mean without a dtype", "mean(x, axis=axis, keepdims=keepdims, dtype=None)", to="mean(x, axis=axis, keepdims=keepdims)"),
    Rule("sum in its own dtype", "sum(x, axis=axis, keepdims=keepdims, dtype=dtype)", to=_default_dtype),
)


def run(graph: Graph, *, exact: bool = False) -> int:
    """Applies RULES until none applies, in place; gives the number of rewrites."""
    return rewrite(graph, RULES, exact=exact)
