"""Reductions for generated kernels: what one kernel can't both make and read is made in shares, which another one joins.

In: a graph, changed in place, and a Target. Whether a reduction is read in the kernel that makes it is a matter of time: its rows must keep
the machine busy (`lone_bandwidth` is what one row's worker moves), or be so small that waiting takes no longer than another call.
"""
from __future__ import annotations

import math

import numpy as np

from ir.graph import Graph, Node
from ir.op import Axes, Op, Reduced, Trait, no_flops, whole_axes
from ir.ops import TABLE, elementwise
from ir.ops import reduce as reductions
from ir.ops.matmul import dot
from ir.planning.group import combines
from ir.planning.strides import c_strides
from ir.spec import Spec
from ir.target import Target

WASTE = 8  # times the bytes that are moved where elements are not read in the order in which they lie


def _parts_spec(x: Spec, *, of: str, shares: int, **attrs: object) -> Spec:
    whole = TABLE[of].infer((x,), dict(attrs))[0]
    return Spec((shares, *whole.shape), whole.dtype)


def _parts_meaning(x: np.ndarray, *, of: str, shares: int, **attrs: object) -> np.ndarray:
    """All in the first share, in the others what changes nothing."""
    whole = np.asarray(TABLE[of].meaning(x, **attrs))
    found = np.empty((shares, *whole.shape), whole.dtype)
    found[...] = whole if TABLE[of].combines is not np.add else np.zeros((), whole.dtype)
    found[0] = whole
    return found


def _parts_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], **attrs: object) -> Axes:
    return whole_axes(out_specs, specs)


PARTS = Op(
    "parts", "region", ("x",), spec=_parts_spec, meaning=_parts_meaning, vjp=lambda g, y, x, **_: (None,), axes=_parts_axes,
    flops=no_flops, traits=Trait.OPAQUE | Trait.ARRAY,
)


def vector_products_as_sums(graph: Graph) -> None:
    """A product of two vectors is a reduction like others: no library's call."""
    for node in list(graph.order()):
        x, out = (node.operands[0], node.outputs[0]) if node.op is dot else (None, None)
        if x is None or out is None or x.ndim != 1 or node.operands[1].ndim != 1 or out.dtype.kind != "f" or out.dtype.itemsize < 4:
            continue
        with graph.at(node.line):
            product = elementwise.multiply(*node.operands)
            total = graph.apply(reductions.sum, [product], {"axis": (0,), "keepdims": False}, node.line)
        if total.spec == out.spec:
            graph.replace(out, total)
            graph.remove([node])
        else:
            graph.remove([total.node, product.node])


def split_reductions(graph: Graph, target: Target) -> None:
    """Each reduction that one kernel can't both make and read becomes one in shares and another one of these."""
    for node in list(graph.order()):
        if node.op.family != "reduce" or not combines(node) or target.generator is None or target.generator.refuses(node):
            continue
        shares = _shares(node, target)
        if shares < 2 or pays(node.operands[0].spec, rows_of(node), _trailing(node), target):
            continue
        out = node.outputs[0]
        attrs = {"of": node.op.name, "shares": shares, **node.attrs}
        parts = graph.apply(PARTS, [node.operands[0]], attrs, node.line)
        join = reductions.sum if node.op.combines is np.add else node.op
        graph.replace(out, graph.apply(join, [parts], {"axis": (0,), "keepdims": False}, node.line))
        graph.remove([node])


def pays(read: Spec, rows: int, in_order: bool, target: Target) -> bool:
    """Whether so many rows move what is read without taking longer, by more than a call, than all of the machine would."""
    moved = read.nbytes * (1 if in_order else WASTE)
    return moved / min(target.bandwidth, max(1, rows) * target.lone_bandwidth) - read.nbytes / target.bandwidth <= target.call_ns


def _shares(node: Node, target: Target) -> int:
    """In how many shares: a row each at least, and no more than what they give is little beside what they read."""
    x, out = node.operands[0].spec, node.outputs[0].spec
    reduced = x.size // max(1, out.size)
    return min(target.shares, reduced // 2, max(1, x.nbytes // (16 * max(1, out.nbytes))))


def _reduced_axes(node: Node) -> list[int]:
    axes = node.op.axes(node.specs, (node.operands[0].spec,), **node.attrs)[0]
    return [k for k, how in enumerate(axes) if isinstance(how, Reduced)]


def rows_of(node: Node) -> int:
    return node.outputs[0].spec.size


def _trailing(node: Node) -> bool:
    """Whether it reduces the axes whose elements lie together."""
    x, reduced = node.operands[0].spec, _reduced_axes(node)
    strides = c_strides(x.shape, x.dtype.itemsize)
    kept = [strides[k] for k in range(x.ndim) if k not in reduced and x.shape[k] > 1]
    return all(strides[k] < min(kept, default=math.inf) for k in reduced if x.shape[k] > 1)
