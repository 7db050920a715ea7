"""Where a cotangent can't be other than zero: the masks that choices leave behind, followed down the backward pass.

In: an operation, what is known of the cotangent of its result. Out: a `Support`, a mask that broadcasts to the cotangent and is False
where the cotangent is 0 *by construction* (`where` did not take the element, a slice did not read it), never because of a value that
happens to be 0. A support is a description: it becomes nodes of the graph only when `masked` asks for it, so where nothing infinite
can meet such a zero it costs nothing.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ir.cells import Cells
from ir.graph import CONSTANT, Graph, Node, Value
from ir.op import NoVjp, Same, Shift, Trait
from ir.ops import elementwise, reduce
from ir.ops.shape import broadcast_to, reshape, transpose

_FOLDED = 4096  # constant masks of no more elements, or ranges, are joined when they meet, larger ones when the graph runs


class Support:
    """A mask yet to be built: from `parents` by `build`; a constant one has its `cells`; `chosen` is (condition, outcome that keeps).
    `cut`: a slice read it, along one axis or in an array of few elements.
    """

    __slots__ = ("shape", "cells", "cut", "chosen", "parents", "build", "value")

    def __init__(
        self, shape: tuple[int, ...], parents: tuple[Support, ...] = (), build: Callable[..., Value] | None = None,
        cells: Cells | None = None, cut: bool = False, chosen: tuple[Value, bool] | None = None,
    ):
        self.shape, self.parents, self.build, self.cells, self.cut, self.chosen = shape, parents, build, cells, cut, chosen
        self.value: Value | None = None


class Supports:
    """The supports of one backward pass: equal descriptions are one object, so that "the same mask" is `is`."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self._made: dict[Any, Support] = {}

    # ---- descriptions
    def chosen(self, value: Value) -> Support | None:
        """The support that `where(c, value, 0)` or `where(c, 0, value)` shows by itself."""
        if value.node.op is not elementwise.where:
            return None
        condition, yes, no = value.node.operands
        if is_zero(no):
            return self._once((condition, True), lambda: Support(condition.shape, chosen=(condition, True)))
        if is_zero(yes):
            return self._once((condition, False), lambda: Support(condition.shape, chosen=(condition, False)))
        return None

    def both(self, a: Support | None, b: Support | None) -> Support | None:
        """The support of what is zero where one of the two says so; None knows of no zeros."""
        if a is None or b is None or a is b:
            return b if a is None else a
        return self._joined(a, b, np.logical_and, elementwise.logical_and)

    def either(self, a: Support | None, b: Support | None) -> Support | None:
        """The support of a sum: zero where both say so."""
        if a is None or b is None or a is b:
            return a if b is a else None
        if a.chosen and b.chosen and a.chosen[0] is b.chosen[0]:
            return None  # one takes what the other leaves
        return self._joined(a, b, np.logical_or, elementwise.logical_or)

    def _joined(self, a: Support, b: Support, numpy: np.ufunc, operation: Callable[..., Value]) -> Support | None:
        shape = np.broadcast_shapes(a.shape, b.shape)
        small = np.prod(shape, dtype=int) <= _FOLDED or shape in (a.shape, b.shape)
        if a.cells is not None and b.cells is not None and (small or a.cells.count() * b.cells.count() <= _FOLDED):
            return self._known(a.cells.joined(b.cells, numpy), a.cut and b.cut and small)
        return self._once((numpy, a, b), lambda: Support(shape, (a, b), operation))

    def of_operand(self, of_result: Support | None, node: Node, position: int, given: Value) -> Support | None:
        """The support of `given`, the cotangent that the node's rule hands to the operand at `position`, of that operand's shape."""
        carried = None if of_result is None else self.carried(of_result, node, position)
        own = self.chosen(given) if given.shape == node.operands[position].shape else None
        if own is None and node.op.has(Trait.SELECTS) and position == 0:
            own = self._read(node) if len(node.operands) == 1 else self._through(None, node, position)
        return self.both(carried, own)

    def carried(self, support: Support, node: Node, position: int) -> Support | None:
        """Axes along which the mask varies and which result and operand share index for index; else what the rule makes of the mask."""
        result, operand = node.outputs[0].spec, node.operands[position].spec
        full = (1,) * (result.ndim - len(support.shape)) + support.shape
        axes = node.op.axes(tuple([v.spec for v in node.outputs]), tuple([v.spec for v in node.operands]), **node.attrs)[position]
        place = {a.axis: k for k, a in enumerate(axes) if type(a) is Same}
        varies = [k for k, n in enumerate(full) if n != 1]
        if all(k in place and operand.shape[place[k]] == result.shape[k] for k in varies):
            return self._moved(support, [place[k] for k in varies], operand.ndim)
        if node.op.has(Trait.MOVES) or node.op.has(Trait.SELECTS):
            return self._through(support, node, position)
        return None

    def _moved(self, support: Support, places: list[int], ndim: int) -> Support:
        """The mask with its axes longer than 1 brought to `places` among `ndim` axes."""
        sizes = [n for n in support.shape if n != 1]
        turn = tuple(sorted(range(len(places)), key=places.__getitem__))
        shape = [1] * ndim
        for place, size in zip(places, sizes):
            shape[place] = size
        in_order = places == sorted(places)
        if in_order and tuple(shape) == support.shape:
            return support
        if support.cells is not None:
            cells = support.cells.turned(places, ndim)
            return self._once((cells.key, support.cut), lambda: Support(cells.shape, cells=cells, cut=support.cut))

        def build(mask: Value) -> Value:
            if not in_order:
                mask = transpose(reshape(mask, shape=tuple(sizes)), axes=turn)
            return reshape(mask, shape=tuple(shape))

        return self._once((support, tuple(shape), turn), lambda: Support(tuple(shape), (support,), build))

    def _read(self, node: Node) -> Support | None:
        """The indices that a slice reads, an axis at a time."""
        (axes,) = node.op.axes(tuple([v.spec for v in node.outputs]), (node.operands[0].spec,), **node.attrs)
        found: Support | None = None
        for k, (axis, size, count) in enumerate(zip(axes, node.operands[0].shape, node.outputs[0].shape, strict=True)):
            if type(axis) is Shift and count < size:
                shape, ends = (*[1] * k, size, *[1] * (len(axes) - k - 1)), (axis.start, axis.start + axis.step * (count - 1))
                if abs(axis.step) == 1 and count:
                    spans = [(min(ends), max(ends) + 1) if n == k else (0, 1) for n in range(len(axes))]
                    read = Cells.box(shape, spans)
                else:
                    array = np.zeros(shape, bool)
                    array.reshape(-1)[axis.start + axis.step * np.arange(count)] = True
                    read = Cells.along(array)
                found = self.both(found, self._known(read, True))
        return found

    def _through(self, support: Support | None, node: Node, position: int) -> Support | None:
        """What the node's rule makes of the mask as ones and zeros: it only moves and adds up elements."""
        like, operand = node.outputs[0], node.operands[position]
        if (known := _placed(support, node, position)) is not None:
            return self._known(known, False)

        def build(*masks: Value) -> Value:
            ones = elementwise.cast(masks[0], dtype=like.dtype) if masks else self.graph.constant(np.ones((), like.dtype))
            assert not isinstance(node.op.vjp, NoVjp)
            given = node.op.vjp(broadcast_to(ones, shape=like.shape), like, *node.operands, **node.attrs)
            mine = given[position] if isinstance(given, tuple) else given
            return elementwise.not_equal(mine if mine.shape == operand.shape else reduce.sum_to(mine, operand.shape), 0)

        parents = () if support is None else (support,)
        return self._once((support, node, position), lambda: Support(operand.shape, parents, build))

    def _known(self, cells: Cells, cut: bool) -> Support | None:
        """The support of a constant mask; None where it leaves out nothing."""
        if cells.held.all():
            return None
        return self._once((cells.key, cut), lambda: Support(cells.shape, cells=cells, cut=cut))

    def _once(self, key: Any, make: Callable[[], Support]) -> Support:
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = make()
        return found

    # ---- nodes
    def masked(self, g: Value, support: Support) -> Value:
        """`g` with an exact 0 outside the support."""
        zero = g.dtype.type(0)
        if support.chosen is not None:
            condition, outcome = support.chosen
            return elementwise.where(condition, g, zero) if outcome else elementwise.where(condition, zero, g)
        return elementwise.where(self._value(support), g, zero)

    def _value(self, support: Support) -> Value:
        stack = [support]
        while stack:
            top = stack[-1]
            waiting = [p for p in top.parents if p.value is None]
            if top.value is not None or waiting:
                stack.pop() if top.value is not None else stack.extend(waiting)
                continue
            if top.build is not None:
                top.value = top.build(*[p.value for p in top.parents])
            elif top.chosen is not None:
                condition, outcome = top.chosen
                holds = condition if condition.dtype == bool else elementwise.not_equal(condition, 0)
                top.value = holds if outcome else elementwise.logical_not(condition)
            else:
                assert top.cells is not None
                top.value = self._constant(top.cells)
            stack.pop()
        assert support.value is not None
        return support.value

    def _constant(self, cells: Cells) -> Value:
        """The mask, a large one made of masks along its axes when the graph runs."""
        varies = [k for k, ends in enumerate(cells.bounds) if len(ends) > 2]
        if len(varies) < 2 or np.prod(cells.shape, dtype=int) <= _FOLDED:
            return self.graph.constant(cells.array() if len(varies) != 1 else _thin(cells, varies[0]))
        found: Value | None = None
        for where, slab in cells.slabs(varies[0]):
            if slab.held.any():
                part = self.graph.constant(where.reshape([-1 if k == varies[0] else 1 for k in range(len(cells.bounds))]))
                part = part if slab.held.all() else elementwise.logical_and(part, self._constant(slab))
                found = part if found is None else elementwise.logical_or(found, part)
        return found if found is not None else self.graph.constant(np.zeros((1,) * len(cells.bounds), bool))


def _thin(cells: Cells, axis: int) -> np.ndarray:
    """A mask that varies along one axis, of length 1 along the others."""
    mask = np.repeat(cells.held.reshape(-1), np.diff(cells.bounds[axis]))
    return mask.reshape([-1 if k == axis else 1 for k in range(len(cells.bounds))])


def _placed(support: Support | None, node: Node, position: int) -> Cells | None:
    """What a slice, or a write into one, makes of a constant mask of its result (None: True everywhere); None for all else."""
    index, result, operand = node.attrs.get("index"), node.outputs[0], node.operands[position]
    if index is None or (support is not None and support.cells is None) or node.op.name not in ("slice", "set_slice", "add_slice"):
        return None
    array = node.operands[0].shape
    spans = [slice(*triple).indices(n) for triple, n in zip(index, array)]
    if len(index) != len(array) or any(step != 1 or start >= stop for start, stop, step in spans):
        return None
    box = [(start, stop) for start, stop, _ in spans]
    full = Cells.box(result.shape, [(0, n) for n in result.shape])
    mask = full if support is None or support.cells is None else full.joined(support.cells, np.logical_and)
    if node.op.name == "slice":
        return mask.placed(box, array)
    if position == 1:
        return mask.part(box) if operand.shape == tuple([stop - start for start, stop in box]) else None
    return mask.joined(Cells.box(array, box), np.greater) if node.op.name == "set_slice" else None


# ---- what rules multiply by
def is_zero(value: Value) -> bool:
    """Whether it is a constant filled with zeros."""
    return value.node.op is CONSTANT and not value.node.attrs["value"].array().any()


def is_calm(value: Value, g: Value, depth: int = 4) -> bool:
    """Whether `value`, made from `g` by an elementwise rule, is `g` times finite constants and choices: no other factor is in it."""
    if value is g:
        return True
    node = value.node
    if depth == 0 or not node.op.has(Trait.ELEMENTWISE):
        return False
    if node.op is elementwise.where:
        return all(is_zero(v) or is_calm(v, g, depth - 1) for v in node.operands[1:])
    return all(_is_plain(v) or is_calm(v, g, depth - 1) for v in node.operands)


def _is_plain(value: Value) -> bool:
    """A constant without zeros, infinities and NaN."""
    if value.node.op is not CONSTANT:
        return False
    array = value.node.attrs["value"].array()
    return bool(np.all(np.isfinite(array) & (array != 0)))
