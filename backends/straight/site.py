"""Where a kernel's lines are written: what a body may ask for, and the geometry of views of places.

A Kernel's `body` is a tuple of line templates or a function of a `Site` that gives such a tuple. In a template `{0}`, `{1}` are the
operands, `{out}` and `{out1}` the outputs, `{t0}` the temps and `{axis}` the node's attribute of that name. A function is written as
`np.add.reduce` or `support.hosted` (of the backend's own `support`); the emitter binds it to a name of its own once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.place import Place
from ir.plan import Call
from ir.planning.places import sliced
from ir.planning.strides import k_strides

Body = tuple[str, ...] | Callable[["Site"], tuple[str, ...]]


@dataclass(frozen=True)
class Site:
    """One Call being written. `name` gives the Python name of a place, `const` of the value of an expression made once a program.

    `thing` gives the name of an object that `bind` gets among the constants.
    """

    call: Call
    name: Callable[[Place], str]
    const: Callable[[str, str], str]
    thing: Callable[[Any, str], str]

    @property
    def attrs(self) -> dict[str, Any]:
        return self.call.node.attrs

    @property
    def reads(self) -> tuple[Place, ...]:
        return self.call.reads

    @property
    def writes(self) -> tuple[Place, ...]:
        return self.call.writes

    def number(self, value: Any, dtype: np.dtype) -> str:
        """A 0-d array: as an operand it takes 0.58 us where a Python number takes 0.85."""
        return self.const(f"np.array({value!r}, np.{type_name(dtype)})", f"{value}")

    def scalar(self, place: Place) -> str:
        """What lies at a place without axes, as a NumPy scalar."""
        held = place.buffer.data
        if held is None or held.shape != () or place.dtype.char not in "fd":
            return f"{self.name(place)}[()]"
        kind = type_name(place.dtype)
        return self.const(f"np.{kind}({held.item()!r})", f"{kind}_{held.item()}")

    def filled(self, count: int, value: Any, dtype: np.dtype) -> str:
        """A vector of equal numbers, to sum by a product."""
        kind = f"np.{type_name(dtype)}"
        return self.const(
            f"np.ones({count}, {kind})" if value == 1 else f"np.full({count}, {value!r}, {kind})",
            f"ones{count}" if value == 1 else "weights",
        )


def type_name(dtype: np.dtype) -> str:
    """The name of a dtype's scalar type in NumPy's namespace.

    >>> type_name(np.dtype("f8")), type_name(np.dtype(bool))
    ('float64', 'bool')
    """
    return dtype.type.__name__


def same_memory(a: Place, b: Place) -> bool:
    """Whether two places are the same elements."""
    return a.buffer is b.buffer and a.offset == b.offset and a.shape == b.shape and a.strides == b.strides and a.strides is not None


def reshaped(place: Place, shape: tuple[int, ...], order: str = "C") -> Place:
    """A C- (or F-) contiguous place in another shape, in which -1 stands for what is left."""
    if -1 in shape:
        left = math.prod(place.shape) // -math.prod(shape)
        shape = tuple([left if n == -1 else n for n in shape])
    size, strides = place.dtype.itemsize, []
    for n in reversed(shape) if order == "C" else shape:
        strides.append(size)
        size *= n
    return Place(place.buffer, place.offset, shape, tuple(reversed(strides) if order == "C" else strides), place.dtype)


def flat(place: Place) -> Place:
    """A C- or F-contiguous place as one axis."""
    return reshaped(place, (math.prod(place.shape),))


def transposed(place: Place) -> Place:
    """The axes in reverse order."""
    return Place(place.buffer, place.offset, place.shape[::-1], None if place.strides is None else place.strides[::-1], place.dtype)


def without(place: Place, axes: tuple[int, ...]) -> Place:
    """Without these axes, all of size 1."""
    kept = [k for k in range(len(place.shape)) if k not in axes]
    assert place.strides is not None
    return Place(place.buffer, place.offset, tuple([place.shape[k] for k in kept]), tuple([place.strides[k] for k in kept]), place.dtype)


def parts(place: Place) -> tuple[Place, Place]:
    """The real and the imaginary part of a complex place."""
    half = np.dtype(place.dtype.char.lower())
    step = 0 if 0 in place.shape else half.itemsize  # what is empty has no room for an offset
    re, im = [Place(place.buffer, place.offset + k * step, place.shape, place.strides, half) for k in (0, 1)]
    return re, im


def like(temp: Place, x: Place) -> Place:
    """A temp of `x`'s shape in the order of axes that NumPy would give it: sums over it then have NumPy's bits."""
    if x.strides is None or temp.shape != x.shape:
        return temp
    return Place(temp.buffer, temp.offset, temp.shape, k_strides(temp.shape, temp.dtype.itemsize, ((x.shape, x.strides),)), temp.dtype)


def dense(place: Place) -> bool:
    """Contiguous in C or F order."""
    return place.contiguous("C") or place.contiguous("F")


def written_view(site: Site) -> str:
    """The part of the output that an update of a slice writes."""
    return site.name(sliced(site.writes[0], site.attrs["index"]))


def trimmed_value(site: Site, ndim: int) -> str:
    """The value without leading axes of size 1 past the place's: assignment drops them, ufuncs don't."""
    value = site.reads[1]
    extra = len(value.shape) - ndim
    return site.name(without(value, tuple(range(extra)))) if extra > 0 else site.name(value)
