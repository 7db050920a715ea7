"""What makes a trace reusable, and why not: the key of a call, leaf by leaf, and the difference of two keys in words.

Arrays count with shape, dtype (byte order included) and stride class, Python numbers with their kind alone, Variables with shape,
dtype, name and whether they have a gradient, plain values with their value, objects by identity; the switches of Config count too. Keys
hold no arrays and no Variables, and objects only weakly.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

import backends
from ir.errors import ArgumentError
from ir.spec import Spec
from tracer.arrays.scalar import TracedScalar
from tracer.arrays.traced import TracedArray, leaked
from tracer.captures.paths import always, weakly
from tracer.captures.seen import fingerprint, is_open
from tracer.tracing.outside import check_array
from tracer.variable import Variable

SWITCHES = ("enable_backprop", "train")  # of Config, in the order in which they stand in a key
LAYOUTS = {"C": "", "F": " in Fortran order", "any": " with gaps between elements"}


def layout(array: Any) -> str:
    """The stride class: "C", "F" or "any" (also for memory that is not aligned or not in native order: it is copied at the call)."""
    flags = array.flags
    return "C" if flags.c_contiguous else "F" if flags.f_contiguous else "any"


def has_gaps(thing: Any) -> bool:
    """Whether the last axis of an array, or of a Variable's, has gaps: no part of a key, but a plan may copy what has."""
    data = thing.memory() if isinstance(thing, Variable) else thing
    if not isinstance(data, np.ndarray):
        return False
    lying = [stride for n, stride in zip(data.shape, data.strides) if n > 1]
    return bool(lying) and lying[-1] != data.itemsize


def lies(array: Any, exact: bool) -> str | tuple[int, ...]:
    """How an array lies as far as a plan must know it: the stride class; with `exact` the strides themselves where it has gaps."""
    found = layout(array)
    return array.strides if exact and found == "any" else found


def exact_key(leaf: Any) -> Any:
    """`leaf_key` where every bit counts: with the strides, on which the order of a sum depends. ArgumentError for a byte-swapped array."""
    key = leaf_key(leaf)
    data = leaf.data if isinstance(leaf, Variable) and not leaf.absent else leaf
    if not isinstance(data, np.ndarray):
        return key
    check_native(data, "an argument")
    return (*key[:3], lies(data, exact=True))


def check_native(array: np.ndarray, what: str) -> None:
    """ArgumentError for a byte-swapped array: NumPy sums it piece by piece, in another order than a native one."""
    if not array.dtype.isnative:
        raise ArgumentError(
            f"{what} of dtype {array.dtype} is byte-swapped, and exact=True takes native arrays",
            op="exact", mend="x.astype(x.dtype.newbyteorder('='))",
        )


class Identity:
    """Equal for the same object only, whatever its own `==` says: two that are equal may hold different arrays. Weak where it can be."""

    __slots__ = ("_id", "_get")

    def __init__(self, thing: Any):
        self._id, self._get = id(thing), weakly(thing) or always(thing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self._id == other._id and (thing := self._get()) is not None and thing is other._get()

    def __hash__(self) -> int:
        return self._id


def leaf_key(leaf: Any) -> Any:
    """The part of a leaf in the key. Raises TraceError for a traced value whose trace is over, ArgumentError for what has no key."""
    kind = type(leaf)
    if kind is np.ndarray or isinstance(leaf, np.memmap):
        return ("array", leaf.shape, leaf.dtype, layout(leaf))
    if kind is float or kind is int or kind is complex:
        return kind
    if kind is Spec:
        return WEAK_KINDS[leaf.weak] if leaf.weak else ("array", leaf.shape, leaf.dtype, "C")
    if isinstance(leaf, Variable):
        return (kind, leaf.shape, leaf.dtype, leaf.name, leaf.grad is not None) if not leaf.absent else (kind, None, leaf.name)
    if kind is TracedArray:
        raise leaked(leaf)
    if kind is TracedScalar:
        raise leaf.leaked()
    if isinstance(leaf, np.generic):
        return ("scalar", leaf.dtype)
    if (backend := backends.owner(leaf)) is not None:
        return ("array", leaf.shape, leaf.dtype, backend.arrays.layout(leaf), backend.name)
    if isinstance(leaf, np.ndarray):
        check_array(leaf)  # refuses subclasses
    if isinstance(leaf, (bool, str, bytes, type(None), type)):
        return (kind, leaf)
    if isinstance(leaf, (frozenset, slice)):
        return (kind, fingerprint(leaf))
    if is_open(kind):
        return (kind, Identity(leaf))
    try:
        hash(leaf)
        return (kind, weakref.ref(leaf))
    except TypeError:
        pass
    try:
        return (kind, hash(leaf), leaf)
    except TypeError:
        raise ArgumentError(
            f"an argument of type {kind.__name__} can't be told from another", mend="pass arrays, numbers, strings, or something hashable"
        ) from None


WEAK_KINDS = {"int": int, "float": float, "complex": complex}


def describe(key: Any) -> str:
    """The part of a leaf in words."""
    if isinstance(key, type):
        return f"a Python {key.__name__}"
    if key[0] == "array":
        where = f" of {key[4]}" if len(key) > 4 else ""
        return f"{_spec(key[1], key[2])}{where}{LAYOUTS[key[3]] if isinstance(key[3], str) else f' with strides {key[3]}'}"
    if key[0] == "scalar":
        return f"a NumPy {key[1]}"
    if issubclass(key[0], Variable):
        return "a Variable without data" if key[1] is None else f"a Variable {_spec(key[1], key[2])}"
    return f"{key[1]!r}" if key[0] in (bool, str, bytes, type(None)) else f"a {key[0].__name__}"


def _spec(shape: tuple[int, ...], dtype: np.dtype) -> str:
    return f"{Spec(shape, dtype.newbyteorder('='))}" + ("" if dtype.isnative else " byte-swapped")


def changes(before: Any, now: Any, names: list[str]) -> str:
    """Why a call needs a trace of its own, by its key and the key of the trace before it (None: there was none).

    `names` are those of the arguments as the user would write them.
    """
    if before is None:
        return "the first call"
    if before[0] != now[0]:
        return f"the tree of the arguments: {before[0]} -> {now[0]}"
    pairs = [(f"Config.{name}", str(old), str(new)) for name, old, new in zip(SWITCHES, before[1], now[1]) if old != new]
    for name, old, new in zip(names, before[2:], now[2:]):
        if old != new:
            was, becomes = describe(old), describe(new)
            pairs.append((f"argument {name}", was, f"another {becomes.removeprefix('a ')}" if was == becomes else becomes))
    if not pairs:
        return "an earlier trace of this kind was dropped from the cache"
    return ", ".join([f"{what}: {old} -> {new}" for what, old, new in pairs])
