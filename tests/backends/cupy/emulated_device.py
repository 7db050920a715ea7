"""A Device on the CPU: kernels through `emulated`, products through `column_major`, everything checked that a GPU would leave unsaid.

Work is done as late as it may be (when somebody waits) or, with `late=False`, at once: what is right is right both ways. Each launch sees
its operands alone, in memory of its own between guarded pages: a touch beside them, a write into what it only reads, and memory that nobody
has written (NaN) show. While a graph is captured, what may not be asked for raises. `Graph.dead`: bytes filled with NaN after a node.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backends.cupy.device import WORKSPACE_BYTES, Gemm, Memory, Operand, itemsize
from tests.backends.cupy import emulated
from tests.backends.cupy.column_major import run_gemm

Work = Callable[[], None]


class Misuse(Exception):
    """What a real device would have refused, or worse, not noticed."""


@dataclass
class Graph:
    """Captured work, named for those who count it."""

    names: list[str] = field(default_factory=list)
    nodes: list[Work] = field(default_factory=list)
    dead: Mapping[int, Sequence[tuple[int, int]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    gemm: Gemm
    workspace: int


class EmulatedDevice:
    """`order` of threads and `at` (which end of its page memory is put to) are of `emulated`; `counts` says what was asked for."""

    def __init__(self, order: str = "forward", at: str = "end", late: bool = True, workspace: int = 1 << 10,
                 offers: Callable[[Gemm], bool] = lambda gemm: True) -> None:
        self.order, self.at, self.late, self.workspace = order, at, late, workspace
        self.offers, self.limit = offers, 1 << 30
        self.counts: dict[str, int] = {}
        self.outstanding = self.most = 0
        self._held: dict[int, Any] = {}
        self._queue: list[Work] = []
        self._done = self._asked = 0
        self._graph: Graph | None = None
        self._inside = False

    # memory

    def allocate(self, nbytes: int) -> Memory:
        self._outside("allocate")
        return self._take(nbytes, 256)

    def pinned(self, nbytes: int) -> Any:
        self._outside("pinned")
        return self._take(nbytes, 16)

    def _take(self, nbytes: int, align: int) -> Any:
        memory = emulated.Memory(nbytes, self.at, align)
        self._held[memory.ptr] = memory
        self.outstanding += nbytes
        self.most = max(self.most, self.outstanding)
        return memory

    def free(self, memory: Any) -> None:
        """Tests give memory back by hand, to see that nobody touches it any more."""
        self._drain(self._asked)
        del self._held[memory.ptr]
        self.outstanding -= memory.nbytes

    def bytes_at(self, ptr: int, nbytes: int, what: str) -> np.ndarray:
        """The bytes between two addresses, which lie in one buffer."""
        for memory in self._held.values():
            if memory.ptr <= ptr and ptr + nbytes <= memory.ptr + memory.nbytes:
                return memory.bytes[ptr - memory.ptr : ptr - memory.ptr + nbytes]
        near = [m for m in self._held.values() if m.ptr <= ptr < m.ptr + m.nbytes]
        raise Misuse(f"{what}: {nbytes} bytes at {near[0].ptr:#x}+{ptr - near[0].ptr} reach past a buffer of {near[0].nbytes}" if near
                     else f"{what}: no buffer holds the address {ptr:#x}")

    # order

    def _outside(self, what: str) -> None:
        if self._graph is not None:
            raise Misuse(f"{what} while a graph is captured")
        self.counts[what] = self.counts.get(what, 0) + 1

    def _ask(self, name: str, work: Work) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
        if self._graph is not None:
            self._graph.names.append(name)
            self._graph.nodes.append(work)
            return
        self._asked += 1
        self._queue.append(work)
        if not self.late:
            self._drain(self._asked)

    def mark(self, again: int | None = None) -> int:
        self._outside("mark")
        return self._asked

    def synchronize(self, mark: int | None = None) -> None:
        self._outside("synchronize")
        self._drain(self._asked if mark is None else mark)

    def _drain(self, upto: int) -> None:
        while self._done < upto:
            self._done += 1
            self._queue.pop(0)()

    @contextmanager
    def call(self) -> Iterator[None]:
        if self._inside or self._graph is not None:
            raise Misuse("a call inside a call or a capture")
        self._inside = True
        try:
            yield
        finally:
            self._inside = False

    @contextmanager
    def capture(self) -> Iterator[Graph]:
        self._outside("capture")
        self._graph = graph = Graph()
        try:
            yield graph
        finally:
            self._graph = None

    def replay(self, graph: Graph) -> None:
        self._outside("replay")
        self._ask("graph", lambda: self._run(graph))

    def _run(self, graph: Graph) -> None:
        for k, node in enumerate(graph.nodes):
            node()
            for ptr, nbytes in graph.dead.get(k, ()):
                self.bytes_at(ptr, nbytes, "dead memory")[:] = 0xFF

    # work

    def upload(self, ptr: int, host: np.ndarray) -> None:
        self._outside("upload")
        assert host.flags.c_contiguous, "an upload takes C-ordered arrays"
        data = np.frombuffer(host.tobytes(), np.uint8)
        self.counts["uploaded bytes"] = self.counts.get("uploaded bytes", 0) + data.size
        self._ask("upload of bytes", lambda: self._write(ptr, data, "upload"))

    def _write(self, ptr: int, data: np.ndarray, what: str) -> None:
        self.bytes_at(ptr, data.size, what)[:] = data

    def download(self, ptr: int, shape: Sequence[int], dtype: Any) -> np.ndarray:
        self._outside("download")
        self._drain(self._asked)
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return self.bytes_at(ptr, nbytes, "download").copy().view(dtype).reshape(tuple(shape))

    def copy(self, dst: int, src: int, nbytes: int) -> None:
        self.bytes_at(dst, nbytes, "copy"), self.bytes_at(src, nbytes, "copy")
        if max(dst, src) < min(dst, src) + nbytes:
            raise Misuse("copy: source and destination overlap")
        self._ask("copy", lambda: self._write(dst, self.bytes_at(src, nbytes, "copy").copy(), "copy"))

    def address(self, array: np.ndarray) -> int | None:
        ptr = array.__array_interface__["data"][0]
        return ptr if any(m.ptr <= ptr <= m.ptr + m.nbytes for m in self._held.values()) else None

    def available(self) -> int:
        return self.limit - self.outstanding

    def view(self, memory: Any, shape: Sequence[int], dtype: Any, strides: Sequence[int] | None = None) -> np.ndarray:
        return np.ndarray(tuple(shape), dtype, memory.bytes.data, strides=strides)

    def compile(self, text: str, fused: bool = True) -> emulated.Module:
        self._outside("compile")
        return emulated.load(text)

    def launch(self, module: emulated.Module, name: str, grid: Sequence[int], block: Sequence[int], operands: Sequence[Operand]) -> None:
        for i, operand in enumerate(operands):
            self.bytes_at(operand.ptr, operand.nbytes, f"{name}, parameter {i}")
        self._ask("launch", lambda: self._launch(module, name, grid, block, list(operands)))

    def _launch(self, module: emulated.Module, name: str, grid: Sequence[int], block: Sequence[int], operands: list[Operand]) -> None:
        rooms = [(start, end, emulated.Memory(end - start, self.at, phase=start % 16)) for start, end in _runs(operands)]
        for start, end, room in rooms:
            room.bytes[:] = self.bytes_at(start, end - start, name)
        addresses = [next(room.ptr + o.ptr - start for start, end, room in rooms if start <= o.ptr and o.ptr + o.nbytes <= end)
                     for o in operands]
        module.launch(name, grid, block, addresses, self.order)
        for start, end, room in rooms:
            if not room.intact():
                raise Misuse(f"{name} writes beside its operands at {start:#x}")
            here, may = self.bytes_at(start, end - start, name), np.zeros(end - start, bool)
            for operand in operands:
                if operand.writes and start <= operand.ptr < end:
                    may[operand.ptr - start : operand.ptr - start + operand.nbytes] = True
            if not np.array_equal(here[~may], room.bytes[~may]):
                raise Misuse(f"{name} writes into what it only reads")
            here[may] = room.bytes[may]

    def prepare(self, gemm: Gemm) -> Prepared | None:
        self._outside("prepare")
        if not self.offers(gemm):
            return None
        assert self.workspace <= WORKSPACE_BYTES
        return Prepared(gemm, self.workspace)

    def gemm(self, prepared: Prepared, a: int, b: int, d: int, bias: int = 0, workspace: int = 0) -> None:
        one, two, out, beside = prepared.gemm.spans()
        writes_bias = prepared.gemm.epilogue in ("bgrada", "bgradb")
        parts = {"A": (a, one, False), "B": (b, two, False), "D": (d, out, True), "bias": (bias, beside, writes_bias),
                 "workspace": (workspace, prepared.workspace, True)}
        parts = {key: part for key, part in parts.items() if part[1]}
        for key, (ptr, nbytes, writes) in parts.items():
            self.bytes_at(ptr, nbytes, f"product, {key}")
            if key in "ABD" and ptr % prepared.gemm.align:
                raise Misuse(f"product, {key}: {ptr:#x} is no multiple of {prepared.gemm.align}")
            for other, (start, size, _) in parts.items():
                if writes and key != other and max(ptr, start) < min(ptr + nbytes, start + size):
                    raise Misuse(f"product: {key} overlaps {other}")
        self._ask("product", lambda: self._gemm(prepared.gemm, parts))

    def _gemm(self, gemm: Gemm, parts: Mapping[str, tuple[int, int, bool]]) -> None:
        if "workspace" in parts:
            self.bytes_at(*parts["workspace"][:2], "workspace")[:] = 0xFF
        dtypes = {"A": gemm.dtype, "B": gemm.dtype, "D": gemm.out, "bias": gemm.out}
        assert itemsize(gemm.dtype) == np.dtype(gemm.dtype).itemsize
        a, b, d, bias = [self.bytes_at(*parts[key][:2], key).view(dtypes[key]) if key in parts else None for key in ("A", "B", "D", "bias")]
        assert a is not None and b is not None and d is not None
        run_gemm(gemm, a, b, d, bias)


def _runs(operands: Sequence[Operand]) -> list[tuple[int, int]]:
    """The spans of the operands, those that touch one another in one."""
    runs: list[tuple[int, int]] = []
    for start, end in sorted((o.ptr, o.ptr + o.nbytes) for o in operands):
        if runs and start < runs[-1][1]:
            runs[-1] = (runs[-1][0], max(runs[-1][1], end))
        else:
            runs.append((start, end))
    return runs
