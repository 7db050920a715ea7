"""How the threads of a row reduce: functions in CUDA's text, by what they join, the kind of number, and how many lanes a row has.

Within a warp lanes exchange by shuffles, between warps through shared memory; every lane ends with the result, joined in an order that
hangs on nothing but the text.
"""
from __future__ import annotations

import re
from collections import Counter

from backends.cupy import scalars
from backends.cupy.mapping import LANES
from ir.kernel import Reduce, literal

MANY = 12
_ROW = re.compile(r"\brow_([a-z_]+)_((?:f|i|u|b)[1248])_(\d+)\(")


def row_functions(text: str) -> list[str]:
    """The functions by which the lanes of a row reduce, that a text calls; what is called more than `MANY` times stays a function, since
    the compiler else takes twice as long and spills.
    """
    calls = Counter(_ROW.findall(text))
    return [_row_function(combine, t, int(n), calls[combine, t, n] > MANY)
            for combine, t, n in sorted(calls, key=lambda x: (x[0], x[1], int(x[2])))]  # fmt: skip


def _row_function(combine: str, t: str, lanes: int, apart: bool) -> str:
    dtype = literal(0, "?" if t == "b1" else t).dtype
    own = scalars.c_type(dtype)
    moved = "int" if dtype.itemsize < 4 else own

    def join(a: str, b: str) -> str:
        return scalars.combined(combine, a, b, dtype)

    kept = "__noinline__ " if apart else ""
    lines = [f"__device__ {kept}{own} row_{combine}_{t}_{lanes}({own} v{f', {own}* part' if lanes > LANES else ''}) {{"]
    lines.append(f"  for (int d = {min(lanes, LANES) // 2}; d; d >>= 1) {{")
    lines.append(f"    const {own} other = ({own})__shfl_xor_sync(0xffffffffu, ({moved})v, d);")
    lines += [f"    v = {join('v', 'other')};", "  }"]
    if lanes > LANES:
        warps = lanes // LANES
        lines += ["  __syncthreads();", "  if ((threadIdx.x & 31) == 0) part[threadIdx.x >> 5] = v;", "  __syncthreads();"]
        lines.append(f"  const int first = threadIdx.x / {lanes} * {warps};")
        lines += ["  v = part[first];", f"  for (int w = 1; w < {warps}; w++) v = {join('v', 'part[first + w]')};"]
    return "\n".join([*lines, "  return v;", "}"])


def tag(statement: Reduce) -> str:
    code = scalars.code(statement.dtype)
    return "b1" if code == "?" else code
