"""A group of nodes that run block by block: what it reads, what it gives, and whether it pays."""
from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ir.graph import CONSTANT, Node, Value
from ir.op import Trait
from ir.planning.blocks import moved_bytes, shares_of
from ir.planning.follow import reads_slice, shows
from ir.planning.halo import Cut
from ir.planning.lockstep import lockstep
from ir.planning.work import fewest_rows, pays_a_fork
from ir.target import Target

ALONE = "none of its neighbours is cut along the same axis"


@dataclass
class Group:
    """Nodes in the order of the graph, the `size` of the axis, and where it is in each value that varies along it: (axis, how many of that
    axis's indices go with one of the `size`). `steps_ns`: what stepping between runs of elements that lie together takes all blocks.
    """

    nodes: list[Node]
    size: int
    cuts: dict[Value, Cut]
    parts: set[Node] = field(default_factory=set)  # reductions along the axis itself
    steps_ns: float = 0.0

    def operands(self) -> list[Value]:
        """What the group reads of others; constants that every block reads whole are its own."""
        inside = set(self.nodes)
        read = [v for n in self.nodes for v in self.read(n) if v.node not in inside]
        found = [v for v in read if v.node.op is not CONSTANT or v in self.cuts]
        return list(dict.fromkeys(found))

    def read(self, node: Node) -> list[Value]:
        """A node's operands, without one that only counts the rows: each block has a counter of its own."""
        step = lockstep(node)
        return [v for k, v in enumerate(node.operands) if step is None or k != step.counter or v not in self.cuts]

    def outputs(self) -> list[Value]:
        """What others read of the group, parts of reductions last. A slice they read themselves: it costs no step."""
        inside = set(self.nodes)
        wanted = set(self.nodes[0].graph.results())
        shown: set[Value] = set()
        for node in reversed(self.nodes):
            out = node.outputs[0]
            if out in wanted or out in shown or any(u not in inside for u in node.graph.users(node)):
                shown.add(node.operands[0] if reads_slice(node) else out)
        found = [n.outputs[0] for n in self.nodes if n.outputs[0] in shown and not reads_slice(n)]
        return [v for v in found if v.node not in self.parts] + [v for v in found if v.node in self.parts]


def combines(node: Node) -> bool:
    """Whether the reduction can be taken in parts that are joined afterwards."""
    return node.op.combines is not None and node.outputs[0].dtype.kind in ("iufc" if node.op.combines is np.add else "iufb")


def without_loose_views(nodes: list[Node]) -> list[Node]:
    """Without views of what the group does not compute, and views that nothing of the group reads."""
    inside = dict.fromkeys(nodes)
    for node in nodes:
        if shows(node.op) and node.operands[0].node not in inside:
            del inside[node]
    for node in reversed(nodes):
        if node in inside and shows(node.op) and not any(u in inside for u in node.graph.users(node)):
            del inside[node]
    return list(inside)


def lack(group: Group, parts: set[Node], target: Target, exact: bool) -> str:
    """Why a group is not worth cutting: too small, or no fewer bytes are moved; nothing where it is. `parts`: those of all groups."""
    steps = [n for n in group.nodes if not shows(n.op)]
    if len(steps) < 2:
        summed = any(v.node in parts for n in steps for v in n.operands)
        if summed:
            return "what it reads is reduced along the axis that is cut, and its other neighbours are in no region"
        return f"exact=True takes no reduction in parts, and {ALONE}" if exact and steps and combines(steps[0]) else ALONE
    largest = max([v.spec.nbytes for n in steps for v in n.operands + n.outputs if v in group.cuts])
    if largest < target.cache_bytes // 4 or (target.region_buffers and _is_one_block(group, steps, largest, target)):
        return f"too small: arrays of {largest} bytes are one block"
    single, border = moved_bytes(group.nodes, [*group.operands(), *group.outputs()])
    if border + 2 * largest <= target.shared_bytes and not pays_a_fork(steps, target):
        return "its arrays stay in the cache from step to step, and a fork would take longer than it saves"
    border += 2 * shares_of(group.size, target) * sum([n.outputs[0].spec.nbytes for n in group.parts])  # a share's row is filled and read
    if border >= single:
        return "in blocks it would move as many bytes"
    saved_ns = (single - border) / target.bandwidth
    return "" if group.steps_ns < saved_ns else "its blocks lie in short pieces: stepping between them would take longer than is saved"


def _is_one_block(group: Group, steps: list[Node], largest: int, target: Target) -> bool:
    """Whether blocks that are long enough are one. New values of states are written at the end by one fork of many such groups: there a
    block may be half as long.
    """
    shapes = {v.shape for n in steps for v in n.operands + n.outputs if v in group.cuts}
    flat = len(shapes) == 1 and all(n.op.has(Trait.ELEMENTWISE) for n in steps)
    size = math.prod(next(iter(shapes))) if flat else group.size
    if flat and largest > target.block_elements * 8 and {new for _, new in steps[0].graph.updates}.issuperset(group.outputs()):
        return False
    return size // fewest_rows(largest // size, target) < 2


def products_beside(found: list[Group], kept: list[Group], target: Target) -> list[Group]:
    """The products that are alone in their groups and yet are to be cut: beside a region that forks BLAS has one thread, so that workers
    must share them.
    """
    if not any(pays_a_fork([n for n in g.nodes if not shows(n.op)], target) for g in kept):
        return []
    products = []
    for group in found:
        steps = [n for n in group.nodes if not shows(n.op)]
        alone = len(steps) == 1 and steps[0].op.has(Trait.BILINEAR) and group not in kept
        if alone and not group.parts and pays_a_fork(steps, target):
            products.append(group)
    return products
