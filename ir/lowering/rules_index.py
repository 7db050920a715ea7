"""The rules of reads and writes at index arrays. What is written, each element looks for itself among all that is: nothing is added twice
at once, and the order is the same at each run.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ir.affine import ZERO, Bound, Dim, Index, flat, index
from ir.graph import CONSTANT, Node, Value
from ir.kernel import Operand, literal
from ir.lowering.elements import At, Elements, Key, Rule, broadcast_at, first
from ir.ops.places import placement
from ir.planning.blocks import identity
from ir.spec import promote


def _taken(e: Elements, node: Node, at: At) -> list[Key | None]:
    x, indices = node.operands
    axis = node.attrs["axis"]
    where = e.gathered(indices, at[axis : axis + indices.ndim], x.shape[axis], node.attrs["mode"])
    return [(x, (*at[:axis], where, *at[axis + indices.ndim :]))]


def _gathered(e: Elements, node: Node, at: At) -> list[Key | None]:
    x, *indices = node.operands
    axes = node.attrs["axes"]
    _, first, place = placement(x.spec, tuple([i.spec for i in indices]), axes)
    depth = max([i.ndim for i in indices])
    own = [at[p] if p >= 0 else ZERO for p in place]
    for axis, i in zip(axes, indices):
        own[axis] = e.gathered(i, broadcast_at(i, at[first : first + depth]), x.shape[axis])
    return [(x, tuple(own))]


def _along(e: Elements, node: Node, at: At) -> list[Key | None]:
    x, i = node.operands
    axis = node.attrs["axis"]
    own = list(broadcast_at(x, at))
    own[axis] = e.gathered(i, broadcast_at(i, at), x.shape[axis])
    return [(x, tuple(own))]


def counts_along(value: Value) -> int | None:
    """The axis along which a constant index array counts 0, 1, 2, ...; None where it does not."""
    if value.node.op is not CONSTANT or value.spec.size < 2 or max(value.shape) != value.spec.size:
        return None
    counts = np.array_equal(value.node.attrs["value"].array().reshape(-1), np.arange(value.spec.size))
    return value.shape.index(value.spec.size) if counts else None


# ---- written at an index: each element looks for the values that are written to it
def _looks(e: Elements, node: Node, at: At) -> tuple[tuple[Dim, ...], list[Bound], At]:
    """The dims of the index arrays, whether they point at this element, and the indices of the value."""
    base, value, *indices = node.operands
    axes = node.attrs["axes"]
    shape, first, place = placement(base.spec, tuple([i.spec for i in indices]), axes)
    depth = max([i.ndim for i in indices])
    sizes = shape[first : first + depth]
    counted = {depth - i.ndim + k: axis for axis, i in zip(axes, indices) if (k := counts_along(i)) is not None}  # no need to look
    dims = e.fresh(node, at, [1 if k in counted else n for k, n in enumerate(sizes)])
    looked = tuple([at[counted[k]] if k in counted else index(d) if d.size != 1 else ZERO for k, d in enumerate(dims)])
    bounds = [Bound(at[axis], 0, sizes[k]) for k, axis in counted.items()]
    for axis, i in zip(axes, indices):
        if axis not in counted.values():
            bounds.append(Bound(e.gathered(i, broadcast_at(i, looked), base.shape[axis]) - at[axis], 0, 1))
    written: list[Index] = [ZERO] * len(shape)
    written[first : first + depth] = looked
    for axis, p in enumerate(place):
        if p >= 0:
            written[p] = at[axis]
    lead = value.ndim - len(shape)
    own: list[Index] = [ZERO] * max(0, lead) + written[max(0, -lead) :]
    return tuple([d for d in dims if d.size != 1]), bounds, tuple([ZERO if n == 1 else i for n, i in zip(value.shape, own)])


def _at_indices(e: Elements, node: Node, at: At) -> list[Key | None]:
    _, bounds, value_at = _looks(e, node, at)
    needed = [key for b in bounds for key in e.gathers_in(b.at)]
    return [(node.operands[0], at), (node.operands[1], value_at), *needed]


def _hit(e: Elements, node: Node, at: At) -> tuple[tuple[Dim, ...], Operand]:
    """The dims over which the element looks, and whether what is written there is for it."""
    dims, bounds, _ = _looks(e, node, at)
    for b in bounds:
        e.gather_all(b.at, node.line)
    return dims, e.test(bounds, node.line)


def _sum_where(e: Elements, node: Node, dims: tuple[Dim, ...], chosen: Operand, value: Operand) -> Operand:
    dtype = e.dtype(value)
    zero = literal(identity(np.add, dtype) if dtype.kind != "b" else False, dtype)
    kept = e.scalar("where", [chosen, value, zero], dtype, node.line)
    return e.reduce("add" if dtype.kind != "b" else "logical_or", kept, dims, zero, node.line) if dims else kept


def _set_at(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    """Of all that is written to the element the last, in C order of the index arrays, is kept."""
    dims, hit = _hit(e, node, at)
    dtype, line, i8, yes = node.outputs[0].dtype, node.line, np.dtype(np.int64), np.dtype(bool)
    old, value = [e.cast(v, dtype, line) for v in given[:2]]
    if not dims:
        return e.scalar("where", [hit, value, old], dtype, line)
    place = e.position(flat([index(d) for d in dims], [math.prod([d.size for d in dims[k + 1 :]]) for k in range(len(dims))]), i8, line)
    nowhere = literal(-1, i8)
    last = e.reduce("maximum", e.scalar("where", [hit, place, nowhere], i8, line), dims, nowhere, line)
    found = _sum_where(e, node, dims, e.scalar("equal", [place, last], yes, line), value)
    return e.scalar("where", [e.scalar("greater_equal", [last, literal(0, i8)], yes, line), found, old], dtype, line)


def _add_at(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    base, value = node.operands[:2]
    dims, hit = _hit(e, node, at)
    wide = promote(base.spec.strong(), value.spec)
    added = _sum_where(e, node, dims, hit, e.cast(given[1], wide, node.line))
    total = e.scalar("add", [e.cast(given[0], wide, node.line), added], wide, node.line)
    return e.cast(total, base.dtype, node.line)


RULES: dict[str, Rule] = {
    "take": Rule(_taken, first), "gather": Rule(_gathered, first), "take_along_axis": Rule(_along, first),
    "add_at": Rule(_at_indices, _add_at), "set_at": Rule(_at_indices, _set_at),
}
