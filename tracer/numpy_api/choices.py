"""Elementwise functions that are no ufuncs: where, clip, round, select, nan_to_num, comparisons within a tolerance, complex parts."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.numpy_api import reductions
from tracer.numpy_api.common import array, cast, given, in_order, known, operand, rounds_apart, settled, spec, store
from tracer.operands.apply import apply
from tracer.operands.refusal import bad_dtype, refuse
from tracer.operands.stack import Operand


def where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    """As `np.where` with three arguments."""
    if x is None and y is None:
        raise refuse(
            "np.where(c) with one argument has a length that depends on the data",
            "use the mask itself: np.where(c, a, b); np.argsort(~c, kind='stable') lists the true places first",
            op="where",
        )
    return apply("where", operand(condition), operand(x), operand(y))


def clip(
    a: Any,
    a_min: Any = np._NoValue,
    a_max: Any = np._NoValue,
    out: Any = None,
    *,
    min: Any = np._NoValue,
    max: Any = np._NoValue,
    **kwargs: Any,
) -> Any:
    """As `np.clip`."""
    low, high = (a_min if given(a_min) else min), (a_max if given(a_max) else max)
    x = operand(a)
    if spec(x).dtype.kind in "iu":  # as NumPy: a Python number that no element can pass is no bound
        limits = np.iinfo(spec(x).dtype)
        low = None if type(low) is int and low <= limits.min else low
        high = None if type(high) is int and high >= limits.max else high
    if given(low) and given(high):
        result = apply("clip", x, operand(low), operand(high))
    elif given(low):
        result = apply("maximum", x, operand(low))
    else:
        result = apply("minimum", x, operand(high)) if given(high) else apply("positive", x)
    return store(out, result, "clip")


def round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """As `np.round`."""
    x, decimals = array(a), operator.index(decimals)
    if x.dtype == bool and decimals:
        raise bad_dtype("booleans are not rounded to decimals", "x.astype(float) first", op="round")
    if x.dtype.kind in "iu" and decimals >= 0:
        return store(out, settled(apply("copy", x)), "round")
    if decimals == 0:
        return store(out, apply("rint", x), "round")
    if x.dtype.kind == "c":
        rounds_apart("np.round of complex numbers to decimals", "round x.real and x.imag")
        parts = [round(apply(part, x), decimals) for part in ("real", "imag")]
        return store(out, settled(apply("set_imag", apply("set_real", x, parts[0]), parts[1])), "round")
    factor = 10.0 ** abs(decimals)
    if x.dtype.kind in "iu":
        scaled = apply("rint", apply("divide", x, factor)) * factor
        return store(out, cast(scaled, x.dtype), "round")
    up = apply("multiply", x, factor) if decimals > 0 else apply("divide", x, factor)
    if hasattr(x, "stand_in") and not x.stand_in().flags.forc:
        up = in_order(up, "C")  # NumPy's buffer
    back = apply("rint", up)
    return store(out, apply("divide", back, factor) if decimals > 0 else apply("multiply", back, factor), "round")


def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """As `np.select`."""
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    dtype = np.result_type(*[_asked(c) for c in [*choicelist, default]])
    result = operand(default)
    for condition, choice in zip(reversed(list(condlist)), reversed(list(choicelist))):
        result = apply("where", operand(condition), operand(choice), result)
    result = in_order(cast(result, dtype), "C")
    return result if result.ndim else result[...]


def _asked(x: Any) -> Any:
    s = spec(operand(x))
    return {"int": 1, "float": 1.0, "complex": 1j}[s.weak] if s.weak else s.dtype


def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """As `np.choose`, for a sequence of choices."""
    index = array(a)
    if mode == "wrap":
        index = apply("remainder", index, len(choices))
    elif mode == "clip":
        index = apply("clip", index, 0, len(choices) - 1)
    else:
        raise refuse("np.choose with mode='raise' would need the values", "mode='clip' or 'wrap', or np.take_along_axis", op="choose")
    result = operand(choices[-1])
    for k in reversed(range(len(choices) - 1)):
        result = apply("where", apply("equal", index, k), operand(choices[k]), result)
    return store(out, settled(in_order(result, "C")), "choose")


def nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """As `np.nan_to_num`."""
    a = array(x)
    if a.dtype.kind == "c":
        raise refuse("np.nan_to_num of complex arrays is not traced", "treat x.real and x.imag", op="nan_to_num")
    if a.dtype.kind != "f":
        return settled(apply("copy", a))
    limits = np.finfo(a.dtype)
    high, low = limits.max if posinf is None else posinf, limits.min if neginf is None else neginf
    infinite = apply("isinf", a)
    result = apply("where", apply("isnan", a), np.asarray(nan, a.dtype), a)
    result = apply("where", apply("logical_and", infinite, apply("greater", a, 0)), np.asarray(high, a.dtype), result)
    result = apply("where", apply("logical_and", infinite, apply("less", a, 0)), np.asarray(low, a.dtype), result)
    return settled(result if copy else store(a, result, "nan_to_num"))


def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """As `np.isclose`."""
    x, y = operand(a), array(b)
    y = cast(y, np.result_type(y.dtype, 1.0))  # as NumPy, so that integers and bools are subtracted as floats
    near = apply("less_equal", apply("abs", apply("subtract", x, y)), apply("add", atol, apply("multiply", rtol, apply("abs", y))))
    result = apply("logical_or", apply("logical_and", near, apply("isfinite", y)), apply("equal", x, y))
    return apply("logical_or", result, apply("logical_and", apply("isnan", x), apply("isnan", y))) if equal_nan else result


def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """As `np.allclose`."""
    return _truth(reductions.all(isclose(a, b, rtol, atol, equal_nan)))


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """As `np.array_equal`."""
    x, y = array(a1), array(a2)
    if x.shape != y.shape:
        return False
    same = apply("equal", x, y)
    both = apply("logical_or", same, apply("logical_and", apply("isnan", x), apply("isnan", y))) if equal_nan else same
    return _truth(reductions.all(both))


def _truth(found: Any) -> Any:
    """A bool of Python's: in a trace a stand-in of one."""
    while isinstance(found, Operand) and type(found).rank == 3:  # a Variable
        found = found.data  # type: ignore[attr-defined]
    return found.as_truth() if isinstance(found, Operand) else bool(found)  # type: ignore[attr-defined]


def real(val: Any) -> Any:
    """As `np.real`: a view."""
    x = array(val)
    return apply("real", x) if x.dtype.kind == "c" else x


def imag(val: Any) -> Any:
    """As `np.imag`: a view, of a real array zeros that can't be written."""
    if isinstance(val, (int, float, complex)) and getattr(type(val), "rank", 1) == 1:
        return val.imag
    x = array(val)
    if x.dtype.kind == "c":
        return apply("imag", x)
    zeros = apply("broadcast_to", np.zeros((), x.dtype), shape=x.shape)
    if hasattr(zeros, "storage"):
        zeros.storage.writeable = False
    return settled(zeros) if getattr(x, "scalar", False) else zeros


def angle(z: Any, deg: bool = False) -> Any:
    """As `np.angle`."""
    x = array(z)
    turn = apply("arctan2", imag(x) if x.dtype.kind == "c" else 0, real(x))
    return apply("multiply", turn, 180 / math.pi) if deg else turn


def sinc(x: Any) -> Any:
    """As `np.sinc`. Near 0 the slope is that of the power series: that of sin(y) / y is a difference of numbers near 1, divided by y."""
    a = array(x)
    y = apply("multiply", a, math.pi)
    zero = apply("equal", y, 0)
    safe = apply("where", zero, np.ones((), y.dtype), y)
    ratio = apply("divide", apply("sin", safe), safe)
    if y.dtype.kind == "c":
        return settled(apply("where", zero, np.ones((), y.dtype), ratio))
    near = apply("less", apply("abs", y), 0.03)
    unit = 2.0 ** (np.finfo(y.dtype).nmant + 4)
    with np.errstate(under="ignore"):
        q = apply("square", apply("where", near, y, np.zeros((), y.dtype)))
        series = 1.0 - q / 6.0 * (1.0 - q / 20.0 * (1.0 - q / 42.0))
        # with the bits of the ratio all the same: trunc of what is whole changes nothing, and passes no slope on
        series = series + apply("trunc", (apply("where", zero, np.ones((), y.dtype), ratio) - series) * unit) / unit
    return settled(apply("where", near, series, ratio))


def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """As `np.cross` of vectors with three components along the last axis."""
    x, y = array(a), array(b)
    if axis is not None or (axisa, axisb, axisc) != (-1, -1, -1) or x.shape[-1] != 3 or y.shape[-1] != 3:
        raise refuse("np.cross is traced for three components along the last axis", "np.moveaxis first", op="cross")
    one, two = np.array([1, 2, 0]), np.array([2, 0, 1])

    def turned(v: Any, index: np.ndarray) -> Any:
        return apply("take", v, index, axis=v.ndim - 1, mode="raise")

    return turned(x, one) * turned(y, two) - turned(x, two) * turned(y, one)


def isreal(x: Any) -> Any:
    """As `np.isreal`: of a Python number a Python bool."""
    part = known(imag(x), "np.isreal")
    return part == 0 if type(part) in (int, float) else apply("equal", part, 0)


def _infinite(name: str, side: str) -> Callable[..., Any]:
    def test(x: Any, out: Any = None) -> Any:
        if spec(operand(x)).dtype.kind == "c":
            raise bad_dtype("complex numbers have no sign", "ask x.real, or np.isinf(x)", op=name)
        return store(out, apply("logical_and", apply("isinf", x), apply(side, x, 0)), name)

    return test


TABLE: dict[Any, Callable[..., Any]] = {
    np.where: where, np.clip: clip, np.round: round, np.around: round, np.select: select, np.choose: choose, np.nan_to_num: nan_to_num,
    np.isclose: isclose, np.allclose: allclose, np.array_equal: array_equal, np.real: real, np.imag: imag, np.angle: angle, np.sinc: sinc,
    np.cross: cross, np.fix: lambda x, out=None: store(out, apply("trunc", operand(x)), "fix"),
    np.isposinf: _infinite("isposinf", "greater"), np.isneginf: _infinite("isneginf", "less"),
    np.isreal: isreal, np.iscomplex: lambda x: apply("not_equal", imag(x), 0),
}  # fmt: skip
