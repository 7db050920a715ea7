"""What the order of axes costs: steps over places in, nanoseconds out, beside what their arithmetic and their bytes take.

An elementwise call or a reduction goes through memory in runs, along one axis and those that follow it without a gap in all its places;
each run has a price (`Target.row_ns`), and so has each element that does not lie next to the one before (`Target.gap_ns`): little within
a cache line, eight times as much where each is on a page of its own. A copy from one fastest axis to another goes in tiles that stay in
the cache, at the price of a gap an element.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

from ir.op import Trait
from ir.place import Place
from ir.plan import Call, Copy, Plan, Step
from ir.target import Target

LINE, PAGE = 64, 4096
SMALL = 1 << 12  # elements: below, a turned copy is no call of its own


def walk_ns(body: Plan) -> float:
    """Of all steps of a plan."""
    return sum([_step_ns(step, body.target) for step in body.steps])


def in_rows(place: Place) -> bool:
    """Whether its last axis lies without gaps, as in C order. What repeats elements, or lies as only the call says, is left so too."""
    if place.strides is None:
        return True
    lying = [stride for n, stride in zip(place.shape, place.strides) if n > 1]
    return not lying or 0 in lying or lying[-1] == place.dtype.itemsize


def turned(read: Place, write: Place) -> tuple[int, int] | None:
    """The fastest axes of what is read and of what is written, where these differ and both lie so that tiles can be copied."""
    size = read.dtype.itemsize
    if read.strides is None or write.strides is None or read.dtype != write.dtype or math.prod(read.shape) < SMALL:
        return None
    fastest = [[k for k, (n, s) in enumerate(zip(p.shape, p.strides or ())) if n > 1 and s == size] for p in (read, write)]
    if any(len(axes) != 1 for axes in fastest) or fastest[0] == fastest[1]:
        return None
    (a,), (b,) = fastest
    spaced = read.strides[b] >= size * read.shape[a] and write.strides[a] >= size * write.shape[b]
    whole = read.strides[b] % size == 0 and write.strides[a] % size == 0
    return (a, b) if spaced and whole else None


def _step_ns(step: Step, target: Target) -> float:
    if isinstance(step, Copy):
        count = math.prod(step.read.shape)
        moved = target.call_ns + 2 * count * step.read.dtype.itemsize / (4 * target.bandwidth)
        turns = step.read.dtype.kind == "f" and turned(step.read, step.write) is not None
        return moved + (count * target.gap_ns if turns else _walk_ns([step.read, step.write], step.read.shape, target))
    if not isinstance(step, Call):
        return 0.0
    if step.node.op.has(Trait.ELEMENTWISE):
        return _walk_ns([*step.reads, *step.writes], step.writes[0].shape, target)
    if step.node.op.family == "reduce" and isinstance(step.node.attrs.get("axis"), tuple):
        return _walk_ns(step.reads[:1], step.reads[0].shape, target, step.node.attrs["axis"])
    return 0.0


def _walk_ns(places: Sequence[Place], shape: tuple[int, ...], target: Target, reduced: tuple[int, ...] = ()) -> float:
    """Along the best of the axes. Over `reduced` axes nothing new is written: a run ends where others follow."""
    axes = [k for k, n in enumerate(shape) if n > 1]
    lies = [(_aligned(p, shape), p.dtype.itemsize) for p in places if p.strides is not None]
    size, best = math.prod(shape), math.inf
    for first in axes:
        run, last, left = shape[first], first, set(axes) - {first}
        while follows := [k for k in left if (k in reduced) == (last in reduced) and all(s[k] == s[last] * shape[last] for s, _ in lies)]:
            last = min(follows)
            left.remove(last)
            run *= shape[last]
        gaps = sum([_gap(abs(strides[first]), itemsize) for strides, itemsize in lies])
        best = min(best, size / run * target.row_ns + size * gaps * target.gap_ns)
    return best if axes else 0.0


def _aligned(place: Place, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides along the axes of `shape`, 0 where the place is broadcast."""
    strides = tuple([0 if n == 1 else s for n, s in zip(place.shape, place.strides or ())])
    return (0,) * (len(shape) - len(strides)) + strides


def _gap(stride: int, itemsize: int) -> float:
    if stride in (0, itemsize):
        return 0.0
    return 0.25 if stride <= LINE else 1.0 if stride < PAGE else 8.0
