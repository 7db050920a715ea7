"""The stack of running traces, one for each thread, and the protocol of what records operations.

This is the lowest file of the tracer: it knows neither arrays nor graphs, so everything above may import it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from ir.op import Op
    from tracer.tracing.context import Tracing


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


class _Local(threading.local):
    def __init__(self) -> None:
        self.running: list[Tracing] = []


_local = _Local()


def current() -> Tracing | None:
    """The innermost trace that runs in this thread, or None."""
    running = _local.running
    return running[-1] if running else None


def running() -> tuple[Tracing, ...]:
    """All running traces of this thread, the outermost first."""
    return tuple(_local.running)


def called(fn: Any) -> Any:
    """What is called in place of a function that the user gave: in a running trace a twin that sees its captured numbers as inputs."""
    tracing = current()
    return fn if tracing is None else tracing.numbers.twin(fn)


@contextmanager
def entered(tracing: Tracing) -> Iterator[Tracing]:
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
