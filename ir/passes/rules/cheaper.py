"""Cheaper forms of the same value: squares, products for quotients, two steps of scaling as one."""
from __future__ import annotations

from typing import Any

import numpy as np

from ir.graph import CONSTANT, Value
from ir.ops.elementwise import add, divide, multiply, reciprocal, subtract
from ir.ops.matmul import dot
from ir.ops.nn import sigmoid
from ir.ops.shape import reshape
from ir.passes.rules.constants import FLOAT, fill_of, is_scalar, scalar
from ir.ranges import range_of
from ir.rules import Condition, Match, Rule, kind, one_use, same, same_dtype

_LONGEST = 1 << 16
_FEWER = 4  # so many times fewer are few


def _reciprocal(m: Match) -> Value | None:
    """`x / c` as `x * (1 / c)` where c is a power of two whose reciprocal is a normal number: the same real number, rounded once."""
    with np.errstate(all="ignore"):
        number = m.root.dtype.type(fill_of(m, "c"))
    if abs(np.frexp(number)[0]) != 0.5 or not _normal(1 / np.longdouble(number), m.root.dtype):
        return None
    return multiply(m["x"], scalar(m, 1 / number, "c"))


def _normal(number: Any, dtype: np.dtype) -> bool:
    limits = np.finfo(dtype)
    return bool(limits.smallest_normal <= abs(number) <= limits.max)


def _squares(m: Match) -> bool:
    """NumPy's power itself squares for one exponent 2, but in long double."""
    return m.root.node.operands[1].ndim == 0 and m.root.dtype.char != "g"


def _factor(m: Match, first: tuple[str, int], second: tuple[str, int]) -> Any:
    """The product of two constants, each to the power 1 or -1, in the best precision there is; None where combining could show.

    Let |c| >= 1 and |d| >= 1. Where x*c overflows, |x*c*d| >= |x*c| does too; where it does not, rounding x*c loses no more than a change
    of x by half of its last bit, subnormal or not, so (x*c)*d and x*(c*d) differ by rounding. Let |c| <= 1 and |d| <= 1. Nothing
    overflows; where x*c is subnormal, x*(c*d) is smaller still, and the two are less than two of the smallest subnormal numbers apart.
    Where one enlarges and the other shrinks neither holds: in NumPy 1e308*2/2 is infinite and 5e-324/2*2 is 0, and as one product they
    would be 1e308 and 5e-324. Those stay two steps, but for |c| < 1 and d = 2 or 4 with |c*d| <= 1/2: both shrink, and doubling rounds
    nothing, so only where x*c is subnormal do they differ, by less than four of the smallest subnormal numbers. And for |c| >= 1 where x
    is bounded (a sine, a sigmoid), so that x*c can't overflow.
    """
    with np.errstate(all="ignore"):
        given = [m.root.dtype.type(fill_of(m, name)) for name, _ in (first, second)]
    if not all(_normal(g, m.root.dtype) for g in given):
        return None
    one, two = [np.longdouble(g) ** power for g, (_, power) in zip(given, (first, second))]
    product = one * two
    same_way = abs(one) == 1 or abs(two) == 1 or (abs(one) > 1) == (abs(two) > 1)
    doubled = abs(two) in (2, 4) and abs(one) < 1 and abs(product) <= 0.5
    fits = same_way or doubled or abs(one) >= 1 and _stays_finite(m["x"], float(one))
    return product if fits and _normal(product, m.root.dtype) else None


def _stays_finite(x: Value, factor: float) -> bool:
    """Whether x is never so large that x times the factor overflows."""
    low, high, infinite = range_of(x)
    return not infinite and max(-low, high) * abs(factor) < np.finfo(x.dtype).max


def _scaled_twice(first: int, second: int) -> Any:
    """`x` times c**first, then d**second, as one product (or one quotient where both divide)."""

    def build(m: Match) -> Value | None:
        both_divide = first == second == -1
        factor = _factor(m, ("c", abs(first) if both_divide else first), ("d", abs(second) if both_divide else second))
        if factor is None:
            return None
        return (divide if both_divide else multiply)(m["x"], scalar(m, factor, "c", "d"))

    return build


def _scaled_around(m: Match) -> Value | None:
    """`u*c*y*d` as `u*(c*d)*y`, where |c| <= 1 <= |d| and |c*d| <= 1: u*(c*d) can't overflow, u*c*y is no larger than the result, and
    u*c is rounded where it is subnormal, as u*(c*d) is.
    """
    with np.errstate(all="ignore"):
        one, two = [m.root.dtype.type(fill_of(m, name)) for name in "cd"]
        product = np.longdouble(one) * np.longdouble(two)
    fits = abs(one) <= 1 <= abs(two) and abs(product) <= 1 and all(_normal(f, m.root.dtype) for f in (one, two, product))
    return multiply(multiply(m["u"], scalar(m, product, "c", "d")), m["y"]) if fits else None


def _by_reciprocal(m: Match) -> Value | None:
    """`x / s` as `x * (1 / s)`, the reciprocal taken of few numbers: those of which neither it nor 1 / s may over- or underflow."""
    x, s, limits = m["x"], m["s"], np.finfo(m.root.dtype)
    if s.spec.size * _FEWER > m.root.spec.size or not s.ndim:
        return None
    low, high, _ = range_of(s)  # of infinity the reciprocal is 0, and x * 0 what x / inf is
    return multiply(x, reciprocal(s)) if 4 * limits.smallest_normal <= low and high <= 1 / (4 * limits.smallest_normal) else None


def _through_sigmoid(m: Match) -> Value:
    """`tanh(x) + 1` is `2 * sigmoid(2 * x)`; a constant that x was scaled with takes the 2 (what comes out is 0 or 2 there, or 1)."""
    x = m["x"]
    if x.node.op is multiply and m.facts.uses_of(x, 2) == 1:
        for k, c in enumerate(x.node.operands):
            number = m.facts.fill(c)
            if not c.ndim and number is not None and abs(number) < 1e4 and x.node.operands[1 - k].spec == x.spec:
                return multiply(sigmoid(multiply(x.node.operands[1 - k], 2 * number)), 2.0)
    return multiply(sigmoid(multiply(x, 2.0)), 2.0)


def _slope_of_tanh(m: Match) -> Value | None:
    """`1 - t*t` as `(1 + t) * (2 - (1 + t))`, where t is used for nothing else and 1 + t is there."""
    t = m["tanh"]
    if t in m.facts.results:
        return None
    square, sums = m["multiply"].node, []
    for user in m.graph.users(t.node):
        if user is not square:
            others = [v for v in user.operands if v is not t]
            if user.op is not add or len(others) != 1 or user.specs != t.node.specs or m.facts.fill(others[0]) != 1:
                return None
            sums.append(user.outputs[0])
    return multiply(sums[0], subtract(2.0, sums[0])) if sums else None


def _inner(m: Match) -> Value:
    """The operand of the root that is not the constant `d`."""
    return next((v for v in m.root.node.operands if v is not m["d"]), m["d"])


def _innermost_once(m: Match) -> bool:
    """What `u` is scaled to is used for nothing but the product with `y`."""
    scaled = next((v for v in _inner(m).node.operands if v is not m["y"]), m["y"])
    return m.facts.uses_of(scaled, 2) == 1


_INNER_ONCE = Condition(lambda m: m.facts.uses_of(_inner(m), 2) == 1)


def _steps_in(inner: str) -> Condition:
    return FLOAT & _INNER_ONCE & is_scalar("c", "d") & same(inner) & same("x")


def _one_product(m: Match) -> bool:
    """A sum over everything that BLAS multiplies in one call; of more elements NumPy's sum in pairs rounds better."""
    x = m["x"]
    return m.root.ndim == 0 < x.ndim and m.root.dtype == x.dtype and x.dtype.char in "fd" and 1 < x.spec.size <= _LONGEST


def _dot_with_itself(m: Match) -> Value:
    flat = reshape(m["x"], shape=(m["x"].spec.size,))
    return dot(flat, flat)


_FAST = Condition(lambda m: m.root.dtype.char in "fd")
_TWICE = FLOAT & is_scalar("c") & same("x", "multiply") & Condition(lambda m: m.facts.uses_of(m["multiply"], 3) == 2)

RULES: tuple[Rule, ...] = (
    Rule("to the power 2", "power(x, 2)", to="square(x)", where=kind("iuf"), exact=Condition(_squares)),
    Rule("over a power of two", "divide(x, c)", to=_reciprocal, where=FLOAT & is_scalar("c"), needs=lambda ops: ops[1] is CONSTANT),
    Rule(
        "sigmoid", "add(multiply(tanh(multiply(x, 0.5)), 0.5), 0.5)", to="sigmoid(x)",
        where=FLOAT & one_use("tanh") & same("tanh"),
    ),
    Rule("scaled twice", "multiply(multiply(x, c), d)", to=_scaled_twice(1, 1), where=_steps_in("multiply"), exact=False),
    Rule("scaled, then divided", "divide(multiply(x, c), d)", to=_scaled_twice(1, -1), where=_steps_in("multiply"), exact=False),
    Rule("divided, then scaled", "multiply(divide(x, c), d)", to=_scaled_twice(-1, 1), where=_steps_in("divide"), exact=False),
    Rule("divided twice", "divide(divide(x, c), d)", to=_scaled_twice(-1, -1), where=_steps_in("divide"), exact=False),
    Rule(
        "scaled twice, around a product", "multiply(multiply(multiply(u, c), y), d)", to=_scaled_around, exact=False,
        where=FLOAT & is_scalar("c", "d") & same_dtype("u", "y") & _INNER_ONCE & Condition(_innermost_once),
    ),
    Rule(
        "a scaled value and itself", "add(multiply(x, c), multiply(x, c))", where=_TWICE, to="multiply(multiply(x, c), 2.0)", exact=False,
    ),
    Rule("over a few numbers", "divide(x, s)", to=_by_reciprocal, where=_FAST & same("x") & same_dtype("x", "s"), exact=False),
    Rule(
        "tanh and 1", "add(tanh(x), 1)", to=_through_sigmoid, where=_FAST & same("tanh", "x") & one_use("tanh"), exact=False,
    ),
    Rule("the slope of tanh", "subtract(1, multiply(tanh(x), tanh(x)))", to=_slope_of_tanh, where=_FAST & same("tanh"), exact=False),
    Rule(
        "sum of squares", "sum(square(x), axis=axis, keepdims=False)", to=_dot_with_itself, exact=False,
        where=one_use("square") & Condition(_one_product),
    ),
)
