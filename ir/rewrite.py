"""The rewrite driver: applies a list of rules to a graph until none applies, in time that grows linearly with the graph.

In: a graph and `Rules`. Out: the graph rewritten in place, and how many rewrites that took. Invariants: a replacement has the spec of
what it replaces and inherits its line; no rewrite makes one Value of two results, turns a result that owns its memory into a view, or
a scalar result into a 0-d array; no cycle arises from a pattern with several roots. The order of work, and so the graph that comes
out, depends on nothing but the graph and the rules.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from ir.errors import DTypeError, ShapeError
from ir.facts import Facts
from ir.graph import CONSTANT, INPUT, Graph, Node, Value
from ir.op import Trait
from ir.pattern import Apply, Name, bind
from ir.rules import Match, Rule, Rules, owns

_PARTNERS_TRIED = 64  # users of a shared operand looked at for a further root


def rewrite(graph: Graph, rules: Rules, *, exact: bool = False) -> int:
    """Applies the rules, each node's in their order, until none applies; gives the number of rewrites. What nothing needs any more goes.

    `exact`: only rules that keep every bit.
    """
    return Rewriter(graph, rules, exact).run()


class Rewriter:
    """One run of a list of rules over a graph."""

    def __init__(self, graph: Graph, rules: Rules, exact: bool = False):
        self.graph, self.rules, self.exact, self.facts = graph, rules, exact, Facts(graph)
        self._work: deque[Node] = deque()
        self._queued: set[Node] = set()

    def run(self) -> int:
        """Works until nothing is left to try, or 50 rewrites a node have been made (a fault of the rules: two undo each other)."""
        rewrites = 0
        interesting = [n for n in self.graph.order() if self.rules.of(n.op)]
        limit = 1000 + 50 * len(self.graph)
        self._work.extend(interesting)
        self._queued.update(interesting)
        while self._work and rewrites < limit:
            node = self._work.popleft()
            self._queued.discard(node)
            if node in self.graph.nx and self._visit(node):
                rewrites += 1
        return rewrites

    # ---- one node
    def _visit(self, node: Node) -> bool:
        for rule in self.rules.at(node):
            for match in self._matches(rule, node):
                if rule.allows(match, self.exact) and self._apply(rule, match):
                    return True
        return False

    def _matches(self, rule: Rule, node: Node) -> Iterator[Match]:
        first, *further = rule.roots
        for bound in bind(first, node, {}, self.facts.fills):
            if not further:
                yield Match(self.facts, node.outputs, bound)
                continue
            roots, found = [node.outputs[0]], bound
            for tree in further:
                roots, found = self._partner(tree, roots, found)
            if len(roots) == len(rule.roots):
                yield Match(self.facts, tuple(roots), found)

    def _partner(self, tree: Apply, roots: list[Value], bound: dict[str, Any]) -> tuple[list[Value], dict[str, Any]]:
        """Adds a further root, found among the users of a Value that is bound already, and what it binds."""
        shared = next(bound[t.name] for t in tree.operands if isinstance(t, Name) and t.name in bound)
        for node in list(self.graph.users(shared.node))[:_PARTNERS_TRIED]:
            if tree.accepts(node.op) and node.outputs[0] not in roots:
                for more in bind(tree, node, bound, self.facts.fills):
                    return [*roots, node.outputs[0]], more
        return roots, bound

    def _apply(self, rule: Rule, match: Match) -> bool:
        """Builds the replacement and puts it in place; False, with the graph as before, where it can't stand for the roots."""
        before = self.graph._serial
        line = match.root.node.line
        with self.graph.at(line):
            try:
                built = rule.build(match)
            except (ShapeError, DTypeError):
                built = None
        built = built if isinstance(built, tuple) else (built,)
        made = self._made_since(before)
        for node in made:
            node.line = line
        pairs = [(old, new) for old, new in zip(match.roots, built) if new is not None and new is not old]
        if not pairs or not all(self._may_stand(old, new) for old, new in pairs) or self._cyclic(pairs, made):
            self.graph.remove(reversed(made))
            return False
        self.facts.made(made, pairs)
        for old, new in pairs:
            self._replace(old, new)
        self._queue_first([n for n in made if n in self.graph.nx])
        self._sweep([old.node for old, _ in pairs] + made)
        return True

    def _made_since(self, serial: int) -> list[Node]:
        """The nodes added since, in the order in which they were built."""
        made = []
        for node in reversed(self.graph.nx._node):
            if node.serial <= serial:
                break
            made.append(node)
        return made[::-1]

    def _may_stand(self, old: Value, new: Value) -> bool:
        """Whether `new` has the spec of `old` and, where `old` is a result, is as much the caller's own as `old` was."""
        if new.spec != old.spec:
            return False
        if old not in self.facts.results:
            return True
        scalar = not old.spec.shape and old.spec.weak is None  # in NumPy a number or an array; inputs and constants may be either
        kept = old.node.op.has(Trait.ARRAY) == new.node.op.has(Trait.ARRAY) and not new.node.op.has(Trait.SOURCE)
        if new in self.facts.results or (scalar and not kept):
            return False
        return not owns(old) or owns(new) or new.node.op is CONSTANT

    def _cyclic(self, pairs: list[tuple[Value, Value]], made: list[Node]) -> bool:
        """Whether a replacement of several roots would be computed from one of them."""
        if len(pairs) < 2:
            return False
        new = set(made)
        return self.facts.depends([v for node in made for v in node.operands if v.node not in new], on=[old.node for old, _ in pairs])

    # ---- what a rewrite sets off
    def _replace(self, old: Value, new: Value) -> None:
        users = self.graph.replace(old, new, old in self.facts.results)
        self.facts.replaced(old, new)
        for node in users:
            self._queue(node)

    def _queue(self, node: Node) -> None:
        if node not in self._queued and self.rules.of(node.op):
            self._queued.add(node)
            self._work.append(node)

    def _queue_first(self, nodes: list[Node]) -> None:
        wanted = [n for n in nodes if n not in self._queued and self.rules.of(n.op)]
        self._queued.update(wanted)
        self._work.extendleft(reversed(wanted))

    def _sweep(self, nodes: Iterable[Node]) -> None:
        """Removes those that nothing needs, and what only they needed; who is left as the one user of something is tried again."""
        stack = list(nodes)
        while stack:
            node = stack.pop()
            if node not in self.graph.nx or node.op is INPUT:
                continue
            users = self.graph.users(node)
            if not users and self.facts.results.isdisjoint(node.outputs):
                self.graph.remove([node])
                stack += [v.node for v in node.operands]
            elif len(users) == 1:
                self._queue(next(iter(users)))
