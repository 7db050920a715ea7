"""The one dispatcher: an operation and its operands in; what the operands' kind makes of it out.

Operands are Variables, traced arrays, traced scalars, plain arrays and numbers in any mixture. The Operand of the highest rank
records: a Variable gives a Variable (recorded lazily, or in the running trace), a traced array a traced array. With plain operands
only, the running trace records; outside a trace the operation's plain NumPy meaning answers.
"""

from __future__ import annotations

from typing import Any

from ir.op import Op
from ir.ops import TABLE
from tracer.operands.stack import Operand, current


def apply(op: Op | str, *operands: Any, **attrs: Any) -> Any:
    """Applies an operation (a record or its name). Attributes are the operation's own, axes counted from 0.

    >>> float(apply("add", 1.0, 2.0))
    3.0
    """
    record = TABLE[op] if isinstance(op, str) else op
    best: type[Operand] | None = None
    for operand in operands:
        kind = type(operand)
        if issubclass(kind, Operand) and (best is None or kind.rank > best.rank):
            best = kind
    if best is not None:
        return best.record(record, operands, attrs)
    tracing = current()
    return tracing.record(record, operands, attrs) if tracing is not None else record.meaning(*operands, **attrs)
