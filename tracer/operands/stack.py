"""The stack of running traces, one for each thread, and the protocols: what records operations, and what of a trace records them.

This is the lowest file of the tracer: it knows neither arrays nor how a trace works, so everything above may import it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from ir.graph import Graph, Value
from ir.op import Op
from tracer.operands.notes import Notes

R = TypeVar("R", bound="Recorder")


class Operand:
    """What can be an operand besides plain arrays and numbers. Of several, the one with the highest `rank` records.

    TracedScalar has rank 1, TracedArray 2, Variable 3, a selection by a mask 4, a gradient that no trace has 5: an operation on a
    Variable and a traced array gives a Variable.
    A subclass gives `record(op, operands, attrs)`, which returns what the operation gives (a tuple where it gives several).
    """

    __slots__ = ()
    rank: ClassVar[int] = 0

    @classmethod
    def record(cls, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        raise TypeError(f"{cls.__name__} does not record operations")

    def memory(self) -> np.ndarray | None:
        """The plain array that holds its value now, if there is one. Asking computes nothing."""
        return None


class Recorder(Protocol):
    """A running trace as stand-ins see it: its graph, its notes, and how operands of every kind become Values and traced arrays.

    `exact`: whether every bit counts. `closed` once the run is over: its arrays then refuse every use.
    """

    graph: Graph
    noted: Notes
    exact: bool | None
    closed: bool

    def record(self, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """Adds a node and wraps what it gives. A view operation on a traced array gives a view instead."""

    def wrap(self, value: Value, strides: np.ndarray | None = None, *, array: bool = False) -> Any:
        """A traced array on a storage of its own. A 0-d one is a NumPy scalar unless `array`."""

    def value_of(self, operand: Any) -> Value:
        """The Value of an operand of any kind."""

    def adopt(self, array: Any) -> Any:
        """A traced array as this trace sees it: itself, or an input where it belongs to a trace around this one."""

    def name_of(self, array: np.ndarray) -> str | None:
        """How the function reaches a plain array by itself; None where it does not."""


class _Local(threading.local):
    def __init__(self) -> None:
        self.running: list[Any] = []


_local = _Local()


def current() -> Recorder | None:
    """The innermost trace that runs in this thread, or None."""
    running = _local.running
    return running[-1] if running else None


def keeps_bits() -> bool:
    """Whether the innermost trace was asked to keep every bit that NumPy gives."""
    tracing = current()
    return tracing is not None and bool(tracing.exact)


def running() -> tuple[Recorder, ...]:
    """All running traces of this thread, the outermost first."""
    return tuple(_local.running)


@contextmanager
def entered(tracing: R) -> Iterator[R]:
    """Makes `tracing` the current one; whatever happens inside, it is taken off again."""
    _local.running.append(tracing)
    try:
        yield tracing
    finally:
        _local.running.pop()


@contextmanager
def suspended() -> Iterator[None]:
    """No trace is current inside: for code that runs for real while a function is traced."""
    before, _local.running = _local.running, []
    try:
        yield
    finally:
        _local.running = before
