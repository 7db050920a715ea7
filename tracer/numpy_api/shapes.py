"""Shapes: reshape, transpose, axes moved, added, dropped and broadcast; a part along one axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ir.ops.places import everything, triple
from ir.ops.views import resolve_axes, resolve_axis, resolve_shape, whole
from tracer.numpy_api.common import array
from tracer.operands.apply import apply
from tracer.operands.refusal import bad_shape, refuse
from tracer.operands.stack import Operand


def reshape(a: Any, /, shape: Any, order: str = "C", *, copy: bool | None = None) -> Any:
    """As `np.reshape`: a view where NumPy gives one."""
    x = array(a)
    shape = resolve_shape(ints(shape), math.prod(x.shape))
    if order == "F" or (order == "A" and is_fortran(x)):
        turned = transpose(apply("reshape", transpose(x), shape=shape[::-1]))
        return turned if not copy else apply("copy", turned)
    y = apply("reshape", x, shape=shape)
    return apply("copy", y) if copy else y


def is_fortran(x: Any) -> bool:
    strides = x.stand_in() if hasattr(x, "stand_in") else x
    return isinstance(strides, np.ndarray) and strides.flags.fnc


def ints(shape: Any) -> Any:
    """A shape, or one size, as Python's integers."""
    if isinstance(shape, Operand):
        return [n.__index__() for n in shape] if shape.ndim else shape.__index__()  # type: ignore[attr-defined]
    return [whole(n, "size") for n in shape] if isinstance(shape, (tuple, list)) else shape


def ravel(a: Any, order: str = "C") -> Any:
    """As `np.ravel`."""
    if order == "K":
        raise refuse("ravel in order 'K' is not traced: the order would hang on how x lies", "order='C', 'F' or 'A'", op="ravel")
    x = array(a)
    strides = x.stand_in() if hasattr(x, "stand_in") else None
    order = "F" if order == "A" and is_fortran(x) else "C" if order == "A" else order
    flat = reshape(x, (-1,), order)
    views = strides is None or (strides.flags.c_contiguous if order == "C" else strides.flags.f_contiguous)
    return flat if views else apply("copy", flat)  # a reshape may view a strided array, ravel does not


def transpose(a: Any, axes: Any = None) -> Any:
    """As `np.transpose`."""
    x = array(a)
    if axes is None:
        return apply("transpose", x, axes=tuple(reversed(range(x.ndim))))
    axes = resolve_axes(axes, x.ndim)
    return apply("transpose", x, axes=axes)


def matrix_transpose(x: Any, /) -> Any:
    """As `np.matrix_transpose`."""
    x = array(x)
    if x.ndim < 2:
        raise bad_shape(f"matrix transpose with ndim {x.ndim} is undefined", "give two axes or more", op="matrix_transpose")
    return swapaxes(x, -1, -2)


def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """As `np.swapaxes`."""
    x = array(a)
    one, two = resolve_axis(axis1, x.ndim), resolve_axis(axis2, x.ndim)
    axes = list(range(x.ndim))
    axes[one], axes[two] = two, one
    return apply("transpose", x, axes=tuple(axes))


def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """As `np.moveaxis`."""
    x = array(a)
    come, go = resolve_axes(source, x.ndim), resolve_axes(destination, x.ndim)
    if len(come) != len(go):
        raise bad_shape(f"{len(come)} axes are moved to {len(go)} places", "name as many of each", op="moveaxis")
    axes = [k for k in range(x.ndim) if k not in come]
    for to, k in sorted(zip(go, come)):
        axes.insert(to, k)
    return apply("transpose", x, axes=tuple(axes))


def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """As `np.rollaxis`."""
    x = array(a)
    axis, start = resolve_axis(axis, x.ndim), start + x.ndim if start < 0 else start
    return moveaxis(x, axis, start - 1 if axis < start else start)


def expand_dims(a: Any, axis: Any) -> Any:
    """As `np.expand_dims`."""
    x = array(a)
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    return apply("expand_dims", x, axis=tuple(sorted(resolve_axes(axis, x.ndim + count))))


def squeeze(a: Any, axis: Any = None) -> Any:
    """As `np.squeeze`."""
    x = array(a)
    axes = tuple([k for k, n in enumerate(x.shape) if n == 1]) if axis is None else tuple(sorted(resolve_axes(axis, x.ndim)))
    return apply("squeeze", x, axis=axes)


def broadcast_to(a: Any, shape: Any, subok: bool = False) -> Any:
    """As `np.broadcast_to`."""
    shape = ints(shape)
    return apply("broadcast_to", array(a), shape=(shape,) if isinstance(shape, int) else tuple(shape))


def broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    """As `np.broadcast_arrays`."""
    arrays = [array(a) for a in args]
    shape = np.broadcast_shapes(*[x.shape for x in arrays])
    return tuple([apply("broadcast_to", x, shape=shape) for x in arrays])


def at_least(ndim: int) -> Callable[..., Any]:
    """`np.atleast_1d` and its kin."""

    def function(*arys: Any) -> Any:
        found = [_grown(array(a), ndim) for a in arys]
        return found[0] if len(found) == 1 else tuple(found)

    return function


def _grown(x: Any, ndim: int) -> Any:
    if x.ndim >= ndim:
        return x
    added = {(1, 0): (0,), (2, 0): (0, 1), (2, 1): (0,), (3, 0): (0, 1, 2), (3, 1): (0, 2), (3, 2): (2,)}[ndim, x.ndim]
    return apply("expand_dims", x, axis=added)


def cut(x: Any, axis: int, start: int | None, stop: int | None, step: int | None = None) -> Any:
    """`x[start:stop:step]` along one axis: a view."""
    whole = everything(x.shape)
    return apply("slice", x, index=(*whole[:axis], triple(slice(start, stop, step), x.shape[axis]), *whole[axis + 1 :]))


TABLE: dict[Any, Callable[..., Any]] = {
    np.reshape: reshape, np.ravel: ravel, np.transpose: transpose, np.permute_dims: transpose, np.matrix_transpose: matrix_transpose,
    np.swapaxes: swapaxes, np.moveaxis: moveaxis, np.rollaxis: rollaxis, np.expand_dims: expand_dims, np.squeeze: squeeze,
    np.broadcast_to: broadcast_to, np.broadcast_arrays: broadcast_arrays, np.atleast_1d: at_least(1), np.atleast_2d: at_least(2),
    np.atleast_3d: at_least(3), np.linalg.matrix_transpose: matrix_transpose,
}  # fmt: skip
