"""Learning rates that follow the iteration: callables that an optimizer takes as `lr` and asks once a call, on the host.

In: the number of iterations done (0 at the first). Out: the rate of this one. Any function of that number will do; these are records, so
they print, compare, copy and pickle. A new rate is a new number among a step's inputs: nothing is traced again.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ir.errors import ArgumentError

Rate = float | Callable[[int], float]


def rate_of(lr: Rate, iteration: int) -> float:
    """The rate of an iteration. Raises ArgumentError where a schedule gives anything but a finite number >= 0."""
    if not callable(lr):
        return lr
    rate = float(lr(iteration))
    if not 0 <= rate < math.inf:
        raise ArgumentError(f"lr of iteration {iteration} is {rate}", op=repr(lr), mend="a schedule gives a finite number, 0 or greater")
    return rate


@dataclass(frozen=True)
class Cosine:
    """From `lr` at iteration 0 down half a cosine to `end` at iteration `steps`, and `end` after (SGDR, Loshchilov and Hutter 2017, eq. 5,
    one period).

    >>> [round(Cosine(1.0, steps=4)(k), 3) for k in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    lr: float
    steps: int
    end: float = 0.0

    def __post_init__(self) -> None:
        _at_least_one("Cosine", "steps", self.steps)

    def __call__(self, iteration: int) -> float:
        return self.end + (self.lr - self.end) * (1 + math.cos(math.pi * min(iteration, self.steps) / self.steps)) / 2


@dataclass(frozen=True)
class StepDecay:
    """`lr`, multiplied by `factor` after each `every` iterations.

    >>> [StepDecay(1.0, every=2, factor=0.5)(k) for k in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    lr: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        _at_least_one("StepDecay", "every", self.every)

    def __call__(self, iteration: int) -> float:
        return self.lr * self.factor ** (iteration // self.every)


@dataclass(frozen=True)
class Warmup:
    """Rises evenly over `steps` iterations to the first rate of `then`, a number or a schedule that goes on from there.

    >>> [Warmup(4, then=1.0)(k) for k in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """

    steps: int
    then: Rate

    def __post_init__(self) -> None:
        _at_least_one("Warmup", "steps", self.steps)

    def __call__(self, iteration: int) -> float:
        if iteration < self.steps:
            return rate_of(self.then, 0) * (iteration + 1) / self.steps
        return rate_of(self.then, iteration - self.steps)


def _at_least_one(schedule: str, name: str, value: int) -> None:
    if not value >= 1:
        raise ArgumentError(f"{name} is {value!r}", op=schedule, mend="give a whole number of iterations, 1 or more")
