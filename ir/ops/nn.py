"""Layers as one operation each: linear with its parameter gradients (linear_vjp), sigmoid and relu.

`linear` keeps no `x @ W`; `linear_vjp` gives both parameter gradients, so that one kernel can make them in one pass over gy.
relu's slope at 0 is 0, and is told from its result, so that its operand need not be kept; `maximum(x, 0)` shares a tie.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ir.errors import DTypeError, ShapeError
from ir.op import Axes, Op, Reduced, Same, Trait, broadcast_axes, elements
from ir.ops.elementwise import _c, greater, where
from ir.ops.matmul import dot
from ir.ops.shape import broadcast_to, transpose
from ir.spec import Spec, check_dtype, promote, ufunc_dtypes, weak_spec

if TYPE_CHECKING:
    from ir.graph import Value


# ---- linear
def _linear_spec(x: Spec, W: Spec, b: Spec) -> Spec:
    _two_axes(("x", x), ("W", W))
    if b.ndim != 1:
        raise ShapeError(f"b has {b.ndim} axes: {b.shape}", mend=f"b should be ({W.shape[1]},)")
    if x.shape[1] != W.shape[0]:
        raise ShapeError(f"x has {x.shape[1]} columns but W has {W.shape[0]} rows", mend=f"W should be ({x.shape[1]}, {W.shape[1]})")
    if b.shape[0] != W.shape[1]:
        raise ShapeError(f"W has {W.shape[1]} columns but b has {b.shape[0]} elements", mend=f"b should be ({W.shape[1]},)")
    product = Spec((x.shape[0], W.shape[1]), promote(x, W))
    return product.with_dtype(check_dtype(ufunc_dtypes(np.add, (product, b))[-1]))


def _two_axes(*named: tuple[str, Spec]) -> None:
    for name, s in named:
        if s.ndim != 2:
            raise ShapeError(f"{name} has {s.ndim} axes: {s.shape}", mend=f"{name} must have two; reshape it, or use matmul and +")


def _linear_vjp(g: Value, y: Value, x: Value, W: Value, b: Value) -> tuple[Value, Value, Value]:
    dW, db = linear_vjp(_c(x), g)
    return dot(g, transpose(_c(W), axes=(1, 0))), dW, db


def _linear_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...]) -> Axes:
    return (Same(0), Reduced()), (Reduced(), Same(1)), (Same(1),)


linear = Op(
    "linear", "nn", ("x", "W", "b"), spec=_linear_spec, meaning=lambda x, W, b: np.dot(x, W) + b, vjp=_linear_vjp, axes=_linear_axes,
    flops=lambda out, specs: out[0].size * (2 * specs[0].shape[1] + 1), traits=Trait.ROUNDS | Trait.BILINEAR,
)


# ---- its parameters' gradients
def _linear_vjp_spec(x: Spec, gy: Spec) -> tuple[Spec, Spec]:
    _two_axes(("x", x), ("gy", gy))
    if x.shape[0] != gy.shape[0]:
        raise ShapeError(f"x has {x.shape[0]} rows but gy has {gy.shape[0]}", mend=f"gy should be ({x.shape[0]}, {gy.shape[1]})")
    return Spec((x.shape[1], gy.shape[1]), promote(x, gy)), Spec(gy.shape[1:], np.add.reduce(np.zeros(1, gy.dtype)).dtype)


def _linear_vjp_meaning(x: Any, gy: Any) -> tuple[Any, Any]:
    return np.dot(np.asarray(x).T, gy), np.sum(gy, axis=0)


def _linear_vjp_vjp(g: tuple[Value | None, Value | None], out: Any, x: Value, gy: Value) -> tuple[Value | None, Value | None]:
    gW, gb = g
    if gW is None:
        return None, None if gb is None else broadcast_to(gb, shape=gy.shape)
    gx = dot(_c(gy), transpose(gW, axes=(1, 0)))
    return gx, dot(_c(x), gW) if gb is None else linear(_c(x), gW, gb)


def _linear_vjp_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...]) -> Axes:
    return (Reduced(), Same(0)), (Reduced(), Same(1))


linear_vjp = Op(
    "linear_vjp", "nn", ("x", "gy"), spec=_linear_vjp_spec, meaning=_linear_vjp_meaning, vjp=_linear_vjp_vjp, axes=_linear_vjp_axes,
    flops=lambda out, specs: 2 * out[0].size * specs[0].shape[0] + specs[1].size, traits=Trait.ROUNDS,
)


# ---- sigmoid
def _sigmoid_spec(x: Spec) -> Spec:
    return Spec(x.shape, check_dtype(ufunc_dtypes(np.multiply, (x, weak_spec("float")))[-1]))


sigmoid = Op(
    "sigmoid", "nn", ("x",), spec=_sigmoid_spec, meaning=lambda x: np.tanh(x * 0.5) * 0.5 + 0.5,
    vjp=lambda g, y, x: g * _c(y * (1 - y)), axes=broadcast_axes, flops=lambda out, specs: 18 * elements(out, specs),
    traits=Trait.ELEMENTWISE | Trait.ROUNDS, overwrites=(0,), order="K", cancels=0.5,
)


# ---- relu
def _relu_spec(x: Spec) -> Spec:
    if x.dtype.kind == "c":
        raise DTypeError(f"relu of {x}", mend="give a real array")
    return Spec(x.shape, ufunc_dtypes(np.maximum, (x, weak_spec("int")))[-1])


relu = Op(
    "relu", "nn", ("x",), spec=_relu_spec, meaning=lambda x: np.maximum(x, 0),
    vjp=lambda g, y, x: where(greater(y, 0), g, 0), axes=broadcast_axes, flops=elements,
    traits=Trait.ELEMENTWISE, overwrites=(0,), order="K",
)
