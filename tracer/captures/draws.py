"""Random numbers drawn while tracing: every replay would repeat them, so they are an error, and nothing is spent."""

from __future__ import annotations

import dis
import inspect
import random
import time
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from backends.numpy import workers
from ir.errors import TraceError
from ir.source import Line, is_library
from tracer.captures import entropy
from tracer.captures.iterators import iterators_within, taken
from tracer.captures.paths import Found

GENERATORS = (np.random.Generator, np.random.RandomState, np.random.BitGenerator, random.Random)


class Drawn(TraceError):
    """Random numbers were drawn, or elements taken from an iterator, while tracing."""


@contextmanager
def no_draws(fn: Callable[..., Any], found: list[Found], given: Sequence[tuple[str, Any]] = ()) -> Iterator[None]:
    """TraceError when the random state was advanced inside, or a generator made without a seed; the state is put back, so that nothing
    was spent. `given`: the arguments that are no data, by name. A generator made inside with a seed draws the same at each call, by
    itself as in a replay.

    Where other threads run, one of them may have drawn. Then the state is left alone, and a function that names no source of random
    numbers is believed if the state is seen to move by itself.
    """
    sources, iterators = sources_within(found, given), iterators_within(found)
    moved: list[Source] = []
    try:
        with entropy.watched() as unseeded:
            yield
    finally:
        alone = workers.alone()
        for source in sources:
            if source.moved():
                moved.append(source)
                if alone:
                    source.put_back()
    for source in moved:
        if alone or _names(fn, found, source) or not source.moves_by_itself():
            raise Drawn(
                f"numbers were drawn from {source.name} while tracing: every call would repeat them"
                + ("" if alone else " (if another thread drew them: it has done so just once)"),
                line=_line_of(fn, source.name, found),
                mend="draw outside and pass the numbers in" + ("" if alone else "; in other threads draw from np.random.default_rng()"),
                op="random",
            )
    if unseeded:
        raise Drawn(
            "a random generator is made without a seed while tracing: every call would repeat its numbers",
            line=unseeded[0], mend="make it outside, draw there and pass the numbers in; or give it a seed", op="random",
        )
    for f, before in iterators:
        if taken(f.thing, before):
            raise Drawn(
                f"elements were taken from {'the iterator ' if isinstance(f.thing, Iterator) else ''}{f.name} while tracing: "
                "every call would repeat them",
                line=_line_of(fn, f.name, found), mend="take them outside and pass them in", op="next",
            )


def sources_within(found: list[Found], given: Sequence[tuple[str, Any]] = ()) -> list[Source]:
    """NumPy's and Python's own, and the generators within reach and among the arguments."""
    own = [Source("np.random", np.random.mtrand._rand), Source("random", random)]
    held = [(name, thing) for name, thing in [*given, *[(f.name, f.thing) for f in found]] if isinstance(thing, GENERATORS)]
    return own + [Source(name, thing) for name, thing in held if not isinstance(thing, random.SystemRandom)]


class Source:
    """A source of random numbers and its state when the trace began."""

    def __init__(self, name: str, thing: Any):
        self.name, self.thing, self.before = name, thing, _state(thing)

    def moved(self) -> bool:
        """Whether numbers were drawn since."""
        return bool(_key(_state(self.thing)) != _key(self.before))

    def put_back(self) -> None:
        """The state as it was when the trace began."""
        if isinstance(self.thing, np.random.RandomState):
            self.thing.set_state(self.before)
        elif self.thing is random or isinstance(self.thing, random.Random):
            self.thing.setstate(self.before)
        else:
            _bits(self.thing).state = self.before

    def reseed(self, seed: int) -> None:
        """Another state, for a while."""
        if isinstance(self.thing, (np.random.Generator, np.random.BitGenerator)):
            _bits(self.thing).state = type(_bits(self.thing))(seed).state
        else:
            self.thing.seed(seed)

    def moves_by_itself(self) -> bool:
        """Whether another thread draws: the state changes while this one waits."""
        now = _key(_state(self.thing))
        for _ in range(100):
            time.sleep(0.002)
            if _key(_state(self.thing)) != now:
                return True
        return False


def _names(fn: Callable[..., Any], found: list[Found], source: Source) -> bool:
    """Whether the function, or one of the user's own that it calls, names this source."""
    if source.name not in ("np.random", "random"):
        return True
    things = [inspect.unwrap(fn), *[f.thing for f in found]]
    if any(type(getattr(thing, "__self__", None)) in (random.Random, np.random.RandomState) for thing in things):
        return True
    stack = [code for thing in things if (code := getattr(thing, "__code__", None)) is not None]
    while stack:
        code = stack.pop()
        if "random" in code.co_names or "random" in code.co_freevars:
            return True
        stack += [held for held in code.co_consts if isinstance(held, types.CodeType)]
    return False


def _state(thing: Any) -> Any:
    if thing is random or isinstance(thing, random.Random):
        return thing.getstate()
    return thing.get_state(legacy=False) if isinstance(thing, np.random.RandomState) else _bits(thing).state


def _bits(thing: Any) -> Any:
    return thing.bit_generator if isinstance(thing, np.random.Generator) else thing


def _key(state: Any) -> Any:
    """What tells two states apart: a dict as its items, an array as its bytes."""
    if isinstance(state, dict):
        return [(name, _key(held)) for name, held in state.items()]
    return state.tobytes() if isinstance(state, np.ndarray) else state


def _line_of(fn: Callable[..., Any], name: str, found: list[Found]) -> Line | None:
    """The line that names the source of random numbers, in the function or in one of the user's own that it calls; else its first."""
    codes = [code for thing in (fn, *[f.thing for f in found]) if (code := _code(thing)) is not None]
    word = name.split(".")[-1]
    for code in codes:
        stack = [code]
        while stack:
            one = stack.pop()
            for instruction in dis.get_instructions(one):
                if instruction.argval == word and instruction.positions and instruction.positions.lineno:
                    return Line(one.co_filename, instruction.positions.lineno, one.co_name)
            stack += [held for held in one.co_consts if isinstance(held, types.CodeType)]
    return Line(codes[0].co_filename, codes[0].co_firstlineno, codes[0].co_name) if codes else None


def _code(thing: Any) -> types.CodeType | None:
    code = getattr(inspect.unwrap(thing), "__code__", None) if callable(thing) and not isinstance(thing, type) else None
    return code if isinstance(code, types.CodeType) and not is_library(code.co_filename) else None
