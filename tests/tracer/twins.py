"""A traced function against the same function run by plain NumPy: results and what is left in the arguments."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from ir.evaluate import evaluate
from tracer import trees
from tracer.tracing.outcome import Trace
from tracer.tracing.trace import run_trace


def replay(traced: Trace, leaves: list[Any]) -> Any:
    """What a call of the traced function gives for these leaves, by the reference evaluator; writes go into the leaves."""
    inputs: list[Any] = [None] * len(traced.graph.inputs)
    of_input = {}
    for leaf, how in zip(leaves, traced.leaves):
        if how.input is not None:
            inputs[how.input] = leaf
            of_input[how.input] = leaf
    for capture in traced.captured:
        inputs[capture.input] = capture.fetch()
    inputs = [np.array(x, x.dtype.newbyteorder("=")) if isinstance(x, np.ndarray) else x for x in inputs]
    outputs, _ = evaluate(traced.graph, inputs)
    results = []
    for out in traced.outs:
        value = out.value if out.output is None else outputs[out.output]
        if out.kind == "array":
            value = np.asarray(value)
        results.append(value[()] if out.kind == "scalar" else value)
    for source, output in traced.writes.items():
        np.copyto(of_input[source], outputs[output])
    return trees.unflatten(traced.out_tree, results)


def agree(fn: Callable[..., Any], *args: Any, rtol: float = 0.0) -> Trace:
    """Asserts that tracing `fn` and running the graph gives what `fn` gives, to the bit unless `rtol`; returns the trace."""
    mine, theirs = [], []
    for a in args:
        mine.append(copy.deepcopy(a))
        theirs.append(copy.deepcopy(a))
    with np.errstate(all="ignore"):
        want = fn(*theirs)
        traced = run_trace(fn, tuple(mine), {})
        leaves, _ = trees.flatten((tuple(mine), {}))
        traced.graph.verify()
        for before, after in zip(trees.flatten(args)[0], leaves):
            same(after, before, 0.0, "tracing must leave the arguments alone")
        for _ in range(2):
            leaves, _ = trees.flatten((copy.deepcopy(args), {}))
            same(replay(traced, leaves), want, rtol, "result")
            for got, due in zip(leaves, trees.flatten(theirs)[0]):
                same(got, due, rtol, "argument afterwards")
    return traced


def same(got: Any, want: Any, rtol: float, what: str) -> None:
    """Asserts equal trees: containers, kinds, dtypes, shapes and values."""
    gots, tree = trees.flatten(got)
    wants, wanted = trees.flatten(want)
    assert tree == wanted, f"{what}: {tree} for {wanted}"
    for g, w in zip(gots, wants):
        assert type(g) is type(w), f"{what}: {type(g)} for {type(w)}"
        if isinstance(w, (np.ndarray, np.generic)):
            assert g.dtype.newbyteorder("=") == w.dtype.newbyteorder("="), f"{what}: {g.dtype} for {w.dtype}"
            assert g.shape == w.shape, f"{what}: {g.shape} for {w.shape}"
            if rtol:
                np.testing.assert_allclose(g, w, rtol=rtol, atol=rtol, err_msg=what)
            else:
                np.testing.assert_array_equal(g, w, err_msg=what)
        else:
            assert g == w or g != g, f"{what}: {g} for {w}"
