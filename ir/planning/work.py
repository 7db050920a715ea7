"""What operations take, by the costs of a Target's kernels: asked before any kernel is chosen, or of one that is."""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from ir.graph import Node
from ir.target import Kernel, Target

PAYS = 4  # times the price of a fork: what a region has to do at least to be worth one


def node_ns(node: Node, target: Target, kernels: Sequence[Kernel] = ()) -> float:
    """Nanoseconds of a node: by the cheapest of its kernels, or of those given, and no less than what it moves takes in the cache."""
    values = (*node.operands, *node.outputs)
    specs = tuple([v.spec for v in node.operands])
    costs = [k.cost(specs, node.specs, node.attrs) for k in kernels or target.kernels.get(node.op.name, ())]
    return max(min(costs, default=0.0), target.call_ns + sum([v.spec.nbytes for v in values]) / (4 * target.bandwidth))


def pays_a_fork(nodes: Iterable[Node], target: Target) -> bool:
    """Whether they do as much as a region has to."""
    return sum([node_ns(n, target) for n in nodes]) >= PAYS * target.fork_ns
