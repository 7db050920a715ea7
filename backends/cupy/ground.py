"""What CuPy's programs stand on: an arena from CuPy's pool, constants and states on the device, runs in order on the user's stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backends.cupy.array import CupyArrays, cupy, placed
from backends.cupy.unavailable import check_products
from backends.straight.names import body_of
from backends.straight.run import Run
from ir.errors import ArgumentError, MemoryLimitError
from ir.plan import Call, Loop, Plan
from ir.planning import plan as make_plan

_ARRAYS = CupyArrays()


class Memory:
    """An arena on one GPU, and the stream of the run before: a run on another stream first waits for what that one still does in here."""

    __slots__ = ("arena", "_device", "_stream")

    def __init__(self, plan: Plan):
        module = cupy()
        check_room(module, plan, 0)
        self.arena = module.empty(plan.arena_request, np.uint8)
        self._device: int = module.cuda.runtime.getDevice()
        self._stream: Any = None

    def bound(self, run: Run) -> Run:
        """See `backends.straight.run.Memory`."""
        module = cupy()
        current, device = module.cuda.get_current_stream, module.cuda.runtime.getDevice

        def ordered(inputs: Sequence[Any]) -> list[Any]:
            if device() != self._device:
                raise ArgumentError(
                    f"it has its memory on GPU {self._device} and is called while GPU {device()} is the current one", op="cupy",
                    mend="compile the function once for each GPU, and call it with that one current",
                )
            stream, before = current(), self._stream
            if before is not None and before != stream:
                stream.wait_event(before.record())
            self._stream = stream
            return run(inputs)

        return ordered


class CupyGround:
    """See `backends.straight.run.Ground`."""

    def ready(self, plan: Plan) -> None:
        """BackendUnavailable where the plan can't run here, MemoryLimitError where there is no room for it."""
        module = cupy()
        if any(isinstance(step, Call) and step.node.op.family in ("matmul", "nn") for step in _steps(plan)):
            check_products(module)
        check_room(module, plan, sum([b.bytes for b in plan.buffers if b.kind == "const"]))

    def memory(self, plan: Plan) -> Memory:
        """MemoryLimitError where the device has no room for the plan."""
        return Memory(plan)

    def constants(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        """Uploaded once a program, as they lie."""
        return tuple([placed(thing) if isinstance(thing, np.ndarray) else thing for thing in arrays])

    def lie(self, plan: Plan, inputs: Sequence[Any], states: Sequence[int]) -> bool:
        """Whether all states are on the device."""
        return all(_ARRAYS.owns(inputs[k]) for k in states)


def _steps(plan: Plan) -> list[Any]:
    return [step for outer in plan.steps for step in (outer.body.steps if isinstance(outer, Loop) else [outer])]


def check_room(module: Any, plan: Plan, consts: int) -> None:
    """MemoryLimitError where less memory is free than the plan needs, and constants of so many bytes, before anything is allocated: it has
    the bill, and what a limit could do.
    """
    free = module.cuda.runtime.memGetInfo()[0] + module.get_default_memory_pool().free_bytes()
    inputs = sum([b.bytes for b in plan.buffers if b.kind == "input"])
    if plan.peak_bytes + consts <= free:
        return
    error = MemoryLimitError(
        f"the plan needs {plan.peak_bytes + consts:,} bytes on the GPU, of which {free:,} are free: arena {plan.arena_request:,}, results "
        f"{plan.result_bytes:,}, scratch {plan.scratch_bytes:,}, constants {consts:,}; NumPy's inputs take up to {inputs:,} more",
        op="cupy",
    )
    error.floor_bytes = plan.floor_bytes
    limit = free - consts
    try:
        error.smallest_bytes = _within(plan, limit).peak_bytes
        error.mend = f"compile with memory_limit={limit}: values are computed again, and the peak is {error.smallest_bytes:,}"
    except MemoryLimitError as refused:
        error.smallest_bytes = refused.smallest_bytes
        error.mend = f"take smaller batches, or free what else is there: with memory_limit= the least found is {refused.smallest_bytes:,}"
    raise error


def _within(plan: Plan, limit: int) -> Plan:
    """The plan of one iteration that a memory limit would give."""
    one = body_of(plan)
    graph = one.traced or one.graph
    return make_plan(graph, one.target, layouts=one.layouts, gate=one.gate, counted=one.counted, memory_limit=max(limit, 1))
