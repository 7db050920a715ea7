"""Arithmetic among Python numbers: `python(*numbers, fn="add")` is done by Python's own operator, once a call, before any array work.

Operands and result are weak (a kind and no dtype), so integers have any size and `1 / 0` is Python's ZeroDivisionError. The kind of
the result is what Python gives for operands of 1; where the values change it (`2 ** -1`), running is an error.
"""
from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from ir.errors import ArgumentError, DTypeError, ShapeError
from ir.op import ZERO, Axes, NoVjp, Op, elements
from ir.ops import elementwise as e
from ir.spec import WEAK, Spec, weak_spec

if TYPE_CHECKING:
    from ir.graph import Value

UNARY = ("neg", "pos", "abs", "invert")
BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "and_", "or_", "xor")

# whose vjp is that of the number; the functions not named here take integers
_TWINS: dict[str, Op] = {
    "neg": e.negative, "pos": e.positive, "abs": e.abs, "add": e.add, "sub": e.subtract, "mul": e.multiply, "truediv": e.divide,
    "floordiv": e.floor_divide, "mod": e.remainder, "pow": e.power,
}


def _spec(*numbers: Spec, fn: str) -> Spec:
    count = 1 if fn in UNARY else 2
    if fn not in UNARY + BINARY:
        raise ArgumentError(f"unknown function {fn!r}", mend=f"use one of {', '.join(UNARY + BINARY)}")
    if len(numbers) != count:
        raise ShapeError(f"{fn} takes {count} numbers, not {len(numbers)}", mend="give as many as Python's operator takes")
    kinds = [x.weak for x in numbers if x.weak is not None]
    if len(kinds) < count:
        raise DTypeError(f"{fn} takes Python numbers, not arrays", mend="use the elementwise operation of that name")
    try:
        return weak_spec(type(getattr(operator, fn)(*[WEAK[kind](1) for kind in kinds])).__name__)
    except TypeError as error:
        raise DTypeError(f"Python's {fn} does not take {' and '.join(kinds)}", mend="convert the numbers first, say with int()") from error


def _meaning(*numbers: Any, fn: str) -> Any:
    found = getattr(operator, fn)(*numbers)
    kind = type(getattr(operator, fn)(*[type(x)(1) for x in numbers]))
    if type(found) is not kind:
        raise ArgumentError(
            f"{fn} of {' and '.join(map(repr, numbers))} is a {type(found).__name__}, where the trace took it for a {kind.__name__}",
            mend="convert a number first, say with float() or complex()", op="python",
        )
    return found


def _vjp(g: Value, z: Value, *numbers: Value, fn: str) -> tuple[Value | None, ...]:
    rule = _TWINS[fn].vjp if fn in _TWINS else ZERO
    if isinstance(rule, NoVjp):
        return (None,) * len(numbers)
    given = rule(g, z, *numbers)
    return given if type(given) is tuple else (given,)


def _axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], **attrs: Any) -> Axes:
    return ((),) * len(specs)


python = Op("python", "scalar", ("*numbers",), spec=_spec, meaning=_meaning, vjp=_vjp, axes=_axes, flops=elements)
