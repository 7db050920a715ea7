"""What NumPy's programs stand on: memory from NumPy's allocator, constants and states as they are, states of a pack side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backends.numpy.support import lie_adjacent
from backends.numpy.warm import LEAST, warm_up
from backends.straight.run import Run
from ir.plan import Call, Loop, Plan, Region


class Memory:
    """An arena that begins on an aligned byte."""

    __slots__ = ("arena",)

    def __init__(self, plan: Plan):
        self.arena = aligned(plan.arena_request, plan.target.alignment)

    def bound(self, run: Run) -> Run:
        """See `backends.straight.run.Memory`: whoever calls waits for the run."""
        return run


class NumpyGround:
    """See `backends.straight.run.Ground`."""

    def ready(self, plan: Plan) -> None:
        """It always is."""

    def memory(self, plan: Plan) -> Memory:
        """BLAS's buffers are warmed before the first product."""
        warm_up(multiply_together(plan))
        return Memory(plan)

    def constants(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        """As they are."""
        return tuple(arrays)

    def lie(self, plan: Plan, inputs: Sequence[Any], states: Sequence[int]) -> bool:
        """Whether the states of each pack lie one behind the other."""
        return all(lie_adjacent([inputs[k] for k in members]) for members in plan.packs)


def multiply_together(plan: Plan) -> int:
    """How many threads may be in a product of some size at the same time; 0 where the plan has none."""
    found = 0
    for step in plan.steps:
        if isinstance(step, Call) and step.node.op.family == "matmul":
            found = max(found, int(step.node.op.flops(step.node.specs, tuple([v.spec for v in step.node.operands])) >= 2 * LEAST))
        elif isinstance(step, Loop):
            found = max(found, multiply_together(step.body))
        elif isinstance(step, Region):
            found = max(found, multiply_together(step.body) * step.workers)
    return found


def aligned(request: int, alignment: int) -> Any:
    """`request` bytes from NumPy, without those before the first aligned one. Nothing is requested for 0."""
    if request == 0:
        return bytearray()
    block = np.empty(request, np.uint8)
    start = -block.__array_interface__["data"][0] % alignment
    return block[start:]
