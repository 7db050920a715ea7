"""Rows from which their own maximum or minimum was taken: x - max(x), however the maximum's axes were written.

In: a node. Out: the extremum, or None. What it meets is settled by shapes alone: no value is looked at.
"""
from __future__ import annotations

from ir.graph import Node, Value
from ir.ops import elementwise as e
from ir.ops import reduce
from ir.ops.shape import expand_dims, reshape, squeeze

AXES_ONLY = (reshape, expand_dims, squeeze)


def own_extremum(node: Node) -> Value | None:
    """The maximum or minimum that the node takes from the rows of which it is one, each row meeting its own.

    >>> from ir.graph import Graph
    >>> from ir.spec import Spec
    >>> x = Graph().input(Spec((2, 3)))
    >>> own_extremum(e.subtract(x, reshape(reduce.max(x, axis=(1,), keepdims=False), shape=(2, 1))).node)
    <max.0 : f64[2]>
    >>> own_extremum(e.subtract(x, reduce.max(x, axis=(0,), keepdims=False)).node)
    <max.0 : f64[3]>
    >>> y = Graph().input(Spec((3, 3)))
    >>> own_extremum(e.subtract(y, reduce.max(y, axis=(1,), keepdims=False)).node)  # the maximum of row k is taken from column k
    """
    if node.op is not e.subtract:
        return None
    row, taken = node.operands
    most = without_reshapes(taken)
    if most.node.op not in (reduce.max, reduce.min) or most.node.operands[0] is not row:
        return None
    return most if unled(taken.shape) == kept_apart(row.shape, most.node.attrs["axis"]) else None


def kept_apart(shape: tuple[int, ...], axis: tuple[int, ...]) -> tuple[int, ...]:
    """The shape, unled, of what stands for each row along these axes."""
    return unled(tuple([1 if k in axis else n for k, n in enumerate(shape)]))


def unled(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without leading axes of size 1, which broadcasting adds anyway."""
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape


def without_reshapes(value: Value) -> Value:
    """What it was before reshapes were done to it."""
    while value.node.op in AXES_ONLY:
        value = value.node.operands[0]
    return value
