"""Interleaved timing: contestants take turns for several rounds, so that a machine that drifts drifts for all; medians and ratios."""
from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Contestant:
    """`run(n)` does n calls and gives the last loss; one call does `unit` iterations."""

    run: Callable[[int], float]
    unit: int = 1


def interleaved(contestants: dict[str, Contestant], rounds: int = 7, seconds: float = 0.15) -> dict[str, float]:
    """Median seconds an iteration of each contestant; the number of calls in a round is chosen to last about `seconds`."""
    counts = {}
    for name, each in contestants.items():
        each.run(2)
        began = time.perf_counter()
        each.run(3)
        counts[name] = max(3, int(seconds / max((time.perf_counter() - began) / 3, 1e-9)))
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, each in contestants.items():
            began = time.perf_counter()
            each.run(counts[name])
            taken[name].append((time.perf_counter() - began) / counts[name] / each.unit)
    return {name: statistics.median(times) for name, times in taken.items()}


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
