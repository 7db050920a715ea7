"""CuPy's Targets, as data. CALLS: each operation by calls of CuPy's, nothing generated.

Times are guesses that no GPU has confirmed: a call costs the host some microseconds, memory is as fast as an A100's. `alignment` is what
vector loads like; CuPy's pool gives 512 bytes at the least.
"""

from __future__ import annotations

from backends.cupy import calls_elementwise, calls_index, calls_matmul, calls_reduce
from ir.ops import TABLE
from ir.target import Kernel, Target

KERNELS: dict[str, tuple[Kernel, ...]] = {
    **calls_elementwise.kernels(TABLE), **calls_reduce.KERNELS, **calls_matmul.KERNELS, **calls_index.KERNELS,
}  # fmt: skip
LACKING = {
    **dict.fromkeys(
        ("gather", "take", "take_along_axis", "set_at", "add_at"),
        "there is no GPU lowering of an index that is out of range, or of this dtype",
    ),
    "": "there is no GPU lowering for these operands",
    "host": "there is no GPU lowering of code that runs on the host: it would wait for the GPU and copy back and forth",
    "power": "there is no GPU lowering of integers raised to powers that may be negative: NumPy raises an error there, a GPU can't",
}
CALLS = Target(
    "cupy", KERNELS, call_ns=5000.0, cache_bytes=1 << 25, bandwidth=1500.0, alignment=256, lacking=LACKING,
    lacking_mend="compile this part without backend='cupy', on data moved by to_cpu(); longdouble has no GPU form at all",
)  # fmt: skip
