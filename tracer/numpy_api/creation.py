"""Arrays of a given content: zeros, ones and full, by `*_like` and by `like=`; copies and casts. Each is a fresh array to write into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ir.errors import Error
from ir.ops import TABLE as OPERATIONS
from ir.ops.views import inverse
from ir.planning.orders import result_strides
from ir.spec import Spec, check_dtype
from tracer.numpy_api.common import array, given, in_order, leaves, operand, plain, spec
from tracer.numpy_api.joins import stack
from tracer.numpy_api.shapes import ints
from tracer.operands.apply import apply
from tracer.operands.refusal import bad_dtype, refuse
from tracer.operands.stack import Operand


def astype(x: Any, dtype: Any, *, casting: Any = "unsafe", copy: bool = True, order: Any = "K") -> Any:
    """A cast: a new array, or the same one with copy=False where nothing changes."""
    to = dtype_of(dtype)
    mine = spec(x)
    if not np.can_cast(mine.dtype, to, casting):
        raise bad_dtype(f"cannot cast from {mine.dtype} to {to} by the rule {casting!r}", "casting='unsafe'", op="astype")
    if mine.dtype == to and mine.weak is None:
        if not copy and given(dtype) and not np.dtype(dtype).isnative:
            raise bad_dtype(
                f"whether a view or a copy of dtype {np.dtype(dtype)} comes out depends on x's byte order, which a trace does not keep",
                "x.astype(dtype), a copy, or leave the dtype out", op="astype",
            )  # fmt: skip
        swapped = getattr(getattr(x, "storage", None), "swapped", False)
        return x if not copy and not swapped else copied(x, order)
    made = _kind_of(x, apply("cast", x, dtype=to))
    return made if order == "K" else copied(made, order)


def dtype_of(dtype: Any) -> np.dtype:
    """A dtype as the project takes it, native; DTypeError with the user's line for others."""
    try:
        return check_dtype(np.dtype(dtype))
    except Error as error:
        raise bad_dtype(error.cause, error.mend or "", op="astype") from None
    except TypeError as error:
        raise bad_dtype(str(error), "give a dtype of NumPy, such as np.float64", op="astype") from None


def copied(x: Any, order: Any = "K") -> Any:
    """A copy: later writes into `x` are not seen. `order` as NumPy's: "K", "A", "C" or "F"."""
    return _kind_of(x, in_order(x, order))


def _kind_of(x: Any, result: Any) -> Any:
    """Marks a 0-d result as a NumPy scalar where the operand was one."""
    if hasattr(x, "scalar") and hasattr(result, "scalar") and not result.shape:
        result.scalar = x.scalar
    return result


def _element(number: Any, dtype: np.dtype) -> Any:
    """A number or array in a dtype. OverflowError for a Python int that it can't hold."""
    return (np.array(number, dtype) if type(number) is int else np.asarray(number).astype(dtype))[()]


def _filled(value: Any, shape: Any, dtype: Any, slow_first: tuple[int, ...] | None = None) -> Any:
    """A new array of one content; its axes from the slowest to the fastest, None for C order."""
    fill = operand(value)
    if given(dtype):
        to = dtype_of(dtype)
        fill = apply("cast", fill, dtype=to) if isinstance(fill, Operand) else _element(fill, to)
    elif not isinstance(fill, Operand):
        fill = np.asarray(fill)
    if slow_first is None or slow_first == tuple(range(len(shape))):
        return apply("copy", apply("broadcast_to", fill, shape=shape))
    made = apply("copy", apply("broadcast_to", fill, shape=tuple([shape[k] for k in slow_first])))
    return apply("transpose", made, axes=inverse(slow_first))


def _slow_first(order: Any, ndim: int, x: Any = None) -> tuple[int, ...] | None:
    """The axes of a new array in that order; "K" and "A" ask how `x` lies."""
    lies = x.stand_in() if hasattr(x, "stand_in") else x if isinstance(x, np.ndarray) else None
    if order == "F" or (order == "A" and lies is not None and lies.flags.f_contiguous and not lies.flags.c_contiguous):
        return tuple(reversed(range(ndim)))
    if order != "K" or lies is None or lies.ndim != ndim or lies.flags.c_contiguous:
        return None
    strides = result_strides(OPERATIONS["copy"], {}, [(lies.shape, lies.strides, lies.dtype)], Spec(lies.shape, lies.dtype))
    return tuple(sorted(range(ndim), key=lambda k: (-strides[k], k)))


def _like(value: Any) -> Callable[..., Any]:
    def function(a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None) -> Any:
        return full_like(a, value, dtype, order, subok, shape)

    return function


def full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Any:
    """As `np.full_like`."""
    x = array(a)
    shape = x.shape if shape is None else ints(shape)
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    return _filled(fill_value, shape, dtype if given(dtype) else x.dtype, _slow_first(order, len(shape), x))


def _new(value: Any) -> Callable[..., Any]:
    def function(shape: Any, dtype: Any = float, order: str = "C", *, device: Any = None, like: Any = None) -> Any:
        return full(shape, value, dtype if given(dtype) else float, order)

    return function


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", *, device: Any = None, like: Any = None) -> Any:
    """As `np.full(..., like=x)`."""
    shape = ints(shape)
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    return _filled(fill_value, shape, dtype, _slow_first(order, len(shape)))


def as_array(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, **kwargs: Any) -> Any:
    """As `np.array(a, like=x)`: lists of traced values are stacked."""
    result: Any
    if isinstance(a, Operand):
        result = astype(a, dtype, copy=bool(copy), order=order or "K") if given(dtype) else copied(a, order or "K") if copy else a
        if order in ("C", "F") and not copy and not a.stand_in().flags[f"{order}_CONTIGUOUS"]:  # type: ignore[attr-defined]
            result = copied(result, order)
    elif isinstance(a, (list, tuple)) and any(isinstance(leaf, Operand) for leaf in leaves(a)):
        result = stack([as_array(part) for part in a])
        result = astype(result, dtype) if given(dtype) else result
        if not result.stand_in().flags[f"{'F' if order == 'F' else 'C'}_CONTIGUOUS"]:  # however the parts lie
            result = in_order(result, "F" if order == "F" else "C")
    else:
        result = apply("copy", np.asarray(a if isinstance(a, np.ndarray) else plain(a), dtype))
    return result[...] if getattr(result, "scalar", False) else result  # an array in any case


def _outside(function: Callable[..., Any]) -> Callable[..., Any]:
    """A creation by `like=` whose content is known while tracing: made by NumPy, then a fresh traced array."""

    def made(*args: Any, like: Any = None, **kwargs: Any) -> Any:
        for a in [*args, *kwargs.values()]:
            if isinstance(a, Operand) and type(a).rank > 1:
                raise refuse(
                    f"np.{function.__name__} with a traced argument",
                    "np.arange(n) with a Python int, and a mask or arithmetic",
                    op=function.__name__,
                )
        return apply("copy", function(*args, **kwargs))

    return made


TABLE: dict[Any, Callable[..., Any]] = {
    np.zeros_like: _like(0), np.ones_like: _like(1), np.empty_like: _like(0), np.full_like: full_like, np.zeros: _new(0), np.ones: _new(1),
    np.empty: _new(0), np.full: full, np.array: lambda a, dtype=None, *, copy=True, order="K", **kw: as_array(a, dtype, order, copy=copy),
    np.asarray: as_array, np.asanyarray: as_array,
    np.arange: _outside(np.arange), np.eye: _outside(np.eye), np.identity: _outside(np.identity),
    np.tri: _outside(np.tri), np.copy: lambda a, order="K", subok=False: in_order(array(a), order),
    np.astype: lambda x, dtype, /, *, copy=True, device=None: astype(x, dtype, copy=copy),
}  # fmt: skip
