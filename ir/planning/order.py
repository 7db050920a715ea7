"""The order of computing: a graph in, its nodes in an order out that lets memory go early. Sources are not in it.

Three orders are made by list scheduling in nearly linear time, the bytes alive in each are counted, and the one with the lowest peak
is taken (of equals the first listed): the graph's own; the same, but what lets go as much as it takes goes first, alone or as the last
few readers of one storage; and always the node that adds the fewest bytes. Host arithmetic comes before all, what only writes a state
after all.
"""
from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass

from ir.graph import Graph, Node, Value
from ir.op import Trait
from ir.planning.blocks import overwrites

FEW = 8  # readers of one storage that are looked at as a group


@dataclass
class Schedule:
    """`hosts` compute Python numbers, `nodes` arrays."""

    hosts: list[Node]
    nodes: list[Node]


def schedule(graph: Graph, last: Set[Node] = frozenset(), given: Sequence[Node] = ()) -> Schedule:
    """An order of all nodes but sources and those in `last`, which come after and which none of the others reads.

    `given`: the order to take; nodes that are not in it come behind.
    """
    found = Schedule([], [])
    for node in graph.order():
        if node not in last and (node.operands or not node.op.has(Trait.SOURCE)):
            (found.hosts if node.outputs[0].spec.weak else found.nodes).append(node)
    if given:
        rank = {node: k for k, node in enumerate(given)}
        found.nodes.sort(key=lambda node: rank.get(node, len(rank)))
    elif len(found.nodes) > 2:
        found.nodes = [found.nodes[k] for k in _best(Memory(graph, found.nodes))]
    return found


def behind(nodes: list[Node], value: Value, other: Value) -> list[Node]:
    """The nodes in an order in which the one that gives `value` stands behind all that read `other`; as they were where one of these
    needs `value`.
    """
    shown, at, last = {other}, nodes.index(value.node), 0
    for k, node in enumerate(nodes):
        if any(v in shown for v in node.operands):
            last = k
            if node.op.view_of is not None:
                shown.update(node.outputs)
    late = [value.node]
    for node in nodes[at + 1 : last + 1]:
        if any(v.node in late for v in node.operands):
            late.append(node)
    if last <= at or nodes[last] in late:
        return nodes
    early = [node for node in nodes[at : last + 1] if node not in late]
    return [*nodes[:at], *early, *late, *nodes[last + 1 :]]


def _best(memory: Memory) -> list[int]:
    floor = memory.floor()
    best = list(range(len(memory.reads)))
    lowest = memory.peak(best)
    for scheduler in (_Scheduler.eager, _Scheduler.cheapest):
        if lowest <= floor:
            break
        order = scheduler(_Scheduler(memory))
        peak = memory.peak(order)
        if peak < lowest:
            best, lowest = order, peak
    return best


class Memory:
    """What the nodes take and let go, by index: storages (a value and its views share one) with bytes and readers.

    Inputs, constants and outputs cost nothing: they are there from the start to the end whatever the order. What a view reads is read
    by the view's readers as well.
    """

    def __init__(self, graph: Graph, nodes: Sequence[Node]):
        index = {node: k for k, node in enumerate(nodes)}
        home: dict[Value, int] = {}
        self.bytes: list[int] = []
        self.readers: list[list[int]] = []
        self.makes: list[list[int]] = []
        self.reads: list[list[int]] = []
        self.operands: list[list[int]] = []  # the nodes that must have run before
        self.takes_over: list[list[tuple[int, list[int]]]] = []  # storages made, and those that each may be written into
        for k, node in enumerate(nodes):
            reads = [home[v] for v in node.operands if v in home]
            reads = reads if len(reads) < 2 else list(dict.fromkeys(reads))
            for storage in reads:
                self.readers[storage].append(k)
            makes: list[int] = []
            if node.op.view_of is not None:
                base = node.operands[node.op.view_of]
                if base in home:
                    home[node.outputs[0]] = home[base]
            else:
                for value in node.outputs:
                    home[value] = len(self.bytes)
                    makes.append(len(self.bytes))
                    self.bytes.append(value.spec.nbytes)
                    self.readers.append([])
            self.makes.append(makes)
            self.reads.append(reads)
            self.takes_over.append(_over(node, home) if makes else [])
            before = [index[v.node] for v in node.operands if v.node in index]
            self.operands.append(before if len(before) < 2 else list(dict.fromkeys(before)))
        self.pinned = [False] * len(self.bytes)
        for value in graph.outputs:
            if value in home:
                self.pinned[home[value]], self.bytes[home[value]] = True, 0
        outside = [v for _, v in graph.updates] + [v for node in graph.order() if node not in index for v in node.operands]
        for value in outside:
            if value in home:
                self.pinned[home[value]] = True

    def floor(self) -> int:
        """The most bytes that one node needs at once: no order has a lower peak."""
        most = 0
        for k, (makes, reads) in enumerate(zip(self.makes, self.reads)):
            need = sum([self.bytes[s] for s in makes]) + sum([self.bytes[s] for s in reads])
            most = max(most, need - self._saved(k, reads))
        return most

    def _saved(self, k: int, dying: Collection[int]) -> int:
        """The bytes of what node k writes into storages that die with it."""
        left, saved = set(dying), 0
        for made, over in self.takes_over[k]:
            for storage in over:
                if storage in left:
                    left.remove(storage)
                    saved += self.bytes[made]
                    break
        return saved

    def peak(self, order: Sequence[int]) -> int:
        """The most bytes alive at a step, where outputs are written in place of operands that die."""
        bytes, pinned, readers = self.bytes, self.pinned, self.readers
        left = [len(found) for found in readers]
        live = most = 0
        for k in order:
            freed, made, makes = 0, 0, self.makes[k]
            for storage in self.reads[k]:
                left[storage] -= 1
                if not left[storage] and not pinned[storage]:
                    freed += bytes[storage]
            for storage in makes:
                made += bytes[storage]
                if not readers[storage] and not pinned[storage]:
                    freed += bytes[storage]
            high = live + made
            if high > most:
                if self.takes_over[k]:
                    high -= self._saved(k, [storage for storage in self.reads[k] if not left[storage] and not pinned[storage]])
                if high > most:
                    most = high
            live += made - freed
        return most


def _over(node: Node, home: Mapping[Value, int]) -> list[tuple[int, list[int]]]:
    """The storages of the node's outputs, each with those that it may be written into, where there are such."""
    found = []
    for value, over in zip(node.outputs, overwrites(node)):
        operands = [node.operands[at] for at in over if at < len(node.operands)]
        storages = [home[v] for v in operands if v in home and v.spec == value.spec]
        if storages:
            found.append((home[value], storages))
    return found


class _Scheduler:
    """List scheduling: which nodes are ready, and by how many bytes each would change what is alive."""

    def __init__(self, memory: Memory):
        self.memory = memory
        self.count = len(memory.reads)
        self.waits = [len(operands) for operands in memory.operands]
        self.users: list[list[int]] = [[] for _ in range(self.count)]
        for k, operands in enumerate(memory.operands):
            for operand in operands:
                self.users[operand].append(k)
        self.left = [len(readers) for readers in memory.readers]
        self.done = [False] * self.count
        self.order: list[int] = []

    def change(self, k: int) -> int:
        """Bytes alive after node k less those before."""
        bytes, pinned, left = self.memory.bytes, self.memory.pinned, self.left
        total = 0
        for storage in self.memory.makes[k]:
            if left[storage] or pinned[storage]:
                total += bytes[storage]
        for storage in self.memory.reads[k]:
            if left[storage] == 1 and not pinned[storage]:
                total -= bytes[storage]
        return total

    def run(self, k: int, seen: Callable[[int], None]) -> None:
        """Node k is next. Calls `seen` with each node that is ready now, or whose change is another now."""
        done, waits, left = self.done, self.waits, self.left
        done[k] = True
        self.order.append(k)
        for user in self.users[k]:
            waits[user] -= 1
            if not waits[user]:
                seen(user)
        for storage in self.memory.reads[k]:
            left[storage] -= 1
            if left[storage] == 1:
                for reader in self.memory.readers[storage]:
                    if not done[reader] and not waits[reader]:
                        seen(reader)

    def cheapest(self) -> list[int]:
        """Always the ready node that adds the fewest bytes; of equals the first in the graph."""
        ready: list[tuple[int, int]] = []

        def seen(k: int) -> None:
            heapq.heappush(ready, (self.change(k), k))

        for k in range(self.count):
            if not self.waits[k]:
                seen(k)
        while ready:
            _, k = heapq.heappop(ready)
            if not self.done[k]:
                self.run(k, seen)
        return self.order

    def eager(self) -> list[int]:
        """The graph's order, but what is ready and adds nothing goes first, and so do the last readers of a storage if together they do."""
        free: list[tuple[int, int]] = []

        def seen(k: int) -> None:
            change = self.change(k)
            if change <= 0:
                heapq.heappush(free, (change, k))

        for first in range(self.count):
            todo = [first]
            while todo:
                k = todo.pop()
                if self.done[k]:
                    continue
                self.run(k, seen)
                while free:
                    _, k = heapq.heappop(free)
                    if not self.done[k]:
                        self.run(k, seen)
                for storage in (*self.memory.reads[k], *self.memory.makes[k]):
                    todo = self._group(storage)
                    if todo:
                        break
        return self.order

    def _group(self, storage: int) -> list[int]:
        """The readers that a storage still has, if all are ready and running them adds nothing; otherwise none."""
        memory = self.memory
        if not 1 < self.left[storage] <= FEW or memory.pinned[storage]:
            return []  # a single reader that adds nothing has gone already
        readers = [k for k in memory.readers[storage] if not self.done[k]]
        if any(self.waits[k] for k in readers):
            return []
        added = sum([memory.bytes[s] for k in readers for s in memory.makes[k] if self.left[s] or memory.pinned[s]])
        return readers if added <= memory.bytes[storage] else []
