"""A running trace: the graph under construction, its notes, and what came into it from outside.

Operands of every kind become Values here: a traced array by reading its view, a Variable through its data, all else as `outside` takes
it in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import numpy as np

import backends
from ir.errors import NumberRangeError
from ir.graph import Graph, Node, Value
from ir.op import Op, Trait
from ir.planning.select import slot_dtype
from ir.source import Line, user_line
from tracer.arrays.scalar import TracedScalar
from tracer.arrays.storage import Storage
from tracer.arrays.traced import TracedArray
from tracer.operands import stack
from tracer.operands.notes import Notes
from tracer.operands.refusal import refuse
from tracer.operands.stack import Operand, entered
from tracer.tracing.errstate import Errstate
from tracer.tracing.layouts import check_bits, strides_of
from tracer.tracing.numbers import Numbers
from tracer.tracing.outside import Outside

VIEWS = frozenset(["reshape", "transpose", "broadcast_to", "expand_dims", "squeeze", "slice", "real", "imag"])

__all__ = ["Tracing", "called", "current", "entered", "resume"]


class Tracing:
    """One run of a function on traced arrays. `closed` once the run is over: its arrays then refuse every use."""

    def __init__(
        self, fn: Callable[..., Any] | None = None, graph: Graph | None = None, exact: bool | None = False, numbers: bool = True
    ):
        self.exact, self.closed = exact, False
        self.graph = Graph() if graph is None else graph
        self.noted = Notes()
        self.outside = Outside(self, fn, resumed=graph is not None)
        self.numbers = Numbers(self.outside, numbers and fn is not None)  # `numbers`: whether captured ones are inputs
        self.gate: Value | None = None  # a bool without which nothing is updated
        self._errstate = Errstate()  # of the code around the function

    def forget(self) -> None:
        """The run is over: lets go of all that came from outside, without waiting for the garbage collector."""
        self.closed = True
        self.noted.powers.clear()
        self.outside.forget()
        self.numbers.forget()

    # ---- recording
    def record(self, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """Adds a node and wraps what it gives. A view operation on a traced array gives a view instead."""
        if op.name in VIEWS and type(operands[0]) is TracedArray and (op.view_of == 0 or operands[0].dtype.kind == "c"):
            return self.outside.adopt(operands[0]).viewed(op, attrs, [self.value_of(x) for x in operands[1:]])
        now = self._errstate.changed()
        line = replace(user_line() or Line("", 0), errstate=now) if now else None
        out = self.graph.apply(op, [x if type(x) is float else self.value_of(x) for x in operands], attrs, line)
        if type(out) is tuple:
            return tuple([self.wrap(v) for v in out])
        if self.exact:
            check_bits(op, operands, out.spec)
        if op.ufunc is not None:
            for position, x in enumerate(operands):
                if type(x) is int and not -1 < x < 128:
                    _check_number(out.node, position, x)
        return self.wrap(out, strides_of(op, operands, attrs, out.spec), array=op.has(Trait.ARRAY))

    def wrap(self, value: Value, strides: np.ndarray | None = None, *, array: bool = False) -> TracedArray:
        """A traced array on a storage of its own. A 0-d one is a NumPy scalar unless `array`."""
        return TracedArray(Storage(self, value), (), value.spec.strong(), strides, scalar=not value.shape and not array)

    def value_of(self, operand: Any) -> Value:
        """The Value of an operand of any kind."""
        kind = type(operand)
        if kind is TracedArray:
            return self.outside.adopt(operand).value
        if kind is TracedScalar:
            return operand.value if operand.value.graph is self.graph else self.outside.adopt_number(operand)
        if isinstance(operand, np.ndarray):
            return self.outside.lift_array(operand)
        if kind is Value:
            return operand
        if isinstance(operand, Operand):  # before the numbers: one of them says that it is a bool
            return self.value_of(operand.data)  # type: ignore[attr-defined]
        if isinstance(operand, (int, float, complex, np.generic)):
            return self.outside.lift_number(operand)
        if backends.owner(operand) is not None:
            return self.outside.lift_device_array(operand)
        raise refuse(
            f"a {kind.__name__} can't be an operand of a traced operation",
            "give arrays or numbers; of a list of arrays make one with np.stack",
        )

    def adopt(self, array: TracedArray) -> TracedArray:
        """The array as this trace sees it: itself, or a captured input where it belongs to a trace around this one."""
        return self.outside.adopt(array)

    def name_of(self, array: np.ndarray) -> str | None:
        """How the function reaches a plain array by itself; None where it does not."""
        found = self.outside.reach.path_to(array)
        return None if found is None else found.name

    def update(self, state: Value, new: Value) -> None:
        """`new` replaces the content of the state when a run is over."""
        self.graph.updates.append((state, new))


current = cast("Callable[[], Tracing | None]", stack.current)  # all that enter the stack are of this class


def called(fn: Any) -> Any:
    """What is called in place of a function that the user gave: in a running trace a twin that sees its captured numbers as inputs."""
    tracing = current()
    return fn if tracing is None else tracing.numbers.twin(fn)


@contextmanager
def resume(graph: Graph) -> Iterator[Tracing]:
    """Records onto an existing graph: `tracing.wrap(value)` makes traced arrays of its Values. For gradient rules of the user's."""
    around = current()
    with entered(Tracing(graph=graph, exact=around is not None and around.graph is graph and around.exact)) as tracing:
        try:
            yield tracing
        finally:
            tracing.forget()


def _check_number(node: Node, position: int, number: int) -> None:
    """NumberRangeError, as NumPy's OverflowError, where the operation takes this Python integer in a dtype that can't hold it."""
    dtype = slot_dtype(node, position)
    if dtype.kind in "iu" and not np.iinfo(dtype).min <= number <= np.iinfo(dtype).max:
        operands = zip(node.op.names(len(node.operands)), [v.spec for v in node.operands])
        raise NumberRangeError(
            f"Python integer {number} out of bounds for {dtype}", op=node.op.name, operands=operands, line=node.line,
            mend="cast the array to a larger dtype with astype, or use a NumPy number such as np.int64(n)",
        )
