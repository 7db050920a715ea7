"""Makes the record of an operation out of a NumPy ufunc: its spec rule asks NumPy for the loop's dtypes, its meaning is the ufunc.

In: a ufunc with one output, a vjp, a few facts. Out: an `Op`, elementwise, in NumPy's "K" order, free to overwrite any operand of its
own size. So a record can't disagree with the installed NumPy about dtypes: where NumPy has no loop (`-bool`), building a node fails.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ir.op import NoVjp, Op, Trait, broadcast_axes, elements
from ir.spec import Spec, broadcast, check_dtype, ufunc_dtypes

Vjp = Callable[..., Any] | NoVjp


def ufunc_spec(ufunc: np.ufunc) -> Callable[..., Spec]:
    """The spec rule of a ufunc: the broadcast shape and the dtype that NumPy's loop gives. Raises ShapeError or DTypeError."""

    def spec(*operands: Spec) -> Spec:
        return Spec(broadcast(s.shape for s in operands), check_dtype(ufunc_dtypes(ufunc, operands)[-1]))

    return spec


def elementwise(name: str, operands: str, ufunc: np.ufunc, vjp: Vjp, *, traits: Trait = Trait.ROUNDS, flops: int = 1) -> Op:
    """The record of a ufunc with one output; `operands` is its names, separated by blanks; `flops` an element.

    >>> op = elementwise("exp2", "x", np.exp2, NoVjp("an example"))
    >>> str(op.infer((Spec((3,), np.int8),), {})[0])
    'f16[3]'
    """
    names = tuple(operands.split())
    return Op(
        name, "elementwise", names, spec=ufunc_spec(ufunc), meaning=ufunc, vjp=vjp, axes=broadcast_axes, flops=flops_each(flops),
        traits=traits | Trait.ELEMENTWISE, overwrites=tuple(range(len(names))), order="K", ufunc=ufunc,
    )


def flops_each(count: int) -> Callable[..., int]:
    """The flops rule of `count` flops for each output element."""
    return lambda out_specs, specs, **attrs: count * elements(out_specs, specs)
