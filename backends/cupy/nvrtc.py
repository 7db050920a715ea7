"""NVRTC: the text of a module in, machine code for one kind of GPU out, with what the assembler says of each kernel.

Called directly (`cuda.bindings.nvrtc`), for it needs neither a driver nor a GPU: plans are compiled and judged anywhere. Invariant: the
same text, options, architecture and version give the same bytes, so `cubins.py` may keep them on disk.
"""
from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from backends.cupy import cubins
from ir.errors import BackendUnavailable, Error

INSTALL = "pip install 'gradplan[cuda13]' (for a CUDA 12 driver: 'gradplan[cuda12]'), or pip install nvidia-cuda-nvrtc cuda-bindings"
OPTIONS = ("--std=c++17", "--ptxas-options=-v")


@dataclass(frozen=True)
class Resources:
    """What the assembler gave a kernel: `registers` a thread, bytes of `shared` memory a block, bytes a thread of `stack` and spilled."""

    registers: int
    shared: int = 0
    stack: int = 0
    spill_stores: int = 0
    spill_loads: int = 0
    barriers: int = 0


@dataclass(frozen=True)
class Cubin:
    """Machine code of a module for one architecture."""

    arch: str
    image: bytes
    kernels: dict[str, Resources]


def compile_module(text: str, arch: str, fused: bool = True, keep: bool = True) -> Cubin:
    """The machine code of a module for "sm_90" and the like. `fused`: products and sums may round once. `keep`: look on disk first, and
    leave it there. BackendUnavailable where NVRTC is missing or too old for the architecture.
    """
    options = (f"--gpu-architecture={arch}", f"--fmad={str(fused).lower()}", *OPTIONS)
    parts = ("cubin", text, *options, "nvrtc {}.{}".format(*version()))
    kept = cubins.find(parts) if keep else None
    if kept is None:
        image, log = _compile(text, arch, options)
        kept = cubins.Kept(image, log)
        if keep:
            cubins.put(parts, kept)
    return Cubin(arch, kept.image, resources(kept.log))


def architecture(major: int, minor: int) -> str:
    """What to compile for on a GPU of this compute capability: its own code, or that of the next lower one of its generation."""
    known = [n for n in _checked("nvrtcGetSupportedArchs") if n // 10 == major and n % 10 <= minor]
    if not known:
        raise BackendUnavailable(f"NVRTC {'{}.{}'.format(*version())} makes no code for a GPU of compute capability {major}.{minor}",
                                 op="cupy", mend="install a newer NVRTC: pip install -U nvidia-cuda-nvrtc")
    return f"sm_{max(known)}"


def version() -> tuple[int, int]:
    """NVRTC's version."""
    major, minor = _checked("nvrtcVersion")
    return major, minor


def resources(log: str) -> dict[str, Resources]:
    """What the assembler's log says of each kernel, in the order of its lines.

    >>> resources('''ptxas info    : Compiling entry function 'k' for 'sm_90'
    ... ptxas         .     8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
    ... ptxas info    : Used 18 registers, used 1 barriers, 32 bytes smem, 376 bytes cmem[0]''')
    {'k': Resources(registers=18, shared=32, stack=8, spill_stores=4, spill_loads=12, barriers=1)}
    """
    found = {}
    for part in log.split("Compiling entry function '")[1:]:
        name = part.partition("'")[0]
        numbers = {what: re.search(rf"(\d+) {text}", part) for what, text in _SAID.items()}
        registers = re.search(r"Used (\d+) registers", part)
        if registers is None:
            raise Error(f"the assembler says nothing of kernel {name}: {part}")
        found[name] = Resources(int(registers[1]), **{what: int(match[1]) if match else 0 for what, match in numbers.items()})
    return found


_SAID = {"shared": "bytes smem", "stack": "bytes stack frame", "spill_stores": "bytes spill stores", "spill_loads": "bytes spill loads",
         "barriers": "barriers"}


def _compile(text: str, arch: str, options: tuple[str, ...]) -> tuple[bytes, str]:
    nvrtc = _nvrtc()
    program = _checked("nvrtcCreateProgram", text.encode(), b"plan.cu", 0, [], [])
    try:
        result, = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
        log = _bytes("nvrtcGetProgramLog", program).rstrip(b"\0 ").decode()
        if result != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise Error(f"NVRTC refuses the text of a plan for {arch}: {log}", op="cupy", mend="this is a fault of the backend: report it")
        return _bytes("nvrtcGetCUBIN", program), log
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _bytes(what: str, program: Any) -> bytes:
    """Bytes that NVRTC writes into memory of ours."""
    room = bytes(_checked(f"{what}Size", program))
    _checked(what, program, room)
    return room


def _checked(name: str, *args: Any) -> Any:
    """What a function of NVRTC gives beside its status."""
    nvrtc = _nvrtc()
    status, *values = getattr(nvrtc, name)(*args)
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise Error(f"{name} failed: {nvrtc.nvrtcGetErrorString(status)[1].decode()}", op="cupy")
    return values[0] if len(values) == 1 else tuple(values)


@lru_cache(maxsize=1)
def _nvrtc() -> Any:
    """The bindings, once its library has been found."""
    try:
        nvrtc = importlib.import_module("cuda.bindings.nvrtc")
        nvrtc.nvrtcVersion()
    except (ImportError, RuntimeError) as error:
        raise BackendUnavailable("NVRTC, which compiles kernels, is missing", op="cupy", mend=INSTALL) from error
    return nvrtc
