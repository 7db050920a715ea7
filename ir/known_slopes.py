"""Slopes that are known without following every path: powers written as products, and shifts that cancel.

In: the nodes between what is differentiated and the outputs. Out: for a node the operand positions that need no cotangent of its own,
with what another position takes instead. All of it is mathematics: no value is looked at.

    m = max(x);  s = x - m;  e = exp(s);  t = sum(e);  e / t;  s - log(t);  m + log(t)

give the same for every m, so nothing flows to m (the sums over s would, but for roundings, add up to nothing); and

    y = (x * x) * x

has the slope 3 (x * x), where rule by rule it is a sum of three products.
"""
from __future__ import annotations

from collections.abc import Collection, Iterator

from ir.graph import Graph, Node, Value
from ir.ops import elementwise as e
from ir.ops import reduce
from ir.rows import AXES_ONLY, kept_apart, own_extremum, unled, without_reshapes

Edge = tuple[Node, int]  # a node and the position of one of its operands


def square_of(value: Value) -> Value | None:
    """What `value` is the square of, where it shows: x * x, square(x)."""
    node = value.node
    if node.op is e.square or node.op is e.multiply and node.operands[0] is node.operands[1]:
        return node.operands[0]
    return None


def cube(node: Node) -> int | None:
    """The position of the square in `(x * x) * x`."""
    if node.op is not e.multiply:
        return None
    return next((k for k in (0, 1) if square_of(node.operands[k]) is node.operands[1 - k]), None)


def cancelled(graph: Graph, reached: Collection[Node], kept: Collection[Value]) -> set[Edge]:
    """The uses of a row's maximum that cancel, where all that is done with the shifted row is invariant under shifts.

    `kept`: values whose own cotangents are wanted, or given.
    """
    found: set[Edge] = set()
    for node in reached:
        most = own_extremum(node)
        if most is not None and most not in kept and node.outputs[0] not in kept:
            found |= _Shifted(graph, reached, kept, node, most).edges()
    return found


class _Shifted:
    """A row minus its maximum (or minimum), and what hangs on it."""

    def __init__(self, graph: Graph, reached: Collection[Node], kept: Collection[Value], node: Node, most: Value):
        self.graph, self.reached, self.kept, self.node, self.most = graph, reached, kept, node, most
        self.axis = most.node.attrs["axis"]
        self.small = kept_apart(node.operands[0].shape, self.axis)

    def edges(self) -> set[Edge]:
        """The edges that carry nothing; none where something that is done with the row may depend on the shift."""
        shifted = self.node.outputs[0]
        if shifted.spec != self.node.operands[0].spec:
            return set()
        exps = [u for u, _ in self._uses(shifted) if u.op is e.exp]
        if len(exps) != 1 or exps[0].outputs[0] in self.kept:
            return set()
        sums = [u for u, _ in self._uses(exps[0].outputs[0]) if u.op is reduce.sum and u.attrs["axis"] == self.axis]
        if len(sums) != 1 or sums[0].outputs[0] in self.kept:
            return set()
        total = sums[0].outputs[0]
        logs = [u for u, _ in self._through(total) if u.op is e.log]
        found = {(self.node, 1)}
        for log in logs:
            if log.outputs[0] in self.kept:
                return set()
            for user, position in self._through(log.outputs[0]):
                back = user.operands[1 - position] if user.op is e.add else None
                if back is not None and self._is_most(without_reshapes(back)) and back.shape == user.operands[position].shape:
                    found.add((user, 1 - position))
                elif not (user.op is e.subtract and position == 1 and user.operands[0] is shifted and self._fits(user)):
                    return set()
        normed = [u for u, k in self._through(total) if u.op is e.divide and k == 1]
        if not all(u.operands[0] is exps[0].outputs[0] and self._fits(u) for u in normed):
            return set()
        uses = [*self._uses(shifted), *self._uses(exps[0].outputs[0]), *self._through(total)]
        known = {*exps, *sums, *logs, *normed}
        for log in logs:
            known.update([u for u, _ in self._through(log.outputs[0])])
        return found if all(u in known for u, _ in uses) else set()

    def _is_most(self, value: Value) -> bool:
        node, most = value.node, self.most.node
        return node.op is most.op and node.operands == most.operands and node.attrs["axis"] == self.axis and value not in self.kept

    def _fits(self, user: Node) -> bool:
        """What stands for a row meets that row and no other."""
        return unled(user.operands[1].shape) == self.small

    def _uses(self, value: Value) -> Iterator[Edge]:
        """Uses that a cotangent may come from."""
        for user in self.graph.users(value.node):
            if user in self.reached:
                yield from [(user, k) for k, v in enumerate(user.operands) if v is value]

    def _through(self, value: Value) -> Iterator[Edge]:
        """The same, seen through reshapes; a reshape that is wanted itself counts as a use."""
        stack = [value]
        while stack:
            for user, k in self._uses(stack.pop()):
                if user.op in AXES_ONLY and user.outputs[0] not in self.kept:
                    stack.append(user.outputs[0])
                else:
                    yield user, k
