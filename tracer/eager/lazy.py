"""Recording: an operation, or a whole graph, applied to eager Variables gives Variables whose values are computed when looked at.

A record sees its operands as they are now. A pending operand is taken by its place in the history. The data of a Variable is not
copied where nobody but the Variable can reach it (whoever asks for it later makes the record run first); data that others hold, and
plain arrays, are copied. The usual small numbers are constants, so that `x ** 2` is a square; others are inputs, so that a number
that changes compiles nothing anew.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from sys import getrefcount
from typing import Any

import numpy as np

from backends.numpy.support import setting
from ir.errors import ArgumentError, DTypeError, Error
from ir.graph import Graph
from ir.op import Op
from ir.source import user_line
from ir.spec import Spec, weak_spec
from tracer.config import SWITCHES
from tracer.eager.pending import PIECE, flush, trim
from tracer.eager.records import (
    DEVICES,
    PENDING,
    TAPE,
    Entry,
    Held,
    Input,
    Part,
    Place,
    Raw,
    Record,
    Several,
    array_spec,
    is_on_device,
    shared,
)  # fmt: skip
from tracer.eager.sharing import copied
from tracer.operands.stack import Operand

ENTRIES = 8192
NUMBERS = 256
_CONSTANTS = frozenset([(int, n) for n in range(-2, 5)] + [(float, n) for n in (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0, 4.0)])
_entries: dict[tuple[Any, ...], Entry] = {}
_numbers: dict[tuple[type, Any], Raw] = {}  # one operand for all uses of a number: one input of the program


def record(kind: type[Held], op: Op, operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """Records an operation; gives a Variable (of type `kind`), or a tuple of them where it has several results.

    Raises the operation's ShapeError or DTypeError at once, with operand specs and the user's line.
    """
    with TAPE.lock:  # what is pending now must still be when the record is on the tape
        if setting() is not TAPE.setting:
            _begin_anew()
        made = _record(kind, op, operands, attrs)
        if TAPE.strict:
            flush(made[0] if type(made) is tuple else made)
        return made


def _record(kind: type[Held], op: Op, operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
    inputs: list[Input] = []
    read: list[Held] = []
    key: list[Any] = [op]
    done = TAPE.done
    for x in operands:
        sort = type(x)
        if (sort is int or sort is float) and (sort, x) in _CONSTANTS:
            key.append((sort, x))
            continue
        if isinstance(x, Held):
            if x._value is PENDING:
                place = x._out
                inputs.append(place)  # type: ignore[arg-type]
                key.append(id(place.spec))  # type: ignore[union-attr]
                continue
            read.append(x)
        taken, spec = _take(x)
        inputs.append(taken)
        key.append(id(spec))
    if TAPE.done != done:  # taking one ran what was pending, an operand taken before it perhaps: none is left the second time
        return _record(kind, op, operands, attrs)
    if attrs:
        key += attrs.items()
    entry = _entries.get(found := tuple(key))
    if entry is None:
        entry = _enter(found, op, operands, attrs, inputs)
    cut = not SWITCHES.enable_backprop
    return _add(kind, entry, inputs, read, cut) if len(entry.outs) == 1 else _add_several(kind, entry, inputs, read, cut)


def record_graph(
    kind: type[Held], graph: Graph | Callable[[tuple[Spec, ...]], Graph], operands: Sequence[Any], cut: bool | None = None
) -> tuple[Any, ...]:
    """Records a graph without updates applied to operands (Variables, arrays, numbers): one Variable for each of its outputs.

    `graph` may be a function that makes the graph for operands of given specs; it is asked once for each kind of operands. `cut`:
    whether no gradient passes, by default as `Config.enable_backprop` says. Raises ArgumentError where an operand does not have the
    spec of its input.
    """
    with TAPE.lock:
        if setting() is not TAPE.setting:
            _begin_anew()
        made = _record_graph(kind, graph, operands, not SWITCHES.enable_backprop if cut is None else cut)
        if TAPE.strict and made:
            flush(made[0])
        return made


def _begin_anew() -> None:
    """The setting of floating-point errors is another: what waits runs under the one that it was recorded under."""
    if TAPE.waiting:
        flush()
    TAPE.setting, TAPE.strict = setting(), "raise" in np.geterr().values()


def _record_graph(kind: type[Held], graph: Graph | Callable[..., Graph], operands: Sequence[Any], cut: bool) -> tuple[Any, ...]:
    inputs: list[Input] = []
    specs: list[Spec] = []
    read: list[Held] = []
    done = TAPE.done
    for x in operands:
        taken, spec = _take(x)
        inputs.append(taken)
        specs.append(spec)
        if isinstance(x, Held):
            read.append(x)
        elif isinstance(x, (Record, Part)) and x.done and (of := x.holder()) is not None:
            read.append(of)
    if TAPE.done != done:  # as in `_record`
        return _record_graph(kind, graph, operands, cut)
    key = (graph, *map(id, specs))
    entry = _entries.get(key)
    if entry is None:
        held = graph if isinstance(graph, Graph) else graph(tuple(specs))
        expected = tuple([v.spec for v in held.inputs])
        if tuple(specs) != expected:
            raise ArgumentError(
                f"the graph takes ({', '.join(map(str, expected))}), not ({', '.join(map(str, specs))})",
                mend="was data replaced by an array of another shape or dtype since it was used?", line=user_line(),
            )
        entry = _remember(key, Entry(held, {}, tuple(specs), tuple([shared(v.spec) for v in held.outputs]), {}))
    return (_add(kind, entry, inputs, read, cut),) if len(entry.outs) == 1 else _add_several(kind, entry, inputs, read, cut)


def _add(kind: type[Held], entry: Entry, inputs: list[Input], read: list[Held], cut: bool) -> Held:
    """A record with one result, put on the tape; then its operands are marked as read."""
    held = kind.__new__(kind)
    held._value, held._read, held.name, held.grad = PENDING, 0, None, None
    ref = weakref.ref(held)
    held._out = Record(entry, inputs, cut, ref)
    waiting = TAPE.waiting
    waiting.append(ref)
    number = TAPE.number
    for x in read:
        x._read = number
    if len(waiting) >= PIECE:
        trim()
    return held


def _add_several(kind: type[Held], entry: Entry, inputs: list[Input], read: list[Held], cut: bool) -> tuple[Any, ...]:
    """As `_add`, for several results (or none)."""
    made = Several(entry, inputs)
    variables, parts, waiting = [], [], []
    for k in range(len(entry.outs)):
        held = kind.__new__(kind)
        held._value, held._read, held.name, held.grad = PENDING, 0, None, None
        held._out = part = Part(made, k, cut, weakref.ref(held))
        parts.append(weakref.ref(part))
        waiting.append(part.holder)
        variables.append(held)
    made.parts = tuple(parts)
    TAPE.waiting += waiting
    number = TAPE.number
    for x in read:
        x._read = number
    if len(TAPE.waiting) >= PIECE:
        trim()
    return tuple(variables)


def _take(x: Any) -> tuple[Input, Spec]:
    """The operand as a record keeps it, and its spec."""
    kind = type(x)
    if kind is np.ndarray:
        spec = array_spec(x)
        return Raw(x.copy("K") if x.dtype.isnative else x.astype(spec.dtype), spec), spec
    if isinstance(x, Held):
        value, place = x._value, x._out
        if value is PENDING:
            return place, place.spec  # type: ignore[union-attr,return-value]
        if type(value) is np.ndarray or type(value) in DEVICES:
            spec = array_spec(value)
            if place is None:
                if getrefcount(value) == _ALONE and value.base is None and value.dtype.isnative:
                    return x, spec
                return Raw(copied(value, spec.dtype, x), spec, x), spec
            if getrefcount(value) == _ALONE + (place.value is value) and value.base is None:
                place.value = value
            else:
                if x._read > TAPE.done:
                    flush()  # a pending record reads the copy that this one takes the place of
                place.value = copied(value, spec.dtype, x)
            return place, spec
        if isinstance(value, np.memmap):
            spec = array_spec(value)
            return Raw(np.array(value, spec.dtype), spec, x), spec
        if value is None:
            raise ArgumentError("a Variable without data is an operand", mend="use it before its data is set to None", line=user_line())
        raise DTypeError(f"a Variable holds a {type(value).__name__}", mend="values of a trace can't be used outside it", line=user_line())
    if isinstance(x, (np.ndarray, np.generic)) and not isinstance(x, Operand):
        spec = array_spec(x)
        return Raw(np.array(x, spec.dtype) if isinstance(x, np.ndarray) else x, spec), spec
    if kind is float or kind is int or kind is complex:
        raw = _numbers.get((kind, x))
        if raw is None:
            if len(_numbers) >= NUMBERS:
                _numbers.clear()
            raw = Raw(x, weak_spec(kind.__name__))
            if x:  # 0.0 and -0.0 are equal, but not the same
                _numbers[kind, x] = raw
        return raw, raw.spec
    if kind is bool:
        return _take(np.bool_(x))
    if is_on_device(x):
        spec = array_spec(x)
        return Raw(x.copy(), spec), spec
    if kind is Record or kind is Part:  # a gradient's operand: a place, which may still be pending
        return _take_place(x)
    if kind is Raw:
        return x, x.spec
    raise DTypeError(f"a {kind.__name__} can't be an operand of a Variable", mend="give arrays, Variables or numbers", line=user_line())


def _take_place(place: Place) -> tuple[Input, Spec]:
    if place.done and place.value is None:
        held = place.holder()
        if held is None or held._value is None:
            raise ArgumentError("a value that the gradient needs was released", mend="set data to None after backward only")
        return _take(held)
    return place, place.spec


def _alone() -> int:
    """What `getrefcount` says in `_take` of an array that only a Variable holds."""
    held = Held.__new__(Held)
    held._value, held._out = np.empty(1), None

    def ask(x: Held) -> int:
        value, place = x._value, x._out
        return getrefcount(value) + (place is not None)

    return ask(held)


_ALONE = _alone()


def _enter(key: tuple[Any, ...], op: Op, operands: Sequence[Any], attrs: dict[str, Any], inputs: list[Input]) -> Entry:
    """A new entry: the operation's spec rule is asked. Errors carry the specs and the line."""
    specs = tuple([array_spec(x._value) if isinstance(x, Held) else x.spec for x in inputs])
    numbers = {k: x for k, x in enumerate(operands) if type(x) in (int, float) and (type(x), x) in _CONSTANTS}
    rest = iter(specs)
    every = tuple([weak_spec(type(x).__name__) if k in numbers else next(rest) for k, x in enumerate(operands)])
    try:
        outs = op.infer(every, attrs)
    except Error as error:
        raise error.at(op=op.name, operands=zip(op.names(len(every)), every), line=user_line())
    return _remember(key, Entry(op, attrs, specs, tuple([shared(spec) for spec in outs]), numbers))


def _remember(key: tuple[Any, ...], entry: Entry) -> Entry:
    if len(_entries) >= ENTRIES:
        _entries.clear()
    _entries[key] = entry
    return entry
