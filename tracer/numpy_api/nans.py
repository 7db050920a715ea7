"""Reductions that leave NaN out: nansum and its kin, by putting in its place what changes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.numpy_api import reductions
from tracer.numpy_api.common import array, given, no_more, operand, settled, store
from tracer.operands.apply import apply
from tracer.operands.refusal import refuse

NO: Any = np._NoValue


def nansum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NO, initial: Any = NO, where: Any = NO) -> Any:
    """As `np.nansum`."""
    x = array(a)
    x = apply("where", apply("isnan", x), np.zeros((), x.dtype), x) if x.dtype.kind in "fc" else x
    return reductions.sum(x, axis, dtype, out, keepdims, initial, where)


def nanmean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NO, *, where: Any = NO) -> Any:
    """As `np.nanmean`."""
    x = array(a)
    if x.dtype.kind not in "fc":
        return reductions.mean(x, axis, dtype, out, keepdims, where=where)
    if given(dtype) and np.dtype(dtype).kind not in "fc":
        raise TypeError("If a is inexact, then dtype must be inexact")
    there = apply("logical_not", apply("isnan", x))
    return reductions.mean(x, axis, dtype, out, keepdims, where=apply("logical_and", there, operand(where)) if given(where) else there)


def _neutral(name: str, of: Callable[..., Any], neutral: int) -> Callable[..., Any]:
    def reduction(a: Any, *args: Any, **kwargs: Any) -> Any:
        x = array(a)
        return of(apply("where", apply("isnan", x), np.asarray(neutral, x.dtype), x) if x.dtype.kind in "fc" else x, *args, **kwargs)

    reduction.__name__, reduction.__qualname__ = name, f"np.{name}"
    reduction.__doc__ = f"As `np.{name}`."
    return reduction


nanprod = _neutral("nanprod", reductions.prod, 1)
nancumsum = _neutral("nancumsum", reductions.cumsum, 0)
nancumprod = _neutral("nancumprod", reductions.cumprod, 1)


def _extreme(name: str, of: Callable[..., Any], worst: float) -> Callable[..., Any]:
    def reduction(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO, initial: Any = NO, where: Any = NO) -> Any:
        x = array(a)
        if x.dtype.kind == "c":
            raise refuse(f"np.{name} of complex numbers is not traced", "reduce x.real and x.imag, or np.abs(x)", op=name)
        if x.dtype.kind != "f":
            return of(x, axis, out, keepdims, initial, where)
        no_more(name, {"initial": initial, "where": None if where is True else where})
        missing = apply("isnan", x)
        result = of(apply("where", missing, np.asarray(worst, x.dtype), x), axis, None, keepdims)
        found = apply("where", reductions.all(missing, axis, None, keepdims), np.asarray(np.nan, x.dtype), result)
        return store(out, settled(found), name)

    reduction.__name__, reduction.__qualname__ = name, f"np.{name}"
    reduction.__doc__ = f"As `np.{name}`, without its warning where nothing but NaN is reduced."
    return reduction


nanmax, nanmin = _extreme("nanmax", reductions.max, -math.inf), _extreme("nanmin", reductions.min, math.inf)


TABLE: dict[Any, Callable[..., Any]] = {
    np.nansum: nansum, np.nanmean: nanmean, np.nanprod: nanprod, np.nancumsum: nancumsum, np.nancumprod: nancumprod,
    np.nanmax: nanmax, np.nanmin: nanmin,
}  # fmt: skip
