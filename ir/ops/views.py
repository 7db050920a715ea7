"""Views: operations that show the same elements in another shape (reshape, transpose, broadcast_to, expand_dims, squeeze).

Shapes and axes come in normalised (no -1, axes counted from 0); `resolve_shape`, `resolve_axis` and `resolve_axes` do that for
whoever builds nodes. A reshape may still have to copy: its placement decides.
"""
from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ir.errors import ArgumentError, AxisError, ShapeError
from ir.op import Axes, Axis, Mixed, Op, Same, Trait, broadcast_axes, no_flops
from ir.spec import Spec

if TYPE_CHECKING:
    from ir.graph import Value

VIEW = Trait.ARRAY | Trait.MOVES


# ---- what whoever builds nodes calls first
def resolve_shape(shape: int | Iterable[int], size: int) -> tuple[int, ...]:
    """A shape with at most one -1 filled in so that it holds `size` elements.

    >>> resolve_shape((2, -1), 6)
    (2, 3)
    """
    asked = (whole(shape, "size"),) if isinstance(shape, (int, np.integer)) else tuple([whole(n, "size") for n in _several(shape, "shape")])
    unknown = [k for k, n in enumerate(asked) if n < 0]
    if len(unknown) > 1 or any(asked[k] != -1 for k in unknown):
        raise ShapeError(f"can't reshape into {asked}", mend="sizes are 0 or more, and at most one of them may be -1 (to be worked out)")
    if not unknown:
        return asked
    rest = 1
    for n in asked:
        rest *= 1 if n < 0 else n
    if rest == 0 or size % rest:
        mend = f"{size} is not divisible by {rest}, the product of the other sizes"
        raise ShapeError(f"can't reshape {size} elements into {asked}", mend=mend)
    return tuple([size // rest if n < 0 else n for n in asked])


def whole(number: Any, what: str) -> int:
    """A whole number as an int; ArgumentError for anything else."""
    try:
        return operator.index(number)
    except TypeError:
        raise ArgumentError(f"{what} {number!r:.40} is no whole number", mend="give an int, as NumPy takes it") from None


def _several(numbers: Any, what: str) -> Iterable[Any]:
    if not isinstance(numbers, Iterable) or isinstance(numbers, str):
        raise ArgumentError(f"{what} {numbers!r:.40} is no whole number", mend="give an int, or a tuple of ints")
    return numbers


def resolve_axis(axis: int, ndim: int) -> int:
    """The axis counted from 0.

    >>> resolve_axis(-1, 3)
    2
    """
    axis = whole(axis, "axis")
    if not -ndim <= axis < ndim:
        have = f"there are {ndim} axes: use {-ndim} to {ndim - 1}" if ndim else "a 0-d array has no axes"
        raise AxisError(f"axis {axis} is out of range", mend=have)
    return axis % ndim


def resolve_axes(axes: int | Iterable[int], ndim: int) -> tuple[int, ...]:
    """Axes counted from 0, in the order given; ShapeError for one out of range or given twice.

    >>> resolve_axes((-1, 0), 3)
    (2, 0)
    """
    given = (axes,) if isinstance(axes, (int, np.integer)) else tuple(_several(axes, "axis"))
    found = tuple([resolve_axis(a, ndim) for a in given])
    if len(set(found)) != len(found):
        raise ShapeError(f"an axis is named twice in {tuple(given)}", mend="name each axis once (-1 is the last one)")
    return found


# ---- rules
def _reshape_spec(x: Spec, *, shape: tuple[int, ...]) -> Spec:
    out = Spec(shape, x.dtype)
    if any(n < 0 for n in shape) or out.size != x.size:
        cause = f"can't reshape {x.shape} of {x.size} elements into {shape} of {out.size}"
        raise ShapeError(cause, mend="the product of the sizes must stay the same")
    return out


def _groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The smallest runs of axes of `old` and of `new` that hold the same elements; sizes of 1 stand in groups of their own."""
    groups, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        if (i < len(old) and old[i] == 1) or (j < len(new) and new[j] == 1):
            ones: tuple[list[int], list[int]] = ([], [])
            if i < len(old) and old[i] == 1:
                ones[0].append(i)
                i += 1
            if j < len(new) and new[j] == 1:
                ones[1].append(j)
                j += 1
            groups.append(ones)
            continue
        left, right, a, b = [i], [j], old[i], new[j]
        i, j = i + 1, j + 1
        while a != b:
            if a < b:
                a *= old[i]
                left.append(i)
                i += 1
            else:
                b *= new[j]
                right.append(j)
                j += 1
        groups.append((left, right))
    return groups


def _reshape_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], **attrs: Any) -> Axes:
    old, new = specs[0].shape, out_specs[0].shape
    if old == new:
        return (tuple([Same(k) for k in range(len(old))]),)
    if specs[0].size == 0:
        return (tuple([Mixed(tuple(range(len(new))))] * len(old)),)
    axes: list[Axis] = [Mixed(())] * len(old)
    for left, right in _groups(old, new):
        for k in left:
            axes[k] = Same(right[0]) if len(left) == len(right) == 1 else Mixed(tuple(right))
    return (tuple(axes),)


def _transpose_spec(x: Spec, *, axes: tuple[int, ...]) -> Spec:
    if sorted(axes) != list(range(x.ndim)):
        raise ShapeError(f"axes {axes} do not permute the {x.ndim} axes of {x.shape}", mend=f"name each of 0 to {x.ndim - 1} once")
    return Spec([x.shape[a] for a in axes], x.dtype)


def _transpose_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], *, axes: tuple[int, ...]) -> Axes:
    return (tuple([Same(axes.index(k)) for k in range(len(axes))]),)


def _broadcast_spec(x: Spec, *, shape: tuple[int, ...]) -> Spec:
    fits = len(shape) >= x.ndim and all(n in (1, m) for n, m in zip(x.shape[::-1], shape[::-1]))
    if not fits:
        mend = "sizes must be equal, or 1 in the operand, counted from the last axis"
        raise ShapeError(f"can't broadcast {x.shape} to {shape}", mend=mend)
    return Spec(shape, x.dtype)


def _expand_spec(x: Spec, *, axis: tuple[int, ...]) -> Spec:
    ndim = x.ndim + len(axis)
    if resolve_axes(axis, ndim) != tuple(axis):
        raise ShapeError(f"axis {axis} is not counted from 0", mend=f"use axes from 0 to {ndim - 1}")
    old = iter(x.shape)
    return Spec([1 if k in axis else next(old) for k in range(ndim)], x.dtype)


def _expand_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], *, axis: tuple[int, ...]) -> Axes:
    return (tuple([Same(k) for k in range(out_specs[0].ndim) if k not in axis]),)


def _squeeze_spec(x: Spec, *, axis: tuple[int, ...]) -> Spec:
    for k in resolve_axes(axis, x.ndim):
        if x.shape[k] != 1:
            raise ShapeError(f"can't squeeze axis {k} of {x.shape}: its size is {x.shape[k]}", mend="only axes of size 1 can be dropped")
    return Spec([n for k, n in enumerate(x.shape) if k not in axis], x.dtype)


def _squeeze_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], *, axis: tuple[int, ...]) -> Axes:
    kept = [k for k in range(specs[0].ndim) if k not in axis]
    return (tuple([Same(kept.index(k)) if k in kept else Mixed(()) for k in range(specs[0].ndim)]),)


# ---- records
reshape: Op = Op(
    "reshape", "shape", ("x",), spec=_reshape_spec, meaning=lambda x, *, shape: np.reshape(x, shape),
    vjp=lambda g, y, x, *, shape: reshape(g, shape=x.shape), axes=_reshape_axes, flops=no_flops, traits=VIEW, view_of=0, order="view",
)
transpose: Op = Op(
    "transpose", "shape", ("x",), spec=_transpose_spec, meaning=lambda x, *, axes: np.asarray(x).transpose(axes),
    vjp=lambda g, y, x, *, axes: transpose(g, axes=inverse(axes)), axes=_transpose_axes, flops=no_flops, traits=VIEW, view_of=0,
    order="view",
)
broadcast_to: Op = Op(
    "broadcast_to", "shape", ("x",), spec=_broadcast_spec, meaning=lambda x, *, shape: np.broadcast_to(x, shape),
    vjp=lambda g, y, x, *, shape: g, axes=broadcast_axes, flops=no_flops, traits=VIEW, view_of=0, order="view",
)
expand_dims: Op = Op(
    "expand_dims", "shape", ("x",), spec=_expand_spec, meaning=lambda x, *, axis: np.expand_dims(x, axis),
    vjp=lambda g, y, x, *, axis: squeeze(g, axis=axis), axes=_expand_axes, flops=no_flops, traits=VIEW, view_of=0, order="view",
)
squeeze: Op = Op(
    "squeeze", "shape", ("x",), spec=_squeeze_spec, meaning=lambda x, *, axis: np.squeeze(x, axis),
    vjp=lambda g, y, x, *, axis: expand_dims(g, axis=axis), axes=_squeeze_axes, flops=no_flops, traits=VIEW, view_of=0, order="view",
)
def inverse(axes: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes `axes`.

    >>> inverse((1, 2, 0))
    (2, 0, 1)
    """
    return tuple([list(axes).index(k) for k in range(len(axes))])


def zeros_like(like: Value) -> Value:
    """A Value of zeros with the shape and dtype of `like`."""
    return broadcast_to(like.graph.constant(np.zeros((), like.dtype)), shape=like.shape)


def swap_last(x: Value) -> Value:
    """`x` with its last two axes exchanged."""
    return transpose(x, axes=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))
