"""Variables: arrays that remember how they were made and, after `backward()`, their gradients.

Outside a trace a Variable's operations are recorded and computed together when a value is looked at (`lazy.py`); nobody can tell the
difference. Inside a trace a Variable holds a traced array and its operations go into the graph.
Invariant: `.data` is always what define-by-run would have given.
"""
from __future__ import annotations

from typing import Any

import numpy as np

import backends
from ir.errors import DTypeError
from ir.op import Op
from ir.source import user_line
from tracer.arrays.traced import TracedArray
from tracer.config import Config
from tracer.eager.eager_backward import backward, unchain, unchain_backward
from tracer.eager.lazy import record
from tracer.eager.pending import flush
from tracer.eager.records import PENDING, TAPE, Application, is_on_device
from tracer.eager.traced_history import HISTORY, traced_backward
from tracer.eager.variable_surface import ArrayLike
from tracer.operands.refusal import refuse
from tracer.tracing.context import current


class Variable(ArrayLike):
    """`data` (an array, not copied, or None), `grad` (a Variable or None) and `name`.

    >>> x = Variable(np.array(3.0))
    >>> y = x * x + 1
    >>> y.backward()
    >>> y, x.grad
    (variable(10.0), variable(6.0))

    Raises TypeError for data that is no array: `as_variable` takes numbers.
    """

    __slots__ = ("__dict__",)

    def __init__(self, data: Any, name: str | None = None):
        self.name, self.grad, self._out, self._read = name, None, None, 0
        self._value = _checked(data)
        if type(data) is TracedArray:
            HISTORY.leaf(self, data)
        elif (tracing := current()) is not None:
            tracing.outside.made[id(self)] = self

    @classmethod
    def record(cls, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """An operation with a Variable among its operands: into the running trace, or onto the list of what is pending."""
        tracing = current()
        if tracing is None:
            return record(Variable, op, operands, attrs)
        found = tracing.record(op, tuple([x.data if isinstance(x, Variable) else x for x in operands]), attrs)
        return tuple([wrapped(x) for x in found]) if type(found) is tuple else wrapped(found)

    # ---- the value
    @property
    def data(self) -> Any:
        """The array, computed now if it was pending. Inside a trace the traced array."""
        value = self._value
        tracing = current()
        if tracing is not None:
            if value is None or type(value) is TracedArray:
                return value
            if tracing.outside.is_own(self):
                HISTORY.rebind(self, value)
                return self._value
            return tracing.outside.lift(self)
        if value is PENDING:
            flush(self)
            return self._value
        if self._read > TAPE.done:
            flush()
        return value

    @data.setter
    def data(self, new: Any) -> None:
        value = self._value
        if new is value and type(value) is not TracedArray:
            return
        if current() is not None:
            HISTORY.rebind(self, new)
            return
        if new is None and value is PENDING:
            self._value = None  # whoever reads it by its place in the history still can
            return
        if value is PENDING or self._read > TAPE.done:
            flush()
        new = self._value = _checked(np.asarray(new) if isinstance(new, (np.generic, int, float, complex)) else new)
        out = self._out
        if out is None or new is None:
            return
        if new.shape == out.spec.shape and new.dtype == out.spec.dtype:
            out.value = new if out.value is not None else None
        else:
            self._out = None

    def settled(self) -> Any:
        """`data` for a caller who knows that no trace is running."""
        value = self._value
        return self.data if value is PENDING or self._read > TAPE.done else value

    def memory(self) -> np.ndarray | None:
        """The array that holds its value now, of a device's array where it lies; None where it is pending, traced or absent. Asking
        computes nothing.
        """
        value = self._value
        return backends.memory_of(value) if type(value) is not TracedArray else None

    @property
    def absent(self) -> bool:
        """Whether there is no data: an optional operand that was not given. Asking computes nothing."""
        return self._value is None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if current() is not None:
            return self.data.__array__(dtype, copy=copy)
        return np.array(self.data, dtype=dtype, copy=copy)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles have data, name, gradient and own attributes; no history."""
        return type(self), (self.data, self.name), {**vars(self), "grad": self.grad}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def to_cpu(self) -> None:
        """Moves the data to the host, once it is computed; nothing where it is there."""
        data = self.data
        if type(data) is not TracedArray and backends.owner(data) is not None:
            self.data = backends.to_host(data)

    def to_gpu(self) -> None:
        """Moves the data to the GPU; nothing where it is there, and in a trace. BackendUnavailable where there is no GPU."""
        data = self.data
        if data is not None and type(data) is not TracedArray and backends.owner(data) is None:
            (self.data,) = backends.device().arrays.states([data])

    # ---- what is known without a value
    def _described(self) -> Any:
        """What has its shape and dtype: its spec while it is pending, else its array."""
        out, value = self._out, self._value  # in this order: another thread may compute it in between
        return out.spec if value is PENDING else value  # type: ignore[union-attr]

    @property
    def shape(self) -> tuple[int, ...]:
        return self._described().shape

    @property
    def dtype(self) -> np.dtype:
        return self._described().dtype

    @property
    def ndim(self) -> int:
        return len(self._described().shape)

    @property
    def size(self) -> int:
        return self._described().size

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __repr__(self) -> str:
        if self._value is None:
            return "variable(None)"
        return "variable(" + str(self.data).replace("\n", "\n" + " " * 9) + ")"

    # ---- gradients
    @property
    def creator(self) -> Application | None:
        """The record that gave it, as far as gradients go back; None for a Variable without history."""
        out = self._out
        return None if out is None or out.cut else out.record

    def cleargrad(self) -> None:
        """Forgets the gradient: the next `backward()` starts anew."""
        self.grad = None

    def backward(self, retain_grad: bool = False, create_graph: bool = False) -> None:
        """Adds the gradients of this Variable (of the sum of its elements) to the `grad` of what it was made from.

        The starting gradient is `grad` where it is set, else ones. Variables in between get theirs with `retain_grad` only. With
        `create_graph` the gradients have a history and can be differentiated again. Raises GradientError where an operation without
        gradient is in the way.
        """
        tracing = current()
        if tracing is not None:
            traced_backward(Variable, self, tracing, retain_grad, create_graph)
            return
        backward(Variable, self, retain_grad, create_graph)

    def unchain(self) -> None:
        """Cuts the history here: gradients end at this Variable."""
        if current() is not None:
            HISTORY.stop(self)
        else:
            unchain(self)

    def unchain_backward(self) -> None:
        """Cuts the history behind this Variable's own operation: what it was made from is a beginning from now on."""
        if current() is not None:
            raise refuse("unchain_backward() inside a traced function", "call unchain() on what is carried on, or keep the loop outside")
        unchain_backward(self)


class Parameter(Variable):
    """A Variable to be trained."""


def _checked(data: Any) -> Any:
    """`data`, if a Variable may hold it."""
    if data is None or type(data) is np.ndarray or type(data) is TracedArray:
        return data
    if isinstance(data, np.memmap):
        return data
    if is_on_device(data):
        return data
    if isinstance(data, np.ndarray):
        raise DTypeError(f"{type(data)} is not supported", mend="make a plain array of it with np.asarray", line=user_line())
    raise DTypeError(f"{type(data)} is not supported", mend="give an array, np.array(...), or use as_variable", line=user_line())


def wrapped(array: Any) -> Variable:
    """The Variable of what an operation gave inside a trace; without `Config.enable_backprop` no gradient passes it."""
    held = Variable.__new__(Variable)
    if array.scalar:  # a Variable holds arrays
        array = array.tracing.wrap(array.value, array=True)
    held.name, held.grad, held._out, held._read, held._value = None, None, None, 0, array
    HISTORY.result(held, Config.enable_backprop)
    return held


def as_variable(x: Any) -> Variable:
    """`x` if it is a Variable, else a Variable of it; numbers become 0-d arrays.

    >>> as_variable(2.0)
    variable(2.0)
    """
    if isinstance(x, Variable):
        return x
    array, tracing = as_array(x), current()
    if tracing is not None and isinstance(array, np.ndarray) and type(array) is not TracedArray:
        array = tracing.wrap(tracing.value_of(array), array=True)  # as it is now: what is written into it later is not seen
    return Variable(array)


def as_array(x: Any, array_module: Any = np) -> Any:
    """A number as a 0-d array; arrays as they are.

    >>> as_array(2.0)
    array(2.)
    """
    return x if type(x) is TracedArray or not np.isscalar(x) else array_module.array(x)
