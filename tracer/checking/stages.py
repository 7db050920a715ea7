"""What the passes do to a graph, kept step by step, so that any call can be followed through them with its own values.

In: a traced graph, which stays as it is. Out: its optimised twin and a `Stage` for the start and for each pass that changed something:
the nodes with the operands that they had then, the results, and which Value took the place of which. Passes rewrite in place, so a
Value that a pass leaves alone is the same object in the stages before and after it.
"""
from __future__ import annotations

from dataclasses import dataclass

from ir.graph import INPUT, Graph, Node, Value
from ir.passes import Record, optimize, prepare
from ir.passes.pack_states import MayJoin
from ir.target import Target


@dataclass(frozen=True)
class Stage:
    """The graph after the pass `name` ("" for the trace itself). `replaced` has (old, new) in the order of the replacements."""

    name: str
    nodes: list[tuple[Node, tuple[Value, ...]]]
    results: list[Value]
    replaced: list[tuple[Value, Value]]

    def stand_ins(self) -> dict[Value, list[Value]]:
        """For each Value that took the place of others: those that were there before the pass."""
        found: dict[Value, list[Value]] = {}
        for old, new in self.replaced:
            found.setdefault(new, []).extend(found.get(old, [old]))
        return found


class Watched(Graph):
    """A graph that notes its replacements."""

    def __init__(self) -> None:
        super().__init__()
        self.replaced: list[tuple[Value, Value]] = []

    def replace(self, old: Value, new: Value, is_result: bool = True) -> list[Node]:
        if old is not new:
            self.replaced.append((old, new))
        return super().replace(old, new, is_result)

    def stage(self, name: str) -> Stage:
        """What the results need now, and the replacements since the last stage."""
        replaced, self.replaced = self.replaced, []
        needed = {v.node for v in self.results()}
        for node in reversed(self.order()):
            if node in needed:
                needed.update([v.node for v in node.operands])
        nodes = [(node, node.operands) for node in self.order() if node in needed and node.op is not INPUT]
        return Stage(name, nodes, self.results(), replaced)


def staged(
    graph: Graph, *, exact: bool = False, target: Target | None = None, may_join: MayJoin | None = None, log: list[Record] | None = None
) -> tuple[Graph, list[Stage]]:
    """The graph after all passes, those of the plan for `target` among them, and its stages, the traced one first.

    >>> from ir.parse import parse
    >>> graph = parse('''
    ... graph {
    ...   %0 = input() {kind="argument"} : f64[3]
    ...   %1 = negative(%0) : f64[3]
    ...   %2 = add(%0, %1) : f64[3]
    ...   return %2
    ... }''')
    >>> [stage.name for stage in staged(graph)[1]]
    ['', 'simplify']
    """
    twin = Watched()
    graph.copy(into=twin)
    stages = [twin.stage("")]

    def watch(record: Record) -> None:
        before = stages[-1]
        stage = twin.stage(record.name)
        if stage.nodes != before.nodes or stage.results != before.results:
            stages.append(stage)

    optimize(twin, exact=exact, log=log, watch=watch)
    if target is not None:
        prepare(twin, target, may_join=may_join, log=log, watch=watch)
    return twin, stages
