"""What happened and why: one record for each trace, kept by a compiled function, printed as text.

In: traces, with the reason of each. Out: an `Explanation`. The texts hang on nothing but the calls that were made: no times, no
addresses, no order of sets, so that two runs of a program explain themselves alike. They hold none of the user's arrays.
"""
from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ir.graph import CONSTANT, Graph
from ir.passes import Record
from ir.plan import Call, Plan, Region
from ir.source import Line
from ir.spec import Spec
from tracer.captures.paths import GONE, now
from tracer.tracing.outcome import Trace
from tracer.tracing.outside import Capture
from tracer.variable import Variable

MANY = 16  # traces in as many calls before a warning says so
OFTEN = 8  # traces for other values of one number before a warning says so
KEPT = 100  # records, the last ones


@dataclass
class TraceRecord:
    """One trace: when, why, and its texts: `groups` has (name, lines) for what is printed of it."""

    when: float
    seconds: float
    why: str
    guards: list[str]
    passes: list[Record]
    groups: list[tuple[str, list[str]]]
    cost: str | None = None


@dataclass
class History:
    """Kept by a compiled function: the number of calls and the traces. It holds texts, no arguments."""

    name: str
    calls: int = 0
    records: list[TraceRecord] = field(default_factory=list)
    traces: int = 0
    values: dict[str, int] = field(default_factory=dict)  # how often a number, or the numbers in an array, made another trace necessary
    warned: bool = False
    warned_of_cost: bool = False

    def add(self, record: TraceRecord, line_of: Callable[[str], Line | None] | None = None) -> None:
        """Notes a trace; warns once when nearly every call has needed one, or one number OFTEN ones.

        `line_of` is given where a number or the numbers of an array made it necessary: it finds the line that uses what is captured.
        """
        self.traces += 1
        self.records.append(record)
        del self.records[:-KEPT]
        if record.cost is not None and not self.warned_of_cost:
            self.warned_of_cost = True
            warnings.warn(f"{self.name}: {record.cost}", stacklevel=6)
        if line_of is not None:
            self._count(record.why, line_of)
        if self.traces >= MANY and self.traces >= self.calls and not self.warned:
            self.warned = True
            warnings.warn(
                f"{self.name} was traced again at each of its {self.calls} calls; the last time for {record.why}. "
                "Keep shapes and dtypes the same, or pass what changes as an array or a float.",
                stacklevel=6,
            )


    def _count(self, why: str, line_of: Callable[[str], Line | None]) -> None:
        kind, _, path = why.partition(": ")[0].partition(" ")
        self.values[path] = self.values.get(path, 0) + 1
        if self.values[path] < OFTEN or self.warned:
            return
        self.warned = True
        line = line_of(path) if kind == "captured" else None
        where = f", which {line.place()} uses:   {line.code}   " if line is not None else ""
        mend = "Pass it as an argument" if kind == "captured" else "Do without its value in Python (np.where, np.sqrt)"
        if kind == "captured" and "with other numbers" not in why:
            mend += ", or hold it in a local variable of the function around"
        warnings.warn(
            f"{self.name} has been traced {OFTEN} times for other values of {path}{where}; the last time for {why}. {mend}.", stacklevel=7
        )


class Explanation:
    """`print(fast.explain())`: each trace with its reason and what it rests on; what is as in the trace before is said once.

    `.traces` and `.calls` are counts; `.why` has the reason of each trace; `.guards` what the traces rest on, each once; `.records`
    the traces as data, with the seconds they took and what each pass did.
    """

    def __init__(self, history: History):
        self.records = list(history.records)
        self.name, self.calls, self.traces = history.name, history.calls, history.traces

    @property
    def why(self) -> list[str]:
        return [record.why for record in self.records]

    @property
    def guards(self) -> list[str]:
        return list(dict.fromkeys(g for r in self.records for g in r.guards))

    def __str__(self) -> str:
        lines = [f"{self.name}: {_count(self.traces, 'trace')} in {_count(self.calls, 'call')}"]
        before: dict[str, list[str]] = {}
        for number, record in enumerate(self.records, self.traces - len(self.records) + 1):
            lines.append(f"trace {number}: {record.why}")
            same = []
            for name, texts in record.groups:
                known = before.get(name, ())
                new = [text for text in texts if text not in known]
                lines += [f"  {text}" for text in new]
                if len(new) < len(texts):
                    same.append(f"{name} ({len(texts) - len(new)} of {len(texts)})" if new else name)
            lines += [f"  as in trace {number - 1}: {', '.join(same)}"] if same else []
            before = dict(record.groups)
        return "\n".join(lines)

    __repr__ = __str__


def record_of(
    traced: Trace, graph: Graph, passes: list[Record], baked: list[str], nodes: int, steps: list[str], when: float, seconds: float, why: str
) -> TraceRecord:
    """The record of a trace. `graph` is the one after all passes, `nodes` how many operations there were before, `baked` as
    `baked_texts` gives it, `steps` says what the plan takes, as `plan_texts` does.
    """
    inputs = graph.inputs
    updated = graph.updated()
    guards = [g.description for g in traced.guards]
    groups = [
        ("arguments", [f"argument {x.name}: {'part of the key' if x.input is None else inputs[x.input].spec}" for x in traced.leaves]),
        ("captured", [_captured_text(c, c.input in updated) for c in traced.captured]),
        ("baked in", [f"baked in {text}" for text in baked]),
        ("guards", [f"guard {text}" for text in guards]),
        ("side effects", [
            f"only while tracing: {name} is changed" + (f" at {line.place()}   {line.code}".rstrip() if line else "")
            for name, line in traced.impure
        ]),
        ("notes", list(traced.notes)),
        ("passes", _passes(passes, nodes, len(graph) - len(inputs))),
        ("plan", steps),
    ]  # fmt: skip
    return TraceRecord(when, seconds, why, guards, list(passes), groups, traced.cost)


def baked_texts(graph: Graph) -> list[str]:
    """The arrays and NumPy numbers that entered the graph as they were while tracing, each with its bytes and line."""
    found = []
    for node in graph.order():
        line = node.line
        if node.op is not CONSTANT or line is None or node.phase != "forward":
            continue
        value = node.attrs["value"].value
        if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim):
            found.append(f"{node.outputs[0].spec}, {_count(value.nbytes, 'byte')}: {line.place()}   {line.code}".rstrip())
    return found


def plan_texts(plan: Plan) -> list[str]:
    """What a run takes; its regions with their operations, block, modelled bytes and buffers; what is in none, with the reason; and for a
    memory limit by which lines' values it is met.
    """
    return [f"peak_bytes {plan.peak_bytes}, {len(plan.steps)} steps", *_region_texts(plan), *_limit_texts(plan)]


def _region_texts(plan: Plan) -> list[str]:
    found = []
    for step in plan.steps:
        if isinstance(step, Region):
            single, border = step.node.attrs["blocked"].moved
            names = dict.fromkeys([s.node.op.name for s in step.body.steps if isinstance(s, Call)])
            buffers = f"buffers of {step.private[0].buffer.bytes} bytes" if step.private else "no buffers"
            forks = f", for each of {step.workers} workers" if step.workers > 1 else ""
            found.append(
                f"region{_where(step.line)}: {', '.join(names)}; {step.size} in blocks of {step.rows}; "
                f"{border} bytes moved instead of {single}; {buffers}{forks}"
            )
    left: dict[tuple[str, str], list[str]] = {}
    for op, line, why in plan.notes.get("outside regions", ()):
        left.setdefault((op, why), []).append(_where(line))
    for (op, why), places in left.items():
        found.append(f"in no region: {op}{places[0]}{f' and {len(places) - 1} more' if len(places) > 1 else ''}: {why}")
    return found


def _limit_texts(plan: Plan) -> list[str]:
    if plan.memory_limit is None:
        return []
    saved = plan.free_bytes - plan.peak_bytes
    found = [f"memory_limit {plan.memory_limit}: {_count(saved, 'byte')} of {plan.free_bytes} saved"]
    again = Counter(n.recompute_of for n in plan.graph.order() if n.recompute_of is not None and n.op.view_of is None)
    lines: dict[tuple[str, str], list[int]] = {}
    for node, times in again.items():
        where = f"{node.line.place()}   {node.line.code}".rstrip() if node is not None and node.line is not None else "no line"
        if node is not None:
            kept = lines.setdefault((node.op.name, where), [0, 0])
            kept[0] += times
            kept[1] += sum([v.spec.nbytes for v in node.outputs])
    for (op, where), (times, held_bytes) in lines.items():
        found.append(f"computed again {_count(times, 'time')}, {_count(held_bytes, 'byte')} not kept: {op}   {where}")
    return found


def _where(line: Line | None) -> str:
    return f" at {line.place()}" if line is not None else ""


def other_thing(capture: Capture) -> str:
    """What stands in the place of a captured thing now: `captured table: f64[3] -> f64[4]`."""
    thing = now(capture.fetch)
    data = thing.data if isinstance(thing, Variable) else thing
    shape, dtype = getattr(data, "shape", None), getattr(data, "dtype", None)
    if shape is not None and dtype is not None:
        after = f"{'a Variable ' if isinstance(thing, Variable) else ''}{Spec(shape, dtype)}"
    else:
        after = "nothing" if thing is GONE else type(thing).__name__
    was = f"{'a Variable ' if capture.kind == 'variable' else ''}{capture.spec}"
    return f"captured {capture.name or 'a value'}: {was} -> {'one that lies otherwise in memory' if after == was else after}"


def _captured_text(capture: Capture, updated: bool) -> str:
    return f"captured {capture.name or 'a value'}: {capture.kind} {capture.spec}" + (", updated by each call" if updated else "")


def _passes(passes: Sequence[Record], before: int, after: int) -> list[str]:
    """A line for each pass that did something, in the order of their first runs, one for the others, and what came out."""
    done: dict[str, int] = {}
    for one in passes:
        done[one.name] = done.get(one.name, 0) + one.rewrites
    idle = [name for name, count in done.items() if not count]
    found = [f"pass {name}: {_count(count, 'rewrite')}" for name, count in done.items() if count]
    found += [f"nothing to do for {', '.join(idle)}"] if idle else []
    return [*found, f"{_count(before, 'operation')} traced, {after} left"]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
