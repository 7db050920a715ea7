"""What makes a trace reusable: a key for each leaf of the arguments, and in words what differs when no trace fits.

Arrays count by shape, dtype with byte order, and memory order; numbers by kind; Variables by type, shape and dtype; bools, None,
strings, enums and types by value; all other objects by identity (weakly where they allow it).
"""
from __future__ import annotations

import enum
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np

from ir.spec import Spec, dtype_name
from tracer import trees
from tracer.capture import PLAIN

Key = tuple[Any, ...]


class Identity:
    """Equal to the stand-in of the same object only. Holds the object weakly where that is possible."""

    __slots__ = ("_held", "_id", "_weak")

    def __init__(self, thing: Any):
        self._id = id(thing)
        try:
            self._held: Any = weakref.ref(thing)
            self._weak = True
        except TypeError:
            self._held, self._weak = thing, False

    def thing(self) -> Any:
        """The object, or None when it is gone."""
        return self._held() if self._weak else self._held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self._id == other._id and self.thing() is other.thing() is not None

    def __hash__(self) -> int:
        return self._id


def leaf_key(leaf: Any) -> Key:
    """The part of a key that one leaf is. Equal keys share a trace.

    >>> leaf_key(np.ones((2, 3))) == leaf_key(np.zeros((2, 3))) == leaf_key(Spec((2, 3)))
    True
    >>> leaf_key(1.0) == leaf_key(2.0), leaf_key(True) == leaf_key(False)
    (True, False)
    """
    kind = type(leaf)
    if isinstance(leaf, np.ndarray):
        return "array", leaf.shape, leaf.dtype.str, _order(leaf)
    if kind is float or kind is int or kind is complex:
        return "number", kind.__name__
    if isinstance(leaf, np.generic):
        return "scalar", leaf.dtype.str
    if isinstance(leaf, Spec):
        return ("number", leaf.weak) if leaf.weak else ("array", leaf.shape, leaf.dtype.str, "C")
    if getattr(kind, "rank", 0) == 3:
        return "variable", kind, leaf.shape, leaf.dtype.str
    if isinstance(leaf, (*PLAIN, enum.Enum, type, np.dtype)):
        return "value", kind, repr(leaf) if isinstance(leaf, (float, complex)) else leaf
    return "object", kind, Identity(leaf)


def _order(array: np.ndarray) -> Any:
    """"C", "F", or the strides themselves."""
    if array.flags.c_contiguous:
        return "C"
    return "F" if array.flags.f_contiguous else array.strides


def describe(key: Key) -> str:
    """The part of a key in words: `f64[3,4]`, `a float`, `True`.

    >>> describe(leaf_key(np.ones((3, 4), np.float32).T))
    'f32[4,3] in F order'
    """
    match key[0]:
        case "array":
            dtype = np.dtype(key[2])
            name = dtype_name(dtype) if dtype.kind in "biufc" else str(dtype)
            swapped = "" if dtype.isnative else " in the other byte order"
            order = "" if key[3] == "C" else " in F order" if key[3] == "F" else f" with strides {key[3]}"
            return f"{name}[{','.join(map(str, key[1]))}]{swapped}{order}"
        case "number":
            return f"a {key[1]}"
        case "scalar":
            return f"a NumPy scalar {np.dtype(key[1])}"
        case "variable":
            return f"a {key[1].__name__} {describe(('array', key[2], key[3], 'C'))}"
        case "value":
            return f"{key[2]!r:.40}"
    return f"another object of type {key[1].__name__}"


def changes(known: Iterable[Key], key: Key, structure: trees.Structure, leaves: list[Any]) -> str:
    """Why none of the keys known so far fits: the difference from the one that differs in the fewest leaves."""
    best: list[tuple[str, Key, Key]] | None = None
    seen = False
    for old in known:
        seen = True
        if old[0] != structure:
            continue
        differ = [(name, a, b) for name, a, b in zip(leaf_names(structure), old[1:], key[1:]) if a != b]
        if best is None or len(differ) < len(best):
            best = differ
    if not seen:
        return "first call"
    if not best:
        return "the arguments form another tree (containers, their keys, or the order of keys)" if best is None else "the earlier trace was dropped"
    return "; ".join([f"{name} is {describe(b)}, before {describe(a)}" for name, a, b in best[:3]])


def leaf_names(structure: trees.Structure) -> list[str]:
    """How the leaves of (args, kwargs) are called where parameters have no names: `args[0]`, `scale`."""
    found = []
    for path in structure.paths:
        head = f"args[{path[1]}]" if path[0] == 0 else str(path[1])
        found.append(head + "".join([f"[{step!r}]" for step in path[2:]]))
    return found


__all__ = ["Identity", "Key", "changes", "describe", "leaf_key", "leaf_names"]
