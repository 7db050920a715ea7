"""Joining and splitting: concatenate and its kin, stacks, append and insert, splits into views, differences of neighbours."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ir.ops.views import resolve_axis
from tracer.numpy_api.common import array, cast, given, in_order, settled, store
from tracer.numpy_api.shapes import at_least, cut, expand_dims, is_fortran
from tracer.operands.apply import apply
from tracer.operands.refusal import bad_shape, checked_indices, refuse
from tracer.operands.stack import Operand


def concatenate(arrays: Any, /, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """As `np.concatenate`."""
    parts = [array(a) for a in _sequence(arrays)]
    if axis is None:
        parts, axis = [apply("reshape", x, shape=(math.prod(x.shape),)) for x in parts], 0
    if given(dtype):
        parts = [cast(x, np.dtype(dtype)) for x in parts]
    if not parts:
        raise ValueError("need at least one array to concatenate")
    axis = resolve_axis(axis, builtins.max(parts[0].ndim, 1))
    return store(out, apply("concatenate", *parts, axis=axis), "concatenate")


def _sequence(arrays: Any) -> list[Any]:
    """The members of a sequence of arrays; an array stands for its rows."""
    if isinstance(arrays, (np.ndarray, list, tuple, Operand)):
        return list(arrays)  # type: ignore[arg-type]
    raise TypeError('arrays to stack must be passed as a "sequence" type such as list or tuple.')


def stack(arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """As `np.stack`."""
    parts = [array(a) for a in _sequence(arrays)]
    if len({x.shape for x in parts}) > 1:
        raise bad_shape(
            f"the arrays have different shapes: {', '.join(str(x.shape) for x in parts)}", "all must have the same shape", op="stack"
        )
    return concatenate([expand_dims(x, axis) for x in parts], axis, out, dtype=dtype)


def _at_least_first(ndim: int, axis: int) -> Callable[..., Any]:
    grown = at_least(ndim)

    def function(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
        parts = [grown(a) for a in _sequence(tup)]
        return concatenate(parts, 0 if axis == 1 and parts and parts[0].ndim == 1 else axis, dtype=dtype)

    return function


def column_stack(tup: Any) -> Any:
    """As `np.column_stack`."""
    parts = [array(a) for a in _sequence(tup)]
    return concatenate([expand_dims(at_least(1)(x), 1) if x.ndim < 2 else x for x in parts], 1)


def append(arr: Any, values: Any, axis: Any = None) -> Any:
    """As `np.append`."""
    return concatenate([array(arr), array(values)], axis)


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """As `np.array_split`: views."""
    x = array(ary)
    axis = resolve_axis(axis, x.ndim)
    n = x.shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)) or (
        isinstance(indices_or_sections, Operand) and type(indices_or_sections).rank == 1
    ):
        count = indices_or_sections.__index__()  # type: ignore[union-attr]
        if count <= 0:
            raise ValueError("number sections must be larger than 0.")
        each, extra = divmod(n, count)
        bounds = [0]
        for k in range(count):
            bounds.append(bounds[-1] + each + (k < extra))
    else:
        bounds = [0, *[k.__index__() for k in indices_or_sections], n]
    return [cut(x, axis, start, stop) for start, stop in zip(bounds, bounds[1:])]


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """As `np.split`: views of equal size, or cut at the given indices."""
    x = array(ary)
    if isinstance(indices_or_sections, (int, np.integer)) and x.shape[resolve_axis(axis, x.ndim)] % int(indices_or_sections):
        raise bad_shape("array split does not result in an equal division", "np.array_split", op="split")
    return array_split(x, indices_or_sections, axis)


def _split_along(axis: int, least: int) -> Callable[..., Any]:
    def function(ary: Any, indices_or_sections: Any) -> list[Any]:
        x = array(ary)
        if x.ndim < least:
            raise ValueError(f"the array must have {least} dimensions or more")
        return split(x, indices_or_sections, 0 if x.ndim == 1 else axis)

    return function


def unstack(x: Any, /, *, axis: int = 0) -> Any:
    """As `np.unstack`."""
    x = array(x)
    k = resolve_axis(axis, x.ndim)
    return tuple([settled(apply("squeeze", cut(x, k, j, j + 1), axis=(k,))) for j in range(x.shape[k])])


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = np._NoValue, append: Any = np._NoValue) -> Any:
    """As `np.diff`."""
    x = array(a)
    k = resolve_axis(axis, x.ndim)
    parts = [_edge(prepend, x, k), x, _edge(append, x, k)]
    x = concatenate([p for p in parts if p is not None], k) if given(prepend) or given(append) else x
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n}")
    for _ in range(n):
        x = apply("not_equal" if x.dtype == bool else "subtract", cut(x, k, 1, None), cut(x, k, 0, builtins.max(x.shape[k] - 1, 0)))
    return x


def _edge(value: Any, x: Any, axis: int) -> Any:
    if not given(value):
        return None
    edge = array(value)
    return edge if edge.ndim else apply("broadcast_to", edge, shape=(*x.shape[:axis], 1, *x.shape[axis + 1 :]))


def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """As `np.delete`, for indices known while tracing."""
    x = array(arr)
    if isinstance(obj, Operand) and type(obj).rank > 1:
        raise refuse("np.delete at a traced index", "np.where with a mask keeps the length fixed", op="delete")
    if axis is None:
        x, axis = apply("reshape", x, shape=(math.prod(x.shape),)), 0
    axis = resolve_axis(axis, x.ndim)
    kept = np.delete(np.arange(x.shape[axis]), obj.__index__() if isinstance(obj, Operand) else obj)  # type: ignore[attr-defined]
    left = apply("gather", x, kept, axes=(axis,))
    return in_order(left, "F") if is_fortran(x) else left


def insert(arr: Any, obj: int, values: Any, axis: int | None = None) -> Any:
    """As `np.insert` at one position known while tracing."""
    x, v = array(arr), array(values)
    if axis is None:
        x, axis = apply("reshape", x, shape=(math.prod(x.shape),)), 0
    axis = resolve_axis(axis, x.ndim)
    if not isinstance(obj, (int, np.integer)):
        raise refuse("np.insert at several or traced positions", "np.concatenate of the pieces", op="insert")
    checked_indices(np.intp(obj), x.shape[axis] + 1, axis)
    at = obj + x.shape[axis] if obj < 0 else int(obj)
    place = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    if v.ndim == 0:
        v = apply("broadcast_to", v, shape=place)
    elif v.ndim < x.ndim:
        v = expand_dims(v, axis) if v.ndim == x.ndim - 1 else v
        v = apply("broadcast_to", v, shape=(*place[:axis], v.shape[axis] if v.ndim == x.ndim else 1, *place[axis + 1 :]))
    return concatenate([cut(x, axis, 0, at), cast(v, x.dtype), cut(x, axis, at, None)], axis)


def block(arrays: Any) -> Any:
    """As `np.block`."""
    depth, inner = 0, arrays
    while isinstance(inner, list):
        depth, inner = depth + 1, inner[0]
    whole = _block(arrays, depth, depth)
    return whole if depth else apply("copy", whole)[...]


def _block(arrays: Any, depth: int, level: int) -> Any:
    if not isinstance(arrays, list):
        x = array(arrays)
        return apply("expand_dims", x, axis=tuple(range(depth - x.ndim))) if x.ndim < depth else x
    parts = [_block(a, depth, level - 1) for a in arrays]
    return concatenate(parts, axis=-level)


def _vstack_rows(tup: Sequence[Any], **kwargs: Any) -> Any:
    return _at_least_first(2, 0)(tup, **kwargs)


TABLE: dict[Any, Callable[..., Any]] = {
    np.concatenate: concatenate, np.stack: stack, np.vstack: _vstack_rows, np.hstack: _at_least_first(1, 1),
    np.dstack: _at_least_first(3, 2),
    np.column_stack: column_stack, np.append: append, np.array_split: array_split, np.split: split, np.hsplit: _split_along(1, 1),
    np.vsplit: _split_along(0, 2), np.dsplit: _split_along(2, 3), np.unstack: unstack, np.diff: diff, np.delete: delete, np.insert: insert,
    np.block: block,
}  # fmt: skip
