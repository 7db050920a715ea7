"""Drawn programs give what NumPy gives: on three calls, in results, arguments, captured things and warnings; and so do their gradients.

hypothesis draws the seeds; a program that fails is made smaller statement by statement (`shrink.py`). `DRAWN_COUNT` sets how many;
`python -m tests.drawn` runs thousands and says what is refused.
"""

from __future__ import annotations

import functools
import os
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.backends.test_memory import ROOT
from tests.drawn.grow import draw_program
from tests.drawn.program import Program
from tests.drawn.runner import Outcome, run
from tests.drawn.shrink import kind, shrink
from tests.drawn.smooth import run_smooth
from tests.drawn.stand_in import run_cupy

COUNT = int(os.environ.get("DRAWN_COUNT", "500"))
SEEDS = st.integers(0, 2**32 - 1)


def drawn(count: int) -> Callable[[Any], Any]:
    """A test of so many seeds; what fails is shrunk by ourselves."""
    return lambda test: settings(max_examples=max(count, 1), deadline=None, phases=[Phase.generate])(given(SEEDS)(test))


def holds(program: Program, judge: Callable[[Program], Outcome]) -> None:
    """Asserts that nothing is wrong; else shows the least program that fails in the same way."""
    wrong = judge(program).wrong
    if not wrong:
        return
    least = shrink(program, lambda one: bool(found := judge(one).wrong) and kind(found[0]) == kind(wrong[0]))
    raise AssertionError(f"seed {program.seed}: {judge(least).wrong}\n{least.source}\n{least.parameters}\n{least.captured}")


@drawn(COUNT)
def test_programs(seed: int) -> None:
    holds(draw_program(random.Random(seed), seed), run)


@drawn(COUNT // 20)
def test_programs_on_the_stand_in_for_cupy(seed: int) -> None:
    holds(draw_program(random.Random(seed), seed), run_cupy)


@drawn(COUNT // 10)
def test_gradients(seed: int) -> None:
    holds(draw_program(random.Random(seed), seed, most=20, smooth=True), run_smooth)


@drawn(COUNT // 10)
def test_exact_gradients(seed: int) -> None:
    """Loss and gradients have the bits of the reference evaluator on the graph as it is traced, and the loss those of NumPy."""
    holds(draw_program(random.Random(seed), seed, most=15, smooth=True), functools.partial(run_smooth, exact=True))


@drawn(COUNT // 10)
def test_exact_programs(seed: int) -> None:
    holds(draw_program(random.Random(seed), seed, most=15), functools.partial(run, exact=True))


def test_gradients_are_compared() -> None:
    """Not all programs are refused or too ill-conditioned to tell: most seeds give gradients that are compared."""
    for judge in (run_smooth, functools.partial(run_smooth, exact=True)):
        found = [judge(draw_program(random.Random(seed), seed, most=15, smooth=True)).compared for seed in range(14)]
        assert sum([n > 0 for n in found]) >= 7, found


def test_memory() -> None:
    """The bills of drawn programs, by the counting allocator in a child process."""
    command = [sys.executable, "-m", "tests.drawn.memory", "500", str(max(COUNT // 10, 1))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert done.stdout.strip() == "all as planned", done.stdout + done.stderr


def test_memory_limits() -> None:
    """Drawn programs and gradients under limits from the smallest peak found upwards, counted by the allocator."""
    command = [sys.executable, "-m", "tests.drawn.limits", "0", str(max(COUNT // 10, 1))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert done.stdout.strip() == "all within their limits", done.stdout + done.stderr
