"""Where regions lose: `python -m benchmarks.losses [--count 50] [--seed 0] [--only NAME ...]`. A report of what is slower with regions.

The workloads of this folder and programs drawn over arrays of 50 thousand to 4 million elements, half of them with their gradients,
run with regions and without in interleaved rounds. Listed are all whose median is above 1.1 of that without, with the plan's regions.
"""
from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import backends
import tracer
from benchmarks.case import OURS
from benchmarks.timing import PAUSE, Contestant, times
from benchmarks.workloads import WORKLOADS
from ir.plan import Plan, Region

LIMIT = 1.1
UNARY = (
    "np.tanh({})", "np.exp(-np.abs({}))", "np.sqrt(np.abs({}) + 1)", "{} * {}", "-{}", "np.where({0} > 0, {0}, 0.1 * {0})",
    "1 / (2 + np.abs({}))",
)  # fmt: skip
BINARY = ("{} + {}", "{} - {}", "{} * {}", "np.maximum({}, {})", "{} * 0.3 + {}")
REDUCED = (
    "np.mean({}, axis={}, keepdims=True)", "np.max({}, axis={}, keepdims=True)", "np.sum({0} * {0}, axis={1}, keepdims=True) / {0}.size",
)


@dataclass(frozen=True)
class Drawn:
    """A program as source, `f(x, v, c, W)`, with its arguments; `differentiated`: its value and gradients by all of them."""

    source: str
    arguments: tuple[np.ndarray, ...]
    differentiated: bool

    def function(self) -> Callable[..., Any]:
        scope: dict[str, Any] = {"np": np}
        exec(compile(self.source, f"<drawn {len(self.source)}>", "exec"), scope)
        found: Callable[..., Any] = scope["f"]
        return found


def draw(rng: random.Random) -> Drawn:
    """Chains, broadcasts, reductions in both directions and products over a matrix x, a row v, a column c and a square W."""
    columns = rng.choice((8, 64, 100, 256, 1000, 4096))
    rows = max(2, rng.choice((50_000, 300_000, 1_000_000, 4_000_000)) // columns)
    full, small = ["x"], ["v", "c"]
    lines = []
    for k in range(rng.randrange(4, 16)):
        name, what = f"t{k}", rng.random()
        one = rng.choice(full[-3:])
        if what < 0.35:
            lines.append(f"{name} = {rng.choice(UNARY).format(one, one)}")
        elif what < 0.6:
            lines.append(f"{name} = {rng.choice(BINARY).format(one, rng.choice(full))}")
        elif what < 0.75:
            lines.append(f"{name} = {rng.choice(BINARY).format(one, rng.choice(small))}")
        elif what < 0.9 or columns > 256:
            lines.append(f"{name} = {rng.choice(REDUCED).format(one, rng.choice((0, 1)))}")
            small.append(name)
            continue
        else:
            lines.append(f"{name} = np.tanh({one} @ W)")
        full.append(name)
    differentiated = rng.random() < 0.5
    lines.append(f"return np.mean({full[-1]} * {rng.choice(small)})" if differentiated else f"return {full[-1]}")
    data = np.random.default_rng(rng.randrange(2**32))
    dtype = rng.choice(("f4", "f4", "f8"))
    shapes = (rows, columns), (columns,), (rows, 1), (columns, columns) if columns <= 256 else (1, 1)
    scales = 1, 1, 1, 1 / np.sqrt(columns)
    arguments = tuple([(data.standard_normal(shape) * scale).astype(dtype) for shape, scale in zip(shapes, scales)])
    return Drawn("def f(x, v, c, W):\n    " + "\n    ".join(lines), arguments, differentiated)


@contextmanager
def without_regions() -> Iterator[None]:
    """In the block plans for NumPy are made without regions."""
    backend, real = backends.get("numpy"), type(backends.get("numpy")).target
    backend.target = lambda exact=False: replace(real(backend, exact), regions=False)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del backend.target  # type: ignore[attr-defined]


def contestant(program: Drawn) -> Contestant:
    fn = program.function()
    compiled = tracer.compile(tracer.value_and_grad(fn, argnums=(0, 1, 2)) if program.differentiated else fn)

    def run(n: int) -> Any:
        for _ in range(n):
            result = compiled(*program.arguments)
        return result

    return Contestant(run, values=None, plan=lambda: compiled.plan(*program.arguments))


@dataclass(frozen=True)
class Rested:
    """A contestant that waits until BLAS's threads are asleep, which keep a processor busy for a while after a product of another's."""

    contestant: Contestant
    unit: int = 1

    def seconds(self, n: int) -> float:
        time.sleep(PAUSE)
        return self.contestant.seconds(n)


def compared(name: str, make: Callable[[], Contestant], rounds: int) -> tuple[str, float, float, Plan | None]:
    """(name, seconds with regions, seconds without, the plan with them)."""
    ours = make()
    ours.run(1)
    plan = ours.plan() if ours.plan is not None else None
    with without_regions():
        single = make()
        single.run(1)
    taken = times({"regions": Rested(ours), "single": Rested(single)}, rounds=rounds, seconds=0.1, least=2)
    return name, statistics.median(taken["regions"]), statistics.median(taken["single"]), plan


def listed(found: list[tuple[str, float, float, Plan | None]]) -> Iterator[str]:
    """Of what has regions the median and the worst ratio, then those above `LIMIT`, the worst first, with their regions."""
    ratios = sorted([taken / single for _, taken, single, _ in found])
    yield f"{len(found)} with regions: median {statistics.median(ratios):.2f} of the time without, at most {ratios[-1]:.2f}"
    for name, taken, single, plan in sorted(found, key=lambda row: -row[1] / row[2]):
        if taken > LIMIT * single:
            yield f"\n{name}: {taken * 1e3:.2f} ms with regions, {single * 1e3:.2f} without, {taken / single:.2f}"
            for step in plan.steps if plan is not None else ():
                if isinstance(step, Region):
                    yield f"  {len(step.body.steps)} steps over {step.size}, blocks of {step.rows}, {step.workers} workers"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.losses", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=50, help="of drawn programs")
    parser.add_argument("--seed", type=int, default=0, help="of the first drawn program")
    parser.add_argument("--only", nargs="*", help="workloads whose names begin so (none: `--only` alone)")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    makes: dict[str, Callable[[], Contestant]] = {}
    for w in WORKLOADS:
        if asked.only is None or any(w.name.startswith(name) for name in asked.only):
            makes[w.name] = lambda w=w: w.contestants[OURS](w.made())  # type: ignore[misc]
    for seed in range(asked.seed, asked.seed + asked.count):
        makes[f"drawn {seed}"] = lambda s=seed: contestant(draw(random.Random(s)))  # type: ignore[misc]
    found = []
    for name, make in makes.items():
        row = compared(name, make, asked.rounds)
        if row[3] is not None and any(isinstance(step, Region) for step in row[3].steps):
            found.append(row)
            print(f"{name}: {row[1] * 1e3:.3g} ms with regions, {row[2] * 1e3:.3g} without, {row[1] / row[2]:.2f}", flush=True)
    print(f"\nof {len(makes)}", *listed(found), sep="\n") if found else print("none has regions")


if __name__ == "__main__":
    main()
