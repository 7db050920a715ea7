"""Chains of elementwise operations on arrays that lie alike, seen as one axis: a region and its operands' places in, both flat out.

Where each result is made of the operands element by element, only the order in memory counts. So arrays of (900, 1000), of
(2, 450000) in Fortran's order and of (900000,) are cut into the same blocks, and one plan of a block does for all of them.
"""
from __future__ import annotations

import math
from typing import NamedTuple

from ir.graph import INPUT, Graph, Value
from ir.op import Trait
from ir.place import Place
from ir.planning.blocks import Blocked
from ir.planning.strides import is_dense, k_strides
from ir.spec import Spec


class Flat(NamedTuple):
    """`held` and `reads`, each array as one axis; `lies`: the place of one of them as it is."""

    held: Blocked
    reads: tuple[Place, ...]
    lies: Place

    def strides(self, spec: Spec) -> tuple[int, ...]:
        """Of a result, which lies as the operands do."""
        assert self.lies.strides is not None
        return k_strides(spec.shape, spec.dtype.itemsize, ((self.lies.shape, self.lies.strides),))


def flattened(held: Blocked, reads: tuple[Place, ...]) -> Flat | None:
    """The region on one axis; None where it is more than a chain of elementwise operations, or its operands do not lie alike."""
    cut = [place for place, v in zip(reads, held.graph.inputs) if v in held.cuts]
    if not cut or not _pointwise(held) or len({_steps(place) for place in cut}) > 1 or _steps(cut[0]) is None:
        return None
    size = math.prod(cut[0].shape)
    graph, mapped = Graph(), dict[Value, Value]()
    for value in held.graph.inputs:
        spec = Spec((size,), value.dtype) if value in held.cuts else value.spec
        mapped[value] = graph.input(spec)  # without its line: what the operands are called is nothing to the block
    for node in held.graph.order():
        if node.op is not INPUT:
            mapped[node.outputs[0]] = graph.apply(node.op, [mapped[v] for v in node.operands], node.attrs, node.line)
    graph.outputs = [mapped[v] for v in held.graph.outputs]
    made = Blocked(graph, size, {mapped[v]: (0, 1) for v in held.cuts}, shares=held.shares)
    return Flat(made, tuple([one_axis(p) if v in held.cuts else p for p, v in zip(reads, held.graph.inputs)]), cut[0])


def one_axis(place: Place) -> Place:
    """What a dense place holds, in the order of memory."""
    return Place(place.buffer, place.offset, (math.prod(place.shape),), (place.dtype.itemsize,), place.dtype)


def _pointwise(held: Blocked) -> bool:
    """Whether it has but elementwise operations, on arrays of one shape and on numbers."""
    shape = next(iter(held.cuts)).shape
    values = [v for node in held.graph.order() for v in node.outputs]
    plain = all(v.shape == shape if v in held.cuts else v.spec.size == 1 and v.ndim < 2 for v in values)
    nodes = [node for node in held.graph.order() if not node.op.has(Trait.SOURCE)]
    return plain and not held.parts and not held.counters and all(n.op.has(Trait.ELEMENTWISE) and "shape" not in n.attrs for n in nodes)


def _steps(place: Place) -> tuple[int, ...] | None:
    """In elements how far it is from one index of each axis to the next; None where there are gaps."""
    size = place.dtype.itemsize
    if place.strides is None or not is_dense(place.shape, place.strides, size):
        return None
    return tuple([stride // size if n > 1 else 0 for n, stride in zip(place.shape, place.strides)])
