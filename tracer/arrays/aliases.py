"""Arrays of the caller's that share memory: which elements are the same, and how a write into one is seen in the other.

In: arrays that enter a trace, each with its storage. Out: links between storages, so that what is written into one is mirrored in the
others when they are next read; and the relation of two arrays, which a later call must have as well for the trace to hold. Elements
are compared by address, so any views of one memory will do: the same array twice, overlapping slices, transposes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ir.ops.places import Index, triple
from tracer.arrays.shared import Shared
from tracer.arrays.storage import Storage

Relation = tuple[int, tuple[int, ...], tuple[int, ...], np.dtype, np.dtype]


def relation(a: np.ndarray, b: np.ndarray) -> Relation | None:
    """How two arrays lie to each other, None where their memory is apart: equal relations of arrays of equal shapes share equal elements.

    >>> x = np.zeros(4)
    >>> relation(x[:2], x[2:]), relation(x, x[::2])
    (None, (0, (8,), (16,), dtype('float64'), dtype('float64')))
    """
    if not np.may_share_memory(a, b):
        return None
    apart = b.__array_interface__["data"][0] - a.__array_interface__["data"][0]
    return apart, a.strides, b.strides, a.dtype, b.dtype


def link(storages: Sequence[tuple[Storage, np.ndarray]], new: int = 0) -> None:
    """Links each storage from number `new` on with all that its array shares elements with."""
    for k, (one, a) in enumerate(storages):
        for other, b in storages[:k] if k >= new else ():
            if a.size and b.size and np.may_share_memory(a, b):
                there, here = shared(a, b), shared(b, a)  # from one to the other, and back
                if there is not None and here is not None:
                    one.peers.append((other, there))
                    other.peers.append((one, here))
                    if other.version:
                        one.catch_up(other, here)


def shared(a: np.ndarray, b: np.ndarray) -> Shared | None:
    """The elements of `b` that lie where elements of `a` lie, None where there are none."""
    size = a.dtype.itemsize
    places, wanted = _addresses(a).ravel(), _addresses(b).ravel()
    if a.dtype != b.dtype or len({int(p) % size for p in (places[0], wanted[0])}) > 1 or any(s % size for s in (*a.strides, *b.strides)):
        return Shared(torn=True) if np.shares_memory(a, b) else None
    order = np.argsort(places, kind="stable")
    at = np.minimum(np.searchsorted(places, wanted, sorter=order), places.size - 1)
    found = places[order[at]] == wanted
    if not found.any():
        return None
    here, there = _indices(order[at[found]], a.shape), _indices(np.flatnonzero(found), b.shape)
    return _sliced(a.shape, b.shape, here, there) or Shared(here, there, False)


def _indices(flat: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """An index array for each axis."""
    return np.unravel_index(flat, shape) if shape else ()


def _addresses(x: np.ndarray) -> np.ndarray:
    """The address of each element."""
    total = np.full(x.shape, x.__array_interface__["data"][0], np.int64)
    for axis, (n, stride) in enumerate(zip(x.shape, x.strides)):
        total += (np.arange(n) * stride).reshape([n if k == axis else 1 for k in range(x.ndim)])
    return total


def _sliced(a: tuple[int, ...], b: tuple[int, ...], here: tuple[np.ndarray, ...], there: tuple[np.ndarray, ...]) -> Shared | None:
    """The shared elements as a slice of each array with the same axes, where they are one."""
    if len(a) != len(b) or not a:
        return None
    box = tuple([np.count_nonzero(np.bincount(i)) for i in there])  # how many different indices: np.unique takes ten times as long
    if int(np.prod(box)) != there[0].size:
        return None
    found: list[Index] = []
    for shape, indices in ((a, here), (b, there)):
        runs = [_run(i.reshape(box), axis, n) for axis, (i, n) in enumerate(zip(indices, shape))]
        if any(r is None for r in runs):
            return None
        found.append(tuple([r for r in runs if r is not None]))
    return Shared(found[0], found[1], True)


def _run(grid: np.ndarray, axis: int, size: int) -> tuple[int, int | None, int] | None:
    """The slice of an axis of `size` whose indices `grid` holds, if they depend on this axis alone and are evenly spaced."""
    line = np.moveaxis(grid, axis, 0).reshape(grid.shape[axis], -1)[:, 0]
    steps = np.diff(line)
    wide = line.reshape([-1 if k == axis else 1 for k in range(grid.ndim)])
    if not (grid == wide).all() or (steps.size and (steps != steps[0]).any()) or (steps.size and steps[0] == 0):
        return None
    step = int(steps[0]) if steps.size else 1
    stop = int(line[-1]) + (1 if step > 0 else -1)
    return triple(slice(int(line[0]), stop if stop >= 0 else None, step), size)
