"""The seam: what a device must do for a plan to run on it, in about a dozen calls. Above it there is no name of a GPU library.

In: bytes, texts of kernels, products (`Gemm`), in the order in which they are to run. Out: values in memory. Memory is an address (a Python
int) and a number of bytes; an address holds its offset already. Invariant: between `capture` and its end nothing runs; what is called is
kept, with its addresses, and `replay` runs it all by one call. Whatever takes memory, waits or asks the device's libraries for something
(`allocate`, `pinned`, `upload`, `download`, `compile`, `prepare`, `mark`, `synchronize`, `replay`) is an error while capturing.
"""
from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

EPILOGUES = ("none", "bias", "relu", "relu_bias", "gelu", "gelu_bias", "bgrada", "bgradb")
PRECISIONS = {"float32": ("float32", "tf32"), "float64": ("float64",), "float16": ("float32",), "bfloat16": ("float32",),
              "complex64": ("float32", "tf32"), "complex128": ("float64",)}
WORKSPACE_BYTES = 32 << 20


class Memory(Protocol):
    """Bytes on the device (or pinned on the host), given back when nobody holds it any more."""

    ptr: int
    nbytes: int


class Pinned(Memory, Protocol):
    """Bytes of the host that a copy on the device may read while the host goes on; `bytes` is the host's view of them."""

    bytes: np.ndarray


@dataclass(frozen=True)
class Operand:
    """What a kernel is given: an address, how many bytes from there on it may touch, and whether it writes there."""

    ptr: int
    nbytes: int
    writes: bool = False


@dataclass(frozen=True)
class Gemm:
    """A matrix product as column-major libraries have it: D = epilogue(op(A) @ op(B) + beta * D), in elements.

    op(A) is m x k, op(B) k x n, D m x n; element (i, j) of a stored matrix lies at i + j * ld. `conj` beside `trans` makes it the conjugate
    transpose. `batch` matrices lie `stride_*` apart (0: the same one for all). `precision`: what sums are kept in; "tf32" rounds float32
    factors to 10 bits. `bias` has length m and is added to each column of D; "gelu" is the form with tanh. "bgrada" writes the sums of A's
    rows over k (length m) where the bias stands, "bgradb" those of B's columns (length n). Where A, B and D begin is a multiple of `align`.
    """

    m: int
    n: int
    k: int
    dtype: str
    lda: int
    ldb: int
    ldd: int
    trans_a: bool = False
    trans_b: bool = False
    conj_a: bool = False
    conj_b: bool = False
    batch: int = 1
    stride_a: int = 0
    stride_b: int = 0
    stride_d: int = 0
    out: str = ""
    precision: str = ""
    epilogue: str = "none"
    beta: float = 0.0
    align: int = 16

    def __post_init__(self) -> None:
        for name, default in (("out", self.dtype), ("precision", PRECISIONS.get(self.dtype, ("",))[0])):
            if not getattr(self, name):
                object.__setattr__(self, name, default)
        assert min(self.m, self.n, self.k, self.batch) > 0, f"an empty product is no product: {self}"
        assert self.precision in PRECISIONS.get(self.dtype, ()), f"no product of {self.dtype} in {self.precision}"
        assert self.epilogue in EPILOGUES, f"no epilogue {self.epilogue!r}"
        assert (self.trans_a or not self.conj_a) and (self.trans_b or not self.conj_b), "conjugates come with transposes"
        apart = self.stride_d >= (self.n - 1) * self.ldd + self.m
        between = self.stride_d >= self.m and (self.batch - 1) * self.stride_d + self.m <= self.ldd
        assert self.batch == 1 or apart or between, f"results overlap: {self}"
        for ld, rows in ((self.lda, self.rows_a), (self.ldb, self.rows_b), (self.ldd, self.m)):
            assert ld >= rows, f"columns {ld} apart overlap, they have {rows} rows"

    @property
    def rows_a(self) -> int:
        """Rows of A as it is stored."""
        return self.k if self.trans_a else self.m

    @property
    def rows_b(self) -> int:
        """Rows of B as it is stored."""
        return self.n if self.trans_b else self.k

    def spans(self) -> tuple[int, int, int, int]:
        """The bytes from the first to behind the last element of A, B, D and bias (0: none)."""
        size, out = itemsize(self.dtype), itemsize(self.out)
        cols_a, cols_b = self.k + self.m - self.rows_a, self.k + self.n - self.rows_b
        last = self.batch - 1
        a = last * self.stride_a + (cols_a - 1) * self.lda + self.rows_a
        b = last * self.stride_b + (cols_b - 1) * self.ldb + self.rows_b
        d = last * self.stride_d + (self.n - 1) * self.ldd + self.m
        return a * size, b * size, d * out, self.bias_length() * out

    def bias_length(self) -> int:
        """How many elements lie where the bias stands; 0 without one."""
        if self.epilogue in ("none", "relu", "gelu"):
            return 0
        return self.n if self.epilogue == "bgradb" else self.m


def itemsize(dtype: str) -> int:
    """Bytes of an element; NumPy has no bfloat16."""
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


class Device(Protocol):
    """One GPU, or what stands in for one. One thread at a time. Work runs in the order in which it was asked for, perhaps later."""

    def allocate(self, nbytes: int) -> Memory:
        """Memory whose address is a multiple of 256."""
        ...

    def pinned(self, nbytes: int) -> Pinned:
        """Host memory that `copy` may read later, also inside a captured graph."""
        ...

    def upload(self, ptr: int, host: np.ndarray) -> None:
        """Copy a C-ordered array to the device; the array may be written into as soon as this returns."""
        ...

    def download(self, ptr: int, shape: Sequence[int], dtype: Any) -> np.ndarray:
        """Wait, then a new host array of what lies there."""
        ...

    def copy(self, dst: int, src: int, nbytes: int) -> None:
        """Copy on the device, or from pinned memory to it."""
        ...

    def address(self, array: Any) -> int | None:
        """Where an array of the user's kind begins on this device; None for what lies elsewhere."""
        ...

    def available(self) -> int:
        """Bytes that could still be allocated."""
        ...

    def view(self, memory: Memory, shape: Sequence[int], dtype: Any, strides: Sequence[int] | None = None) -> Any:
        """An array of the user's kind over memory, which it keeps; `strides` in bytes, None for C's order."""
        ...

    def compile(self, text: str, fused: bool = True) -> Any:
        """A module of kernels. `fused`: products and sums may round once (fused multiply-add)."""
        ...

    def launch(self, module: Any, name: str, grid: Sequence[int], block: Sequence[int], operands: Sequence[Operand]) -> None:
        """Run a kernel of a module, whose parameters are the operands' addresses."""
        ...

    def prepare(self, gemm: Gemm) -> Any:
        """How to run a product: the library's choice, made once; `workspace` of it: the bytes it wants (WORKSPACE_BYTES at most). None
        where the library has nothing, which for the epilogue "none" is never so."""
        ...

    def gemm(self, prepared: Any, a: int, b: int, d: int, bias: int = 0, workspace: int = 0) -> None:
        """Run a prepared product on these addresses."""
        ...

    def capture(self) -> AbstractContextManager[Any]:
        """`with device.capture() as graph:` keeps the work asked for inside, to be replayed."""
        ...

    def replay(self, graph: Any) -> None:
        """Run a captured graph, by one call; does not wait."""
        ...

    def mark(self, again: Any = None) -> Any:
        """The end of the work asked for so far; `again`: a mark that is no longer needed, to be used again."""
        ...

    def synchronize(self, mark: Any = None) -> None:
        """Wait until the work before a mark is done; all work without one."""
        ...

    def call(self) -> AbstractContextManager[None]:
        """`with device.call():` what is asked for inside runs after what the user has asked of this GPU so far, before what comes next."""
        ...
