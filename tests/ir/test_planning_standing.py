"""Copies that stand: which are made once, which before the first trip of a loop, and which must be made at each run."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ir.graph import Graph
from ir.ops import elementwise as e
from ir.ops.shape import concatenate
from ir.plan import Copy, Loop, Plan
from ir.planning import loop, plan
from ir.spec import Spec
from ir.target import Target
from tests.ir.plan_checker import check
from tests.ir.plan_toys import TOY


def when(made: Plan) -> list[str]:
    check(made)
    body = made.steps[0].body if isinstance(made.steps[0], Loop) else made
    return [step.when for step in body.steps if isinstance(step, Copy)]


def carried(kind: str = "argument", written_over: bool = False) -> Graph:
    """Ones and an input beside what is computed; TOY's tanh overwrites nothing, its exp does."""
    graph = Graph()
    x, y = graph.input(Spec((3,))), graph.input(Spec((2,)), kind)
    whole = concatenate(e.exp(x), y, graph.constant(np.ones(2)), axis=0)
    graph.outputs = [e.tanh(e.exp(whole) if written_over else whole)]
    return graph


def test_a_constant_is_copied_once_and_an_input_at_each_run():
    assert when(plan(carried(), TOY)) == ["once", ""]


def test_in_a_loop_an_input_is_copied_before_the_first_trip():
    assert when(loop(plan(carried(), TOY), 3)) == ["before the first trip", "once"]


def test_a_state_is_copied_in_each_trip():
    assert when(loop(plan(carried("state"), TOY), 3)) == ["once", ""]


def test_what_is_written_over_is_copied_at_each_run():
    assert when(plan(carried(written_over=True), TOY)) == ["", ""]
    assert when(loop(plan(carried(written_over=True), TOY), 3)) == ["", ""]


@pytest.mark.parametrize("target, options", [(replace(TOY, cache_bytes=48), {}), (TOY, {"exact": True}), (TOY, {"memory_limit": 1000})])
def test_large_programs_exact_ones_and_those_under_a_limit_keep_their_steps(target: Target, options: dict):
    assert not any(when(plan(carried(), target, **options)))
