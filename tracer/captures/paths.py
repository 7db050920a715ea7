"""Paths: what hangs on one thing, and how a later call gets to it. A step in, the steps from there out.

Functions have cells, globals and defaults, objects attributes, slots and a class, classes and modules what some code names.
"""

from __future__ import annotations

import builtins
import collections
import contextvars
import enum
import functools
import logging
import os
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ir.source import is_library, module_of
from tracer.captures.code import Uses
from tracer.captures.fetch import Fetch
from tracer.captures.seen import MAPPINGS, PLAIN, SEQUENCES, SETS, file_of, is_foreign, is_mapping, is_open, is_pythons, is_whole, slots_of
from tracer.operands.stack import Operand

DEPTH = 100
ROOT = (0, 0)  # a caller: this package itself, which calls twins
Caller = tuple[int, int]
_STATES: tuple[tuple[frozenset[str], str | None, Any], ...] = (  # of the process or thread: what names it, how one asks for it
    (frozenset(["environ", "getenv"]), None, os.environ),
    (frozenset(["geterr"]), "np.geterr()", np.geterr),
    (frozenset(["get_printoptions"]), "np.get_printoptions()", np.get_printoptions),
    (frozenset(["getcwd", "cwd"]), "os.getcwd()", os.getcwd),
    (frozenset(["get_ident", "current_thread"]), "threading.get_ident()", threading.get_ident),
    (frozenset(["getpid"]), "os.getpid()", os.getpid),
    (frozenset(["argv"]), "sys.argv", lambda: sys.argv),
)
_DOES = (types.FunctionType, property, classmethod, staticmethod, functools.cached_property)
_PROXIES = (weakref.ProxyType, weakref.CallableProxyType)
_ASKS = frozenset(["hasattr", "getattr", "AttributeError", "__dict__", "vars", "dir"])


class Found(NamedTuple):
    """A thing within reach: how the user would write it, and how to get it again. `place` is where a function finds a number."""

    name: str
    fetch: Fetch
    thing: Any
    place: tuple[int, str, Any] | None = None


class Step(NamedTuple):
    """A thing to look at. `caller`: the function that does nothing with it but call it, and the cell it is in; None for other uses."""

    name: str
    fetch: Fetch
    thing: Any
    depth: int
    caller: Caller | None = None
    place: tuple[int, str, Any] | None = None


class Owner:
    """A class or module, whose attributes count once some code names them; of an enum what its members do, which are what they are."""

    def __init__(self, step: Step):
        self._step, self._left = step, dict(vars(step.thing))
        if isinstance(step.thing, enum.EnumType):
            self._left = {k: v for k, v in self._left.items() if isinstance(v, _DOES)}

    def named(self, names: set[str]) -> list[Step]:
        """The attributes of these names that were not given yet; of classes the special methods too."""
        name, fetch, thing, depth, *_ = self._step
        left = self._left
        is_class = isinstance(thing, type)
        keys = list(left) if "getattr" in names else [k for k in left if k in names or (is_class and k.startswith("__"))]
        found = []
        for k in keys:
            held, part = left.pop(k), None
            if k.startswith("__") and not isinstance(held, types.FunctionType):
                continue
            if isinstance(held, (staticmethod, classmethod)):
                held, part = held.__func__, "__func__"
            elif isinstance(held, property):
                held, part = held.fget, "fget"
            elif isinstance(held, functools.cached_property):
                held, part = held.func, "func"
            if isinstance(held, types.ModuleType) and not _of_the_user(held):
                continue
            found.append(Step(f"{name}.{k}" if name else k, _member(fetch, k, part), held, depth if part else depth + 1))
        return found

    def lacking(self, names: set[str]) -> Iterator[Step]:
        """What code that asks whether a name is there may ask a module for."""
        if isinstance(self._step.thing, types.ModuleType) and not _ASKS.isdisjoint(names):
            yield from lacking(Fetch(self._step.fetch, "attribute", "__dict__"), vars(self._step.thing), names)


class Named:
    """A Variable, whose name counts once some code asks for a `name`."""

    def __init__(self, step: Step):
        self._step: Step | None = step

    def named(self, names: set[str]) -> list[Step]:
        """The name, once."""
        if "name" not in names or self._step is None:
            return []
        name, fetch, thing, depth, *_ = self._step
        self._step = None
        return [Step(f"{name}.name", Fetch(fetch, "attribute", "name"), thing.name, depth)]

    def lacking(self, names: set[str]) -> Iterator[Step]:
        """Nothing: a Variable always has a name, or None."""
        return iter(())


def _member(fetch: Fetch, key: str, part: str | None) -> Fetch:
    held = Fetch(fetch, "member", key)
    return held if part is None else Fetch(held, "attribute", part)


def inside(step: Step, use: Uses | None, owners: list[Owner | Named]) -> list[Step]:
    """What hangs on a thing. Classes, modules and Variables go to `owners`."""
    name, fetch, thing, depth, caller, _ = step
    if isinstance(thing, types.MethodType):
        return [
            Step("self" if not name else f"{name}.__self__", Fetch(fetch, "attribute", "__self__"), thing.__self__, 0),
            Step(name, Fetch(fetch, "attribute", "__func__"), thing.__func__, 0, caller and (id(thing), 0)),
        ]
    if isinstance(thing, types.FunctionType):
        return [] if use is None else list(_of_function(fetch, thing, use))
    if isinstance(thing, functools.partial):
        mine, args, keywords = id(thing), Fetch(fetch, "attribute", "args"), Fetch(fetch, "attribute", "keywords")
        return [
            Step(name, Fetch(fetch, "attribute", "func"), thing.func, 0, caller and (mine, 0)),
            *[Step(f"{name}.args[{k}]", Fetch(args, "item", k), v, 0, None, (mine, "args", k)) for k, v in enumerate(thing.args)],
            *[Step(k, Fetch(keywords, "item", k), v, 0, None, (mine, "keywords", k)) for k, v in thing.keywords.items()],
            Step(f"{name}.keywords", Fetch(keywords, "tuple"), tuple(thing.keywords), 0),
        ]
    if isinstance(thing, (type, types.ModuleType)):
        if isinstance(thing, type):
            every = [*thing.__mro__, *type.mro(type(thing))]
            kinds = [kind for kind in every if not is_library(file_of(kind))]
            owners += [Owner(Step(name, fetch if kind is thing else always(kind), kind, depth)) for kind in kinds]
        elif _of_the_user(thing):
            owners.append(Owner(step))
        return []
    if isinstance(thing, (np.ndarray, np.generic, types.BuiltinFunctionType)) or is_foreign(thing):
        return []
    if isinstance(thing, Operand):
        owners += [Named(step)] if type(thing).rank == 3 else []
        return []
    kind = type(thing)
    if is_library(file_of(kind)) and module_of(kind).startswith("tracer") and hasattr(thing, "__wrapped__"):
        return [Step(name, Fetch(fetch, "attribute", "__wrapped__"), thing.__wrapped__, 0, ROOT)]  # which it calls by its twin
    if depth >= DEPTH:
        return []
    if isinstance(thing, weakref.WeakKeyDictionary):
        values = Fetch(Fetch(Fetch(fetch, "attribute", "values"), "call"), "list")
        return [Step(f"{name}.values()[{k}]", Fetch(values, "item", k), v, depth + 1) for k, v in enumerate(thing.values())]
    found: list[Step] = []
    if isinstance(thing, (*MAPPINGS, *SEQUENCES, *SETS)) or is_mapping(thing):
        found = _elements(step)
        if not is_open(kind):
            return found
    if isinstance(thing, weakref.ref):
        return [Step(f"{name}()", Fetch(fetch, "call"), thing(), depth + 1)]
    if isinstance(thing, contextvars.ContextVar):
        return [Step(f"{name}.get()", Fetch(fetch, "get"), thing.get(None), depth + 1)]
    if isinstance(thing, logging.Logger):
        level = Fetch(Fetch(fetch, "attribute", "getEffectiveLevel"), "call")
        return [Step(f"{name}.getEffectiveLevel()", level, level(), 0)]
    if kind in _PROXIES:
        referent = Fetch(Fetch(fetch, "attribute", "__repr__"), "attribute", "__self__")
        return [] if (of := now(referent)) is GONE else [Step(name, referent, of, depth + 1)]
    held = getattr(thing, "__dict__", None)
    if isinstance(thing, np.vectorize):
        return [Step(f"{name}.pyfunc", Fetch(fetch, "attribute", "pyfunc"), thing.pyfunc, depth + 1)]
    if not is_open(kind):
        wrapped = isinstance(held, dict) and "__wrapped__" in held
        return [Step(name, Fetch(fetch, "attribute", "__wrapped__"), thing.__wrapped__, 0)] if wrapped else []
    if isinstance(held, dict):
        found += [Step(f"{name}.{k}" if name else k, Fetch(fetch, "held", k), v, depth + 1) for k, v in list(held.items())]
    slots = [k for k in slots_of(kind) if hasattr(thing, k)]
    found += [Step(f"{name}.{k}" if name else k, Fetch(fetch, "attribute", k), getattr(thing, k), depth + 1) for k in slots]
    found.append(Step(name, Fetch(fetch, "type"), kind, depth))
    call = vars(kind).get("__call__")
    if not name and isinstance(call, types.FunctionType):
        found.append(Step("", Fetch(Fetch(fetch, "type"), "member", "__call__"), call, 0, ROOT))
    return found


def _elements(step: Step) -> list[Step]:
    """What lies in a container, whatever a class of the user's makes of asking for it; nothing of one that is compared as a whole."""
    name, fetch, thing, depth, *_ = step
    if isinstance(thing, SETS):  # which ones they are, the set itself tells
        return [Step(f"{name}{{...}}", weakly(x) or always(x), x, depth + 1) for x in thing if not isinstance(x, PLAIN)]
    if is_whole(thing):
        return []
    own = next((kind for kind in (dict, list, tuple) if isinstance(thing, kind)), None)
    take = f"{own.__name__} item" if own is not None and is_open(type(thing)) else "item"
    if is_mapping(thing):
        items = dict.items(thing) if own is dict else thing.items()
        return [Step(f"{name}[{k!r:.40}]", Fetch(fetch, take, k), v, depth + 1) for k, v in list(items)]
    get = fetch if isinstance(thing, (list, tuple, collections.deque)) else Fetch(fetch, "list")
    values = own.__iter__(thing) if own is not None else thing
    return [Step(f"{name}[{k}]", Fetch(get, take, k), v, depth + 1) for k, v in enumerate(values)]


def _of_function(fetch: Fetch, fn: types.FunctionType, use: Uses) -> Iterator[Step]:
    mine, held = id(fn), fn.__globals__
    yield Step(f"{fn.__name__}.__code__", Fetch(fetch, "attribute", "__code__"), fn.__code__, 0)
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or ()):
        caller = (mine, id(cell)) if name in use.called else None
        yield Step(name, Fetch(None, "cell", cell), cell.cell_contents if filled(cell) else GONE, 0, caller, (mine, "cell", name))
    yield from lacking(always(held), held, use.globals_)
    for name in use.globals_:
        if name in held and (not isinstance(held[name], types.ModuleType) or _of_the_user(held[name])):
            caller = (mine, 0) if name in use.called else None
            yield Step(name, Fetch(always(held), "item", name), held[name], 0, caller, (mine, "global", name))
    first = fn.__code__.co_argcount - len(fn.__defaults__ or ())
    for k, value in enumerate(fn.__defaults__ or ()):
        yield Step(f"default {fn.__code__.co_varnames[first + k]}", Fetch(fetch, "default", k), value, 0, None, (mine, "default", k))
    for keyword, value in (fn.__kwdefaults__ or {}).items():
        yield Step(f"{keyword}=", Fetch(fetch, "kwdefault", keyword), value, 0, None, (mine, "kwdefault", keyword))
    for key, value in vars(fn).items():
        if key != "__wrapped__":
            yield Step(f"{fn.__name__}.{key}", Fetch(fetch, "held", key), value, 0)
    for name in use.names:
        module = sys.modules.get(name)
        if module is not None and _of_the_user(module):
            yield Step(name, Fetch(always(sys.modules), "item", name), module, 0)
    for words, ask, state in () if is_pythons(fn.__module__ or "", fn.__code__.co_filename) else _STATES:
        if not words.isdisjoint(use.names):
            fetch = always(state) if ask is None else Fetch(always(state), "call")
            yield Step(ask or "os.environ", fetch, fetch(), 0)


def lacking(fetch: Fetch, held: dict[str, Any], names: Iterable[str]) -> Iterator[Step]:
    """That some names are not there: a global that is a builtin's or nobody's, an attribute that was asked for."""
    missing = frozenset([name for name in names if name not in held])
    if missing:
        yield Step(f"no name among {', '.join(sorted(missing)):.60}", Fetch(fetch, "lacks", missing), True, 0)


def _of_the_user(module: types.ModuleType) -> bool:
    """A module of the user's own: neither the standard library's nor an installed one."""
    file = getattr(module, "__file__", None) or ""
    return not is_pythons(module.__name__, file) and "site-packages" not in file and not is_library(file)


def filled(cell: Any) -> bool:
    """Whether a cell holds something."""
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def named(fn: types.FunctionType, path: tuple[str, ...]) -> Any:
    """What a global or cell of a function and then attributes stand for, GONE where only running code would tell."""
    name, *attributes = path
    cells = dict(zip(fn.__code__.co_freevars, fn.__closure__ or ()))
    if name in cells:
        thing = cells[name].cell_contents if filled(cells[name]) else GONE
    else:
        thing = fn.__globals__.get(name, getattr(builtins, name, GONE))
    for attribute in attributes:
        if isinstance(thing, enum.EnumType):
            thing = thing.__members__.get(attribute, GONE)
        else:
            thing = getattr(thing, "__dict__", {}).get(attribute, GONE)
    return thing


def weakly(thing: Any) -> Fetch | None:
    """A fetch that does not keep the thing alive; None where it allows no weak reference."""
    try:
        return Fetch(None, "weak", weakref.ref(thing))
    except TypeError:
        return None


def always(thing: Any) -> Fetch:
    """A fetch that gives this thing."""
    return Fetch(None, "is", thing)


def now(fetch: Callable[[], Any]) -> Any:
    """What is reached by the path now; a missing thing is none of the things that can have been there."""
    try:
        return fetch()
    except (LookupError, AttributeError, ValueError, TypeError, ReferenceError):
        return GONE


GONE = object()
