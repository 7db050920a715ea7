"""The guard of memory: where something is written, it lies to other arrays as it did when traced. What can't be right is refused."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

import backends
from ir.errors import TraceError
from tracer.arrays.aliases import Relation, relation
from tracer.captures.paths import Found, now
from tracer.operands.stack import Operand
from tracer.tracing.context import Tracing
from tracer.tracing.guards.guard import Guard
from tracer.tracing.outcome import Trace
from tracer.tracing.outside import Capture

SHARING: Any = 10_000  # work spent on the question whether two arrays share an element; past it they are taken to


def of_memory(tracing: Tracing, traced: Trace, leaves: list[Any], read: list[Found]) -> list[Guard]:
    """Where arguments are written: each can be written, and lies to the other arrays as it did. Nothing where nothing is written.

    TraceError where an argument and a Variable that the function closes over share memory and one of them is written, or where an
    argument that is written shares memory with an array that plain NumPy may have `read` while tracing: it would have read the old values.
    """
    updated = tracing.graph.updated()
    of_input = {leaf.input: k for k, leaf in enumerate(traced.leaves)}
    written = [of_input[source] for source in traced.writes]
    captured = [c for c in traced.captured if c.kind in ("array", "variable")]
    states = [c for c in captured if c.kind == "variable"]
    for c in states:
        for k in range(len(leaves)) if c.input in updated else written:
            if _relation(memory(leaves[k]), memory(c.holder)) is not None:
                name = c.name or "a Variable"
                raise TraceError(
                    f"{traced.leaves[k].name} and {name} share memory, and the function writes into one of them",
                    line=traced.graph.inputs[c.input].node.line, op="assignment", mend=f"pass a copy: {name}.data.copy()",
                )
    _states_apart(traced, captured, updated)
    for c in states:
        for found in read if c.input in updated else ():
            if _relation(memory(c.holder), found.thing) is not None:
                raise TraceError(
                    f"{c.name or 'a Variable'} and {found.name} share memory; the one is written, the other may be read by plain NumPy, "
                    "which would see the values from before the call",
                    line=traced.graph.inputs[c.input].node.line, op="assignment",
                    mend=f"read {c.name or 'the Variable'}.data, or make the Variable with a copy: Variable(array.copy())",
                )
    if not written:
        return []
    for found in read:
        for k in written:
            if _relation(memory(leaves[k]), found.thing) is not None:
                name = traced.leaves[k].name
                raise TraceError(
                    f"{name}, which the function writes, shares memory with {found.name}, which the function also reaches by itself; what "
                    "plain NumPy reads there while tracing is not what has been written",
                    line=traced.graph.outputs[traced.writes[traced.leaves[k].input]].node.line, op="assignment",  # type: ignore[index]
                    mend=f"pass a copy as {name}, or {found.name} as an argument as well",
                )
    fetches = [c.fetch for c in captured] + [found.fetch for found in read]

    def lie(leaves: list[Any]) -> list[Any]:
        arrays = [memory(leaf) for leaf in leaves]
        others = arrays + [memory(now(fetch)) for fetch in fetches]
        return [
            (arrays[k] is None or arrays[k].flags.writeable, [_relation(arrays[k], b) for j, b in enumerate(others) if j != k])
            for k in written
        ]

    seen = lie(leaves)
    return [Guard("what is written can be, and shares memory with other arrays as it did when traced", lambda leaves: lie(leaves) == seen)]


def _states_apart(traced: Trace, captured: list[Capture], updated: set[int]) -> None:
    """TraceError where the data of a Variable that is written shares memory with another thing that the function closes over."""
    spans = []
    for c in captured if updated else ():
        array = memory(c.holder if c.kind == "variable" else now(c.fetch))
        if isinstance(array, np.ndarray) and array.size:
            spans.append((*byte_bounds(array), c, array))
    spans.sort(key=lambda span: span[0])
    behind: list[Any] = []  # those that reach past the start of the one looked at
    for low, high, c, array in spans:
        behind = [span for span in behind if span[1] > low]
        for _, _, other, its in behind:
            if (c.input in updated or other.input in updated) and np.may_share_memory(array, its, max_work=SHARING):
                one, two = sorted((other, c), key=lambda x: x.input)
                raise TraceError(
                    f"{one.name or one.kind} and {two.name or two.kind} share memory, and one of them is written",
                    line=traced.graph.inputs[two.input].node.line, op="assignment",
                    mend="use one Variable for both, or give one of them a copy: Variable(array.copy())",
                )
        behind.append((low, high, c, array))


def memory(thing: Any) -> Any:
    """The array that holds a thing's value, of a device's array where it lies; None where there is none."""
    return thing.memory() if isinstance(thing, Operand) else backends.memory_of(thing)


def _relation(a: Any, b: Any) -> Relation | None:
    return None if a is None or b is None else relation(a, b)
