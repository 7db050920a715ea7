"""Kernel selection: a node and the places of its operands in, one kernel and the places it will read and write out.

The cheapest kernel that accepts the places is taken, of equals the one the Target lists first; under `exact` only exact ones count.
Where none accepts, operands are copied to C order: one alone if that is enough, else all that are not.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ir.errors import ArgumentError
from ir.graph import Node
from ir.place import Place
from ir.planning.draft import Draft
from ir.planning.places import new_strides
from ir.planning.strides import k_strides
from ir.spec import Spec, ufunc_dtypes
from ir.target import Kernel

STORES = ("cast", "set_slice", "set_at")  # where NumPy raises for a Python int that the dtype can't hold; np.where wraps it around
COMPARISONS = (np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal)


def operand_places(draft: Draft, node: Node) -> tuple[Place, ...]:
    """Where the operands are; a Python number is asked for in the dtype in which the kernel's loop takes it."""
    return tuple(
        [
            draft.places[v] if v.spec.weak is None else draft.slot(v, slot_dtype(node, position), node.line, node.op.ufunc is None)
            for position, v in enumerate(node.operands)
        ]
    )


def slot_dtype(node: Node, position: int) -> np.dtype:
    """The dtype in which `node` takes the Python number at `position`."""
    op, spec = node.op, node.operands[position].spec
    if op.ufunc is not None:
        dtype = ufunc_dtypes(op.ufunc, tuple([v.spec for v in node.operands]))[position]
        # NumPy compares an array of small integers with any Python int by value
        return np.dtype(np.int64) if op.ufunc in COMPARISONS and dtype.kind in "iu" and spec.weak == "int" else dtype
    is_index = (op.family == "index" and position > 0) or (op.family == "update" and position > 1)
    out = node.outputs[0].dtype
    if spec.weak == "int" and out.kind in "iu" and not is_index:
        return out if op.name in STORES else spec.dtype
    return spec.dtype if is_index or not np.can_cast(spec.dtype, out, "same_kind") else out


def choose(draft: Draft, node: Node) -> tuple[Kernel, tuple[Place, ...], tuple[Place, ...]]:
    """(kernel, reads, writes). The writes lie in buffers not yet of the plan, so the caller may put others of the same strides there.

    Raises ArgumentError where the target has no kernel that takes the operands, even in C order.
    """
    kernels = draft.kernels(node.op.name)
    if len(kernels) > 1 and (node.outputs[0].shape or draft.steps is draft.tail):
        kernels = tuple([k for k in kernels if not k.scalar])
    reads = operand_places(draft, node)
    for tried in _ways(draft, node, reads) if kernels else ():
        writes = tuple([draft.loose(v.spec, new_strides(node, v.spec, tried, k)) for k, v in enumerate(node.outputs)])
        kernel = _cheapest(node, kernels, tried, writes)
        if kernel is not None:
            return kernel, _copied(draft, node, reads, tried), writes
    lacking, other = draft.target.lacking, f"target {draft.target.name} has no {'exact ' if draft.exact else ''}kernel for it"
    raise ArgumentError(
        lacking.get(node.op.name) or lacking.get("") or other, mend=draft.target.lacking_mend,
        op=node.op.name, operands=zip(node.op.names(len(reads)), [v.spec for v in node.operands]), line=node.line,
    )


def _cheapest(node: Node, kernels: Sequence[Kernel], reads: tuple[Place, ...], writes: tuple[Place, ...]) -> Kernel | None:
    if len(kernels) == 1:
        return kernels[0] if kernels[0].accepts(reads, writes, node.attrs) else None
    fitting = [k for k in kernels if k.accepts(reads, writes, node.attrs)]
    if len(fitting) < 2:
        return fitting[0] if fitting else None
    specs, outs = tuple([v.spec for v in node.operands]), node.specs
    return min(fitting, key=lambda k: k.cost(specs, outs, node.attrs))


def _ways(draft: Draft, node: Node, reads: tuple[Place, ...]) -> Iterator[tuple[Place, ...]]:
    """The places as they are; with one operand copied, for each; with all that lie strided copied."""
    yield reads
    strided = [k for k, place in enumerate(reads) if not place.contiguous()]
    if draft.exact and node.op.order == "K" and strided:  # what NumPy reads as memory lies it copies as memory lies
        lies = {k: k_strides(p.shape, p.dtype.itemsize, ((p.shape, p.strides),)) for k in strided if (p := reads[k]).strides is not None}
        yield tuple([draft.loose(Spec(p.shape, p.dtype), lies[k]) if k in lies else p for k, p in enumerate(reads)])
    in_order = {k: draft.loose(Spec(reads[k].shape, reads[k].dtype)) for k in strided}
    if len(strided) > 1:
        for k in strided:
            yield (*reads[:k], in_order[k], *reads[k + 1 :])
    if strided:
        yield tuple([in_order.get(k, place) for k, place in enumerate(reads)])


def _copied(draft: Draft, node: Node, reads: tuple[Place, ...], wanted: tuple[Place, ...]) -> tuple[Place, ...]:
    """`wanted` with a Copy step for each operand that is not where it was; equal operands share one copy."""
    if wanted is reads:
        return reads
    made: dict[Place, Place] = {}
    for read, want in zip(reads, wanted):
        if read is not want and read not in made:
            order = "C" if want.contiguous() else "K"
            made[read] = draft.copied(read, f"{node.op.name} takes it in {order} order", node.line, order=order)
    return tuple([made.get(read, read) if read is not want else read for read, want in zip(reads, wanted)])
