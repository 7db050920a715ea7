"""The stand-in of a Python number among the arguments: a weak input while it only meets arrays and other numbers.

Arithmetic between numbers is Python's, recorded as `python` operations and done at once on the values at hand. Where Python itself
needs the value (a branch, an index, `math.sqrt`, text), it gets it, and the inputs that it came from are pinned: the trace then holds
for these values alone. A number given as a weak Spec has no value: there Python's asking is an error.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ir.errors import Error
from ir.graph import INPUT, Value
from ir.op import Op
from ir.ops import TABLE
from ir.spec import WEAK
from tracer import numpy_api
from tracer.numpy_api.exact import are_complex_scalars, is_power_of_scalars, scalar_power, scalar_product
from tracer.operands import stack
from tracer.operands.apply import apply
from tracer.operands.refusal import needs_value, refuse
from tracer.operands.stack import Operand, current

_MEND = "pass the number itself in place of a Spec where Python must know it"
_ARRAY_OP = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide", "mod": "remainder", "pow": "power",
    "lshift": "left_shift", "rshift": "right_shift", "and_": "bitwise_and", "or_": "bitwise_or", "xor": "bitwise_xor",
    "neg": "negative", "pos": "positive", "abs": "abs", "invert": "invert",
}  # fmt: skip


def _binary(fn: str, reflected: bool = False) -> Callable[[Any, Any], Any]:
    def method(self: TracedScalar, other: Any) -> Any:
        left, right = (other, self) if reflected else (self, other)
        if isinstance(other, (int, float, complex)) and not isinstance(other, np.generic):
            return _numbers(fn, left, right)
        if fn == "mul" and are_complex_scalars(left, right):
            return scalar_product(left, right)
        if fn == "pow" and is_power_of_scalars(left, right):
            return scalar_power(left, right)
        return apply(_ARRAY_OP[fn], left, right) if isinstance(other, (np.ndarray, np.generic, Operand)) else NotImplemented

    return method


def _unary(fn: str) -> Callable[[Any], Any]:
    return lambda self: _numbers(fn, self)


def _concrete(name: str) -> Callable[..., Any]:
    def method(self: TracedScalar, *args: Any) -> Any:
        args = tuple([a.pin(name) if type(a) is TracedScalar else a for a in args])
        return getattr(self.pin(name), name)(*args)

    return method


class TracedScalar(Operand):
    """A number while tracing: `value` its weak IR Value, `concrete` the Python number at hand (None for one given as a Spec).

    `differentiated`: a gradient by it is being taken, so `float()` of it is refused, since the gradient would be lost. `known`: Python
    has asked for the value, so it stays this number for whoever still has it when the trace is over.
    """

    __slots__ = ("value", "concrete", "differentiated", "known", "_enter")
    _enter: Callable[[], Value]
    rank = 1
    __array_priority__ = 900

    def __init__(self, value: Value, concrete: Any, differentiated: bool = False):
        self.value, self.concrete, self.differentiated = value, concrete, differentiated
        self.known = False

    @classmethod
    def later(cls, concrete: Any, enter: Callable[[], Value]) -> TracedScalar:
        """A number whose `value` is made by `enter` when first asked for."""
        self = cls.__new__(cls)
        self.concrete, self.differentiated, self.known, self._enter = concrete, False, False, enter
        return self

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return WEAK[self.value.spec.weak or "float"] if self.concrete is None else type(self.concrete)

    @classmethod
    def record(cls, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        tracing = current()
        if tracing is None:
            raise next(x for x in operands if type(x) is TracedScalar).leaked()
        return tracing.record(op, operands, attrs)

    def leaked(self) -> Error:
        """The refusal of a number whose trace is over."""
        line = self.value.node.line
        came = f"; it came from {line.place()}   {line.code}" if line else ""
        return refuse(f"a traced number is used after its trace has ended{came}", "return the number from the traced function")

    def pin(self, what: str) -> Any:
        """The Python number; from now on the trace holds for this value alone."""
        if self.concrete is None:
            raise needs_value(what, _MEND, number=self.value.spec)
        tracing = next((t for t in stack.running() if t.graph is self.value.graph), None)
        if tracing is not None:
            tracing.noted.pin(_sources(self.value), what)
            self.known = True
        elif not self.known:
            raise self.leaked()
        return self.concrete

    def convert(self, what: str) -> Any:
        """As `pin`, for what takes the number away from the graph: refused where a gradient would be lost."""
        if self.differentiated:
            raise refuse(
                f"{what} of a number by which a gradient is taken: the gradient would be lost",
                "np.sqrt(x) and its kin in place of math's, or pass it undifferentiated",
            )
        return self.pin(what)

    shape: tuple[int, ...] = ()
    ndim, size = 0, 1

    @property
    def dtype(self) -> np.dtype:
        return self.value.dtype

    __add__, __radd__ = _binary("add"), _binary("add", True)
    __sub__, __rsub__ = _binary("sub"), _binary("sub", True)
    __mul__, __rmul__ = _binary("mul"), _binary("mul", True)
    __truediv__, __rtruediv__ = _binary("truediv"), _binary("truediv", True)
    __floordiv__, __rfloordiv__ = _binary("floordiv"), _binary("floordiv", True)
    __mod__, __rmod__ = _binary("mod"), _binary("mod", True)
    __pow__, __rpow__ = _binary("pow"), _binary("pow", True)
    __lshift__, __rlshift__ = _binary("lshift"), _binary("lshift", True)
    __rshift__, __rrshift__ = _binary("rshift"), _binary("rshift", True)
    __and__, __rand__ = _binary("and_"), _binary("and_", True)
    __or__, __ror__ = _binary("or_"), _binary("or_", True)
    __xor__, __rxor__ = _binary("xor"), _binary("xor", True)
    __neg__, __pos__, __abs__, __invert__ = _unary("neg"), _unary("pos"), _unary("abs"), _unary("invert")

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def _compare(self, fn: str, other: Any) -> Any:
        if isinstance(other, (np.ndarray, np.generic, Operand)) and type(other) is not TracedScalar:
            name = {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}[fn]
            return apply(name, self, other)
        return getattr(operator, fn)(self.pin("a comparison"), other.pin("a comparison") if type(other) is TracedScalar else other)

    def __eq__(self, other: object) -> Any:
        return self._compare("eq", other)

    def __ne__(self, other: object) -> Any:
        return self._compare("ne", other)

    def __lt__(self, other: Any) -> Any:
        return self._compare("lt", other)

    def __le__(self, other: Any) -> Any:
        return self._compare("le", other)

    def __gt__(self, other: Any) -> Any:
        return self._compare("gt", other)

    def __ge__(self, other: Any) -> Any:
        return self._compare("ge", other)

    def __bool__(self) -> bool:
        return bool(self.pin("a branch"))

    def __float__(self) -> float:
        return float(self.convert("float()"))

    def __int__(self) -> int:
        return int(self.convert("int()"))

    def __complex__(self) -> complex:
        return complex(self.convert("complex()"))

    def __index__(self) -> int:
        return operator.index(self.pin("an index"))

    def __hash__(self) -> int:
        return hash(self.pin("hash()"))

    def __format__(self, spec: str) -> str:
        return format(self.pin("a format"), spec)

    def __str__(self) -> str:
        return str(self.pin("str()"))

    def __repr__(self) -> str:
        if self.concrete is not None and any(t.graph is self.value.graph for t in stack.running()):
            return repr(self.pin("repr()"))
        return f"<traced {self.value.spec}>"

    __round__, __trunc__, __floor__, __ceil__ = (
        _concrete("__round__"),
        _concrete("__trunc__"),
        _concrete("__floor__"),
        _concrete("__ceil__"),
    )

    def __getattr__(self, name: str) -> Any:
        if name == "value":
            self.value = self._enter()
            return self.value
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.pin(f".{name}"), name)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return numpy_api.array_ufunc(self, ufunc, method, *inputs, **kwargs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.convert("np.array()"), dtype)

    def __array_function__(self, func: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if set(types) == {TracedScalar} and (func not in numpy_api.TABLE or func is np.copyto):  # NumPy needs the numbers, and has them
            name = func.__name__
            return func(*[_pinned(x, name) for x in args], **{k: _pinned(x, name) for k, x in kwargs.items()})
        return numpy_api.array_function(self, func, types, args, kwargs)


def _pinned(x: Any, what: str) -> Any:
    """An argument of a function that needs the numbers themselves, in lists and tuples too."""
    if type(x) is TracedScalar:
        return x.convert(what)
    return type(x)([_pinned(part, what) for part in x]) if type(x) in (list, tuple) else x


def _numbers(fn: str, *numbers: Any) -> Any:
    """Arithmetic among Python numbers: a traced number, or the plain one where its kind hangs on the values."""
    traced = [x for x in numbers if type(x) is TracedScalar]
    tracing = stack.current()
    if tracing is None:
        raise traced[0].leaked()
    plain = [x.concrete if type(x) is TracedScalar else x for x in numbers]
    found = None if any(x is None for x in plain) else getattr(operator, fn)(*plain)
    if all(x.known and not x.differentiated for x in traced):
        return found  # the trace holds for these numbers alone, and a cache of the user's may keep what comes out
    value = tracing.graph.apply(TABLE["python"], [tracing.value_of(int(x) if isinstance(x, bool) else x) for x in numbers], {"fn": fn})
    if found is not None and type(found).__name__ != value.spec.weak:
        for x in traced:
            x.convert(f"the kind of {fn}")
        return found
    if fn == "pow":
        tracing.noted.powers.append(value)
    return TracedScalar(value, found, any(x.differentiated for x in traced))


def _sources(value: Value) -> frozenset[int]:
    """The positions of the graph inputs that a number was computed from."""
    found, seen, queue = set(), {value.node}, [value.node]
    while queue:
        node = queue.pop()
        if node.op is INPUT:
            found.add(node.graph.inputs.index(node.outputs[0]))
        new = [v.node for v in node.operands if v.node not in seen]
        seen.update(new)
        queue += new
    return frozenset(found)
