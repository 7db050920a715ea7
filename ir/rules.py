"""Rules as data: a name, a pattern, a condition, a replacement, and whether every bit stays.

    Rule("product, then bias", "add(dot(x, W), b)", where=one_use("dot") & rank("b", 1), to="linear(x, W, b)", exact=True)

A `Match` is a rule's pattern found in a graph; conditions are questions to it that read like the sentence they stand for. Operations
in a pattern go by their own names in conditions: `one_use("dot")`. `rewrite.py` applies lists of rules.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ir.facts import Facts
from ir.graph import Graph, Node, Value
from ir.op import Op, Trait
from ir.pattern import Apply, Literal, Name, Tree, parse

_REMEMBERED = 4  # an operation and its operands' operations, as a key


# ---- matches and conditions
class Match:
    """A rule that fits: `roots` are the Values to be replaced, `m["x"]` what the pattern's `x` stands for, `root` the first root."""

    __slots__ = ("facts", "roots", "bound")

    def __init__(self, facts: Facts, roots: tuple[Value, ...], bound: dict[str, Any]):
        self.facts, self.roots, self.bound = facts, roots, bound

    @property
    def root(self) -> Value:
        return self.roots[0]

    @property
    def graph(self) -> Graph:
        return self.facts.graph

    def __getitem__(self, name: str) -> Any:
        return self.bound[name]


class Condition:
    """A question to a match. `&`, `|` and `~` combine them."""

    def __init__(self, holds: Callable[[Match], bool]):
        self.holds = holds

    def __call__(self, m: Match) -> bool:
        return self.holds(m)

    def __and__(self, other: Condition) -> Condition:
        return Condition(lambda m: self.holds(m) and other.holds(m))

    def __or__(self, other: Condition) -> Condition:
        return Condition(lambda m: self.holds(m) or other.holds(m))

    def __invert__(self) -> Condition:
        return Condition(lambda m: not self.holds(m))


always = Condition(lambda m: True)
never = ~always


def one_use(*names: str) -> Condition:
    """Each of these has one use: as one operand or as one result."""
    return Condition(lambda m: all(m.facts.uses_of(m[n], 2) == 1 for n in names))


def unused(index: int) -> Condition:
    """Output `index` of the root's node has no use at all."""
    return Condition(lambda m: m.facts.uses_of(m.root.node.outputs[index], 1) == 0)


def same(*names: str) -> Condition:
    """Each of these has the root's spec."""
    return Condition(lambda m: all(m[n].spec == m.root.spec for n in names))


def same_dtype(*names: str) -> Condition:
    """All of these have the root's dtype and none is a Python number."""
    return Condition(lambda m: all(m[n].dtype == m.root.dtype and m[n].spec.weak is None for n in names))


def rank(name: str, *ndims: int) -> Condition:
    """`name` has that many axes."""
    return Condition(lambda m: m[name].ndim in ndims)


def single(*names: str) -> Condition:
    """One of these has a single element."""
    return Condition(lambda m: any(m[n].spec.size == 1 for n in names))


def kind(kinds: str) -> Condition:
    """The root's dtype is of one of these kinds ("f" floats, "iu" integers, "c" complex, "b" bool)."""
    return Condition(lambda m: m.root.dtype.kind in kinds)


def owned(*names: str) -> Condition:
    """Each of these is computed into memory of its own, in the layout that the operation chose: no input, constant or view."""
    return Condition(lambda m: all(owns(m[n]) for n in names))


def leads(name: str) -> Condition:
    """NumPy lays out the root as it does this one of its operands: no other has axes."""
    return Condition(lambda m: all(v is m[name] or not v.ndim for v in m.root.node.operands))


def owns(value: Value) -> bool:
    """Whether the node of `value` computes it into memory of its own."""
    return value.node.op.view_of is None and not value.node.op.has(Trait.SOURCE)


# ---- rules
Replacement = Callable[[Match], Any]


@dataclass(frozen=True, eq=False)
class Rule:
    """`pattern` becomes `to` where the condition holds.

    `to` is a text like the pattern (attributes may read bound Values: `shape=root.shape`) or a function from the Match to a Value, or
    to a tuple with an entry a root; None (`_` in a text) leaves a root as it is. `exact` says whether every bit stays, the layout
    in memory included: always, never, or where a condition holds. `needs` is a first question, to the operations of the root's operands.

    >>> Rule("twice negated", "negative(negative(x))", to="x").roots[0].op
    <op negative>
    """

    name: str
    pattern: str
    to: str | Replacement
    where: Condition = always
    exact: bool | Condition = True
    needs: Callable[[Sequence[Op]], bool] | None = None
    roots: tuple[Apply, ...] = field(init=False)
    build: Replacement = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "roots", parse(self.pattern))
        object.__setattr__(self, "build", _builder(parse(self.to)) if isinstance(self.to, str) else self.to)

    def may_take(self, operands: Sequence[Op]) -> bool:
        """Whether a root over operands computed by these operations may match: what can be said without looking further."""
        return self.roots[0].may_take(operands) and (self.needs is None or self.needs(operands))

    def allows(self, m: Match, exact: bool) -> bool:
        if exact and (self.exact is False or isinstance(self.exact, Condition) and not self.exact(m)):
            return False
        return self.where is always or self.where(m)


class Rules:
    """Rules in the order in which they are tried, found by a node's operation and those of its operands."""

    def __init__(self, *rules: Rule):
        self.rules = rules
        self._by_op: dict[Op, tuple[Rule, ...]] = {}
        self._by_ops: dict[tuple[Op, ...], tuple[Rule, ...]] = {}

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def of(self, op: Op) -> tuple[Rule, ...]:
        """The rules whose first root may be an application of `op`."""
        found = self._by_op.get(op)
        if found is None:
            found = self._by_op[op] = () if op.has(Trait.OPAQUE) else tuple([r for r in self.rules if r.roots[0].accepts(op)])
        return found

    def at(self, node: Node) -> tuple[Rule, ...]:
        """The rules that are worth trying at a node."""
        if not self.of(node.op):
            return ()
        ops = (node.op, *[v.node.op for v in node.operands])
        found = self._by_ops.get(ops)
        if found is None:
            found = tuple([r for r in self.of(node.op) if r.may_take(ops[1:])])
            if len(ops) <= _REMEMBERED:
                self._by_ops[ops] = found
        return found


def _builder(trees: tuple[Tree, ...]) -> Replacement:
    def build(m: Match) -> Any:
        built = [_build(tree, m) for tree in trees]
        return built[0] if len(built) == 1 else tuple(built)

    return build


def _build(tree: Tree, m: Match) -> Any:
    if isinstance(tree, Literal):
        return m.graph.constant(tree.value)
    if isinstance(tree, Name):
        return None if tree.name == "_" else m[tree.name]
    assert tree.op is not None
    operands = m[tree.rest] if tree.rest else [_build(t, m) for t in tree.operands]
    return m.graph.apply(tree.op, operands, {key: _read(a, m) for key, a in tree.attrs})


def _read(attribute: Name | Literal, m: Match) -> Any:
    if isinstance(attribute, Literal):
        return attribute.value
    held = m.root if attribute.name == "root" else m[attribute.name]
    return held if attribute.field is None else getattr(held, attribute.field)
