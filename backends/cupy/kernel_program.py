"""A plan of generated kernels made runnable: what `backends.base` asks of a Program, on `GraphInstance`. Text without any device.

In: a plan for `kernels.KERNELS` (of one iteration, or of a Loop) and a way to get the current device. Out: a Program whose `source` lists
the nodes of its graph and prints the kernels. A Loop's iterations are replays of its body's graph, with nobody waiting in between.
"""
from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from backends.base import Settle
from backends.cupy.device import Device
from backends.cupy.graph_run import GraphInstance
from backends.cupy.plan_program import Numbers, program
from backends.cupy.work import Launch, Multiply, Program, Spot, Work
from backends.interrupts import without_interrupts
from backends.straight.names import body_of
from ir.errors import ArgumentError, NotLowered
from ir.plan import Loop, Plan


class KernelProgram:
    """See `backends.base.Program`."""

    def __init__(
        self, plan: Plan, device: Callable[[], Device], ticks: Iterator[int] | None = None, settle: Settle | None = None
    ):  # fmt: skip
        body = body_of(plan)
        if body is not plan and None in body.results:
            raise NotLowered("a loop on a device gives arrays, no Python numbers")
        self.plan, self.work = plan, program(body)
        self.source = listing(self.work)
        self._device, self._settle = device, settle
        self._ticks = itertools.count() if ticks is None else ticks
        self._free: list[KernelInstance] = []

    def bind(self) -> KernelInstance:
        """A new Instance, not of the pool."""
        return KernelInstance(self.plan, self.work, self._device, self._ticks, self._settle)

    @contextmanager
    def lease(self) -> Iterator[KernelInstance]:
        """An Instance of the pool for a `with` block."""
        try:
            instance = self._free.pop()
        except IndexError:
            instance = self.bind()
        try:
            yield instance
        finally:
            self._free.append(instance)

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """`Instance.run` on a leased Instance."""
        with self.lease() as instance:
            return instance.run(inputs)


class KernelInstance:
    """See `backends.base.Instance`: memory on one device, that which is current in the first run."""

    def __init__(self, plan: Plan, work: Program, device: Callable[[], Device], ticks: Iterator[int], settle: Settle | None):
        self._work, self._device, self._ticks, self._settle = work, device, ticks, settle
        loops = [step for step in plan.steps if isinstance(step, Loop)]
        self._loop = loops[0] if loops else None
        self._counted = plan.counted
        self._numbers = work.fill if None in plan.results and isinstance(work.fill, Numbers) else None
        self._running: GraphInstance | None = None

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The results for inputs in the order of `graph.inputs`; nothing waits."""
        running, device = self._running, self._device()
        if running is None:
            running = self._running = GraphInstance(self._work, device)
        if running.device is not device:
            raise ArgumentError("it has its memory on another GPU than the one that is current now", op="cupy",
                                mend="compile the function once for each GPU, and call it with that one current")
        if self._settle is not None and any(running.device.address(inputs[i]) is None for i in self._work.states):
            inputs = self._settle(inputs)
        with without_interrupts():  # what is asked of the device, and what is counted, is all of a run or nothing
            if self._loop is None:
                results = running.run(inputs)
                if self._numbers is not None:
                    results = self._numbers.results(inputs, results)
            else:
                results = running.run_many(inputs, self._loop.trips, self._loop.changing)
            for _ in range((1 if self._loop is None else self._loop.trips) if self._counted else 0):
                next(self._ticks)
        return results


def listing(work: Program) -> str:
    """The program as text: the graph's nodes in order, as comments, then the kernels."""
    nodes = ["// scalars <- pinned memory"] * bool(work.scalar_bytes) + [f"// {_said(each)}" for each in work.works]
    return "\n".join([f"// one graph of {len(nodes)} nodes", *nodes, "", work.text.lstrip("\n")])


def _said(work: Work) -> str:
    if isinstance(work, Launch):
        return f"{work.name}<<<{', '.join(map(str, work.grid))}, {', '.join(map(str, work.block))}>>>({', '.join(map(_where, work.spots))})"
    if isinstance(work, Multiply):
        gemm = work.gemm
        terms = [f"m {gemm.m}", f"n {gemm.n}", f"k {gemm.k}", *[f"batch {gemm.batch}"] * (gemm.batch > 1), gemm.dtype]
        terms += [what for what, so in (("A turned", gemm.trans_a), ("B turned", gemm.trans_b)) if so]
        terms += [gemm.precision] * (gemm.precision == "tf32")
        beside = "" if work.bias is None else f", {gemm.epilogue} {_where(work.bias)}"
        return f"cublasLt {_where(work.d)} = {_where(work.a)} @ {_where(work.b)}{beside} ({', '.join(terms)}), column by column"
    return f"{_where(work.target)} <- {_where(work.source)}, {work.source.nbytes} bytes"


def _where(spot: Spot) -> str:
    index = spot.index if spot.kind not in ("arena", "scalar") else ""
    return f"{spot.kind}{index}" + (f"+{spot.offset}" if spot.offset else "")
