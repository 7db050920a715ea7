"""Signs, and elements that change nothing: minus of minus, times 1, plus a zero whose sign leaves every bit."""
from __future__ import annotations

from ir.graph import Value
from ir.ops.elementwise import multiply
from ir.passes.rules.constants import FLOAT, REAL, fill_of, is_scalar, scalar
from ir.rules import Condition, Match, Rule, kind, leads, one_use, owned, same, same_dtype

_DROPPED = owned("x") & leads("x")


def _in_order(m: Match) -> bool:
    """The operands stand as in the pattern: where their layouts differ, the first decides."""
    return m.root.node.operands[0] is m["a"]


def _negated(m: Match) -> Value:
    return scalar(m, -fill_of(m, "c"), "c")


RULES: tuple[Rule, ...] = (
    # signs
    Rule("twice negated", "negative(negative(x))", to="x", exact=owned("x")),
    Rule("plus a negated", "add(a, negative(b))", to="subtract(a, b)", where=same_dtype("b"), exact=owned("b") & Condition(_in_order)),
    Rule("minus a negated", "subtract(a, negative(b))", to="add(a, b)", where=same_dtype("b"), exact=owned("b")),
    Rule(
        "both negated", "multiply(negative(a), negative(b))", to="multiply(a, b)", where=same_dtype("a", "b"), exact=owned("a", "b"),
    ),
    Rule("times -1", "multiply(x, -1)", to="negative(x)", where=kind("if") & same("x"), exact=leads("x")),
    Rule(
        "constant times negated", "multiply(negative(x), c)", where=FLOAT & is_scalar("c") & same_dtype("x"),
        to=lambda m: multiply(m["x"], _negated(m)),
    ),
    Rule(
        "constant times, negated", "negative(multiply(x, c))", where=FLOAT & is_scalar("c") & one_use("multiply"),
        to=lambda m: multiply(m["x"], _negated(m)),
    ),
    # neutral elements: bits stay, for a sum with 0 only where the zero's sign says so
    Rule("times 1", "multiply(x, 1)", to="x", where=REAL & same("x"), exact=_DROPPED),
    Rule("times 1, broadcast", "multiply(x, 1)", to="broadcast_to(x, shape=root.shape)", where=REAL & ~same("x"), exact=False),
    Rule("over 1", "divide(x, 1)", to="x", where=REAL & same("x"), exact=_DROPPED),
    Rule("to the power 1", "power(x, 1)", to="x", where=REAL & same("x"), exact=_DROPPED),
    Rule("minus 0", "subtract(x, 0)", to="x", where=REAL & same("x"), exact=_DROPPED),
    Rule("plus -0.0", "add(x, -0.0)", to="x", where=FLOAT & same("x"), exact=_DROPPED),
    Rule("plus 0, whole numbers", "add(x, 0)", to="x", where=kind("biu") & same("x"), exact=_DROPPED),
)
