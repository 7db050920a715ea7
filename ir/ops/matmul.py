"""Products: dot and matmul with NumPy's rules for every number of axes; tensordot, outer, inner and vdot are compositions.

dot contracts the last axis of x with the second to last of y (the last of a 1-d y) and keeps all others; matmul broadcasts the
leading axes against each other.
"""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ir.errors import ShapeError
from ir.op import Axes, Axis, Op, Reduced, Same, Trait
from ir.ops import elementwise
from ir.ops.elementwise import _c
from ir.ops.shape import expand_dims, inverse, ravel, reshape, resolve_axes, shaped, squeeze, swap_last, transpose
from ir.spec import Spec, broadcast, check_dtype, promote, ufunc_dtypes

if TYPE_CHECKING:
    from ir.graph import Value


# ---- dot
def _contracts(x: Spec, y: Spec, axis: int, mend: str) -> None:
    if x.shape[-1] != y.shape[axis]:
        raise ShapeError(f"x has {x.shape[-1]} columns but y has {y.shape[axis]} rows: {x.shape} and {y.shape} do not multiply", mend=mend)


def _dot_spec(x: Spec, y: Spec) -> Spec:
    dtype = promote(x.strong(), y.strong())
    if x.ndim == 0 or y.ndim == 0:
        return Spec(x.shape or y.shape, dtype)
    axis = -2 if y.ndim > 1 else -1
    where = "the second to last axis of y" if y.ndim > 1 else "y"
    _contracts(x, y, axis, f"the last axis of x must be as long as {where}; y.T may be meant")
    return Spec((*x.shape[:-1], *y.shape[:-2], *y.shape[-1:][: y.ndim - 1]), dtype)


def _dot_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...]) -> Axes:
    x, y = specs
    if x.ndim == 0 or y.ndim == 0:
        return tuple([tuple([Same(k) for k in range(s.ndim)]) for s in specs])
    of_x: list[Axis] = [*[Same(k) for k in range(x.ndim - 1)], Reduced()]
    if y.ndim == 1:
        return tuple(of_x), (Reduced(),)
    place = x.ndim - 1
    of_y: list[Axis] = [*[Same(place + k) for k in range(y.ndim - 2)], Reduced(), Same(place + y.ndim - 2)]
    return tuple(of_x), tuple(of_y)


def _dot_flops(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...]) -> int:
    x, y = specs
    return out_specs[0].size * (2 * x.shape[-1] if x.ndim and y.ndim else 1)


def _dot_vjp(g: Value, z: Value, x: Value, y: Value) -> tuple[Value, Value]:
    if x.ndim == 0 or y.ndim == 0 or x.ndim == y.ndim == 1:
        return elementwise.multiply(g, _c(y)), elementwise.multiply(g, _c(x))
    rows = _shaped(x, (-1, x.shape[-1]))
    if y.ndim == 1:
        return elementwise.multiply(expand_dims(g, axis=(g.ndim,)), _c(y)), dot(_turned(_c(rows)), ravel(g) if g.ndim > 1 else g)
    front = (y.ndim - 2, *range(y.ndim - 2), y.ndim - 1)  # the contracted axis of y first, the others as they stand in the result
    moved = y if y.ndim == 2 else transpose(y, axes=front)
    columns = _shaped(moved, (y.shape[-2], -1))
    g2 = _shaped(g, (rows.shape[0], columns.shape[1]))
    gy = _shaped(dot(_turned(_c(rows)), g2), moved.shape)
    return _shaped(dot(g2, _turned(_c(columns))), x.shape), gy if y.ndim == 2 else transpose(gy, axes=inverse(front))


def _shaped(x: Value, shape: tuple[int, ...]) -> Value:
    """`x` in that shape, -1 standing for the axes left; itself where it has it."""
    return shaped(x, _matrix_shape(x.shape, shape))


def _matrix_shape(old: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` with -1 replaced by the product of the leading (or trailing) axes of `old`, which stays right for axes of size 0."""
    if shape[0] == -1:
        return (math.prod(old[:-1]), *shape[1:])
    if shape[-1] == -1:
        return (*shape[:-1], math.prod(old[1:]))
    return shape


def _turned(x: Value) -> Value:
    return transpose(x, axes=(1, 0))


dot = Op(
    "dot", "matmul", ("x", "y"), spec=_dot_spec, meaning=lambda x, y: np.dot(x, y), vjp=_dot_vjp, axes=_dot_axes, flops=_dot_flops,
    traits=Trait.ROUNDS | Trait.BILINEAR, combines=np.add,
)


# ---- matmul
def _matmul_spec(x: Spec, y: Spec) -> Spec:
    for name, s in (("x", x), ("y", y)):
        if s.ndim == 0:
            raise ShapeError(f"matmul does not take the 0-d {name}: {s}", mend="multiply by a scalar with *")
    axis = -2 if y.ndim > 1 else -1
    _contracts(x, y, axis, "the last axis of x must be as long as the second to last axis of y (the only one of a 1-d y); y.T may be meant")
    batch = broadcast([x.shape[:-2], y.shape[:-2]])
    dtype = check_dtype(ufunc_dtypes(np.matmul, (x.strong(), y.strong()))[-1])
    return Spec((*batch, *x.shape[-2:-1], *y.shape[-1:][: y.ndim - 1]), dtype)


def _matmul_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...]) -> Axes:
    x, y = specs
    batch = out_specs[0].ndim - (x.ndim > 1) - (y.ndim > 1)
    of_x: list[Axis] = [Same(batch - (x.ndim - 2) + k) for k in range(x.ndim - 2)]
    of_y: list[Axis] = [Same(batch - (y.ndim - 2) + k) for k in range(y.ndim - 2)]
    of_x += [Same(batch), Reduced()] if x.ndim > 1 else [Reduced()]
    of_y += [Reduced(), Same(out_specs[0].ndim - 1)] if y.ndim > 1 else [Reduced()]
    return tuple(of_x), tuple(of_y)


def _matmul_flops(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...]) -> int:
    return out_specs[0].size * 2 * specs[0].shape[-1]


def _matmul_vjp(g: Value, z: Value, x: Value, y: Value) -> tuple[Value, Value]:
    if x.ndim == y.ndim == 1:
        return elementwise.multiply(g, _c(y)), elementwise.multiply(g, _c(x))
    if y.ndim == 1:
        column = expand_dims(g, axis=(g.ndim,))
        return elementwise.multiply(column, _c(y)), squeeze(matmul(swap_last(_c(x)), column), axis=(g.ndim,))
    if x.ndim == 1:
        row = expand_dims(g, axis=(g.ndim - 1,))
        gx = squeeze(matmul(row, swap_last(_c(y))), axis=(g.ndim - 1,))
        return gx, elementwise.multiply(expand_dims(_c(x), axis=(1,)), row)
    return matmul(g, swap_last(_c(y))), matmul(swap_last(_c(x)), g)


matmul = Op(
    "matmul", "matmul", ("x", "y"), spec=_matmul_spec, meaning=lambda x, y: np.matmul(x, y), vjp=_matmul_vjp, axes=_matmul_axes,
    flops=_matmul_flops, traits=Trait.ROUNDS | Trait.BILINEAR, combines=np.add,
)


# ---- compositions
def tensordot(x: Value, y: Value, axes: int | tuple[Any, Any] = 2) -> Value:
    """`np.tensordot`: sums over `axes` of x and y (a number: the last of x and first of y, else a pair of axes or of sequences).

    ShapeError where the sizes summed over differ.

    >>> from ir.graph import Graph
    >>> graph = Graph()
    >>> tensordot(graph.input(Spec((2, 3, 4))), graph.input(Spec((4, 3, 5))), ((1, 2), (1, 0))).shape
    (2, 5)
    """
    if isinstance(axes, (int, np.integer)):
        of_x, of_y = tuple(range(x.ndim - int(axes), x.ndim)), tuple(range(int(axes)))
    else:
        of_x, of_y = axes
    of_x, of_y = resolve_axes(of_x, x.ndim), resolve_axes(of_y, y.ndim)
    if len(of_x) != len(of_y):
        raise ShapeError(f"{len(of_x)} axes of x but {len(of_y)} of y", mend="name as many axes of each")
    for a, b in zip(of_x, of_y):
        if x.shape[a] != y.shape[b]:
            cause = f"axis {a} of x has size {x.shape[a]} but axis {b} of y has size {y.shape[b]}"
            raise ShapeError(cause, mend="sizes summed over must be equal")
    rest_x, rest_y = [k for k in range(x.ndim) if k not in of_x], [k for k in range(y.ndim) if k not in of_y]
    summed = math.prod(x.shape[a] for a in of_x)
    rows, columns = [x.shape[k] for k in rest_x], [y.shape[k] for k in rest_y]
    left = reshape(transpose(x, axes=(*rest_x, *of_x)), shape=(math.prod(rows), summed))
    right = reshape(transpose(y, axes=(*of_y, *rest_y)), shape=(summed, math.prod(columns)))
    return reshape(dot(left, right), shape=(*rows, *columns))


def inner(x: Value, y: Value) -> Value:
    """`np.inner`: sums over the last axes of both.

    >>> from ir.graph import Graph
    >>> graph = Graph()
    >>> inner(graph.input(Spec((2, 3))), graph.input(Spec((5, 3)))).shape
    (2, 5)
    """
    if x.ndim == 0 or y.ndim == 0:
        return elementwise.multiply(x, y)
    return dot(x, swap_last(y) if y.ndim > 1 else y)


def outer(x: Value, y: Value) -> Value:
    """`np.outer` of both as one axis.

    >>> from ir.graph import Graph
    >>> graph = Graph()
    >>> outer(graph.input(Spec((2,))), graph.input(Spec((3,)))).shape
    (2, 3)
    """
    return elementwise.multiply(reshape(x, shape=(x.spec.size, 1)), reshape(y, shape=(1, y.spec.size)))


def vdot(x: Value, y: Value) -> Value:
    """`np.vdot`: conj(x) times y as one axis, summed.

    >>> from ir.graph import Graph
    >>> x = Graph().input(Spec((2, 3), np.complex64))
    >>> str(vdot(x, x).spec)
    'c64[]'
    """
    return dot(ravel(_c(x)), ravel(y))
