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


def turn(write: np.ndarray, read: np.ndarray, a: int, b: int) -> None:
    """`write[...] = read`, whose elements lie one after another along axis `a`; those of `write` do so along axis `b`.

    >>> x = np.arange(6.0).reshape(2, 3)
    >>> turn(y := np.empty((3, 2)), x.T, 0, 1)
    >>> y.tolist()
    [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    """
    copy = _COPIES.get(read.dtype.char)
    if copy is None or read.shape[a] * read.shape[b] < _LEAST or not (read.flags.aligned and write.flags.aligned):
        write[...] = read
        return
    size, outer = read.itemsize, [k for k in range(read.ndim) if k not in (a, b)]
    at_read, at_write = read.ctypes.data, write.ctypes.data
    for index in np.ndindex(*[read.shape[k] for k in outer]):
        source = at_read + sum([i * read.strides[k] for i, k in zip(index, outer)])
        target = at_write + sum([i * write.strides[k] for i, k in zip(index, outer)])
        copy(
            _ROWS, _TURNED, read.shape[b], read.shape[a], 1.0, source, read.strides[b] // size, target, write.strides[a] // size
        )
