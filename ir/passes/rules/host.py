"""Python numbers that became 0-d arrays: their arithmetic is done once a call, by Python, in double precision."""
from __future__ import annotations

from typing import Any

from ir.graph import CONSTANT, Value
from ir.ops.elementwise import cast, multiply
from ir.ops.scalar import python
from ir.passes.rules.constants import FLOAT, fill_of, is_scalar
from ir.rules import Condition, Match, Rule, one_use, same, same_dtype


def _weak(name: str) -> Condition:
    """A Python float that only a call will tell."""
    return FLOAT & Condition(lambda m: m[name].spec.weak == "float" and m[name].node.op is not CONSTANT)


def _on_host(fn: str) -> Any:
    """The operation on the Python number itself, by Python's operator: in double precision."""

    def build(m: Match) -> Value:
        return cast(python(m["s"], m.graph.constant(float(fill_of(m, "c"))), fn=fn), dtype=m.root.dtype)

    return build


# what overflows float32 before it is scaled comes out finite; in half precision that would happen to ordinary numbers
_TO_HOST = _weak("s") & is_scalar("c") & same_dtype("cast") & Condition(lambda m: m.root.dtype.itemsize > 2)
_DOUBLE = Condition(lambda m: m.root.dtype.char == "d")


RULES: tuple[Rule, ...] = (
    Rule("a number times a constant", "multiply(cast(s), c)", to=_on_host("mul"), where=_TO_HOST, exact=_DOUBLE),
    Rule("a number over a constant", "divide(cast(s), c)", to=_on_host("truediv"), where=_TO_HOST, exact=_DOUBLE),
    Rule("a number negated", "negative(cast(s))", to=lambda m: cast(python(m["s"], fn="neg"), dtype=m.root.dtype), where=_weak("s")),
    Rule("times a number", "multiply(x, cast(s))", to="multiply(x, s)", where=_weak("s") & same("x") & same_dtype("cast")),
    Rule(
        "times a number, negated", "negative(multiply(x, s))", where=_weak("s") & same("x") & one_use("multiply"),
        to=lambda m: multiply(m["x"], python(m["s"], fn="neg")),
    ),
)
