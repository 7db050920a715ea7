"""The stand-in of a Python bool that NumPy computes from arrays: what `np.allclose` and `np.array_equal` give.

With arrays it is the bool that it stands for. With numbers, and with its like, Python's bools count (`True + True` is 2) where NumPy's do
not, and no operation of the graph gives a Python number from an array: that arithmetic is refused; `&`, `|`, `^` and `==` are not.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from ir.errors import Error
from ir.op import Op
from tracer import numpy_api
from tracer.operands.apply import apply
from tracer.operands.refusal import needs_value, refuse
from tracer.operands.shown import described
from tracer.operands.stack import Operand, current

_LOGIC = {
    "bitwise_and": "logical_and", "bitwise_or": "logical_or", "bitwise_xor": "logical_xor", "equal": "equal", "not_equal": "not_equal",
}  # fmt: skip


def _binary(op: str, reflected: bool = False) -> Callable[[Any, Any], Any]:
    def method(self: TracedTruth, other: Any) -> Any:
        if type(other) is TracedTruth or type(other) is bool:
            if op not in _LOGIC:
                raise self._counts(op)
            return TracedTruth(apply(_LOGIC[op], self.data, np.bool_(other) if type(other) is bool else other.data))
        if isinstance(other, (np.ndarray, np.generic)) or (isinstance(other, Operand) and type(other).rank > 1):
            return apply(op, other, self.data) if reflected else apply(op, self.data, other)
        if isinstance(other, (int, float, complex)):
            raise self._counts(op)
        return NotImplemented

    return method


def _unary(op: str) -> Callable[[Any], NoReturn]:
    def method(self: TracedTruth) -> NoReturn:
        raise self._counts(op)

    return method


def _no_value(what: str, mend: str) -> Callable[..., NoReturn]:
    def method(self: TracedTruth, *args: Any) -> NoReturn:
        raise needs_value(what, mend, x=self.data.spec)

    return method


class TracedTruth(Operand):
    """`data` is the traced array that holds the bool."""

    __slots__ = ("data",)
    rank = 1
    __array_priority__ = 900
    shape: tuple[int, ...] = ()
    ndim, size, dtype = 0, 1, np.dtype(bool)

    def __init__(self, data: Any):
        self.data = data

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return bool

    @property
    def value(self) -> Any:
        return self.data.value

    @classmethod
    def record(cls, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        operands = tuple([x.data if type(x) is TracedTruth else x for x in operands])
        tracing = current()
        return tracing.record(op, operands, attrs) if tracing is not None else apply(op, *operands, **attrs)

    @staticmethod
    def _counts(op: str) -> Error:
        return refuse(
            f"{op} of a Python bool that NumPy gives (np.allclose, np.array_equal) with numbers: it would count as 0 or 1",
            "np.all(np.isclose(a, b)), or np.all(a == b), is a NumPy bool; np.where(c, 1, 0) is a number", op=op,
        )

    __add__, __radd__ = _binary("add"), _binary("add", True)
    __sub__, __rsub__ = _binary("subtract"), _binary("subtract", True)
    __mul__, __rmul__ = _binary("multiply"), _binary("multiply", True)
    __truediv__, __rtruediv__ = _binary("divide"), _binary("divide", True)
    __floordiv__, __rfloordiv__ = _binary("floor_divide"), _binary("floor_divide", True)
    __mod__, __rmod__ = _binary("remainder"), _binary("remainder", True)
    __pow__, __rpow__ = _binary("power"), _binary("power", True)
    __and__, __rand__ = _binary("bitwise_and"), _binary("bitwise_and", True)
    __or__, __ror__ = _binary("bitwise_or"), _binary("bitwise_or", True)
    __xor__, __rxor__ = _binary("bitwise_xor"), _binary("bitwise_xor", True)
    __eq__, __ne__ = _binary("equal"), _binary("not_equal")
    __lt__, __le__, __gt__, __ge__ = _binary("less"), _binary("less_equal"), _binary("greater"), _binary("greater_equal")
    __neg__, __pos__, __abs__, __invert__ = _unary("negative"), _unary("positive"), _unary("abs"), _unary("invert")

    __bool__ = _no_value("a branch (if, while, and, or, not)", "np.where(c, a, b), or &, |")
    __int__ = _no_value("int()", "np.where(c, 1, 0), or return it")
    __float__ = _no_value("float()", "np.where(c, 1.0, 0.0), or return it")
    __index__ = _no_value("an index", "np.where(c, a, b)")
    __hash__ = _no_value("hash()", "return it to know its value")

    def __repr__(self) -> str:
        return described("<traced bool>", self.data.spec)

    def __format__(self, spec: str) -> str:
        return repr(self)

    def pin(self, what: str) -> NoReturn:
        """Refused: it has no value while tracing."""
        raise needs_value(what, "return it to know its value", x=self.data.spec)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        self.pin("turning it into a plain array")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return numpy_api.array_ufunc(self.data, ufunc, method, *_data(inputs), **kwargs)

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        return numpy_api.array_function(self.data, func, types, _data(args), {k: _data(x) for k, x in kwargs.items()})


def _data(x: Any) -> Any:
    """The arrays in place of stand-ins, in lists and tuples too."""
    if type(x) is TracedTruth:
        return x.data
    return type(x)([_data(part) for part in x]) if type(x) in (list, tuple) else x
