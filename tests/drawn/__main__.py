"""python -m tests.drawn --count 10000 --seed 0 [--exact] [--smooth] [--regions] [--cupy]: runs programs.

Shrinks what fails, counts refusals.
"""

from __future__ import annotations

import argparse
import collections
import functools
import random
import sys
import time
from collections.abc import Callable

from tests.drawn.grow import draw_program
from tests.drawn.program import Program
from tests.drawn.regions import run_regions
from tests.drawn.runner import Outcome, run
from tests.drawn.shrink import kind, shrink
from tests.drawn.smooth import run_smooth
from tests.drawn.stand_in import run_cupy


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--smooth", action="store_true")
    parser.add_argument("--regions", action="store_true")
    parser.add_argument("--cupy", action="store_true")
    parser.add_argument("--show", type=int, default=20)
    options = parser.parse_args()
    refused: collections.Counter[str] = collections.Counter()
    failures: collections.Counter[str] = collections.Counter()
    raised = judged = blocked = 0
    judge: Callable[[Program], Outcome] = functools.partial(run_smooth if options.smooth else run, exact=options.exact)
    if options.regions:
        judge = run_regions
    if options.cupy:
        judge = run_cupy
    start = time.time()
    for seed in range(options.seed, options.seed + options.count):
        program = draw_program(random.Random(seed), seed, smooth=options.smooth)
        outcome = judge(program)
        judged += outcome.judged
        raised += bool(outcome.raised)
        blocked += bool(outcome.regions)
        if outcome.refused:
            refused[outcome.refused] += 1
        if outcome.wrong:
            what = kind(outcome.wrong[0])
            failures[what] += 1
            if sum(failures.values()) <= options.show:
                show(seed, program, what, judge)
    seconds = time.time() - start
    print(f"{options.count} programs from seed {options.seed}, {seconds:.0f} s: {sum(failures.values())} wrong {dict(failures)}")
    print(f"raised by NumPy too {raised}, refused {sum(refused.values())}, values judged ill-conditioned {judged}, with regions {blocked}")
    for text, count in refused.most_common(40):
        print(f"  {count:5d}  {text}")
    return 1 if failures else 0


def show(seed: int, program: Program, what: str, judge: Callable[[Program], Outcome]) -> None:
    """Prints the least program that fails so."""

    def fails(one: Program) -> bool:
        wrong = judge(one).wrong
        return bool(wrong) and kind(wrong[0]) == what

    least = shrink(program, fails)
    body = least.source.partition("\ndef make(")[2]
    print(f"==== seed {seed}: {what}\n    make({body}")
    print("  captured", [(t.name, t.kind) for t in least.captured if t.name in body])
    print("  given", [(t.name, t.alias, t.kind) for t in least.parameters if t.name in body.partition(":")[2]], least.changes)
    print("  ", "\n   ".join(judge(least).wrong[:4]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
