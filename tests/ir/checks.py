"""Checks of one operation against NumPy and against differences, shared by the tests of the families.

They use the evaluator and finite differences alone: nothing of the vjp rules that they check.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ir.evaluate import evaluate
from ir.gradient import append_gradient
from ir.graph import Graph, Value
from ir.spec import spec_of

Build = Callable[..., Any]


def run(build: Build, arrays: Sequence[Any]) -> list[Any]:
    """What the graph made by `build(*values)` gives for these inputs (the evaluator compares results with specs)."""
    graph = Graph()
    found = build(*[graph.input(spec_of(a)) for a in arrays])
    graph.outputs = list(found) if isinstance(found, tuple) else [found]
    return evaluate(graph, list(arrays))[0]


def same_bits(found: Any, wanted: Any) -> None:
    """Equal kind (scalar or array), dtype, shape and bits."""
    assert type(found) is type(wanted), (type(found), type(wanted))
    assert found.dtype == wanted.dtype and found.shape == wanted.shape, (found, wanted)
    np.testing.assert_array_equal(found, wanted)


def against(build: Build, twin: Callable[..., Any], arrays: Sequence[Any]) -> None:
    """`build` gives what NumPy's `twin` gives, and leaves its inputs as they were."""
    before = [np.array(a) for a in arrays]
    (found,) = run(build, arrays)
    same_bits(found, twin(*[np.array(a) if isinstance(a, np.ndarray) else a for a in arrays]))
    for array, copy in zip(arrays, before):
        np.testing.assert_array_equal(array, copy)


def gradients(build: Build, arrays: Sequence[Any], wrt: Sequence[int], orders: int = 2, seed: int = 0, tolerance: float = 1e-6) -> None:
    """The vjp of `build` by the inputs `wrt` agrees with central differences, and so does the vjp of that, `orders` times.

    A scalar is made of the outputs by a drawn cotangent, then of the gradients by another, and so on.
    """
    rng = np.random.default_rng(seed)
    graph = Graph()
    inputs = [graph.input(spec_of(a)) for a in arrays]
    given = build(*inputs)
    outputs: list[Value] = list(given) if isinstance(given, tuple) else [given]
    fed = [np.array(a) if isinstance(a, np.ndarray) else a for a in arrays]
    moved = list(wrt)
    for _ in range(orders):
        pairs = []
        for value in outputs:
            drawn = _draw(rng, value)
            inputs.append(graph.input(value.spec.strong()))
            moved.append(len(inputs) - 1)
            fed.append(drawn)
            pairs.append(inputs[-1])
        weights = [fed[k] for k in moved[-len(pairs) :]]
        by = [inputs[k] for k in moved[: len(moved) - len(pairs)]]
        found = append_gradient(graph, outputs, pairs, by)
        for value, operand in zip(found, by):
            assert value.spec == operand.spec.strong()
        _compare(graph, outputs, weights, found, fed, moved[: len(by)], rng, tolerance)
        outputs = found


def _compare(
    graph: Graph, outputs: list[Value], weights: list[Any], found: list[Value], fed: list[Any], moved: list[int], rng: Any, tolerance: float
) -> None:
    """sum(gradient * direction) is the slope of sum(weights * outputs) along a drawn direction."""

    def total(step: float, directions: list[Any]) -> float:
        at = list(fed)
        for k, d in zip(moved, directions):
            at[k] = at[k] + step * d
        graph.outputs = outputs
        results = evaluate(graph, at)[0]
        return float(sum(np.real(np.sum(np.conj(w) * r)) for w, r in zip(weights, results)))

    directions = [_draw(rng, graph.inputs[k]) for k in moved]
    step = 1e-4
    slope = (total(step, directions) - total(-step, directions)) / (2 * step)
    graph.outputs = found
    gradient = evaluate(graph, fed)[0]
    ours = float(sum(np.real(np.sum(np.conj(g) * d)) for g, d in zip(gradient, directions)))
    np.testing.assert_allclose(ours, slope, rtol=tolerance, atol=tolerance * 10)


def _draw(rng: Any, value: Value) -> Any:
    drawn = rng.standard_normal(value.shape)
    if value.dtype.kind == "c":
        drawn = drawn + 1j * rng.standard_normal(value.shape)
    return np.asarray(drawn, value.dtype)
