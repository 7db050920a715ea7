"""Three Targets for the same planner: NumPy's with a small cache, one like CUDA and one like LLVM, whose kernels are names without bodies.

Nothing runs here. The numbers are made small, so that arrays of a few hundred bytes are planned as large ones are:

    numpy   BLAS products inside regions, buffers of a block, two workers
    cuda    products are calls of a library, parts of a reduction are joined by a second kernel, nothing forks, any strides
    llvm    the body of a region is generated whole, with no buffers between its operations; products are calls of a library
"""
from __future__ import annotations

from dataclasses import replace

from backends.numpy.target import TARGET
from ir.op import Op, Trait
from ir.ops import TABLE
from ir.target import Kernel, Target


def _kernel(op: Op, prefix: str, products: str) -> Kernel:
    name = f"{products}.{op.name}" if op.has(Trait.BILINEAR) else f"{prefix}.{op.name}"
    single = op.has(Trait.ELEMENTWISE) or op.name in ("set_slice", "add_slice")
    return Kernel(name, op.name, None, overwrites=op.overwrites, single=single)


def _kernels(prefix: str, products: str) -> dict[str, tuple[Kernel, ...]]:
    computed = [op for op in TABLE.values() if op.view_of is None and op.name != "python"]
    return {op.name: (_kernel(op, prefix, products),) for op in computed}


NUMPY = replace(TARGET, cache_bytes=256, shared_bytes=0, block_elements=2, fork_ns=1000.0, workers=2)
CUDA = Target(
    "cuda", _kernels("cuda", "cublas"), call_ns=5000.0, fork_ns=float("inf"), cache_bytes=256, bandwidth=2000.0, alignment=256,
    regions=True, block_elements=8, region_products=False,
)  # fmt: skip
LLVM = Target(
    "llvm", _kernels("llvm", "blas"), call_ns=50.0, fork_ns=float("inf"), cache_bytes=256, regions=True, block_elements=1,
    region_products=False, region_buffers=False,
)  # fmt: skip
TARGETS = {target.name: target for target in (NUMPY, CUDA, LLVM)}
