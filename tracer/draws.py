"""Random numbers drawn while tracing: every replay would repeat them, so they are an error, and nothing is spent."""

from __future__ import annotations

import dis
import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ir.errors import TraceError
from ir.source import Line
from tracer.capture import Found


@contextmanager
def no_draws(fn: Callable[..., Any], found: list[Found]) -> Iterator[None]:
    """TraceError when the random state was advanced inside; the state is put back, so that nothing was spent."""
    generators = [f for f in found if isinstance(f.thing, (np.random.Generator, np.random.RandomState))]
    numpy_state, python_state = np.random.get_state(legacy=False), random.getstate()
    states = [_state(f.thing) for f in generators]
    drawn = None
    try:
        yield
    finally:
        if _key(np.random.get_state(legacy=False)) != _key(numpy_state):
            np.random.set_state(numpy_state)
            drawn = "np.random"
        if random.getstate() != python_state:
            random.setstate(python_state)
            drawn = drawn or "random"
        for f, state in zip(generators, states):
            if _key(_state(f.thing)) != _key(state):
                _set_state(f.thing, state)
                drawn = drawn or f.name
    if drawn:
        raise TraceError(
            f"numbers were drawn from {drawn} while tracing: every call would repeat them",
            line=_line_of(fn, drawn),
            mend="draw outside and pass the numbers in",
            op="random",
        )


def _state(generator: Any) -> Any:
    return generator.get_state(legacy=False) if isinstance(generator, np.random.RandomState) else generator.bit_generator.state


def _key(state: Any) -> Any:
    """What tells two states apart: a dict as its items, an array as its bytes."""
    if isinstance(state, dict):
        return [(name, _key(held)) for name, held in state.items()]
    return state.tobytes() if isinstance(state, np.ndarray) else state


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.bit_generator.state = state


def _line_of(fn: Callable[..., Any], name: str) -> Line | None:
    """The line of the function that names the source of random numbers; its first line where none does."""
    code = getattr(inspect.unwrap(fn), "__code__", None)
    if code is None:
        return None
    word = name.split(".")[-1]
    for instruction in dis.get_instructions(code):
        if instruction.argval == word and instruction.positions and instruction.positions.lineno:
            return Line(code.co_filename, instruction.positions.lineno, code.co_name)
    return Line(code.co_filename, code.co_firstlineno, code.co_name)
