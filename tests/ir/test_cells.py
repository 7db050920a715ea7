"""Cells do what NumPy does with the mask itself: drawn masks, joined, cut, placed, turned and taken apart."""
from __future__ import annotations

import numpy as np
import pytest

from ir.cells import Cells


def drawn(rng, shape):
    """A mask whose neighbours are often alike, and its cells."""
    mask = np.ones(shape, bool)
    for axis, n in enumerate(shape):
        ends = np.sort(rng.integers(0, n + 1, 2))
        mask &= ((np.arange(n) >= ends[0]) & (np.arange(n) < ends[1])).reshape([-1 if k == axis else 1 for k in range(len(shape))])
    mask ^= rng.random() < 0.5
    return mask, Cells.along(mask)


def same(cells, mask):
    assert cells.shape == mask.shape and np.array_equal(cells.array(), mask)
    assert cells.key == Cells.along(mask).key  # of equal masks, however they came about


@pytest.mark.parametrize("seed", range(40))
def test_as_the_mask(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 6, int(rng.integers(1, 4))))
    mask, cells = drawn(rng, shape)
    same(cells, mask)
    thinner = tuple(n if rng.random() < 0.6 else 1 for n in shape)[int(rng.integers(len(shape))):]
    other, cells_of_other = drawn(rng, thinner)
    for ufunc in (np.logical_and, np.logical_or, np.greater):
        same(cells.joined(cells_of_other, ufunc), ufunc(mask, other))
    spans = [sorted(map(int, rng.choice(n + 1, 2, replace=False))) for n in shape]
    key = tuple(slice(*span) for span in spans)
    same(cells.part(spans), mask[key])
    around = np.zeros(shape, bool)
    around[key] = mask[key]
    same(cells.part(spans).placed(spans, shape), around)
    around[key] = True
    same(Cells.box(shape, spans), around)
    long = [k for k, n in enumerate(shape) if n > 1]
    places = [int(k) for k in rng.permutation(len(shape) + 1)[: len(long)]]
    turned = mask.reshape([shape[k] for k in long]).transpose(np.argsort(places))
    sizes = [shape[long[places.index(k)]] if k in places else 1 for k in range(len(shape) + 1)]
    same(cells.turned(places, len(shape) + 1), turned.reshape(sizes))
    whole = np.zeros(shape, bool)
    for where, slab in cells.slabs(0):
        whole |= where.reshape(-1, *[1] * (len(shape) - 1)) & slab.array()
    assert np.array_equal(whole, mask)


def test_large_ones_are_few_numbers():
    inner = Cells.box((10**6, 10**6), [(1, 10**6 - 1), (1, 10**6 - 1)])
    ring = Cells.box((10**6, 10**6), [(0, 10**6), (0, 10**6)]).joined(inner, np.greater)
    assert inner.count() == ring.count() == 9 and ring.joined(inner, np.logical_or).held.all()


def test_a_long_mask_as_it_is():
    mask = np.zeros((3, 300_000), bool)
    mask[1, 10:-10] = True
    cells = Cells.along(mask)
    assert cells.bounds == ((0, 1, 2, 3), (0, 10, 299_990, 300_000)) and cells.held.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    every_second = np.arange(300_000) % 2 == 0
    assert Cells.along(every_second).count() == 300_000


def test_no_axes() -> None:
    """A single number is a box too, and may be placed in one."""
    same(Cells.box((), []), np.ones((), bool))
