"""Reading at an index, and the transpose of that, adding at it: slice and add_slice, gather and add_at; take, sort and their kin.

Reads and additions are each other's gradients, so they stand in one file; `update.py` has the writes that overwrite. Index arrays are
operands: their values are known when the graph runs, and only then NumPy's IndexError is raised for one out of range.
"""
from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ir.errors import ArgumentError, DTypeError, ShapeError
from ir.op import ZERO, Axes, Axis, Gathered, Op, Part, Same, Shift, Trait, Whole, no_flops
from ir.ops import elementwise
from ir.ops.places import (
    Index,
    check_adds,
    check_fits,
    check_integer,
    everything,
    fancy,
    grids,
    keys,
    placement,
    ranges,
    slice_shape,
    triple,
)
from ir.ops.views import resolve_axis, zeros_like
from ir.spec import Spec, broadcast

if TYPE_CHECKING:
    from ir.graph import Value


# ---- slice and add_slice
def _slice_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], *, index: Index) -> Axes:
    return (tuple([Shift(k, r.start, r.step) for k, r in enumerate(ranges(index, specs[0].shape))]),)


def _add_slice_spec(base: Spec, value: Spec, *, index: Index) -> Spec:
    check_fits(value, slice_shape(index, base.shape))
    check_adds(base, value)
    return base.strong()


def slice_write_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], *, index: Index) -> Axes:
    """The axes rule of writes into a slice: the base index for index, the value within the slice."""
    base, value = specs
    found: list[Axis] = []
    for k, n in enumerate(value.shape, start=base.ndim - value.ndim):
        if k < 0:
            found.append(Whole())
            continue
        r = ranges(index, base.shape)[k]
        found.append(Same(k) if n == 1 != len(r) else Part(k, r.start, r.step))
    return tuple([Same(k) for k in range(base.ndim)]), tuple(found)


def _add_slice(base: np.ndarray, value: Any, *, index: Index) -> np.ndarray:
    out = np.array(base)
    out[keys(index)] += value
    return out


slice: Op = Op(
    "slice", "index", ("x",), spec=lambda x, *, index: Spec(slice_shape(index, x.shape), x.dtype),
    meaning=lambda x, *, index: np.asarray(x)[keys(index)],
    vjp=lambda g, y, x, *, index: add_slice(zeros_like(x), g, index=index),
    axes=_slice_axes, flops=no_flops, traits=Trait.ARRAY | Trait.SELECTS, view_of=0, order="view",
)
add_slice: Op = Op(
    "add_slice", "update", ("base", "value"), spec=_add_slice_spec, meaning=_add_slice,
    vjp=lambda g, y, base, value, *, index: (g, slice(g, index=index)),
    axes=slice_write_axes, flops=lambda out, specs, *, index: Spec(slice_shape(index, specs[0].shape)).size,
    traits=Trait.ARRAY | Trait.ROUNDS | Trait.MOVES, overwrites=(0,), order="K",
)


# ---- gather and add_at
def _gather_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], *, axes: tuple[int, ...]) -> Axes:
    x, *indices = specs
    _, first, place = placement(x, tuple(indices), axes)
    end = first + max(i.ndim for i in indices)
    of_x = tuple([Gathered() if p < 0 else Same(p) for p in place])
    return (of_x, *[tuple([Same(end - i.ndim + k) for k in range(i.ndim)]) for i in indices])


def _add_at_spec(base: Spec, value: Spec, *indices: Spec, axes: tuple[int, ...]) -> Spec:
    check_fits(value, placement(base, indices, axes)[0])
    check_adds(base, value)
    return base.strong()


def at_write_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], *, axes: tuple[int, ...]) -> Axes:
    """The axes rule of writes at index arrays: the base index for index, of the value the axes that are not indexed."""
    base, value, *indices = specs
    shape, _, place = placement(base, tuple(indices), axes)
    source = {p: k for k, p in enumerate(place) if p >= 0}
    of_value: list[Axis] = []
    for k in range(len(shape) - value.ndim, len(shape)):
        of_value.append(Same(source[k]) if k in source else Gathered())
    return (tuple([Same(k) for k in range(base.ndim)]), tuple(of_value), *[(Whole(),) * i.ndim for i in indices])


def _add_at(base: np.ndarray, value: Any, *indices: Any, axes: tuple[int, ...]) -> np.ndarray:
    out = np.array(base)
    np.add.at(out, fancy(indices, axes), value)
    return out


def _gather_vjp(g: Value, y: Value, x: Value, *indices: Value, axes: tuple[int, ...]) -> tuple[Value | None, ...]:
    return (add_at(zeros_like(x), g, *indices, axes=axes), *[None] * len(indices))


def _add_at_vjp(g: Value, y: Value, base: Value, value: Value, *indices: Value, axes: tuple[int, ...]) -> tuple[Value | None, ...]:
    return (g, gather(g, *indices, axes=axes), *[None] * len(indices))


gather: Op = Op(
    "gather", "index", ("x", "*indices"), spec=lambda x, *indices, axes: Spec(placement(x, indices, axes)[0], x.dtype),
    meaning=lambda x, *indices, axes: np.asarray(x)[fancy(indices, axes)], vjp=_gather_vjp, axes=_gather_axes, flops=no_flops,
    traits=Trait.SELECTS, order="gather",
)
add_at: Op = Op(
    "add_at", "update", ("base", "value", "*indices"), spec=_add_at_spec, meaning=_add_at, vjp=_add_at_vjp, axes=at_write_axes,
    flops=lambda out, specs, *, axes: Spec(placement(specs[0], specs[2:], axes)[0]).size,
    traits=Trait.ARRAY | Trait.ROUNDS | Trait.MOVES, overwrites=(0,), order="K",
)


# ---- take
def _take_spec(x: Spec, indices: Spec, *, axis: int, mode: str) -> Spec:
    if mode not in ("raise", "wrap", "clip"):
        raise ArgumentError(f"unknown mode {mode!r}", mend="use 'raise', 'wrap' or 'clip'")
    if not np.can_cast(indices.dtype, np.intp, "same_kind" if mode != "raise" else "safe"):
        raise DTypeError(f"indices must be integers, not {indices}", mend="cast them with astype(np.int64)")
    axis = resolve_axis(axis, x.ndim)
    return Spec((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype)


def _take_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], *, axis: int, mode: str) -> Axes:
    x, indices = specs
    of_x = tuple([Gathered() if k == axis else Same(k if k < axis else k + indices.ndim - 1) for k in range(x.ndim)])
    return of_x, tuple([Same(axis + k) for k in range(indices.ndim)])


def _take_vjp(g: Value, y: Value, x: Value, indices: Value, *, axis: int, mode: str) -> tuple[Value | None, ...]:
    size = x.shape[axis]
    if indices.dtype.kind == "b":
        indices = elementwise.cast(indices, dtype=np.dtype(np.intp))
    if mode == "wrap":
        indices = elementwise.remainder(indices, np.intp(size))
    if mode == "clip":
        indices = elementwise.clip(indices, np.intp(0), np.intp(size - 1))
    return add_at(zeros_like(x), g, indices, axes=(axis,)), None


take: Op = Op(
    "take", "index", ("x", "indices"), spec=_take_spec, meaning=lambda x, i, *, axis, mode: np.take(x, i, axis, mode=mode),
    vjp=_take_vjp, axes=_take_axes, flops=no_flops, traits=Trait.SELECTS,
)


# ---- order
KINDS = (None, "quicksort", "mergesort", "heapsort", "stable")


def _check_sort(x: Spec, axis: int, kind: str | None) -> None:
    resolve_axis(axis, x.ndim)
    if kind not in KINDS:
        raise ArgumentError(f"unknown kind of sort {kind!r}", mend="use None, 'quicksort', 'heapsort', 'mergesort' or 'stable'")


def _sort_spec(x: Spec, *, axis: int, kind: str | None) -> Spec:
    _check_sort(x, axis, kind)
    return x.strong()


def _argsort_spec(x: Spec, *, axis: int, kind: str | None) -> Spec:
    _check_sort(x, axis, kind)
    return Spec(x.shape, np.intp)


def _sort_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], *, axis: int, kind: str | None) -> Axes:
    return (tuple([Whole() if k == axis else Same(k) for k in range(specs[0].ndim)]),)


def _sort_flops(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], *, axis: int, kind: str | None) -> int:
    return specs[0].size * max(1, (specs[0].shape[axis] - 1).bit_length())


def _sort_vjp(g: Value, y: Value, x: Value, *, axis: int, kind: str | None) -> Value:
    came_from = argsort(x, axis=axis, kind=kind)
    return take_along_axis(g, argsort(came_from, axis=axis, kind=None), axis=axis)


sort: Op = Op(
    "sort", "index", ("x",), spec=_sort_spec, meaning=lambda x, *, axis, kind: np.sort(x, axis, kind=kind), vjp=_sort_vjp,
    axes=_sort_axes, flops=_sort_flops, traits=Trait.MOVES, overwrites=(0,), order="K",
)
argsort: Op = Op(
    "argsort", "index", ("x",), spec=_argsort_spec, meaning=lambda x, *, axis, kind: np.argsort(x, axis, kind=kind), vjp=ZERO,
    axes=_sort_axes, flops=_sort_flops,
)


def _along_spec(x: Spec, i: Spec, *, axis: int) -> Spec:
    check_integer(i)
    if x.ndim != i.ndim:
        cause = f"x has {x.ndim} axes but the indices have {i.ndim}: {x.shape} and {i.shape}"
        raise ShapeError(cause, mend="give as many axes, of size 1 to broadcast")
    axis = resolve_axis(axis, x.ndim)
    shape = broadcast([(*x.shape[:axis], 1, *x.shape[axis + 1 :]), i.shape])
    return Spec((*shape[:axis], i.shape[axis], *shape[axis + 1 :]), x.dtype)


def _along_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], *, axis: int) -> Axes:
    same = [Same(k) for k in range(out_specs[0].ndim)]
    return tuple([Gathered() if k == axis else a for k, a in enumerate(same)]), tuple(same)


def _along_vjp(g: Value, y: Value, x: Value, i: Value, *, axis: int) -> tuple[Value | None, ...]:
    at = [i if k == axis else grid for k, grid in enumerate(grids(x.shape))]
    return add_at(zeros_like(x), g, *at, axes=tuple(range(x.ndim))), None


take_along_axis: Op = Op(
    "take_along_axis", "index", ("x", "indices"), spec=_along_spec,
    meaning=lambda x, i, *, axis: np.take_along_axis(np.asarray(x), np.asarray(i), axis),
    vjp=_along_vjp, axes=_along_axes, flops=no_flops, traits=Trait.SELECTS,
)


# ---- compositions
def cut(x: Value, axis: int, start: int, stop: int) -> Value:
    """`x` from `start` to `stop` along one axis.

    >>> from ir.graph import Graph
    >>> cut(Graph().input(Spec((2, 5))), 1, 1, 3).shape
    (2, 2)
    """
    whole = everything(x.shape)
    return slice(x, index=(*whole[:axis], triple(builtins.slice(start, stop), x.shape[axis]), *whole[axis + 1 :]))


def flip(x: Value, axes: Sequence[int] | int | None = None) -> Value:
    """`np.flip`: x read backwards along `axes` (None: all).

    >>> from ir.graph import Graph
    >>> flip(Graph().input(Spec((2, 3))), 0).node.attrs["index"]
    ((1, None, -1), (0, 3, 1))
    """
    named = range(x.ndim) if axes is None else (axes,) if isinstance(axes, (int, np.integer)) else axes
    turned = {resolve_axis(a, x.ndim) for a in named}
    return slice(x, index=tuple([triple(builtins.slice(None, None, -1 if k in turned else 1), n) for k, n in enumerate(x.shape)]))
