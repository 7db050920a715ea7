"""What a function can reach besides its arguments: closure cells, globals, defaults, `__self__`, and what hangs on them.

`Reach(fn)` looks once and answers: by which path is this very object reached (so that each call can fetch it again), which plain values
are within reach (guards: a change traces again), and which functions are only ever called by name (so that a twin may run in their
place). It follows containers and attributes, the user's own functions that the function names, and the methods that these name.
"""

from __future__ import annotations

import enum
import functools
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from backends.numpy import workers
from ir.source import is_library
from tracer.captures.clocks import is_a_clock, names_a_clock
from tracer.captures.code import Uses, uses
from tracer.captures.fetch import Fetch
from tracer.captures.paths import DEPTH, GONE, ROOT, Caller, Found, Named, Owner, Step, always, inside, named, weakly
from tracer.captures.seen import PLAIN, is_open, is_pythons

MOST = 20_000  # things looked at
NUMBERS = (int, float, complex)
_ASIDE = frozenset(["__init__", "__new__", "__post_init__", "__repr__", "__eq__", "__hash__", "__replace__"])  # a dataclass's
_ONES = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)
_CALLED = (types.FunctionType, types.MethodType, functools.partial)


class Reach:
    """The things that `fn` can reach, by identity. `arguments`: named objects that it was given, whose insides count as well."""

    def __init__(self, fn: Callable[..., Any] | None, arguments: Sequence[tuple[str, Any]] = ()):
        self.found: list[Found] = []
        self.aliases: list[tuple[Found, Fetch]] = []  # things reached once more, by another way; and the first way
        self.asks_is = False  # whether some function asks whether two things are one
        self.clocks = False  # whether some function names a clock
        self.asks_type = False  # whether some function calls `type`
        self.stored: set[int] = set()  # the ids of cells that some function stores into
        self._stored_globals: set[tuple[int, str]] = set()  # (id of a module's globals, name), where some function may store there
        self._read: set[str] = set()  # the names in the code within reach, but for methods that a call does not run on what is there
        self._by_id: dict[int, Found] = {}
        self._uses: dict[int, Uses] = {}  # id of a function -> what its code does
        self._arrivals: dict[int, list[Caller | None]] = {}  # id of a callable -> who has it
        self._numbers: dict[tuple[int, str, Any], Found] = {}
        if fn is not None:
            for found in self._search(fn, arguments):
                if found.name:
                    self.found.append(found)
                if isinstance(found.thing, PLAIN):
                    if found.place is not None and type(found.thing) in NUMBERS:
                        self._numbers[found.place] = found
                else:
                    self._by_id.setdefault(id(found.thing), found)

    def path_to(self, thing: Any) -> Found | None:
        """How this very object is reached, or None."""
        return self._by_id.get(id(thing))

    def number(self, holder: Any, part: str, key: Any) -> Found | None:
        """The Python number in a cell, global or default of a function (or among the arguments of a partial)."""
        return self._numbers.get((id(holder), part, key))

    def names_it(self, found: Found) -> bool:
        """Whether some code within reach may take this thing by its name: each attribute on the way to it stands there."""
        step: Fetch | None = found.fetch
        while step is not None:
            attribute = step.step in ("attribute", "held", "member") and not step.key.startswith("__")
            if attribute and step.key not in self._read and self._read.isdisjoint(("getattr", "vars", "__dict__")):
                return False
            step = step.before
        return True

    def globals_of(self, fn: types.FunctionType) -> tuple[str, ...]:
        """The names of the globals that a function within reach uses."""
        return self._uses[id(fn)].globals_

    @functools.cached_property
    def only_called(self) -> frozenset[int]:
        """The ids of functions (and methods, partials) whose every use within reach is a call by a function that is itself among them."""
        among = {key for key in self._arrivals if key not in self._uses or self._uses[key].by_name}
        among.add(ROOT[0])
        while bad := [
            key
            for key in among
            if not all(by is not None and by[0] in among and by[1] not in self.stored for by in self._arrivals.get(key, [ROOT]))
        ]:
            among.difference_update(bad)
        return frozenset(among)

    def _search(self, fn: Callable[..., Any], arguments: Sequence[tuple[str, Any]]) -> Iterator[Found]:
        """Every thing, nearest first; one reached twice comes once."""
        seen: dict[int, Fetch] = {}
        queue = [Step("", always(fn), fn, 0, ROOT)]
        queue += [Step(name, weakly(thing) or always(thing), thing, 0) for name, thing in arguments]
        owners: list[Owner | Named] = []
        names: set[str] = set()
        at = 0
        while at < len(queue):
            step = queue[at]
            at += 1
            if at > MOST or (step.depth >= DEPTH and not isinstance(step.thing, (*PLAIN, type))):
                _warn_of_more(fn)
                return
            thing = step.thing
            if isinstance(thing, PLAIN):
                yield Found(step.name, step.fetch, thing, step.place)
                if type(thing) not in PLAIN and is_open(type(thing)):  # a number of a class of the user's, and what that does
                    queue.append(Step(step.name, Fetch(step.fetch, "type"), type(thing), step.depth))
            else:
                if isinstance(thing, _CALLED) and not _is_librarys(thing):
                    self._arrivals.setdefault(id(thing), []).append(step.caller)
                if id(thing) in seen:
                    first = seen[id(thing)]
                    if not isinstance(thing, type) and not first.same_way(step.fetch):
                        self.aliases.append((Found(step.name, step.fetch, thing), first))
                else:
                    seen[id(thing)] = step.fetch
                    yield Found(step.name, step.fetch, thing)
                    self.clocks = self.clocks or (callable(thing) and is_a_clock(thing))
                    if isinstance(thing, types.FunctionType) and not _is_librarys(thing):
                        noted = self._note(thing)
                        names.update(noted)
                        self._read.update(() if thing.__name__ in _ASIDE else noted)
                    queue += inside(step, self._uses.get(id(thing)), owners)
            if at == len(queue):
                for owner in owners:
                    queue += owner.named(names)
        for owner in owners:
            for step in owner.lacking(names):
                yield Found(step.name, step.fetch, step.thing)

    def _note(self, fn: types.FunctionType) -> tuple[str, ...]:
        """Takes note of what a function's code does; the names in it."""
        found = self._uses[id(fn)] = uses(fn.__code__)
        special = fn.__name__.startswith("__") and fn.__name__ != "__call__"  # `__eq__` of a dataclass asks which class an object has
        if not special and not is_pythons(fn.__module__ or "", fn.__code__.co_filename):
            self.asks_is |= found.asks_is or any(may_be_another(named(fn, path)) for path in found.compared)
        self.clocks = self.clocks or names_a_clock(fn, found)
        self.asks_type |= found.asks_type
        if found.stored:
            self.stored.update([id(cell) for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or ()) if name in found.stored])
        if not found.by_name:
            self._stored_globals.update([(id(fn.__globals__), name) for name in found.names])
        return found.names

    def is_others(self, found: Found) -> bool:
        """Whether a cell or global is one that another thread may rebind meanwhile, and no function within reach."""
        fetch, before = found.fetch, found.fetch.before
        if workers.alone():
            return False
        if fetch.step == "cell":
            return id(fetch.key) not in self.stored
        is_global = fetch.step == "item" and before is not None and before.step == "is"
        return is_global and (id(before.key), fetch.key) not in self._stored_globals  # type: ignore[union-attr]


def may_be_another(thing: Any) -> bool:
    """Whether the answer to `is` may be another at a later call without any value being so: of arrays, Variables, containers, objects."""
    return thing is GONE or not (isinstance(thing, (*PLAIN, *_ONES, enum.Enum)) or type(thing) is object)


def _is_librarys(thing: Any) -> bool:
    return isinstance(thing, types.FunctionType) and is_library(thing.__code__.co_filename)


def _warn_of_more(fn: Callable[..., Any]) -> None:
    warnings.warn(
        f"{getattr(fn, '__name__', type(fn).__name__)} can reach more than {MOST} things besides its arguments, or things more than "
        f"{DEPTH} steps away; a change of what lies further away is not noticed. Pass what it reads as an argument.",
        stacklevel=2,
    )
