"""Arrays brought into other shapes and together: the views (from `views.py`), concatenate, and the compositions that NumPy names.

Everything here takes and gives Values; axes may be negative in the compositions, never in the records.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ir.errors import ShapeError
from ir.op import Axes, Op, Part, Same, Trait, no_flops
from ir.ops.index import cut
from ir.ops.views import (
    broadcast_to,
    expand_dims,
    inverse,
    reshape,
    resolve_axes,
    resolve_axis,
    resolve_shape,
    squeeze,
    swap_last,
    transpose,
    zeros_like,
)
from ir.spec import Spec, promote

if TYPE_CHECKING:
    from ir.graph import Value

__all__ = [
    "broadcast_to", "concatenate", "expand_dims", "inverse", "moveaxis", "ravel", "reshape", "resolve_axes", "resolve_axis",
    "resolve_shape", "squeeze", "stack", "swap_last", "swapaxes", "transpose", "zeros_like",
]


def _concatenate_spec(*xs: Spec, axis: int) -> Spec:
    if not xs:
        raise ShapeError("there is nothing to concatenate", mend="give at least one array")
    if any(x.ndim == 0 for x in xs):
        raise ShapeError("0-d arrays can't be concatenated", mend="np.stack joins scalars; or reshape them to (1,)")
    first = xs[0]
    axis = resolve_axis(axis, first.ndim)
    for k, x in enumerate(xs):
        if x.ndim != first.ndim:
            cause = f"operand 0 has {first.ndim} axes but operand {k} has {x.ndim}: {first.shape} and {x.shape}"
            raise ShapeError(cause, mend="all must have as many axes")
        for a in range(first.ndim):
            if a != axis and x.shape[a] != first.shape[a]:
                raise ShapeError(
                    f"operand 0 is {first.shape} but operand {k} is {x.shape}: sizes {first.shape[a]} and {x.shape[a]} differ at axis {a}",
                    mend=f"only axis {axis}, along which they are joined, may differ",
                )
    return Spec([sum(x.shape[a] for x in xs) if a == axis else n for a, n in enumerate(first.shape)], promote(*[x.strong() for x in xs]))


def _concatenate_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], *, axis: int) -> Axes:
    found, start = [], 0
    for s in specs:
        found.append(tuple([Part(axis, start) if k == axis else Same(k) for k in range(s.ndim)]))
        start += s.shape[axis]
    return tuple(found)


def _concatenate_vjp(g: Value, y: Value, *xs: Value, axis: int) -> tuple[Value, ...]:
    given, start = [], 0
    for x in xs:
        stop = start + x.shape[axis]
        given.append(cut(g, axis, start, stop))
        start = stop
    return tuple(given)


concatenate = Op(
    "concatenate", "shape", ("*xs",), spec=_concatenate_spec, meaning=lambda *xs, axis: np.concatenate(xs, axis),
    vjp=_concatenate_vjp, axes=_concatenate_axes, flops=no_flops, traits=Trait.ARRAY | Trait.MOVES, inside=(0,), order="K",
)



# ---- compositions
def ravel(x: Value) -> Value:
    """`x` as one axis, in C order.

    >>> from ir.graph import Graph
    >>> ravel(Graph().input(Spec((2, 3)))).shape
    (6,)
    """
    return reshape(x, shape=(x.spec.size,))


def shaped(x: Value, shape: tuple[int, ...]) -> Value:
    """`x` in that shape; itself where it has it.

    >>> from ir.graph import Graph
    >>> shaped(Graph().input(Spec((2, 3))), (3, 2)).shape
    (3, 2)
    """
    return x if x.shape == shape else reshape(x, shape=shape)


def swapaxes(x: Value, first: int, second: int) -> Value:
    """`np.swapaxes`: x with two axes exchanged; ShapeError for an axis out of range.

    >>> from ir.graph import Graph
    >>> swapaxes(Graph().input(Spec((2, 3, 4))), 0, -1).shape
    (4, 3, 2)
    """
    axes = list(range(x.ndim))
    a, b = resolve_axis(first, x.ndim), resolve_axis(second, x.ndim)
    axes[a], axes[b] = axes[b], axes[a]
    return transpose(x, axes=tuple(axes))


def moveaxis(x: Value, source: int | Sequence[int], destination: int | Sequence[int]) -> Value:
    """`np.moveaxis`: the axes `source` brought to `destination`, the others in their order; ShapeError for axes out of range.

    >>> from ir.graph import Graph
    >>> moveaxis(Graph().input(Spec((2, 3, 4))), 0, -1).shape
    (3, 4, 2)
    """
    old, new = resolve_axes(source, x.ndim), resolve_axes(destination, x.ndim)
    if len(old) != len(new):
        raise ShapeError(f"{len(old)} axes to move but {len(new)} places", mend="name as many destinations as sources")
    axes = [k for k in range(x.ndim) if k not in old]
    for place, axis in sorted(zip(new, old)):
        axes.insert(place, axis)
    return transpose(x, axes=tuple(axes))


def stack(xs: Sequence[Value], axis: int = 0) -> Value:
    """`np.stack`: arrays of one shape joined along a new axis; ShapeError where the shapes differ.

    >>> from ir.graph import Graph
    >>> x = Graph().input(Spec((2, 3)))
    >>> stack([x, x], axis=-1).shape
    (2, 3, 2)
    """
    if not xs:
        raise ShapeError("there is nothing to stack", mend="give at least one array")
    for k, x in enumerate(xs):
        if x.shape != xs[0].shape:
            raise ShapeError(f"operand 0 is {xs[0].shape} but operand {k} is {x.shape}", mend="arrays to stack must have one shape")
    place = resolve_axis(axis, xs[0].ndim + 1)
    return concatenate(*[expand_dims(x, axis=(place,)) for x in xs], axis=place)
