"""Functional writes: the base with some of its elements set (set_slice, set_at), or the real or imaginary part of all (set_real, set_imag).

Additions (add_slice, add_at) stand in `index.py`, the other ufuncs' in `ufunc_at.py`.

Each gives the whole new array and may take over the base's memory, so that the planner turns a write into one in place. Values
broadcast and are cast as NumPy's assignment does; where an index stands twice, `set_at` keeps the last value, `add_at` adds all.
"""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ir.errors import DTypeError
from ir.graph import CONSTANT
from ir.op import Op, Trait, broadcast_axes, no_flops
from ir.ops import elementwise
from ir.ops.index import add_at, add_slice, at_write_axes, gather, slice, slice_write_axes
from ir.ops.places import Index, check_fits, fancy, keys, placement, slice_shape
from ir.ops.views import broadcast_to, reshape
from ir.spec import Spec, broadcast

if TYPE_CHECKING:
    from ir.graph import Value

__all__ = ["add_at", "add_slice", "set_at", "set_imag", "set_real", "set_slice"]


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
    if not _distinct(base, indices, axes):  # of an index that stands twice the last value is kept: number the writes, see which are left
        numbers = given.graph.constant(np.arange(given.spec.size).reshape(given.shape))
        empty = broadcast_to(given.graph.constant(np.intp(0)), shape=base.shape)
        left = gather(set_at(empty, numbers, *indices, axes=axes), *indices, axes=axes)
        given = elementwise.where(elementwise.equal(left, numbers), given, g.dtype.type(0))
    return (set_at(g, g.dtype.type(0), *indices, axes=axes), written(given, value), *[None] * len(indices))


def _distinct(base: Value, indices: tuple[Value, ...], axes: tuple[int, ...]) -> bool:
    """Whether it is known that no index stands twice: there is only one, or constants say so."""
    if math.prod(broadcast([i.shape for i in indices])) <= 1:
        return True
    if any(i.node.op is not CONSTANT for i in indices):
        return False
    arrays = np.broadcast_arrays(*[i.node.attrs["value"].array() for i in indices])
    wrapped = np.stack([np.where(a < 0, a + base.shape[k], a).ravel() for a, k in zip(arrays, axes)])
    return np.unique(wrapped, axis=1).shape == wrapped.shape


set_slice = Op(
    "set_slice", "update", ("base", "value"), spec=_set_slice_spec, meaning=_set_slice, vjp=_set_slice_vjp, axes=slice_write_axes,
    flops=no_flops, traits=Trait.ARRAY | Trait.SELECTS, overwrites=(0,), order="K",
)
set_at = Op(
    "set_at", "update", ("base", "value", "*indices"), spec=_set_at_spec, meaning=_set_at, vjp=_set_at_vjp, axes=at_write_axes,
    flops=no_flops, traits=Trait.ARRAY | Trait.SELECTS, overwrites=(0,), order="K",
)


# ---- complex parts
def _set_part_spec(base: Spec, value: Spec) -> Spec:
    if base.dtype.kind != "c":
        raise DTypeError(f"{base} has no imaginary part to set", mend="make it complex: x.astype(complex)")
    check_fits(value, base.shape)
    return base.strong()


def _set_part(name: str) -> Op:
    """`set_real`, `set_imag`: the base with a new real or imaginary part. Complex values lose their imaginary part, as in NumPy."""

    def meaning(base: np.ndarray, value: Any) -> np.ndarray:
        out = np.array(base)
        setattr(out, name, value)
        return out

    def vjp(g: Value, y: Value, base: Value, value: Value) -> tuple[Value, Value]:
        part = elementwise.real if name == "real" else elementwise.imag
        return made(g, np.zeros((), g.dtype).real[()]), part(g)

    made = Op(
        f"set_{name}", "update", ("base", "value"), spec=_set_part_spec, meaning=meaning, vjp=vjp, axes=broadcast_axes, flops=no_flops,
        traits=Trait.ARRAY, overwrites=(0,), order="K",
    )
    return made


set_real, set_imag = _set_part("real"), _set_part("imag")
