"""How far two computations of one value may lie apart: the bound of the checker, measured and not guessed.

An operation that rounds gives other bits in another order of additions or by another formula. How much that can be is found by
computing it again with every float operand moved by a random part of one ulp, times the length of the reduction (the elements that go
into one), and its result by one ulp: `NOISES` times, and the largest change counts. That sees cancellation: the difference of two
nearly equal numbers may be as wrong as they are. An operation that does not round, or works on whole numbers, has no such noise of its
own. The bound is SLACK times the noise and one ulp; where nothing rounds it is 0: every bit must be the same.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.evaluate import apply_meaning
from ir.graph import Node
from ir.op import Reduced, Trait, Whole

NOISES = 4
SLACK = 16
_RNG = np.random.Generator(np.random.PCG64(20))
_POOL = _RNG.uniform(0.5, 1.0, 65_537) * _RNG.choice([-1.0, 1.0], 65_537)  # a prime number: no axis of an array repeats in step with it
_MOST = 0.25  # no operand is moved by more than this part of itself


class Noise:
    """Gives the same noise each time it is made, so that a check that failed fails again."""

    def __init__(self) -> None:
        self._start = 0

    def moved(self, value: Any, ulps: float) -> Any:
        """The value with each element moved by between half and all of `ulps` ulp, either way; whole numbers stay."""
        kind = value.dtype.kind if isinstance(value, (np.ndarray, np.generic)) else ""
        if kind not in ("f", "c") or not value.size:
            return value
        found = np.array(value)
        for part in (found.real, found.imag) if kind == "c" else (found,):
            part *= 1 + self._signed(part.shape, min(float(np.finfo(value.dtype).eps) * ulps, _MOST)).astype(part.dtype)
        return found if isinstance(value, np.ndarray) else found[()]

    def _signed(self, shape: tuple[int, ...], most: float) -> np.ndarray:
        size, start = math.prod(shape), self._start
        self._start = (start + size + 1) % _POOL.size
        repeats = -(-(start + size) // _POOL.size)
        drawn = _POOL if repeats < 2 else np.tile(_POOL, repeats)
        return (drawn[start : start + size] * most).reshape(shape)

    def of(self, node: Node, operands: Sequence[Any]) -> tuple[Any, ...]:
        """The node's results with noise of its own."""
        if not node.op.has(Trait.ROUNDS):
            return apply_meaning(node, operands)
        count = reduction_length(node)
        found = node.op.meaning(*[self.moved(x, count) for x in operands], **node.attrs)
        results = tuple(found) if len(node.outputs) > 1 else (found,)
        return tuple([self._added(self.moved(r, 1.0), node.op.cancels) for r in results])

    def _added(self, value: Any, size: float) -> Any:
        """The value with up to an ulp of a number of that size added or taken away."""
        return value + self._signed(np.shape(value), size * float(np.finfo(value.dtype).eps)).astype(value.dtype) if size else value

    def several(self, node: Node, operands: Sequence[Any]) -> list[tuple[Any, ...]]:
        """NOISES computations of the node; none where it has no noise, because it does not round or gives no floats."""
        if not node.op.has(Trait.ROUNDS) or all(v.dtype.kind not in "fc" for v in node.outputs):
            return []
        return [self.of(node, operands) for _ in range(NOISES)]


def reduction_length(node: Node) -> int:
    """How many elements go into one element of the result, at the most."""
    axes = node.op.axes(node.specs, tuple([v.spec for v in node.operands]), **node.attrs)
    counts = [
        math.prod([n for n, axis in zip(v.shape, read) if isinstance(axis, (Reduced, Whole))]) for v, read in zip(node.operands, axes)
    ]
    return max([1, *counts])


def bound(value: Any, noisy: Sequence[Any]) -> Any:
    """For each element of `value`, how far another computation of it may be away."""
    reference = np.asarray(value)
    if not noisy or reference.dtype.kind not in "fc":
        spread = np.zeros(reference.shape)
        for other in noisy:  # whole numbers and booleans: anything, where noise changes them
            spread = np.where(np.asarray(other) == reference, spread, np.inf)
        return spread
    limits = np.finfo(reference.dtype)
    spread = np.zeros(reference.shape, limits.dtype)
    for other in noisy:
        spread = np.fmax(spread, np.abs(np.asarray(other) - reference))
    ulps = np.abs(reference) * limits.eps + limits.smallest_subnormal
    return SLACK * (spread + ulps)


def apart(got: Any, wanted: Any, limit: Any, *, signs: bool = False) -> np.ndarray:
    """Where `got` is further from `wanted` than `limit`. NaN fits NaN alone, an infinity itself; `signs`: zeros have signs."""
    x, y = np.asarray(got), np.asarray(wanted)
    if x.dtype.kind == "c":
        both = [apart(p, q, limit, signs=signs) for p, q in ((x.real, y.real), (x.imag, y.imag))]
        return both[0] | both[1]
    if x.dtype.kind != "f":
        return np.asarray((x != y) & ~(np.asarray(limit) > 0))
    with np.errstate(all="ignore"):
        close = (x == y) | (np.isnan(x) & np.isnan(y)) | (np.abs(x - y) <= limit) | (np.asarray(limit) == np.inf)
        if signs:
            close &= (np.signbit(x) == np.signbit(y)) | np.isnan(x) | (x != 0)
    return np.asarray(~close)
