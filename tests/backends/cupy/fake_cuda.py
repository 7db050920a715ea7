"""The fake driver for tests: built by g++ from `fake_cuda.cc`, found first by a process of its own, and asked what it saw."""
from __future__ import annotations

import ctypes
import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.cupy.cuda_device import CudaDevice
from backends.cupy.device import Gemm, Memory, Operand
from tests.backends.cupy import emulated

SOURCE = Path(__file__).with_name("fake_cuda.cc")
ROOT = Path(__file__).parents[3]
HERE = importlib.util.find_spec("cuda") is not None and importlib.util.find_spec("cuda.bindings") is not None
needs_bindings = pytest.mark.skipif(
    not HERE and not os.environ.get("GRADPLAN_REQUIRE_NVRTC"), reason="needs the bindings of CUDA's driver: cuda-bindings")


def run_inside(name: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of a file beside this one in a process that finds the fake driver first."""
    made = emulated.build(SOURCE.read_text(), ("-std=c++20", "-O1", "-fPIC", "-shared", "-Wl,-soname,libcuda.so.1"))
    folder = made.with_suffix(".cuda")
    folder.mkdir(exist_ok=True)
    link = folder / "libcuda.so.1"
    if not link.exists():
        aside = folder / f"{os.getpid()}"
        aside.symlink_to(made)
        aside.replace(link)
    env = {**os.environ, "LD_LIBRARY_PATH": f"{folder}:{os.environ.get('LD_LIBRARY_PATH', '')}"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(Path(__file__).with_name(name)), *more]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)


class Fake:
    """The driver of this process, as the tests see it."""

    @cached_property
    def _library(self) -> ctypes.CDLL:
        library = ctypes.CDLL("libcuda.so.1")
        library.fake_count.restype, library.fake_fault.restype = ctypes.c_int64, ctypes.c_char_p
        return library

    def set(self, name: str, value: int) -> None:
        self._library.fake_set(name.encode(), ctypes.c_int64(value))

    def count(self, name: str) -> int:
        return int(self._library.fake_count(name.encode()))

    def fault(self) -> str:
        return self._library.fake_fault().decode()  # type: ignore[no-any-return]

    def reset(self) -> None:
        self._library.fake_reset()

    def nodes(self, graph: Any) -> list[str]:
        """What the nodes of a graph are."""
        out = ctypes.create_string_buffer(100)
        names = []
        for i in range(graph.nodes):
            self._library.fake_node(ctypes.c_void_p(int(graph.exec)), i, out)
            names.append(out.value.decode())
        return names


def build_for_the_cpu(text: str, arch: str, fused: bool) -> bytes:
    """A module as the fake driver takes it: where its library lies."""
    return str(emulated.load(text).path).encode() + b"\0"


class OnDevice(np.ndarray):
    """An array that says of itself that it lies on the device."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self.__array_interface__


def host_array(memory: Memory, shape: Sequence[int], dtype: Any, strides: Sequence[int] | None = None) -> np.ndarray:
    """An array over the fake driver's memory, which is the host's; it keeps the memory."""
    raw = (ctypes.c_uint8 * memory.nbytes).from_address(memory.ptr)
    raw.keeps = memory  # type: ignore[attr-defined]
    return np.ndarray(tuple(shape), dtype, raw, strides=strides).view(OnDevice)


class PlainProducts:
    """Products as kernels of one thread an element, in place of the library's: they go through the driver as those would."""

    def __init__(self, device: CudaDevice) -> None:
        self._device = device

    def prepare(self, gemm: Gemm) -> Any:
        return _PreparedProduct(gemm, self._device.compile(_product_text(gemm)), 256)

    def run(self, prepared: Any, a: int, b: int, d: int, bias: int, workspace: int, stream: int) -> None:
        gemm = prepared.gemm
        sizes = (*gemm.spans(), prepared.workspace)
        operands = [Operand(ptr, size) for ptr, size in zip((a, b, d, bias or d, workspace), sizes)]
        self._device.launch(prepared.module, "product", (-(-gemm.m * gemm.n * gemm.batch // 32),), (32,), operands)


class _PreparedProduct:
    def __init__(self, gemm: Gemm, module: Any, workspace: int) -> None:
        self.gemm, self.module, self.workspace = gemm, module, workspace


def _product_text(gemm: Gemm) -> str:
    """What a library's kernel would compute; real types only."""
    t, o = ({"float32": "float", "float64": "double"}[name] for name in (gemm.dtype, gemm.out))
    a = f"a[z * {gemm.stride_a} + " + (f"l + i * {gemm.lda}]" if gemm.trans_a else f"i + l * {gemm.lda}]")
    b = f"b[z * {gemm.stride_b} + " + (f"j + l * {gemm.ldb}]" if gemm.trans_b else f"l + j * {gemm.ldb}]")
    after = ["s += bias[i];"] * ("bias" in gemm.epilogue) + ["if (s < 0) s = 0;"] * ("relu" in gemm.epilogue)
    sums = {"bgrada": ("j == 0", "i", a), "bgradb": ("i == 0", "j", b)}.get(gemm.epilogue)
    if sums:
        after.append(f"if ({sums[0]}) {{ double r = 0; for (long long l = 0; l < {gemm.k}; l++) r += {sums[2]}; bias[{sums[1]}] = r; }}")
    assert "gelu" not in gemm.epilogue
    return f"""extern "C" __global__ void product(const {t}* a, const {t}* b, {o}* d, {o}* bias, char* workspace) {{
  long long e = (long long)blockIdx.x * 32 + threadIdx.x, i = e % {gemm.m}, j = e / {gemm.m} % {gemm.n}, z = e / {gemm.m} / {gemm.n};
  if (e < 256) workspace[e] = 1;
  if (z < {gemm.batch}) {{
    {o}* at = d + z * {gemm.stride_d} + i + j * {gemm.ldd};
    double s = {f'{gemm.beta} * *at' if gemm.beta else '0'};
    for (long long l = 0; l < {gemm.k}; l++) s += (double){a} * {b};
    {" ".join(after)}
    *at = s;
  }}
}}"""
