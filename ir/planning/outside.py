"""Why an operation is in no region: an operation in, a sentence out that `explain()` prints.

What keeps an operation out of every group is asked here before groups are sought, so the sentence is the planner's own reason.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ir.graph import CONSTANT, INPUT, Node
from ir.op import Op, Trait
from ir.planning.follow import reads_slice, shows, writes_slice
from ir.planning.lockstep import lockstep
from ir.planning.work import node_ns
from ir.source import Line
from ir.target import Target

LITTLE = 4  # what a product reads again for each block may take this part of its time


class Outside(NamedTuple):
    """An operation on arrays that are large for the cache, its line, and why it runs as a step of its own."""

    op: str
    line: Line | None
    why: str


def outside(nodes: Iterable[Node], why: dict[Node, str], large: int) -> Iterator[Outside]:
    """Of the nodes those that are in no region though arrays of `large` bytes or more pass through them. Views cost no step."""
    for node in nodes:
        values = (*node.operands, *node.outputs)
        if node in why and node.op not in (INPUT, CONSTANT) and not shows(node.op) and any(v.spec.nbytes >= large for v in values):
            yield Outside(node.op.name, node.line, why[node])


def unfit(node: Node, exact: bool, target: Target) -> str:
    """Why an operation, by its record and its sizes, can't be computed in blocks of any axis; nothing where it may."""
    op = node.op
    if op in (INPUT, CONSTANT) or any(v.spec.weak or not v.spec.size for v in node.outputs):
        return "it computes no array"
    if op.has(Trait.OPAQUE) or op.has(Trait.HOLDS):
        return "its inside is not known to the planner"
    if len(node.outputs) != 1:
        return "it has several results"
    if op.has(Trait.BILINEAR) and op.family == "matmul":
        if exact:
            return "exact=True calls products whole"
        if not target.region_products:
            return "products are calls of a library"
        return "" if _small_product(node, target) else "a product of which each block would read more than it multiplies"
    if op.has(Trait.ELEMENTWISE) or op.family == "reduce" or is_view(op) or lockstep(node) is not None:
        return ""
    if reads_slice(node) or writes_slice(node):  # along axes of which it leaves out little, if there are any
        return ""
    return "it moves elements, or updates some, and no axis is followed through it"


def _small_product(node: Node, target: Target) -> bool:
    """Whether what each block of a product reads whole, or adds to, stays in the cache, or takes little time beside the product itself;
    batched ones read nothing whole.
    """
    sizes = [v.spec.nbytes for v in (*node.operands, *node.outputs)]
    if min([v.ndim for v in node.operands]) > 2 or min(sizes) * 4 <= target.cache_bytes:
        return True
    blocks = max(sizes) // (target.block_elements * 8) + 1
    return blocks * min(sizes) / target.bandwidth * LITTLE <= node_ns(node, target)


def is_view(op: Op) -> bool:
    """Views that show all of their operand in another shape."""
    return op.view_of == 0 and not op.has(Trait.SELECTS) and not op.has(Trait.HOLDS)
