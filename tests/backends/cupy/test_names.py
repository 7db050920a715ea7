"""Every name of the bindings that the backend uses is in the installed ones, and takes what it is given; read from the sources."""
from __future__ import annotations

import ast
import ctypes
import importlib
import importlib.util
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from backends.cupy import cublaslt, cuda_device, nvrtc
from backends.cupy.device import WORKSPACE_BYTES, Gemm
from tests.backends.cupy.fake_cuda import SOURCE, needs_bindings
from tests.backends.cupy.test_nvrtc import needs_nvrtc

needs_nvmath = pytest.mark.skipif(
    importlib.util.find_spec("nvmath") is None and not os.environ.get("GRADPLAN_REQUIRE_NVRTC"), reason="needs nvmath-python")


def tree(module: Any) -> ast.Module:
    return ast.parse(Path(module.__file__).read_text())


def strings(module: Any, pattern: str) -> set[str]:
    """The string constants of a file that are names of that form."""
    found = {n.value for n in ast.walk(tree(module)) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return {text for text in found if re.fullmatch(pattern, text)}


def attributes(module: Any, of: str) -> set[str]:
    """What a file reads from something called `of`: `lt.matmul`, `self.lt.matmul`."""
    found = [n for n in ast.walk(tree(module)) if isinstance(n, ast.Attribute)]
    return {n.attr for n in found if ast.unparse(n.value) in (of, f"self.{of}", f"self._device.{of}")}


def driver_calls() -> set[str]:
    return strings(cuda_device, "cu[A-Z][A-Za-z]+") | {name for name in attributes(cuda_device, "driver") if name.startswith("cu")}


@needs_bindings
def test_calls_of_the_driver() -> None:
    driver = importlib.import_module("cuda.bindings.driver")
    used = driver_calls()
    assert {"cuGraphLaunch", "cuLaunchKernel", "cuMemcpyAsync", "cuStreamBeginCapture"} <= used
    assert not [name for name in sorted(used | attributes(cuda_device, "driver")) if not hasattr(driver, name)]
    assert driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL == 1
    for number, name in ((cuda_device.MAJOR, "MAJOR"), (cuda_device.MINOR, "MINOR")):
        assert getattr(driver.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_{name}") == number


def test_the_fake_driver_has_what_the_backend_calls_and_no_more() -> None:
    made = set(re.findall(r"fake_(cu\w+)\(", SOURCE.read_text())) - {"cuCtxGetCurrent"}
    renamed = {"cuGraphInstantiate": "cuGraphInstantiateWithFlags"}
    used = {renamed.get(name, name) for name in driver_calls()}
    assert made - used <= {"cuStreamDestroy", "cuDeviceGetCount", "cuDevicePrimaryCtxRelease"}, "for tests"
    assert used <= made


@needs_nvrtc
def test_calls_of_nvrtc() -> None:
    bindings = importlib.import_module("cuda.bindings.nvrtc")
    used = strings(nvrtc, "nvrtc[A-Z][A-Za-z]+") | attributes(nvrtc, "nvrtc")
    used |= {f"{name}Size" for name in used if name in ("nvrtcGetProgramLog", "nvrtcGetCUBIN")}
    assert "nvrtcCompileProgram" in used and not [name for name in sorted(used) if not hasattr(bindings, name)]


class Recorded:
    """The bindings of cublasLt with the calls that need a GPU taken out: descriptors are dictionaries, enums and types the real ones."""

    def __init__(self, offers: bool = True) -> None:
        self.real, self.offers = importlib.import_module("nvmath.bindings.cublasLt"), offers
        self.made: dict[int, dict[Any, int]] = {}
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.real, name)
        if name[0].isupper() or name.endswith("dtype"):
            return found
        if not found.__doc__ or "(" not in found.__doc__:
            raise AttributeError(name)
        arity = found.__doc__.partition("(")[2].partition(")")[0].count(",") + 1

        def call(*args: Any) -> Any:
            assert len(args) == arity or (not args and f"{name}()" in found.__doc__), f"{name} takes {arity} arguments: {found.__doc__}"
            self.calls.append((name, args))
            return self._answer(name, args)

        return call

    def _answer(self, name: str, args: tuple[Any, ...]) -> Any:
        if name.endswith("_create"):
            self.made[len(self.made) + 1] = {"made with": args}  # type: ignore[dict-item]
            return len(self.made)
        if name.endswith("_set_attribute"):
            target, what, address, size = args
            buffer = (ctypes.c_uint8 * size).from_address(address)
            self.made[target][what] = int.from_bytes(bytes(buffer), "little")
        if name == "matmul_algo_get_heuristic":
            result = self.real.matmul_heuristic_result_dtype
            one = np.ctypeslib.as_array((ctypes.c_uint8 * result.itemsize).from_address(args[8]))
            one.view(result)["workspace_size"] = 4096
            np.ctypeslib.as_array((ctypes.c_int32 * 1).from_address(args[9]))[0] = self.offers
        return 77


@pytest.fixture
def bindings(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    made = Recorded()
    cublas, types = importlib.import_module("nvmath.bindings.cublas"), importlib.import_module("nvmath").CudaDataType
    monkeypatch.setattr(cublaslt, "_libraries", lambda: (made, cublas, types))
    return made


@needs_nvmath
@pytest.mark.parametrize("gemm", [
    Gemm(10, 33, 20, "float32", 10, 20, 10, epilogue="bias"),
    Gemm(10, 33, 20, "float32", 20, 20, 10, trans_a=True, precision="tf32", epilogue="gelu_bias", align=256),
    Gemm(4, 5, 6, "float64", 4, 6, 4, batch=3, stride_a=24, stride_b=0, stride_d=20, beta=1.0),
    Gemm(4, 5, 6, "float16", 4, 6, 4, out="float32", epilogue="bgrada"),
    Gemm(4, 5, 6, "bfloat16", 4, 6, 4, epilogue="relu_bias"),
    Gemm(4, 5, 6, "complex64", 6, 5, 4, trans_a=True, conj_a=True, trans_b=True),
    Gemm(4, 5, 6, "complex128", 4, 6, 4, epilogue="none"),
])
def test_products_are_said_in_the_librarys_terms(gemm: Gemm, bindings: Recorded) -> None:
    lt, cublas = bindings.real, importlib.import_module("nvmath.bindings.cublas")
    products = cublaslt.Products()
    prepared = products.prepare(gemm)
    assert prepared is not None and prepared.workspace == 4096 and products.prepare(gemm) is prepared
    said = bindings.made[prepared.operation]
    what = lt.MatmulDescAttribute
    assert said[what.TRANSA] == (2 if gemm.conj_a else int(gemm.trans_a)) and said[what.TRANSB] == int(gemm.trans_b)
    assert said[what.EPILOGUE] == lt.Epilogue[cublaslt.EPILOGUES[gemm.epilogue]]
    compute, scale = said["made with"]
    assert compute == {"float32": cublas.ComputeType.COMPUTE_32F, "tf32": cublas.ComputeType.COMPUTE_32F_FAST_TF32,
                       "float64": cublas.ComputeType.COMPUTE_64F}[gemm.precision]
    assert scale == {"float16": 0, "bfloat16": 0, "float32": 0, "float64": 1, "complex64": 4, "complex128": 5}[gemm.dtype]
    layouts = [bindings.made[layout] for layout in prepared.layouts]
    assert [layout["made with"][1:] for layout in layouts] == [
        (gemm.rows_a, gemm.m + gemm.k - gemm.rows_a, gemm.lda), (gemm.rows_b, gemm.n + gemm.k - gemm.rows_b, gemm.ldb),
        (gemm.m, gemm.n, gemm.ldd)]
    if gemm.batch > 1:
        at = lt.MatrixLayoutAttribute
        assert [(x[at.BATCH_COUNT], x[at.STRIDED_BATCH_OFFSET]) for x in layouts] == [(3, 24), (3, 0), (3, 20)]
    wishes = next(made for made in bindings.made.values() if lt.MatmulPreferenceAttribute.MAX_WORKSPACE_BYTES in made)
    assert wishes[lt.MatmulPreferenceAttribute.MAX_WORKSPACE_BYTES] == WORKSPACE_BYTES
    assert wishes[lt.MatmulPreferenceAttribute.MIN_ALIGNMENT_D_BYTES] == gemm.align
    assert not wishes[lt.MatmulPreferenceAttribute.REDUCTION_SCHEME_MASK] & lt.ReductionScheme.INPLACE
    before = len(bindings.calls)
    products.run(prepared, 0x100, 0x200, 0x300, 0x400 if gemm.bias_length() else 0, 0x500, 9)
    names = [name for name, _ in bindings.calls[before:]]
    assert names == ["matmul_desc_set_attribute"] * bool(gemm.bias_length()) + ["matmul"], "it may be captured"
    args = bindings.calls[-1][1]
    one, two, result = prepared.layouts
    assert args[3:7] == (0x100, one, 0x200, two) and args[8:12] == (0x300, result, 0x300, result) and args[13:] == (0x500, 4096, 9)
    assert prepared.alpha == 1 and prepared.beta == gemm.beta and prepared.alpha.dtype == cublaslt.SCALES.get(gemm.dtype, gemm.dtype)
    assert not gemm.bias_length() or said[what.BIAS_POINTER] == 0x400


@needs_nvmath
def test_a_library_that_offers_nothing(bindings: Recorded) -> None:
    bindings.offers = False
    assert cublaslt.Products().prepare(Gemm(10, 33, 20, "float32", 10, 20, 10, epilogue="bgrada")) is None


@needs_nvmath
def test_every_name_of_cublaslt_is_there() -> None:
    lt = importlib.import_module("nvmath.bindings.cublasLt")
    used = attributes(cublaslt, "lt")
    assert "matmul" in used and not [name for name in sorted(used) if not hasattr(lt, name)]


def test_a_missing_library_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(cublaslt, "importlib", SimpleNamespace(import_module=missing))
    with pytest.raises(cublaslt.BackendUnavailable, match="(?s)cublasLt, which multiplies matrices, is missing.*nvmath-python"):
        cublaslt.Products()
