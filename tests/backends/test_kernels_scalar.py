"""Kernels of single numbers: NumPy's scalars, with the bits and the errors of its ufuncs; states are written by ufuncs all the same."""
from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backends
from ir import Graph, Spec
from ir.ops import elementwise as e
from ir.plan import Call
from ir.planning import plan

NUMPY = backends.get("numpy")
SPECIAL = (0.0, -0.0, 1.0, -3.5, 1e-310, 1e300, np.inf, -np.inf, np.nan)


@pytest.mark.parametrize("dtype", ["d", "f"])
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide"])
def test_bits_and_errors_are_those_of_the_ufunc(name: str, dtype: str) -> None:
    graph = Graph()
    x, y = graph.input(Spec((), dtype)), graph.input(Spec((), dtype))
    graph.outputs = [e.exp(getattr(e, name)(x, y)), getattr(e, name)(x, y)]
    made = plan(graph, NUMPY.target())
    assert [s.kernel.name for s in made.steps if isinstance(s, Call)].count(f"{name}.scalar") == 2
    program, ufunc = NUMPY.emit(made), getattr(np, name)
    for one, two in itertools.product(SPECIAL, SPECIAL):
        with np.errstate(all="ignore"):
            given = [np.array(one).astype(dtype), np.array(two).astype(dtype)]
            got, want = program(given)[1], ufunc(*given)
        np.testing.assert_array_equal(got, want)
        assert np.signbit(got) == np.signbit(want) or np.isnan(want)
        assert errors(program, given) == errors(lambda operands: np.exp(ufunc(*operands)), given)


def errors(run: Callable[[Any], Any], given: list[Any]) -> set[str]:
    """The kinds of floating-point errors that come."""
    came = set()
    with np.errstate(all="call", call=lambda kind, flag: came.add(kind)):
        run(given)
    return came


def test_exact_plans_and_those_of_states_have_ufuncs() -> None:
    graph = Graph()
    state, x = graph.input(Spec(()), "state"), graph.input(Spec(()))
    graph.updates = [(state, e.multiply(e.add(state, 1.0), 0.5))]
    graph.outputs = [e.divide(x, 3.0)]
    names = [s.kernel.name for s in plan(graph, NUMPY.target()).steps if isinstance(s, Call)]
    assert names == ["divide.scalar", "add.ufunc", "multiply.ufunc"]
    assert all(s.kernel.name.endswith(".ufunc") for s in plan(graph, NUMPY.target(True), exact=True).steps if isinstance(s, Call))
    held = np.array(3.0)
    assert NUMPY.emit(plan(graph, NUMPY.target()))([held, np.array(6.0)]) == [2.0] and held == 2.0
