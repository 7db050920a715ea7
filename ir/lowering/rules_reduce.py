"""The rules of reductions: means, variances and norms are made of sums and what is done with them."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ir.affine import ZERO, Dim, index
from ir.graph import Node
from ir.kernel import Operand, literal
from ir.lowering.elements import At, Elements, Key, Rule
from ir.planning.blocks import identity

BOOL = np.dtype(bool)


def _reduced_at(node: Node, at: At, dims: Sequence[Dim], axes: Sequence[int]) -> At:
    x, left = node.operands[0], iter(dims)
    kept, found = 0, []
    for axis, n in enumerate(x.shape):
        if axis in axes:
            found.append(index(next(left)) if n != 1 else ZERO)
            kept += node.attrs["keepdims"]
        else:
            found.append(at[kept])
            kept += 1
    return tuple(found)


def _axes(node: Node) -> tuple[int, ...]:
    axis = node.attrs["axis"]
    return (axis,) if isinstance(axis, int) else axis


def _reads_reduced(e: Elements, node: Node, at: At) -> list[Key | None]:
    axes = _axes(node)
    return [(node.operands[0], _reduced_at(node, at, e.over(node, at, axes), axes))]


def _reducing(function: Callable[[Elements, Node, _Over, Operand], Operand]) -> Rule:
    def build(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
        return function(e, node, _Over(e, node, e.over(node, at, _axes(node))), given[0])

    return Rule(_reads_reduced, build)


@dataclass(frozen=True)
class _Over:
    """Reduces elements over the dims of a node's axes; `count`: how many there are."""

    e: Elements
    node: Node
    dims: tuple[Dim, ...]

    @property
    def count(self) -> int:
        return math.prod([self.node.operands[0].shape[k] for k in _axes(self.node)])

    def __call__(self, combine: str, operand: Operand) -> Operand:
        dtype = self.e.dtype(operand)
        if not self.count:
            return literal(getattr(np, combine).reduce(np.zeros(0, dtype)), dtype)
        if not self.dims:
            return operand
        if combine == "add" and dtype.kind == "b":
            combine = "logical_or"
        start = {"multiply": 1, "logical_or": False, "logical_and": True}.get(combine)
        held = literal(identity(getattr(np, combine), dtype) if start is None else start, dtype)
        return self.e.reduce(combine, operand, self.dims, held, self.node.line)


def _total(combine: str) -> Rule:
    def build(e: Elements, node: Node, over: _Over, x: Operand) -> Operand:
        return over(combine, e.cast(x, node.outputs[0].dtype, node.line))

    return _reducing(build)


def _mean(e: Elements, node: Node, over: _Over, x: Operand) -> Operand:
    dtype = node.outputs[0].dtype
    return e.scalar("divide", [over("add", e.cast(x, dtype, node.line)), literal(over.count, dtype)], dtype, node.line)


def _var(e: Elements, node: Node, over: _Over, x: Operand) -> Operand:
    dtype, line = node.outputs[0].dtype, node.line
    x = e.cast(x, dtype, line)
    away = e.scalar("subtract", [x, e.scalar("divide", [over("add", x), literal(over.count, dtype)], dtype, line)], dtype, line)
    freedom = max(over.count - node.attrs["ddof"], 0)
    return e.scalar("divide", [over("add", e.scalar("square", [away], dtype, line)), literal(freedom, dtype)], dtype, line)


def _std(e: Elements, node: Node, over: _Over, x: Operand) -> Operand:
    return e.scalar("sqrt", [_var(e, node, over, x)], node.outputs[0].dtype, node.line)


def _norm(e: Elements, node: Node, over: _Over, x: Operand) -> Operand:
    dtype, line, ord = node.outputs[0].dtype, node.line, node.attrs["ord"]
    x = e.cast(x, dtype, line)
    if ord in (None, 2):
        return e.scalar("sqrt", [over("add", e.scalar("square", [x], dtype, line))], dtype, line)
    size = e.scalar("abs", [x], dtype, line)
    if ord in (math.inf, -math.inf):
        return over("maximum" if ord > 0 else "minimum", size)
    if ord == 0:
        return over("add", e.cast(e.scalar("not_equal", [x, literal(0, dtype)], BOOL, line), dtype, line))
    if ord == 1:
        return over("add", size)
    whole = over("add", e.scalar("power", [size, literal(ord, dtype)], dtype, line))
    return e.scalar("power", [whole, literal(1 / ord, dtype)], dtype, line)


def _where_is(combine: str) -> Rule:
    """The first place of what is the greatest or least; a NaN is both."""

    def build(e: Elements, node: Node, over: _Over, x: Operand) -> Operand:
        dtype, line = node.outputs[0].dtype, node.line
        if not over.dims:
            return literal(0, dtype)
        best = over(combine, x)
        hit = e.scalar("equal", [x, best], BOOL, line)
        if e.dtype(x).kind == "f":
            hit = e.scalar("logical_or", [hit, e.scalar("isnan", [x], BOOL, line)], BOOL, line)
        place = e.position(index(over.dims[0]), dtype, line)
        return over("minimum", e.scalar("where", [hit, place, literal(np.iinfo(dtype).max, dtype)], dtype, line))

    return _reducing(build)


def _truth(combine: str) -> Rule:
    return _reducing(lambda e, node, over, x: over(combine, e.cast(x, BOOL, node.line)))


RULES: dict[str, Rule] = {
    "sum": _total("add"), "prod": _total("multiply"), "max": _total("maximum"), "min": _total("minimum"), "mean": _reducing(_mean),
    "var": _reducing(_var), "std": _reducing(_std), "norm": _reducing(_norm), "any": _truth("logical_or"), "all": _truth("logical_and"),
    "argmax": _where_is("maximum"), "argmin": _where_is("minimum"),
}  # fmt: skip
