"""What the tracer can't do, said with the user's line: the helpers that make a TraceError, ShapeError or DTypeError.

Facts known to an operation's rule are raised there; these are the facts that only the tracer knows (a value is needed, a function
is not traced, an assignment does not fit).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ir.errors import ArgumentError, DTypeError, Error, IndexRangeError, NumberRangeError, ShapeError, TraceError, ValueArgumentError
from ir.source import Line, is_library, user_line
from ir.spec import Spec
from tracer.operands.stack import Operand, Recorder, current


def refuse(cause: str, mend: str, op: str | None = None, operands: Iterable[tuple[str, Spec]] = ()) -> TraceError:
    """A TraceError with the user's line, to be raised. The running trace remembers it: the user's code may catch it."""
    return remembered(TraceError(cause, mend=mend, op=op, operands=operands, line=user_line()), current())


def remembered(error: TraceError, tracing: Recorder | None) -> TraceError:
    """The error, which a trace takes note of: with values there would be none, so whoever catches it goes another way."""
    if tracing is not None and tracing.noted.refused is None:
        tracing.noted.refused = error
    return error


def swallowed(error: TraceError) -> TraceError:
    """A refusal that the user's code caught, to be raised when the function is through."""
    return TraceError(
        f"{error.cause}; the function caught this error, and went another way than it would with values",
        mend=f"{error.mend or 'change the line'}; or keep the line out of the try block",
        op=error.op, operands=error.operands, line=error.line,
    )  # fmt: skip


def bad_shape(cause: str, mend: str, op: str | None = None, operands: Iterable[tuple[str, Spec]] = ()) -> ShapeError:
    """A ShapeError with the user's line, to be raised."""
    return ShapeError(cause, mend=mend, op=op, operands=operands, line=user_line())


def bad_dtype(cause: str, mend: str, op: str | None = None, operands: Iterable[tuple[str, Spec]] = ()) -> DTypeError:
    """A DTypeError with the user's line, to be raised."""
    return DTypeError(cause, mend=mend, op=op, operands=operands, line=user_line())


def needs_value(what: str, mend: str, **operands: Any) -> TraceError:
    """The refusal of `if x`, `float(x)` and their kind."""
    return refuse(f"{what} needs a value, which is not known while tracing", mend, op="value", operands=list(operands.items()))


def bad_index(cause: str, mend: str, op: str | None = None) -> IndexRangeError:
    """An IndexRangeError with the user's line, to be raised."""
    return IndexRangeError(cause, mend=mend, op=op, line=user_line())


def checked_indices(indices: Any, size: int, axis: int) -> Any:
    """The indices; IndexRangeError where they are known while tracing and one of them is not of an axis of that size."""
    known = isinstance(indices, (np.ndarray, np.integer)) and not isinstance(indices, Operand)
    if known and indices.dtype.kind in "iu" and indices.size:
        checked_index(int(np.min(indices)), size, axis)
        checked_index(int(np.max(indices)), size, axis)
    return indices


def checked_index(index: int, size: int, axis: int) -> None:
    """IndexRangeError where an axis of that size has no such index."""
    if not -size <= index < size:
        mend = f"use {-size} to {size - 1}" if size else "the axis is empty"
        raise bad_index(f"index {index} is out of range for axis {axis} of size {size}", mend, op="index")


_KINDS: tuple[tuple[type[Exception], type[Error]], ...] = (
    (IndexError, IndexRangeError), (OverflowError, NumberRangeError), (TypeError, ArgumentError), (ValueError, ValueArgumentError),
)


def in_our_words(error: Exception) -> Error | None:
    """An error that Python or NumPy raised inside a traced function of ours, as one that names the user's line; None for others."""
    line, op = where_raised(error)
    kind = next((ours for theirs, ours in _KINDS if isinstance(error, theirs)), None)
    if op is None or kind is None:
        return None
    return kind(str(error), op=op, line=line, mend=f"give {op} what NumPy's takes")


def where_raised(error: Exception) -> tuple[Line | None, str | None]:
    """The innermost line of the user's that the error passed through, and the function of ours that was called there."""
    line: Line | None = None
    op: str | None = None
    traceback = error.__traceback__
    while traceback is not None:
        frame, number = traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next
        if not is_library(frame.f_code.co_filename):
            line, op = Line(frame.f_code.co_filename, number, frame.f_code.co_name), None
        elif line is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("tracer", "ir"):
            called = frame.f_locals.get("func") or frame.f_locals.get("ufunc")
            if op is None or hasattr(called, "__name__"):
                op = getattr(called, "__name__", frame.f_code.co_name).strip("_")
    return line, op
