"""How NumPy would lay out a new result, as far as a trace must know it: an operation and its operands in, a stand-in out."""
from __future__ import annotations

from typing import Any

import numpy as np

from ir.graph import Value
from ir.op import Op
from ir.planning.orders import Lie, result_strides
from ir.planning.strides import c_strides
from ir.spec import Spec
from tracer.arrays.storage import Step, stand_in
from tracer.arrays.traced import TracedArray
from tracer.operands.stack import Operand
from tracer.tracing.outside import native


def strides_of(op: Op, operands: tuple[Any, ...], attrs: dict[str, Any], out: Spec) -> np.ndarray | None:
    """The stand-in of a new result, as NumPy lays it out; None for C order."""
    if out.ndim < 2 or op.order != "gather" and all(x.strides_ is None if type(x) is TracedArray else _is_plain(x) for x in operands):
        return None
    if op.view_of is not None and isinstance(operands[0], np.ndarray) and type(operands[0]) is not TracedArray:
        made = Step(op, tuple(attrs.items())).stand_in(operands[0])  # of a plain array: a view, or None for a copy
        return None if made is None or made.flags.c_contiguous else stand_in(out, made.strides)
    strides = result_strides(op, attrs, [_lie(x) for x in operands], out)
    made = stand_in(out, strides)
    return None if made.flags.c_contiguous else made


def _is_plain(operand: Any) -> bool:
    """Whether an operand that is no traced array lies in C order."""
    if isinstance(operand, np.ndarray):
        return operand.flags.c_contiguous
    return not isinstance(operand, Operand) or type(operand).rank < 2


def _lie(operand: Any) -> Lie:
    """Shape, strides and dtype of an operand of any kind."""
    if isinstance(operand, Operand) and type(operand).rank == 3:
        operand = operand.data  # type: ignore[attr-defined]
    if type(operand) is TracedArray:
        operand = operand.stand_in()
    if isinstance(operand, np.ndarray):
        return operand.shape, operand.strides, native(operand.dtype)
    spec = operand.spec if type(operand) is Value else Spec((), np.asarray(operand).dtype if isinstance(operand, np.generic) else float)
    return spec.shape, c_strides(spec.shape, spec.dtype.itemsize), spec.dtype
