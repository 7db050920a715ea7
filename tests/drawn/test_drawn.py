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

COUNT = int(os.environ.get("DRAWN_COUNT", "500"))


@settings(max_examples=COUNT, deadline=None)
@given(st.randoms(use_true_random=False))
def test_drawn_programs(rng: random.Random) -> None:
    program = draw_program(rng)
    outcome = run(program)
    assert not outcome.wrong, f"{program.source}\n{outcome.wrong}"
