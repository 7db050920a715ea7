"""What a guard remembers of a thing, to tell at a later call whether it is what it was: values, copies and weak references.

In: a thing within reach. Out: its fingerprint, equal as long as a trace that may have read it holds. What lies inside a container or
an object is looked at by itself, but for what large containers of plain values hold.
"""
from __future__ import annotations

import array
import collections
import ctypes
import functools
import hashlib
import os
import sys
import threading
import types
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

from ir.source import is_library, module_of
from tracer.operands.stack import Operand

PLAIN = (bool, int, float, complex, str, bytes, type(None))
SEQUENCES: tuple[type[Any], ...] = (list, tuple, collections.deque, type({}.values()), type({}.keys()), type({}.items()))
_C_DATA = tuple({kind.__mro__[-2] for kind in (ctypes.c_int, ctypes.Array, ctypes.Structure, ctypes.Union)})
SETS = (set, frozenset, weakref.WeakSet)
MAPPINGS: tuple[type[Any], ...] = (dict, types.MappingProxyType, collections.ChainMap)
_CONTAINERS = frozenset([*SEQUENCES, *SETS, *MAPPINGS, collections.OrderedDict, collections.defaultdict])
LARGE = 1 << 20  # bytes of an array past which its checksum is compared
WHOLE = 200  # elements of a container past which plain ones are compared together
_PLAIN = frozenset(PLAIN)
_STANDARD = os.path.join(os.path.dirname(os.__file__), "")
_OPEN_NAMES = frozenset(  # and those that are not imported here
    ["argparse.Namespace", "concurrent.futures._base.Future", "multiprocessing.sharedctypes.Synchronized",
     "multiprocessing.sharedctypes.SynchronizedArray"]
)  # fmt: skip
# classes of Python's own that are looked into
_OPEN = (types.SimpleNamespace, collections.UserDict, collections.UserList, threading.local, threading.Event)


def comparable(thing: Any) -> bool:
    """Whether a guard can hold on to it: all but stand-ins of a running trace, Variables and modules."""
    return not isinstance(thing, (Operand, types.ModuleType))


def is_foreign(thing: Any) -> bool:
    """Whether a thing is an array of another library (PyTorch, JAX, CuPy): its numbers count, and no attribute tells them."""
    return hasattr(type(thing), "__dlpack__") and not isinstance(thing, (np.ndarray, np.generic, Operand))


def is_whole(thing: Any) -> bool:
    """Whether a container is compared as a whole: a large one of plain values only. Others are looked into."""
    return len(thing) > WHOLE and _PLAIN.issuperset(map(type, thing.values() if is_mapping(thing) else thing))


def is_mapping(thing: Any) -> bool:
    """Whether it is a mapping that runs no code of the user's when it is read."""
    return isinstance(thing, MAPPINGS) or (isinstance(thing, Mapping) and not is_open(type(thing)))


def is_open(kind: type) -> bool:
    """Whether the attributes of such objects count: those of the user's classes and of installed packages, not Python's or ours."""
    file = file_of(kind)
    module = module_of(kind)
    name = f"{module}.{kind.__qualname__}"
    if name in _OPEN_NAMES or name.startswith("numpy.polynomial."):
        return True
    return kind in _OPEN or not is_library(file) and (not is_pythons(module, file) or issubclass(kind, _OPEN))


def is_pythons(module: str, file: str) -> bool:
    """Whether a module is of the standard library, and no namesake of the user's."""
    return module.partition(".")[0] in sys.stdlib_module_names and (not file or file.startswith(("<frozen", _STANDARD)))


def file_of(kind: type) -> str:
    """The file of a class. Python's own may have none, and those typed in by the user."""
    module = module_of(kind)
    found = getattr(sys.modules.get(module), "__file__", None)
    return found or ("<frozen>" if is_pythons(module, "") else "<typed>")


def slots_of(kind: type) -> list[str]:
    """The names of a class's `__slots__`, its bases' included."""
    found = []
    for one in kind.__mro__:
        if "__slots__" in vars(one) and not is_library(file_of(one)):
            slots = vars(one)["__slots__"]
            found += [slots] if isinstance(slots, str) else list(slots)
    return [name for name in found if name not in ("__dict__", "__weakref__")]


def fingerprint(thing: Any) -> Any:
    """What a guard compares: of a plain value the value and its type; of an array, of whichever library, a copy's bytes, or past 1 MB their
    checksum; of a container what it has places for, or of a large one all its plain values; of an object its class and the names of its
    attributes; of others which one it is.
    """
    kind = type(thing)
    if kind in _PLAIN:
        return (kind, repr(thing) if kind is float or kind is complex else thing)
    if isinstance(thing, PLAIN) and not isinstance(thing, np.generic):  # an enum's member, or another subclass
        return (kind, thing)
    if isinstance(thing, np.ndarray):
        whole = np.ascontiguousarray(thing)
        data = whole.tobytes() if thing.nbytes <= LARGE else hashlib.blake2b(whole.data).digest()
        return ((thing.shape, thing.strides), thing.dtype.str, data)
    if isinstance(thing, np.generic):
        return (thing.dtype.str, thing.tobytes())
    if is_foreign(thing):
        return (kind, _numbers_of(thing))
    if isinstance(thing, weakref.WeakKeyDictionary):
        return (kind, tuple([_which(k) for k in thing]))
    if is_mapping(thing):
        return (kind, repr([*thing.items()]) if is_whole(thing) else tuple(thing), *_attributes(thing, kind))
    if isinstance(thing, SEQUENCES):
        return (kind, repr([*thing]) if is_whole(thing) else len(thing), *_attributes(thing, kind))
    if isinstance(thing, SETS):
        return (kind, frozenset([fingerprint(x) if type(x) in _PLAIN else _which(x) for x in thing]), *_attributes(thing, kind))
    if isinstance(thing, _C_DATA):
        return (kind, bytes(thing))  # type: ignore[call-overload]
    if isinstance(thing, (bytearray, memoryview, array.array)):
        return (kind, thing.tobytes() if isinstance(thing, (memoryview, array.array)) else bytes(thing))
    if isinstance(thing, type) and is_open(thing):
        return ("class", weakref.ref(thing), id(thing.__mro__), tuple(vars(thing)))  # another tuple where its bases are others
    if isinstance(thing, functools._lru_cache_wrapper):
        return (weakref.ref(thing), thing.cache_info().currsize > 0)  # cleared: what it gives next may be another
    if isinstance(thing, types.FunctionType):
        own = [name for name in vars(thing) if name != "__wrapped__"]
        return (_which(thing), tuple(own)) if own else _which(thing)
    if isinstance(thing, type) or not is_open(kind):
        return _which(thing)
    return ("object", weakref.ref(kind), *_attributes(thing, kind))


def _attributes(thing: Any, kind: type) -> tuple[Any, ...]:
    """The names of an object's attributes and slots; nothing of what Python's own kinds of containers have."""
    if kind in _CONTAINERS:
        return ()
    held = getattr(thing, "__dict__", None)
    slots = [k for k in slots_of(kind) if hasattr(thing, k)]
    return tuple(held) if isinstance(held, dict) else (), tuple(slots)


def _numbers_of(thing: Any) -> Any:
    """What tells an array of another library from one with other numbers: a copy; where NumPy can't read it, which one it is, and how
    often it was written, where its library counts that.
    """
    try:
        return fingerprint(np.asarray(thing))
    except Exception:  # as many kinds as there are libraries: the array is on another device, or has a gradient
        return _which(thing), getattr(thing, "_version", None)


def _which(thing: Any) -> Any:
    """The thing itself, weakly; what allows no weak reference is small and never changes, or is told by its place in memory."""
    try:
        return weakref.ref(thing)
    except TypeError:
        pass
    if isinstance(thing, slice):
        return (slice, repr(thing))
    try:
        hash(thing)
        return (type(thing), thing)
    except TypeError:
        return (type(thing), id(thing))
