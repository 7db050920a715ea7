"""What the function closes over, at each call: fetched, and looked at again where it is not the thing seen last.

In: a `Capture`, how it lay when traced. Out: the array, number or Variable for the program, or None where it is no longer what was traced.
What the plan writes is laid as the plan writes it, and lies apart from all else that is captured.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from backends.base import Arrays
from ir.spec import WEAK
from tracer.calls.keys import lies
from tracer.tracing.guards.memory import SHARING, memory
from tracer.tracing.outside import Capture
from tracer.variable import Variable


class Captured:
    """A thing that the function closes over. `seen`: the array looked at last."""

    __slots__ = ("fetch", "spec", "layout", "updated", "is_variable", "number", "shape", "seen", "exact", "apart", "arrays")

    def __init__(self, capture: Capture, layout: str | tuple[int, ...], updated: bool, exact: bool, arrays: Arrays):
        self.arrays = arrays
        self.fetch, self.spec, self.layout, self.updated, self.exact = capture.fetch, capture.spec, layout, updated, exact
        self.is_variable = capture.kind == "variable"
        self.number = WEAK[capture.spec.weak or "int"] if capture.kind == "number" else None
        self.shape, self.seen = capture.spec.shape, np.empty(0)
        self.apart: Apart | None = None  # where any of those that are captured together is updated

    def now(self) -> Any:
        """The array or number for a call; None where it is no longer of the kind that was traced."""
        try:
            thing = self.fetch()
            array = thing.settled() if self.is_variable else thing
        except (LookupError, AttributeError, ValueError, TypeError):
            return None
        if self.number is not None:
            return array if type(array) is self.number else None
        if array is self.seen and array.shape == self.shape:
            return array
        return self._looked_at(thing, array)

    def variable(self) -> Any:
        """The Variable itself, for a call that is recorded; None where it is no longer of the kind that was traced."""
        try:
            thing = self.fetch()
        except (LookupError, AttributeError, ValueError, TypeError):
            return None
        if not self.is_variable:
            return thing if self.number is None or type(thing) is self.number else None
        if not isinstance(thing, Variable) or thing.absent or thing.shape != self.shape:
            return None
        dtype = thing.dtype
        return thing if dtype == self.spec.dtype or dtype.newbyteorder("=") == self.spec.dtype else None

    def _looked_at(self, thing: Any, array: Any) -> Any:
        if self.is_variable and not isinstance(thing, Variable):
            return None
        if not isinstance(array, (np.ndarray, np.generic)):
            return self._on_device(thing, array)
        if array.shape != self.spec.shape:
            return None
        if array.dtype.newbyteorder("=") != self.spec.dtype:
            return None
        if not self.arrays.on_host:
            return self._noted(array)  # the program brings it to its device
        if self.exact and self.updated and {self.layout, lies(array, exact=True)} == {"C", "F"}:
            return None
        if self.updated and not (lies(array, self.exact) == self.layout and array.flags.behaved and array.dtype.isnative):
            # what the plan writes must be plain memory in one order: the Variable is laid so once, and stays
            thing.data = array = np.array(array, self.spec.dtype, order="F" if self.layout == "F" else "C")
        if not array.dtype.isnative and not self.exact:
            return np.array(array, self.spec.dtype, order="K")
        if self.layout not in (lies(array, self.exact), "any") or not array.dtype.isnative:
            return None
        return self._noted(array)

    def _on_device(self, thing: Any, array: Any) -> Any:
        """As `_looked_at`, for what is no array of NumPy's."""
        if self.arrays.on_host or not self.arrays.owns(array) or array.shape != self.spec.shape or array.dtype != self.spec.dtype:
            return None
        if self.arrays.layout(array) != self.layout:
            if not self.updated:
                return None
            thing.data = array = array.copy()
        return self._noted(array)

    def _noted(self, array: Any) -> Any:
        if self.apart is not None and not self.apart.takes(self, memory(array)):
            return None
        self.seen = array
        return array


class Apart:
    """The bytes between which each of some captured things lies as it was seen last: where one of two is written they share no element."""

    def __init__(self, captured: Sequence[Captured]):
        self._captured = captured
        self._at = {one: k for k, one in enumerate(captured)}
        self._low, self._high = np.zeros((2, len(captured)), np.uint64)

    def takes(self, one: Captured, array: Any) -> bool:
        """Whether `array`, as it lies, may be what `one` is from now on."""
        at = self._at[one]
        low, high = byte_bounds(array) if array is not None and array.size else (0, 0)
        for k in np.flatnonzero((self._low < high) & (self._high > low)).tolist():
            other = self._captured[k]
            if k != at and (one.updated or other.updated) and np.may_share_memory(array, memory(other.seen), max_work=SHARING):
                return False
        self._low[at], self._high[at] = low, high
        return True
