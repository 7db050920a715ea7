"""A product as a kernel of its own: for types and strides that no library multiplies, and for epilogues that it does not offer.

One thread an element of the result, which walks over k in order: simple and right, never fast. Whole numbers wrap around as NumPy's do.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backends.cupy import scalars
from backends.cupy.products import View
from ir.errors import NotLowered

BLOCK = 128


def plain_product(name: str, views: Sequence[View], dtypes: Sequence[np.dtype], epilogue: str = "none") -> tuple[str, int]:
    """The text and its grid for d = a @ b: `views` of a, b, d and, with "bias", of what is added along d's last axis, with "sum_b", of
    where the sums of b's columns go. Each parameter begins at the lowest byte that is touched.
    """
    a, b, d = views[:3]
    for dtype in dtypes:
        if dtype.kind not in "fiub" or dtype.itemsize not in (1, 4, 8) and dtype.kind == "f":
            raise NotLowered(f"no product of {dtype.name} on a GPU")
    types = [scalars.memory_type(dtype) for dtype in dtypes]
    (rows, k), columns = a.shape[-2:], b.shape[-1]
    lead = d.shape[:-2]
    total = int(np.prod(lead, dtype=np.int64)) * rows * columns
    sums = "double" if dtypes[2] == np.float64 else "float" if dtypes[2].kind == "f" else "unsigned long long"
    lines = [f'extern "C" __global__ void __launch_bounds__({BLOCK}) {name}(']
    extra = {"none": "", "bias": f", const {types[-1]}* bias", "sum_b": f", {types[-1]}* bias"}[epilogue]
    lines[0] += f"const {types[0]}* a, const {types[1]}* b, {types[2]}* d{extra}) {{"
    lines += [f"  const long long e = (long long)blockIdx.x * {BLOCK} + threadIdx.x;", f"  if (e < {total}LL) {{",
              f"    const long long j = e % {max(columns, 1)}LL, i = e / {max(columns, 1)}LL % {max(rows, 1)}LL;"]
    batch, step = [], rows * columns
    for n in reversed(lead):
        batch.append(f"(e / {step}LL % {n}LL)")
        step *= n
    batch.reverse()
    lines += [f"    {sums} s = 0;", f"    for (long long l = 0; l < {k}LL; l++)",
              f"      s += ({sums})a[{_at(a, [*batch, 'i', 'l'])}] * ({sums})b[{_at(b, [*batch, 'l', 'j'])}];"]
    if epilogue == "bias":
        lines.append(f"    s += ({sums})bias[{_at(views[3], ['j'])}];")
    value = "s != 0" if dtypes[2].kind == "b" else "s"
    lines += [f"    d[{_at(d, [*batch, 'i', 'j'])}] = ({types[2]})({value});", "  }"]
    if epilogue == "sum_b":
        lines += [f"  if (e < {columns}LL) {{", f"    {sums} t = 0;",
                  f"    for (long long l = 0; l < {k}LL; l++) t += ({sums})b[{_at(b, ['l', 'e'])}];",
                  f"    bias[{_at(views[3], ['e'])}] = ({types[3]})t;", "  }"]
        total = max(total, columns)
    return "\n".join([*lines, "}", ""]), max(1, -(-total // BLOCK))


def _at(view: View, indices: Sequence[str]) -> str:
    """The element's place, counted from the lowest."""
    low = sum(-stride * (n - 1) for n, stride in zip(view.shape, view.strides) if stride < 0)
    terms = [str(low)] * bool(low) + [f"{index} * {stride}LL" for index, stride in zip(indices, view.strides, strict=True) if stride]
    return " + ".join(terms) or "0"
