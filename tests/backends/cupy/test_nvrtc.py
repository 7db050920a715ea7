"""NVRTC compiles for GPUs that are not here: code for three generations, what the assembler says of it, and the code kept on disk."""
from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from backends.cupy import nvrtc
from backends.cupy.graph_run import _keeping
from backends.cupy.plain_product import plain_product
from backends.cupy.plan_program import program
from backends.cupy.products import View
from backends.cupy.work import Array, Launch, Spot
from ir.errors import BackendUnavailable, Error
from tests.backends.cupy.programs import LARGE
from tests.backends.cupy.test_emulated import SOFTMAX
from tests.backends.cupy.test_plans import large

HERE = importlib.util.find_spec("cuda") is not None and importlib.util.find_spec("cuda.bindings") is not None
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
needs_nvrtc = pytest.mark.skipif(
    not HERE and not os.environ.get("GRADPLAN_REQUIRE_NVRTC"), reason="needs NVRTC: cuda-bindings and nvidia-cuda-nvrtc")

SPILLS = """extern "C" __global__ void __launch_bounds__(1024, 2) spills(double* x) {
  double a[64];
#pragma unroll
  for (int i = 0; i < 64; i++) a[i] = x[i * 1024 + threadIdx.x];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 64; i++) x[i * 1024 + threadIdx.x] = a[63 - i] * a[(i * 7) & 63];
}"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "gradplan" / "cubins"


@needs_nvrtc
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_emulated_text_compiles(arch: str) -> None:
    cubin = nvrtc.compile_module(SOFTMAX, arch)
    assert cubin.image.startswith(b"\x7fELF") and cubin.arch == arch
    assert set(cubin.kernels) == {"softmax", "twice", "turned"}
    found = cubin.kernels["softmax"]
    assert found.shared == 32 and found.barriers == 1 and 8 <= found.registers <= 64
    assert not any(k.spill_stores or k.spill_loads or k.stack for k in cubin.kernels.values())


@needs_nvrtc
@pytest.mark.parametrize("name", LARGE)
def test_the_workloads_spill_nothing(name: str) -> None:
    work = program(large(name))
    names = {w.name for w in work.works if isinstance(w, Launch)}
    for arch in ARCHITECTURES:
        kernels = nvrtc.compile_module(work.text, arch).kernels
        assert names <= kernels.keys()
        assert not [(arch, k, r) for k, r in kernels.items() if r.spill_stores or r.spill_loads or r.stack]
        assert all(r.shared <= 48 << 10 and r.registers <= 128 for r in kernels.values())


@needs_nvrtc
def test_kernels_of_the_runner_and_of_products_compile() -> None:
    f4, i4, b1 = (np.dtype(c) for c in ("f4", "i4", "?"))
    last = View((5,), (1,))
    a, b, d = View((2, 3, 4), (12, -4, 1)), View((2, 4, 5), (0, 5, 1)), View((2, 3, 5), (15, 5, 1))
    texts = [plain_product("p0", [a, b, d], [i4] * 3)[0], plain_product("p1", [a, b, d], [b1] * 3)[0],
             plain_product("p2", [View((3, 4), (4, 1)), View((4, 5), (5, 1)), View((3, 5), (5, 1)), last], [f4] * 4, "sum_b")[0],
             _keeping([(Array((), f4), Spot("arena", 0, 4)), (Array((3, 5), f4), Spot("result", 0, 60))], 17)[0]]
    kernels = nvrtc.compile_module("\n".join(texts), "sm_90").kernels
    assert set(kernels) == {"p0", "p1", "p2", "keep_results"} and not any(k.spill_loads or k.stack for k in kernels.values())


@needs_nvrtc
def test_spills_are_seen() -> None:
    found = nvrtc.compile_module(SPILLS, "sm_80", keep=False).kernels["spills"]
    assert found.registers <= 32 and found.spill_stores > 0 and found.spill_loads > 0


@needs_nvrtc
def test_code_is_kept_and_found(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = nvrtc.compile_module(SOFTMAX, "sm_80")
    assert len(list(own_folder.iterdir())) == 1
    monkeypatch.setattr(nvrtc, "_compile", lambda *args: pytest.fail("compiled again"))
    assert nvrtc.compile_module(SOFTMAX, "sm_80") == first


@needs_nvrtc
def test_options_and_architectures_have_code_of_their_own(own_folder: Path) -> None:
    text = 'extern "C" __global__ void f(float* x) { x[0] = x[1] * x[2] + x[3]; }'
    codes = [nvrtc.compile_module(text, arch, fused).image for arch, fused in (("sm_80", True), ("sm_80", False), ("sm_90", True))]
    assert len(set(codes)) == 3 and len(list(own_folder.iterdir())) == 3
    damaged = sorted(own_folder.iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert [nvrtc.compile_module(text, arch, fused).image
            for arch, fused in (("sm_80", True), ("sm_80", False), ("sm_90", True))] == codes, "the same bytes again"


@needs_nvrtc
def test_a_text_that_is_no_program() -> None:
    with pytest.raises(Error, match=r'(?s)NVRTC refuses the text of a plan for sm_80:.*plan.cu\(1\).*"y" is undefined'):
        nvrtc.compile_module('extern "C" __global__ void f(float* x) { x[0] = y; }', "sm_80")


@needs_nvrtc
def test_what_a_gpu_is_compiled_for() -> None:
    assert [nvrtc.architecture(*c) for c in ((8, 0), (8, 6), (8, 8), (9, 0), (9, 9), (10, 0))] == [
        "sm_80", "sm_86", "sm_88", "sm_90", "sm_90", "sm_100"]
    with pytest.raises(BackendUnavailable, match="makes no code for a GPU of compute capability 99.0"):
        nvrtc.architecture(99, 0)


def test_missing_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(nvrtc.importlib, "import_module", missing)
    nvrtc._nvrtc.cache_clear()
    try:
        with pytest.raises(BackendUnavailable, match="(?s)NVRTC, which compiles kernels, is missing.*pip install 'gradplan"):
            nvrtc.version()
    finally:
        nvrtc._nvrtc.cache_clear()
