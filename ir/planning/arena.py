"""Offsets in one arena: buffers with lifetimes in, offsets and the arena's size out. Buffers alive at one time never overlap.

They are placed first as time goes, each in the smallest free block that holds it; where that misses the bound (the most bytes alive at
a step), with sizes rounded so that like follows like, and with time backwards. Then greedily: the largest first, each into the lowest
gap that fits; and a hill climb moves the buffers at the top forward. Pairs of buffers alive together can grow with the square: with
too many, the greedy way is left out.
"""
from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections.abc import Sequence

from ir.place import Buffer

MOST_PAIRS = 200_000  # of buffers alive at one time, for the greedy placement: about 0.1 s
CLIMB_WORK = 150_000  # pairs looked at by the hill climb in all
CLIMB_TRIES = 100


def place_buffers(buffers: Sequence[Buffer], alignment: int) -> int:
    """Sets the offsets; gives the bytes of the arena. `alignment` (a power of two) is that of large buffers."""
    items = [b for b in buffers if b.bytes]
    aligns = [alignment_of(b.bytes, alignment) for b in items]
    bound = _most_live(items, [-(-b.bytes // align) * align for b, align in zip(items, aligns)])
    exact = [-(-b.bytes // alignment) * alignment for b in items]
    coarse = [_rounded(size, alignment) for size in exact]
    offsets = _in_time(items, exact, backwards=False)
    for sizes, backwards in ((coarse, False), (exact, True), (coarse, True)):
        if _end(items, offsets) <= bound:
            break
        offsets = min(offsets, _in_time(items, sizes, backwards), key=lambda found: _end(items, found))
    if _end(items, offsets) > bound and _pairs(items) <= MOST_PAIRS:
        offsets = min(offsets, _climb(items, aligns, bound), key=lambda found: _end(items, found))
    for buffer in buffers:
        buffer.offset = 0
    for buffer, offset in zip(items, offsets):
        buffer.offset = offset
    return _end(items, offsets)


def most_live(buffers: Sequence[Buffer]) -> int:
    """The most bytes alive at any step."""
    return _most_live(buffers, [b.bytes for b in buffers])


def alignment_of(bytes: int, most: int) -> int:
    """The alignment of a buffer: a small one needs no more than the next power of two of its size.

    >>> alignment_of(8, 64), alignment_of(24, 64), alignment_of(800, 64)
    (8, 32, 64)
    """
    return min(most, 1 << max(bytes - 1, 0).bit_length())


def _most_live(buffers: Sequence[Buffer], sizes: Sequence[int]) -> int:
    change: dict[int, int] = {}
    for buffer, size in zip(buffers, sizes):
        change[buffer.birth] = change.get(buffer.birth, 0) + size
        change[buffer.death + 1] = change.get(buffer.death + 1, 0) - size
    live = most = 0
    for step in sorted(change):
        live += change[step]
        most = max(most, live)
    return most


def _pairs(buffers: Sequence[Buffer]) -> int:
    """How many pairs are alive at one time: for each birth, how many are alive then."""
    births, deaths = sorted([b.birth for b in buffers]), sorted([b.death for b in buffers])
    total = gone = 0
    for born, birth in enumerate(births):
        while deaths[gone] < birth:
            gone += 1
        total += born - gone
    return total


def _end(items: Sequence[Buffer], offsets: Sequence[int]) -> int:
    return max([offset + b.bytes for b, offset in zip(items, offsets)], default=0)


# ---- greedy, and the hill climb
def _climb(items: Sequence[Buffer], aligns: Sequence[int], bound: int) -> list[int]:
    """Greedy by size; then buffers at the top are moved forward in the order of placing, and what is no worse stays."""
    beside = _neighbours(items)
    order = sorted(range(len(items)), key=lambda k: (-items[k].bytes, items[k].birth, k))
    best = _greedy(items, aligns, beside, order)
    top = _end(items, best)
    pairs = sum([len(others) for others in beside]) + len(items)
    draw = random.Random(0)
    for _ in range(min(CLIMB_TRIES, CLIMB_WORK // max(pairs, 1))):
        if top <= bound:
            break
        highest = [position for position, k in enumerate(order) if best[k] + items[k].bytes == top]
        position = draw.choice(highest)
        tried = order.copy()
        tried.insert(draw.randrange(position + 1), tried.pop(position))
        if draw.random() < 0.5:
            one, other = draw.randrange(len(tried)), draw.randrange(len(tried))
            tried[one], tried[other] = tried[other], tried[one]
        offsets = _greedy(items, aligns, beside, tried)
        end = _end(items, offsets)
        if end <= top:
            order, best, top = tried, offsets, end
    return best


def _neighbours(items: Sequence[Buffer]) -> list[list[int]]:
    """For each buffer, those alive together with it."""
    beside: list[list[int]] = [[] for _ in items]
    alive: list[int] = []
    for k in sorted(range(len(items)), key=lambda k: items[k].birth):
        birth = items[k].birth
        alive = [other for other in alive if items[other].death >= birth]
        for other in alive:
            beside[other].append(k)
        beside[k] += alive
        alive.append(k)
    return beside


def _greedy(items: Sequence[Buffer], aligns: Sequence[int], beside: Sequence[Sequence[int]], order: Sequence[int]) -> list[int]:
    """In this order, each buffer into the lowest gap between those alive with it."""
    offsets = [-1] * len(items)
    for k in order:
        size, align = items[k].bytes, aligns[k]
        at = 0
        for start, end in sorted([(offsets[j], offsets[j] + items[j].bytes) for j in beside[k] if offsets[j] >= 0]):
            if at + size <= start:
                break
            if end > at:
                at = -(-end // align) * align
        offsets[k] = at
    return offsets


# ---- as time goes
def _rounded(size: int, alignment: int) -> int:
    """Up to a multiple of an eighth of its power of two: sizes that are nearly alike become alike."""
    step = max(alignment, (1 << max(size - 1, 0).bit_length()) // 8)
    return -(-size // step) * step


def _in_time(items: Sequence[Buffer], sizes: Sequence[int], backwards: bool) -> list[int]:
    """Best fit in the order of births (or, backwards, of deaths) with a list of free blocks that grow together."""
    spans = [(-b.death, -b.birth) if backwards else (b.birth, b.death) for b in items]
    ends = sorted(range(len(items)), key=lambda k: spans[k][1])
    blocks = _Blocks()
    offsets = [0] * len(items)
    gone = 0
    for k in sorted(range(len(items)), key=lambda k: (spans[k][0], -sizes[k], k)):
        while spans[ends[gone]][1] < spans[k][0]:
            blocks.give(offsets[ends[gone]], sizes[ends[gone]])
            gone += 1
        offsets[k] = blocks.take(sizes[k])
    return offsets


class _Blocks:
    """Free blocks below `top`, by size and by both ends."""

    def __init__(self) -> None:
        self.top = 0
        self._sizes: list[tuple[int, int]] = []
        self._starts: dict[int, int] = {}
        self._stops: dict[int, int] = {}

    def take(self, size: int) -> int:
        at = bisect_left(self._sizes, (size, 0))
        if at < len(self._sizes):
            found, start = self._sizes[at]
            self._drop(start, found)
            if found > size:
                self._put(start + size, found - size)
            return start
        start = self.top
        last = self._stops.get(self.top)
        if last is not None:
            self._drop(last, self.top - last)
            start = last
        self.top = start + size
        return start

    def give(self, start: int, size: int) -> None:
        before, after = self._stops.get(start), self._starts.get(start + size)
        if after is not None:
            self._drop(start + size, after)
            size += after
        if before is not None:
            self._drop(before, start - before)
            start, size = before, size + start - before
        self._put(start, size)

    def _put(self, start: int, size: int) -> None:
        insort(self._sizes, (size, start))
        self._starts[start], self._stops[start + size] = size, start

    def _drop(self, start: int, size: int) -> None:
        del self._sizes[bisect_left(self._sizes, (size, start))]
        del self._starts[start], self._stops[start + size]
