"""A drawn program: parameters, captured things, statements, what it returns; its source, and how it is loaded.

The source is ordinary Python: globals, a closure's cells, defaults, attributes, containers, helpers. It is loaded once for each side into
a namespace of its own, with equal arrays.
"""

from __future__ import annotations

import itertools
import linecache
import types
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tests.drawn.world import Thing

COUNT = itertools.count()

HELPERS = '''\
def halved(u, by=2.0):
    return u / by


def added(u, v):
    return u + SHIFT * v


def pair(u):
    w = u * 1
    w[...] = w + u
    return w, u - 1


class Tripled(Function):
    def forward(self, x):
        return x * 3.0

    def backward(self, gy):
        return gy * 3.0


class Mixed(Function):
    def forward(self, x, y):
        self.kept = x
        return np.sin(x) * y

    def backward(self, gy):
        x, y = self.inputs
        return gy * F.cos(x) * y, gy * F.sin(x)


def clamp(u):
    u[...] = np.clip(u, -2, 2)
'''


@dataclass(frozen=True)
class Change:
    """What happens before a call: a captured thing is written into, or rebound."""

    call: int
    thing: int
    how: str


@dataclass(frozen=True)
class Program:
    """`statements` in order; `returns` is the text of the result; `seed` is what the data of its calls come from."""

    seed: int
    parameters: tuple[Thing, ...]
    captured: tuple[Thing, ...]
    statements: tuple[str, ...]
    returns: str
    changes: tuple[Change, ...] = ()
    wild: bool = field(default=False, compare=False)

    @property
    def source(self) -> str:
        """The module's text."""
        cells = [t.name for t in self.captured if t.place == "cell"]
        defaults = [f"{t.name}={t.name}_default" for t in self.captured if t.place == "default"]
        body = "\n".join([line for s in (*self.statements, f"return {self.returns}") for line in s.splitlines()])
        setters = "".join([f"    def set_{c}(v):\n        nonlocal {c}\n        {c} = v\n" for c in cells])
        return (
            f"{HELPERS}\n\ndef make({', '.join(cells)}):\n"
            f"    def fn({', '.join([t.name for t in self.parameters] + defaults)}):\n"
            + "".join([f"        {line}\n" for line in body.splitlines()])
            + setters
            + f"    return fn, {{{', '.join([f'{c!r}: set_{c}' for c in cells])}}}\n"
        )

    def without(self, position: int) -> Program:
        """The same with one statement less."""
        return replace(self, statements=self.statements[:position] + self.statements[position + 1 :])


class Box:
    """Holds captured things as attributes."""


class Loaded:
    """A program in a namespace of its own. `fn` is the function; `things()` gives what it closes over now."""

    def __init__(self, program: Program, library: dict[str, Any]):
        self.program = program
        name = f"<drawn {program.seed}.{next(COUNT)}>"
        source = program.source
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        self.space: dict[str, Any] = {"np": np, "SHIFT": 0.5, "box": Box(), "bag": {}, "items": [], **library}
        self.space["__name__"] = "drawn"
        self.name = name
        for k, thing in enumerate(program.captured):
            value = thing.kind.make((program.seed, "captured", k))
            match thing.place:
                case "global":
                    self.space[thing.name] = value
                case "cell":
                    self.space[f"cell {thing.name}"] = value
                case "default":
                    self.space[f"{thing.name}_default"] = value
                case "attribute":
                    setattr(self.space["box"], thing.name.partition(".")[2], value)
                case "key":
                    self.space["bag"][_key(thing.name)] = value
                case "item":
                    self.space["items"].append(value)
        exec(compile(source, name, "exec"), self.space)
        cells = [self.space.pop(f"cell {t.name}") for t in program.captured if t.place == "cell"]
        self.fn: types.FunctionType
        self.setters: dict[str, Callable[[Any], None]]
        self.fn, self.setters = self.space["make"](*cells)
        self.closed = dict(zip(self.fn.__code__.co_freevars, self.fn.__closure__ or ()))

    def close(self) -> None:
        """Forgets the source."""
        linecache.cache.pop(self.name, None)

    def get(self, thing: Thing) -> Any:
        """A captured thing now; None for a cell that the function does not use."""
        match thing.place:
            case "cell":
                return self.closed[thing.name].cell_contents if thing.name in self.closed else None
            case "default":
                assert self.fn.__defaults__ is not None
                return self.fn.__defaults__[self._default(thing)]
            case "attribute":
                return getattr(self.space["box"], thing.name.partition(".")[2])
        return eval(thing.name, self.space)

    def set(self, thing: Thing, value: Any) -> None:
        """Rebinds a captured thing."""
        match thing.place:
            case "cell":
                self.setters[thing.name](value)
            case "default":
                values = list(self.fn.__defaults__ or ())
                values[self._default(thing)] = value
                self.fn.__defaults__ = tuple(values)
            case "attribute":
                setattr(self.space["box"], thing.name.partition(".")[2], value)
            case "key":
                self.space["bag"][_key(thing.name)] = value
            case "item":
                self.space["items"][int(_key(thing.name))] = value
            case _:
                self.space[thing.name] = value

    def change(self, call: int) -> None:
        """What happens before this call."""
        for change in self.program.changes:
            if change.call == call:
                thing = self.program.captured[change.thing]
                new = thing.kind.make((self.program.seed, call, "changed", change.thing))
                old = self.get(thing)
                if change.how == "write" and isinstance(old, np.ndarray):
                    old[...] = new
                else:
                    self.set(thing, new)

    def arguments(self, call: int) -> list[Any]:
        """The arguments of a call, in memory of their own."""
        made: dict[str, Any] = {}
        for k, thing in enumerate(self.program.parameters):
            if thing.alias:
                made[thing.name] = made[thing.alias][::-1] if thing.turned else made[thing.alias]
            else:
                made[thing.name] = thing.kind.make((self.program.seed, call, "argument", k))
        return list(made.values())

    def things(self) -> list[Any]:
        """What the function closes over, as it is now."""
        return [self.get(t) for t in self.program.captured]

    def _default(self, thing: Thing) -> int:
        return [t.name for t in self.program.captured if t.place == "default"].index(thing.name)


def _key(name: str) -> Any:
    return eval(name[name.index("[") + 1 : -1])
