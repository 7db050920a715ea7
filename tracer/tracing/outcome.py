"""What tracing gives: a `Trace`, the graph and all that a call must do around it."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ir.graph import Graph
from ir.source import Line
from tracer import trees
from tracer.tracing.guards.guard import Guard
from tracer.tracing.outside import Capture


@dataclass(frozen=True)
class LeafIn:
    """A leaf of the arguments. `kind`: "array", "variable", "number" (an input of the graph) or "static" (part of the key)."""

    kind: str
    name: str
    input: int | None = None


@dataclass(frozen=True)
class LeafOut:
    """A leaf of the result. `kind`: "array", "scalar" (a 0-d result is a NumPy scalar), "number" (a Python number), "truth" (a Python bool
    from an array), "variable", each with `output`, its place among the graph's outputs; or "static", `value` being what the function gave.
    """

    kind: str
    output: int | None = None
    value: Any = None


@dataclass
class Trace:
    """One traced call. `writes` maps an input (by position) to the output that is its content after the call."""

    graph: Graph
    in_tree: trees.Structure
    out_tree: trees.Structure
    leaves: list[LeafIn]
    outs: list[LeafOut]
    captured: list[Capture] = field(default_factory=list)
    writes: dict[int, int] = field(default_factory=dict)
    guards: list[Guard] = field(default_factory=list)
    baked: list[tuple[str, Line | None]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cost: str | None = None  # what the guards cost, where that deserves a warning
    numbers: bool = True  # whether captured numbers are inputs
    clocks: bool = False  # whether the function names a clock
    gate: int | None = None  # the output without which nothing is updated
    impure: list[tuple[str, Line | None]] = field(default_factory=list)  # what the function changed in captured things, and where
    sets_up: list[str] = field(default_factory=list)  # of these, what further calls find there: the trace is for this call alone
