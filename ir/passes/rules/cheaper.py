"""Cheaper forms of the same value: squares, products for quotients, two steps of scaling as one."""
from __future__ import annotations

from typing import Any

import numpy as np

from ir.graph import CONSTANT, Value
from ir.ops.elementwise import divide, multiply
from ir.ops.matmul import dot
from ir.ops.shape import reshape
from ir.passes.rules.constants import FLOAT, fill_of, is_scalar, scalar
from ir.rules import Condition, Match, Rule, kind, one_use, same

_LONGEST = 1 << 16


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
    would be 1e308 and 5e-324. Those stay two steps.
    """
    with np.errstate(all="ignore"):
        given = [m.root.dtype.type(fill_of(m, name)) for name, _ in (first, second)]
    if not all(_normal(g, m.root.dtype) for g in given):
        return None
    one, two = [np.longdouble(g) ** power for g, (_, power) in zip(given, (first, second))]
    product = one * two
    same_way = abs(one) == 1 or abs(two) == 1 or (abs(one) > 1) == (abs(two) > 1)
    return product if same_way and _normal(product, m.root.dtype) else None


def _scaled_twice(first: int, second: int) -> Any:
    """`x` times c**first, then d**second, as one product (or one quotient where both divide)."""

    def build(m: Match) -> Value | None:
        both_divide = first == second == -1
        factor = _factor(m, ("c", abs(first) if both_divide else first), ("d", abs(second) if both_divide else second))
        if factor is None:
            return None
        return (divide if both_divide else multiply)(m["x"], scalar(m, factor, "c", "d"))

    return build


def _steps_in(inner: str) -> Condition:
    return FLOAT & one_use(inner) & is_scalar("c", "d") & same(inner) & same("x")


def _one_product(m: Match) -> bool:
    """A sum over everything that BLAS multiplies in one call; of more elements NumPy's sum in pairs rounds better."""
    x = m["x"]
    return m.root.ndim == 0 < x.ndim and m.root.dtype == x.dtype and x.dtype.char in "fd" and 1 < x.spec.size <= _LONGEST


def _dot_with_itself(m: Match) -> Value:
    flat = reshape(m["x"], shape=(m["x"].spec.size,))
    return dot(flat, flat)


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
        "sum of squares", "sum(square(x), axis=axis, keepdims=False)", to=_dot_with_itself, exact=False,
        where=one_use("square") & Condition(_one_product),
    ),
)
