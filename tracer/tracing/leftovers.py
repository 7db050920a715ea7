"""What a traced function leaves behind and a later call would not: each is a TraceError with the line, and is put back where it can be.

In: the trace that has just run, and what was within the function's reach before, with fingerprints. `audit.settles` looks for counts.
"""
from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from ir.errors import TraceError
from ir.source import Line
from tracer.arrays.scalar import TracedScalar
from tracer.arrays.traced import TracedArray
from tracer.captures.changes import line_of_change, line_of_use
from tracer.captures.paths import Found, now
from tracer.captures.seen import fingerprint
from tracer.tracing.context import Tracing


def nothing_left(tracing: Tracing, before: list[tuple[Found, Any]]) -> None:
    """TraceError where the function left a traced array in the place of a thing within reach. The thing is put back."""
    left = [found for found, _ in before if isinstance(now(found.fetch), (TracedArray, TracedScalar))]
    for found in left:
        found.fetch.put(found.thing)
    if left:
        name = left[0].name
        raise TraceError(
            f"the function leaves a traced value as {name}; a later call would not", op="assignment",
            line=line_of_change(name, tracing.outside.fn, tracing.outside.reach.found) if tracing.outside.fn is not None else None,
            mend=f"return the new value; or hold it in a Variable and write {name}.data = ..., which is done in each call",
        )  # fmt: skip


def settings() -> dict[str, tuple[dict[str, Any], str]]:
    """NumPy's settings of this thread: what sets them, what they are, and how a block sets them."""
    return {"np.seterr": (dict(np.geterr()), "np.errstate"), "np.set_printoptions": (dict(np.get_printoptions()), "np.printoptions")}


def no_settings_left(tracing: Tracing, before: dict[str, tuple[dict[str, Any], str]]) -> None:
    """TraceError where the function leaves one of NumPy's settings another than it was `before`: a later call would not. It is put back."""
    for name, (held, _) in settings().items():
        was, block = before[name]
        if held != was:
            getattr(np, name.partition(".")[2])(**{key: value for key, value in was.items() if value != held[key]})
            fn = tracing.outside.fn
            raise TraceError(
                f"the function leaves NumPy with other settings, by {name}; a later call would not", op=name,
                line=line_of_use(name, fn, tracing.outside.reach.found) if fn is not None else None,
                mend=f"set them around the call, or for a block inside: with {block}(...)",
            )  # fmt: skip


def no_plain_writes(tracing: Tracing, impure: list[tuple[str, Line | None]], before: list[tuple[Found, Any]]) -> None:
    """TraceError where the function wrote plain values into an array within reach: a later call would not. The write is undone."""
    written = [(f, seen) for f, seen in before if isinstance(f.thing, np.ndarray) and fingerprint(f.thing) != seen]
    for found, (_, dtype, data) in written:
        if len(data) == found.thing.nbytes:  # of a large array there is only a checksum
            found.thing[...] = np.frombuffer(data, dtype).reshape(found.thing.shape)
    if written:
        name = written[0][0].name
        code = getattr(inspect.unwrap(tracing.outside.fn), "__code__", None) if tracing.outside.fn is not None else None
        line = next((line for changed, line in impure if changed == name), None)
        if line is None and code is not None:
            line = Line(code.co_filename, code.co_firstlineno, code.co_name)
        raise TraceError(
            f"the function writes plain values into the array {name}; a later call would not write them again",
            op="assignment", line=line, mend=f"write it before the call, or make {name} an argument, which is written at each call",
        )  # fmt: skip


def no_gradients_left(tracing: Tracing) -> None:
    """TraceError where gradients go to Variables from outside and the function uses none of them: a later call would not set them."""
    graph = tracing.graph
    left = [(v, v.grad.data.value) for v, before in tracing.outside.grads if v.grad is not None and v.grad is not before]
    if left and not any(value in graph.results() or graph.uses(value) for _, value in left):
        variable, value = left[0]
        raise TraceError(
            f"the traced function leaves a gradient on the Variable {variable.name or ''}".rstrip() + "; a later call would not",
            line=value.node.line, op="backward", mend="return v.grad.data, or use tracer.grad or tracer.train_step",
        )
