"""The memory bill of drawn programs, measured in a child process: what NumPy's allocator was asked for is what the plan says.

python -m tests.drawn.memory SEED COUNT [--regions]   prints what disagrees
"""

from __future__ import annotations

import os
import random
import sys
import warnings
from contextlib import nullcontext

import numpy as np

import tracer
from tests.backends.measure import check
from tests.drawn.grow import draw_program
from tests.drawn.program import Loaded, Program
from tests.drawn.regions import drawn_fields, tiny
from tests.drawn.runner import OURS
from tracer import trees


def measured(program: Program) -> list[str]:
    """What is wrong with the bill of a program; nothing where it is refused."""
    loaded = Loaded(program, OURS)
    fast = tracer.compile(loaded.fn)
    arguments = loaded.arguments(0)
    try:
        plan = fast.plan(*arguments)
    except Exception:  # the runner says which of these are right
        return []
    entry, inputs = fast._find(*trees.flatten((tuple(arguments), {})))
    inputs = [np.asarray(x) if isinstance(x, np.generic) else x for x in inputs]
    return check(entry.plan, inputs, f"drawn {program.seed}") if plan.steps else []


def main(seed: int, count: int, regions: bool) -> None:
    """Each program, with regions by a target of its own."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrong = []
        for k in range(seed, seed + count):
            with tiny(**drawn_fields(k)) if regions else nullcontext():
                wrong += measured(draw_program(random.Random(k), k))
    print("\n".join(wrong) or "all as planned", flush=True)
    os._exit(1 if wrong else 0)  # arrays that live on would be freed through an allocator that is gone


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), "--regions" in sys.argv)
