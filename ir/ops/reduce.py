"""Reductions over axes, and `sum_to`, by which gradients undo broadcasting.

Axes come in as tuples counted from 0 (`argmax`, `argmin`: one int); `axis=()` reduces nothing. No rule divides by what may be
zero: `prod` multiplies the others, `std` and `norm` have slope 0 at 0, ties of `max` and `min` share the cotangent equally.
"""
from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ir.errors import ArgumentError, ShapeError
from ir.op import ZERO, Axes, Op, Reduced, Same, Trait
from ir.ops import elementwise as e
from ir.ops.index import cut
from ir.ops.shape import broadcast_to, concatenate, expand_dims, inverse, reshape, resolve_axes, resolve_axis, shaped, transpose
from ir.ops.ufunc import Vjp
from ir.spec import Spec, check_dtype

if TYPE_CHECKING:
    from ir.graph import Value

Axis = tuple[int, ...]
NOT_EMPTY = "leave empty arrays out"


# ---- what the rules share
@lru_cache(4096)
def dtype_of(function: Callable[..., Any], x: np.dtype) -> np.dtype:
    """The dtype in which NumPy gives this reduction of an array of that dtype."""
    return check_dtype(function(np.ones(1, x)).dtype)


def _shape(x: Spec, axis: Axis, keepdims: bool) -> tuple[int, ...]:
    resolve_axes(axis, x.ndim)
    return tuple([1 if k in axis else n for k, n in enumerate(x.shape) if keepdims or k not in axis])


def _spec(function: Callable[..., Any], needs_one: bool = False) -> Callable[..., Spec]:
    """The spec rule of a reduction. `needs_one`: NumPy has no answer for no elements."""

    def spec(x: Spec, *, axis: Axis, keepdims: bool, dtype: np.dtype | None = None, **attrs: Any) -> Spec:
        shape = _shape(x, axis, keepdims)
        if needs_one and builtins.any(x.shape[k] == 0 for k in axis):
            raise ShapeError(f"there is no {function.__name__} of no elements: x is {x.shape}, reduced over axis {axis}", mend=NOT_EMPTY)
        return Spec(shape, dtype_of(function, x.dtype) if dtype is None else check_dtype(np.dtype(dtype)))

    return spec


def _meaning(function: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy's function; what it leaves an array for `axis=()` is brought to a scalar where it is 0-d."""
    return lambda x, *, axis, **attrs: function(x, axis=axis, **attrs)[()]


def _axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], *, axis: Axis, keepdims: bool, **attrs: Any) -> Axes:
    place = {k: j for j, k in enumerate([k for k in range(specs[0].ndim) if keepdims or k not in axis])}
    return (tuple([Reduced() if k in axis else Same(place[k]) for k in range(specs[0].ndim)]),)


def _flops(count: int) -> Callable[..., int]:
    return lambda out_specs, specs, **attrs: count * specs[0].size


def spread(g: Value, x: Value, axis: Axis, keepdims: bool) -> Value:
    """A Value of the reduced shape, repeated over x's shape."""
    g = _kept(g, axis, keepdims)
    return g if g.shape == x.shape else broadcast_to(g, shape=x.shape)


def _kept(g: Value, axis: Axis, keepdims: bool) -> Value:
    """A Value of the reduced shape, its reduced axes brought back with size 1: it broadcasts against x."""
    return g if keepdims or not axis else expand_dims(g, axis=axis)


def _count(x: Value, axis: Axis) -> int:
    return math.prod([x.shape[k] for k in axis])


def _reduction(
    name: str, function: Callable[..., Any], vjp: Vjp, *, needs_one: bool = False, traits: Trait = Trait.ROUNDS, flops: int = 1,
    combines: Any = None,
) -> Op:  # fmt: skip
    return Op(
        name, "reduce", ("x",), spec=_spec(function, needs_one), meaning=_meaning(function), vjp=vjp, axes=_axes, flops=_flops(flops),
        traits=traits, order="K", combines=combines,
    )


# ---- sums
SUMS = Trait.ROUNDS | Trait.MOVES
sum = _reduction("sum", np.sum, lambda g, y, x, *, axis, keepdims, dtype=None: spread(g, x, axis, keepdims), traits=SUMS, combines=np.add)
mean = _reduction(
    "mean", np.mean, lambda g, y, x, *, axis, keepdims, dtype=None: spread(_per(g, _count(x, axis)), x, axis, keepdims), traits=SUMS
)


def _per(g: Value, count: int) -> Value:
    """`g` over the count, which may be more than float16 can hold."""
    return g * (1 / count) if count > 65504 and g.dtype == np.float16 else g / builtins.max(1, count)


def sum_to(g: Value, shape: Sequence[int]) -> Value:
    """`g` summed down to a shape that broadcasts to g's: the transpose of broadcasting. The dtype is that of `sum`.

    Raises ShapeError where `shape` does not broadcast to g's.

    >>> from ir import Graph
    >>> str(sum_to(Graph().input(Spec((4, 2, 3), np.float32)), (2, 1)).spec)
    'f32[2,1]'
    """
    shape = tuple(shape)
    lead = g.ndim - len(shape)
    if lead < 0 or builtins.any(n not in (1, m) for n, m in zip(shape, g.shape[lead:])):
        raise ShapeError(f"{shape} does not broadcast to {g.shape}", mend="sizes must be equal, or 1 in the smaller shape")
    axis = tuple([k for k in range(g.ndim) if k < lead or shape[k - lead] != g.shape[k]])
    total = sum(g, axis=axis, keepdims=False) if axis else g
    return shaped(total, shape)


# ---- product
def _prod_vjp(g: Value, y: Value, x: Value, *, axis: Axis, keepdims: bool, dtype: np.dtype | None = None) -> Value:
    """Each element's slope is the product of the others: exact with zeros, and a polynomial, so every further derivative is right."""
    if not axis or x.spec.size == 0:
        return spread(g, x, axis, keepdims)
    order = (*[k for k in range(x.ndim) if k not in axis], *axis)
    moved = transpose(x, axes=order)
    rows = reshape(moved, shape=(*moved.shape[: x.ndim - len(axis)], _count(x, axis)))
    others = transpose(reshape(products_of_others(rows), shape=moved.shape), axes=inverse(order))
    return _kept(g, axis, keepdims) * e._c(others)


def products_of_others(x: Value) -> Value:
    """At each index of the last axis the product of all other elements along it; `2 log n` steps, about 3 n products, no division.

    Halves are multiplied with each other until one element is left; then each half's others are those of the pair times its twin.

    >>> from ir import Graph, evaluate
    >>> graph = Graph()
    >>> graph.outputs = [products_of_others(graph.input(Spec((3,))))]
    >>> evaluate(graph, [np.array([2.0, 0.0, 5.0])])[0][0]
    array([ 0., 10.,  0.])
    """
    last, levels = x.ndim - 1, []
    while x.shape[last] > 1:
        n, half = x.shape[last], (x.shape[last] + 1) // 2
        if n % 2:
            x = concatenate(x, broadcast_to(x.graph.constant(np.ones((), x.dtype)), shape=(*x.shape[:last], 1)), axis=last)
        left, right = cut(x, last, 0, half), cut(x, last, half, 2 * half)
        levels.append((left, right, n))
        x = left * right
    others = broadcast_to(x.graph.constant(np.ones((), x.dtype)), shape=x.shape)
    for left, right, n in reversed(levels):
        others = concatenate(others * right, others * left, axis=last)
        others = cut(others, last, 0, n) if n % 2 else others
    return others


prod = _reduction("prod", np.prod, _prod_vjp)


# ---- the greatest, the least
def _share(g: Value, chosen: Value, axis: Axis) -> Value:
    """The cotangent (axes kept) in equal shares to the chosen elements."""
    wide = g.dtype if g.dtype != np.float16 else np.dtype(np.float32)  # float16 counts to 2048
    count = sum(chosen, axis=axis, keepdims=True, dtype=wide)
    return e.where(chosen, g / e.where(e.equal(count, 0), 1, count), 0)  # a NaN chooses nothing


def _extreme_vjp(g: Value, y: Value, x: Value, *, axis: Axis, keepdims: bool) -> Value:
    return _share(_kept(g, axis, keepdims), e.equal(x, _kept(y, axis, keepdims)), axis)


max = _reduction("max", np.max, _extreme_vjp, needs_one=True, traits=Trait.NONE, combines=np.maximum)
min = _reduction("min", np.min, _extreme_vjp, needs_one=True, traits=Trait.NONE, combines=np.minimum)
any = _reduction("any", np.any, ZERO, traits=Trait.NONE)
all = _reduction("all", np.all, ZERO, traits=Trait.NONE)


# ---- spread about the mean
def _centred(x: Value, axis: Axis) -> Value:
    return x - mean(x, axis=axis, keepdims=True)


def _over(x: Value, axis: Axis, ddof: float, factor: float) -> float:
    """`factor` over the degrees of freedom, none left taken as NumPy takes it."""
    freedom = builtins.max(_count(x, axis) - ddof, 0)
    return factor / freedom if freedom else math.inf


def _var_vjp(g: Value, y: Value, x: Value, *, axis: Axis, keepdims: bool, ddof: float) -> Value:
    return _kept(g, axis, keepdims) * _over(x, axis, ddof, 2.0) * _centred(x, axis)


def _std_vjp(g: Value, y: Value, x: Value, *, axis: Axis, keepdims: bool, ddof: float) -> Value:
    """Centred twice: where all elements are equal the first mean may miss them by a rounding, as large as y itself."""
    y = _kept(y, axis, keepdims)
    slope = _kept(g, axis, keepdims) * _over(x, axis, ddof, 1.0) / e.where(e.equal(y, 0), 1, y)
    return slope * _centred(_centred(x, axis), axis)


var = _reduction("var", np.var, _var_vjp, flops=4)
std = _reduction("std", np.std, _std_vjp, flops=4)


# ---- norm
def _norm_spec(x: Spec, *, axis: Axis, keepdims: bool, ord: float | None) -> Spec:
    shape = _shape(x, axis, keepdims)
    if not isinstance(ord, (int, float, type(None))):
        raise ArgumentError(f"ord is {ord!r}", mend="use None, a number or infinity")
    if ord is not None and len(axis) != 1:
        raise ShapeError(f"ord={ord} is the norm of a vector, but {len(axis)} axes are reduced", mend="reduce one axis, or leave ord out")
    if ord is not None and x.shape[axis[0]] == 0 and not _norm_of_nothing(ord):
        raise ShapeError(f"there is no norm of order {ord} of no elements: x is {x.shape}, reduced over axis {axis}", mend=NOT_EMPTY)
    return Spec(shape, dtype_of(np.linalg.norm, x.dtype))


@lru_cache(64)
def _norm_of_nothing(ord: float) -> bool:
    """Whether this NumPy has a norm of that order for no elements (of order infinity some versions have)."""
    try:
        np.linalg.norm(np.zeros(0), ord=ord)
    except ValueError:
        return False
    return True


def _norm(x: np.ndarray, *, axis: Axis, keepdims: bool, ord: float | None) -> Any:
    """All axes at once without `ord` are what `np.linalg.norm(x)` computes (a dot product), one or two axes what it does with `axis`."""
    x = np.asarray(x)
    if ord is None and len(axis) == x.ndim:
        return np.linalg.norm(x, axis=None, keepdims=keepdims)[()]
    if len(axis) in (1, 2):
        return np.linalg.norm(x, ord=ord, axis=axis if len(axis) == 2 else axis[0], keepdims=keepdims)[()]
    x = x if x.dtype.kind in "fc" else x.astype(float)
    return np.sqrt(np.sum((x.conj() * x).real, axis=axis, keepdims=keepdims))[()]


def _norm_vjp(g: Value, y: Value, x: Value, *, axis: Axis, keepdims: bool, ord: float | None) -> Value | None:
    if ord == 0:
        return None
    g, y = _kept(g, axis, keepdims), _kept(y, axis, keepdims)
    if ord == 1:
        return g * e.sign(x)
    size = e.abs(x)
    if ord in (math.inf, -math.inf):
        return _share(g, e.equal(size, y), axis) * e.sign(x)
    safe = e.where(e.equal(y, 0), 1, y)
    if ord is None or ord == 2:
        return g * (x / safe)
    ratio = e.where(e.equal(size, 0), 1, size / safe)  # at 0 the sign is 0, whatever the power
    return g * (ratio ** (ord - 1) * e.sign(x))


norm = Op(
    "norm", "reduce", ("x",), spec=_norm_spec, meaning=_norm, vjp=_norm_vjp, axes=_axes, flops=_flops(2), traits=Trait.ROUNDS, order="K",
)


# ---- where the greatest is
def _position_spec(x: Spec, *, axis: int, keepdims: bool) -> Spec:
    resolve_axis(axis, x.ndim)
    if x.shape[axis] == 0:
        raise ShapeError(f"there is no greatest or least of no elements: x is {x.shape} along axis {axis}", mend=NOT_EMPTY)
    return Spec(_shape(x, (axis,), keepdims), np.intp)


def _position(name: str, function: Callable[..., Any]) -> Op:
    return Op(
        name, "reduce", ("x",), spec=_position_spec, meaning=_meaning(function), vjp=ZERO,
        axes=lambda out_specs, specs, *, axis, keepdims: _axes(out_specs, specs, axis=(axis,), keepdims=keepdims), flops=_flops(1),
    )


argmax = _position("argmax", np.argmax)
argmin = _position("argmin", np.argmin)
