"""What a function can reach besides its arguments: closure cells, globals, defaults, `__self__`, and what hangs on them.

`Reach(fn)` looks once and answers two questions: by which path is this very object reached (so that each call can fetch it again), and
which plain values are within reach (guards: a change traces again). It follows containers and attributes two levels deep, and the
user's own functions that the function names.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import sys
import types
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ir.source import is_library
from tracer.stack import Operand

DEPTH = 6
MOST = 20_000  # things looked at
PLAIN = (bool, int, float, complex, str, bytes, type(None))
CONTAINERS = (list, tuple, dict)
CALLABLES = (types.FunctionType, types.BuiltinFunctionType, np.ufunc)
LARGE = 1 << 20


class Found(NamedTuple):
    """A thing within reach: how the user would write it, and how to get it again."""

    name: str
    fetch: Callable[[], Any]
    thing: Any


class Reach:
    """The things that `fn` can reach, by identity. `arguments`: named objects that it was given, whose insides count as well."""

    def __init__(self, fn: Callable[..., Any] | None, arguments: Sequence[tuple[str, Any]] = ()):
        self.found: list[Found] = list(_search(fn, arguments)) if fn is not None else []
        self._by_id: dict[int, Found] = {}
        for found in self.found:
            if not isinstance(found.thing, PLAIN):
                self._by_id.setdefault(id(found.thing), found)

    def path_to(self, thing: Any) -> Found | None:
        """How this very object is reached, or None."""
        return self._by_id.get(id(thing))


def _search(fn: Callable[..., Any], arguments: Sequence[tuple[str, Any]]) -> Iterator[Found]:
    """Every (name, fetch, thing), nearest first; a thing reached twice comes once."""
    seen: set[int] = set()
    queue: list[tuple[str, Callable[[], Any], Any, int]] = [("", lambda: fn, fn, 0)]
    queue += [(name, fetch, thing, 0) for name, thing in arguments if (fetch := _weakly(thing)) is not None]
    for name, fetch, thing, depth in itertools.islice(queue, MOST):
        if isinstance(thing, PLAIN):
            yield Found(name, fetch, thing)
            continue
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if name:
            yield Found(name, fetch, thing)
        queue += _inside(name, fetch, thing, depth)


def _inside(name: str, fetch: Callable[[], Any], thing: Any, depth: int) -> list[tuple[str, Callable[[], Any], Any, int]]:
    if isinstance(thing, types.MethodType):
        return [
            ("self" if not name else f"{name}.__self__", lambda: fetch().__self__, thing.__self__, 0),
            (name, lambda: fetch().__func__, thing.__func__, 0),
        ]
    if isinstance(thing, types.FunctionType):
        return [] if is_library(thing.__code__.co_filename) else list(_of_function(fetch, thing))
    if isinstance(thing, functools.partial):
        parts = ("func", "args", "keywords")
        return [(name if part == "func" else f"{name}.{part}", _getattr(fetch, part), getattr(thing, part), 0) for part in parts]
    if isinstance(thing, type):
        return [] if is_library(_file_of(thing)) else _plain_attributes(name, fetch, thing, vars(thing), depth)
    if isinstance(thing, (np.ndarray, np.generic, types.ModuleType, types.BuiltinFunctionType)):
        return []
    if hasattr(thing, "__wrapped__") and callable(thing):
        return [(name, lambda: fetch().__wrapped__, thing.__wrapped__, 0)]
    if depth >= DEPTH:
        return []
    if isinstance(thing, dict):
        return [(f"{name}[{k!r}]", _item(fetch, k), v, depth + 1) for k, v in list(thing.items()) if isinstance(k, PLAIN)]
    if isinstance(thing, (list, tuple)):
        return [(f"{name}[{k}]", _item(fetch, k), v, depth + 1) for k, v in enumerate(thing[:1000])]
    if is_library(_file_of(type(thing))):
        return []
    held = getattr(thing, "__dict__", None)
    found = (
        [(f"{name}.{k}" if name else k, _attribute(fetch, k), v, depth + 1) for k, v in list(held.items())]
        if isinstance(held, dict)
        else []
    )
    for kind in type(thing).__mro__:
        if not is_library(_file_of(kind)):
            slots = vars(kind).get("__slots__", ())
            for k in (slots,) if isinstance(slots, str) else slots:
                if hasattr(thing, k):
                    found.append((f"{name}.{k}" if name else k, _getattr(fetch, k), getattr(thing, k), depth + 1))
            found += _plain_attributes(name, fetch, thing, vars(kind), depth)
    call = vars(type(thing)).get("__call__")
    if not name and isinstance(call, types.FunctionType):
        found.append(("", lambda: type(fetch()).__call__, call, 0))
    return found


def _plain_attributes(
    name: str, fetch: Callable[[], Any], thing: Any, held: Mapping[str, Any], depth: int
) -> list[tuple[str, Callable[[], Any], Any, int]]:
    """The values and arrays among the attributes of a class, as they are seen on `thing`."""
    kinds = (bool, int, float, complex, np.ndarray, np.generic)
    own = getattr(thing, "__dict__", {}) if not isinstance(thing, type) else {}
    keys = [k for k, v in held.items() if isinstance(v, kinds) and not k.startswith("__") and k not in own]
    return [(f"{name}.{k}" if name else k, _getattr(fetch, k), getattr(thing, k), depth + 1) for k in keys]


def _of_function(fetch: Callable[[], Any], fn: types.FunctionType) -> Iterator[tuple[str, Callable[[], Any], Any, int]]:
    for cell_name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or ()):
        if _filled(cell):
            yield cell_name, _cell(cell), cell.cell_contents, 0
    for name in _names(fn.__code__):
        if name not in fn.__globals__:
            continue
        thing = fn.__globals__[name]
        if not isinstance(thing, types.ModuleType):
            yield name, _global(fetch, name), thing, 0
        elif _of_the_user(thing):
            for key in _names(fn.__code__):
                if isinstance(getattr(thing, key, None), (bool, int, float, complex, str, np.ndarray, np.generic)):
                    yield f"{name}.{key}", _getattr(_global(fetch, name), key), getattr(thing, key), 0
    for k, value in enumerate(fn.__defaults__ or ()):
        yield f"default {k} of {fn.__name__}", _default(fetch, k), value, 0
    for keyword, value in (fn.__kwdefaults__ or {}).items():
        yield f"{keyword}=", _kwdefault(fetch, keyword), value, 0


def _of_the_user(module: types.ModuleType) -> bool:
    """A module of the user's own: neither the standard library's nor an installed one."""
    file = getattr(module, "__file__", None) or ""
    return module.__name__.partition(".")[0] not in sys.stdlib_module_names and "site-packages" not in file and not is_library(file)


def _names(code: types.CodeType) -> list[str]:
    """The global names of a code object and of the functions defined inside it."""
    names: list[str] = []
    stack = [code]
    while stack:
        one = stack.pop()
        names += one.co_names
        stack += [c for c in one.co_consts if isinstance(c, types.CodeType)]
    return list(dict.fromkeys(names))


def _file_of(kind: type) -> str:
    module = sys.modules.get(kind.__module__)
    return getattr(module, "__file__", None) or "<frozen>"


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _cell(cell: Any) -> Callable[[], Any]:
    return lambda: cell.cell_contents  # a function's cells never change, only what is in them; which function it is, is guarded


def _weakly(thing: Any) -> Callable[[], Any] | None:
    try:
        return weakref.ref(thing)
    except TypeError:
        return None


def _getattr(fetch: Callable[[], Any], key: str) -> Callable[[], Any]:
    return lambda: getattr(fetch(), key)


def _global(fetch: Callable[[], Any], name: str) -> Callable[[], Any]:
    return lambda: fetch().__globals__[name]


def _default(fetch: Callable[[], Any], k: int) -> Callable[[], Any]:
    return lambda: fetch().__defaults__[k]


def _kwdefault(fetch: Callable[[], Any], key: str) -> Callable[[], Any]:
    return lambda: fetch().__kwdefaults__[key]


def _item(fetch: Callable[[], Any], key: Any) -> Callable[[], Any]:
    return lambda: fetch()[key]


def _attribute(fetch: Callable[[], Any], key: str) -> Callable[[], Any]:
    return lambda: fetch().__dict__[key]


def comparable(thing: Any) -> bool:
    """Whether a guard can hold on to it: a plain value, array, container or function (a stand-in of a running trace is none)."""
    kinds = (*PLAIN, *CONTAINERS, *CALLABLES, np.ndarray, np.generic, np.dtype, type, slice, set, frozenset)
    return isinstance(thing, kinds) and not isinstance(thing, Operand)


def fingerprint(thing: Any) -> Any:
    """What a guard compares: the value and its type; of an array a copy's bytes, or past 1 MB their checksum; of a container what
    it has places for (what lies there is looked at by itself); of a function which one it is.
    """
    if isinstance(thing, CALLABLES):
        return thing if isinstance(thing, np.ufunc) else weakref.ref(thing)  # ufuncs allow no weak reference
    if isinstance(thing, type):
        return weakref.ref(thing)
    if isinstance(thing, (set, frozenset)):
        return (type(thing), frozenset(thing))
    if isinstance(thing, slice):
        return (slice, repr(thing))
    if isinstance(thing, CONTAINERS):
        return (type(thing), tuple(thing) if isinstance(thing, dict) else len(thing))
    if isinstance(thing, np.ndarray):
        whole = np.ascontiguousarray(thing)
        data = whole.tobytes() if thing.nbytes <= LARGE else hashlib.blake2b(whole.data).digest()
        return (thing.shape, thing.dtype.str, data)
    if isinstance(thing, np.generic):
        return (thing.dtype.str, thing.tobytes())
    return (type(thing), repr(thing) if isinstance(thing, (float, complex)) else thing)
