"""NumPy's ufuncs: the call with `out=`, `where=`, `dtype=`, `casting=`, and the methods reduce, accumulate, outer and at."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ir.ops.ufunc_at import UFUNCS
from ir.spec import broadcast, ufunc_dtypes
from tracer.numpy_api import reductions, refused, shapes
from tracer.numpy_api.common import array, cast, given, in_order, is_traced, operand, plain_target, rounds_apart, settled, spec, store
from tracer.numpy_api.exact import are_complex_scalars, check_in_place
from tracer.operands.apply import apply
from tracer.operands.refusal import bad_shape, refuse

# a ufunc and the operation that it is
NAMES: dict[np.ufunc, str] = {
    getattr(np, name): name
    for name in [
        "add",
        "subtract",
        "multiply",
        "divide",
        "floor_divide",
        "remainder",
        "fmod",
        "power",
        "negative",
        "positive",
        "sign",
        "square",
        "sqrt",
        "cbrt",
        "reciprocal",
        "exp",
        "exp2",
        "expm1",
        "log",
        "log2",
        "log10",
        "log1p",
        "sin",
        "cos",
        "tan",
        "arcsin",
        "arccos",
        "arctan",
        "arctan2",
        "sinh",
        "cosh",
        "tanh",
        "arcsinh",
        "arccosh",
        "arctanh",
        "hypot",
        "logaddexp",
        "logaddexp2",
        "maximum",
        "minimum",
        "fmax",
        "fmin",
        "equal",
        "not_equal",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "logical_and",
        "logical_or",
        "logical_xor",
        "logical_not",
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "invert",
        "left_shift",
        "right_shift",
        "floor",
        "ceil",
        "rint",
        "trunc",
        "isnan",
        "isinf",
        "isfinite",
        "signbit",
        "copysign",
        "conj",
        "matmul",
    ]
} | {np.absolute: "abs"}


# ---- compositions
def _fabs(x: Any) -> Any:
    return apply("abs", _floating(x))


def _floating(x: Any) -> Any:
    """Integers and bools in the float dtype that NumPy's mathematical functions take for them."""
    dtype = ufunc_dtypes(np.sqrt, (spec(x),))[0]
    return cast(x, dtype)


def _scaled(factor: float) -> Callable[[Any], Any]:
    def scaled(x: Any) -> Any:
        x = _floating(x)
        if x.dtype != np.float16:
            return apply("multiply", x, factor)
        return cast(apply("multiply", cast(x, np.float32), factor), np.float16)  # as NumPy's loop

    return scaled


def _divmod(x: Any, y: Any) -> Any:
    return apply("floor_divide", x, y), apply("remainder", x, y)


def _modf(x: Any) -> Any:
    x = _floating(x)
    turn = apply("copysign", 1.0, x)  # a zero has the sign of x, and the slope 1 all the same
    finite = apply("where", apply("isinf", x), 0.0, apply("multiply", x, turn))  # infinity less infinity would warn
    return apply("multiply", finite - apply("trunc", finite), turn), apply("trunc", x)


def _heaviside(x: Any, at_zero: Any) -> Any:
    dtype = ufunc_dtypes(np.heaviside, (spec(x), spec(at_zero)))[0]
    x, at_zero = cast(x, dtype), cast(at_zero, dtype)
    step = apply("where", apply("less", x, 0), np.zeros((), dtype), np.ones((), dtype))
    return apply("where", apply("equal", x, 0), at_zero, apply("where", apply("isnan", x), x, step))


def _float_power(x: Any, p: Any) -> Any:
    x, p = array(x), array(p)
    dtype = ufunc_dtypes(np.float_power, (spec(x), spec(p)))[0]
    return apply("power", cast(x, dtype), cast(p, dtype))


def _conjugate(x: Any) -> Any:
    """What a product takes of its first factor; np.conj itself turns a bool into an int8."""
    return apply("conj", x) if x.dtype.kind == "c" else x


def _vecdot(x: Any, y: Any, axis: int = -1) -> Any:
    x, y = shapes.moveaxis(array(x), axis, -1), shapes.moveaxis(array(y), axis, -1)
    row, column = apply("expand_dims", _conjugate(x), axis=(x.ndim - 1,)), apply("expand_dims", y, axis=(y.ndim,))
    product = apply("matmul", row, column)
    return settled(shapes.squeeze(product, (-2, -1)))


def _matvec(x: Any, v: Any) -> Any:
    _matrix(x, "matvec")
    column = apply("expand_dims", v, axis=(array(v).ndim,))
    return settled(shapes.squeeze(apply("matmul", x, column), -1))


def _vecmat(v: Any, x: Any) -> Any:
    _matrix(x, "vecmat")
    row = apply("expand_dims", _conjugate(array(v)), axis=(array(v).ndim - 1,))
    return settled(shapes.squeeze(apply("matmul", row, x), -2))


def _matrix(x: Any, name: str) -> None:
    if array(x).ndim < 2:
        raise bad_shape(f"the matrix has shape {array(x).shape}", "a matrix has two axes or more", op=name)


COMPOSED: dict[np.ufunc, Callable[..., Any]] = {
    np.fabs: _fabs, np.divmod: _divmod, np.modf: _modf,
    np.deg2rad: _scaled(math.pi / 180), np.radians: _scaled(math.pi / 180), np.rad2deg: _scaled(180 / math.pi),
    np.degrees: _scaled(180 / math.pi), np.heaviside: _heaviside, np.float_power: _float_power,
    np.vecdot: _vecdot, np.matvec: _matvec, np.vecmat: _vecmat,
}  # fmt: skip


# those whose composition is rounded in another way than NumPy's loop
ROUND_APART = frozenset([np.vecdot, np.matvec, np.vecmat])


# ---- the call
def call(
    ufunc: np.ufunc, *inputs: Any, out: Any = None, where: Any = True, dtype: Any = None, casting: Any = "same_kind", **rest: Any
) -> Any:
    """`ufunc(*inputs, ...)` on operands of which at least one (or `out`) is traced."""
    order = rest.pop("order", "K")
    rest = {k: v for k, v in rest.items() if k != "subok" and given(v)}
    if rest and not (ufunc is np.vecdot and set(rest) == {"axis"}):
        raise refuse(f"{next(iter(rest))}= is not traced", "leave it out; cast with astype, move axes with np.moveaxis", op=ufunc.__name__)
    operands = [operand(x) for x in inputs]
    check_in_place(ufunc, operands, out)
    if given(dtype):
        loop = ufunc_dtypes(ufunc, tuple([spec(x) for x in operands]), np.dtype(dtype))
        operands = [_loop_cast(x, to, casting, ufunc) for x, to in zip(operands, loop)]
    result = _apply(ufunc, operands, rest)
    if where is not True:
        result = _masked(ufunc, where, result, out)
    if ufunc.nout == 1:
        return store(out, result if order == "K" or result.ndim < 2 else in_order(result, order), ufunc.__name__, casting)
    targets = out if type(out) is tuple else (None,) * ufunc.nout
    return tuple([store(t, r, ufunc.__name__, casting) for t, r in zip(targets, result)])


def _apply(ufunc: np.ufunc, operands: list[Any], rest: dict[str, Any]) -> Any:
    name = NAMES.get(ufunc)
    if name is not None:
        if ufunc is np.square and are_complex_scalars(*operands):
            rounds_apart("np.square of a complex NumPy scalar", "x * x")
        return apply(name, *operands)
    composed = COMPOSED.get(ufunc)
    if composed is not None:
        if ufunc in ROUND_APART or (ufunc is np.float_power and spec(operands[1]).shape == ()):
            rounds_apart(f"np.{ufunc.__name__}", "compute it outside and pass it in, or compile without exact=True")
        return composed(*operands, **rest)
    if getattr(np, ufunc.__name__, None) is ufunc:
        raise refuse(f"np.{ufunc.__name__} is not traced", refused.MENDS.get(ufunc.__name__, refused.ANY), op=ufunc.__name__)
    raise refuse(f"the ufunc {ufunc.__name__} is not NumPy's", refused.ANY, op=ufunc.__name__)


def _loop_cast(x: Any, dtype: np.dtype, casting: Any, ufunc: np.ufunc) -> Any:
    mine = spec(x)
    if not mine.weak and not np.can_cast(mine.dtype, dtype, casting):
        raise refuse(
            f"an operand {mine} is not cast to {dtype} with casting rule {casting!r}", "cast it with astype first", op=ufunc.__name__
        )
    return x if mine.weak is None and mine.dtype == dtype else apply("cast", x, dtype=dtype)


def _masked(ufunc: np.ufunc, where: Any, result: Any, out: Any) -> Any:
    target = out[0] if type(out) is tuple else out
    if target is None or ufunc.nout > 1:
        raise refuse("where= without out= leaves places unset", "np.where(mask, f(x), fill), or give out=", op=ufunc.__name__)
    return apply("where", operand(where), cast(result, target.dtype), target) if is_traced(target) else result


# ---- the methods
_REDUCE = {
    np.add: reductions.sum, np.multiply: reductions.prod, np.maximum: reductions.max, np.minimum: reductions.min,
    np.logical_and: reductions.all, np.logical_or: reductions.any,
}  # fmt: skip


def reduce(ufunc: np.ufunc, x: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False, **rest: Any) -> Any:
    """`ufunc.reduce(x)`, along axis 0 by default."""
    if ufunc not in _REDUCE:
        mend = "np.sum, np.prod, np.max, np.min, np.all, np.any; others over slices in a loop"
        raise refuse(f"np.{ufunc.__name__}.reduce is not traced", refused.METHODS.get((ufunc, "reduce"), mend), op=ufunc.__name__)
    if given(dtype):
        rest["dtype"] = dtype
    target = out[0] if type(out) is tuple else out
    return _REDUCE[ufunc](
        array(x), axis=axis, out=target, keepdims=keepdims, **{k: v for k, v in rest.items() if given(v) and v is not True}
    )


def accumulate(ufunc: np.ufunc, x: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
    """`ufunc.accumulate(x)`."""
    if ufunc not in (np.add, np.multiply):
        mend = refused.METHODS.get((ufunc, "accumulate"), "np.cumsum for sums, np.cumprod for products, a loop over slices for others")
        raise refuse(f"np.{ufunc.__name__}.accumulate is not traced", mend, op=ufunc.__name__)
    cumulate = reductions.cumsum if ufunc is np.add else reductions.cumprod
    return cumulate(x, axis, dtype, out[0] if type(out) is tuple else out)


def outer(ufunc: np.ufunc, x: Any, y: Any, **kwargs: Any) -> Any:
    """`ufunc.outer(x, y)`: every element of x with every one of y."""
    x, y = array(x), array(y)
    return call(ufunc, apply("reshape", x, shape=(*x.shape, *(1,) * y.ndim)), y, **kwargs)


def at(ufunc: np.ufunc, x: Any, indices: Any, value: Any = None) -> None:
    """`ufunc.at(x, indices, value)`: unbuffered, so that repeated indices add up. Writes into x."""
    if not is_traced(x):
        raise plain_target(x, f"{ufunc.__name__}.at")
    if ufunc is not np.add and ufunc.__name__ not in UFUNCS:
        name = f"np.{ufunc.__name__}"
        raise refuse(f"{name}.at is not traced", f"x[i] = {name}(x[i]) where no index stands twice", op=f"{ufunc.__name__}.at")
    x.at(ufunc, indices, operand(value))


def shape_of(*operands: Any) -> tuple[int, ...]:
    """The broadcast shape of operands."""
    return broadcast([spec(x).shape for x in operands])
