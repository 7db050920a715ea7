"""Products and norms: dot, matmul, tensordot, inner, outer, vdot, kron, norm, matrix_power."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ir.ops.views import resolve_axes
from tracer.numpy_api import reductions
from tracer.numpy_api.common import all_axes, array, operand, rounds_apart, store, truth
from tracer.numpy_api.shapes import swapaxes, transpose
from tracer.operands.apply import apply
from tracer.operands.refusal import bad_shape, refuse
from tracer.operands.stack import keeps_bits


def dot(a: Any, b: Any, out: Any = None) -> Any:
    """As `np.dot`."""
    return store(out, apply("dot", array(a), array(b)), "dot")


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """As `np.tensordot`."""
    x, y = array(a), array(b)
    if isinstance(axes, (int, np.integer)):
        of_x, of_y = tuple(range(x.ndim - int(axes), x.ndim)), tuple(range(int(axes)))
    else:
        of_x, of_y = resolve_axes(axes[0], x.ndim), resolve_axes(axes[1], y.ndim)
    if [x.shape[k] for k in of_x] != [y.shape[k] for k in of_y]:
        raise bad_shape(
            f"shape-mismatch for sum: axes {of_x} of {x.shape} and {of_y} of {y.shape}", "sizes summed over must be equal", op="tensordot"
        )
    rest_x, rest_y = [k for k in range(x.ndim) if k not in of_x], [k for k in range(y.ndim) if k not in of_y]
    rows, columns, summed = [x.shape[k] for k in rest_x], [y.shape[k] for k in rest_y], math.prod([x.shape[k] for k in of_x])
    left = apply("reshape", transpose(x, (*rest_x, *of_x)), shape=(math.prod(rows), summed))
    right = apply("reshape", transpose(y, (*of_y, *rest_y)), shape=(summed, math.prod(columns)))
    return apply("reshape", apply("dot", left, right), shape=(*rows, *columns))


def inner(a: Any, b: Any, /) -> Any:
    """As `np.inner`."""
    x, y = array(a), array(b)
    return apply("dot", x, swapaxes(y, -1, -2) if x.ndim and y.ndim > 1 else y)


def outer(a: Any, b: Any, out: Any = None) -> Any:
    """As `np.outer`."""
    x, y = array(a), array(b)
    column, row = apply("reshape", x, shape=(math.prod(x.shape), 1)), apply("reshape", y, shape=(1, math.prod(y.shape)))
    return store(out, apply("multiply", column, row), "outer")


def vdot(a: Any, b: Any, /) -> Any:
    """As `np.vdot`."""
    x, y = array(a), array(b)
    if x.dtype.kind == "c":
        rounds_apart("np.vdot of complex numbers", "np.dot(np.conj(x).ravel(), y.ravel())")
    x = apply("reshape", x, shape=(math.prod(x.shape),))
    return apply("dot", apply("conj", x) if x.dtype.kind == "c" else x, apply("reshape", y, shape=(math.prod(y.shape),)))


def kron(a: Any, b: Any) -> Any:
    """As `np.kron`."""
    x, y = array(a), array(b)
    ndim = max(x.ndim, y.ndim)
    left, right = (1,) * (ndim - x.ndim) + x.shape, (1,) * (ndim - y.ndim) + y.shape
    left2 = tuple([n for size in left for n in (size, 1)])
    right2 = tuple([n for size in right for n in (1, size)])
    product = apply("multiply", apply("reshape", x, shape=left2), apply("reshape", y, shape=right2))
    return apply("reshape", product, shape=tuple([m * n for m, n in zip(left, right)]))


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: Any = False) -> Any:
    """As `np.linalg.norm`, but for the matrix norms 2, -2 and "nuc"."""
    x = array(x)
    if x.dtype.kind not in "fc":
        x = apply("cast", x, dtype=np.dtype(np.float64))  # as NumPy does first
    axes = all_axes(axis, x.ndim) if axis is None else resolve_axes(axis, x.ndim)
    keep = truth(keepdims)
    if ord is None or (ord == "fro" and len(axes) == 2) or (ord == 2 and len(axes) == 1):
        if axis is not None and len(axes) == x.ndim < 3 and keeps_bits():  # a sum, where without `axis` it is a product
            wide = apply("expand_dims", x, axis=(0,))
            return apply("norm", wide, axis=tuple(range(1, wide.ndim)), keepdims=keep, ord=None)[0]
        return apply("norm", x, axis=tuple(sorted(axes)), keepdims=keep, ord=None)
    if len(axes) == 1:
        if ord == -math.inf:
            return reductions.min(apply("abs", x), axes, None, keep)
        return apply("norm", x, axis=axes, keepdims=keep, ord=ord)
    if len(axes) == 2 and ord in (1, -1, math.inf, -math.inf):
        summed, chosen = axes if abs(ord) == 1 else axes[::-1]
        pick = reductions.max if ord > 0 else reductions.min
        result = pick(reductions.sum(apply("abs", x), summed), chosen - (summed < chosen))
        return apply("expand_dims", result, axis=tuple(sorted(axes))) if keep else result
    raise refuse(
        f"np.linalg.norm of order {ord!r} over {len(axes)} axes is not traced", "ord None, 'fro', 1 or inf; vectors: any number", op="norm"
    )


def matrix_power(a: Any, n: int) -> Any:
    """As `np.linalg.matrix_power` for n >= 0."""
    x = array(a)
    if n < 0:
        raise refuse("a negative matrix power needs an inverse, which is not traced", "n >= 0", op="matrix_power")
    if n == 0:
        return apply("broadcast_to", np.eye(x.shape[-1], dtype=x.dtype), shape=x.shape)
    if n == 3:
        return apply("matmul", apply("matmul", x, x), x)  # as NumPy, not by squares
    result, square = None, x
    while n:
        if n & 1:
            result = square if result is None else apply("matmul", result, square)
        n >>= 1
        square = apply("matmul", square, square) if n else square
    return result


def multi_dot(arrays: Any, *, out: Any = None) -> Any:
    """As `np.linalg.multi_dot`, in the order in which NumPy multiplies: bools and integers come out otherwise in another."""
    given = [array(x) for x in arrays]
    if len(given) < 2 or any(x.ndim not in (1, 2) for x in given) or any(x.ndim != 2 for x in given[1:-1]):
        raise bad_shape("multi_dot takes two arrays or more: matrices, the first and the last may have one axis", "dot", op="multi_dot")
    rows, columns = given[0].shape[:-1] or (1,), given[-1].shape[1:] or (1,)
    cuts = _cuts([*rows, *[x.shape[-1] for x in given[:-1]], *columns])
    products: dict[tuple[int, int], Any] = {(k, k): x for k, x in enumerate(given)}
    for first, last in _inner_first(cuts, len(given)):
        cut = cuts[first, last]
        products[first, last] = apply("dot", products[first, cut], products[cut + 1, last])
    return store(out, products[0, len(given) - 1], "multi_dot")


def _cuts(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where to cut each run of a chain of matrices (matrix k is sizes[k] by sizes[k + 1]): after which the last product is made.

    The classical dynamic programme over runs; of equal costs NumPy cuts a chain of three after the first, longer ones at the earliest.
    """
    count = len(sizes) - 1
    cost: dict[tuple[int, int], float] = {(k, k): 0 for k in range(count)}
    cuts: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for first in range(count - length):
            last = first + length
            ways = [
                (cost[first, k] + cost[k + 1, last] + sizes[first] * sizes[k + 1] * sizes[last + 1], k) for k in range(first, last)
            ]
            cost[first, last], cuts[first, last] = min(ways)
    return cuts


def _inner_first(cuts: dict[tuple[int, int], int], count: int) -> list[tuple[int, int]]:
    """The runs that are multiplied, each after its parts."""
    found, left = [], [(0, count - 1)]
    while left:
        first, last = left.pop()
        if first < last:
            found.append((first, last))
            left += [(first, cuts[first, last]), (cuts[first, last] + 1, last)]
    return found[::-1]


def _vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    x = array(x)
    return norm(apply("reshape", x, shape=(math.prod(x.shape),)) if axis is None and not keepdims else x, ord, axis, keepdims)


TABLE: dict[Any, Callable[..., Any]] = {
    np.dot: dot, np.tensordot: tensordot, np.inner: inner, np.outer: outer, np.vdot: vdot, np.kron: kron, np.linalg.norm: norm,
    np.linalg.matrix_power: matrix_power, np.linalg.multi_dot: multi_dot,
    np.linalg.tensordot: lambda a, b, /, *, axes=2: tensordot(a, b, axes),
    np.linalg.outer: lambda a, b, /: outer(a, b), np.linalg.matmul: lambda a, b, /: apply("matmul", operand(a), operand(b)),
    np.linalg.vector_norm: _vector_norm,
    np.linalg.matrix_norm: lambda x, /, *, keepdims=False, ord="fro": norm(x, ord, (-2, -1), keepdims),
}  # fmt: skip
