"""A group of nodes as a graph of its own, and that graph for one block: every cut axis as long as the block, all else as it was.

Where slices are read or written along the cut axis a block needs rows before and after its own, its halo: of operands they are there, of
what is computed in the region they are computed again.

What a group reduces along the cut axis itself a block can only add to: the body carries it as a state, which its update joins with the
block's own part. So a region is planned as any graph is, and its buffers, in-place results and kernels are the planner's usual ones.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ir.evaluate import evaluate
from ir.graph import CONSTANT, INPUT, Graph, Node, Value
from ir.op import Axes, Op, Trait, no_flops, whole_axes
from ir.ops import TABLE
from ir.planning.body import Body
from ir.planning.follow import reads_slice, shows
from ir.planning.halo import Cut, Halo
from ir.planning.lockstep import lockstep
from ir.spec import Spec
from ir.target import Target


def moved_bytes(nodes: Sequence[Node], border: Sequence[Value]) -> tuple[int, int]:
    """Bytes that the nodes read and write as single steps, and those that cross the border of the group that they are.

    Of what is read through slices alone no more is moved than these.
    """
    steps = [n for n in nodes if n.op not in (INPUT, CONSTANT) and not shows(n.op)]
    readers: dict[Value, list[Node]] = {}
    for node in nodes:
        for value in node.operands:
            readers.setdefault(value, []).append(node)
    slices = {v: sum([n.outputs[0].spec.nbytes for n in by]) for v, by in readers.items() if all(map(reads_slice, by))}
    crossing = sum([min(v.spec.nbytes, slices.get(v, v.spec.nbytes)) for v in border])
    return sum([v.spec.nbytes for n in steps for v in (*n.operands, *n.outputs)]), crossing


@dataclass(frozen=True, eq=False)
class Blocked:
    """`graph`: the group at full size. Its inputs are the region's operands, its outputs first the values given block by block, then the
    `parts` that are joined. `cuts`: of each value that has it the axis that is cut. `size`: rows in all.
    `counters`: constants 0, 1, 2, ... that a block counts anew. `lends`: of a generated kernel, for each output the operands that it may
    be written over, and in how many shares `each` part comes; its `size` and `cuts` say nothing.
    """

    graph: Graph
    size: int
    cuts: dict[Value, Cut]
    parts: int = 0
    counters: frozenset[Value] = frozenset()
    shares: int = 1
    _blocks: dict[tuple[int, int], Graph] = field(default_factory=dict, init=False, repr=False)
    lends: tuple[tuple[int, ...], ...] | None = None
    each: tuple[int, ...] = ()

    @cached_property
    def is_product(self) -> bool:
        """Whether it is one product and nothing else."""
        steps = [n for n in self.graph.order() if n.op not in (INPUT, CONSTANT) and not shows(n.op)]
        return len(steps) == 1 and steps[0].op.has(Trait.BILINEAR)

    @property
    def whole(self) -> list[Value]:
        """The outputs that are given block by block."""
        return self.graph.outputs[: len(self.graph.outputs) - self.parts]

    @property
    def joined(self) -> list[Value]:
        """The outputs that come in parts."""
        return self.graph.outputs[len(self.graph.outputs) - self.parts :]

    @property
    def specs(self) -> tuple[Spec, ...]:
        """The specs of the region's outputs: parts have an axis more, one row a share."""
        shares = self.each or (self.shares,) * self.parts
        return (*[v.spec for v in self.whole], *[Spec((n, *v.shape), v.dtype) for n, v in zip(shares, self.joined)])

    @cached_property
    def halo(self) -> Halo:
        """What a block takes of each value."""
        parts = [v for part in self.joined for v in part.node.operands]
        return Halo(self.graph, self.size, self.cuts, self.counters, [v for v in self.whole if v in self.cuts], parts)

    def block(self, low: int, high: int) -> Graph:
        """The graph of the block of rows `low` to `high`. The operands' blocks are its arguments, the parts states that it updates. It is
        the same one whenever it is asked for: not to be changed.
        """
        if (low, high) not in self._blocks:
            self._blocks[low, high] = self._block(low, high)
        return self._blocks[low, high]

    def _block(self, low: int, high: int) -> Graph:
        made = Body(self.halo, low, high)
        for value in self.graph.inputs:
            made.give(value)
        for node in self.graph.order():
            if node.op is not INPUT and node.outputs[0] not in self.counters:
                made.run(node)
        graph = made.graph
        graph.outputs = [made.given(v) for v in self.whole]
        for value in self.joined:
            part = made.own(value)
            held = graph.input(part.spec, "state", line=value.node.line)
            join = next(op for op in TABLE.values() if op.ufunc is value.node.op.combines and op.has(Trait.ELEMENTWISE))
            graph.updates.append((held, graph.apply(join, [held, part], None, value.node.line)))
        return graph

    def key(self) -> tuple[Any, ...]:
        """Equal for groups that are the same operations of the same lines, cut in the same way."""
        places = {v: (k, v.index) for k, n in enumerate(self.graph.order()) for v in n.outputs}
        cuts = tuple(sorted((places[v], cut) for v, cut in self.cuts.items()))
        return self.graph.text(), cuts, tuple(sorted(places[v] for v in self.counters)), self.size, self.parts, self.shares

    def over(self, output: int) -> list[int]:
        """The operands that may be written over by this output: cut as it is, of its spec, and read by a block only where it writes."""
        if self.lends is not None:
            return list(self.lends[output])
        value = self.graph.outputs[output]
        cut = self.cuts.get(value)
        alike = [k for k, v in enumerate(self.graph.inputs) if cut is not None and self.cuts.get(v) == cut and v.spec == value.spec]
        return [k for k in alike if self.halo.extents.get(self.graph.inputs[k]) == (0, 0)]

    @property
    def moved(self) -> tuple[int, int]:
        """Modelled bytes: moved by its operations as single steps, and moved by the region."""
        return moved_bytes(self.graph.order(), [*self.graph.inputs, *self.graph.outputs])

    def starts(self) -> list[Any]:
        """For each part the number with which joining begins: it changes nothing that is joined to it (-0.0, since 0.0 + -0.0 is 0.0)."""
        return [identity(v.node.op.combines, v.dtype) for v in self.joined]


def identity(ufunc: np.ufunc, dtype: np.dtype) -> Any:
    """The number that the ufunc joins to any without changing it, bits included."""
    if ufunc is np.add:
        return dtype.type(-0.0) if dtype.kind in "fc" else dtype.type(0)
    lowest = ufunc is np.maximum
    if dtype.kind == "f":
        return dtype.type(-np.inf if lowest else np.inf)
    if dtype.kind == "b":
        return np.bool_(not lowest)
    return dtype.type(np.iinfo(dtype).min if lowest else np.iinfo(dtype).max)


def _spec(*specs: Spec, blocked: Blocked) -> tuple[Spec, ...]:
    return blocked.specs


def _axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], *, blocked: Blocked) -> Axes:
    return whole_axes(out_specs, specs)


def _meaning(*operands: Any, blocked: Blocked) -> tuple[Any, ...]:
    """The nodes' own meaning at full size; of what comes in parts the first share has it all, the others what changes nothing."""
    whole, _ = evaluate(blocked.graph, operands)
    given = len(blocked.whole)
    parts = [np.full(spec.shape, start, spec.dtype) for spec, start in zip(blocked.specs[given:], blocked.starts())]
    for part, x in zip(parts, whole[given:]):
        part[0] = x
    return (*whole[:given], *parts)


REGION = Op(
    "region", "region", ("*operands",), spec=_spec, meaning=_meaning, vjp=lambda g, out, *operands, blocked: (None,) * len(operands),
    axes=_axes, flops=no_flops, traits=Trait.OPAQUE | Trait.HOLDS | Trait.ARRAY,
)


def overwrites(node: Node) -> list[Sequence[int]]:
    """For each output the operands that it may be written over."""
    if node.op is REGION:
        held: Blocked = node.attrs["blocked"]
        return [held.over(k) for k in range(len(held.whole))]
    return [node.op.overwrites] if node.op.overwrites else []


def blocked(
    nodes: Sequence[Node], size: int, cuts: dict[Value, Cut], operands: Sequence[Value], outputs: Sequence[Value], parts: int, shares: int
) -> Blocked:
    """The nodes as a graph of their own, its parts in so many shares. `cuts` and all Values given are of the graph that they stand in."""
    graph = Graph()
    mapped = {v: graph.input(v.spec, line=v.node.line) for v in operands}
    counters: dict[Value, Value] = {}
    for node in nodes:
        step = lockstep(node)
        given = []
        for position, value in enumerate(node.operands):
            counts = step is not None and position == step.counter and value in cuts
            held = counters if counts else mapped
            if value not in held:
                assert value.node.op is CONSTANT
                held[value] = graph.constant(value.node.attrs["value"], value.node.line)
            given.append(held[value])
        mapped[node.outputs[0]] = graph.apply(node.op, given, node.attrs, node.line)
    graph.outputs = [mapped[v] for v in outputs]
    cut_of = {mapped[v]: cut for v, cut in cuts.items() if v in mapped}
    cut_of.update({made: cuts[v] for v, made in counters.items()})
    return Blocked(graph, size, cut_of, parts, frozenset(counters.values()), shares)


def shares_of(size: int, target: Target) -> int:
    """No more than there may be blocks, which have two rows or more."""
    return max(1, min(target.shares, size // 2))
