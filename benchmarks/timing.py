"""Interleaved timing: contestants take turns for several rounds, so that a machine that drifts drifts for all; medians and ratios."""
from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

PAUSE = 0.2  # seconds before a turn: the threads of the one before still spin (OpenBLAS's for 2**28 ticks, 135 ms)


class Timed(Protocol):
    """What can be timed: `seconds(n)` is how long n calls took; one call does `unit` iterations."""

    @property
    def unit(self) -> int: ...

    def seconds(self, n: int) -> float: ...


@dataclass(frozen=True)
class Contestant:
    """`run(n)` does n calls and gives what the last one gave; one call does `unit` iterations.

    `values` turns that into the arrays that are compared with others (None: nothing to compare), `plan` shows our plan.
    """

    run: Callable[[int], Any]
    unit: int = 1
    values: Callable[[Any], Sequence[Any]] | None = list
    plan: Callable[[], Any] | None = None

    def seconds(self, n: int) -> float:
        began = time.perf_counter()
        self.run(n)
        return time.perf_counter() - began


def times(contestants: Mapping[str, Timed], rounds: int = 7, seconds: float = 0.15, least: int = 3) -> dict[str, list[float]]:
    """Seconds an iteration, a number for each round; the calls in a round are as many as last about `seconds`, `least` or more."""
    counts = {}
    for name, each in contestants.items():
        each.seconds(least)
        counts[name] = max(least, int(seconds / max(each.seconds(least) / least, 1e-9)))
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, each in contestants.items():
            taken[name].append(each.seconds(counts[name]) / counts[name] / each.unit)
    return taken


def interleaved(contestants: Mapping[str, Timed], rounds: int = 7, seconds: float = 0.15) -> dict[str, float]:
    """Median seconds an iteration of each contestant."""
    return {name: statistics.median(found) for name, found in times(contestants, rounds, seconds).items()}


def table(title: str, medians: dict[str, float], against: list[str]) -> str:
    """A Markdown table of microseconds an iteration and the ratios to the contestants in `against` that took part."""
    against = [name for name in against if name in medians]
    rows = [f"| {title} | us | " + " | ".join(f"/ {name}" for name in against) + " |", "| --- |" + " ---: |" * (1 + len(against))]
    for name, seconds in sorted(medians.items(), key=lambda item: item[1]):
        rows.append(f"| {name} | {seconds * 1e6:.1f} | " + " | ".join(f"{seconds / medians[other]:.2f}" for other in against) + " |")
    return "\n".join(rows)


def machine() -> str:
    """One line about the machine and the interpreter."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        model = platform.machine()
    return f"{model}, {platform.system()}, Python {platform.python_version()}"
