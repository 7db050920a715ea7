"""A limit of bytes: a graph, its plan and how to make others in, a plan within the limit out, or MemoryLimitError before anything runs.

Tried in this order: the plan as it is; for one worker; with shorter blocks; orders in which values are let go and computed again
(`recompute.py`), of these the one that computes least; and without regions, whose results are all there at one time, the same. Runs are
found in the model of `order.Memory`, which knows no kernels' buffers and no offsets; what a run really takes its plan says, and where that
is above the limit the next one is asked for less.

The search for the smallest peak does not depend on the limit: whoever asks for what a refusal names gets it.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial

from ir.errors import MemoryLimitError
from ir.graph import Graph, Node
from ir.op import Trait
from ir.place import Buffer, Place
from ir.plan import Call, Copy, Loop, Plan, Region
from ir.planning.clones import with_clones
from ir.planning.floor import floor_bytes
from ir.planning.order import Memory
from ir.planning.packs import is_view
from ir.planning.recompute import WEIGHTS, Work, run
from ir.source import Line
from ir.spec import Spec
from ir.target import Target

Build = Callable[[Graph, Sequence[Node], Target], Plan]
Run = list[int]
Writer = Call | Copy | Region
MOST = 4  # times the nodes that a run may have
LESS = 4  # times that one way is asked for less, where offsets or kernels' buffers are in the way
STEPS = 0.8, 0.5  # from one budget to the next in the search for the smallest
CLOSER = 4, 2  # halvings between the last budget that was met and the next
LOWER = 4  # times that a peak below the smallest so far is asked for
BUILT = 4, 2  # runs with the smallest budgets that are planned
WAYS = ((0, False), (0, True), (1, False), (1, True))  # (index into WEIGHTS, whether what is missing is made first)
PLANNED = 2  # runs that are planned before less is asked for
SHORTER = 8  # times: blocks where blocks of the usual length are too large
LARGE = 400  # nodes, above which only the first way is tried, and the second of two numbers holds


def kept(uncut: Graph, graph: Graph, target: Target, limit: int | None, build: Build) -> Plan:
    """The plan of `graph`, or of a graph that computes some of it again, whose peak is at most `limit`. `uncut`: the graph without regions.

    `build(graph, run, target)` plans a graph in the order of `run`, if that is not empty. Raises MemoryLimitError where no plan within
    the limit is found.
    """
    made = build(graph, (), target)
    if limit is not None:
        free = made.peak_bytes
        made, of = (made, graph) if free <= limit else _smaller(uncut, graph, target, limit, build)
        made.memory_limit, made.traced, made.uncut, made.free_bytes = limit, of, uncut, free
    return made


def _smaller(uncut: Graph, graph: Graph, target: Target, limit: int, build: Build) -> tuple[Plan, Graph]:
    """A plan within the limit, and what it is a plan of."""
    ways = [(graph, replace(target, workers=1))]
    if graph is not uncut:
        ways += [(graph, replace(target, workers=1, shorter=target.shorter * SHORTER)), (uncut, replace(target, workers=1, regions=False))]
    searches: list[_Search] = []
    for k, (of, aim) in enumerate(ways):
        base = build(of, (), aim)
        if base.peak_bytes <= limit:
            return base, of
        if k + 1 < len(ways) and ways[k + 1][0] is of:  # shorter blocks take less, whatever is computed again
            continue
        searches.append(_Search(of, base, partial(_aimed, build, aim)))
        found = searches[-1].within(limit)
        if found is not None:
            return found, of
    return _smallest_within(searches, limit)


def _aimed(build: Build, target: Target, graph: Graph, run: Sequence[Node]) -> Plan:
    return build(graph, run, target)


def _smallest_within(searches: Sequence[_Search], limit: int) -> tuple[Plan, Graph]:
    """Of the plans with small peaks the one with the fewest steps within the limit. Raises MemoryLimitError where there is none."""
    small = [(plan, search.graph) for search in searches for plan in (search.base, *search.small)]
    fitting = [pair for pair in small if pair[0].peak_bytes <= limit]
    if fitting:
        return min(fitting, key=lambda pair: len(pair[0].steps))
    smallest = min([plan for plan, _ in small], key=lambda plan: plan.peak_bytes)
    raise refusal(smallest, min([floor_bytes(search.base) for search in searches]), limit)


class _Search:
    def __init__(self, graph: Graph, base: Plan, build: Callable[[Graph, Sequence[Node]], Plan]):
        self.graph, self.base, self.build = graph, base, build
        body = body_of(base)
        tail = {step.node for step in body.steps[body.tail :] if isinstance(step, (Call, Region))}
        self.nodes = [n for n in body.order if n not in tail and n.outputs[0].spec.weak is None]
        self.memory = Memory(graph, self.nodes)
        temps = {s.node: sum([t.buffer.bytes for t in s.temps]) for s in body.steps if isinstance(s, Call)}
        self.work = Work(
            self.memory, [k for k, n in enumerate(self.nodes) if not is_view(n)], [_cost(n) for n in self.nodes],
            [temps.get(n, 0) for n in self.nodes], [not n.op.has(Trait.HOLDS) or n.op.family == "region" for n in self.nodes],
        )  # fmt: skip
        self.peak = self.memory.peak(range(len(self.nodes)))
        self.beside = base.peak_bytes - self.peak
        self.most = MOST * len(self.work.order)
        self.large = len(self.nodes) > LARGE
        self.ways = WAYS[:1] if self.large else WAYS

    # ---- what a limit asks for
    def within(self, limit: int) -> Plan | None:
        """The first that is planned within the limit, the cheapest run first."""
        budgets = dict.fromkeys(self.ways, limit - self.beside)
        for _ in range(LESS):
            runs = [(self._total(found), way, found) for way, budget in budgets.items() if (found := self._run(budget, way)) is not None]
            asked, budgets = budgets, {}
            for _, way, found in sorted(runs)[:PLANNED]:
                plan = self._planned(found)
                if plan.peak_bytes <= limit:
                    return plan
                budgets[way] = asked[way] - (plan.peak_bytes - limit)
        return None

    @cached_property
    def small(self) -> list[Plan]:
        """Plans with small peaks."""
        budgets: dict[tuple[int, ...], int] = {}
        for way in self.ways:
            for budget, found in self._smaller(way):
                budgets[tuple(found)] = min(budget, budgets.get(tuple(found), budget))
        chosen = sorted(budgets, key=lambda found: (budgets[found], self._total(found)))[: BUILT[self.large]]
        plans = [self._planned(list(found)) for found in chosen] or [self.base]
        for _ in range(LOWER):
            lower = self.within(min([plan.peak_bytes for plan in plans]) - 1)
            if lower is None:
                break
            plans.append(lower)
        return plans

    def _smaller(self, way: tuple[int, bool]) -> Iterator[tuple[int, Run]]:
        """Runs under budgets that shrink; then between the smallest that was met and the next below."""
        floor, budget, met, missed = self.memory.floor(), float(self.peak), self.peak, 0
        while budget > floor and missed < 2:
            found = self._run(int(budget), way)
            missed = 0 if found else missed + 1
            if found:
                met = int(budget)
                yield met, found
            budget *= STEPS[self.large]
        low = max(floor, int(met * STEPS[self.large]))
        for _ in range(CLOSER[self.large]):
            middle = (low + met) // 2
            found = self._run(middle, way)
            if found:
                met = middle
                yield met, found
            else:
                low = middle

    # ---- runs
    def _run(self, budget: int, way: tuple[int, bool]) -> Run | None:
        if budget < self.memory.floor():
            return None
        return run(self.work, budget, WEIGHTS[way[0]], way[1], self.most)

    def _total(self, found: Sequence[int]) -> float:
        return sum([self.work.costs[k] for k in found])

    def _planned(self, found: Run) -> Plan:
        graph, order = with_clones(self.graph, [self.nodes[k] for k in found])
        return self.build(graph, order)


def _cost(node: Node) -> float:
    """What it takes to run a node: its arithmetic, and the bytes that it moves."""
    specs = tuple([v.spec for v in node.operands])
    return node.op.flops(node.specs, specs, **node.attrs) + sum([s.nbytes for s in (*specs, *node.specs)]) / 4


def body_of(plan: Plan) -> Plan:
    """What a plan runs: itself, or what its loop repeats."""
    step = plan.steps[0] if len(plan.steps) == 1 else None
    return step.body if isinstance(step, Loop) else plan


def refusal(smallest: Plan, floor: int, limit: int) -> MemoryLimitError:
    """The error for a limit below the smallest peak found: what that is, and the three largest buffers alive where it is reached."""
    found = largest(smallest)
    error = MemoryLimitError(
        f"the limit is {limit:,} bytes, and the smallest peak found is {smallest.peak_bytes:,} bytes (no order and no recomputation goes "
        f"below {floor:,})",
        op="memory_limit", mend=f"give at least {smallest.peak_bytes:,} bytes, or smaller arrays (a smaller batch)",
    )  # fmt: skip
    error.smallest_bytes, error.floor_bytes, error.largest = smallest.peak_bytes, floor, found
    error.further = [
        f"there holds {size:,} bytes: {what}" + (f"   {line.place()}   {line.code}".rstrip() if line is not None else "")
        for size, what, line in found
    ]
    return error


def largest(plan: Plan, count: int = 3) -> list[tuple[int, str, Line | None]]:
    """Of the buffers alive where the peak is reached the largest: bytes, what lies there, its line."""
    body = body_of(plan)
    alive = [0] * (len(body.steps) + 1)
    held = [b for b in body.buffers if b.kind in ("arena", "scalar", "result")]
    for buffer in held:
        for step in range(buffer.birth, buffer.death + 1):
            alive[step] += buffer.bytes
    at = max(range(len(alive)), key=lambda step: alive[step])
    there = sorted([b for b in held if b.birth <= at <= b.death and b.bytes], key=lambda b: (-b.bytes, b.id))
    stacked = [b for b in plan.buffers if b.kind == "result"] if body is not plan else []
    there = sorted([*there, *stacked], key=lambda b: (-b.bytes, b.id))[:count]
    return [_shown(body, buffer, at) for buffer in there]


def _shown(plan: Plan, buffer: Buffer, at: int) -> tuple[int, str, Line | None]:
    """What a buffer holds at a step: what was written there last, or will be first."""
    writers = [(k, s) for k, s in enumerate(plan.steps) if isinstance(s, Writer) and buffer in [p.buffer for p in _written(s)]]
    role = f"result {buffer.index}: " if buffer.kind == "result" else ""
    before = [s for k, s in writers if k <= at] or [s for _, s in writers[:1]]
    if not before:
        return buffer.bytes, f"{role}{buffer.kind}", None
    step = before[-1]
    name = "a copy" if isinstance(step, Copy) else "blocks" if isinstance(step, Region) else step.node.op.name
    return buffer.bytes, f"{role}{name} {_spec_of(step, buffer)}", step.line


def _spec_of(step: Writer, buffer: Buffer) -> Spec:
    """Of what the step writes into the buffer, in the user's shape: a region sees chains of elementwise operations as one axis."""
    if isinstance(step, Region):
        for value, place in zip(step.node.outputs, step.writes):
            if place.buffer is buffer:
                return value.spec
    place = next(p for p in _written(step) if p.buffer is buffer)
    return Spec(place.shape, place.dtype)


def _written(step: Writer) -> tuple[Place, ...]:
    """The places that a step writes, its own included."""
    if isinstance(step, Copy):
        return (step.write,)
    return (*step.writes, *(step.temps if isinstance(step, Call) else step.private))
