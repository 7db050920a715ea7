"""Elementwise operations: arithmetic, comparison, logic and the functions of a real or complex number, each one of NumPy's ufuncs.

`unary` and `binary` make the records: the spec rule asks NumPy for the loop's dtype, the meaning is the ufunc itself.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ir.op import ZERO, NoVjp, Op, Trait, broadcast_axes, elements
from ir.spec import Spec, broadcast, check_dtype, ufunc_dtypes

Vjp = Callable[..., Any] | NoVjp


def _ufunc_spec(ufunc: np.ufunc) -> Callable[..., Spec]:
    def spec(*operands: Spec) -> Spec:
        return Spec(broadcast(s.shape for s in operands), check_dtype(ufunc_dtypes(ufunc, operands)[-1]))

    return spec


def elementwise(name: str, operands: str, ufunc: np.ufunc, vjp: Vjp, *, traits: Trait = Trait.ROUNDS, flops: int = 1) -> Op:
    """The record of a ufunc with one output; `operands` is its names, separated by blanks; `flops` an element."""
    names = tuple(operands.split())
    return Op(
        name, "elementwise", names, spec=_ufunc_spec(ufunc), meaning=ufunc, vjp=vjp, axes=broadcast_axes,
        flops=lambda out, specs, **_: flops * elements(out, specs), traits=traits | Trait.ELEMENTWISE,
        overwrites=tuple(range(len(names))), order="K", ufunc=ufunc,
    )


COMMUTES = Trait.ROUNDS | Trait.COMMUTATIVE

conj = elementwise("conj", "x", np.conjugate, lambda g, y, x: conj(g), traits=Trait.NONE)


def _c(value: Any) -> Any:
    """The conjugate of a complex Value, a real one as it is: cotangents follow the conjugate convention."""
    return conj(value) if value.dtype.kind == "c" else value


negative = elementwise("negative", "x", np.negative, lambda g, y, x: negative(g), traits=Trait.NONE)
add = elementwise("add", "x y", np.add, lambda g, z, x, y: (g, g), traits=COMMUTES)
subtract = elementwise("subtract", "x y", np.subtract, lambda g, z, x, y: (g, negative(g)))
multiply = elementwise("multiply", "x y", np.multiply, lambda g, z, x, y: (g * _c(y), g * _c(x)), traits=COMMUTES)
divide = elementwise("divide", "x y", np.true_divide, lambda g, z, x, y: (g / _c(y), negative(g * _c(z / y))))

exp = elementwise("exp", "x", np.exp, lambda g, y, x: g * _c(y), flops=10)
tanh = elementwise("tanh", "x", np.tanh, lambda g, y, x: g * _c(1 - y * y), flops=15)
greater = elementwise("greater", "x y", np.greater, ZERO, traits=Trait.NONE)
