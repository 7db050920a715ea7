"""Plans of generated kernels: how many launches a program takes, and that the kernels together give what the program means."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from backends.cupy.kernels import KERNELS
from ir.evaluate import evaluate
from ir.graph import Graph
from ir.plan import Plan
from ir.planning import plan
from ir.target import Kernel
from tests.backends.cupy import emulated
from tests.backends.cupy.host_run import HostRun, emulating, interpreted
from tests.backends.cupy.programs import LARGE, SMALL, counted, cross_entropy, layer_norm, planned, traced
from tests.backends.drawn import draw_program
from tests.ir.plan_checker import check

large = cache(lambda name: planned(LARGE[name]))

# kernels, products, copies
COUNTS = {
    "seed": (4, 5, 0), "layer norm": (2, 0, 0), "attention": (3, 6, 2), "adam": (2, 0, 0), "cross entropy": (2, 0, 0), "stencil": (2, 0, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_launches(name: str) -> None:
    assert counted(large(name)) == COUNTS[name]


def test_the_goals() -> None:
    """The seed's step in at most 9 nodes, layer norm with GELU and squared error in 5, attention without its products in 6, Adam's update
    in one.
    """
    assert sum(counted(large("seed"))) <= 9
    assert sum(counted(large("layer norm"))) <= 5
    kernels, _, copies = counted(large("attention"))
    assert kernels + copies <= 6
    writing = [s for s in large("adam").steps if any(p.buffer.kind == "state" for p in getattr(s, "writes", ()))]
    assert len(writing) == 1 and len(writing[0].writes) == 90


@pytest.mark.parametrize("name", SMALL)
def test_the_memory_of_a_plan_holds_together(name: str) -> None:
    check(planned(SMALL[name]))


def inputs(graph: Graph) -> list[Any]:
    rng = np.random.default_rng(3)
    found: list[Any] = []
    for value in graph.inputs:
        if value.spec.weak:
            found.append(0.01 if value.spec.weak == "float" else 8)
        elif value.dtype.kind in "iu":
            found.append(rng.integers(0, 7, value.shape).astype(value.dtype))
        else:
            found.append(rng.uniform(0.1, 1, value.shape).astype(value.dtype))
    return found


@pytest.mark.parametrize("how", [interpreted, pytest.param(emulating, marks=emulated.needs_compiler)])
@pytest.mark.parametrize("name", SMALL)
def test_the_kernels_give_what_the_program_means(name: str, how: Callable[[Plan], Any]) -> None:
    graph = traced(SMALL[name])
    made, given = plan(graph, KERNELS), inputs(graph)
    results, states = evaluate(graph, [np.array(x) if isinstance(x, np.ndarray) else x for x in given])
    held = HostRun(made, given)
    for got, expected in zip(held.run(how(made)), results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-6)
    for (state, _), expected in zip(made.graph.updates, states, strict=True):
        np.testing.assert_allclose(held.view(made.places[state]), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 33), (31, 1025), (33, 2), (1025, 31)])
@pytest.mark.parametrize("program", [layer_norm, cross_entropy])
def test_shapes_at_which_shares_and_rows_end(program: Callable[..., Graph], shape: tuple[int, int]) -> None:
    graph = traced(lambda: program(*shape))
    given = inputs(graph)
    given = [x % shape[1] if isinstance(x, np.ndarray) and x.dtype.kind == "i" else x for x in given]
    for got, expected in zip(HostRun(made := plan(graph, KERNELS), given).run(interpreted(made)), evaluate(graph, given)[0], strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-5)


# ---- drawn programs
CALLED = ("sort", "argsort", "cumsum", "cumprod")  # in the drawn programs, and not generated
WITH_CALLS = replace(KERNELS, kernels=KERNELS.kernels | {name: (Kernel(f"call.{name}", name, None),) for name in CALLED})


@pytest.mark.parametrize("seed", range(40))
def test_drawn_programs(seed: int) -> None:
    agree(seed, interpreted)


@emulated.needs_compiler
@pytest.mark.parametrize("seed", range(100, 106))
def test_drawn_programs_on_the_emulator(seed: int) -> None:
    agree(seed, emulating)


def agree(seed: int, how: Callable[[Plan], Any]) -> None:
    graph, given = draw_program(seed)
    values = [v for node in graph.order() for v in node.outputs]
    if any(v.dtype == np.float16 for v in values):
        pytest.skip("float16 is not generated")
    with np.errstate(all="ignore"):
        results, states = evaluate(graph, [np.array(x) if isinstance(x, np.ndarray) else x for x in given])
        made = plan(graph, WITH_CALLS)
        check(made)
        held = HostRun(made, given)
        got = held.run(how(made)) + [held.view(made.places[state]) for state, _ in made.graph.updates]
    wanted = [x for x, v in zip(results, graph.outputs) if v.spec.weak is None] + states
    near = {"rtol": 1e-3, "atol": 1e-4} if any(v.dtype == np.float32 for v in values) else {"rtol": 1e-7, "atol": 1e-8}
    for one, other in zip(got, wanted, strict=True):
        assert one.dtype == np.asarray(other).dtype
        np.testing.assert_allclose(one, other, **near)
