"""NumPy's Target: every kernel of the families beside this file, and this machine's costs as measured once (2 cores, AVX2).

`alignment` is 64 bytes: a cache line, and what AVX-512 would like. Costs stand in the Target so that a plan depends on nothing else;
workers are the process's threads when a plan is made, BLAS threads the process's own. A ufunc that writes over its own operand takes
1.9 us instead of 0.8 where the array has one element (NumPy's test of overlap gives up there), hence `in_place_from=2`. Two threads
hand each other Python's lock at each call: layer norm took 54 ms in blocks of 26,000 floats, 41 from 65,000 on; doubles are best in
half as many, which take as long and as much of the cache: `block_elements`. Chains over four arrays of 3.2 MB in all take 0.44 ns an
element and call, in blocks or not; of 6.4 MB 0.88, of 16 MB 1.9, and 0.55 in blocks: `shared_bytes`.
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
from ir.ops import TABLE
from ir.target import Kernel, Target

KERNELS: dict[str, tuple[Kernel, ...]] = {
    **kernels_elementwise.kernels(TABLE), **kernels_reduce.KERNELS,
    **kernels_norm.KERNELS, **kernels_matmul.KERNELS, **kernels_nn.KERNELS, **kernels_index.KERNELS,
    **kernels_host.KERNELS, **kernels_where.KERNELS,
}  # fmt: skip

TARGET = Target(
    "numpy", KERNELS, call_ns=500.0, cache_bytes=1 << 20, shared_bytes=1 << 22, bandwidth=10.0, alignment=64, in_place_from=2,
    pack_bytes=1 << 16, regions=True,
    row_ns=25.0, run_ns=25.0, gap_ns=1.0, block_elements=1 << 15,
)
TARGET_EXACT = replace(TARGET, kernels={name: tuple([k for k in group if k.exact]) for name, group in KERNELS.items()})
