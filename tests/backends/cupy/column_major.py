"""What a column-major library does with a `Gemm`, in NumPy; from the library's terms alone, so that it can judge the translation."""
from __future__ import annotations

import numpy as np

from backends.cupy.device import Gemm


def run_gemm(gemm: Gemm, a: np.ndarray, b: np.ndarray, d: np.ndarray, bias: np.ndarray | None = None) -> None:
    """D = epilogue(op(A) @ op(B) + beta * D): `a`, `b`, `d` and `bias` are flat memory. Sums are kept in float64 (complex128)."""
    wide = np.complex128 if np.dtype(gemm.dtype).kind == "c" else np.float64
    biases = []
    for i in range(gemm.batch):
        one = _operand(a[i * gemm.stride_a :], gemm.rows_a, gemm.k + gemm.m - gemm.rows_a, gemm.lda, gemm.trans_a, gemm.conj_a).astype(wide)
        two = _operand(b[i * gemm.stride_b :], gemm.rows_b, gemm.k + gemm.n - gemm.rows_b, gemm.ldb, gemm.trans_b, gemm.conj_b).astype(wide)
        result = _stored(d[i * gemm.stride_d :], gemm.m, gemm.n, gemm.ldd)
        value = one @ two
        if gemm.beta:
            value += gemm.beta * result
        if "bias" in gemm.epilogue:
            assert bias is not None
            value += bias[: gemm.m, None]
        if "relu" in gemm.epilogue:
            value = np.maximum(value, 0)
        if "gelu" in gemm.epilogue:
            value = 0.5 * value * (1 + np.tanh(np.sqrt(2 / np.pi) * (value + 0.044715 * value**3)))
        result[...] = value
        biases.append(one.sum(1) if gemm.epilogue == "bgrada" else two.sum(0))
    if gemm.epilogue in ("bgrada", "bgradb"):
        assert bias is not None and gemm.batch == 1
        bias[: gemm.bias_length()] = biases[0]


def _stored(flat: np.ndarray, rows: int, columns: int, ld: int) -> np.ndarray:
    assert flat.size >= (columns - 1) * ld + rows, "a matrix reaches past its memory"
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), (flat.itemsize, ld * flat.itemsize))


def _operand(flat: np.ndarray, rows: int, columns: int, ld: int, trans: bool, conj: bool) -> np.ndarray:
    matrix = _stored(flat, rows, columns, ld)
    matrix = matrix.T if trans else matrix
    return matrix.conj() if conj else matrix
