"""Drawn programs give what NumPy gives: on three calls, in results, arguments, captured things and warnings.

`DRAWN_COUNT` sets how many; `python -m tests.drawn` runs thousands, shrinks what fails and says what is refused.
"""

from __future__ import annotations

import os
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.drawn.grow import draw_program
from tests.drawn.runner import run
from tests.drawn.smooth import run_smooth

COUNT = int(os.environ.get("DRAWN_COUNT", "500"))


@settings(max_examples=COUNT, deadline=None)
@given(st.randoms(use_true_random=False))
def test_drawn_programs(rng: random.Random) -> None:
    program = draw_program(rng)
    outcome = run(program, exact=rng.random() < 0.25)
    assert not outcome.wrong, f"{program.source}\n{outcome.wrong}"


@settings(max_examples=max(COUNT // 10, 1), deadline=None)
@given(st.randoms(use_true_random=False))
def test_gradients_of_drawn_programs(rng: random.Random) -> None:
    program = draw_program(rng, most=20, smooth=True)
    outcome = run_smooth(program)
    assert not outcome.wrong, f"{program.source}\n{outcome.wrong}"
