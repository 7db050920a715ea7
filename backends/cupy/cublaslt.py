"""cublasLt: a `Gemm` in, a product that is ready to run out, asked for once and before any capture.

Through nvmath-python's bindings, which take addresses and a stream as they are. Invariants: the workspace is the caller's; nothing is
allocated and nothing asked for while a product runs; sums that are split are put together in a fixed order (no scheme that adds in place),
and alignment is promised only as far as the `Gemm` says.
"""
from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.cupy.device import WORKSPACE_BYTES, Gemm
from ir.errors import BackendUnavailable

INSTALL = ("pip install 'gradplan[cuda13]' (for a CUDA 12 driver: 'gradplan[cuda12]'), "
           "or pip install nvmath-python cuda-core nvidia-cublas")
EPILOGUES = {"none": "DEFAULT", "bias": "BIAS", "relu": "RELU", "relu_bias": "RELU_BIAS", "gelu": "GELU", "gelu_bias": "GELU_BIAS",
             "bgrada": "BGRADA", "bgradb": "BGRADB"}
TYPES = {"float16": "CUDA_R_16F", "bfloat16": "CUDA_R_16BF", "float32": "CUDA_R_32F", "float64": "CUDA_R_64F", "complex64": "CUDA_C_32F",
         "complex128": "CUDA_C_64F"}
COMPUTE = {"float32": "COMPUTE_32F", "tf32": "COMPUTE_32F_FAST_TF32", "float64": "COMPUTE_64F"}
SCALES = {"float16": "float32", "bfloat16": "float32"}  # alpha and beta are of the sums' type


@dataclass(eq=False)
class Prepared:
    """A product as the library wants it. `workspace`: the bytes it needs when it runs."""

    gemm: Gemm
    workspace: int
    operation: int
    layouts: tuple[int, int, int]
    algorithm: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray


class Products:
    """The library on one GPU (the current one when it is made)."""

    def __init__(self, device: Any = None) -> None:
        self.lt, self.cublas, self.types = _libraries()
        self.handle = self.lt.create()
        self._prepared: dict[Gemm, Prepared | None] = {}

    def prepare(self, gemm: Gemm) -> Prepared | None:
        """How the library runs it, its own first choice; None where it offers nothing (then the plan does without the epilogue)."""
        if gemm not in self._prepared:
            self._prepared[gemm] = self._choose(gemm)
        return self._prepared[gemm]

    def run(self, prepared: Prepared, a: int, b: int, d: int, bias: int, workspace: int, stream: int) -> None:
        """Ask for it on a stream."""
        if bias:
            self._describe(prepared.operation, "BIAS_POINTER", bias)
        one, two, result = prepared.layouts
        self.lt.matmul(
            self.handle, prepared.operation, prepared.alpha.ctypes.data, a, one, b, two, prepared.beta.ctypes.data, d, result, d, result,
            prepared.algorithm.ctypes.data, workspace, prepared.workspace, stream)

    def _choose(self, gemm: Gemm) -> Prepared | None:
        lt = self.lt
        scale = SCALES.get(gemm.dtype, gemm.dtype)
        operation = lt.matmul_desc_create(self.cublas.ComputeType[COMPUTE[gemm.precision]], self.types[TYPES[scale]])
        for name, trans, conj in (("TRANSA", gemm.trans_a, gemm.conj_a), ("TRANSB", gemm.trans_b, gemm.conj_b)):
            self._describe(operation, name, self.cublas.Operation["C" if conj else "T" if trans else "N"])
        self._describe(operation, "EPILOGUE", lt.Epilogue[EPILOGUES[gemm.epilogue]])
        layouts = (
            self._layout(gemm, gemm.dtype, gemm.rows_a, gemm.m + gemm.k - gemm.rows_a, gemm.lda, gemm.stride_a),
            self._layout(gemm, gemm.dtype, gemm.rows_b, gemm.n + gemm.k - gemm.rows_b, gemm.ldb, gemm.stride_b),
            self._layout(gemm, gemm.out, gemm.m, gemm.n, gemm.ldd, gemm.stride_d))
        wishes = lt.matmul_preference_create()
        self._wish(wishes, "MAX_WORKSPACE_BYTES", WORKSPACE_BYTES)
        self._wish(wishes, "REDUCTION_SCHEME_MASK", lt.ReductionScheme.COMPUTE_TYPE | lt.ReductionScheme.OUTPUT_TYPE)
        for which in "ABCD":
            self._wish(wishes, f"MIN_ALIGNMENT_{which}_BYTES", gemm.align)
        found, count = np.zeros(1, lt.matmul_heuristic_result_dtype), np.zeros(1, np.int32)
        one, two, result = layouts
        try:
            lt.matmul_algo_get_heuristic(
                self.handle, operation, one, two, result, result, wishes, 1, found.ctypes.data, count.ctypes.data)
        except lt.cuBLASLtError:
            return None  # this is how it says that it has nothing
        finally:
            lt.matmul_preference_destroy(wishes)
        if not count[0] or found["state"][0]:
            return None
        scales = [np.array([value], scale) for value in (1, gemm.beta)]
        return Prepared(gemm, int(found["workspace_size"][0]), operation, layouts, found["algo"].copy(), scales[0], scales[1])

    def _layout(self, gemm: Gemm, dtype: str, rows: int, columns: int, ld: int, stride: int) -> int:
        layout = self.lt.matrix_layout_create(self.types[TYPES[dtype]], rows, columns, ld)
        if gemm.batch > 1:
            for name, value in (("BATCH_COUNT", gemm.batch), ("STRIDED_BATCH_OFFSET", stride)):
                what = self.lt.MatrixLayoutAttribute[name]
                self._set(self.lt.matrix_layout_set_attribute, layout, what, value, self.lt.get_matrix_layout_attribute_dtype(what))
        return int(layout)

    def _describe(self, operation: int, name: str, value: int) -> None:
        what = self.lt.MatmulDescAttribute[name]
        self._set(self.lt.matmul_desc_set_attribute, operation, what, value, self.lt.get_matmul_desc_attribute_dtype(what))

    def _wish(self, wishes: int, name: str, value: int) -> None:
        what = self.lt.MatmulPreferenceAttribute[name]
        self._set(self.lt.matmul_preference_set_attribute, wishes, what, value, self.lt.get_matmul_preference_attribute_dtype(what))

    def _set(self, setter: Any, target: int, what: int, value: int, dtype: Any) -> None:
        held = np.array([value], dtype)
        setter(target, what, held.ctypes.data, held.nbytes)


def _libraries() -> tuple[Any, Any, Any]:
    """The bindings of cublasLt, those of cuBLAS (for its enums) and the names of types."""
    try:
        lt, cublas = (importlib.import_module(f"nvmath.bindings.{name}") for name in ("cublasLt", "cublas"))
        lt.get_version()
        return lt, cublas, importlib.import_module("nvmath").CudaDataType
    except (ImportError, RuntimeError) as error:
        raise BackendUnavailable("cublasLt, which multiplies matrices, is missing", op="cupy", mend=INSTALL) from error
