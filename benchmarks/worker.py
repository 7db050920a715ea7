"""A contestant in a process of its own, driven through a pipe, so that no other's allocator, thread pool or arrays are near it.

In: workload, variant and contestant. Out, over the pipe: its values once, then seconds for each number of calls asked for, and at the
end facts about it. Contestants of a round sit idle in their processes while another one runs.
"""
from __future__ import annotations

import ctypes
import gc
import math
import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from benchmarks import peers
from benchmarks.case import OURS_WARM, ROUND, WARM, arrays
from benchmarks.timing import PAUSE, Contestant
from benchmarks.workloads import named
from ir.place import Place
from ir.plan import Call, Copy, Plan, Region

AWAKE = 0.1  # seconds of calls before those that are timed: after a pause two threads took as long as one for their first calls
LIMIT = 600  # seconds for an answer: compiling, or a round
_SPAWN = multiprocessing.get_context("spawn")  # nothing of the parent's memory in the child


class Failed(Exception):
    """A contestant raised an error; its last line."""


@dataclass(frozen=True)
class Facts:
    """Of a contestant that has run: its pools of threads, and for ours what the plan holds."""

    threads: str
    peak_bytes: int | None = None
    lower_bound_bytes: int | None = None
    moved_bytes: int | None = None
    workers: int | None = None


class Worker:
    """The parent's end. `values` are what the contestant gave at the comparison (None: nothing to compare)."""

    def __init__(self, workload: str, name: str, variant: str = ROUND, memory: bool = False):
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_memory if memory else _serve, args=(theirs, workload, name, variant), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.unit, self.values = self._answer()
        except BaseException:
            self.close()
            raise

    def seconds(self, n: int) -> float:
        """How long n calls took in the child, after one that does not count where calls are short."""
        time.sleep(PAUSE)
        self._pipe.send(n)
        return self._answer()

    def facts(self) -> Facts:
        self._pipe.send(0)
        return self._answer()

    def close(self) -> None:
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()

    def _answer(self) -> Any:
        if not self._pipe.poll(LIMIT):
            self._process.kill()
            raise Failed(f"no answer in {LIMIT} s")
        try:
            kind, found = self._pipe.recv()
        except EOFError:
            raise Failed(f"its process ended (exit code {self._process.exitcode})")
        if kind == "failed":
            raise Failed(found)
        return found


# ---- the child
def _serve(pipe: Connection, workload: str, name: str, variant: str) -> None:
    try:
        made, case = _made(workload, name, variant), named(workload)
        found = made.run(max(case.calls // made.unit, 1))
        values = None if made.values is None else [a.copy() for a in arrays(made.values(found))]
        pipe.send(("ready", (made.unit, values)))
        del values, found
        while (n := pipe.recv()) > 0:
            _wake(made)
            pipe.send(("took", made.seconds(n)))
        pipe.send(("facts", _facts(made)))
    except EOFError:
        return
    except Exception as error:
        pipe.send(("failed", f"{type(error).__name__}: {(str(error).strip() or '?').splitlines()[0]:.120}"))


def _wake(made: Contestant) -> None:
    began = time.perf_counter()
    made.run(1)
    while time.perf_counter() - began < AWAKE:
        made.run(1)


def _made(workload: str, name: str, variant: str, tiny: bool = False) -> Contestant:
    if name in (WARM, OURS_WARM):
        peers.raise_thresholds()
    case = named(workload)
    return case.maker(name)(case.made(variant, tiny))


def _facts(made: Contestant) -> Facts:
    if made.plan is None:
        return Facts(peers.threads())
    plan = made.plan()
    return Facts(peers.threads(), plan.peak_bytes, plan.lower_bound_bytes, moved(plan), plan.target.workers)


def moved(plan: Plan) -> int:
    """The bytes that the steps read and write: of a region what it takes from outside and gives, not what stays in its blocks."""
    total = 0
    for step in plan.steps:
        if isinstance(step, (Call, Region, Copy)) and not (isinstance(step, Copy) and step.when):
            reads, writes = ((step.read,), (step.write,)) if isinstance(step, Copy) else (step.reads, step.writes)
            for places in (reads, writes):
                total += sum({(p.buffer.id, p.offset, p.shape, p.strides): bytes_of(p) for p in places}.values())
    return total


def bytes_of(place: Place) -> int:
    """What the elements of a place take, those that a stride of 0 repeats counted once."""
    strides = place.strides or place.shape
    return math.prod([n for n, stride in zip(place.shape, strides) if stride or not n]) * place.dtype.itemsize


def _memory(pipe: Connection, workload: str, name: str, variant: str) -> None:
    """Sends how far resident memory grew, in bytes, over the making of the contestant and two calls, inputs and imports not counted."""
    try:
        _made(workload, name, variant, tiny=True).run(2)  # what it imports and builds once
        case = named(workload)
        inputs = case.made(variant)
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        before = _resident("VmRSS")
        with open("/proc/self/clear_refs", "w") as peak:
            peak.write("5")  # the high-water mark begins anew
        case.maker(name)(inputs).run(2)
        pipe.send(("grew", (1, _resident("VmHWM") - before)))
    except Exception as error:
        pipe.send(("failed", f"{type(error).__name__}: {(str(error).strip() or '?').splitlines()[0]:.120}"))


def _resident(field: str) -> int:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(field))


def grown(workload: str, name: str) -> int:
    """The bytes by which a contestant's process grows."""
    worker = Worker(workload, name, memory=True)
    worker.close()
    return worker.values
