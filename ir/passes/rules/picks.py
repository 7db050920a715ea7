"""What is picked out of an array by index arrays, or added at places of zeros: only that is computed, not the whole array around it.

Picking goes before arithmetic: `(x - y)[i, j]` is `x[i, j] - y[i, j]`. The sum of a row that holds zeros but for what was added to it
is the sum of that. Index arrays of axes that are summed over, or that only repeat, are dropped where another operation at the same
indices still finds out whether they are in range.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ir.graph import CONSTANT, Node, Value
from ir.op import Trait
from ir.ops.elementwise import add
from ir.ops.index import add_at, gather
from ir.ops.shape import broadcast_to, reshape
from ir.rules import Condition, Match, Rule, kind
from ir.spec import broadcast

_SMALLER = 4  # picking has a price: what is picked is this many times smaller than what it is picked from, or more


def _indices(node: Node) -> dict[int, Value]:
    """The index array of each axis."""
    axes = node.attrs["axes"]
    return dict(zip(axes, node.operands[len(node.operands) - len(axes) :]))


def _whole(node: Node) -> bool:
    """Every axis of what is read or written into is indexed."""
    return sorted(node.attrs["axes"]) == list(range(node.operands[0].ndim))


def _kept(node: Node, without: Sequence[int]) -> tuple[Value, ...] | None:
    """The index arrays that are left without those of some axes, in the order of the axes; None where they would give another shape, or
    where only the dropped ones tell what is out of range.
    """
    indices = _indices(node)
    kept = tuple([indices[k] for k in sorted(indices) if k not in without])
    if not kept or broadcast([v.shape for v in kept]) != broadcast([v.shape for v in indices.values()]):
        return None
    return kept if any(_reads_alike(node, other) for other in node.graph.users(node.operands[-1].node)) else None


def _reads_alike(node: Node, other: Node) -> bool:
    return (
        other is not node and other.op in (gather, add_at) and other.attrs == node.attrs and _indices(other) == _indices(node)
        and other.operands[0].shape == node.operands[0].shape
    )


def _unit_axes(shape: tuple[int, ...], new: tuple[int, ...]) -> list[int | None] | None:
    """Of each axis of `new` the axis of `shape` that it is, None for one of size 1; None where the shapes differ in more than those.

    >>> _unit_axes((4, 1, 3), (1, 4, 3)), _unit_axes((4, 1, 3), (3, 4))
    ([None, 0, 2], None)
    """
    long = [k for k, n in enumerate(shape) if n != 1]
    if [shape[k] for k in long] != [n for n in new if n != 1]:
        return None
    left = iter(long)
    return [next(left) if n != 1 else None for n in new]


def _of_zeros(node: Node) -> bool:
    """It adds at places of an array of +0.0."""
    base = node.operands[0].node
    if base.op is not broadcast_to or base.operands[0].node.op is not CONSTANT or base.operands[0].ndim:
        return False
    zero = base.operands[0].node.attrs["value"].array()
    return not any(zero.tobytes())


def _zeros(m: Match, shape: tuple[int, ...]) -> Value:
    return broadcast_to(m.graph.constant(m.root.dtype.type(0)), shape=shape)


def _sum_of_added(m: Match) -> Value | None:
    """Added at the places along the axes that are left, which gives the same sums in another order."""
    node, axis = m["add_at"].node, m["axis"]
    if m.root.node.operands[0] is not m["add_at"]:
        moved = _unit_axes(m.root.node.operands[0].shape, node.outputs[0].shape)
        if moved is None:
            return None
        axis = tuple([k for k, of in enumerate(moved) if of in axis])
    kept = _kept(node, axis) if axis and _of_zeros(node) and _whole(node) else None
    if kept is None:
        return None
    shape = tuple([n for k, n in enumerate(node.outputs[0].shape) if k not in axis])
    total = add_at(_zeros(m, shape), node.operands[1], *kept, axes=tuple(range(len(shape))))
    return total if total.shape == m.root.shape else reshape(total, shape=m.root.shape)


def _added_in_order(m: Match) -> Value | None:
    """Added at 0, 1, 2, ... of zeros: `0 + value`."""
    node = m.root.node
    value, index = node.operands[1], node.operands[2]
    if len(node.operands) != 3 or node.attrs["axes"] != (0,) or not _of_zeros(node) or not _counts(index, m.root.shape[0]):
        return None
    return add(value, m.root.dtype.type(0)) if value.spec == m.root.spec else None


def _picked_in_order(m: Match) -> Value | None:
    """All of it, from the first to the last."""
    node = m.root.node
    alone = len(node.operands) == 2 and node.attrs["axes"] == (0,)
    return node.operands[0] if alone and _counts(node.operands[1], m.root.shape[0]) else None


def _counts(index: Value, size: int) -> bool:
    """A constant 0, 1, 2, ..., size - 1."""
    if index.node.op is not CONSTANT or index.shape != (size,) or index.dtype.kind not in "iu":
        return False
    return bool(np.array_equal(index.node.attrs["value"].array(), np.arange(size)))


def _picked_before(m: Match) -> Value | None:
    """The arithmetic on what is picked of each operand, also where axes of size 1 come or go between the two."""
    root, seen = m.root.node, m.root.node.operands[0]
    x = seen.node.operands[0] if seen.node.op is reshape else seen
    node, whole, moved = x.node, x.shape, _unit_axes(x.shape, seen.shape)
    if moved is None or not node.op.has(Trait.ELEMENTWISE) or m.root.spec.size * _SMALLER > x.spec.size:
        return None
    if any(m.facts.uses_of(v, 2) != 1 for v in (x, seen)) or not any(v.shape == whole for v in node.operands) or not _whole(root):
        return None
    spread = [_moved(v, len(whole), moved) if v.ndim else v for v in node.operands]
    spread = [v if v.shape in (seen.shape, ()) else broadcast_to(v, shape=seen.shape) for v in spread]
    picked = [gather(v, *root.operands[1:], **root.attrs) if v.ndim else v for v in spread]
    return m.graph.apply(node.op, picked, node.attrs)


def _moved(value: Value, ndim: int, axes: Sequence[int | None]) -> Value:
    """An operand of something with `ndim` axes, for that with those axes (None: of size 1)."""
    shape = (1,) * (ndim - value.ndim) + value.shape
    new = tuple([1 if k is None else shape[k] for k in axes])
    return value if value.shape == new else reshape(value, shape=new)


def _picked_of_repeated(m: Match) -> Value | None:
    """Along axes that only repeat there is nothing to pick."""
    root, x = m.root.node, m.root.node.operands[0].node.operands[0]
    shape = (1,) * (root.operands[0].ndim - x.ndim) + x.shape
    repeated = [k for k, (n, m_) in enumerate(zip(shape, root.operands[0].shape)) if n != m_]
    kept = _kept(root, repeated) if _whole(root) and repeated else None
    if kept is None:
        return None
    left = tuple([n for k, n in enumerate(shape) if k not in repeated])
    return gather(x if x.shape == left else reshape(x, shape=left), *kept, axes=tuple(range(len(left))))


_PLAIN = Condition(lambda m: m.root.node.attrs.get("dtype") is None and m.root.dtype == m["add_at"].dtype)

RULES: tuple[Rule, ...] = (
    Rule("sum of what was added to zeros", "sum(add_at(*xs), axis=axis)", to=_sum_of_added, where=kind("fc") & _PLAIN, exact=False),
    Rule(
        "sum of what was added to zeros, with an axis of size 1", "sum(reshape(add_at(*xs)), axis=axis)", to=_sum_of_added,
        where=kind("fc") & _PLAIN, exact=False,
    ),
    Rule("added to zeros in order", "add_at(*xs)", to=_added_in_order, exact=False, needs=lambda ops: ops[0] is broadcast_to),
    Rule("picked in order", "gather(*xs)", to=_picked_in_order, exact=False, needs=lambda ops: len(ops) == 2 and ops[1] is CONSTANT),
    Rule(
        "picked before arithmetic", "gather(*xs)", to=_picked_before, exact=False,
        needs=lambda ops: ops[0] is reshape or ops[0].has(Trait.ELEMENTWISE),
    ),
    Rule("picked of what repeats", "gather(*xs)", to=_picked_of_repeated, exact=False, needs=lambda ops: ops[0] is broadcast_to),
)
