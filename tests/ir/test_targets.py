"""One planner, three Targets: golden plans of six programs, and what each Target's facts must show in all of them."""
from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

import ir
from ir.op import Trait
from ir.plan import Call, Region
from tests.ir.golden_plans import PROGRAMS, path, planned, text
from tests.ir.targets import TARGETS

EACH = [(program, target) for program in PROGRAMS for target in TARGETS]


plan_of = cache(planned)


def regions(program: str, target: str) -> list[Region]:
    return [step for step in plan_of(program, target).steps if isinstance(step, Region)]


@pytest.mark.parametrize(("program", "target"), EACH)
def test_golden(program: str, target: str) -> None:
    """Where this fails and the new plan is meant: `python -m tests.ir.golden_plans`."""
    assert text(program, target) == path(program, target).read_text()


@pytest.mark.parametrize("target", TARGETS)
def test_every_program_but_the_smallest_has_regions(target: str) -> None:
    assert all(regions(program, target) for program in ("softmax_cross_entropy", "layer_norm", "attention", "adam"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_products_are_library_calls_outside_of_regions(program: str) -> None:
    for target in ("cuda", "llvm"):
        assert not TARGETS[target].region_products
        inside = [s.node.op for region in regions(program, target) for s in region.body.steps if isinstance(s, Call)]
        assert not any(op.has(Trait.BILINEAR) and op.family == "matmul" for op in inside)


@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_forks_where_a_fork_never_pays(program: str) -> None:
    assert all(region.workers == 1 for target in ("cuda", "llvm") for region in regions(program, target))


@pytest.mark.parametrize("program", PROGRAMS)
def test_registers_need_no_memory_of_the_plan(program: str) -> None:
    """One index of the axis at a time, and a peak below that of the same plan with buffers."""
    assert all(not region.private and region.rows == 1 for region in regions(program, "llvm"))
    if regions(program, "llvm"):
        assert plan_of(program, "llvm").arena_bytes <= plan_of(program, "cuda").arena_bytes


@pytest.mark.parametrize(("program", "target"), EACH)
def test_parts_are_joined_by_a_step_of_their_own(program: str, target: str) -> None:
    """No step of a body reads what all blocks add to, but the one that adds."""
    made = plan_of(program, target)
    for k, region in enumerate(made.steps):
        if not isinstance(region, Region):
            continue
        for part in region.writes[len(region.writes) - len(region.starts) :]:
            assert part.shape[0] == region.shares
            readers = [s for s in made.steps[k + 1 :] if isinstance(s, Call) and any(r.buffer is part.buffer for r in s.reads)]
            assert readers and readers[0].node.op.family == "reduce"


def test_the_planner_knows_no_target_by_name() -> None:
    for file in sorted(Path(ir.__file__).parent.rglob("*.py")):
        code = file.read_text()
        assert not any(f"{quote}{name}{quote}" in code for name in TARGETS for quote in "\"'" if name != "numpy"), file
        assert "target.name ==" not in code and "target.name in" not in code, file
