"""Runs in a child process: measures the first run and a replay of programs with the counting allocator, prints what disagrees.

python -m tests.backends.measure kernels NAME...    every case of these operations, in each layout
python -m tests.backends.measure drawn SEED COUNT   programs drawn from the whole table
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import numpy as np

import backends
from ir.ops import TABLE
from ir.plan import Plan
from ir.planning import loop, plan
from tests.backends.allocator import counting
from tests.backends.cases import cases
from tests.backends.drawn import draw_program
from tests.backends.test_kernels import LAYOUTS, built

NUMPY = backends.get("numpy")


def check(made: Plan, inputs: list[Any], what: str) -> list[str]:
    """What is wrong with the bill of a plan, as measured: nothing, or lines that say it."""
    instance = NUMPY.emit(made).bind()
    wrong = []
    with counting() as counts:
        results = instance.run(inputs)
    if counts.peak != made.peak_bytes:
        wrong.append(f"{what}: planned {made.peak_bytes}, measured {counts.peak} {counts.requests}")
    del results
    with counting() as counts:
        results = instance.run(inputs)
    del results
    allowed = sum([max(b.bytes, 1) for b in made.buffers if b.kind == "result"]) + made.scratch_bytes
    if counts.peak != allowed:
        wrong.append(f"{what}: a replay asks for {counts.peak} {counts.requests}, stated are {allowed}")
    return wrong


def kernels(names: list[str]) -> list[str]:
    """Every case of these operations, in each layout."""
    wrong = []
    for name in names:
        for exact, layout in ((False, "C"), (False, "any"), (True, "F")):
            for operands, attrs in cases(name, np.random.default_rng(1)):
                found = built(name, operands, attrs)
                if found is not None:
                    graph, given = found
                    laid = [LAYOUTS[layout](x) for x in given]
                    layouts = {k: layout for k, x in enumerate(laid) if x.ndim}
                    made = plan(graph, NUMPY.target(exact), layouts=layouts, exact=exact)
                    wrong += check(made, laid, f"{name} {[(str(x.dtype), x.shape) for x in given]} {attrs} {layout} {exact}")
    return wrong


def drawn(seed: int, count: int) -> list[str]:
    """Programs drawn from the whole table, run once and as a loop."""
    wrong = []
    for k in range(seed, seed + count):
        graph, inputs = draw_program(k)
        made = plan(graph, NUMPY.target())
        wrong += check(made, inputs, f"drawn {k}")
        if k % 4 == 0:
            wrong += check(loop(made, 3), inputs, f"drawn {k} in a loop")
    return wrong


def main(arguments: list[str]) -> None:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if arguments[0] == "kernels":
            wrong = kernels(arguments[1:] or list(TABLE))
        else:
            wrong = drawn(int(arguments[1]), int(arguments[2]))
    print("\n".join(wrong) or "all as planned", flush=True)
    os._exit(1 if wrong else 0)  # arrays that live on would be freed through an allocator that is gone


if __name__ == "__main__":
    main(sys.argv[1:])
