"""Reductions."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ir.op import Axes, Op, Reduced, Same, Trait
from ir.ops import shape
from ir.spec import Spec, check_dtype

if TYPE_CHECKING:
    from ir.graph import Value


def _shape(x: Spec, axis: tuple[int, ...], keepdims: bool) -> tuple[int, ...]:
    return tuple([1 if k in axis else n for k, n in enumerate(x.shape) if keepdims or k not in axis])


def _axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], *, axis: tuple[int, ...], keepdims: bool, **attrs: Any) -> Axes:
    ndim = specs[0].ndim
    place = {k: j for j, k in enumerate([k for k in range(ndim) if keepdims or k not in axis])}
    return (tuple([Reduced() if k in axis else Same(place[k]) for k in range(ndim)]),)


def _sum_dtype(x: Spec, dtype: np.dtype | None) -> np.dtype:
    return check_dtype(np.dtype(dtype)) if dtype is not None else np.sum(np.zeros((0,), x.dtype)).dtype


def _mean_dtype(x: Spec, dtype: np.dtype | None) -> np.dtype:
    return check_dtype(np.dtype(dtype)) if dtype is not None else np.mean(np.zeros((1,), x.dtype)).dtype


def spread(g: Value, x: Value, axis: tuple[int, ...], keepdims: bool) -> Value:
    """A cotangent of the reduced shape, repeated over x's shape."""
    g = g if keepdims or not axis else shape.expand_dims(g, axis=axis)
    return shape.broadcast_to(g, shape=x.shape) if g.shape != x.shape else g


sum = Op(
    "sum", "reduce", ("x",), spec=lambda x, *, axis, keepdims, dtype=None: Spec(_shape(x, axis, keepdims), _sum_dtype(x, dtype)),
    meaning=lambda x, *, axis, keepdims, dtype=None: np.sum(x, axis=axis, keepdims=keepdims, dtype=dtype),
    vjp=lambda g, y, x, *, axis, keepdims, dtype=None: spread(g, x, axis, keepdims), axes=_axes,
    flops=lambda out, specs, **_: specs[0].size, traits=Trait.ROUNDS,
)
mean = Op(
    "mean", "reduce", ("x",), spec=lambda x, *, axis, keepdims, dtype=None: Spec(_shape(x, axis, keepdims), _mean_dtype(x, dtype)),
    meaning=lambda x, *, axis, keepdims, dtype=None: np.mean(x, axis=axis, keepdims=keepdims, dtype=dtype),
    vjp=lambda g, y, x, *, axis, keepdims, dtype=None: spread(g / max(1, x.spec.size // max(1, y.spec.size)), x, axis, keepdims), axes=_axes,
    flops=lambda out, specs, **_: specs[0].size, traits=Trait.ROUNDS,
)


def sum_to(g: Value, shape_: tuple[int, ...]) -> Value:
    """`g` summed down to a shape that broadcasts to g's."""
    lead = g.ndim - len(shape_)
    axis = tuple([k for k in range(g.ndim) if k < lead or (shape_[k - lead] == 1 and g.shape[k] != 1)])
    if axis:
        g = sum(g, axis=axis, keepdims=False)
    return g if g.shape == tuple(shape_) else shape.reshape(g, shape=tuple(shape_))
