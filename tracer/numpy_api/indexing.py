"""Reading and writing at indices by function, sorting: take, put, copyto, place, sort, argsort and their kin."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ir.ops.views import resolve_axis
from tracer.numpy_api.common import array, cast, is_traced, one_axis, operand, plain_target, spec, store
from tracer.operands.apply import apply
from tracer.operands.refusal import bad_dtype, bad_shape, checked_indices, refuse
from tracer.operands.stack import Operand


def take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Any:
    """As `np.take`."""
    x, i = array(a), array(indices)
    if axis is None:
        x, axis = apply("reshape", x, shape=(math.prod(x.shape),)), 0
    axis = one_axis(axis, x.ndim)
    if mode == "raise":
        checked_indices(i, x.shape[axis], axis)
    return store(out, apply("take", x, i, axis=axis, mode=mode), "take")


def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """As `np.take_along_axis`."""
    x, i = array(arr), array(indices)
    if axis is None:
        x, axis = apply("reshape", x, shape=(math.prod(x.shape),)), 0
    axis = one_axis(axis, x.ndim)
    return apply("take_along_axis", x, checked_indices(i, x.shape[axis], axis), axis=axis)


def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    """As `np.put_along_axis`: writes into arr."""
    x = _target(arr, "put_along_axis")
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis = resolve_axis(axis, x.ndim)
    i = array(indices)
    key = tuple([i if k == axis else np.arange(n).reshape([n if j == k else 1 for j in range(x.ndim)]) for k, n in enumerate(x.shape)])
    x[key] = values


def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """As `np.put`: writes into a, flat; values are repeated to the number of indices."""
    x, i = _target(a, "put"), array(ind)
    if mode != "raise":
        i = apply("remainder", i, x.size) if mode == "wrap" else apply("clip", i, 0, x.size - 1)
    values = apply("reshape", array(v), shape=(math.prod(array(v).shape),))
    if i.size:
        x.flat[apply("reshape", i, shape=(i.size,)) if i.ndim != 1 else i] = values


def copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    """As `np.copyto`."""
    x = _target(dst, "copyto")
    source = operand(src)
    mine = spec(source)
    by_value = mine.weak == "int" and x.dtype.kind == "u"  # a Python int is only asked whether it fits
    if not by_value and not np.can_cast(mine.dtype, x.dtype, casting):
        raise refuse(
            f"copyto casts {mine.dtype} to {x.dtype}, which the rule {casting!r} forbids", "casting='unsafe', or astype", op="copyto"
        )
    x.assign(source if where is True else apply("where", operand(where), cast(source, x.dtype), x))


def _safely(values: Any, a: Any, name: str) -> Any:
    """The values as an array. As in NumPy an array with axes must be of a dtype that a's holds; numbers and lists of them are cast."""
    v = array(values)
    if v.shape and not isinstance(values, (list, tuple)) and not np.can_cast(v.dtype, a.dtype, "safe"):
        raise bad_dtype(f"values of {v.dtype} do not go into {a.dtype} safely", f"values.astype(np.{a.dtype})", op=name)
    return v


def putmask(a: Any, mask: Any, values: Any) -> None:
    """As `np.putmask` for values of a's shape, or one value."""
    x, v = _target(a, "putmask"), _safely(values, a, "putmask")
    if not math.prod(v.shape):
        return  # as NumPy: nothing to put
    if v.shape not in ((), x.shape) and math.prod(v.shape) != 1:
        v = apply("reshape", take(v, np.arange(x.size) % math.prod(v.shape)), shape=x.shape)
    x.assign(apply("where", operand(mask), cast(v, x.dtype), x))


def place(arr: Any, mask: Any, vals: Any) -> None:
    """As `np.place`: the values in order, repeated, go to the mask's true places."""
    x, m, v = _target(arr, "place"), array(mask), _safely(vals, arr, "place")
    v = apply("reshape", v, shape=(math.prod(v.shape),))
    rank = apply("cumsum", apply("cast", apply("reshape", m, shape=(x.size,)), dtype=np.dtype(np.intp)), axis=0) - 1
    chosen = apply("take", v, apply("remainder", rank, v.shape[0]), axis=0, mode="raise")
    x.assign(apply("where", m, cast(apply("reshape", chosen, shape=x.shape), x.dtype), x))


def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """As `np.fill_diagonal`."""
    x = _target(a, "fill_diagonal")
    if x.ndim < 2 or (x.ndim > 2 and len(set(x.shape)) > 1):
        raise bad_shape(f"no diagonal in shape {x.shape}", "give two axes, or more of equal size", op="fill_diagonal")
    step = x.shape[1] + 1 if x.ndim == 2 else 1 + int(np.cumprod(x.shape[:-1]).sum())
    x.flat[: x.shape[1] ** 2 if x.ndim == 2 and not wrap else None : step] = val


def _target(x: Any, name: str) -> Any:
    if not is_traced(x):
        raise plain_target(x, name)
    if type(x).rank == 3:
        raise refuse("a NumPy function writes into a Variable", "give it variable.data", op=name)
    return x


def compress(condition: Any, a: Any, axis: int | None = None, out: Any = None) -> Any:
    """As `np.compress`, for a condition known while tracing."""
    if isinstance(condition, Operand):
        raise refuse("the length of np.compress with a traced condition depends on the data", "np.where(mask, x, fill)", op="compress")
    return take(a, np.flatnonzero(condition), axis, out)


# ---- order
def sort(a: Any, axis: Any = -1, kind: str | None = None, order: Any = None, *, stable: bool | None = None) -> Any:
    """As `np.sort`."""
    x = array(a)
    if axis is None:
        x, axis = apply("reshape", x, shape=(math.prod(x.shape),)), 0
    return apply("sort", x, axis=one_axis(axis, x.ndim), kind="stable" if stable else kind)


def argsort(a: Any, axis: Any = -1, kind: str | None = None, order: Any = None, *, stable: bool | None = None) -> Any:
    """As `np.argsort`."""
    x = array(a)
    if axis is None or one_axis(axis, x.ndim or 1) >= x.ndim:
        x, axis = apply("reshape", x, shape=(math.prod(x.shape),)), 0
    return apply("argsort", x, axis=one_axis(axis, x.ndim), kind="stable" if stable else kind)


TABLE: dict[Any, Callable[..., Any]] = {
    np.take: take, np.take_along_axis: take_along_axis, np.put_along_axis: put_along_axis, np.put: put, np.copyto: copyto,
    np.putmask: putmask, np.place: place, np.fill_diagonal: fill_diagonal, np.compress: compress, np.sort: sort, np.argsort: argsort,
}  # fmt: skip
