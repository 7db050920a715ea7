"""Reductions: sums and their kin over axes, with `keepdims=`, `where=`, `initial=`, `dtype=` and `out=`; positions; cumulated sums."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.numpy_api.common import all_axes, array, cast, given, known, one_axis, operand, rounds_apart, settled, spec, store, truth
from tracer.operands.apply import apply
from tracer.operands.refusal import refuse
from tracer.operands.stack import Operand

NO: Any = np._NoValue


def _reduce(op: str, x: Any, axis: Any, keepdims: Any, **attrs: Any) -> Any:
    return apply(op, x, axis=all_axes(axis, x.ndim), keepdims=truth(keepdims), **attrs)


def _dtyped(dtype: Any, out: Any) -> dict[str, Any]:
    if given(dtype):
        return {"dtype": np.dtype(dtype)}
    return {"dtype": out.dtype} if given(out) and hasattr(out, "dtype") else {}


def _first(ufunc: np.ufunc, initial: Any, dtype: np.dtype) -> Any:
    """`initial=` in the dtype of the result, as NumPy takes it: 2.5 is 2 for integers, what does not fit is NumPy's own error."""
    if not isinstance(initial, Operand):
        return ufunc.reduce(np.empty(0, dtype), dtype=dtype, initial=initial)
    if type(initial).rank > 1 or (dtype.kind in "fc" and spec(initial).dtype.kind <= dtype.kind):
        return cast(initial, dtype)
    return _first(ufunc, known(initial, "initial="), dtype)


def _summing(name: str, combine: str, neutral: int) -> Callable[..., Any]:
    def reduction(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NO, initial: Any = NO, where: Any = NO
    ) -> Any:
        x = array(a)
        if (given(where) and where is not True or given(initial)) and x.dtype.kind in "fc":
            rounds_apart(f"np.{name} with where= or initial=", f"np.{name}(np.where(mask, x, {neutral})), and the initial value by hand")
        if given(where) and where is not True:
            x = apply("where", operand(where), x, np.zeros((), x.dtype) + np.asarray(neutral, x.dtype))
        result = _reduce(name, x, axis, keepdims, **_dtyped(dtype, out))
        if given(initial):
            result = apply(combine, _first(getattr(np, combine), initial, result.dtype), result)
        return store(out, result, name)

    reduction.__name__, reduction.__qualname__ = name, f"np.{name}"
    reduction.__doc__ = f"As `np.{name}`."
    return reduction


sum = _summing("sum", "add", 0)
prod = _summing("prod", "multiply", 1)


def _extreme(name: str, combine: str) -> Callable[..., Any]:
    def reduction(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO, initial: Any = NO, where: Any = NO) -> Any:
        x = array(a)
        if given(where) and where is not True:
            if not given(initial):
                raise ValueError(
                    f"reduction operation '{name}imum' does not have an identity, so to use a where mask one has to specify 'initial'"
                )
            x = apply("where", operand(where), x, _first(getattr(np, combine), initial, x.dtype))
        if given(initial) and builtins.any(x.shape[k] == 0 for k in all_axes(axis, x.ndim)):
            shape = [
                1 if k in all_axes(axis, x.ndim) else n for k, n in enumerate(x.shape) if truth(keepdims) or k not in all_axes(axis, x.ndim)
            ]
            first = _first(getattr(np, combine), initial, x.dtype)
            return store(out, settled(apply("broadcast_to", first, shape=tuple(shape))), name)
        result = _reduce(name, x, axis, keepdims)
        if given(initial):
            result = apply(combine, result, _first(getattr(np, combine), initial, x.dtype))
        return store(out, result, name)

    reduction.__name__, reduction.__qualname__ = name, f"np.{name}"
    reduction.__doc__ = f"As `np.{name}`."
    return reduction


max = _extreme("max", "maximum")
min = _extreme("min", "minimum")


def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NO, *, where: Any = NO) -> Any:
    """As `np.mean`."""
    x = array(a)
    if given(where) and where is not True:
        rounds_apart("np.mean with where=", "np.sum(np.where(mask, x, 0)) over np.sum(mask)")
        mask = apply("broadcast_to", operand(where), shape=x.shape) if spec(operand(where)).shape != x.shape else operand(where)
        total = sum(x if x.dtype.kind in "fc" or given(dtype) else cast(x, np.float64), axis, dtype, None, keepdims, where=mask)
        count = sum(mask, axis, None, None, keepdims)
        share = apply("divide", total, cast(count, total.dtype) if total.dtype.kind in "fc" else count)
        return store(out, cast(share, total.dtype), "mean")
    return store(out, _reduce("mean", x, axis, keepdims, **_dtyped(dtype, None)), "mean")


def _spread(name: str) -> Callable[..., Any]:
    def reduction(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: Any = 0,
        keepdims: Any = NO,
        *,
        where: Any = NO,
        mean: Any = NO,
        correction: Any = NO,
    ) -> Any:
        x = array(a)
        if given(where) and where is not True or given(mean):
            raise refuse(
                "where= and mean= are not traced",
                "compute the mean of the chosen elements and np.mean(np.abs(x - m)**2, where=mask)",
                op=name,
            )
        if given(dtype):
            x = _in_dtype(x, np.dtype(dtype), name)
        ddof = known(correction if given(correction) else ddof, "ddof=")
        if not isinstance(ddof, (int, float, np.number)):
            raise TypeError(f"ddof is {ddof!r}, not a number")
        return store(out, _reduce(name, x, axis, keepdims, ddof=ddof), name)

    reduction.__name__, reduction.__qualname__ = name, f"np.{name}"
    reduction.__doc__ = f"As `np.{name}`."
    return reduction


def _in_dtype(x: Any, dtype: np.dtype, name: str) -> Any:
    """`x` for `dtype=` of a variance. NumPy takes the mean in that dtype and the squares in that of `x` less the mean."""
    if dtype.kind != "f" or x.dtype.kind == "c":
        what, mend = f"dtype={dtype} for elements of {x.dtype} is not traced", f"np.{name}(x).astype(dtype), or a floating dtype"
        raise refuse(what, mend, op=name)
    if np.result_type(x.dtype, dtype) != dtype:
        rounds_apart(f"np.{name} with dtype={dtype} of {x.dtype}", f"np.{name}(x.astype(dtype))")
    return cast(x, dtype)


var = _spread("var")
std = _spread("std")


def _logical(name: str, neutral: bool) -> Callable[..., Any]:
    def reduction(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO, *, where: Any = NO) -> Any:
        x = array(a)
        if given(where) and where is not True:
            x = apply("where", operand(where), apply("not_equal", x, 0) if x.dtype != bool else x, neutral)
        return store(out, _reduce(name, x, axis, keepdims), name)

    reduction.__name__, reduction.__qualname__ = name, f"np.{name}"
    reduction.__doc__ = f"As `np.{name}`."
    return reduction


all = _logical("all", True)
any = _logical("any", False)


def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """As `np.count_nonzero`."""
    x = array(a)
    return _reduce("sum", apply("not_equal", x, 0) if x.dtype != bool else x, axis, keepdims, dtype=np.dtype(np.intp))


def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO) -> Any:
    """As `np.ptp`."""
    return store(out, apply("subtract", max(a, axis, None, keepdims), min(a, axis, None, keepdims)), "ptp")


def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = NO) -> Any:
    """As `np.average`, with weights of a's shape, or one for each index of an axis."""
    x = array(a)
    if weights is None:
        result = mean(x, axis, keepdims=keepdims)
        count = math.prod([x.shape[k] for k in all_axes(axis, x.ndim)])
        return (result, settled(apply("broadcast_to", np.asarray(count, result.dtype), shape=result.shape))) if returned else result
    w = array(weights)
    if w.shape != x.shape:
        k = one_axis(axis, x.ndim)
        w = apply("broadcast_to", apply("reshape", w, shape=tuple([n if j == k else 1 for j, n in enumerate(x.shape)])), shape=x.shape)
    dtype = np.result_type(x.dtype, w.dtype, np.float64 if x.dtype.kind in "biu" else x.dtype)
    total = sum(w, axis, dtype, None, keepdims)
    result = apply("divide", sum(apply("multiply", x, w), axis, dtype, None, keepdims), total)
    return (result, total) if returned else result


def _position(name: str) -> Callable[..., Any]:
    def reduction(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = NO) -> Any:
        x = array(a)
        if axis is not None and one_axis(axis, x.ndim or 1) < x.ndim:
            return store(out, apply(name, x, axis=one_axis(axis, x.ndim), keepdims=truth(keepdims)), name)
        flat = apply(name, apply("reshape", x, shape=(math.prod(x.shape),)), axis=0, keepdims=False)
        return store(out, apply("reshape", flat, shape=(1,) * x.ndim) if truth(keepdims) and x.ndim else flat, name)

    reduction.__name__, reduction.__qualname__ = name, f"np.{name}"
    reduction.__doc__ = f"As `np.{name}`."
    return reduction


argmax = _position("argmax")
argmin = _position("argmin")


def _cumulated(name: str) -> Callable[..., Any]:
    def reduction(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        x = array(a)
        if axis is None or one_axis(axis, x.ndim or 1) >= x.ndim:
            x, axis = apply("reshape", x, shape=(math.prod(x.shape),)), 0
        if given(dtype):
            x = cast(x, np.dtype(dtype))
        result = apply(name, x, axis=one_axis(axis, x.ndim))
        return store(out, cast(result, np.dtype(dtype)) if given(dtype) else result, name)

    reduction.__name__, reduction.__qualname__ = name, f"np.{name}"
    reduction.__doc__ = f"As `np.{name}`."
    return reduction


cumsum = _cumulated("cumsum")
cumprod = _cumulated("cumprod")


def _from_the_front(name: str, of: Callable[..., Any], first: int) -> Callable[..., Any]:
    def reduction(x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False) -> Any:
        a = array(x)
        if axis is None and a.ndim != 1:
            raise ValueError("For arrays which have more than one dimension ``axis`` argument is required.")
        if include_initial:
            mend = f"np.concatenate with {'zeros' if first == 0 else 'ones'} in front"
            raise refuse("include_initial= is not traced", mend, op=name)
        return of(a, axis, dtype, out)

    reduction.__name__, reduction.__qualname__ = name, f"np.{name}"
    reduction.__doc__ = f"As `np.{name}`."
    return reduction


TABLE: dict[Any, Callable[..., Any]] = {
    np.sum: sum, np.prod: prod, np.max: max, np.min: min, np.amax: max, np.amin: min, np.mean: mean, np.var: var, np.std: std,
    np.all: all, np.any: any, np.count_nonzero: count_nonzero, np.ptp: ptp, np.average: average, np.argmax: argmax, np.argmin: argmin,
    np.cumsum: cumsum, np.cumprod: cumprod, np.cumulative_sum: _from_the_front("cumulative_sum", cumsum, 0),
    np.cumulative_prod: _from_the_front("cumulative_prod", cumprod, 1),
}  # fmt: skip
