"""How the result of a function leaves a trace: its traced leaves and the arguments that were written become outputs of the graph."""
from __future__ import annotations

import enum
import types
from typing import Any

import numpy as np

from ir.graph import Value
from tracer import trees
from tracer.arrays.scalar import TracedScalar
from tracer.arrays.traced import TracedArray
from tracer.arrays.truth import TracedTruth
from tracer.captures.seen import PLAIN
from tracer.operands.refusal import refuse
from tracer.operands.stack import Operand
from tracer.tracing.context import Tracing
from tracer.tracing.outcome import LeafIn, LeafOut, Trace

_RETURNED = (*PLAIN, np.generic, np.dtype, type, enum.Enum, slice, range, types.FunctionType, types.EllipsisType)


def leave(tracing: Tracing, traced: Trace, result: Any, described: list[tuple[Any, LeafIn]]) -> None:
    """The result's leaves and the written arguments become outputs."""
    leaves, traced.out_tree = trees.flatten(result)
    for key in {step for path in traced.out_tree.paths for step in path if type(step) is str}:
        _no_text_of_traced(key)
    outputs = tracing.graph.outputs
    for leaf in leaves:
        traced.outs.append(_leave_leaf(tracing, leaf, outputs))
    captured = {c.input: c for c in tracing.outside.captured}
    updated = {state for state, _ in tracing.graph.updates}
    for storage in tracing.outside.entered_storages():
        if not storage.version or storage.source is None:
            continue
        state = tracing.graph.inputs[storage.source]
        if storage.source in captured and captured[storage.source].kind == "variable":
            if state not in updated and storage.value is not state:
                tracing.graph.updates.append((state, storage.value))
        elif storage.value is not state and storage.source not in captured:  # what is captured only mirrors an argument
            traced.writes[storage.source] = len(outputs)
            outputs.append(storage.value)
    if tracing.gate is not None:
        traced.gate = len(outputs)
        outputs.append(tracing.gate)


def _leave_leaf(tracing: Tracing, leaf: Any, outputs: list[Value]) -> LeafOut:
    kind = type(leaf)
    if kind is TracedArray:
        outputs.append(tracing.value_of(leaf))
        return LeafOut("scalar" if leaf.scalar else "array", len(outputs) - 1)
    if kind is TracedScalar:
        outputs.append(tracing.value_of(leaf))
        return LeafOut("number", len(outputs) - 1)
    if kind is TracedTruth:
        outputs.append(tracing.value_of(leaf))
        return LeafOut("truth", len(outputs) - 1)
    if isinstance(leaf, Operand):
        held = leaf.data  # type: ignore[attr-defined]
        if held is None:
            return LeafOut("static", None, leaf)
        outputs.append(tracing.value_of(held))
        return LeafOut("variable", len(outputs) - 1)
    if isinstance(leaf, np.ndarray) and leaf.dtype.kind not in "biufc":
        raise refuse(
            f"the function returns a plain array of dtype {leaf.dtype}, which may hold traced values",
            "make arrays of traced numbers with np.stack, or np.full_like(x, number) of a traced array x",
        )
    if isinstance(leaf, np.ndarray):
        tracing.noted.bake("a plain array is returned", None)
        tracing.noted.plain_result = True
        return LeafOut("static", None, leaf.copy("K"))
    if kind is str:
        _no_text_of_traced(leaf)
    if isinstance(leaf, (np.generic, int, float, complex)) and not isinstance(leaf, bool):
        tracing.noted.plain_result = True  # it may have been computed from an array
    if not isinstance(leaf, _RETURNED) and all(leaf is not thing for _, thing in tracing.outside.objects):
        raise refuse(
            f"the function returns something of type {kind.__name__}, which can't be made anew at each call",
            "return arrays, numbers, strings, None, and lists, tuples, dicts or named tuples of them",
        )
    return LeafOut("static", None, leaf)


def _no_text_of_traced(text: str) -> None:
    """TraceError for a text that describes a traced array, where with values it would hold them."""
    if "<traced " in text:
        raise refuse(
            f"the function returns the text {text!r:.60}, in which a value stands that is not known while tracing",
            "return the array, and make the text of the result", op="str",
        )  # fmt: skip


def same_containers(given: Any, tree: trees.Structure, described: list[tuple[Any, LeafIn]]) -> None:
    """TraceError where the function put something into a container among its arguments, or took it out: later calls would not."""
    after, now = trees.flatten(given)
    before = [thing for thing, _ in described]
    if now == tree and all(a is b for a, b in zip(after, before)):
        return
    if now == tree:
        where = next(leaf.name for a, (b, leaf) in zip(after, described) if a is not b)
        what = f"{where} is replaced inside a container that is an argument"
    else:
        what = f"a container among the arguments is changed: its tree is {now}, it was {tree}"
    raise refuse(
        f"{what}; a later call would not do it", "return the new value, or write into the array that is there: d['w'][...] = new",
        op="argument",
    )
