"""The graph passes in the order in which they run: those of every graph, and those for graphs that update states.

In: a graph. Out: the same graph, rewritten in place, with the same inputs, outputs and updates. Each pass is a file: `run(graph,
exact=...)` gives the number of its rewrites, `EXACT` says that it keeps every bit even when not asked to. A pass takes a valid graph and
leaves a valid one; with `VERIFY` set that is checked before the first and after each that changed anything.
"""
from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from types import ModuleType
from typing import Any, NamedTuple

from ir.errors import VerifyError
from ir.graph import Graph
from ir.passes import (
    associate,
    carry_ones,
    common,
    dead,
    fold,
    fuse_linear,
    inline_custom,
    join_products,
    pack_states,
    scale,
    shrink,
    simplify,
)
from ir.target import Target
from ir.verify import looked_at, verify

PASSES: tuple[ModuleType, ...] = (inline_custom, dead, common, fold, simplify, common, associate, join_products, fuse_linear, scale, shrink)
PLAN_PASSES: tuple[ModuleType, ...] = (pack_states, carry_ones)  # for graphs that update states, once
ROUNDS = 4  # PASSES run again while they find something, at most so often
VERIFY = False


class Record(NamedTuple):
    """What one run of a pass did: nodes before and after, rewrites, seconds."""

    name: str
    before: int
    after: int
    rewrites: int
    seconds: float


def prepare(
    graph: Graph, target: Target, *, may_join: pack_states.MayJoin | None = None, log: list[Record] | None = None,
    watch: Callable[[Record], None] | None = None,
) -> None:  # fmt: skip
    """Runs PLAN_PASSES on a graph that updates states, in place: it becomes what `target` plans best. Values may be rounded differently.

    `may_join(states)` says whether these may come to lie in one buffer; `log` and `watch` as in `optimize`.
    """
    if graph.updates:
        _verify(graph, "the graph given")
    for module in PLAN_PASSES if graph.updates else ():
        _tell(_run(graph, module, target=target, may_join=may_join), log, watch)


def optimize(
    graph: Graph, *, exact: bool = False, log: list[Record] | None = None, watch: Callable[[Record], None] | None = None
) -> None:
    """Runs PASSES on the graph, in place, until none finds anything more. A pass runs again only after a change by another.

    `exact`: every value keeps its bits and its layout. Otherwise values may be rounded differently (the passes say where); NaN,
    infinities, signs of zero, dtypes and shapes stay in any case. `log` gets a Record for each pass that ran, `watch` is called with it
    right after the pass.

    >>> from ir.parse import parse
    >>> graph = parse('''
    ... graph {
    ...   %0 = input() {kind="argument"} : f64[3]
    ...   %1 = negative(%0) : f64[3]
    ...   %2 = add(%0, %1) : f64[3]
    ...   return %2
    ... }''')
    >>> optimize(graph)
    >>> print(graph.text(lines=False))
    graph {
      %0 = input() {kind="argument"} : f64[3]
      %1 = subtract(%0, %0) : f64[3]
      return %1
    }
    """
    _verify(graph, "the graph given")
    done: set[ModuleType] = set()  # passes that have run since the last change by another
    for module in PASSES * ROUNDS:
        if module in done:
            continue
        record = _run(graph, module, exact=exact)
        done = {module} if record.rewrites else done | {module}
        _tell(record, log, watch)


def _tell(record: Record, log: list[Record] | None, watch: Callable[[Record], None] | None) -> None:
    if log is not None:
        log.append(record)
    if watch is not None:
        watch(record)


def _run(graph: Graph, module: ModuleType, **options: Any) -> Record:
    held = looked_at(graph) if VERIFY else None
    before, start = len(graph), perf_counter()
    rewrites = module.run(graph, **options)
    seconds = perf_counter() - start
    name = module.__name__.rpartition(".")[2]
    if held is not None and looked_at(graph) != held:
        _verify(graph, f"after the pass {name}")
    return Record(name, before, len(graph), rewrites, seconds)


def _verify(graph: Graph, culprit: str) -> None:
    if not VERIFY:
        return
    try:
        verify(graph)
    except VerifyError as error:
        error.cause = f"{culprit}: {error.cause}"
        raise
