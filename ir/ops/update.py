"""Functional writes: the base with some of its elements set (set_slice, set_at) or added to (add_slice, add_at, from `index.py`).

Each gives the whole new array and may take over the base's memory, so that the planner turns a write into one in place. Values
broadcast and are cast as NumPy's assignment does; where an index stands twice, `set_at` keeps the last value, `add_at` adds all.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ir.op import Op, Trait, no_flops
from ir.ops import elementwise
from ir.ops.index import add_at, add_slice, at_write_axes, gather, slice, slice_write_axes
from ir.ops.places import Index, check_fits, fancy, keys, placement, slice_shape
from ir.ops.views import reshape
from ir.spec import Spec

if TYPE_CHECKING:
    from ir.graph import Value

__all__ = ["add_at", "add_slice", "set_at", "set_slice"]


def written(g: Value, value: Value) -> Value:
    """The cotangent of a written value from that of its place: with the leading axes of size 1 that the assignment dropped."""
    return reshape(g, shape=(1,) * (value.ndim - g.ndim) + g.shape) if value.ndim > g.ndim else g


def _set_slice_spec(base: Spec, value: Spec, *, index: Index) -> Spec:
    check_fits(value, slice_shape(index, base.shape), ones=True)
    return base.strong()


def _set_slice(base: np.ndarray, value: Any, *, index: Index) -> np.ndarray:
    out = np.array(base)
    out[keys(index)] = value
    return out


def _set_slice_vjp(g: Value, y: Value, base: Value, value: Value, *, index: Index) -> tuple[Value, Value]:
    return set_slice(g, g.dtype.type(0), index=index), written(slice(g, index=index), value)


def _set_at_spec(base: Spec, value: Spec, *indices: Spec, axes: tuple[int, ...]) -> Spec:
    place = placement(base, indices, axes)[0]
    check_fits(value, place, ones=len(place) > 0)  # NumPy takes no array for a single element
    return base.strong()


def _set_at(base: np.ndarray, value: Any, *indices: Any, axes: tuple[int, ...]) -> np.ndarray:
    out = np.array(base)
    out[fancy(indices, axes)] = value
    return out


def _set_at_vjp(g: Value, y: Value, base: Value, value: Value, *indices: Value, axes: tuple[int, ...]) -> tuple[Value | None, ...]:
    given = gather(g, *indices, axes=axes)
    if given.spec.size > 1:  # where an index stands twice only the last value has an effect: number the writes and see which are left
        numbers = np.arange(given.spec.size).reshape(given.shape)
        left = gather(set_at(np.zeros(base.shape, np.intp), numbers, *indices, axes=axes), *indices, axes=axes)
        given = elementwise.where(elementwise.equal(left, numbers), given, g.dtype.type(0))
    return (set_at(g, g.dtype.type(0), *indices, axes=axes), written(given, value), *[None] * len(indices))


set_slice = Op(
    "set_slice", "update", ("base", "value"), spec=_set_slice_spec, meaning=_set_slice, vjp=_set_slice_vjp, axes=slice_write_axes,
    flops=no_flops, traits=Trait.ARRAY, overwrites=(0,), order="K",
)
set_at = Op(
    "set_at", "update", ("base", "value", "*indices"), spec=_set_at_spec, meaning=_set_at, vjp=_set_at_vjp, axes=at_write_axes,
    flops=no_flops, traits=Trait.ARRAY, overwrites=(0,), order="K",
)
