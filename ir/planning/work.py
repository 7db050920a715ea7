"""What operations take, by the costs of a Target's kernels: asked before any kernel is chosen, or of one that is."""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from ir.graph import Node
from ir.target import Kernel, Target

PAYS = 4  # times the price of a fork: what a region has to do at least, so that half of it saves a fork's price twice over


def fewest_rows(row_bytes: int, target: Target) -> int:
    """How many rows a block has at least: an array in it has the Target's `block_elements`, since shorter calls take longer to hand over
    from worker to worker than to run.
    """
    return max(2, -(-target.block_elements * 8 // target.shorter // max(1, row_bytes)))


def node_ns(node: Node, target: Target, kernels: Sequence[Kernel] = ()) -> float:
    """Nanoseconds of a node: by the cheapest of its kernels, or of those given, and no less than what it moves takes in the cache."""
    values = (*node.operands, *node.outputs)
    specs = tuple([v.spec for v in node.operands])
    costs = [k.cost(specs, node.specs, node.attrs) for k in kernels or target.kernels.get(node.op.name, ())]
    return max(min(costs, default=0.0), target.call_ns + sum([v.spec.nbytes for v in values]) / (4 * target.bandwidth))


def pays_a_fork(nodes: Iterable[Node], target: Target) -> bool:
    """Whether they do as much as a region has to."""
    return sum([node_ns(n, target) for n in nodes]) >= PAYS * target.fork_ns
