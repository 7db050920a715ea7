"""Whole plans on the emulated device, as one graph: what the program means, for the workloads and for products of every kind."""
from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import tracer
from backends.cupy.graph_run import GraphInstance
from backends.cupy.kernels import KERNELS
from backends.cupy.plan_program import program
from backends.cupy.work import Launch, Multiply
from ir import passes
from ir.errors import ArgumentError
from ir.evaluate import evaluate
from ir.plan import Plan
from ir.planning import plan
from tests.backends.cupy import emulated
from tests.backends.cupy.emulated_device import EmulatedDevice
from tests.backends.cupy.programs import SMALL, planned, traced
from tests.backends.cupy.test_graph_run import resident
from tests.backends.cupy.test_plans import inputs
from tests.backends.drawn import draw_program

pytestmark = emulated.needs_compiler
made = cache(lambda name: (traced(SMALL[name]), planned(SMALL[name])))


def run(device: Any, graph: Any, plan: Plan, times: int = 3) -> None:
    """So many iterations, each as the reference evaluator has it."""
    given = inputs(graph)
    work = program(plan)
    states = resident(device, [given[i] for i in work.states])
    instance = GraphInstance(work, device)
    expected = [np.array(x) if isinstance(x, np.ndarray) else x for x in given]
    for _ in range(times):
        held = list(given)
        for i, state in zip(work.states, states):
            held[i] = state
        results = instance.run(held)
        wanted, new = evaluate(graph, [np.array(x) if isinstance(x, np.ndarray) else x for x in expected])
        for (state, _), value in zip(graph.updates, new, strict=True):
            expected[graph.inputs.index(state)] = value
        with device.call():
            device.synchronize()
        for got, value in zip(results, wanted, strict=True):
            np.testing.assert_allclose(got, value, rtol=1e-4, atol=1e-5)
        for i, state in zip(work.states, states):
            np.testing.assert_allclose(state, expected[i], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", emulated.ORDERS)
@pytest.mark.parametrize("name", SMALL)
def test_workloads_as_one_graph(name: str, order: str) -> None:
    graph, plan = made(name)
    device = EmulatedDevice(order, "start" if order == "reversed" else "end")
    run(device, graph, plan)
    assert device.counts["capture"] == 1 and device.counts["replay"] == 2


def test_the_seed_takes_nine_nodes_and_its_scalars() -> None:
    graph, plan = made("seed")
    work = program(plan)
    assert len(work.works) <= 9 and work.scalar_bytes > 0
    assert all(isinstance(w, Launch | Multiply) for w in work.works)


@pytest.mark.parametrize("seed", [0, 1, 4, 6, 7, 8, 11, 13])
def test_drawn_programs(seed: int) -> None:
    graph, _ = draw_program(seed)
    passes.optimize(graph)
    passes.prepare(graph, KERNELS)
    try:
        made = plan(graph, KERNELS)
    except ArgumentError as error:
        assert "no kernel is generated" in str(error)
        return
    if None not in made.results:
        run(EmulatedDevice(emulated.ORDERS[seed % 2]), graph, made)


CASES: dict[str, tuple[Any, ...]] = {
    "vector vector": (lambda a, b: a @ b, (5,), (5,)), "vector matrix": (lambda a, b: a @ b, (5,), (5, 3)),
    "matrix vector": (lambda a, b: a @ b, (4, 5), (5,)), "stack matrix": (lambda a, b: a @ b, (2, 4, 5), (5, 3)),
    "stack vector": (lambda a, b: a @ b, (2, 4, 5), (5,)), "vector stack": (lambda a, b: a @ b, (5,), (2, 5, 3)),
    "stacks": (lambda a, b: a @ b, (2, 1, 4, 5), (3, 5, 6)), "turned": (lambda a, b: a.T @ b.T, (5, 4), (3, 5)),
    "every other column": (lambda a, b: a[:, ::2] @ b, (4, 10), (5, 3)), "backwards": (lambda a, b: a[:, ::-1] @ b[::-1], (4, 5), (5, 3)),
    "of size 1": (lambda a, b: a @ b, (1, 1), (1, 1)), "dot of a stack": (lambda a, b: np.dot(a, b), (2, 4, 5), (5, 3)),
    "nothing in between": (lambda a, b: a @ b, (4, 0), (0, 3)), "no rows": (lambda a, b: a @ b, (0, 5), (5, 3)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool"])
@pytest.mark.parametrize("name", CASES)
def test_products_of_every_kind(name: str, dtype: str) -> None:
    fn, *shapes = CASES[name]
    rng = np.random.default_rng(1)
    args = [(rng.normal(size=shape) * 3).astype(dtype) for shape in shapes]
    graph = tracer.trace(fn, *args)
    work = program(plan(graph, KERNELS))
    result, = GraphInstance(work, device := EmulatedDevice()).run(args)
    with device.call():
        device.synchronize()
    np.testing.assert_allclose(result, fn(*args), rtol=1e-5, atol=1e-5)
    assert result.dtype == fn(*args).dtype
