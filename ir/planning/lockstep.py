"""`x[np.arange(n), t]`: element t[i] of row i, for all rows. Which rows are read where is known: row i for index i.

An operation at index arrays whose index of some axis is the constant 0, 1, 2, ... reads or writes that axis in step with the index arrays,
so it can be cut into blocks along it, each of which counts from 0 again.
"""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ir.graph import CONSTANT, Node
from ir.ops.places import placement


class Lockstep(NamedTuple):
    """`counter`: the operand that counts. `same`: (operand, its axis) for all that go with axis `axis` of the output."""

    counter: int
    same: tuple[tuple[int, int], ...]
    axis: int


def lockstep(node: Node) -> Lockstep | None:
    """How a read or write at index arrays of one axis goes row by row; None where it does not."""
    axes = node.attrs.get("axes")
    if not axes or node.op.family not in ("index", "update") or len(node.operands) <= len(axes):
        return None
    first_index = len(node.operands) - len(axes)
    base, indices = node.operands[0], node.operands[first_index:]
    counters = [k for k, (axis, v) in enumerate(zip(axes, indices)) if _counts(v.node, base.shape[axis])]
    if not counters or any(v.ndim != 1 or v.shape != indices[0].shape for v in indices):
        return None
    k = counters[0]
    shape, at, _ = placement(base.spec, tuple([v.spec for v in indices]), axes)
    same = [(0, axes[k]), *[(first_index + j, 0) for j in range(len(indices))]]
    if node.op.family == "index":
        return Lockstep(first_index + k, tuple(same), at)
    value = node.operands[1]
    behind = at - (len(shape) - value.ndim)
    if behind >= 0 and value.shape[behind] == shape[at]:
        same.append((1, behind))
    return Lockstep(first_index + k, tuple(same), axes[k])


def _counts(node: Node, size: int) -> bool:
    if node.op is not CONSTANT or node.outputs[0].shape != (size,) or node.outputs[0].dtype.kind not in "iu":
        return False
    return bool(np.array_equal(node.attrs["value"].array(), np.arange(size)))
