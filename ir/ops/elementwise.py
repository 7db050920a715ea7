"""Elementwise operations: arithmetic and the functions of a real or complex number. The names of `logic.py` can be had from here too.

A cotangent follows the conjugate convention: for z = f(x) it is `g * conj(f'(x))`, so that for a real loss it is dL/dRe + i dL/dIm.
Kinks: maximum, minimum and their like share a tie equally; abs has slope 0 at 0; clip hands its cotangent on inside and on the bounds.
Where mathematics says infinity (sqrt at 0) a rule gives infinity; that such a value meets no zero of a branch not taken is seen to
in `gradient.py`, once for all rules.
"""
from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy._core.umath import clip as _clip_ufunc  # type: ignore[attr-defined]

from ir.graph import CONSTANT
from ir.op import Op, Trait, broadcast_axes
from ir.ops.logic import (
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    ceil,
    equal,
    floor,
    greater,
    greater_equal,
    invert,
    isfinite,
    isinf,
    isnan,
    left_shift,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    not_equal,
    right_shift,
    rint,
    signbit,
    trunc,
    where,
)
from ir.ops.ufunc import elementwise, flops_each, ufunc_spec
from ir.spec import Spec, check_dtype

if TYPE_CHECKING:
    from ir.graph import Value

__all__ = [
    "abs", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "bitwise_and", "bitwise_or", "bitwise_xor",
    "cast", "cbrt", "ceil", "clip", "conj", "copy", "copysign", "cos", "cosh", "divide", "elementwise", "equal", "exp", "exp2", "expm1",
    "floor", "floor_divide", "fmax", "fmin", "fmod", "greater", "greater_equal", "hypot", "imag", "invert", "isfinite", "isinf", "isnan",
    "left_shift", "less", "less_equal", "log", "log10", "log1p", "log2", "logaddexp", "logaddexp2", "logical_and", "logical_not",
    "logical_or", "logical_xor", "maximum", "minimum", "multiply", "negative", "not_equal", "positive", "power", "real", "reciprocal",
    "remainder", "right_shift", "rint",
    "sign", "signbit", "sin", "sinh", "sqrt", "square", "subtract", "tan", "tanh", "trunc", "where",
]

EXACT = Trait.NONE
COMMUTES = Trait.ROUNDS | Trait.COMMUTATIVE
LN2, LN10 = math.log(2), math.log(10)

# ---- complex parts
conj: Op = elementwise("conj", "x", np.conjugate, lambda g, y, x: conj(g), traits=EXACT)


def _c(value: Value) -> Value:
    """The conjugate of a complex Value, a real one as it is."""
    return conj(value) if value.dtype.kind == "c" else value


def _part(name: str, part: Any, vjp: Any) -> Op:
    """`real` and `imag` are no ufuncs: the meaning copies what NumPy shows as a view."""
    return Op(
        name, "elementwise", ("x",), spec=lambda x: Spec(x.shape, np.zeros((), x.dtype).real.dtype),
        meaning=lambda x: np.array(part(x), order="K")[()], vjp=vjp, axes=broadcast_axes, flops=flops_each(0),
        traits=Trait.ELEMENTWISE, order="K",
    )


real = _part("real", np.real, lambda g, y, x: g)
imag = _part("imag", np.imag, lambda g, y, x: g * 1j if x.dtype.kind == "c" else None)

def _times(g: Value, factor: Value) -> Value:
    """`g` times the conjugate; a mask chooses, so that its zeros are strong ones."""
    mask = factor.node.operands[0] if factor.node.op is cast else factor
    return where(mask, g, g.dtype.type(0)) if mask.dtype == bool and mask.spec.weak is None else g * _c(factor)


# ---- arithmetic
add = elementwise("add", "x y", np.add, lambda g, z, x, y: (g, g), traits=COMMUTES)
subtract = elementwise("subtract", "x y", np.subtract, lambda g, z, x, y: (g, negative(g)))
multiply: Op = elementwise("multiply", "x y", np.multiply, lambda g, z, x, y: (_times(g, y), _times(g, x)), traits=COMMUTES)
divide = elementwise("divide", "x y", np.true_divide, lambda g, z, x, y: (g / _c(y), negative(g / _c(y) * _c(z))), flops=4)
floor_divide = elementwise("floor_divide", "x y", np.floor_divide, lambda g, z, x, y: (None, None), flops=8)
remainder = elementwise("remainder", "x y", np.remainder, lambda g, z, x, y: (g, negative(g * floor_divide(x, y))), flops=8)
fmod = elementwise("fmod", "x y", np.fmod, lambda g, z, x, y: (g, negative(g * trunc(x / y))), flops=8)
negative: Op = elementwise("negative", "x", np.negative, lambda g, y, x: negative(g), traits=EXACT)
positive = elementwise("positive", "x", np.positive, lambda g, y, x: g, traits=EXACT)
square = elementwise("square", "x", np.square, lambda g, y, x: 2 * g * _c(x))
reciprocal = elementwise("reciprocal", "x", np.reciprocal, lambda g, y, x: negative(g * _c(y * y)), flops=4)
abs = elementwise("abs", "x", np.absolute, lambda g, y, x: g * sign(x))


def _sign_vjp(g: Value, y: Value, x: Value) -> Value | None:
    """Constant for a real x. A complex one has x/|x|, which turns: dy = i y Im(conj(y) dx) / |x|; 0 at 0."""
    if x.dtype.kind != "c":
        return None
    length = abs(x)
    turn = negative(imag(conj(g) * y)) / where(equal(length, 0), 1, length)
    return turn * (y * 1j)


sign: Op = elementwise("sign", "x", np.sign, _sign_vjp, traits=EXACT)


# ---- power
def _power_vjp(g: Value, z: Value, x: Value, p: Value) -> tuple[Value | None, Value | None]:
    """By x: `p * x**(p - 1)`, 0 where p is 0. By p: `z * log(x)`, 0 where x is 0 and p is not negative."""
    n = _number(p)
    if n is not None:
        if n in (0, 1):
            return None if n == 0 else g, None
        steep = n.conjugate() * g  # first: constants run together
        return steep * _c(x if n == 2 else power(x, n - 1)), None
    x, q = _as(x, z.dtype), _as(p, z.dtype)
    at_zero = equal(x, 0)
    less_one = where(logical_and(at_zero, equal(q, 0)), 1, q - 1)  # there 0 * 0**-1 would be NaN; elsewhere p = 0 has a slope by p
    by_x = g * _c(q * power(x, less_one))
    if p.dtype.kind not in "fc":
        return by_x, None
    flat = at_zero if q.dtype.kind == "c" else logical_and(at_zero, greater_equal(q, 0))
    return by_x, g * _c(where(flat, 0, z * log(where(flat, 1, x))))


def _number(value: Value) -> Any:
    """The Python number that a constant of size 1 and no axes holds, else None."""
    if value.node.op is not CONSTANT or value.ndim:
        return None
    held = value.node.attrs["value"].value
    number = held.item() if isinstance(held, (np.ndarray, np.generic)) else held
    return int(number) if isinstance(number, bool) else number


def _as(value: Value, dtype: np.dtype) -> Value:
    """The Value in that dtype, without a weak kind."""
    return value if value.dtype == dtype and value.spec.weak is None else cast(value, dtype=dtype)


power = elementwise("power", "x p", np.power, _power_vjp, flops=20)

# ---- functions
sqrt = elementwise("sqrt", "x", np.sqrt, lambda g, y, x: g / (2 * _c(y)), flops=4)
cbrt = elementwise("cbrt", "x", np.cbrt, lambda g, y, x: g / (3 * (y * y)), flops=20)
exp = elementwise("exp", "x", np.exp, lambda g, y, x: g * _c(y), flops=10)
exp2 = elementwise("exp2", "x", np.exp2, lambda g, y, x: g * _c(y * LN2), flops=10)
expm1 = elementwise("expm1", "x", np.expm1, lambda g, y, x: g * _c(y + 1), flops=15)
log = elementwise("log", "x", np.log, lambda g, y, x: g / _c(x), flops=10)
log2 = elementwise("log2", "x", np.log2, lambda g, y, x: g / (_c(x) * LN2), flops=10)
log10 = elementwise("log10", "x", np.log10, lambda g, y, x: g / (_c(x) * LN10), flops=10)
log1p = elementwise("log1p", "x", np.log1p, lambda g, y, x: g / (_c(x) + 1), flops=15)
sin = elementwise("sin", "x", np.sin, lambda g, y, x: g * _c(cos(x)), flops=15)
cos: Op = elementwise("cos", "x", np.cos, lambda g, y, x: negative(g * _c(sin(x))), flops=15)
tan = elementwise("tan", "x", np.tan, lambda g, y, x: g * _c(y * y + 1), flops=20)
arcsin = elementwise("arcsin", "x", np.arcsin, lambda g, y, x: g / _c(_circle(x)), flops=20)
arccos = elementwise("arccos", "x", np.arccos, lambda g, y, x: negative(g / _c(_circle(x))), flops=20)
arctan = elementwise("arctan", "x", np.arctan, lambda g, y, x: g / _c(x * x + 1), flops=20)
sinh = elementwise("sinh", "x", np.sinh, lambda g, y, x: g * _c(cosh(x)), flops=15)
cosh: Op = elementwise("cosh", "x", np.cosh, lambda g, y, x: g * _c(sinh(x)), flops=15)
tanh = elementwise("tanh", "x", np.tanh, lambda g, y, x: g * _c(1 - y * y), flops=15)
arcsinh = elementwise("arcsinh", "x", np.arcsinh, lambda g, y, x: g / _root(x), flops=20)
arccosh = elementwise("arccosh", "x", np.arccosh, lambda g, y, x: g / _c(sqrt(x - 1) * sqrt(x + 1)), flops=20)
arctanh = elementwise("arctanh", "x", np.arctanh, lambda g, y, x: g / _c((1 - x) * (1 + x)), flops=20)


def _root(x: Value) -> Value:
    """sqrt(1 + x*x), for a real x without overflow; of a complex one the conjugate."""
    return conj(sqrt(1 + x * x)) if x.dtype.kind == "c" else hypot(x, 1)


def _circle(x: Value) -> Value:
    """sqrt(1 - x*x) without cancellation near 1."""
    return sqrt((1 - x) * (1 + x))


def _hypot_vjp(g: Value, z: Value, x: Value, y: Value) -> tuple[Value, Value]:
    length = where(equal(z, 0), 1, z)
    return g * (x / length), g * (y / length)


def _arctan2_vjp(g: Value, z: Value, y: Value, x: Value) -> tuple[Value, Value]:
    """Divides by the length twice: its square may overflow or underflow. 0 where there is no angle and where it is a limit's."""
    length = hypot(x, y)
    far, safe = isinf(length), where(equal(length, 0), 1, length)
    g = g / safe
    return where(far, 0, g * (x / safe)), where(far, 0, negative(g * (y / safe)))


def _logaddexp_vjp(g: Value, z: Value, x: Value, y: Value) -> tuple[Value, Value]:
    """The two weights exp(x - z) and exp(y - z), from the difference alone; two equal infinities weigh the same."""
    ahead = where(logical_and(equal(x, y), isinf(x)), 0, x - y)
    return g * exp(negative(logaddexp(0, negative(ahead)))), g * exp(negative(logaddexp(0, ahead)))


def _logaddexp2_vjp(g: Value, z: Value, x: Value, y: Value) -> tuple[Value, Value]:
    """As of logaddexp, in powers of two."""
    ahead = where(logical_and(equal(x, y), isinf(x)), 0, x - y)
    return g * exp2(negative(logaddexp2(0, negative(ahead)))), g * exp2(negative(logaddexp2(0, ahead)))


hypot = elementwise("hypot", "x y", np.hypot, _hypot_vjp, flops=10)
arctan2 = elementwise("arctan2", "y x", np.arctan2, _arctan2_vjp, flops=25)
logaddexp = elementwise("logaddexp", "x y", np.logaddexp, _logaddexp_vjp, flops=25)
logaddexp2 = elementwise("logaddexp2", "x y", np.logaddexp2, _logaddexp2_vjp, flops=25)
copysign: Op = elementwise("copysign", "x y", np.copysign, lambda g, z, x, y: (g * sign(x) * copysign(1.0, y), None), traits=EXACT)


# ---- the greater, the lesser
def _chosen_vjp(g: Value, z: Value, x: Value, y: Value) -> tuple[Value, Value]:
    """To the operand that is the result; to both a half where both are."""
    return _shared(g, equal(x, z), equal(y, z), logical_and(equal(x, z), equal(y, z)))


def _shared(g: Value, is_x: Value, is_y: Value, both: Value) -> tuple[Value, Value]:
    share = where(both, g * 0.5, g)
    return where(is_x, share, 0), where(is_y, share, 0)


def _greater_vjp(g: Value, z: Value, x: Value, y: Value) -> tuple[Value, Value]:
    """As `_chosen_vjp`, from the operands alone, so that the result may be written over one of them. NaN is no result of either's."""
    return _shared(g, greater_equal(x, y), greater_equal(y, x), equal(x, y))


def _lesser_vjp(g: Value, z: Value, x: Value, y: Value) -> tuple[Value, Value]:
    return _shared(g, less_equal(x, y), less_equal(y, x), equal(x, y))


maximum = elementwise("maximum", "x y", np.maximum, _greater_vjp, traits=EXACT)
minimum = elementwise("minimum", "x y", np.minimum, _lesser_vjp, traits=EXACT)
fmax = elementwise("fmax", "x y", np.fmax, _chosen_vjp, traits=EXACT)
fmin = elementwise("fmin", "x y", np.fmin, _chosen_vjp, traits=EXACT)


def _clip_vjp(g: Value, z: Value, x: Value, lo: Value, hi: Value) -> tuple[Value, ...]:
    """NumPy's clip is minimum(maximum(x, lo), hi): where lo > hi the result is hi."""
    above = logical_or(greater(x, hi), greater(lo, hi))
    below = logical_and(less(x, lo), less_equal(lo, hi))
    inside = logical_and(greater_equal(x, lo), less_equal(x, hi))
    return where(inside, g, 0), where(below, g, 0), where(above, g, 0)


def _clip_spec(x: Spec, lo: Spec, hi: Spec) -> Spec:
    """np.clip takes a Python number as its first operand for an array."""
    return ufunc_spec(_clip_ufunc)(x.strong(), lo, hi)


clip = replace(elementwise("clip", "x lo hi", _clip_ufunc, _clip_vjp, traits=EXACT), spec=_clip_spec, meaning=np.clip)

# ---- moves


def _cast(x: Any, *, dtype: Any) -> Any:
    """A Python int that does not fit raises, an array's element wraps around: as in NumPy."""
    return (np.array(x, dtype) if type(x) is int else np.asarray(x).astype(dtype))[()]


cast: Op = Op(
    "cast", "elementwise", ("x",), spec=lambda x, *, dtype: Spec(x.shape, check_dtype(np.dtype(dtype))),
    meaning=_cast, vjp=lambda g, y, x, *, dtype: g, axes=broadcast_axes,
    flops=flops_each(0), traits=Trait.ELEMENTWISE | Trait.ROUNDS, overwrites=(0,), order="K",
)
copy = Op(  # in the operand's order of axes, or with order="C" in that
    "copy", "elementwise", ("x",), spec=lambda x, *, order="K": x.strong(), meaning=lambda x, *, order="K": np.array(x, order=order),
    vjp=lambda g, y, x, **attrs: g, axes=broadcast_axes, flops=flops_each(0), traits=Trait.ELEMENTWISE | Trait.ARRAY, overwrites=(0,),
    order="K",
)
