"""What a Variable offers as NumPy's arrays do: operators, methods, conversions. Each is an operation, or asks for the value.

Nothing here changes a Variable: `v += 1` makes another. `==` is identity, so that Variables can be keys; `np.equal` compares.
"""
from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np

from ir.errors import ArgumentError, DTypeError
from ir.op import Op
from ir.ops import TABLE
from ir.source import user_line
from tracer import numpy_api
from tracer.eager.records import Held
from tracer.operands.apply import apply
from tracer.operands.index import parse
from tracer.operands.refusal import refuse

_OPERANDS = (Held, np.ndarray, np.generic, int, float, complex)


def _binary(name: str) -> Callable[[Any, Any], Any]:
    op = TABLE[name]
    return lambda self, other: _apply(op, self, other)


def _reflected(name: str) -> Callable[[Any, Any], Any]:
    op = TABLE[name]
    return lambda self, other: _apply(op, other, self)


def _apply(op: Op, x: Any, y: Any) -> Any:
    try:
        return apply(op, x, y)
    except DTypeError:
        if isinstance(x, _OPERANDS) and isinstance(y, _OPERANDS):
            raise
        return NotImplemented


def _unary(name: str) -> Callable[[Any], Any]:
    op = TABLE[name]
    return lambda self: apply(op, self)


def _method(name: str) -> Callable[..., Any]:
    """The NumPy function of that name with the Variable as its first argument."""
    fn = numpy_api.TABLE[getattr(np, name)]

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return fn(self, *args, **kwargs)

    method.__name__, method.__doc__ = name, f"As `np.{name}`; a Variable."
    return method


class ArrayLike(Held):
    """The public face of a Variable, which has `data`, `shape` and `size`."""

    __slots__ = ()
    __array_priority__ = 2000

    if TYPE_CHECKING:
        data: Any

        @property
        def shape(self) -> tuple[int, ...]: ...
        @property
        def dtype(self) -> np.dtype: ...
        @property
        def size(self) -> int: ...

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return numpy_api.array_ufunc(self, ufunc, method, *inputs, **kwargs)

    def __array_function__(self, func: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return numpy_api.array_function(self, func, types, args, kwargs)

    def __float__(self) -> float:
        return float(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __complex__(self) -> complex:
        return complex(self.data)

    def __index__(self) -> int:
        return operator.index(self.data)

    def __format__(self, spec: str) -> str:
        """One element formats as its number does; `f"{v}"` is `str(v)`."""
        if not spec:
            return str(self)
        if self.size != 1:
            raise TypeError(f"a Variable of shape {self.shape} has no format {spec!r}: format its elements, or str(v)")
        return format(self.data.item() if type(self.data) is np.ndarray else self.data, spec)

    def __round__(self, ndigits: int | None = None) -> Any:
        return round(self.data.item() if type(self.data) is np.ndarray else self.data, ndigits)

    def __contains__(self, item: Any) -> bool:
        return bool((np.asarray(self.data) == (item.data if isinstance(item, Held) else item)).any())  # type: ignore[attr-defined]

    def item(self) -> Any:
        """The one element as a Python number."""
        return self.data.item()

    def tolist(self) -> Any:
        """The elements as Python numbers, in lists."""
        return self.data.tolist()

    # ---- operations
    __add__, __radd__ = _binary("add"), _reflected("add")
    __sub__, __rsub__ = _binary("subtract"), _reflected("subtract")
    __mul__, __rmul__ = _binary("multiply"), _reflected("multiply")
    __truediv__, __rtruediv__ = _binary("divide"), _reflected("divide")
    __floordiv__, __rfloordiv__ = _binary("floor_divide"), _reflected("floor_divide")
    __mod__, __rmod__ = _binary("remainder"), _reflected("remainder")
    __pow__, __rpow__ = _binary("power"), _reflected("power")
    __matmul__, __rmatmul__ = _binary("matmul"), _reflected("matmul")
    __and__, __rand__ = _binary("bitwise_and"), _reflected("bitwise_and")
    __or__, __ror__ = _binary("bitwise_or"), _reflected("bitwise_or")
    __xor__, __rxor__ = _binary("bitwise_xor"), _reflected("bitwise_xor")
    __lshift__, __rlshift__ = _binary("left_shift"), _reflected("left_shift")
    __rshift__, __rrshift__ = _binary("right_shift"), _reflected("right_shift")
    __lt__, __le__, __gt__, __ge__ = _binary("less"), _binary("less_equal"), _binary("greater"), _binary("greater_equal")
    __neg__, __pos__, __abs__, __invert__ = _unary("negative"), _unary("positive"), _unary("abs"), _unary("invert")

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __getitem__(self, key: Any) -> Self:
        parsed = parse(key, self.shape)
        if parsed.mask is not None:
            raise refuse("the length of x[mask] depends on the data", "np.where(mask, x, fill), or np.sum(x, where=mask)")
        found: Any = self
        for name, attrs in parsed.views:
            found = apply(name, found, **attrs)
        return apply("gather", found, *parsed.indices, axes=parsed.axes) if parsed.indices else found

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        name = getattr(self, "name", None) or "v"
        raise ArgumentError(
            "a Variable is not written element by element: its history would not know of it", op="assignment",
            mend=f"write its array: {name}.data[key] = value", line=user_line(),
        )

    def __iter__(self) -> Iterator[Self]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return iter([self[k] for k in range(len(self))])

    def reshape(self, *shape: Any) -> Self:
        """As `ndarray.reshape`: `reshape(2, 3)` or `reshape((2, 3))`."""
        return numpy_api.TABLE[np.reshape](self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Self:
        """As `ndarray.transpose`."""
        return numpy_api.TABLE[np.transpose](self, (axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes) or None)

    @property
    def T(self) -> Self:
        """The axes in reverse order."""
        return self.transpose()

    @property
    def real(self) -> Self:
        """The real part."""
        return numpy_api.TABLE[np.real](self)

    @property
    def imag(self) -> Self:
        """The imaginary part."""
        return numpy_api.TABLE[np.imag](self)

    sum, prod, mean, var, std = _method("sum"), _method("prod"), _method("mean"), _method("var"), _method("std")
    max, min, argmax, argmin = _method("max"), _method("min"), _method("argmax"), _method("argmin")
    all, any, cumsum, clip, round = _method("all"), _method("any"), _method("cumsum"), _method("clip"), _method("round")
    take, argsort, repeat, swapaxes = _method("take"), _method("argsort"), _method("repeat"), _method("swapaxes")
    squeeze, diagonal, trace, copy = _method("squeeze"), _method("diagonal"), _method("trace"), _method("copy")
    ravel = flatten = _method("ravel")
    conj = conjugate = _unary("conj")
    dot = matmul = _method("dot")

    def astype(self, dtype: Any) -> Self:
        """In another dtype; gradients come back in the old one."""
        return apply("cast", self, dtype=np.dtype(dtype))

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and hasattr(np.ndarray, name):
            raise AttributeError(f"a Variable has no attribute {name!r}; its array has: v.data.{name}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
