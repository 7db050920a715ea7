"""Specs: the shape and dtype of a value, known before anything runs; broadcasting and promotion over them.

A Python number has a *weak* spec (NEP 50): shape (), the default dtype of its kind, and `weak` = "int", "float" or "complex".
Promotion is always NumPy's own answer: it is asked with stand-ins (`1.0` for a weak float), never written down again here.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ir.errors import DTypeError, ShapeError

WEAK: dict[str, type] = {"int": int, "float": float, "complex": complex}
_KINDS = {"f": "f", "i": "i", "u": "u", "c": "c"}


@dataclass(frozen=True, slots=True)
class Spec:
    """Shape, dtype and weak kind. `str(Spec((3, 5), "float64"))` is `f64[3,5]`; a weak one prints as `float`.

    >>> str(Spec((3, 5), np.float32))
    'f32[3,5]'
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    weak: str | None = None

    def __init__(self, shape: Iterable[int] | int, dtype: Any = np.float64, weak: str | None = None):
        shape = shape if type(shape) is tuple else (shape,) if isinstance(shape, (int, np.integer)) else shape
        _set_shape(self, tuple(map(int, shape)))
        _set_dtype(self, dtype if isinstance(dtype, np.dtype) else np.dtype(dtype))
        _set_weak(self, weak)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        n = 1
        for d in self.shape:
            n *= d
        return n

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def strong(self) -> Spec:
        """Without the weak kind."""
        return self if self.weak is None else Spec(self.shape, self.dtype)

    def with_shape(self, shape: Iterable[int]) -> Spec:
        return Spec(shape, self.dtype)

    def with_dtype(self, dtype: Any) -> Spec:
        return Spec(self.shape, dtype)

    def __str__(self) -> str:
        return self.weak or f"{dtype_name(self.dtype)}[{','.join(map(str, self.shape))}]"

    def __repr__(self) -> str:
        return f"Spec({self})"


_set_shape, _set_dtype, _set_weak = [getattr(Spec, name).__set__ for name in ("shape", "dtype", "weak")]  # a frozen one's own way


def dtype_name(dtype: np.dtype) -> str:
    """`f64`, `i8`, `u32`, `c128`, `bool`; always native byte order.

    >>> dtype_name(np.dtype("float32"))
    'f32'
    """
    return "bool" if dtype.kind == "b" else f"{_KINDS[dtype.kind]}{dtype.itemsize * 8}"


def dtype_named(name: str) -> np.dtype:
    """The inverse of `dtype_name`."""
    return np.dtype(bool) if name == "bool" else np.dtype(f"{name[0]}{int(name[1:]) // 8}")


def check_dtype(dtype: np.dtype) -> np.dtype:
    """The native form of a dtype we take (bool, ints, floats, complex); DTypeError for the others."""
    if dtype.kind not in "biufc":
        raise DTypeError(f"dtype {dtype} is not supported", mend="use bool, integer, float or complex arrays; encode others as integers")
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def spec_of(value: Any) -> Spec:
    """The spec of an array, NumPy scalar or Python number. A Python bool is strong (NEP 50)."""
    kind = type(value)
    if kind is int or kind is float or kind is complex:
        return weak_spec(kind.__name__)
    array = value if isinstance(value, (np.ndarray, np.generic)) else np.asarray(value)
    return Spec(array.shape, check_dtype(array.dtype))


@lru_cache
def weak_spec(kind: str) -> Spec:
    """The spec of a Python int, float or complex."""
    return Spec((), np.dtype(WEAK[kind]), kind)


def broadcast(shapes: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """NumPy's broadcast shape, or ShapeError that says which axis does not fit."""
    shapes = tuple(shapes)
    result: list[int] = []
    for axis in range(1, max(map(len, shapes), default=0) + 1):
        size = 1
        for shape in shapes:
            n = shape[-axis] if axis <= len(shape) else 1
            if n != size and n != 1:
                if size != 1:
                    raise ShapeError(
                        f"shapes {' and '.join(map(str, shapes))} do not broadcast: {size} and {n} differ at axis -{axis}",
                        mend="sizes must be equal or 1, counted from the last axis; np.expand_dims or reshape brings axes in line",
                    )
                size = n
        result.append(size)
    return tuple(reversed(result))


@lru_cache(4096)
def _stand_in(dtype: np.dtype, weak: str | None) -> Any:
    return dtype if weak is None else WEAK[weak](1)


def promote(*specs: Spec) -> np.dtype:
    """The dtype in which NumPy brings these together (`np.result_type`), weak kinds included."""
    return np.result_type(*(_stand_in(s.dtype, s.weak) for s in specs))


@lru_cache(65536)
def ufunc_dtypes(ufunc: np.ufunc, operands: tuple[Spec, ...], dtype: np.dtype | None = None) -> tuple[np.dtype, ...]:
    """The dtypes of the loop that NumPy would run: one for each operand, then one for each output. DTypeError if there is none."""
    asked: tuple[Any, ...] = tuple(WEAK[s.weak] if s.weak else s.dtype for s in operands) + (None,) * ufunc.nout
    signature: dict[str, Any] = {} if dtype is None else {"signature": (None,) * ufunc.nin + (dtype,) * ufunc.nout}
    try:
        if all(s.weak for s in operands):  # NumPy takes a lone Python number as its default dtype
            asked = tuple(s.dtype for s in operands) + (None,) * ufunc.nout
        return ufunc.resolve_dtypes(asked, **signature)
    except TypeError as error:
        kinds = " and ".join(map(str, operands))
        raise DTypeError(f"NumPy's {ufunc.__name__} does not take {kinds}", mend="cast with astype first") from error
