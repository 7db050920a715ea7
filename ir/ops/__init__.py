"""The table of operations: every record listed by hand, in a readable order. Nothing registers itself."""
from __future__ import annotations

from ir.op import Op
from ir.ops import elementwise as e
from ir.ops import index, matmul, nn, shape, update
from ir.ops.custom import custom
from ir.ops.opaque import opaque
from ir.ops.scalar import python

_LISTED: tuple[Op, ...] = (
    # arithmetic
    e.add, e.subtract, e.multiply, e.divide, e.negative, e.exp, e.tanh, e.greater, e.conj,
    # shapes
    shape.reshape, shape.transpose, shape.broadcast_to, shape.expand_dims, shape.squeeze, shape.concatenate,
    # products and layers
    matmul.dot, matmul.matmul, nn.linear, nn.linear_vjp, nn.sigmoid,
    # reading at an index
    index.slice, index.take, index.gather, index.take_along_axis, index.sort, index.argsort,
    # writing at an index
    update.set_slice, update.add_slice, update.set_at, update.add_at,
    # Python numbers, rules of the user's, tests
    python, custom, opaque,
)

TABLE: dict[str, Op] = {op.name: op for op in _LISTED}
