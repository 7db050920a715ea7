"""The audit of `compile(audit=True)`: is there anything in a trace that would not be the same at another time?

In: how to trace a call, and the call's arguments. The function is traced once for use, then again: as it is, under another clock, with
other random states, with other values of the numbers given, and with other contents of each captured array, as far as the guards of the
first trace would not notice these. Graphs are compared node by node in the order in which the function made them. Out: the first trace,
or an AuditError that names each line whose result would be baked in, or where Python went another way. What is changed for the audit
(clock, random states, arrays) is put back, and so is what the function changes within its reach; what else it does, a line printed or a
file written, happens as often as it is traced.
"""
from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np

from ir.errors import AuditError, Error, TraceError
from ir.graph import CONSTANT, Graph, Node, Value
from ir.op import Trait
from ir.source import Line, is_library
from tracer.checking.disturb import counts_within, other_clock, other_random_states, others, put_back
from tracer.tracing.outcome import Trace

FAR = (9_999, 10_000)  # counts to which a function's own are set, to see whether it goes another way then
EVENTS = 2_000_000  # lines of a run that are remembered at the most
_STDLIB = os.path.join(os.path.dirname(os.__file__), "")
MENDS = {
    "clock": "read the clock outside and pass the number in",
    "random": "draw outside and pass the numbers in",
    "number": "compute with the number itself: what Python makes of it out of sight is not seen at the next call",
    "array": "decide inside the graph with np.where, or pass what decides as a plain number",
    "again": "pass in what changes from call to call, as an array or a number",
}


@dataclass
class Seen:
    """One run of the function: what was traced or raised, and the user's lines in the order in which they ran."""

    traced: Trace | None = None
    error: Exception | None = None
    ran: list[tuple[Any, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Finding:
    """One line that gives something else. `kind` is a key of MENDS."""

    line: Line | None
    what: str
    kind: str

    def __str__(self) -> str:
        return f"{self.line.place()}   {self.line.code}      {self.what}" if self.line is not None else self.what


def audited(run: Callable[[list[Any]], Trace], leaves: list[Any], fn: Callable[..., Any], name: str) -> Trace:
    """`run(leaves)`, if nothing in it would be baked in. `fn` is the function whose globals and captured things count."""
    first = _seen(run, leaves)
    if first.traced is None:
        assert first.error is not None
        raise first.error
    findings: dict[Any, Finding] = {}
    with put_back(fn, leaves):
        for kind, when, given, disturbed in _runs(first.traced, leaves, fn):
            with disturbed:
                if kind in ("number", "array") and any(not guard.check(given) for guard in first.traced.guards):
                    continue  # a call would notice
                second = _seen(run, given)
            for line, what in _differences(first, second):
                at = (line.file, line.number) if line is not None else None
                findings.setdefault(at, Finding(line, f"{when}, {what}", kind))
    if findings:
        raise _error(list(findings.values()), name)
    return first.traced


def repeats(first: Trace, run: Callable[[list[Any]], Trace], leaves: list[Any], fn: Callable[..., Any]) -> None:
    """TraceError if `run(leaves)`, which gave `first`, gives something else under another clock.

    What the function changes within its reach is put back only if it does so: other threads may be changing the rest.
    """
    with put_back(fn, leaves) if first.impure else nullcontext(), other_clock(fn):
        second = _run(lambda: run(leaves))
    for line, what in _differences(Seen(first), second):
        raise TraceError(
            f"a clock or the system's random numbers{' (or what the function itself changes)' if first.impure else ''} were read while "
            f"tracing, and later calls would repeat them: at another time {what}",
            line=line, op="clock", mend="read it outside and pass the number in",
        )  # fmt: skip


def settles(first: Trace, run: Callable[[], Trace], fn: Callable[..., Any], leaves: list[Any]) -> list[str]:
    """What the function set up when it was first run (a cache, a table), and further runs find there.

    It is run twice more. TraceError if these two differ: what the function counts goes into its trace, and each further call would have
    to give something else; so too if it differs once its counts have gone far. What it changes within its reach is put back.
    """
    with put_back(fn, leaves):
        counts = counts_within(fn)
        second = _run(run)
        counts.note()
        third = _run(run) if second.traced is not None else None
        counts.note()
        found = _differences(Seen(first), second) if third is None else _differences(second, third)
        for count in FAR if third is not None else ():
            if third is not None and not found and counts.go_on_to(count):
                found = _differences(third, _run(run))
    for line, what in found:
        changed = [(name, where) for name, where in first.impure if where is not None] or first.impure
        name, where = next((c for c in changed if line is not None and c[0] in line.code), changed[0])
        raise TraceError(
            f"the function changes {name}, and what it gives depends on that: traced again, {what}; later calls would not change it again",
            line=line or where, op="side effect",
            mend=f"pass {name} as an argument, or hold a number in a Variable: v.data = v.data + 1 is done in each call",
        )  # fmt: skip
    again = {name for name, _ in second.traced.impure} if second.traced is not None else set()
    return [name for name, _ in first.impure if name not in again]


def _run(run: Callable[[], Trace]) -> Seen:
    try:
        return Seen(run())
    except Exception as error:
        return Seen(error=error)


def _error(findings: list[Finding], name: str) -> AuditError:
    first, *rest = findings
    several = f"; {len(rest)} more line{'' if len(rest) == 1 else 's'} below" if rest else ""
    mends = "; ".join(dict.fromkeys([MENDS[f.kind] for f in findings]))
    error = AuditError(f"{first.what}: later calls would not see that{several}", op=name, line=first.line, mend=mends)
    error.findings, error.further = findings, [str(f) for f in rest]
    return error


def _runs(
    traced: Trace, leaves: list[Any], fn: Callable[..., Any]
) -> Iterator[tuple[str, str, list[Any], AbstractContextManager[None]]]:
    """(kind, when, arguments, what is changed meanwhile) of each further run."""
    yield "again", "traced again", leaves, nullcontext()
    yield "clock", "under another clock", leaves, other_clock(fn)
    yield "random", "with another random state", leaves, other_random_states(fn)
    for k, leaf in enumerate(traced.leaves):
        if leaf.kind == "number":
            for other in (leaves[k] + 1, -leaves[k] - 2):
                yield "number", f"for another {leaf.name}", [*leaves[:k], other, *leaves[k + 1 :]], nullcontext()
    for captured in traced.captured:
        if captured.kind == "array":
            for disturbed in others(captured.fetch()):
                yield "array", f"when {captured.name} holds other numbers", leaves, disturbed


# ---- one run
def _seen(run: Callable[[list[Any]], Trace], leaves: list[Any]) -> Seen:
    seen = Seen()
    with _noting(seen.ran):
        try:
            seen.traced = run(leaves)
        except Exception as error:
            seen.error = error
    return seen


@contextmanager
def _noting(ran: list[tuple[Any, int]]) -> Iterator[None]:
    """Notes each of the user's lines that runs meanwhile."""

    def call(frame: Any, event: str, arg: Any) -> Any:
        return line if _of_the_user(frame.f_code.co_filename) else None

    def line(frame: Any, event: str, arg: Any) -> Any:
        if event == "line" and len(ran) < EVENTS:
            ran.append((frame.f_code, frame.f_lineno))
        return line

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield
    finally:
        sys.settrace(before)


def _of_the_user(file: str) -> bool:
    return not is_library(file) and not file.startswith((_STDLIB, "<string>")) and "site-packages" not in file


# ---- two runs
def _differences(first: Seen, second: Seen) -> list[tuple[Line | None, str]]:
    """Each line at which the second run gives something else than the first, and what."""
    way = _other_way(first, second)
    if second.traced is None:
        error = second.error
        line = (error.line if isinstance(error, Error) else None) or _line(second.ran[-1] if second.ran else None)
        raised = [(line, f"it raises {type(error).__name__}")]
        return [*way, *raised] if way else raised
    assert first.traced is not None
    found, parting = _other_nodes(first.traced.graph, second.traced.graph)
    found += _other_results(first.traced, second.traced, first.ran)
    if parting is not None and not way:
        found.append(parting)
    return [*way, *found] if found or parting is not None else []


def _other_way(first: Seen, second: Seen) -> list[tuple[Line | None, str]]:
    """The line after which the two runs went on with different lines."""
    last = None
    for one, two in zip(first.ran, second.ran):
        if one != two:
            return [(_line(last), "Python goes another way from here")]
        last = one
    if second.error is None and len(first.ran) != len(second.ran):
        return [(_line(last), "Python goes another way from here")]
    return []


def _line(event: tuple[Any, int] | None) -> Line | None:
    return Line(event[0].co_filename, event[1], event[0].co_name) if event is not None else None


def _other_nodes(first: Graph, second: Graph) -> tuple[list[tuple[Line | None, str]], tuple[Line | None, str] | None]:
    """Where like nodes read or do something else, and the first nodes that are not alike."""
    found: list[tuple[Line | None, str]] = []
    numbers: tuple[dict[Value, Any], dict[Value, Any]] = ({}, {})
    for graph, numbered in zip((first, second), numbers):
        numbered.update({v: ("input", k) for k, v in enumerate(graph.inputs)})
    for k, (one, two) in enumerate(zip_longest(_made(first), _made(second))):
        if one is None or two is None or one.op is not two.op or one.line != two.line or len(one.operands) != len(two.operands):
            node = one or two
            assert node is not None
            return found, (node.line, f"{node.op.name} is {'not there' if two is None else 'new' if one is None else 'another operation'}")
        for node, numbered in zip((one, two), numbers):
            numbered.update({v: (k, v.index) for v in node.outputs})
        what = _other_attributes(one, two)
        for a, b in zip(one.operands, two.operands):
            what = what or _other_value(a, b, numbers)
        if what is not None:
            found.append((one.line, what))
    return found, None


def _made(graph: Graph) -> list[Node]:
    """The operations in the order in which the function made them."""
    return sorted([node for node in graph.nx if node.operands], key=lambda node: node.serial)


def _other_attributes(one: Node, two: Node) -> str | None:
    if one.op.has(Trait.HOLDS) or one.attrs == two.attrs:
        return None
    name = next(n for n in one.attrs if one.attrs[n] != two.attrs.get(n))
    return f"{one.op.name} has {name} {two.attrs.get(name)!r}, not {one.attrs[name]!r}"


def _other_value(a: Value, b: Value, numbers: tuple[dict[Value, Any], dict[Value, Any]]) -> str | None:
    if a.node.op is CONSTANT and b.node.op is CONSTANT:
        one, two = a.node.attrs["value"], b.node.attrs["value"]
        before, now = _shown(one.value), _shown(two.value)
        return None if one == two else f"{now} stands there" if now == before else f"{now} stands where {before} stood"
    same = numbers[0].get(a) == numbers[1].get(b) and a.spec == b.spec
    return None if same else f"an operand is {'another' if a.spec == b.spec else b.spec}"


def _other_results(first: Trace, second: Trace, ran: list[tuple[Any, int]]) -> list[tuple[Line | None, str]]:
    line = _line(ran[-1] if ran else None)
    if first.out_tree != second.out_tree or [o.kind for o in first.outs] != [o.kind for o in second.outs]:
        return [(line, "the result is another tree")]
    for one, two in zip(first.outs, second.outs):
        if one.output is None and not _same(one.value, two.value):
            return [(line, f"{_shown(two.value)} is returned where {_shown(one.value)} was")]
    for a, b in zip(first.graph.outputs, second.graph.outputs):
        if a.node.op is CONSTANT and b.node.op is CONSTANT and a.node.attrs["value"] != b.node.attrs["value"]:
            return [(line, f"{_shown(b.node.attrs['value'].value)} is returned where {_shown(a.node.attrs['value'].value)} was")]
    return []


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, (np.ndarray, np.generic)) or isinstance(two, (np.ndarray, np.generic)):
        a, b = np.asarray(one), np.asarray(two)
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return one is two or (type(one) is type(two) and repr(one) == repr(two))


def _shown(value: Any) -> str:
    """A number, or the kind of an array."""
    if isinstance(value, np.ndarray) and value.size != 1:
        return f"an array {value.dtype}{list(value.shape)} with other numbers" if value.size else "an empty array"
    return f"{value!s:.40}" if isinstance(value, (np.ndarray, np.generic)) else f"{value!r:.40}"
