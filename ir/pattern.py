"""Patterns: an expression that a graph's nodes may match, parsed once into trees, and the matcher.

In: `add(dot(x, W), b)` and a node. Out: what `x`, `W` and `b` stand for there, or None.

Names stand for any Value (the same name twice for the same Value), numbers for constants filled with that number (sign of zero
included, broadcast or not), calls for operations; `ELEMENTWISE(*xs)` is any operation with that trait, `ANY(*xs)` any but a source.
Keywords are attributes: a literal must be equal, a name binds the attribute, what is not mentioned may be anything. The operations of
a pattern are bound under their own names too. `{first, second}` is a pattern with two roots. The matcher keeps its own stack.
"""
from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ir.graph import CONSTANT, Node, Value
from ir.op import Op, Trait
from ir.ops import TABLE

_VIEWS_SEEN_THROUGH = 8  # how far `fill` follows views of a constant


# ---- trees
@dataclass(frozen=True)
class Name:
    """Any Value, bound to `name`; in an attribute, any attribute; `field` reads one (`x.shape`). `_` binds nothing."""

    name: str
    field: str | None = None


@dataclass(frozen=True)
class Literal:
    """A number, or an attribute's value."""

    value: Any


@dataclass(frozen=True)
class Apply:
    """An operation on operands. Where `op` is None any operation with `trait` does; `rest` names the tuple of all operands."""

    op: Op | None
    trait: Trait
    operands: tuple[Tree, ...]
    attrs: tuple[tuple[str, Name | Literal], ...]
    rest: str | None = None

    @cached_property
    def commutes(self) -> bool:
        return self.op is not None and self.op.has(Trait.COMMUTATIVE) and len(self.operands) >= 2 and self.operands[0] != self.operands[1]

    def accepts(self, op: Op) -> bool:
        if self.op is not None:
            return op is self.op
        return not op.has(Trait.SOURCE) if self.trait is Trait.NONE else op.has(self.trait)

    def may_take(self, ops: Sequence[Op]) -> bool:
        """Whether operands computed by these operations may be the pattern's, in this order or, where it commutes, the other."""
        return self._takes(ops) or (self.commutes and len(ops) > 1 and self._takes((ops[1], ops[0], *ops[2:])))

    def _takes(self, ops: Sequence[Op]) -> bool:
        return self.rest is not None or (len(ops) == len(self.operands) and all(map(_may_be, self.operands, ops)))


Tree = Name | Literal | Apply


def _may_be(tree: Tree, op: Op) -> bool:
    if type(tree) is Literal:
        return op is CONSTANT or op.view_of == 0
    return type(tree) is Name or tree.accepts(op)  # type: ignore[union-attr]


def parse(text: str) -> tuple[Tree, ...]:
    """The trees of a pattern or a replacement: one for each root.

    >>> parse("{sum(g, axis=(0,)), negative(g)}")[1].op
    <op negative>
    """
    body = ast.parse(text, mode="eval").body
    return tuple([_tree(e) for e in (body.elts if isinstance(body, (ast.Set, ast.Tuple)) else (body,))])


def _tree(e: ast.expr) -> Tree:
    if isinstance(e, ast.Name):
        return Name(e.id)
    if not isinstance(e, ast.Call):
        return Literal(ast.literal_eval(e))
    assert isinstance(e.func, ast.Name), "an operation is a plain name"
    name = e.func.id
    attrs = tuple([(str(k.arg), _attribute(k.value)) for k in e.keywords])
    op = None if name.isupper() else TABLE[name]
    trait = Trait[name] if op is None and name != "ANY" else Trait.NONE
    if len(e.args) == 1 and isinstance(e.args[0], ast.Starred) and isinstance(e.args[0].value, ast.Name):
        return Apply(op, trait, (), attrs, e.args[0].value.id)
    return Apply(op, trait, tuple([_tree(a) for a in e.args]), attrs)


def _attribute(e: ast.expr) -> Name | Literal:
    if isinstance(e, ast.Name):
        return Name(e.id)
    if isinstance(e, ast.Attribute) and isinstance(e.value, ast.Name):
        return Name(e.value.id, e.attr)
    return Literal(ast.literal_eval(e))


# ---- matching
def fill(value: Value, known: dict[Node, Any] | None = None) -> Any:
    """The number that fills a constant, seen through views of it; None where there is no such number. `known` keeps it by node.

    >>> from ir.graph import Graph
    >>> fill(Graph().constant(np.ones((2, 3))))
    np.float64(1.0)
    """
    for _ in range(_VIEWS_SEEN_THROUGH):
        node = value.node
        if node.op is CONSTANT:
            if known is None or node not in known:
                number = _filling(node.attrs["value"].value)
                return number if known is None else known.setdefault(node, number)
            return known[node]
        if node.op.view_of != 0 or len(node.operands) != 1:
            return None
        value = node.operands[0]
    return None


def _filling(held: Any) -> Any:
    if not isinstance(held, np.ndarray):
        return held
    if held.size == 0:
        return None
    first = held.reshape(-1)[0]
    return first if held.size == 1 or (held == first).all() and held.tobytes() == first.tobytes() * held.size else None


def equal_number(number: Any, literal: Any) -> bool:
    """Equal in value and, for real floats, in the sign of zero; a complex number equals a real one where its imaginary part is +0.

    >>> equal_number(np.float32(1), 1), equal_number(0.0, -0.0)
    (True, False)
    """
    if number is None or number != literal:
        return False
    return bool(number != 0 or _signs(number) == _signs(literal))


def _signs(number: Any) -> tuple[bool, bool]:
    if isinstance(number, (int, float)):
        return math.copysign(1, number) < 0, False
    return bool(np.signbit(np.real(number))), bool(np.signbit(np.imag(number)))


Way = tuple[Any, dict[str, Any]]  # what is still to be met, (tree, Value, rest) with a rest that ways share; the bindings so far


def bind(tree: Apply, node: Node, bound: dict[str, Any], fills: dict[Node, Any]) -> Iterator[dict[str, Any]]:
    """The bindings under which `tree` is `node`, those of `bound` included: none, one, or several where operations commute."""
    ways = _ways(tree, node, None, bound, fills)
    while ways:
        goals, bound = ways.pop()
        while goals is not None:
            wanted, value, goals = goals
            if type(wanted) is Apply:
                more = _ways(wanted, value.node, goals, bound, fills) if value.index == 0 else []
                if not more:
                    break
                goals, bound = more.pop()
                ways += more
            elif wanted.name != "_" and bound.setdefault(wanted.name, value) is not value:
                break
        else:
            yield bound


def _ways(tree: Apply, node: Node, goals: Any, bound: dict[str, Any], fills: dict[Node, Any]) -> list[Way]:
    """The ways in which `node` can be `tree`, the operands' order as given last: none, one, or two where the operation commutes."""
    operands = node.operands
    if not tree.accepts(node.op) or (tree.rest is None and len(operands) != len(tree.operands)):
        return []
    orders: list[Sequence[Value]] = []
    if tree.commutes:
        swapped = (operands[1], operands[0], *operands[2:])
        orders += [swapped] if _plausible(tree, swapped, fills) else []
    orders += [operands] if tree.rest is not None or _plausible(tree, operands, fills) else []
    if not orders:
        return []
    bound = dict(bound)
    for key, wanted in tree.attrs:
        if key not in node.attrs:
            return []
        given = node.attrs[key]
        if (wanted.value if isinstance(wanted, Literal) else bound.setdefault(wanted.name, given)) != given:
            return []
    bound.setdefault(node.op.name, node.outputs[0])
    if tree.rest is not None:
        bound[tree.rest] = operands
        return [(goals, bound)]
    return [(_together(tree, order, goals), dict(bound)) for order in orders]


def _plausible(tree: Apply, operands: Sequence[Value], fills: dict[Node, Any]) -> bool:
    """Whether the operands may be the pattern's as far as numbers and operations say: most patterns that do not fit end here."""
    for wanted, value in zip(tree.operands, operands):
        if type(wanted) is Apply:
            if not wanted.accepts(value.node.op):
                return False
        elif type(wanted) is Literal and not equal_number(fill(value, fills), wanted.value):
            return False
    return True


def _together(tree: Apply, operands: Sequence[Value], goals: Any) -> Any:
    for wanted, value in zip(reversed(tree.operands), reversed(operands)):
        if type(wanted) is not Literal:  # `_plausible` has seen to these
            goals = (wanted, value, goals)
    return goals
