"""Other circumstances for an audit: another clock, other random states, other numbers in an array. All is put back at the end.

Random states and arrays are changed for the whole process, so that other threads see it too: an audit is no thing to do beside other
work. Clocks are later in the thread that asked for it alone.
"""
from __future__ import annotations

import collections
import datetime
import functools
import inspect
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from ir.source import is_library
from tracer.captures.capture import Reach
from tracer.captures.draws import sources_within
from tracer.captures.paths import Found, now
from tracer.captures.seen import PLAIN, file_of, is_open, slots_of
from tracer.operands.stack import Operand

SECONDS = 400 * 86_400 + 5 * 3600 + 17 * 60 + 11  # later: another year, month, hour, minute and second
SEED = 271_828


# ---- the clock
_here = threading.local()  # `later`: whether this thread's clocks are


def _shift() -> int:
    """By how many seconds the clock of this thread is later."""
    return SECONDS if getattr(_here, "later", False) else 0


def _later(now: Callable[..., Any], unit: int) -> Callable[..., Any]:
    return lambda: now() + _shift() * unit


class _Now(type):
    """Makes the stand-in of a class of dates pass for that class."""

    def __instancecheck__(cls, thing: Any) -> bool:
        return isinstance(thing, cls.__bases__)


class _Later(datetime.datetime, metaclass=_Now):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return datetime.datetime.fromtimestamp(_REAL["time"]() + _shift(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Any:
        return cls.now()


class _LaterDate(datetime.date, metaclass=_Now):
    @classmethod
    def today(cls) -> Any:
        return _Later.now().date()


_REAL = {
    name: getattr(time, name)
    for name in ("time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time", "process_time_ns")
}
_CLOCKS: list[tuple[Any, str, Any, Any]] = [
    *[(time, name, real, _later(real, 10**9 if name.endswith("_ns") else 1)) for name, real in _REAL.items()],
    (time, "localtime", time.localtime, lambda secs=None, real=time.localtime: real(_REAL["time"]() + _shift() if secs is None else secs)),
    (time, "gmtime", time.gmtime, lambda secs=None, real=time.gmtime: real(_REAL["time"]() + _shift() if secs is None else secs)),
    (datetime, "datetime", datetime.datetime, _Later),
    (datetime, "date", datetime.date, _LaterDate),
]


@contextmanager
def other_clock(fn: Callable[..., Any]) -> Iterator[None]:
    """This thread's clocks later by more than a year: in their modules, and under the names that `fn` and what it calls have for them."""
    changed: list[tuple[dict[str, Any], str, Any]] = []
    places = [vars(time), vars(datetime), *_globals(fn)]
    by_id = {id(real): later for _, _, real, later in _CLOCKS}
    before, _here.later = getattr(_here, "later", False), True
    try:
        for names in places:
            for name, held in list(names.items()):
                later = by_id.get(id(held))
                if later is not None:
                    changed.append((names, name, held))
                    names[name] = later
        yield
    finally:
        _here.later = before
        for names, name, held in changed:
            names[name] = held


def _globals(fn: Callable[..., Any]) -> list[dict[str, Any]]:
    """The namespaces of the user's functions within reach."""
    return list({id(f.__globals__): f.__globals__ for f in _functions(fn)}.values())


def _functions(fn: Callable[..., Any]) -> list[types.FunctionType]:
    """`fn` and the functions within its reach."""
    return [f for f in [inspect.unwrap(fn), *[found.thing for found in Reach(fn).found]] if isinstance(f, types.FunctionType)]


# ---- random states
@contextmanager
def other_random_states(fn: Callable[..., Any]) -> Iterator[None]:
    """Other states of `np.random`, of `random`, and of the generators within reach of `fn`."""
    sources = sources_within(Reach(fn).found)
    try:
        for source in sources:
            source.reseed(SEED)
        yield
    finally:
        for source in sources:
            source.put_back()


# ---- what the function itself changes
@contextmanager
def put_back(fn: Callable[..., Any], arguments: Sequence[Any] = ()) -> Iterator[None]:
    """What is within reach of `fn` and its arguments is afterwards what it was: arrays, containers, attributes, variables of functions
    around it, globals.
    """
    undo: list[Callable[[], Any]] = []
    objects = [(f"argument {k}", a) for k, a in enumerate(arguments) if not isinstance(a, (*PLAIN, np.ndarray, np.generic, Operand))]
    for thing in [fn, *[found.thing for found in Reach(fn, objects).found if not isinstance(found.thing, Operand)]]:
        if isinstance(thing, np.ndarray):
            undo.append(_rewritten(thing))
        elif isinstance(thing, (list, dict, set, collections.deque)):
            undo.append(_refilled(thing))
        elif isinstance(thing, type) and is_open(thing):
            undo.append(_set_again(thing, list(vars(thing))))
        elif not isinstance(thing, (type, types.FunctionType)) and not is_library(file_of(type(thing))):
            held = getattr(thing, "__dict__", None)
            if isinstance(held, dict):
                undo.append(_refilled(held))
            undo.append(_set_again(thing, slots_of(type(thing))))
    for function in _functions(fn):
        undo += [_reset_cell(cell) for cell in function.__closure__ or ()]
        space = function.__globals__
        plain = {name: space[name] for name in function.__code__.co_names if name in space and isinstance(space[name], PLAIN)}
        undo.append(functools.partial(space.update, plain))
    try:
        yield
    finally:
        for step in reversed(undo):
            step()


class Counts:
    """The whole numbers within reach of a function, noted again and again: those that grow by the same each time are counts."""

    def __init__(self, found: list[Found]):
        self._found = [f for f in found if type(f.thing) is int and f.fetch.step in ("cell", "attribute", "held", "item")]
        self._seen = [[f.thing] for f in self._found]

    def note(self) -> None:
        """Takes note of what they are now."""
        for f, seen in zip(self._found, self._seen):
            seen.append(now(f.fetch))

    def go_on_to(self, count: int) -> bool:
        """Sets each count to that many of its steps; whether there is one."""
        moved = False
        for f, seen in zip(self._found, self._seen):
            steps = [b - a for a, b in zip(seen, seen[1:]) if type(a) is type(b) is int]
            if len(steps) == len(seen) - 1 and len(set(steps)) == 1 and steps[0]:
                f.fetch.put(count * steps[0])
                moved = True
        return moved


def counts_within(fn: Callable[..., Any]) -> Counts:
    """The counts within reach of `fn`."""
    return Counts(Reach(fn).found)


def _rewritten(array: np.ndarray) -> Callable[[], Any]:
    before = array.copy()

    def undo() -> None:
        if array.flags.writeable and array.tobytes() != before.tobytes():
            array[...] = before

    return undo


def _refilled(held: Any) -> Callable[[], Any]:
    before = held.copy()

    def undo() -> None:
        if list(map(id, held)) != list(map(id, before)) or (isinstance(held, dict) and any(held[k] is not before[k] for k in before)):
            held.clear()
            (held.extend if isinstance(held, (list, collections.deque)) else held.update)(before)

    return undo


def _set_again(thing: Any, names: list[str]) -> Callable[[], Any]:
    """Sets plain attributes that do not lie in a dict of the thing's own: of a class, of slots."""
    before = {name: held for name in names if isinstance(held := getattr(thing, name, None), PLAIN) and not name.startswith("__")}

    def undo() -> None:
        for name, held in before.items():
            if getattr(thing, name, None) is not held:
                setattr(thing, name, held)

    return undo


def _reset_cell(cell: Any) -> Callable[[], Any]:
    try:
        before = cell.cell_contents
    except ValueError:
        return lambda: None
    return lambda: setattr(cell, "cell_contents", before) if cell.cell_contents is not before else None


# ---- the numbers in an array
def others(array: Any) -> list[AbstractContextManager[None]]:
    """Ways to give an array other contents for a while: other signs, zeros, larger numbers. None where it can't be written."""
    if not isinstance(array, np.ndarray) or not array.size or array.dtype.kind not in "biufc":
        return []
    if array.dtype.kind == "b":
        changes: list[Callable[[Any], Any]] = [np.logical_not, np.zeros_like, np.ones_like]
    elif array.dtype.kind == "u":
        changes = [lambda a: a + 1, np.zeros_like]
    else:
        changes = [lambda a: -a - 1, np.zeros_like, lambda a: 2 * np.abs(a) + 1]
    return [_held(array, change) for change in changes]


@contextmanager
def _held(array: np.ndarray, change: Callable[[Any], Any]) -> Iterator[None]:
    before, writeable = array.copy(), array.flags.writeable
    try:
        array.flags.writeable = True
    except ValueError:  # a view of what nobody may write: its contents are as they are
        yield
        return
    try:
        with np.errstate(all="ignore"):
            array[...] = change(before)
        yield
    finally:
        array[...] = before
        array.flags.writeable = writeable
