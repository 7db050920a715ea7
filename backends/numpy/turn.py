"""Copies from one fastest axis to another, in tiles that stay in the cache: by BLAS where it has such a copy.

`write[...] = read` takes 11 ns an element where each lies on a page of its own, and 2 in tiles that are read into a buffer first; BLAS's
`omatcopy` takes 0.6, without holding Python's lock. It multiplies by 1, which changes no number, so it is for floats alone.
"""

from __future__ import annotations

import ctypes
import itertools
from typing import Any

import numpy as np

from backends.numpy.blas import loaded

_ROWS, _TURNED = 101, 112  # CblasRowMajor, CblasTrans
_LEAST = 1 << 10  # elements a call


def _find(letter: str, number: Any) -> Any:
    """The function for arrays of such numbers, of the first library that has one, and the kind of its counts; None where none has."""
    for library in loaded():
        for prefix, suffix in itertools.product(("scipy_", ""), ("64_", "_64", "")):
            found = getattr(library, f"{prefix}cblas_{letter}omatcopy{suffix}", None)
            if found is not None:
                count = ctypes.c_int64 if suffix else ctypes.c_int
                found.argtypes = [ctypes.c_int, ctypes.c_int, count, count, number, ctypes.c_void_p, count, ctypes.c_void_p, count]
                found.restype = None
                return found
    return None


_COPIES = {
    char: found for char, number in (("f", ctypes.c_float), ("d", ctypes.c_double)) if (found := _find({"f": "s"}.get(char, char), number))
}


def _address_within() -> int | None:
    """How far into an array object the address of its data stands; None where that is not as in CPython's NumPy."""
    samples = [np.arange(6.0)[2:], np.zeros((2, 3), "f4").T, np.ones(1)]
    offset = object.__basicsize__
    found = all(ctypes.c_void_p.from_address(id(a) + offset).value == a.ctypes.data for a in samples)
    return offset if found else None


_WITHIN = _address_within()


def _address(array: np.ndarray) -> Any:
    """Of the first element. `array.ctypes.data` takes 5 us, which the other threads wait for; the field itself 0.5."""
    return array.ctypes.data if _WITHIN is None else ctypes.c_void_p.from_address(id(array) + _WITHIN).value


def turn(write: np.ndarray, read: np.ndarray, a: int, b: int) -> None:
    """`write[...] = read`, whose elements lie one after another along axis `a`; those of `write` do so along axis `b`.

    >>> x = np.arange(6.0).reshape(2, 3)
    >>> turn(y := np.empty((3, 2)), x.T, 0, 1)
    >>> y.tolist()
    [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    """
    copy, shape = _COPIES.get(read.dtype.char), read.shape
    if copy is None or shape[a] * shape[b] < _LEAST or not (read.flags.aligned and write.flags.aligned):
        write[...] = read
        return
    size, here, there = read.itemsize, read.strides, write.strides
    starts = [(_address(read), _address(write))]
    for k in range(len(shape)) if len(shape) > 2 else ():
        if k not in (a, b) and shape[k] > 1:
            starts = [(source + i * here[k], target + i * there[k]) for source, target in starts for i in range(shape[k])]
    for source, target in starts:
        copy(_ROWS, _TURNED, shape[b], shape[a], 1.0, source, here[b] // size, target, there[a] // size)
