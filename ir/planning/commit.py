"""The end of a run: which nodes write states straight into them, and what must follow, in an order that reads no state too late.

A graph with updates in; a `Commit` out. All that can fail comes before it; its nodes are single calls (`Kernel.single`), which a program
makes without a step in between, so that states have the old values or the new. The new value of a state is computed where the state
lies: the node that gives it writes over the state, and so do the nodes that lead from the old value to it if nothing else reads what they
give (`momentum * v + gradient`: both in v). What reads a new value follows. Elementwise nodes whose results would have to be kept until
then, though one value stands for all they read, come with their readers. What does not fit is computed before and copied.

Invariant: every read of a state's old value comes before the first write over it.
"""
from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ir.graph import CONSTANT, INPUT, Node, Value
from ir.op import Trait
from ir.planning.blocks import REGION, Blocked
from ir.planning.draft import Draft
from ir.planning.packs import is_view, root

FAR = 64  # nodes looked at for the way from a state's old value to its new one
NEAR = 16  # nodes that may come along with their readers for the sake of one value


@dataclass
class Commit:
    """`nodes` in their order; `homes`: the state that a value is written over."""

    nodes: list[Node] = field(default_factory=list)
    homes: dict[Value, Value] = field(default_factory=dict)


def commit(draft: Draft) -> Commit:
    """What stands at the end of the plan of a draft whose inputs have their places."""
    return _Finder(draft).found() if draft.graph.updates else Commit()


class _Finder:
    def __init__(self, draft: Draft):
        self.draft, self.graph = draft, draft.graph
        self.position = {node: k for k, node in enumerate(self.graph.order())}
        self.shown = Counter([root(v) for v in self.graph.outputs])  # results: copied or kept before states are written
        self.updates, self.home = draft.packs.updates, draft.packs.home
        self.updating = Counter([root(new) for _, new in self.updates])
        self._single: dict[str, bool] = {}

    def found(self) -> Commit:
        chains = {state: chain for state, new in self.updates if (chain := self._chain(state, new)) is not None}
        while True:
            followers = {state: self._followers(chain) for state, chain in chains.items()}
            chains = {state: chain for state, chain in chains.items() if followers[state] is not None}
            nodes = {node for chain in chains.values() for node in chain}
            nodes.update(node for state in chains for node in followers[state] or ())
            nodes |= self._along(nodes)
            order = self._order(nodes, chains)
            if len(order) == len(nodes):
                homes = {node.outputs[0]: state for state, chain in chains.items() for node in chain if node.op is not REGION}
                homes.update({new: state for state, new in self.updates if state in chains and new.node.op is REGION})
                return Commit(order, homes)
            stuck = nodes.difference(order)
            chains = {state: chain for state, chain in chains.items() if not stuck.intersection(chain)}

    # ---- one state
    def single(self, node: Node) -> bool:
        """Whether every kernel for the node is a single call that writes its output."""
        op = node.op
        known = self._single.get(op.name)
        if known is None:
            kernels = self.draft.kernels(op.name)
            known = self._single[op.name] = bool(kernels) and all(k.single for k in kernels if not k.scalar)
        return known and len(node.outputs) == 1 and (op.has(Trait.ELEMENTWISE) or (op.family == "update" and len(node.operands) == 2))

    def _chain(self, state: Value, new: Value) -> list[Node] | None:
        """The nodes that write over the state, the last of which gives its new value; None where it must be copied there."""
        last = new.node
        if last.op is REGION:
            return [last] if self._in_region(state, new) else None
        if not self.single(last) or self.updating[new] != 1 or self.shown[new]:
            return None
        looked = 0
        stack: list[tuple[Node, tuple[Node, ...]]] = [(last, (last,))]
        while stack and looked < FAR:
            node, chain = stack.pop()
            looked += 1
            if any(v is state for v in node.operands):
                return list(chain) if self._alone(node, state) else None
            through = node.operands[:1] if node.op.family == "update" else node.operands
            for value in reversed(through):
                if value.spec == state.spec and self._passing(value):
                    stack.append((value.node, (value.node, *chain)))
        return [last] if last.op.has(Trait.ELEMENTWISE) and self._alone(last, state) else None

    def _in_region(self, state: Value, new: Value) -> bool:
        """Whether a region may write the new value over the old one: nothing of it is a result, and it reads the state there only."""
        node = new.node
        held: Blocked = node.attrs["blocked"]
        at = [k for k, v in enumerate(node.operands) if self.home(v) is state]
        plain = self.updating[new] == 1 and not any(self.shown[v] for v in node.outputs)
        return plain and len(at) == 1 and node.operands[at[0]] is state and new.index < len(held.whole) and at[0] in held.over(new.index)

    def _passing(self, value: Value) -> bool:
        """Whether it is a single call's and read once, so that it may lie in the state on the way."""
        return self.single(value.node) and self.draft.uses(value) == 1 and value.spec.weak is None

    def _alone(self, node: Node, state: Value) -> bool:
        """Whether the node reads the state as it writes it: element by element, or as the base of an update, and never through a view."""
        rest = node.operands[1:] if node.op.family == "update" else [v for v in node.operands if v is not state]
        return all(self.home(v) is not state for v in rest)

    def _followers(self, chain: list[Node]) -> set[Node] | None:
        """All that reads the new value, directly or not; None where something of it can't stand at the end."""
        found: set[Node] = set()
        stack = [chain[-1]]
        while stack:
            for user in self.graph.users(stack.pop()):
                if user in found:
                    continue
                if not (is_view(user) or self.single(user)) or any(self.shown[root(v)] for v in user.outputs):
                    return None
                found.add(user)
                stack.append(user)
        return found

    # ---- what comes along
    def _along(self, nodes: set[Node]) -> set[Node]:
        """Nodes that read one value, beside numbers, and are read in `nodes` alone: where several would be kept, the value is enough."""
        found: set[Node] = set()
        sources = {v for node in nodes for operand in node.operands for v in self._behind(operand, nodes)}
        for value in sorted(sources, key=lambda v: (self.position[v.node], v.index)):
            if self.draft.uses(value) > 1:
                group = self._group(value, nodes)
                kept = [v for v in (value, *[n.outputs[0] for n in group]) if any(user in nodes for user, _ in self.graph.uses(v))]
                if len(kept) > 1:
                    found |= group
        return found

    def _behind(self, value: Value, nodes: set[Node]) -> Iterator[Value]:
        """The values that an operand was made of by few single calls."""
        stack, looked = [value], 0
        while stack and looked < NEAR:
            held = stack.pop()
            looked += 1
            node = held.node
            if node in nodes or node.op in (INPUT, CONSTANT) or held.spec.weak is not None:
                continue
            yield held
            if self.single(node) and node.op.has(Trait.ELEMENTWISE):
                stack += node.operands

    def _group(self, value: Value, nodes: set[Node]) -> set[Node]:
        """Single calls made of `value` and numbers that nothing outside `nodes` and the group reads."""
        group: list[Node] = []
        stack, inside = [value], {value}
        while stack and len(group) < NEAR:
            for user, _ in self.graph.uses(stack.pop()):
                if user in nodes or user in group or not (self.single(user) and user.op.has(Trait.ELEMENTWISE)):
                    continue
                if all(v in inside or v.spec.weak is not None or v.node.op is CONSTANT for v in user.operands):
                    group.append(user)
                    inside.add(user.outputs[0])
                    stack.append(user.outputs[0])
        kept = set(group)
        for node in sorted(group, key=self.position.__getitem__, reverse=True):
            value = node.outputs[0]
            if self.shown[value] or self.updating[value] or any(u not in nodes and u not in kept for u in self.graph.users(node)):
                kept.discard(node)
        return kept

    # ---- the order
    def _order(self, nodes: set[Node], chains: dict[Value, list[Node]]) -> list[Node]:
        """The nodes, operands first and readers of a state before its first writer; what is in a circle is left out."""
        after: dict[Node, list[Node]] = {node: [] for node in nodes}
        waits: Counter[Node] = Counter()

        def edges(node: Node) -> Iterable[tuple[Node, Node]]:
            for value in node.operands:
                if value.node in nodes:
                    yield value.node, node
                chain = chains.get(self.home(value))
                if chain is not None and node is not chain[0]:
                    yield node, chain[0]

        for node in nodes:
            for first, then in edges(node):
                after[first].append(then)
                waits[then] += 1
        ready = [(self.position[node], node.serial, node) for node in nodes if not waits[node]]
        heapq.heapify(ready)
        found = []
        while ready:
            _, _, node = heapq.heappop(ready)
            found.append(node)
            for then in after[node]:
                waits[then] -= 1
                if not waits[then]:
                    heapq.heappush(ready, (self.position[then], then.serial, then))
        return found

