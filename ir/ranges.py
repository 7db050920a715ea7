"""Between which numbers the elements of a value lie, whatever the inputs are: what rules ask that must not over- or underflow.

In: a value of a graph. Out: a `Range`. Every element is NaN, or from `low` to `high`, or, with `infinite`, infinite (where `low` is 0 or
more: +inf). Bounds are a little wider than mathematics says, since each step of the computation rounds. Few steps back are looked at.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ir.graph import Value
from ir.ops import elementwise as e
from ir.ops import reduce
from ir.ops.nn import sigmoid
from ir.ops.shape import broadcast_to, expand_dims, reshape, squeeze
from ir.pattern import fill
from ir.rows import own_extremum

_WIDER = 1e-2  # more than what a step rounds, in half precision too
_STEPS = 8


class Range(NamedTuple):
    """Elements are NaN or in [low, high], or, where `infinite`, infinite."""

    low: float
    high: float
    infinite: bool


def range_of(value: Value, steps: int = _STEPS) -> Range:
    """The range of a real value.

    >>> from ir.graph import Graph
    >>> from ir.spec import Spec
    >>> x = Graph().input(Spec((3,)))
    >>> range_of(e.add(e.multiply(x, x), 1.0)).low > 0.9
    True
    """
    largest = float(np.finfo(value.dtype if value.dtype.kind == "f" and value.dtype.itemsize <= 8 else np.float64).max)
    number = fill(value)
    if number is not None and not isinstance(number, (complex, np.complexfloating)):
        held = float(number)
        return Range(held, held, False) if abs(held) < math.inf else Range(-largest, largest, True)
    node = value.node
    found = _RULES[node.op.name](value, steps - 1) if steps and value.dtype.kind == "f" and node.op.name in _RULES else None
    if found is None:
        return Range(-largest, largest, True)
    low, high, infinite = found
    low, high = low - abs(low) * _WIDER, high + abs(high) * _WIDER
    if 0 < low < float(np.finfo(value.dtype).smallest_normal):  # there it may have become 0
        low = 0.0
    return Range(max(low, -largest), min(high, largest), infinite or low < -largest or high > largest)


def _operands(value: Value, steps: int) -> list[Range]:
    return [range_of(v, steps) for v in value.node.operands]


def _same(value: Value, steps: int) -> Range | None:
    return _operands(value, steps)[0]


def _product(value: Value, steps: int) -> Range | None:
    x, y = value.node.operands
    if x is y:
        return _square(value, steps)
    (a, b, inf), (c, d, more) = _operands(value, steps)
    ends = [a * c, a * d, b * c, b * d]
    return Range(min(ends), max(ends), inf or more)


def _square(value: Value, steps: int) -> Range | None:
    low, high, infinite = range_of(value.node.operands[0], steps)
    return Range(0.0, max(low * low, high * high), infinite)


def _total(value: Value, steps: int) -> Range | None:
    """What is 0 or more adds up to 0 or more; the exponentials of a row with its maximum subtracted to 1 at least, that of the maximum."""
    x = value.node.operands[0]
    low, high, infinite = range_of(x, steps)
    count = x.spec.size // max(1, value.spec.size)
    if low < 0 or not count:
        return None
    if value.node.op is reduce.sum:
        return Range(1.0 if _from_maximum(x, value.node.attrs["axis"]) else 0.0, high * count, infinite)
    return Range(0.0, high, infinite or high * count > np.finfo(value.dtype).max)


def _from_maximum(x: Value, axis: tuple[int, ...]) -> bool:
    """exp(row - max(row)), the maximum taken over the same axes."""
    most = _maximum_taken(x.node.operands[0]) if x.node.op is e.exp else None
    return most is not None and most.node.attrs["axis"] == axis


def _maximum_taken(x: Value) -> Value | None:
    """The maximum, where x is a row minus its own maximum."""
    most = own_extremum(x.node)
    return most if most is not None and most.node.op is reduce.max else None


def _exp(value: Value, steps: int) -> Range | None:
    low, high, infinite = range_of(value.node.operands[0], steps)
    least = 0.0 if low < 0 and infinite or low < -700 else math.exp(min(low, 700.0))
    return Range(least, math.exp(high) if high < 700 else math.inf, infinite)


def _difference(value: Value, steps: int) -> Range | None:
    (a, b, inf), (c, d, more) = _operands(value, steps)
    return Range(a - d, b - c if _maximum_taken(value) is None else 0.0, inf or more)


def _added(value: Value, steps: int) -> Range | None:
    (a, b, inf), (c, d, more) = _operands(value, steps)
    return Range(a + c, b + d, inf or more)


def _root(value: Value, steps: int) -> Range | None:
    low, high, infinite = range_of(value.node.operands[0], steps)
    return Range(math.sqrt(max(low, 0.0)), math.sqrt(max(high, 0.0)), infinite)


def _greater(value: Value, steps: int) -> Range | None:
    (a, b, inf), (c, d, more) = _operands(value, steps)
    return Range(max(a, c), max(b, d), inf or more)


def _size(value: Value, steps: int) -> Range | None:
    low, high, infinite = range_of(value.node.operands[0], steps)
    return Range(max(low, -high, 0.0), max(-low, high), infinite)


_RULES: dict[str, Callable[[Value, int], Range | None]] = {
    **{op.name: _same for op in (broadcast_to, reshape, expand_dims, squeeze, e.copy, e.positive)},
    **{op.name: lambda value, steps: Range(-1.0, 1.0, False) for op in (e.tanh, e.sin, e.cos)},
    e.multiply.name: _product, e.square.name: _square, e.add.name: _added, e.subtract.name: _difference, e.sqrt.name: _root,
    e.exp.name: _exp, e.maximum.name: _greater, e.abs.name: _size, reduce.sum.name: _total, reduce.mean.name: _total,
    sigmoid.name: lambda value, steps: Range(0.0, 1.0, False),
}
