"""Reverse mode, symbolically: a graph in, its backward nodes appended to it (so forward and backward are one graph).

Nodes are visited in reverse order; each hands its cotangents to its operands through its operation's vjp, which builds nodes like
any other code: the result differentiates again. What a rule need not do is done here once: summing over broadcast axes, casting to
the operand's dtype, zeros for what nothing depends on, and *strong zeros*: a cotangent that is 0 because `where` (or a maximum, a
clip) did not choose an element stays 0 all the way down the branch not taken, where the slope may be infinite or NaN (`0 * inf`).
Backward nodes carry the line of the node they differentiate.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ir.errors import Error, GradientError
from ir.graph import CONSTANT, Graph, Node, Value
from ir.op import NoVjp, Trait
from ir.ops import elementwise, reduce, shape


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
    cotangent: dict[Value, Value] = {}
    masked: set[Value] = set()  # whose cotangents may hold zeros for elements that were not chosen
    for value, g in zip(outputs, cotangents, strict=True):
        if value.node in reached:
            _accumulate(graph, cotangent, value, g)
    for node in reversed([n for n in graph.order() if n in reached]):
        if any(v in cotangent for v in node.outputs):
            with graph.at(node.line.during(phase) if node.line else None):
                _propagate(graph, node, cotangent, masked, reached)
    with graph.at(None):
        return [cotangent[v] if v in cotangent else zeros(graph, v) for v in wrt]


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


def _propagate(graph: Graph, node: Node, cotangent: dict[Value, Value], masked: set[Value], reached: set[Node]) -> None:
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
    g = tuple([cotangent.get(v) for v in node.outputs])
    several = len(g) > 1
    try:
        given = rule(g if several else g[0], node.outputs if several else node.outputs[0], *node.operands, **node.attrs)
    except Error as error:
        raise error.at(op=f"gradient of {node.op.name}", line=node.line)
    given = given if isinstance(given, tuple) else (given,)
    selects = node.op.has(Trait.SELECTS)
    below_mask = any(v in masked for v in node.outputs)
    guard = g[0] if below_mask and not selects and node.op.has(Trait.ELEMENTWISE) else None
    for operand, value in zip(node.operands, given, strict=True):
        if value is not None and operand.node in reached and operand.dtype.kind in "fc":
            _accumulate(graph, cotangent, operand, value if guard is None else strong(guard, value))
            if selects or below_mask:
                masked.add(operand)


def strong(g: Value, value: Value) -> Value:
    """`value`, a cotangent made from `g` elementwise, with 0 where `g` is 0 and `value` is not finite.

    Where `value` is finite it is left alone: there it is 0 already, and its own slope by `g` counts in second derivatives.
    """
    if value is g or all(v is g or _plain(v) for v in value.node.operands):
        return value
    lost = elementwise.logical_and(elementwise.equal(g, 0), elementwise.logical_not(elementwise.isfinite(value)))
    return elementwise.where(lost, 0, value)


def _plain(value: Value) -> bool:
    """A constant without zeros, infinities and NaN: `g` times or over it is 0 where `g` is."""
    if value.node.op is not CONSTANT:
        return False
    array = value.node.attrs["value"].array()
    return bool(np.all(np.isfinite(array) & (array != 0)))


def _accumulate(graph: Graph, cotangent: dict[Value, Value], value: Value, g: Value) -> None:
    g = fit(g, value)
    cotangent[value] = elementwise.add(cotangent[value], g) if value in cotangent else g


def fit(g: Value, like: Value) -> Value:
    """`g` summed over the axes along which `like` was broadcast, real where `like` is real, in its dtype."""
    if g.shape != like.shape:
        g = reduce.sum_to(g, like.shape)
    if g.dtype.kind == "c" and like.dtype.kind != "c":
        g = elementwise.real(g)
    if g.spec != like.spec.strong():
        g = elementwise.cast(g, dtype=like.dtype)
    return g
