"""Drawn programs and their gradients under memory limits, in a child process that counts what NumPy's allocator is asked for.

From the smallest peak found upwards: the same bits as without a limit, for the Target whose blocks the plan has; a peak within it, and
requests as the plan says; below it a refusal.

python -m tests.drawn.limits SEED COUNT   prints what does not hold
"""

from __future__ import annotations

import os
import random
import sys
import warnings
from contextlib import nullcontext
from typing import Any

import numpy as np

import backends
import tracer
from ir import Graph, Plan, planning
from ir.target import Target
from tests.backends.measure import check
from tests.drawn.grow import draw_program
from tests.drawn.program import Loaded
from tests.drawn.regions import drawn_fields, tiny
from tests.drawn.runner import OURS
from tracer import trees

LIMITS = 4
NUMPY = backends.get("numpy")


def limited(seed: int) -> list[str] | None:
    """What does not hold of a program, every other with regions; None where there is nothing to plan."""
    with tiny(**drawn_fields(seed)) if seed % 2 else nullcontext():
        return _limited(seed)


def _limited(seed: int) -> list[str] | None:
    smooth = seed % 3 != 0
    program = draw_program(random.Random(seed), seed, most=16, smooth=smooth)
    loaded = Loaded(program, OURS)
    wrt = tuple([k for k, t in enumerate(program.parameters) if t.kind.dtype == "d" and t.kind.number != "int"])
    arguments = loaded.arguments(0)
    try:
        fast = tracer.compile(tracer.value_and_grad(loaded.fn, argnums=wrt) if smooth and wrt else loaded.fn)
        entry, inputs = fast._find(*trees.flatten((tuple(arguments), {})))
        free = entry.plan
    except Exception:  # the runner says which of these are right
        return None
    finally:
        loaded.close()
    inputs = [np.asarray(x) if isinstance(x, np.generic) else x for x in inputs]
    return _held(free, entry.graph, inputs, seed) if free.arena_bytes else None


def _held(free: Plan, graph: Graph, inputs: list[Any], number: int) -> list[str]:
    what = f"drawn {number}"

    def planned(limit: int | None, target: Target = free.target) -> Plan:
        return planning.plan(
            graph, target, layouts=free.layouts, exact=free.exact, gate=free.gate, counted=free.counted, memory_limit=limit
        )

    try:
        planned(0)
        return [f"{what}: a limit of nothing is taken"]
    except tracer.MemoryLimitError as error:
        smallest, floor = error.smallest_bytes, error.floor_bytes
    wrong = [] if floor <= smallest <= free.peak_bytes else [f"{what}: floor {floor}, smallest {smallest}, without {free.peak_bytes}"]
    due = {_blocks(free): _bits(free, inputs)}
    for k in range(LIMITS):
        limit = smallest + (free.peak_bytes - smallest) * k // LIMITS
        made = planned(limit)
        made.graph.verify()
        if made.peak_bytes > limit:
            wrong.append(f"{what}: a peak of {made.peak_bytes} under {limit}")
        if _blocks(made) not in due:  # what is added up over blocks has other bits where these are shorter
            due[_blocks(made)] = _bits(planned(None, made.target), inputs)
        if _bits(made, inputs) != due[_blocks(made)]:
            wrong.append(f"{what}: other bits under {limit} of {free.peak_bytes}")
        wrong += check(made, [_copy(x) for x in inputs], f"{what} under {limit}")
    try:
        if number % 4 == 0:
            planned(smallest - 1)
            wrong.append(f"{what}: {smallest - 1} is no less than the smallest peak")
    except tracer.MemoryLimitError:
        pass
    return wrong


def _blocks(plan: Plan) -> tuple[bool, int]:
    return plan.target.regions, plan.target.shorter


def _bits(plan: Plan, inputs: list[Any]) -> list[Any]:
    """Results and inputs after a run, to the bit."""
    given = [_copy(x) for x in inputs]
    instance = NUMPY.emit(plan).bind()
    found = [*instance.run(given), *given]
    return [(x.dtype, x.shape, x.strides, x.tobytes()) if isinstance(x, (np.ndarray, np.generic)) else x for x in found]


def _copy(thing: Any) -> Any:
    return thing.copy(order="K") if isinstance(thing, np.ndarray) else thing


def main(seed: int, count: int) -> None:
    wrong: list[str] = []
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while count:
            found = limited(seed)
            seed += 1
            if found is not None:
                count -= 1
                wrong += found
    print("\n".join(wrong) or "all within their limits", flush=True)
    os._exit(1 if wrong else 0)  # arrays that live on would be freed through an allocator that is gone


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
