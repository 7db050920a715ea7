"""What a trace notes while the function runs: what it rests on, what was read out of the graph's sight, and what was refused.

Plain data, which guards, errors and `explain` are made of when the run is over.
"""
from __future__ import annotations

from ir.errors import TraceError
from ir.graph import Value
from ir.source import Line, user_line


class Notes:
    """The notes of one run."""

    def __init__(self) -> None:
        self.refused: TraceError | None = None  # the first error that there would not be with values
        self.pinned: dict[int, tuple[Line | None, str]] = {}  # number input -> where Python needed its value, and what for
        self.powers: list[Value] = []  # powers of Python numbers, whose kind hangs on the values
        self.baked: list[tuple[str, Line | None]] = []  # plain data that was read, and where
        self.unknown: Line | None = None  # where an array of unknown origin was met: computed from something out of sight
        self.plain_result = False  # whether plain data is among what the function returns
        self.remarks: list[str] = []  # what else `explain` should say

    def pin(self, inputs: frozenset[int], what: str) -> None:
        """Python needed the value of a number that came from these inputs: the trace holds for their present values alone."""
        line = user_line()
        for k in sorted(inputs):
            self.pinned.setdefault(k, (line, what))

    def bake(self, what: str, line: Line | None) -> None:
        """Plain data was read while tracing, out of sight of the graph."""
        self.baked.append((what, line))
        self.unknown = self.unknown or line

    def meet_unknown(self) -> None:
        """An array or number came in that the function does not reach by a path: something out of sight computed it."""
        self.unknown = self.unknown or user_line()
