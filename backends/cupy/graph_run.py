"""A device program run as one graph. In: a `work.Program` and a `Device`. Out: an Instance: inputs in, results out, each iteration.

All memory of a plan is one block, taken in the first run: arena, copies of inputs, results, constants, scalars, the products' workspace.
The first run asks for each work by itself (libraries load, kernels are found); the second captures, later ones replay by one call. A graph
knows where the states lay when it was captured: states that have moved are captured anew. Scalars are read from pinned memory by a copy
inside the graph; that memory is written again only when what reads it is over, and only if a number has changed. Results are copied out:
they are the caller's. In `run_many` a counter and the results of each iteration stay on the device, and nobody waits before the end.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np

from backends.cupy.device import Device, Operand
from backends.cupy.work import Array, Launch, Move, Multiply, Program, Spot, Work
from ir.errors import Error, MemoryLimitError

ALIGNMENT, STATE_ALIGNMENT = 256, 16  # of what lies in the plan's block, and of arrays that come from outside
KEPT_BYTES, KEPT_ROWS = 1 << 20, 4096


class GraphInstance:
    """A program with memory of its own on a device. One thread at a time."""

    def __init__(self, program: Program, device: Device) -> None:
        self.program, self.device = program, device
        self._memory: Any = None
        self._pinned: Any = None
        self._graphs: dict[bool, tuple[tuple[int, ...], Any]] = {}
        self._states: tuple[int, ...] = ()
        self._mark: Any = None
        self._numbers: tuple[Any, ...] | None = None
        self._warm: dict[bool, bool] = {}
        self._changing: frozenset[int] = frozenset()

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The results for inputs in the order of the plan's: arrays of the device, or of the host (copied there), and Python numbers.
        States are arrays of the device and are written in place.
        """
        given, self._changing = self._laid(inputs), frozenset()
        with self.device.call():
            self._give(given)
            self._step(many=False)
            self._read()
            return [self._own(array, spot) for array, spot in self.program.results]

    def run_many(self, inputs: Sequence[Any], steps: int, changing: Sequence[int] = ()) -> list[Any]:
        """`run` so many times on the same inputs: for each result an array with a row an iteration. Nobody waits. The inputs `changing`
        are numbers given as a sequence, one for each iteration; a new one waits until what reads the last is over.
        """
        given, self._changing = self._laid(inputs), frozenset(changing)
        arrays = [array for array, _ in self.program.results]
        with self.device.call():
            self._give(given)
            rows = [self.device.allocate(max(1, steps * array.nbytes)) for array in arrays]
            for first in range(0, steps, self._capacity):
                some = min(self._capacity, steps - first)
                self.device.upload(self._base["count", 0], np.zeros(1, np.int64))
                for k in range(first, first + some):
                    if changing and k:
                        self._read()
                        self._set_scalars(self._numbers_of(given, k))
                    self._step(many=True)
                self._read()
                for k, (array, to) in enumerate(zip(arrays, rows)):
                    if array.nbytes:
                        self.device.copy(to.ptr + first * array.nbytes, self._base["kept", k], some * array.nbytes)
            return [self.device.view(to, (steps, *array.shape), array.dtype) for array, to in zip(arrays, rows)]

    # one iteration

    def _laid(self, inputs: Sequence[Any]) -> list[Any]:
        """The inputs, those that do not lie as planned copied; on the device by the user's library, so before our stream follows theirs."""
        found = list(inputs)
        for i, (expected, given) in enumerate(zip(self.program.inputs, inputs, strict=True)):
            if expected is not None and i not in self.program.states:
                assert (given.dtype, given.shape) == (expected.dtype, expected.shape), f"input {i} is not what was planned"
                if not expected.alike(given):
                    found[i] = _copied(expected, given)
        return found

    def _give(self, inputs: Sequence[Any]) -> None:
        """Everything the graph reads, where it reads it."""
        self._bind()
        states = []
        for i, (expected, given) in enumerate(zip(self.program.inputs, inputs, strict=True)):
            if expected is None:
                continue
            ptr = self.device.address(given)
            if i in self.program.states:
                assert ptr is not None, f"state {i} is not on the device"
                if ptr % STATE_ALIGNMENT:
                    raise Error(f"the memory of state {i} begins at {ptr:#x}, which is no multiple of {STATE_ALIGNMENT}", op="cupy",
                                mend="make the parameter an array of its own: a copy")
                states.append(ptr)
            elif ptr is None:
                self.device.upload(self._base["input", i], _flat(given))
            elif expected.nbytes:
                self.device.copy(self._base["input", i], ptr, expected.nbytes)
        self._states = tuple(states)
        self._base.update({("state", i): ptr for i, ptr in zip(self.program.states, states)})
        self._set_scalars(self._numbers_of(inputs, 0))

    def _numbers_of(self, inputs: Sequence[Any], k: int) -> tuple[Any, ...]:
        """The inputs that are numbers, in iteration k."""
        numbers = [(i, given) for i, (expected, given) in enumerate(zip(self.program.inputs, inputs)) if expected is None]
        return tuple([given[k] if i in self._changing else given for i, given in numbers])

    def _set_scalars(self, numbers: tuple[Any, ...]) -> None:
        if not self.program.scalar_bytes or _same(numbers, self._numbers):
            return
        if self._mark is not None:  # a replay may still read what would be written over
            self.device.synchronize(self._mark)
        self._numbers = None
        self.program.fill(numbers, self._pinned.bytes)
        self._numbers = numbers

    def _read(self) -> None:
        """All that reads the scalars has been asked for."""
        if self.program.scalar_bytes:
            self._mark = self.device.mark(self._mark)

    def _step(self, many: bool) -> None:
        if not self._warm.get(many):
            self._work(many)
            self._warm[many] = True
        else:
            states, graph = self._graphs.get(many, ((), None))
            if graph is None or states != self._states:
                with self.device.capture() as graph:
                    self._work(many)
                self._graphs[many] = self._states, graph
            self.device.replay(graph)

    def _work(self, many: bool) -> None:
        """Ask for all of it, in order."""
        if self.program.scalar_bytes:
            self.device.copy(self._base["scalar", 0], self._pinned.ptr, self.program.scalar_bytes)
        for work in self._works:
            self._ask(work)
        if many:
            self._ask(self._keep)

    def _ask(self, work: Work) -> None:
        device = self.device
        if isinstance(work, Launch):
            operands = [Operand(self._address(s), s.nbytes, s.writes) for s in work.spots]
            device.launch(self._module, work.name, work.grid, work.block, operands)
        elif isinstance(work, Move):
            if work.source.nbytes:
                device.copy(self._address(work.target), self._address(work.source), work.source.nbytes)
        else:
            prepared = self._prepared[work]
            bias = self._address(work.bias) if work.bias is not None else 0
            room = self._base["workspace", 0] if prepared.workspace else 0
            device.gemm(prepared, self._address(work.a), self._address(work.b), self._address(work.d), bias, room)

    def _address(self, spot: Spot) -> int:
        return self._base[spot.kind, spot.index] + spot.offset

    def _own(self, array: Array, spot: Spot) -> Any:
        """A copy of a result that is the caller's."""
        memory = self.device.allocate(max(1, array.nbytes))
        if array.nbytes:
            self.device.copy(memory.ptr, self._address(spot), array.nbytes)
        return self.device.view(memory, array.shape, array.dtype, array.strides)

    # once

    def _bind(self) -> None:
        """Choose products, take memory, compile, upload constants: in the first run."""
        if self._memory is not None:
            return
        program, device = self.program, self.device
        self._prepared: dict[Multiply, Any] = {}
        self._works = tuple(self._chosen(program.works))
        self._capacity = max(1, min(KEPT_ROWS, KEPT_BYTES // max(1, sum(a.nbytes for a, _ in program.results))))
        keeper, self._keep = _keeping(program.results, self._capacity)
        self._module = device.compile(program.text + keeper, program.fused)
        sizes: dict[tuple[str, int], int] = {("arena", 0): program.arena_bytes, ("scalar", 0): program.scalar_bytes, ("count", 0): 8}
        sizes |= {("input", i): a.nbytes for i, a in enumerate(program.inputs) if a is not None and i not in program.states}
        sizes |= {("const", i): c.nbytes for i, c in enumerate(program.constants)}
        sizes |= {("result", s.index): a.nbytes for a, s in program.results if s.kind == "result"}
        sizes |= {("kept", i): a.nbytes * self._capacity for i, (a, _) in enumerate(program.results)}
        sizes["workspace", 0] = max((p.workspace for p in self._prepared.values() if p is not None), default=0)
        ends = list(accumulate(_aligned(n) for n in sizes.values()))
        if ends[-1] > (free := device.available()):
            bill = ", ".join(f"{what[0]} {n}" for what, n in sizes.items() if n)
            raise MemoryLimitError(f"the plan takes {ends[-1]} bytes of the GPU ({bill}), {free} are free", op="cupy",
                                   mend="free arrays, take smaller batches, or plan for less: memory_limit=")
        memory = device.allocate(ends[-1])
        self._base: dict[tuple[str, int], int] = {what: memory.ptr + end - _aligned(n) for (what, n), end in zip(sizes.items(), ends)}
        for i, constant in enumerate(program.constants):
            device.upload(self._base["const", i], np.ascontiguousarray(constant))
        self._pinned = device.pinned(program.scalar_bytes) if program.scalar_bytes else None
        self._memory = memory

    def _chosen(self, works: Sequence[Work]) -> Iterator[Work]:
        """The works that run: products that the library does not offer as they are give way to what does the same."""
        for work in works:
            if isinstance(work, Multiply):
                self._prepared[work] = self.device.prepare(work.gemm)
                if self._prepared[work] is None:
                    assert work.otherwise, f"nothing computes {work.gemm}"
                    yield from self._chosen(work.otherwise)
                    continue
            yield work


def _copied(expected: Array, given: Any) -> Any:
    """A copy that lies as planned."""
    if expected.strides is None:
        return given.copy()
    axes = sorted(range(len(expected.shape)), key=lambda axis: -expected.strides[axis])  # type: ignore[index]
    return given.transpose(axes).copy().transpose(np.argsort(axes).tolist())


def _flat(array: np.ndarray) -> np.ndarray:
    """The elements as they lie."""
    return array.transpose(sorted(range(array.ndim), key=lambda axis: -array.strides[axis])).reshape(-1)


def _aligned(nbytes: int) -> int:
    return -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT


def _same(numbers: tuple[Any, ...], before: tuple[Any, ...] | None) -> bool:
    """Whether they are the same to the bit: 1 is not 1.0, 0.0 not -0.0, and a NaN is itself."""
    return before is not None and [(type(n), repr(n)) for n in numbers] == [(type(n), repr(n)) for n in before]


def _keeping(results: Sequence[tuple[Array, Spot]], rows: int) -> tuple[str, Launch]:
    """The kernel that keeps an iteration's results in the row that the counter says, and counts; its text and how it is launched."""
    params = [f"const unsigned char* result{k}, unsigned char* rows{k}" for k in range(len(results))]
    lines = [f"  for (long long i = threadIdx.x; i < {a.nbytes}; i += 32) rows{k}[row * {a.nbytes} + i] = result{k}[i];"
             for k, (a, _) in enumerate(results)]
    text = "\n".join([
        f'\nextern "C" __global__ void __launch_bounds__(32) keep_results({", ".join([*params, "long long* count"])}) {{',
        f"  const long long row = *count % {rows};", *lines, "  __syncthreads();", "  if (threadIdx.x == 0) *count += 1;", "}", ""])
    spots = [spot for k, (a, at) in enumerate(results)
             for spot in (replace(at, nbytes=a.nbytes, writes=False), Spot("kept", 0, a.nbytes * rows, k, True))]
    return text, Launch("keep_results", (1,), (32,), (*spots, Spot("count", 0, 8, writes=True)))
