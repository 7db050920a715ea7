"""`ufunc.at` of NumPy's binary ufuncs: `base[i] = ufunc(base[i], value)`, index by index, so that one that stands twice counts twice.

Additions are `add_at`, which has a gradient of its own and is one; here are the others, with gradients where they are meant to have one:
products give each factor the product of the others (no division by what may be zero), quotients likewise, and a maximum or minimum
shares the cotangent equally among the elements that are it.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ir.errors import DTypeError, GradientError
from ir.op import Op, Trait
from ir.ops import elementwise as e
from ir.ops.index import add_at, at_write_axes, gather
from ir.ops.places import check_fits, fancy, placement
from ir.ops.views import broadcast_to, zeros_like
from ir.spec import Spec, ufunc_dtypes

if TYPE_CHECKING:
    from ir.graph import Value

UFUNCS = (
    "subtract", "multiply", "divide", "floor_divide", "remainder", "power", "maximum", "minimum", "fmax", "fmin", "hypot", "arctan2",
    "logaddexp", "copysign", "bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift", "logical_and", "logical_or",
    "logical_xor",
)  # fmt: skip


def _spec(base: Spec, value: Spec, *indices: Spec, ufunc: str, axes: tuple[int, ...]) -> Spec:
    check_fits(value, placement(base, indices, axes)[0])
    result = ufunc_dtypes(getattr(np, ufunc), (base.strong(), value))[-1]
    if not np.can_cast(result, base.dtype, "same_kind"):
        cause = f"{ufunc}.at of {base} and {value} would turn {result} into {base.dtype}"
        raise DTypeError(cause, mend=f"cast the value to {base.dtype}, or the array to {result}")
    return base.strong()


def _meaning(base: np.ndarray, value: Any, *indices: Any, ufunc: str, axes: tuple[int, ...]) -> np.ndarray:
    out = np.array(base)
    getattr(np, ufunc).at(out, fancy(indices, axes), value)
    return out


def _vjp(
    g: Value, y: Value, base: Value, value: Value, *indices: Value, ufunc: str, axes: tuple[int, ...]
) -> tuple[Value | None, ...]:
    rule = _RULES.get(ufunc)
    if rule is None:
        raise GradientError(f"np.{ufunc}.at has no gradient", mend=f"x[i] = np.{ufunc}(x[i], v), where no index stands twice")
    places = _Places(indices, axes)
    value = e.cast(value, dtype=base.dtype) if value.spec.weak or value.dtype != base.dtype else value
    shape = placement(base.spec, tuple([i.spec for i in indices]), axes)[0]
    value = broadcast_to(value, shape=shape) if value.shape != shape else value
    return (*rule(g, y, base, value, places), *[None] * len(indices))


class _Places:
    """Reading and collecting at the node's indices."""

    def __init__(self, indices: tuple[Value, ...], axes: tuple[int, ...]):
        self.indices, self.axes = indices, axes

    def of(self, x: Value) -> Value:
        """What `x`, of the base's shape, holds for each value."""
        return gather(x, *self.indices, axes=self.axes)

    def counted(self, chosen: Value, like: Value) -> Value:
        """How many of the values at each place of `like` are chosen."""
        return add_at(zeros_like(like), e.cast(chosen, dtype=like.dtype), *self.indices, axes=self.axes)

    def product(self, value: Value, like: Value) -> Value:
        """The product of the values at each place of `like`."""
        ones = broadcast_to(like.graph.constant(np.ones((), like.dtype)), shape=like.shape)
        return ufunc_at(ones, value, *self.indices, ufunc="multiply", axes=self.axes)


def _conj(x: Value) -> Value:
    return e.conj(x) if x.dtype.kind == "c" else x


def _subtract(g: Value, y: Value, base: Value, value: Value, places: _Places) -> tuple[Value, Value]:
    return g, e.negative(places.of(g))


def _multiply(g: Value, y: Value, base: Value, value: Value, places: _Places) -> tuple[Value, Value]:
    zero = e.equal(value, 0)
    safe = e.where(zero, 1, value)
    product, zeros = places.product(safe, base), places.counted(zero, e.abs(base))
    all_others = places.of(product) / safe  # of the values that are not 0
    left = places.of(zeros) - e.cast(zero, dtype=zeros.dtype)  # zeros among the others
    by_value = e.where(e.equal(left, 0), places.of(base) * all_others, 0)
    return g * _conj(e.where(e.equal(zeros, 0), product, 0)), places.of(g) * _conj(by_value)


def _divide(g: Value, y: Value, base: Value, value: Value, places: _Places) -> tuple[Value, Value]:
    by_base = g / _conj(places.product(value, base))
    return by_base, e.negative(places.of(g) * _conj(places.of(y) / value))


def _extreme(g: Value, y: Value, base: Value, value: Value, places: _Places) -> tuple[Value, Value]:
    mine, theirs = e.equal(base, y), e.equal(value, places.of(y))
    count = e.cast(mine, dtype=g.dtype) + places.counted(theirs, g)
    share = g / e.where(e.equal(count, 0), 1, count)  # a NaN chooses nothing
    return e.where(mine, share, 0), e.where(theirs, places.of(share), 0)


_RULES = {"subtract": _subtract, "multiply": _multiply, "divide": _divide, "maximum": _extreme, "minimum": _extreme}

ufunc_at: Op = Op(
    "ufunc_at", "update", ("base", "value", "*indices"), spec=_spec, meaning=_meaning, vjp=_vjp,
    axes=lambda outs, specs, *, ufunc, axes: at_write_axes(outs, specs, axes=axes),
    flops=lambda outs, specs, *, ufunc, axes: Spec(placement(specs[0], specs[2:], axes)[0]).size,
    traits=Trait.ARRAY | Trait.ROUNDS, overwrites=(0,), order="K",
)
