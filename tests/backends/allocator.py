"""A counting allocator for NumPy's array data: every request of the data allocator, exactly, through a handler installed by ctypes.

For a child process only, which ends by `os._exit`: arrays made within `counting()` are freed through it later. Arrays made before keep
the allocator that made them and are not counted; NumPy's fixed casting buffers and Python objects do not pass here. The handler is
Python, and NumPy also frees while an exception is on its way, which Python does not survive: so count what runs, not what may raise.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from numpy._core import _multiarray_umath

_SET_HANDLER = 304  # PyDataMem_SetHandler's place in NumPy's table of C functions (stable since NumPy 1.22)
_Malloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_Calloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
_Realloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_Free = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class _Handler(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("context", ctypes.c_void_p),
        ("malloc", _Malloc), ("calloc", _Calloc), ("realloc", _Realloc), ("free", _Free),
    ]  # fmt: skip


@dataclass
class Counts:
    """Bytes outstanding now, the most at one time since `reset`, and each request since then."""

    outstanding: int = 0
    peak: int = 0
    requests: list[int] = field(default_factory=list)
    sizes: dict[int, int] = field(default_factory=dict)

    def reset(self) -> None:
        """What is outstanding now counts as nothing from here on."""
        self.outstanding, self.peak, self.requests = 0, 0, []

    def asked(self, address: int | None, size: int) -> int | None:
        if address:
            self.sizes[address] = size
            self.requests.append(size)
            self.outstanding += size
            self.peak = max(self.peak, self.outstanding)
        return address

    def freed(self, address: int | None) -> None:
        if address:
            self.outstanding -= self.sizes.pop(address, 0)


counts = Counts()


@contextmanager
def counting() -> Iterator[Counts]:
    """In the block NumPy asks us for all array data; gives the counts, all at nothing."""
    counts.reset()
    before = _set_handler(_capsule)
    try:
        yield counts
    finally:
        _set_handler(before)


def _made() -> tuple[Any, Any, list[Any]]:
    """NumPy's function that sets a handler, ours in a capsule, and what C keeps pointers to."""
    libc = ctypes.CDLL(None)
    for name in ("malloc", "calloc", "realloc"):
        getattr(libc, name).restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.calloc.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
    libc.realloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]

    def realloc(context: int, address: int | None, size: int) -> int | None:
        counts.freed(address)
        return counts.asked(libc.realloc(address, size), size)

    def free(context: int, address: int | None, size: int) -> None:
        counts.freed(address)
        libc.free(address)

    handler = _Handler(
        b"counting", 1, None,
        _Malloc(lambda context, size: counts.asked(libc.malloc(size), size)),
        _Calloc(lambda context, count, size: counts.asked(libc.calloc(count, size), count * size)),
        _Realloc(realloc), _Free(free),
    )  # fmt: skip
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    name = ctypes.c_char_p(b"mem_handler")
    capsule = new(ctypes.addressof(handler), name, None)
    table = ctypes.cast(get(_multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[_SET_HANDLER])
    return set_handler, capsule, [handler, name]


_set_handler, _capsule, _kept = _made()
