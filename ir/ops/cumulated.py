"""Cumulated sums and products along one axis, an int counted from 0. No rule divides: a zero in a product is an element like others."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ir.op import Axes, Op, Same, Trait, Whole, elements
from ir.ops import elementwise as e
from ir.ops.index import cut, flip
from ir.ops.reduce import dtype_of
from ir.ops.shape import broadcast_to, concatenate, resolve_axis
from ir.ops.ufunc import Vjp
from ir.spec import Spec

if TYPE_CHECKING:
    from ir.graph import Value


def _record(name: str, function: Callable[..., Any], vjp: Vjp, traits: Trait) -> Op:
    def spec(x: Spec, *, axis: int) -> Spec:
        resolve_axis(axis, x.ndim)
        return Spec(x.shape, dtype_of(function, x.dtype))

    def axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], *, axis: int) -> Axes:
        return (tuple([Whole() if k == axis else Same(k) for k in range(specs[0].ndim)]),)

    return Op(name, "reduce", ("x",), spec=spec, meaning=function, vjp=vjp, axes=axes, flops=elements, traits=traits, order="K")


def _cumprod_vjp(g: Value, y: Value, x: Value, *, axis: int) -> Value:
    """To x[k] comes the product before it, times s[k] = g[k] + x[k+1] * s[k+1]: no division, so exact with zeros.

    The recurrence in `log n` steps: `s` and the product `p` of what leads to the next, each joined with its twin `step` places on.
    """
    n = x.shape[axis]
    if n < 2:
        return g
    s, p, step = g, _shifted(e._c(x), axis, 1, 0), 1
    while step < n:
        s = s + p * _shifted(s, axis, step, 0)
        p = p * _shifted(p, axis, step, 0)
        step *= 2
    return s * _shifted(e._c(y), axis, -1, 1)


def _shifted(x: Value, axis: int, step: int, fill: int) -> Value:
    """`x[k + step]` at index k of an axis, `fill` past the end."""
    n, count = x.shape[axis], abs(step)
    number = x.graph.constant(np.full((), fill, x.dtype))
    filling = broadcast_to(number, shape=tuple([count if k == axis else size for k, size in enumerate(x.shape)]))
    kept = cut(x, axis, max(0, step), n + min(0, step))
    return concatenate(kept, filling, axis=axis) if step > 0 else concatenate(filling, kept, axis=axis)


cumsum: Op = _record("cumsum", np.cumsum, lambda g, y, x, *, axis: flip(cumsum(flip(g, axis), axis=axis), axis), Trait.ROUNDS | Trait.MOVES)
cumprod = _record("cumprod", np.cumprod, _cumprod_vjp, Trait.ROUNDS)
