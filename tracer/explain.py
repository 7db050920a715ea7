"""What happened and why: one record for each trace, kept by a compiled function, printed as text."""
from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ir.passes import Record

if TYPE_CHECKING:
    from tracer.entry import Entry

MANY = 16  # traces in as many calls before a warning says so


@dataclass
class TraceRecord:
    """One trace: when, for which arguments, why, what the passes did, what the plan takes, what it rests on."""

    when: float
    arguments: list[str]
    why: str
    seconds: float
    nodes: int
    passes: list[Record]
    plan: str
    guards: list[str]
    captured: list[str]
    baked: list[str]
    changed: list[str]


@dataclass
class History:
    """Kept by a compiled function: the number of calls and the traces. It holds texts, no arguments."""

    name: str
    calls: int = 0
    records: list[TraceRecord] = field(default_factory=list)
    traces: int = 0
    warned: bool = False

    def add(self, entry: Entry, why: str) -> None:
        """Notes a trace; warns once when nearly every call has needed one."""
        self.traces += 1
        self.records.append(entry.record(why))
        del self.records[:-100]
        if self.traces >= MANY and self.traces >= self.calls and not self.warned:
            self.warned = True
            warnings.warn(
                f"{self.name} was traced again at each of its {self.calls} calls; the last time because {why}. "
                "Keep shapes and dtypes the same, or pass what changes as an array or a float.",
                stacklevel=5,
            )


class Explanation:
    """`print(fast.explain())`. `.traces` and `.calls` are counts; `.guards` the texts of what the present traces rest on."""

    def __init__(self, history: History):
        self._records = list(history.records)
        self.name, self.calls, self.traces = history.name, history.calls, history.traces

    @property
    def guards(self) -> list[str]:
        return list(dict.fromkeys(g for r in self._records for g in r.guards))

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.traces} trace{'' if self.traces == 1 else 's'} in {self.calls} call{'' if self.calls == 1 else 's'}"]
        for number, record in enumerate(self._records, self.traces - len(self._records) + 1):
            lines += _record_lines(number, record)
        return "\n".join(lines)

    __repr__ = __str__


def _record_lines(number: int, record: TraceRecord) -> list[str]:
    when = time.strftime("%H:%M:%S", time.localtime(record.when))
    lines = [f"trace {number} at {when}, {record.seconds * 1e3:.1f} ms: {record.why}"]
    lines += [f"  argument {text}" for text in record.arguments]
    lines += [f"  captured {text}" for text in record.captured]
    lines += [f"  baked in {text}" for text in record.baked]
    lines += [f"  holds while {text}" for text in record.guards]
    lines += [f"  {text}" for text in record.changed]
    done: dict[str, list[Any]] = {}
    for one in record.passes:
        sums = done.setdefault(one.name, [0, 0.0])
        sums[0] += one.rewrites
        sums[1] += one.seconds
    for name, (count, seconds) in done.items():
        lines.append(f"  pass {name}: {count} rewrite{'' if count == 1 else 's'}, {seconds * 1e3:.2f} ms")
    return lines + [f"  {record.nodes} operations left; {record.plan}"]
