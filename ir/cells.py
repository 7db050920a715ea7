"""Masks that are alike over ranges of indices: for an array of any size a few numbers, joined, cut and placed as the mask would be.

    True but in the corners of 1000 by 1000:   bounds (0, 1, 999, 1000), (0, 1, 999, 1000)
                                               held   [[0, 1, 0], [1, 1, 1], [0, 1, 0]]

In: where slices read and write. Out: masks of what they left, known while the graph is made, where arrays of them would be as large as the
data. Neighbouring ranges are never alike, so equal masks have equal `key`s.
"""
from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

Spans = Sequence[tuple[int, int]]  # for each axis the first index and the last + 1
Bounds = tuple[tuple[int, ...], ...]


class Cells:
    """`held[i, j, ...]` is the mask at the indices `bounds[0][i]` to `bounds[0][i + 1]` of the first axis, and so on.

    >>> inner = Cells.box((4, 5), [(1, 3), (1, 4)])
    >>> inner.bounds, inner.array().sum()
    (((0, 1, 3, 4), (0, 1, 4, 5)), np.int64(6))
    >>> inner.joined(inner.part([(0, 4), (0, 5)]), np.logical_and).key == inner.key
    True
    """

    __slots__ = ("bounds", "held")

    def __init__(self, bounds: Bounds, held: np.ndarray):
        found = []
        for axis, ends in enumerate(bounds):
            rows = np.moveaxis(held, axis, 0).reshape(len(ends) - 1, -1)  # of a mask as it is as many as its axis is long
            starts = [0, *(np.flatnonzero((rows[1:] != rows[:-1]).any(axis=1)) + 1).tolist()][: len(rows)]
            held = np.take(held, starts, axis=axis)
            found.append((*[ends[k] for k in starts], ends[-1]))
        self.bounds, self.held = tuple(found), held

    @classmethod
    def box(cls, shape: tuple[int, ...], spans: Spans) -> Cells:
        """True within the spans."""
        return cls(tuple([(0, n) for n in shape]), np.ones((1,) * len(shape), bool)).part(spans).placed(spans, shape)

    @classmethod
    def along(cls, mask: np.ndarray) -> Cells:
        """A mask as it is."""
        return cls(tuple([tuple(range(n + 1)) for n in mask.shape]), mask)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple([ends[-1] for ends in self.bounds])

    @property
    def key(self) -> tuple[Bounds, bytes]:
        return self.bounds, self.held.tobytes()

    def joined(self, other: Cells, ufunc: np.ufunc) -> Cells:
        """Of both masks, broadcast to one shape."""
        shape = np.broadcast_shapes(self.shape, other.shape)
        a, b = self._spread(shape), other._spread(shape)
        bounds = tuple([tuple(sorted({*one, *two})) for one, two in zip(a.bounds, b.bounds)])
        return Cells(bounds, ufunc(a._at(bounds), b._at(bounds)))

    def part(self, spans: Spans) -> Cells:
        """The mask of a slice."""
        bounds = tuple([(start, *[k for k in ends if start < k < stop], stop) for ends, (start, stop) in zip(self.bounds, spans)])
        held = self._at(bounds)
        return Cells(tuple([tuple([k - ends[0] for k in ends]) for ends in bounds]), held)

    def placed(self, spans: Spans, shape: tuple[int, ...]) -> Cells:
        """The mask in a larger one, False around it."""
        bounds, around = [], []
        for ends, (start, _), n in zip(self.bounds, spans, shape):
            moved = [k + start for k in ends]
            before, after = [0] * (moved[0] > 0), [n] * (moved[-1] < n)
            bounds.append((*before, *moved, *after))
            around.append((len(before), len(after)))
        return Cells(tuple(bounds), np.pad(self.held, around) if around else self.held)  # NumPy pads no axes with an error

    def turned(self, places: Sequence[int], ndim: int) -> Cells:
        """With its axes longer than 1 brought to `places` among `ndim` axes."""
        long = [k for k, n in enumerate(self.shape) if n != 1]
        axes, turn = dict(zip(places, long)), [long[k] for k in sorted(range(len(long)), key=places.__getitem__)]
        bounds = tuple([self.bounds[axes[k]] if k in axes else (0, 1) for k in range(ndim)])
        held = self.held.transpose([*turn, *[k for k in range(len(self.shape)) if k not in long]])
        return Cells(bounds, held.reshape([len(ends) - 1 for ends in bounds]))

    def array(self) -> np.ndarray:
        """The mask itself."""
        found = self.held
        for axis, ends in enumerate(self.bounds):
            found = np.repeat(found, np.diff(ends), axis=axis)
        return found

    def slabs(self, axis: int) -> Iterator[tuple[np.ndarray, Cells]]:
        """For each mask that is found across the axis: the indices of the axis where it is, and the mask with length 1 there."""
        kinds: dict[bytes, list[int]] = {}
        for k in range(len(self.bounds[axis]) - 1):
            kinds.setdefault(np.take(self.held, k, axis=axis).tobytes(), []).append(k)
        bounds = (*self.bounds[:axis], (0, 1), *self.bounds[axis + 1 :])
        for found in kinds.values():
            where = np.zeros(self.shape[axis], bool)
            for low, high in [list(pairwise(self.bounds[axis]))[k] for k in found]:
                where[low:high] = True
            yield where, Cells(bounds, np.take(self.held, found[:1], axis=axis))

    def count(self) -> int:
        """How many ranges it has."""
        return math.prod(self.held.shape)

    def _spread(self, shape: tuple[int, ...]) -> Cells:
        own = ((0, 1),) * (len(shape) - len(self.bounds)) + self.bounds
        bounds = tuple([(0, n) if ends[-1] == 1 else ends for ends, n in zip(own, shape)])
        return Cells(bounds, self.held.reshape([len(ends) - 1 for ends in bounds]))

    def _at(self, bounds: Bounds) -> np.ndarray:
        """`held` for finer ranges, or some of them."""
        found = self.held
        for axis, (ends, mine) in enumerate(zip(bounds, self.bounds)):
            found = np.take(found, np.searchsorted(mine, ends[:-1], "right") - 1, axis=axis)
        return found
