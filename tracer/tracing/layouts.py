"""How NumPy would lay out a new result, as far as a trace must know it: an operation and its operands in, a stand-in out."""
from __future__ import annotations

from typing import Any

import numpy as np

from ir.errors import TraceError
from ir.graph import Value
from ir.op import Op, Trait
from ir.planning.orders import Lie, result_strides
from ir.planning.strides import c_strides
from ir.spec import Spec
from tracer.arrays.storage import Step, stand_in
from tracer.arrays.traced import TracedArray
from tracer.numpy_api.common import spec as numpy_spec
from tracer.operands.refusal import refuse
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


def check_bits(op: Op, operands: tuple[Any, ...], out: Spec) -> None:
    """Refuses, where every bit counts, what NumPy rounds as its memory lies where ours lies otherwise.

    These are products of real and imaginary parts of complex arrays, which BLAS adds up across gaps; products of an argument with gaps
    after something was written into it, which ours fills; products with a vector that cast a matrix which is not in C order, and of
    one complex64 element whose stride is negative, which ours is not.
    """
    if op.has(Trait.BILINEAR):
        by_vector = any(len(shape) < 2 or 1 in shape[-2:] for shape, _, _ in map(_lie, operands))
        for x in operands:
            _check_product(op, x, out if by_vector else None)
    for x in operands if op.name in ("multiply", "square", "power", "abs") else ():
        if type(x) is TracedArray and x.dtype.char == "F" and x.size == 1 and any(_turns(step) for step in x.path):
            raise _hangs_on("products of one complex64 element, by the sign of its stride,", "x.copy(), with x = y[::-1]", op, x)


def _check_product(op: Op, x: Any, by_vector: Spec | None) -> None:
    lies = x.stand_in() if type(x) is TracedArray else x
    if not isinstance(lies, np.ndarray) or lies.flags.c_contiguous:
        return
    if by_vector is not None and lies.ndim > 1 and lies.dtype != by_vector.dtype:
        mend = f"x.astype({by_vector.dtype.name!r})"
        raise _hangs_on("products of a vector and a matrix that is not in C order and is cast", mend, op, x)
    if type(x) is not TracedArray or lies.flags.f_contiguous:
        return
    if any(step.op.name in ("real", "imag") for step in x.path):
        raise _hangs_on("products of real or imaginary parts", "x.copy(), with x = z.real or z.imag", op, x)
    if x.storage.gaps and x.storage.version:
        raise _hangs_on("products of an array with gaps that was written into", "x.copy()", op, x)


def _hangs_on(what: str, mend: str, op: Op, x: Any) -> TraceError:
    cause = f"NumPy rounds {what} as they lie in memory, where this plan lays them otherwise, and exact=True keeps every bit"
    return refuse(cause, f"{mend} in place of x", op=op.name, operands=[("x", numpy_spec(x))])


def _turns(step: Step) -> bool:
    return step.op.name == "slice" and any(stride < 0 for _, _, stride in dict(step.attrs)["index"])


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
