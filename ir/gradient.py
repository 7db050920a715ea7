"""Reverse mode, symbolically: a graph in, its backward nodes appended to it (so forward and backward are one graph).

Nodes are visited in reverse order; each hands its cotangents to its operands through its operation's vjp, which builds nodes like
any other code: the result differentiates again. What a rule need not do is done here once: summing over broadcast axes, casting to
the operand's dtype, zeros for what nothing depends on, and *strong zeros*: a cotangent that is 0 by construction (`where`, a maximum,
a slice, an index did not choose the element) stays 0 all the way down, where the slope may be infinite or NaN (`0 * inf`). Elementwise
rules run unguarded; one mask stands where their results are added up, moved or handed out (`support.py`). A cotangent whose value
happens to be 0 is no such zero: it has a slope of its own, which second derivatives need. What comes from reading at an index is a part
of a cotangent: parts are added into the sum of all that is whole, so none is laid out in an array of zeros of its own. Backward nodes
carry the line of the node they differentiate.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ir.errors import Error, GradientError
from ir.graph import Graph, Node, Value
from ir.known_slopes import cancelled, cube
from ir.op import NoVjp, Trait
from ir.ops import elementwise, index, reduce, shape, update
from ir.support import Support, Supports, is_calm, is_zero


def append_gradient(
    graph: Graph, outputs: Sequence[Value], cotangents: Sequence[Value], wrt: Sequence[Value], phase: str = "backward"
) -> list[Value]:
    """Appends the vector-Jacobian product of `outputs` by `wrt` to the graph and gives its Values, specs as those of `wrt`.

    `cotangents` has a Value for each output, of its shape and dtype. Raises GradientError when a `wrt` is not floating or complex,
    or when an operation without a vjp lies between a `wrt` and an output.
    """
    for value in wrt:
        if value.dtype.kind not in "fc":
            raise GradientError(
                f"no gradient by a value of dtype {value.dtype}", mend="cast the argument to a float dtype, or leave it out of argnums"
            ).at(line=value.node.line)
    reached = _between(graph, wrt, outputs)
    backward = _Backward(graph, reached, {*wrt, *outputs})
    for value, g in zip(outputs, cotangents, strict=True):
        if value.node in reached:
            backward.accumulate(value, fit(g, value), None, False)
    for node in reversed([n for n in graph.order() if n in reached]):
        if any(v in backward.support for v in node.outputs):
            with graph.at(node.line.during(phase) if node.line else None):
                backward.propagate(node)
    with graph.at(None):
        return [backward.clean(v) if v in backward.support else zeros(graph, v) for v in wrt]


def zeros(graph: Graph, like: Value) -> Value:
    """A Value of zeros with the spec of `like`."""
    return shape.broadcast_to(graph.constant(np.zeros((), like.dtype)), shape=like.shape)


def _between(graph: Graph, wrt: Sequence[Value], outputs: Sequence[Value]) -> set[Node]:
    """The nodes on a way from `wrt` to `outputs`, those of `wrt` included."""
    needed = {v.node for v in wrt}
    for node in graph.order():
        if node not in needed and any(v.node in needed for v in node.operands):
            needed.add(node)
    wanted, stack = set(), [v.node for v in outputs if v.node in needed]
    while stack:
        node = stack.pop()
        if node not in wanted:
            wanted.add(node)
            stack += [v.node for v in node.operands if v.node in needed]
    return wanted


class _Backward:
    """The cotangents so far, and what is known of their zeros.

    A cotangent is the sum of `whole[v]` and of `parts[v]`, nodes that add a part to zeros; `clean` and `settled` join them.
    `support[v]` is where the cotangent of v may be other than 0 (None: anywhere). While `v in mixed`, what stands outside the support
    has met factors that may be infinite or NaN there, and is put back to 0 by `clean` before anything adds it up or moves it.
    `kept`: values whose own cotangents are wanted, or given.
    """

    def __init__(self, graph: Graph, reached: set[Node], kept: set[Value]):
        self.graph, self.reached, self.kept = graph, reached, kept
        self.silent = cancelled(graph, reached, kept)
        self.supports = Supports(graph)
        self.whole: dict[Value, Value] = {}
        self.parts: dict[Value, list[Node]] = {}
        self.support: dict[Value, Support | None] = {}
        self.mixed: set[Value] = set()

    def clean(self, value: Value) -> Value:
        """The cotangent of `value`, exactly 0 outside its support."""
        self._mask(value)
        return self.settled(value)

    def settled(self, value: Value) -> Value:
        """The cotangent of `value`: its parts added, in the order in which they came, to the whole."""
        parts = self.parts.pop(value, [])
        if parts:
            self.whole[value] = _with_parts(self.whole.get(value), parts)
        return self.whole[value]

    def _mask(self, value: Value) -> None:
        """Puts back to 0 what is not in the support; parts came without."""
        support = self.support[value]
        if value in self.mixed and support is not None:
            self.whole[value] = self.supports.masked(self.whole[value], support)
            self.mixed.discard(value)

    def accumulate(self, value: Value, g: Value, support: Support | None, mixed: bool) -> None:
        """Adds a cotangent of the value's own spec."""
        if value in self.support and support is not self.support[value]:
            g = self.supports.masked(g, support) if mixed and support is not None else g
            self._mask(value)
            support, mixed = self.supports.either(support, self.support[value]), False
        self.support[value] = support
        if _is_part(g.node) and not mixed:
            self.parts.setdefault(value, []).append(g.node)
            return
        self.whole[value] = elementwise.add(self.whole[value], g) if value in self.whole else g
        if mixed:
            self.mixed.add(value)

    def propagate(self, node: Node) -> None:
        """Runs the node's vjp and hands the results to its operands."""
        if not node.operands or all(v.dtype.kind not in "fc" for v in node.outputs):
            return
        rule = node.op.vjp
        if isinstance(rule, NoVjp):
            if rule.zero:
                return
            raise GradientError(f"{node.op.name} has no gradient: {rule.reason}").at(
                op=node.op.name, operands=zip(node.op.names(len(node.operands)), [v.spec for v in node.operands]), line=node.line
            )
        several, pointwise = len(node.outputs) > 1, node.op.has(Trait.ELEMENTWISE)
        first = node.outputs[0]
        support = None if several else self.support[first]
        join = self.settled if pointwise else self.clean
        g = tuple([join(v) if v in self.support else None for v in node.outputs])
        try:
            given = rule(g if several else g[0], node.outputs if several else first, *self._operands(node, support), **node.attrs)
        except Error as error:
            raise error.at(op=f"gradient of {node.op.name}", line=node.line)
        given = given if isinstance(given, tuple) else (given,)
        if node.op is elementwise.multiply:
            given = self._powers(node, given)
        for position, (operand, value) in enumerate(zip(node.operands, given, strict=True)):
            if value is None or operand.node not in self.reached or operand.dtype.kind not in "fc" or (node, position) in self.silent:
                continue
            if several:
                self.accumulate(operand, fit(value, operand), None, False)
            elif pointwise:
                self._hand_on(node, position, operand, value, g[0])
            else:
                found = self.supports.of_operand(support, node, position, value)
                self.accumulate(operand, fit(value, operand), found, found is not None and support is not None and _mixes(node, found))

    def _hand_on(self, node: Node, position: int, operand: Value, value: Value, g: Value | None) -> None:
        """A cotangent from an elementwise rule: masked only where it is summed over axes that were broadcast."""
        assert g is not None
        support = self.support[node.outputs[0]]
        mixed = node.outputs[0] in self.mixed or support is not None and not is_calm(value, g)
        support = self.supports.both(support, self.supports.chosen(value))
        if value.shape != operand.shape:
            value = self.supports.masked(value, support) if mixed and support is not None else value
            support, mixed = None if support is None else self.supports.carried(support, node, position), False
            if value is not g and value.node.op is elementwise.negative:  # the sign of a sum costs less than those of its terms
                value = elementwise.negative(reduce.sum_to(value.node.operands[0], operand.shape))
        self.accumulate(operand, fit(value, operand), support, mixed)

    def _powers(self, node: Node, given: tuple[Value | None, ...]) -> tuple[Value | None, ...]:
        """Of x * x twice what one factor gives, of (x * x) * x three times what x gives beside the square."""
        first, second = node.operands
        if first is second and given[0] is not None:
            return given[0] * 2, None
        square = cube(node)
        beside = None if square is None else given[1 - square]
        if square is None or beside is None or node.operands[square] in self.kept:
            return given
        return (None, beside * 3) if square == 0 else (beside * 3, None)

    def _operands(self, node: Node, support: Support | None) -> Sequence[Value]:
        """The operands for the rule: rows of a product that were not chosen are 0, since the rule of the other operand adds them up."""
        if support is None or support.cut or not node.op.has(Trait.BILINEAR) or not any(n != 1 for n in support.shape):
            return node.operands
        given = list(node.operands)
        for k, operand in enumerate(node.operands):
            rows = self.supports.carried(support, node, k)
            if rows is not None and any(v.node in self.reached for j, v in enumerate(node.operands) if j != k):
                given[k] = self.supports.masked(operand, rows)
        return given


def _mixes(node: Node, support: Support) -> bool:
    """Whether the rule of an operation that is not elementwise may bring infinities or NaN where the cotangent was 0.

    Not what only moves and adds up; a product might, by its other operand, but for parts that a slice cut off that is not worth a mask.
    """
    if node.op.has(Trait.MOVES) or node.op.has(Trait.SELECTS):
        return False
    return not (node.op.has(Trait.BILINEAR) and support.cut)


def _is_part(node: Node) -> bool:
    """Whether it adds to zeros, as the gradient of reading at an index does; or shows such a sum in another shape."""
    node = node.operands[0].node if node.op is shape.reshape else node
    adds = node.op in (index.add_slice, index.add_at)
    return adds and node.operands[0].node.op is shape.broadcast_to and is_zero(node.operands[0].node.operands[0])


def _with_parts(whole: Value | None, parts: list[Node]) -> Value:
    """`whole` (None: zeros) and the parts, added one after the other into it. Where it is 0 at just the indices of a part, because all of
    that was written over, the part is written there.
    """
    if whole is None:
        whole, parts = parts[0].outputs[0], parts[1:]
    elif whole.node.op is update.set_slice and is_zero(whole.node.operands[1]):
        base = whole.node.operands[0]
        for part in parts:
            if part.op is index.add_slice and part.attrs == whole.node.attrs:
                whole = update.set_slice(base, part.operands[1], **part.attrs)
                parts = [p for p in parts if p is not part]
                break
    for part in parts:
        added = part.operands[0].node if part.op is shape.reshape else part
        inner, outer = added.outputs[0].shape, whole.shape
        whole = added.op(whole if inner == outer else shape.reshape(whole, shape=inner), *added.operands[1:], **added.attrs)
        whole = whole if inner == outer else shape.reshape(whole, shape=outer)
    return whole


def fit(g: Value, like: Value) -> Value:
    """`g` summed over the axes along which `like` was broadcast, real where `like` is real, in its dtype."""
    if g.shape != like.shape:
        g = reduce.sum_to(g, like.shape)
    if g.dtype.kind == "c" and like.dtype.kind != "c":
        g = elementwise.real(g)
    if g.spec != like.spec.strong():
        g = elementwise.cast(g, dtype=like.dtype)
    return g
