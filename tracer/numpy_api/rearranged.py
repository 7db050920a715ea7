"""Elements put elsewhere: flips, rolls, repeats and tiles, diagonals, triangles, meshes and padding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ir.ops.places import triple
from ir.ops.views import resolve_axes, resolve_axis
from tracer.numpy_api.common import array, in_order, operand, settled, spec
from tracer.numpy_api.shapes import cut, ints, is_fortran, ravel, reshape, swapaxes
from tracer.operands.apply import apply
from tracer.operands.refusal import bad_shape, refuse
from tracer.operands.stack import Operand


def flip(m: Any, axis: Any = None) -> Any:
    """As `np.flip`: a view."""
    x = array(m)
    if not x.ndim and axis is None:
        return settled(x)
    turned = range(x.ndim) if axis is None else resolve_axes(axis, x.ndim)
    index = tuple([triple(slice(None, None, -1 if k in turned else 1), n) for k, n in enumerate(x.shape)])
    return apply("slice", x, index=index)


def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """As `np.roll`, by a shift that is known while tracing."""
    x = array(a)
    if axis is None:
        return apply("reshape", roll(apply("reshape", x, shape=(math.prod(x.shape),)), shift, 0), shape=x.shape)
    shifts, axes = np.broadcast_arrays(ints(shift), axis)
    for by, k in zip(shifts.ravel().tolist(), axes.ravel().tolist()):
        k = resolve_axis(k, x.ndim)
        n = x.shape[k]
        if n and by % n:
            x = apply("concatenate", cut(x, k, n - by % n, n), cut(x, k, 0, n - by % n), axis=k)
    return apply("copy", x) if x is a else x


def rot90(m: Any, k: int = 1, axes: Sequence[int] = (0, 1)) -> Any:
    """As `np.rot90`."""
    x = array(m)
    one, two = resolve_axes(axes, x.ndim)
    turns = k % 4
    if turns == 2:
        return flip(flip(x, one), two)
    if turns == 1:
        return swapaxes(flip(x, two), one, two)
    return x[...] if turns == 0 else flip(swapaxes(x, one, two), two)


def tile(A: Any, reps: Any) -> Any:
    """As `np.tile`."""
    x = array(A)
    times = (reps,) if isinstance(reps, (int, np.integer)) else tuple(reps)
    ndim = max(x.ndim, len(times))
    times = (1,) * (ndim - len(times)) + tuple([int(n) for n in times])
    old = (1,) * (ndim - x.ndim) + x.shape
    wide = apply("reshape", x, shape=tuple([n for size in old for n in (1, size)]))
    wide = apply("broadcast_to", wide, shape=tuple([n for size, count in zip(old, times) for n in (count, size)]))
    return apply("copy", apply("reshape", wide, shape=tuple([size * count for size, count in zip(old, times)])))


def resize(a: Any, new_shape: Any) -> Any:
    """As `np.resize`: the elements in C order, again and again."""
    x, shape = ravel(array(a)), ints(new_shape)
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    size = math.prod(shape)
    if not (x.size and size):
        return apply("copy", np.zeros(shape, x.dtype))
    return reshape(tile(x, -(-size // x.size))[:size], shape)


def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    """As `np.repeat`, with repeats known while tracing."""
    x = array(a)
    if isinstance(repeats, Operand) and type(repeats).rank > 1:
        raise refuse(
            "the length of np.repeat with traced repeats depends on the data",
            "np.take(x, index) with an index of fixed length",
            op="repeat",
        )
    if axis is None:
        x, axis = apply("reshape", x, shape=(math.prod(x.shape),)), 0
    axis = resolve_axis(axis, x.ndim)
    index = np.repeat(np.arange(x.shape[axis]), repeats if not isinstance(repeats, Operand) else repeats.__index__())  # type: ignore[attr-defined]
    return apply("take", x, index, axis=axis, mode="raise")


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """As `np.diagonal`: a view that can't be written."""
    x = array(a)
    one, two = resolve_axes((axis1, axis2), x.ndim)
    rows, columns = x.shape[one], x.shape[two]
    count = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    i = np.arange(count) + max(-offset, 0)
    j = np.arange(count) + max(offset, 0)
    order = tuple([k for k in range(x.ndim) if k not in (one, two)]) + (one, two)
    moved = apply("transpose", x, axes=order) if order != tuple(range(x.ndim)) else x
    if hasattr(moved, "diagonal_view"):
        return moved.diagonal_view(i, j, offset)
    return apply("gather", moved, i, j, axes=(x.ndim - 2, x.ndim - 1))


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    """As `np.trace`."""
    line = diagonal(a, offset, axis1, axis2)
    if out is not None:
        raise refuse("out= is not traced", "x[...] = np.trace(a)", op="trace")
    return apply("sum", line, axis=(line.ndim - 1,), keepdims=False, **({} if dtype is None else {"dtype": np.dtype(dtype)}))


def diag(v: Any, k: int = 0) -> Any:
    """As `np.diag`."""
    x = array(v)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise bad_shape("np.diag takes one axis or two", "np.diagonal for more", op="diag")
    n = x.shape[0] + abs(k)
    i = np.arange(x.shape[0])
    zeros = apply("broadcast_to", np.zeros((), x.dtype), shape=(n, n))
    return apply("set_at", zeros, x, i + max(-k, 0), i + max(k, 0), axes=(0, 1))


def _triangle(keep_lower: bool) -> Callable[..., Any]:
    def function(m: Any, k: int = 0) -> Any:
        x = array(m)
        columns = x.shape[-1] if x.ndim > 1 else None
        mask = np.tri(x.shape[-2:][0], columns, k=k if keep_lower else k - 1, dtype=bool)
        zero = np.zeros((), x.dtype)
        return apply("where", mask, x, zero) if keep_lower else apply("where", mask, zero, x)

    return function


def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    """As `np.meshgrid`."""
    n = len(xi)
    arrays = [array(x) for x in xi]
    sizes = [math.prod(x.shape) for x in arrays]
    axes = list(range(n))
    if indexing == "xy" and n > 1:
        axes[0], axes[1] = 1, 0
    shape = [0] * n
    for k, size in zip(axes, sizes):
        shape[k] = size
    grids = [apply("reshape", x, shape=tuple([size if j == k else 1 for j in range(n)])) for x, k, size in zip(arrays, axes, sizes)]
    if not sparse:
        grids = [apply("broadcast_to", g, shape=tuple(shape)) for g in grids]
    return tuple([in_order(g, "C") for g in grids]) if copy else tuple(grids)


def pad(a: Any, pad_width: Any, mode: str = "constant", **kwargs: Any) -> Any:
    """As `np.pad` in the modes constant, edge, reflect, symmetric and wrap."""
    x = array(a)
    padded = _padded(x, pad_width, mode, **kwargs)
    return in_order(padded, "F") if is_fortran(x) else padded


def _padded(x: Any, pad_width: Any, mode: str, **kwargs: Any) -> Any:
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap"):
        raise refuse(f"np.pad in mode {mode!r} is not traced", "the modes constant, edge, reflect, symmetric, wrap", op="pad")
    if not x.ndim:
        return apply("copy", x)
    if mode != "constant":
        index = [np.pad(np.arange(n), width, mode, **kwargs) for n, width in zip(x.shape, _widths(pad_width, x.ndim))]  # type: ignore[call-overload]
        for k, i in enumerate(index):
            x = apply("take", x, i, axis=k, mode="raise")
        return x
    fill = kwargs.get("constant_values", 0)
    if not isinstance(fill, (int, float, complex)) and spec(operand(fill)).shape != ():
        raise refuse("np.pad with a fill for each side is not traced", "give one number", op="pad")
    widths = _widths(pad_width, x.ndim)
    base = apply(
        "broadcast_to", apply("cast", operand(fill), dtype=x.dtype), shape=tuple([b + n + e for (b, e), n in zip(widths, x.shape)])
    )
    return apply("set_slice", base, x, index=tuple([triple(slice(b, b + n), b + n + e) for (b, e), n in zip(widths, x.shape)]))


def _widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    return [(int(b), int(e)) for b, e in np.broadcast_to(np.asarray(pad_width), (ndim, 2))]


TABLE: dict[Any, Callable[..., Any]] = {
    np.flip: flip, np.fliplr: lambda m: flip(m, 1), np.flipud: lambda m: flip(m, 0), np.roll: roll, np.rot90: rot90, np.tile: tile,
    np.resize: resize, np.repeat: repeat, np.diagonal: diagonal, np.trace: trace, np.diag: diag,
    np.diagflat: lambda v, k=0: diag(ravel(v), k), np.tril: _triangle(True), np.triu: _triangle(False), np.meshgrid: meshgrid, np.pad: pad,
    np.linalg.diagonal: lambda x, /, *, offset=0: diagonal(x, offset, -2, -1),
    np.linalg.trace: lambda x, /, *, offset=0, dtype=None: trace(x, offset, -2, -1, dtype),
}  # fmt: skip
