"""The order of axes that NumPy gives a new result: an operation and how its operands lie in, dense strides out.

NumPy itself is asked: the operation's meaning runs on stand-ins of at most two elements an axis, whose strides stand in the same order
of size and have the same signs as the operands'. Nothing that NumPy decides the order by depends on more. Answers are remembered.
"""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ir.graph import Graph, Value
from ir.op import Op, Trait
from ir.ops import elementwise
from ir.planning.strides import Ints, c_strides, f_strides, k_strides, permuted_strides, viewed
from ir.spec import Spec

Lie = tuple[Ints, Ints, np.dtype]  # shape, strides, dtype
Attrs = tuple[tuple[str, Any], ...]
_SHAPES_IN_ATTRS = ("update", "custom")  # families whose attributes would not fit the stand-ins


def result_strides(op: Op, attrs: dict[str, Any], operands: Sequence[Lie], out: Spec, index: int = 0) -> Ints:
    """The strides of output `index`, of spec `out`, where NumPy computes it from operands that lie so. Not for views.

    >>> from ir.ops import TABLE
    >>> result_strides(TABLE["exp"], {}, [((2, 3), (8, 16), np.dtype("f8"))], Spec((2, 3)))
    (8, 16)
    """
    size = out.dtype.itemsize
    if out.ndim < 2 or 0 in out.shape or op.has(Trait.OPAQUE):
        return c_strides(out.shape, size)
    if op.order != "gather" and all(_in_c_order(*lie) for lie in operands):
        return c_strides(out.shape, size)
    if op.has(Trait.ELEMENTWISE) and len(operands) > 1 or op.ufunc is not None:  # NumPy's iterator decides, whatever the dtypes
        return k_strides(out.shape, size, tuple([lie[:2] for lie in operands if lie[0]]))
    if op.family in _SHAPES_IN_ATTRS:  # a copy of the first operand, or it
        op, attrs, operands = elementwise.copy, {}, operands[:1]
        if operands[0][0] != out.shape:
            return c_strides(out.shape, size)
    order = _order(op, tuple(attrs.items()), tuple([_small(*lie) for lie in operands]), index)
    return permuted_strides(out.shape, size, tuple(sorted(order, key=lambda k: out.shape[k] > 1)))


def predicted(graph: Graph, layouts: Mapping[int, str | Ints]) -> dict[Value, Ints]:
    """How the values of a graph will lie, as far as their operations say it before anything has a place: what only the call tells is taken
    for C-ordered. `layouts`: of inputs, by index, as for a plan.
    """
    found: dict[Value, Ints] = {}
    given = {value: layouts.get(k, "C") for k, value in enumerate(graph.inputs)}
    for node in graph.order():
        lies = [(v.shape, found[v], v.dtype) for v in node.operands]
        for index, value in enumerate(node.outputs):
            spec, how = value.spec, given.get(value, "C")
            strides = c_strides(spec.shape, spec.dtype.itemsize)
            if isinstance(how, tuple):
                strides = how
            elif how == "F":
                strides = f_strides(spec.shape, spec.dtype.itemsize)
            elif node.op.view_of is not None and len(lies) == 1:
                seen = viewed(node, *lies[0])
                strides = seen[1] if seen is not None else strides
            elif lies and spec.weak is None and spec.ndim > 1:
                strides = result_strides(node.op, node.attrs, lies, spec, index)
            found[value] = strides
    return found


def _in_c_order(shape: Ints, strides: Ints, dtype: np.dtype) -> bool:
    step = dtype.itemsize
    for n, stride in zip(reversed(shape), reversed(strides)):
        if n != 1 and stride != step:
            return False
        step *= n
    return True


def _small(shape: Ints, strides: Ints, dtype: np.dtype) -> Lie:
    """The shape cut down to two an axis, the strides to powers of two in the same order of size."""
    ranks = {stride: rank for rank, stride in enumerate(sorted({abs(s) for n, s in zip(shape, strides) if n > 1 and s}))}
    small = [0 if n < 2 or not s else int(math.copysign(dtype.itemsize << ranks[abs(s)], s)) for n, s in zip(shape, strides)]
    return tuple([min(n, 2) for n in shape]), tuple(small), dtype


@lru_cache(1 << 12)
def _order(op: Op, attrs: Attrs, operands: tuple[Lie, ...], index: int) -> Ints:
    """The axes of the result from the slowest to the fastest."""
    with np.errstate(all="ignore"):
        made = op.meaning(*[_array(*lie) for lie in operands], **dict(attrs))
    strides = np.asarray(made[index] if isinstance(made, tuple) else made).strides
    return tuple(sorted(range(len(strides)), key=lambda k: (-abs(strides[k]), k)))


def _array(shape: Ints, strides: Ints, dtype: np.dtype) -> np.ndarray:
    """Zeros that lie so."""
    back = sum([-s for n, s in zip(shape, strides) if s < 0 and n > 1])
    reach = back + sum([s for n, s in zip(shape, strides) if s > 0 and n > 1]) + dtype.itemsize
    return np.ndarray(shape, dtype, np.zeros(reach, np.uint8), back, strides)
