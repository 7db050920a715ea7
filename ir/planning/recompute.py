"""Recomputation: an order and a budget of bytes in, a run of the same nodes that stays within it out, some of them run again.

After Kirisame et al., "Dynamic Tensor Rematerialization" (2021): the order is run in thought; where a node's result would not fit,
stored values are let go, and what is gone when it is read is computed again from what is there. Which value goes is told by how much
computing it would take to have it back, with all gone values around it (kept as the paper keeps it, in sets that are joined), by its bytes
and, since here the whole order is known, by how far off its next reader is: cost / (bytes * distance), the least first. For a chain of n
nodes and its gradient that keeps about sqrt(n) values at twice the forward's work, as Chen et al., "Training Deep Nets with Sublinear
Memory Cost" (2016), do for layers. What was computed and let go before anyone read it is left out, so that a run is also another order.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ir.planning.order import Memory

Weigh = Callable[[float, int, int], float]  # cost of having it back, bytes, steps until it is read
NEVER = 1 << 60
TRIES = 3  # a node is about to run so often at most
NEAR = 30  # gone values around one that are looked at
LOOKED_AT = 200  # values among which the one to let go is chosen, at most
WEIGHTS: tuple[Weigh, ...] = (
    lambda cost, bytes, distance: cost / (bytes * distance),
    lambda cost, bytes, distance: cost / bytes,
    lambda cost, bytes, distance: 1.0 / (bytes * distance),
)


@dataclass
class Work:
    """What is run: `order` lists the indices of `memory`'s nodes, views left out. `costs` of running each, `temps` its bytes beside its
    results, `again`: whether it may run twice.
    """

    memory: Memory
    order: Sequence[int]
    costs: Sequence[float]
    temps: Sequence[int]
    again: Sequence[bool]
    makers: list[int] = field(default_factory=list)
    uses: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        memory = self.memory
        self.makers = [-1] * len(memory.bytes)
        for k, makes in enumerate(memory.makes):
            for storage in makes:
                self.makers[storage] = k
        self.uses = [[] for _ in memory.bytes]
        for position, k in enumerate(self.order):
            for storage in memory.reads[k]:
                self.uses[storage].append(position)
        for storage, pinned in enumerate(memory.pinned):
            if pinned:
                self.uses[storage].append(len(self.order))


def run(work: Work, budget: int, weigh: Weigh = WEIGHTS[0], missing_first: bool = False, most: int = NEVER) -> list[int] | None:
    """The nodes as they are run within `budget` bytes; None where this way finds none, or it takes more than `most` runs of nodes."""
    found = _Run(work, budget, weigh, missing_first, most)
    for position, k in enumerate(work.order):
        if not found.step(k, position):
            return None
    last = [storage for storage, pinned in enumerate(work.memory.pinned) if pinned and work.memory.bytes[storage]]
    if not found.step(-1, len(work.order), last):
        return None
    return _needed(work, found.trace)


def _needed(work: Work, trace: list[int]) -> list[int]:
    """The trace without runs whose results nobody reads before they are made again."""
    memory = work.memory
    wanted = list(memory.pinned)  # by storage: whether what stands here is read later on
    ever = set(work.order)
    found = []
    for k in reversed(trace):
        makes = memory.makes[k]
        used = any(wanted[s] for s in makes)
        unread = k in ever and not any(memory.readers[s] or memory.pinned[s] for s in makes)  # the graph has it: it is run once
        if not used and not unread:
            continue
        for storage in makes:
            wanted[storage] = False
        for storage in memory.reads[k]:
            wanted[storage] = True
        ever.discard(k)
        found.append(k)
    return found[::-1]


@dataclass
class _Frame:
    """A node that is about to run, and what of its operands is still to be had, the next last."""

    node: int
    reads: list[int]
    tries: int = 0


class _Run:
    def __init__(self, work: Work, budget: int, weigh: Weigh, missing_first: bool, most: int):
        self.work, self.budget, self.weigh, self.missing_first, self.most = work, budget, weigh, missing_first, most
        count = len(work.memory.bytes)
        self.there, self.locks, self.ahead = [False] * count, [0] * count, [0] * count
        self.live, self.now = 0, 0
        self.trace: list[int] = []
        self.parents: list[int] = []  # of sets of values that are gone
        self.sums: list[float] = []
        self.gone = [-1] * count  # the set that a value joined when it went
        self.lost = [False] * count  # gone, and it can't be had back
        self.stored: dict[int, None] = {}  # what may be let go
        self.readers = [[s for k in readers for s in work.memory.makes[k]] for readers in work.memory.readers]

    # ---- running
    def step(self, node: int, position: int, last: Sequence[int] = ()) -> bool:
        """Runs a node of the order (-1: the end, which reads `last`), and before it what must be had back for it."""
        self.now = position
        memory = self.work.memory
        frames = [_Frame(node, self._listed(memory.reads[node] if node >= 0 else last))]
        while frames:
            frame = frames[-1]
            if frame.reads:
                storage = frame.reads[-1]
                if self.there[storage]:
                    self.locks[storage] += 1
                    frame.reads.pop()
                else:
                    maker = self.work.makers[storage]
                    frames.append(_Frame(maker, self._listed(memory.reads[maker])))
                    if len(self.trace) > self.most or not self.work.again[maker]:
                        return False
                continue
            reads = memory.reads[frame.node] if frame.node >= 0 else last
            frame.reads = [storage for storage in reads if not self.there[storage]]  # let go while others were made
            if frame.reads:
                for storage in frame.reads:
                    self.locks[storage] -= 1
                frame.tries += 1
                if frame.tries > TRIES:
                    return False
                continue
            if frame.node >= 0 and not self._run(frame.node, frames[-2].reads[-1] if len(frames) > 1 else -1):
                return False
            frames.pop()
        return True

    def _listed(self, reads: Sequence[int]) -> list[int]:
        """In the order in which they are made and held, the last first."""
        return sorted(reads, key=lambda storage: not self.there[storage]) if self.missing_first else list(reads[::-1])

    def _run(self, k: int, wanted: int) -> bool:
        memory, bytes = self.work.memory, self.work.memory.bytes
        makes, reads = memory.makes[k], memory.reads[k]
        made = sum([bytes[s] for s in makes])
        over: dict[int, int] = {}  # what is made, and the operand whose memory it takes
        for one, operands in memory.takes_over[k]:
            for storage in operands:
                dies = self.locks[storage] == 1 and not memory.pinned[storage] and bytes[storage] and self._until(storage) == NEVER
                if dies and storage not in over.values():
                    over[one] = storage
                    break
        excess = self.live + made + self.work.temps[k] - sum([bytes[one] for one in over]) - self.budget
        while excess > 0:
            others = [(one, s) for one, operands in memory.takes_over[k] if one not in over for s in operands if self.locks[s] == 1]
            victim = self._victim(reads, [s for _, s in others if s not in over.values()])
            if victim < 0:
                return False
            if victim in reads:
                one = next(one for one, s in others if s == victim)
                over[one] = victim
                excess -= bytes[one]
            else:
                excess -= bytes[victim]
                self._let_go(victim)
        self.trace.append(k)
        for storage in reads:
            self.locks[storage] -= 1
        for storage in makes:
            if not self.there[storage] and (storage == wanted or self._until(storage) != NEVER):
                self.there[storage], self.lost[storage] = True, False
                self.live += bytes[storage]
                if self.gone[storage] >= 0:
                    self._back(storage)
                if self.work.again[k] and bytes[storage]:
                    self.stored[storage] = None
        for storage in reads:
            if self.locks[storage] == 0 and (storage in over.values() or self._until(storage) == NEVER):
                self._let_go(storage)
        return True

    def _until(self, storage: int) -> int:
        """The position of the node for which it is read next: itself, or to have something back that is gone."""
        found = self._next(storage)
        if found != NEVER:
            return found
        stack, seen = [storage], {storage}
        while stack and len(seen) < NEAR:
            for reader in self.readers[stack.pop()]:
                if self.gone[reader] >= 0 and reader not in seen:
                    seen.add(reader)
                    stack.append(reader)
                    found = min(found, self._next(reader))
        return found

    def _next(self, storage: int) -> int:
        """The position of the next reader in the order."""
        uses, at = self.work.uses[storage], self.ahead[storage]
        while at < len(uses) and uses[at] <= self.now:
            at += 1
        self.ahead[storage] = at
        return uses[at] if at < len(uses) else NEVER

    # ---- letting go
    def _victim(self, reads: Sequence[int], in_place: Sequence[int]) -> int:
        """What is to be let go next: of `reads` only what is written over, and what other nodes wait with only if there is nothing else."""
        bytes, best, least = self.work.memory.bytes, -1, float("inf")
        stored = [s for s in self.stored if not self.locks[s]] + [s for s in in_place if s in self.stored]
        stored = stored or [s for s in self.stored if s not in reads]
        if len(stored) > LOOKED_AT:
            stride = len(stored) / LOOKED_AT
            stored = [stored[int(j * stride)] for j in range(LOOKED_AT)]
        for storage in stored:
            if any(self.lost[read] for read in self.work.memory.reads[self.work.makers[storage]]):
                continue
            weight = self.weigh(self._cost(storage), bytes[storage], max(1, self._until(storage) - self.now))
            if weight < least:
                best, least = storage, weight
        return best

    def _cost(self, storage: int) -> float:
        """Of computing it, and with it the sets of gone values that it is made of or that are made of it."""
        work = self.work
        k = work.makers[storage]
        roots = {self._root(self.gone[other]) for other in [*work.memory.reads[k], *self.readers[storage]] if self.gone[other] >= 0}
        return work.costs[k] + sum([self.sums[root] for root in roots])

    def _let_go(self, storage: int) -> None:
        """It is gone, and in one set with its gone neighbours."""
        work = self.work
        self.there[storage] = False
        self.live -= work.memory.bytes[storage]
        self.stored.pop(storage, None)
        k, root = work.makers[storage], len(self.parents)
        self.lost[storage] = not work.again[k] or any(self.lost[read] for read in work.memory.reads[k])
        self.gone[storage] = root
        self.parents.append(root)
        self.sums.append(work.costs[k])
        for other in [*work.memory.reads[k], *self.readers[storage]]:
            joined = self._root(self.gone[other]) if self.gone[other] >= 0 else root
            if joined != root:
                self.parents[joined] = root
                self.sums[root] += self.sums[joined]

    def _back(self, storage: int) -> None:
        self.sums[self._root(self.gone[storage])] -= self.work.costs[self.work.makers[storage]]
        self.gone[storage] = -1

    def _root(self, one: int) -> int:
        path = []
        while self.parents[one] != one:
            path.append(one)
            one = self.parents[one]
        for below in path:
            self.parents[below] = one
        return one
