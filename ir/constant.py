"""Constants: arrays and numbers that are a node's attribute, so compared and hashed by what they hold.

In: an array, NumPy scalar or Python number. Out: a `Constant`, which nobody can write into. Equal ones have the same spec and the same
bits (-0.0 is not 0.0, a NaN is itself), on every machine.
"""
from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from ir.spec import spec_of


def bits(array: np.ndarray) -> bytes:
    """An array's bytes, in C order and little-endian; those with which x86 pads a long double are no part of it and left out."""
    data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    if array.dtype.char not in "gG" or np.finfo(np.longdouble).nmant != 63:
        return data
    return np.frombuffer(data, np.uint8).reshape(-1, np.dtype(np.longdouble).itemsize)[:, :10].tobytes()


class Constant:
    """An immutable array, NumPy scalar or Python number as an attribute: equal by dtype, shape, kind and bits."""

    __slots__ = ("value", "spec", "_key")

    def __init__(self, value: Any):
        if isinstance(value, np.ndarray):
            value = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
            value.flags.writeable = False
        self.value, self.spec = value, spec_of(value)
        self._key: str | None = None

    @property
    def sha(self) -> str:
        """sha256 of spec and bytes: equal constants have equal ones."""
        if self._key is None:
            held = hex(self.value).encode() if self.spec.weak == "int" else bits(self.array())  # a Python int may fit no dtype
            self._key = hashlib.sha256(f"{self.spec}".encode() + held).hexdigest()
        return self._key

    def array(self) -> np.ndarray:
        return np.asarray(self.value, self.spec.dtype)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self.spec == other.spec and self.sha == other.sha

    def __hash__(self) -> int:
        return hash((self.spec, self.sha))

    def __repr__(self) -> str:
        return f"Constant({self.value!r})"
