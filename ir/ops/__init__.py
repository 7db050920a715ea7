"""The table of operations: every record listed by hand, in a readable order. Nothing registers itself."""
from __future__ import annotations

from ir.op import Op
from ir.ops import cumulated, index, logic, matmul, nn, reduce, shape, ufunc_at, update
from ir.ops import elementwise as e
from ir.ops.custom import custom
from ir.ops.host import host
from ir.ops.opaque import opaque
from ir.ops.scalar import python

_LISTED: tuple[Op, ...] = (
    # arithmetic
    e.add, e.subtract, e.multiply, e.divide, e.floor_divide, e.remainder, e.fmod, e.power,
    e.negative, e.positive, e.abs, e.sign, e.square, e.sqrt, e.cbrt, e.reciprocal,
    # functions
    e.exp, e.exp2, e.expm1, e.log, e.log2, e.log10, e.log1p, e.sin, e.cos, e.tan, e.arcsin, e.arccos, e.arctan, e.arctan2,
    e.sinh, e.cosh, e.tanh, e.arcsinh, e.arccosh, e.arctanh, e.hypot, e.logaddexp, e.logaddexp2, e.copysign,
    # choices
    e.maximum, e.minimum, e.fmax, e.fmin, e.clip, logic.where,
    # comparison and logic
    logic.equal, logic.not_equal, logic.less, logic.less_equal, logic.greater, logic.greater_equal,
    logic.logical_and, logic.logical_or, logic.logical_xor, logic.logical_not,
    logic.bitwise_and, logic.bitwise_or, logic.bitwise_xor, logic.invert, logic.left_shift, logic.right_shift,
    logic.floor, logic.ceil, logic.rint, logic.trunc, logic.isnan, logic.isinf, logic.isfinite, logic.signbit,
    # complex parts, casts, copies
    e.conj, e.real, e.imag, e.cast, e.copy,
    # reductions
    reduce.sum, reduce.mean, reduce.prod, reduce.max, reduce.min, reduce.var, reduce.std, reduce.norm,
    reduce.any, reduce.all, reduce.argmax, reduce.argmin, cumulated.cumsum, cumulated.cumprod,
    # shapes
    shape.reshape, shape.transpose, shape.broadcast_to, shape.expand_dims, shape.squeeze, shape.concatenate,
    # products and layers
    matmul.dot, matmul.matmul, nn.linear, nn.linear_vjp, nn.sigmoid, nn.relu,
    # reading at an index
    index.slice, index.take, index.gather, index.take_along_axis, index.sort, index.argsort,
    # writing at an index
    update.set_slice, update.add_slice, update.set_at, update.add_at, update.set_real, update.set_imag, ufunc_at.ufunc_at,
    # Python numbers, rules and code of the user's, tests
    python, custom, host, opaque,
)

TABLE: dict[str, Op] = {op.name: op for op in _LISTED}
