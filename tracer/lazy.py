"""Recording: an operation, or a whole graph, applied to eager Variables gives Variables whose values are computed when looked at.

A record sees its operands as they are now. A pending operand is taken by its place in the history. The data of a Variable is not
copied where nobody but the Variable can reach it (whoever asks for it later makes the record run first); data that others hold, and
plain arrays, are copied. The usual small numbers are constants, so that `x ** 2` is a square; others are inputs, so that a number
that changes compiles nothing anew.
"""
from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.errors import ArgumentError, DTypeError, Error
from ir.graph import Graph
from ir.op import Op
from ir.source import user_line
from ir.spec import Spec, weak_spec
from tracer.config import Config
from tracer.pending import PIECE, trim
from tracer.records import PENDING, TAPE, Entry, Held, Input, Out, Raw, Record, array_spec

ENTRIES = 8192
_CONSTANTS = frozenset([(int, n) for n in range(-2, 5)] + [(float, n) for n in (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0, 4.0)])
_entries: dict[tuple[Any, ...], Entry] = {}


def record(kind: type[Held], op: Op, operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """Records an operation; gives a Variable (of type `kind`), or a tuple of them where it has several results.

    Raises the operation's ShapeError or DTypeError at once, with operand specs and the user's line.
    """
    inputs: list[Input] = []
    specs: list[Spec] = []
    key: list[Any] = [op]
    for x in operands:
        number = type(x)
        if (number is float or number is int) and (number, x) in _CONSTANTS:
            key.append((number, x))
            continue
        taken, spec = _take(x)
        inputs.append(taken)
        specs.append(spec)
        key.append(id(spec))
    if attrs:
        key += attrs.items()
    entry = _entries.get(found := tuple(key))
    if entry is None:
        entry = _enter(found, op, operands, attrs, specs)
    outs = _add(kind, entry, inputs, not Config.enable_backprop)
    return outs[0] if len(outs) == 1 else outs


def record_graph(kind: type[Held], graph: Graph, operands: Sequence[Any], cut: bool | None = None) -> tuple[Any, ...]:
    """Records a graph without updates applied to operands (Variables, arrays, numbers): one Variable for each of its outputs.

    `cut`: whether no gradient passes, by default as `Config.enable_backprop` says. Raises ArgumentError where an operand does not
    have the spec of its input.
    """
    inputs: list[Input] = []
    specs: list[Spec] = []
    for x in operands:
        taken, spec = _take(x)
        inputs.append(taken)
        specs.append(spec)
    key = (graph, *map(id, specs))
    entry = _entries.get(key)
    if entry is None:
        expected = tuple([v.spec for v in graph.inputs])
        if tuple(specs) != expected:
            raise ArgumentError(
                f"the graph takes ({', '.join(map(str, expected))}), not ({', '.join(map(str, specs))})",
                mend="was data replaced by an array of another shape or dtype since it was used?", line=user_line(),
            )
        entry = _remember(key, Entry(graph, {}, tuple(specs), tuple([v.spec for v in graph.outputs]), {}))
    return _add(kind, entry, inputs, not Config.enable_backprop if cut is None else cut)


def _add(kind: type[Held], entry: Entry, inputs: list[Input], cut: bool) -> tuple[Any, ...]:
    """The record itself, put on the tape; its operands are marked as read."""
    made = Record(entry, tuple(inputs))
    variables, outs = [], []
    waiting = TAPE.waiting
    for k, spec in enumerate(entry.outs):
        held = kind.__new__(kind)
        held._value, held._read, held.name, held.grad = PENDING, 0, None, None
        ref = weakref.ref(held)
        out = held._out = Out(made, k, spec, cut, ref)
        outs.append(out)
        variables.append(held)
        waiting.append(ref)
    made.outs = tuple(outs)
    number = TAPE.number
    for x in inputs:
        if isinstance(x, Held):
            x._read = number
        elif type(x) is Out and x.done and (read := x.holder()) is not None:
            read._read = number
    if len(waiting) >= PIECE:
        trim()
    return tuple(variables)


def _take(x: Any) -> tuple[Input, Spec]:
    """The operand as a record keeps it, and its spec."""
    if isinstance(x, Held):
        value, out = x._value, x._out
        if value is PENDING:
            return out, out.spec  # type: ignore[union-attr,return-value]
        if type(value) is np.ndarray:
            spec = array_spec(value)
            if out is None:
                if sys.getrefcount(value) == _ALONE and value.base is None and value.dtype is spec.dtype:
                    return x, spec
                return Raw(np.array(value, spec.dtype), spec, x), spec
            mine = _ALONE + (out.value is value)
            if sys.getrefcount(value) == mine and value.base is None:
                out.value = value
            else:
                out.value = np.array(value, spec.dtype)
            return out, spec
        if value is None:
            raise ArgumentError("a Variable without data is used as an operand", mend="its data was set to None: use it before", line=user_line())
        raise DTypeError(f"a Variable holds a {type(value).__name__}", mend="values of a trace can't be used outside it", line=user_line())
    if isinstance(x, np.ndarray):
        spec = array_spec(x)
        return Raw(np.array(x, spec.dtype), spec), spec
    if isinstance(x, np.generic):
        spec = array_spec(x)
        return Raw(x, spec), spec
    kind = type(x)
    if kind is float or kind is int or kind is complex:
        return Raw(x, weak_spec(kind.__name__)), weak_spec(kind.__name__)
    if kind is bool:
        return _take(np.bool_(x))
    if type(x) is Out:  # a gradient's operand: what a record gave, which may still be pending
        return _take_out(x)
    if type(x) is Raw:
        return x, x.spec
    raise DTypeError(f"a {kind.__name__} can't be an operand of a Variable", mend="give arrays, Variables or numbers", line=user_line())


def _take_out(out: Out) -> tuple[Input, Spec]:
    if out.done and out.value is None:
        held = out.holder()
        if held is None or held._value is None:
            raise ArgumentError("a value that the gradient needs was released", mend="keep the data of intermediate Variables until backward")
        return _take(held)
    return out, out.spec


def _alone() -> int:
    """What `sys.getrefcount` says in `_take` of an array that only a Variable holds."""
    held = Held.__new__(Held)
    held._value = np.empty(1)

    def ask(x: Held) -> int:
        value, out = x._value, None
        return sys.getrefcount(value) + (out is not None)

    return ask(held)


_ALONE = _alone()


def _enter(key: tuple[Any, ...], op: Op, operands: Sequence[Any], attrs: dict[str, Any], specs: list[Spec]) -> Entry:
    """A new entry: the operation's spec rule is asked. Errors carry the specs and the line."""
    numbers = {k: x for k, x in enumerate(operands) if (type(x), x if type(x) in (int, float) else None) in _CONSTANTS}
    rest = iter(specs)
    every = tuple([weak_spec(type(x).__name__) if k in numbers else next(rest) for k, x in enumerate(operands)])
    try:
        outs = op.infer(every, attrs)
    except Error as error:
        raise error.at(op=op.name, operands=zip(op.names(len(every)), every), line=user_line())
    return _remember(key, Entry(op, attrs, tuple(specs), outs, numbers))


def _remember(key: tuple[Any, ...], entry: Entry) -> Entry:
    if len(_entries) >= ENTRIES:
        _entries.clear()
    _entries[key] = entry
    return entry
