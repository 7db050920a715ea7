"""Errors as records: what went wrong is data first and a text only when it is shown.

A fact is raised where it is known (`ShapeError("x has 3 columns but W has 4 rows", mend="W should be (3, 10)")`); the boundary that
knows the operation, its operands and the user's line adds them once with `at`. One renderer, `Error.__str__`, draws

    ShapeError: linear: x has 3 columns but W has 4 rows
      model.py:12 in predict   h = F.linear(x, W1, b1)      x: f64[100,3]   W: f64[4,10]
      mend: W should be (3, 10)
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np

from ir.source import Line


class Error(Exception):
    """Every error of this project. Fields: `cause`, `mend`, `op` (a name), `operands` (pairs of a name and a spec, which prints itself),
    `line`, `further` (texts).
    """

    further: Sequence[str] = ()  # lines below the first, where more than one is to blame

    def __init__(
        self,
        cause: str,
        *,
        mend: str | None = None,
        op: str | None = None,
        operands: Iterable[tuple[str, object]] = (),
        line: Line | None = None,
    ):
        super().__init__(cause)
        self.cause, self.mend, self.op, self.operands, self.line = cause, mend, op, tuple(operands), line

    def at(self, *, op: str | None = None, operands: Iterable[tuple[str, object]] = (), line: Line | None = None) -> Self:
        """Adds context that is not known yet; what is known already stays. Returns the error, to be raised."""
        self.op = self.op or op
        self.operands = self.operands or tuple(operands)
        self.line = self.line or line
        return self

    def __str__(self) -> str:
        text = f"{self.op}: {self.cause}" if self.op else self.cause
        operands = "   ".join(f"{name}: {spec}" for name, spec in self.operands)
        if self.line is not None:
            text += f"\n  {self.line.place()}   {self.line.code}".rstrip() + (f"      {operands}" if operands else "")
        elif operands:
            text += f"\n  {operands}"
        text += "".join([f"\n  {more}" for more in self.further])
        return text + (f"\n  mend: {self.mend}" if self.mend else "")


class TraceError(Error):
    """The function can't be traced as it stands: a value is needed, a function is not traced, a draw, a leak."""


class ShapeError(Error, ValueError):
    """Shapes do not fit each other, or an axis or index is out of range."""


class DTypeError(Error, TypeError):
    """A dtype that an operation, or the project, does not take."""


class IndexRangeError(ShapeError, IndexError):
    """An index that an array does not have."""


class AxisError(IndexRangeError, np.exceptions.AxisError):
    """An axis that an array does not have."""


class NumberRangeError(DTypeError, OverflowError):
    """A Python integer that the dtype of an operation can't hold."""


class GradientError(Error):
    """There is no gradient to give: not a scalar, not of floats, or an operation without a rule is in the way."""


class ArgumentError(Error, TypeError):
    """An argument or option of ours that makes no sense: an unknown backend, a changed tree, a wrong count."""


class ValueArgumentError(ArgumentError, ValueError):
    """An argument of the right type with a value that makes no sense: a step of 0, an unknown order."""


class NotFiniteError(Error, FloatingPointError):
    """A loss or a gradient is NaN or infinite where that was to be an error; nothing was updated."""


class MemoryLimitError(Error, MemoryError):
    """No plan within the memory limit was found; nothing has run. `smallest_bytes`: the least peak found, `floor_bytes`: a bound below all.

    `largest`: of the buffers that are there at the least peak the three largest, as (bytes, what lies there, line).
    """

    smallest_bytes: int = 0
    floor_bytes: int = 0
    largest: Sequence[tuple[int, str, Line | None]] = ()


class VerifyError(Error):
    """A graph or plan breaks its own rules: a fault of a pass, or of a graph built by hand."""


class NotLowered(Error):
    """An operation, or a group of them, that can't be written as loops: no code is generated for it."""


class CheckError(Error):
    """A checked call found a value that is wrong or no longer finite.

    `culprit` says whose fault it is: "pass fold", "kernel exp.ufunc, step 3", "plan, step 3", "program", "the value".
    """

    culprit: str = ""

    def by(self, culprit: str) -> Self:
        """Says whose fault it is. Returns the error, to be raised."""
        self.culprit = culprit
        return self


class AuditError(Error):
    """An audit found what would be baked into a trace. `findings`: each with `line`, `what` and `kind`; the first is the error's own."""

    findings: list[Any] = []


class ParseError(Error, ValueError):
    """A text that is not a graph."""


class RenderError(Error):
    """A picture could not be drawn, usually because the `dot` program is missing."""


class BackendUnavailable(Error):
    """A backend that is known but can't be used here, with the reason and the install line."""
