"""Layers whose weight and bias lie one behind the other in a pack: the bias inside the product, its gradient inside the weight's.

The layer's input is carried with a row of ones below it, features first, so that `[W; b]` multiplies both; one product gives both
gradients, as they lie in the joined gradient. What follows elementwise is then features first as well, and products that meet it there
are computed so. Worth it where adding the bias row by row (`Target.row_ns`) costs more than to copy the input to where it is carried;
what was computed features first is carried for free. It runs after `pack_states`. Not exact: the bias is added in the product's order.

Before:

    graph {
      %0 = input() {kind="argument"} : f64[100,2]
      %1 = input() {kind="argument"} : f64[100,10]
      %2 = input() {kind="state"} : f64[2,10]
      %3 = input() {kind="state"} : f64[10]
      %4 = reshape(%2) {shape=(20,)} : f64[20]
      %5 = concatenate(%4, %3) {axis=0} : f64[30]
      %6 = linear(%0, %2, %3) : f64[100,10]
      %7 = exp(%6) : f64[100,10]
      %8, %9 = linear_vjp(%0, %7) : f64[2,10], f64[10]
      %10 = reshape(%8) {shape=(20,)} : f64[20]
      %11 = concatenate(%10, %9) {axis=0} : f64[30]
      %12 = subtract(%5, %11) : f64[30]
      %13 = slice(%12) {index=((0, 20, 1),)} : f64[20]
      %14 = reshape(%13) {shape=(2, 10)} : f64[2,10]
      %15 = slice(%12) {index=((20, 30, 1),)} : f64[10]
      return
      update %2 <- %14
      update %3 <- %15
    }

After:

    graph {
      %0 = input() {kind="argument"} : f64[100,2]
      %1 = input() {kind="argument"} : f64[100,10]
      %2 = input() {kind="state"} : f64[2,10]
      %3 = input() {kind="state"} : f64[10]
      %4 = reshape(%2) {shape=(20,)} : f64[20]
      %5 = concatenate(%4, %3) {axis=0} : f64[30]
      %6 = transpose(%0) {axes=(1, 0)} : f64[2,100]
      %7 = const(1.0) : f64[]
      %8 = broadcast_to(%7) {shape=(1, 100)} : f64[1,100]
      %9 = concatenate(%6, %8) {axis=0} : f64[3,100]
      %10 = slice(%5) {index=((0, 30, 1),)} : f64[30]
      %11 = reshape(%10) {shape=(3, 10)} : f64[3,10]
      %12 = transpose(%11) {axes=(1, 0)} : f64[10,3]
      %13 = dot(%12, %9) : f64[10,100]
      %14 = transpose(%13) {axes=(1, 0)} : f64[100,10]
      %15 = exp(%14) : f64[100,10]
      %16 = dot(%9, %15) : f64[3,10]
      %17 = reshape(%16) {shape=(30,)} : f64[30]
      %18 = concatenate(%17) {axis=0} : f64[30]
      %19 = subtract(%5, %18) : f64[30]
      %20 = slice(%19) {index=((0, 20, 1),)} : f64[20]
      %21 = reshape(%20) {shape=(2, 10)} : f64[2,10]
      %22 = slice(%19) {index=((20, 30, 1),)} : f64[10]
      return
      update %2 <- %21
      update %3 <- %22
    }
"""
from __future__ import annotations

from typing import Any

from ir.graph import CONSTANT, INPUT, Graph, Node, Value
from ir.op import Trait
from ir.ops.index import slice
from ir.ops.matmul import dot
from ir.ops.nn import linear, linear_vjp
from ir.ops.shape import broadcast_to, concatenate, reshape, transpose
from ir.passes import dead
from ir.target import Target

_READ_EITHER_WAY = (dot, linear, linear_vjp, transpose)  # products take both orders, a transpose is a view
_COPY_NS = 2.5  # of an element that changes places with others


def run(graph: Graph, *, target: Target, may_join: Any = None) -> int:
    """Carries ones, in place; gives the number of layers."""
    layers = [node for node in graph.order() if node.op is linear] if target.row_ns and graph.updates else []
    packed = _packed(graph) if layers else {}
    first: set[Value] = set()  # values that are features first
    count = 0
    for layer in layers:
        x, W, b = layer.operands
        place, out = packed.get((W, b)), layer.outputs[0]
        if place is None or out.dtype.char not in "fd" or not out.dtype == x.dtype == W.dtype == b.dtype or x.shape[0] < 2:
            continue
        reached = _reached(graph, out)
        if reached is None or not _pays(graph, layer, target, x in first):
            continue
        y = _carry(graph, layer, *place)
        first |= {y, *reached[0]}
        for product in reached[1]:
            _turn(graph, product)
        count += 1
    dead.run(graph)
    return count


def _packed(graph: Graph) -> dict[tuple[Value, Value], tuple[Value, int]]:
    """Where states that stand one behind the other in a join do so: the join and the first element."""
    found = {}
    for node in graph.order():
        if node.op is concatenate and node.outputs[0].ndim == 1:
            roots = [v.node.operands[0] if v.node.op is reshape else v for v in node.operands]
            start = 0
            for one, two in zip(roots, roots[1:]):
                if one.node.op is INPUT and two.node.op is INPUT:
                    found[one, two] = node.outputs[0], start
                start += one.spec.size
    return found


def _is_matrix(value: Value) -> bool:
    return value.ndim == 2 and 1 not in value.shape


def _reached(graph: Graph, y: Value) -> tuple[set[Value], list[Value]] | None:
    """What is features first if `y` is, and the products that must then be turned; None where something else would have to be copied."""
    if not _is_matrix(y):
        return set(), []
    found, products, stack = {y}, set[Value](), [y]
    while stack:
        value = stack.pop()
        if value in graph.outputs:
            return None
        for user in graph.users(value.node):
            if user.op in _READ_EITHER_WAY:
                continue
            if not user.op.has(Trait.ELEMENTWISE) or len(user.outputs) != 1 or user.outputs[0].shape != y.shape:
                return None
            products.update([v for v in user.operands if v.shape == y.shape and v.node.op is dot])
            if user.outputs[0] not in found:
                found.add(user.outputs[0])
                stack.append(user.outputs[0])
    read = {v for held in found - {y} for v in held.node.operands if v.shape == y.shape}
    turned = [v for v in products if all(u.outputs[0] in found for u in graph.users(v.node)) and all(o.ndim == 2 for o in v.node.operands)]
    return (found, sorted(turned, key=lambda v: v.node.serial)) if read <= found.union(turned) else None


def _pays(graph: Graph, layer: Node, target: Target, is_first: bool) -> bool:
    """Whether two calls fewer, and one of them row by row, cost more than to carry the input and its ones."""
    x, out = layer.operands[0], layer.outputs[0]
    if not any(user.op is linear_vjp and user.operands[0] is x for user in graph.users(x.node)):
        return False
    gain = 2 * target.call_ns + (target.row_ns * out.shape[0] if _is_matrix(out) else 0.0)
    copied = x.node.op in (INPUT, CONSTANT) or (_is_matrix(x) and not is_first)
    return gain > target.call_ns + (target.call_ns + _COPY_NS * x.spec.size if copied else 0.0)


def _carry(graph: Graph, layer: Node, pack: Value, start: int) -> Value:
    """The layer and its gradients as products with the carried input; gives what stands for its output."""
    x, W, _ = layer.operands
    rows, k, n = x.shape[0], *W.shape
    with graph.at(layer.line):
        ones = broadcast_to(graph.constant(x.dtype.type(1)), shape=(1, rows))
        carried = concatenate(transpose(x, axes=(1, 0)), ones, axis=0)
        both = reshape(slice(pack, index=((start, start + (k + 1) * n, 1),)), shape=(k + 1, n))
        y = transpose(dot(transpose(both, axes=(1, 0)), carried), axes=(1, 0))
        graph.replace(layer.outputs[0], y)
    for user in list(graph.users(x.node)):
        if user.op is linear_vjp and user.operands[0] is x and user.specs[0] == W.spec:
            with graph.at(user.line):
                _joined_gradients(graph, user, dot(carried, user.operands[1]))
    return y


def _joined_gradients(graph: Graph, vjp: Node, both: Value) -> None:
    """`both` in the place of the two gradients where they are joined, one behind the other; elsewhere parts of it."""
    dW, db = vjp.outputs
    ends = [v for user, _ in graph.uses(db) if user.op is reshape for v in user.outputs] + [db]
    for end in ends:
        for join, at in graph.uses(end):
            before = join.operands[at - 1] if join.op is concatenate and join.outputs[0].ndim == 1 and at else None
            if before is not None and before.node.op is reshape and before.node.operands[0] is dW:
                parts = [*join.operands[: at - 1], reshape(both, shape=(both.spec.size,)), *join.operands[at + 1 :]]
                graph.replace(join.outputs[0], concatenate(*parts, axis=0))
                graph.remove([join])
                break
    k, n = dW.shape
    graph.replace(dW, slice(both, index=((0, k, 1), (0, n, 1))))
    graph.replace(db, reshape(slice(both, index=((k, k + 1, 1), (0, n, 1))), shape=(n,)))


def _turn(graph: Graph, product: Value) -> None:
    """`a @ b` as the transpose of `b.T @ a.T`, so that it comes features first."""
    a, b = product.node.operands
    with graph.at(product.node.line):
        turned = dot(transpose(b, axes=(1, 0)), transpose(a, axes=(1, 0)))
        graph.replace(product, transpose(turned, axes=(1, 0)))
