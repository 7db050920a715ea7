"""Concatenations for free: what is joined is computed where it will stand, so that the join itself costs no step.

In: a draft and the nodes to be computed. Out: the operands of concatenations that may live inside the result, and, as they are computed,
their places there; the rest is copied in. An operand, or what it is a view of, may live there if a kernel writes it dense and in the order
in which it stands, nothing writes into it later, and it stands in one place only. The parts of a join lie one behind the other, each
contiguous: so it is along the first axis that is longer than 1. Not under `exact`, and a result of the caller's only if it has one axis,
since NumPy may give others another order of axes.
"""
from __future__ import annotations

import math
from collections.abc import Iterable

from ir.graph import CONSTANT, INPUT, Node, Value
from ir.ops.shape import concatenate
from ir.place import Place
from ir.planning.draft import Draft
from ir.planning.packs import is_view, root
from ir.planning.strides import c_strides, viewed

FEW = 3  # parts that are copied one by one in less time than a kernel takes to join them


class Inside:
    """Who may live inside which join. `lent` and `join` are asked as nodes are computed."""

    def __init__(self, draft: Draft, nodes: Iterable[Node]):
        self.draft = draft
        self._homes: dict[Value, tuple[Node, int]] = {}  # what a kernel writes -> the join, and which part of it
        self._joins: dict[Node, Place | None] = {}  # the place of the whole, once something lies there
        shown = {root(v) for v in draft.graph.results()}
        for node in nodes if not draft.exact else ():
            if node.op is concatenate and _in_a_row(node) and (node.outputs[0].ndim == 1 or node.outputs[0] not in shown):
                self._offer(node)

    def _offer(self, join: Node) -> None:
        found: dict[Value, tuple[Node, int]] = {}
        for part, operand in enumerate(join.operands):
            source = root(operand)
            if operand.spec.size == source.spec.size > 0 and self._may_move(source):
                found.setdefault(source, (join, part))
        if found or len(join.operands) <= FEW:
            self._homes.update(found)
            self._joins[join] = None

    def _may_move(self, value: Value) -> bool:
        """Whether a kernel writes it that may write it anywhere, and nothing writes into it."""
        op = value.node.op
        if value in self._homes or op in (INPUT, CONSTANT, concatenate) or op.family == "update" or value.spec.weak:
            return False
        stack = [value]
        while stack:
            for user, _ in self.draft.graph.uses(stack.pop()):
                if user.op.family == "update":
                    return False
                if is_view(user):
                    stack += user.outputs
        return True

    def lent(self, node: Node, writes: tuple[Place, ...]) -> dict[int, Place]:
        """Places inside joins for outputs of `node`, by index, that a kernel would write as in `writes`."""
        found = {}
        for index, value in enumerate(node.outputs):
            home = self._homes.get(value)
            if home is not None and self._stands(value, writes[index], home):
                join, part = home
                whole = self._joins[join]
                if whole is None:
                    whole = self._joins[join] = self.draft.dense(join.outputs[0].spec)
                strides = writes[index].strides
                found[index] = Place(whole.buffer, _offset(join, part), value.shape, strides, value.dtype)
        return found

    @staticmethod
    def _stands(value: Value, write: Place, home: tuple[Node, int]) -> bool:
        """Whether the operand, seen from `value` as it would be written, lies in C order as in the join."""
        operand, way = home[0].operands[home[1]], []
        while operand is not value:
            way.append(operand.node)
            operand = operand.node.operands[0]
        shape, strides = value.shape, write.strides
        for view in reversed(way):
            made = viewed(view, shape, strides, value.dtype) if strides is not None else None
            if made is None or made[0]:
                return False
            shape, strides = view.outputs[0].shape, made[1]
        lying = [(n, s) for n, s in zip(shape, strides or ()) if n > 1]
        return lying == [(n, s) for n, s in zip(shape, c_strides(shape, value.dtype.itemsize)) if n > 1]

    def join(self, node: Node) -> bool:
        """Makes the join of what lies there already and copies of the rest; False where nothing of it does, unless they are FEW. A pack
        lies there whole."""
        if node.outputs[0] in self.draft.packs.members:
            self._pack(node)
            return True
        whole, draft = self._joins.get(node), self.draft
        if whole is None and (node not in self._joins or len(node.operands) > FEW):
            return False
        whole = whole or draft.dense(node.outputs[0].spec)
        for part, operand in enumerate(node.operands):
            read, offset = draft.places[operand], _offset(node, part)
            if (read.buffer is not whole.buffer or read.offset != offset) and operand.spec.size:
                write = Place(whole.buffer, offset, operand.shape, c_strides(operand.shape, whole.dtype.itemsize), whole.dtype)
                draft.copy(read, write, "into what it is joined with", node.line)
        draft.use(node)
        draft.order.append(node)
        draft.put(node.outputs[0], whole)
        return True

    def _pack(self, node: Node) -> None:
        joined = node.outputs[0]
        first = self.draft.places[self.draft.packs.members[joined][0]]
        self.draft.use(node)
        self.draft.order.append(node)
        self.draft.put(joined, Place(first.buffer, 0, joined.shape, (joined.dtype.itemsize,), joined.dtype))


def _in_a_row(join: Node) -> bool:
    """Whether the parts, of one dtype, are contiguous in the whole."""
    whole = join.outputs[0]
    alike = all(v.dtype == whole.dtype for v in join.operands)
    return alike and math.prod(whole.shape[: join.attrs["axis"] % whole.ndim]) == 1


def _offset(join: Node, part: int) -> int:
    return sum([v.spec.size for v in join.operands[:part]]) * join.outputs[0].dtype.itemsize
