"""NumPy's Target: every kernel of the families beside this file, and the machine's costs, measured once, as `costs.py` has them.

`alignment` is 64 bytes: a cache line, and what AVX-512 would like. Costs stand in the Target so that a plan depends on nothing else;
workers are the process's threads when a plan is made, BLAS threads the process's own. A ufunc that writes over its own operand takes
1.9 us instead of 0.8 where the array has one element (NumPy's test of overlap gives up there), hence `in_place_from=2`.
"""

from __future__ import annotations

from dataclasses import replace

from backends.numpy import (
    kernels_elementwise,
    kernels_host,
    kernels_index,
    kernels_matmul,
    kernels_nn,
    kernels_norm,
    kernels_reduce,
    kernels_where,
)
from backends.numpy.costs import BANDWIDTH, BLOCK, CALL, FAST_BYTES, FORK, GAP, ROW, RUN, SHARED_BYTES
from ir.ops import TABLE
from ir.target import Kernel, Target

KERNELS: dict[str, tuple[Kernel, ...]] = {
    **kernels_elementwise.kernels(TABLE), **kernels_reduce.KERNELS,
    **kernels_norm.KERNELS, **kernels_matmul.KERNELS, **kernels_nn.KERNELS, **kernels_index.KERNELS,
    **kernels_host.KERNELS, **kernels_where.KERNELS,
}  # fmt: skip

TARGET = Target(
    "numpy", KERNELS, call_ns=CALL, fork_ns=FORK, cache_bytes=FAST_BYTES, shared_bytes=SHARED_BYTES, bandwidth=BANDWIDTH, alignment=64,
    in_place_from=2, pack_bytes=1 << 16, regions=True, row_ns=ROW, run_ns=RUN, gap_ns=GAP, block_elements=BLOCK,
)
TARGET_EXACT = replace(TARGET, kernels={name: tuple([k for k in group if k.exact]) for name, group in KERNELS.items()})
