"""CUDA text run on the CPU: g++ compiles it behind `emulate.h`, and each launch is a call.

In: the text of a module, as NVRTC would get it. Out: `Module.launch`, which takes what the driver takes (grid, block, addresses, numbers),
and `run`, which takes arrays and runs a kernel in both thread orders, with memory that ends, then begins, at a page nobody may touch. What
a kernel does wrong is a `Fault` that names line, block and thread. Libraries are kept in a folder for temporary files, by hash of the text.
"""
from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

HEADER = Path(__file__).with_name("emulate.h")
FLAGS = ("-std=c++20", "-O1", "-g1", "-fPIC", "-shared", "-ffp-contract=off", "-fno-ipa-reference", "-fno-math-errno", "-U_FORTIFY_SOURCE",
         "-fsanitize=bounds,signed-integer-overflow,shift-exponent,alignment", "-nodefaultlibs")
KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(')
KEPT = 400
PAGE = os.sysconf("SC_PAGE_SIZE")
ORDERS = ("forward", "reversed")
Size = int | Sequence[int]
_launching = threading.Lock()

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None and not os.environ.get("GRADPLAN_REQUIRE_GXX"), reason="needs g++ to compile CUDA text for the CPU")


class Fault(Exception):
    """What a kernel did wrong, and where: `line` of the text (0: unknown), `block` and `thread` counted along x first."""

    def __init__(self, kernel: str, text: str, line: int, block: int, thread: int, address: int = 0) -> None:
        where = f"line {line}, " if line else ""
        super().__init__(f"{kernel}: {where}block {block}, thread {thread}: {text}")
        self.kernel, self.text, self.line, self.block, self.thread, self.address = kernel, text, line, block, thread, address


class _Fault(ctypes.Structure):
    _fields_ = [("line", ctypes.c_int), ("block", ctypes.c_uint), ("thread", ctypes.c_uint), ("address", ctypes.c_uint64),
                ("pc", ctypes.c_uint64), ("text", ctypes.c_char * 200)]


@dataclass
class Module:
    """The kernels of a text, ready to be launched."""

    path: Path
    names: tuple[str, ...]
    library: ctypes.CDLL = field(repr=False)

    def launch(self, name: str, grid: Size, block: Size, args: Sequence[object], order: str = "forward") -> None:
        """Run kernel `name`. `args`: addresses as Python ints, numbers as NumPy scalars of the kernel's types. Raises `Fault`."""
        held = [np.uint64(arg) if isinstance(arg, int) else np.asarray(arg)[()] for arg in args]
        boxes = [np.array([arg]) for arg in held]
        pointers = (ctypes.c_void_p * max(len(boxes), 1))(*[box.ctypes.data for box in boxes])
        fault, sizes = _Fault(), [(ctypes.c_uint * 3)(*_three(n)) for n in (grid, block)]
        with _launching:
            failed = getattr(self.library, f"emulated_{name}")(pointers, *sizes, int(order == "reversed"), ctypes.byref(fault))
        if failed:
            line = fault.line or (self._line(fault.pc) if fault.pc else 0)
            raise Fault(name, fault.text.decode(), line, fault.block, fault.thread, fault.address)

    def _line(self, pc: int) -> int:
        """The line of the text that an instruction comes from, as the debugger's tables have it; 0 where they say nothing."""
        base = ctypes.cast(getattr(self.library, f"emulated_{self.names[0]}"), ctypes.c_void_p).value or 0
        symbols = subprocess.run(["nm", "-D", str(self.path)], capture_output=True, text=True, check=True).stdout
        start = base - int(re.search(rf"(\w+) T emulated_{self.names[0]}\n", symbols)[1], 16)  # type: ignore[index]
        command = ["addr2line", "-i", "-e", str(self.path), hex(pc - start)]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        lines = re.findall(r"kernels\.cu:(\d+)", found)
        return int(lines[0]) if lines else 0


def _three(n: Size) -> tuple[int, ...]:
    sizes = (n,) if isinstance(n, int) else tuple(n)
    return (*sizes, *(1,) * (3 - len(sizes)))


@lru_cache(maxsize=256)
def load(text: str) -> Module:
    """Compile a text for the CPU, or find it compiled. A text that g++ refuses raises with what g++ says."""
    names = tuple(KERNEL.findall(text))
    assert names, 'the text has no kernel: each begins with extern "C" __global__ void'
    exports = "\n".join(f"EMULATED({name})" for name in names)
    whole = f'#include "{HEADER}"\n#line 1 "kernels.cu"\n{text}\n#line 1 "exports"\n{exports}\n'
    path = build(whole, FLAGS, ("-lm", "-lc", "-lgcc"), HEADER.read_text())
    return Module(path, names, ctypes.CDLL(str(path)))


def build(text: str, flags: Sequence[str], libraries: Sequence[str] = (), included: str = "") -> Path:
    """The library that g++ makes of a text (and of what it includes), or made before."""
    key = hashlib.sha256("\0".join([text, included, *flags]).encode()).hexdigest()[:32]
    folder = Path(tempfile.gettempdir()) / f"gradplan-emulated-{os.getuid()}"
    path = folder / f"{key}.so"
    with contextlib.suppress(FileNotFoundError):
        os.utime(path)
        return path
    folder.mkdir(mode=0o700, exist_ok=True)
    _forget(folder)
    made = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
    command = ["g++", *flags, "-x", "c++", "-", "-o", str(made), *libraries]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"g++ refuses the text:\n{done.stderr}")
    made.replace(path)
    return path


def _forget(folder: Path) -> None:
    """Keep the newest of the libraries, and what another process has used just now."""
    found = []
    for path in folder.glob("*.so"):
        with contextlib.suppress(FileNotFoundError):  # another process forgets too
            found.append((path.stat().st_mtime, path))
    for used, old in sorted(found)[:-KEPT]:
        if used < time.time() - 600:
            old.unlink(missing_ok=True)


class Memory:
    """Bytes between two pages that nobody may touch, filled with 0xFF: NaN. `at`: "end" puts the last byte before the upper page (up to
    `align`), "start" the first one behind the lower page; the address is `phase` behind a multiple of `align`."""

    def __init__(self, nbytes: int, at: str = "end", align: int = 16, phase: int = 0) -> None:
        pages = -(-max(nbytes + phase, 1) // PAGE) * PAGE
        self.nbytes, self._mapped = nbytes, pages + 2 * PAGE
        self._base = _mmap(None, self._mapped, 3, 0x22, -1, 0)
        assert self._base not in (None, ctypes.c_void_p(-1).value), "no memory"
        for guard in (self._base, self._base + PAGE + pages):
            assert _mprotect(guard, PAGE, 0) == 0
        self._bytes = np.frombuffer((ctypes.c_uint8 * pages).from_address(self._base + PAGE), np.uint8)
        self._bytes[:] = 0xFF
        self._start = (pages - nbytes - phase) // align * align + phase if at == "end" else phase
        self.ptr = self._base + PAGE + self._start
        self.bytes = self._bytes[self._start : self._start + nbytes]

    def array(self, shape: Sequence[int], dtype: object, offset: int = 0) -> np.ndarray:
        """The bytes from `offset` on as a C-ordered array."""
        kind = np.dtype(dtype)  # type: ignore[call-overload]
        return self.bytes[offset : offset + int(np.prod(shape)) * kind.itemsize].view(kind).reshape(tuple(shape))

    def intact(self) -> bool:
        """Whether the bytes around it, up to the pages, are as they were."""
        around = (self._bytes[: self._start], self._bytes[self._start + self.nbytes :])
        return all((part == 0xFF).all() for part in around)

    def __del__(self) -> None:
        if getattr(self, "_base", None):
            _munmap(self._base, self._mapped)


_libc = ctypes.CDLL(None, use_errno=True)
_mmap, _mprotect, _munmap = _libc.mmap, _libc.mprotect, _libc.munmap
_mmap.restype, _mmap.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_mprotect.argtypes, _munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int], [ctypes.c_void_p, ctypes.c_size_t]


def run(text: str, name: str, grid: Size, block: Size, *args: object, writes: Sequence[int] = ()) -> None:
    """Run a kernel on NumPy arrays (C-ordered; those at the positions `writes` are written into) and scalars, in both orders and with
    memory at both ends of its pages. All four must agree to the bit, and nothing but `writes` may change.
    """
    results: list[list[np.ndarray]] = []
    module = load(text)
    for order in ORDERS:
        for at in ("end", "start"):
            memories = {i: Memory(arg.nbytes, at) for i, arg in enumerate(args) if isinstance(arg, np.ndarray)}
            for i, memory in memories.items():
                memory.bytes[:] = _bytes(args[i])
            module.launch(name, grid, block, [memories[i].ptr if i in memories else arg for i, arg in enumerate(args)], order)
            for i, memory in memories.items():
                assert memory.intact(), f"{name} writes beside its argument {i} ({order})"
                assert i in writes or np.array_equal(memory.bytes, _bytes(args[i])), f"{name} writes into argument {i}, which it only reads"
            results.append([memories[i].bytes.copy() for i in writes])
    for other in results[1:]:
        for i, one, two in zip(writes, results[0], other):
            assert np.array_equal(one, two), f"{name}: argument {i} depends on the order of threads or on where it lies"
    for i, value in zip(writes, results[0]):
        _bytes(args[i])[:] = value


def _bytes(array: object) -> np.ndarray:
    assert isinstance(array, np.ndarray) and array.flags.c_contiguous, "arguments are C-ordered arrays"
    return array.reshape(-1).view(np.uint8)
