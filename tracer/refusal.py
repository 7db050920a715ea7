"""What the tracer can't do, said with the user's line: the helpers that make a TraceError, ShapeError or DTypeError.

Facts known to an operation's rule are raised there; these are the facts that only the tracer knows (a value is needed, a function
is not traced, an assignment does not fit).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ir.errors import DTypeError, ShapeError, TraceError
from ir.source import user_line
from ir.spec import Spec


def refuse(cause: str, mend: str, op: str | None = None, operands: Iterable[tuple[str, Spec]] = ()) -> TraceError:
    """A TraceError with the user's line, to be raised."""
    return TraceError(cause, mend=mend, op=op, operands=operands, line=user_line())


def bad_shape(cause: str, mend: str, op: str | None = None, operands: Iterable[tuple[str, Spec]] = ()) -> ShapeError:
    """A ShapeError with the user's line, to be raised."""
    return ShapeError(cause, mend=mend, op=op, operands=operands, line=user_line())


def bad_dtype(cause: str, mend: str, op: str | None = None, operands: Iterable[tuple[str, Spec]] = ()) -> DTypeError:
    """A DTypeError with the user's line, to be raised."""
    return DTypeError(cause, mend=mend, op=op, operands=operands, line=user_line())


def needs_value(what: str, mend: str, **operands: Any) -> TraceError:
    """The refusal of `if x`, `float(x)` and their kind."""
    return refuse(f"{what} needs a value, which is not known while tracing", mend, op="value", operands=list(operands.items()))
