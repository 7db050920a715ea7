"""Whole plans as CuPy's calls on the stand-in, against the reference evaluator: known networks, drawn graphs, loops, poisoned memory."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backends
from backends.cupy.array import upload
from ir import passes
from ir.errors import ArgumentError
from ir.evaluate import evaluate
from ir.graph import Graph
from ir.planning import loop, plan
from tests.backends.cupy import standin
from tests.backends.drawn import draw_program, spoil
from tests.ir.golden_plans import PROGRAMS

CUPY = backends.get("cupy")


def inputs_of(graph: Graph) -> list[Any]:
    rng = np.random.default_rng(3)
    numbers = {"int": 3, "float": 0.01, "complex": 1j}
    return [numbers[v.spec.weak] if v.spec.weak else rng.uniform(-1, 1, v.shape).astype(v.dtype) for v in graph.inputs]


def close(got: Any, wanted: Any, loose: bool, text: str) -> None:
    found = got if backends.owner(got) is None else backends.to_host(got)
    wide = np.asarray(wanted)
    rtol = 1e-4 if loose else 1e-9
    np.testing.assert_allclose(found, wide, rtol=rtol, atol=rtol / 10, err_msg=text)
    assert np.asarray(found).dtype == wide.dtype and np.shape(found) == wide.shape, text


def check(graph: Graph, inputs: list[Any], where: Any = standin.installed) -> None:
    """Three runs of an Instance whose memory is spoilt in between: results and new states are the reference's, the inputs as before."""
    made = plan(graph, CUPY.target())
    loose = any(v.dtype.char in "fF" for node in graph.order() for v in node.outputs)
    with where() as cupy, np.errstate(all="ignore"):
        wanted, updated = evaluate(graph, [np.array(x) if isinstance(x, np.ndarray) else x for x in inputs])
        program = CUPY.emit(made)
        instance = program.bind()
        for garbage in (0, 255, 7):
            given = [upload(x) if isinstance(x, np.ndarray) else x for x in inputs]
            got = instance.run(given)
            assert getattr(cupy, "waits", 0) == 0, "a run waits for nothing"
            for a, b in zip(got, wanted, strict=True):
                close(a, b, loose, program.source)
            states = [graph.inputs.index(state) for state, _ in graph.updates]
            for k, new in zip(states, updated, strict=True):
                close(given[k], new, loose, program.source)
            for k, x in enumerate(inputs):
                if isinstance(x, np.ndarray) and k not in states:
                    np.testing.assert_array_equal(backends.to_host(given[k]), x)
            if where is standin.installed:
                cupy.waits = 0
            spoil(instance, made, garbage)


@pytest.mark.parametrize("name", PROGRAMS)
def test_known_programs(name: str) -> None:
    graph = PROGRAMS[name]()
    passes.optimize(graph)
    passes.prepare(graph, CUPY.target())
    check(graph, inputs_of(graph))


@pytest.mark.parametrize("seed", range(40))
def test_drawn_programs(seed: int) -> None:
    graph, inputs = draw_program(seed)
    try:
        check(graph, inputs)
    except ArgumentError as error:
        assert "GPU lowering" in str(error)


@pytest.mark.parametrize("seed", range(0, 40, 5))
def test_loops(seed: int) -> None:
    """A Loop gives what as many runs give."""
    graph, inputs = draw_program(seed)
    if any(v.spec.weak for v in graph.outputs) or any(node.op.name == "power" for node in graph.order()):
        return
    made = plan(graph, CUPY.target())
    with standin.installed(), np.errstate(all="ignore"):
        one, many = CUPY.emit(made), CUPY.emit(loop(made, 3))
        given = [[upload(x) if isinstance(x, np.ndarray) else x for x in inputs] for _ in range(2)]
        rows = [one(given[0]) for _ in range(3)]
        for k, whole in enumerate(many(given[1])):
            np.testing.assert_array_equal(whole.get(), np.stack([row[k].get() for row in rows]))
        for a, b in zip(*given):
            np.testing.assert_array_equal(*[v.get() if isinstance(v, standin.ndarray) else v for v in (a, b)])
