"""Kernels of products and of layers made of them: dot, matmul, linear, linear_vjp.

`np.dot` copies what BLAS can't read, so its kernels take C- or F-contiguous operands of one dtype; other dtypes are cast into planned
temps first. The method `x.dot(y, out)` takes 0.5 us less than `np.dot`, and for small matrices 2 us less than `matmul`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backends.numpy.costs import GFLOPS, MATMUL, MATRIX, PRODUCT
from backends.numpy.kernels_elementwise import scratch_of, ufunc_scratch
from backends.numpy.kernels_reduce import LONGEST
from backends.straight.site import Site, dense, flat, like, reshaped, transposed, type_name
from ir.place import Place
from ir.spec import Spec
from ir.target import Kernel, Places

BLAS = "fdFD"


def _flops_ns(rows: int, inner: int, columns: int, dtype: np.dtype) -> float:
    return 2.0 * rows * inner * columns / (GFLOPS if dtype.itemsize > 4 else 2 * GFLOPS)


def _dot_cost(call: float) -> Any:
    def cost(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> float:
        inner = specs[0].shape[-1] if specs[0].ndim else 1
        return call + _flops_ns(outs[0].size, inner, 1, outs[0].dtype)

    return cost


def _matmul_cost(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> float:
    inner = specs[0].shape[-1] if specs[0].ndim else 1
    return MATMUL + MATRIX * math.prod(outs[0].shape[:-2]) + _flops_ns(outs[0].size, inner, 1, outs[0].dtype)


def readable(*places: Place) -> bool:
    """Whether `dot` reads all of these without a copy: one dtype, and contiguous where BLAS is to read them."""
    first = places[0].dtype
    return all(p.dtype == first and (first.char not in BLAS or dense(p)) for p in places)


def empty(*places: Place) -> bool:
    """Whether any of them has no elements: BLAS is not asked then (NumPy would copy the empty operands)."""
    return any(0 in p.shape for p in places)


def _dot_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    """Of more than two axes NumPy goes through rows and columns as they lie; BLAS reads vectors, also as rows and columns of matrices, at
    any positive stride, but where they are multiplied to a matrix.
    """
    most = max([len(p.shape) for p in reads])
    same = reads[0].dtype == reads[1].dtype and all(p.strides is not None for p in reads)
    as_they_lie = same and (most > 2 or (most == 1 or reads[0].shape[-1:] != (1,)) and all(map(_is_line, reads)))
    return (as_they_lie or readable(*reads)) and writes[0].contiguous("C") and all(p.shape for p in reads)


def _is_line(place: Place) -> bool:
    """Whether it is dense, or a vector at a positive stride: of one axis, or the only row or column of a matrix."""
    steps = all(stride > 0 and stride % place.dtype.itemsize == 0 for stride in place.strides or ())
    return dense(place) or (steps and (len(place.shape) == 1 or place.shape.count(1) == 1))


def _dot(site: Site) -> tuple[str, ...]:
    return ("{out}.fill(0)",) if empty(*site.reads) else ("{0}.dot({1}, {out})",)


def _scalar_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return not all(p.shape for p in reads)


def _scalar_dot_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    """A product with a single number by NumPy's own `dot`, which adds it to zeros: of -0.0 it makes 0.0."""
    return _scalar_accepts(reads, writes, attrs) and all(map(dense, reads)) and writes[0].contiguous("C") and writes[0].dtype.char in BLAS


def _scalar_multiply_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    """Where BLAS has no loop, NumPy's `dot` multiplies."""
    return _scalar_accepts(reads, writes, attrs) and writes[0].dtype.char not in BLAS


def _cast_scratch(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    return sum([max(1, math.prod(p.shape) * writes[0].dtype.itemsize) for p in reads if p.dtype != writes[0].dtype])


# ---- operands of several dtypes
def _cast_temps(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    """A temp for each of the first two operands that has another dtype than their product."""
    dtype = np.result_type(specs[0].dtype, specs[1].dtype)
    return tuple([s.with_dtype(dtype) for s in specs[:2] if s.dtype != dtype])


def _casting(site: Site) -> tuple[list[str], list[Place]]:
    """Lines that bring operands to one dtype, and the places to be read."""
    dtype, temps = np.result_type(site.reads[0].dtype, site.reads[1].dtype), iter(site.call.temps)
    lines, places = [], []
    for k, place in enumerate(site.reads[:2]):
        if place.dtype != dtype:
            temp = like(next(temps), place)
            lines.append(f"np.copyto({site.name(temp)}, {{{k}}})")
            place = temp
        places.append(place)
    return lines, places


def _mixed_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return reads[0].dtype != reads[1].dtype and all(p.shape and p.strides is not None for p in reads[:2]) and writes[0].contiguous("C")


def _dot_mixed(site: Site) -> tuple[str, ...]:
    if empty(*site.reads):
        return ("{out}.fill(0)",)
    lines, (x, y) = _casting(site)
    return (*lines, f"{site.name(x)}.dot({site.name(y)}, {{out}})")


def _matmul_mixed(site: Site) -> tuple[str, ...]:
    lines, (x, y) = _casting(site)
    return (*lines, f"np.matmul({site.name(x)}, {site.name(y)}, {{out}})")


def _same_dtype(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return reads[0].dtype == reads[1].dtype


def _matmul_by_dot(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return _dot_accepts(reads, writes, attrs) and all(len(p.shape) <= 2 for p in reads) and reads[0].dtype.char in BLAS


def _rows_accept(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    """All rows of x, whatever its leading axes, meet one matrix: one product."""
    x, y = reads
    fits = len(x.shape) > 2 and len(y.shape) == 2 and readable(x, y) and x.dtype.char in BLAS and not empty(x, y)
    return fits and x.contiguous("C") and writes[0].contiguous("C") and writes[0].dtype == x.dtype


def _rows(site: Site) -> tuple[str, ...]:
    x, out = [reshaped(p, (-1, p.shape[-1])) for p in (site.reads[0], site.writes[0])]
    return (f"{site.name(x)}.dot({{1}}, {site.name(out)})",)


def _is_matrix(place: Place) -> bool:
    """Whether BLAS reads or writes it where it lies: rows, or columns, of elements side by side, as far from each other as need be."""
    if len(place.shape) != 2 or place.strides is None or 0 in place.shape:
        return False
    size, (rows, columns), (down, right) = place.dtype.itemsize, place.shape, place.strides
    return any(
        (inner == size or n == 1) and outer % size == 0 and outer >= n * size
        for inner, n, outer in ((right, columns, down), (down, rows, right))
    )


def _strided_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    """Parts of wider matrices, which `dot` would have to be given as copies."""
    dtype, places = writes[0].dtype, (*reads, *writes)
    return dtype.char in BLAS and all(_is_matrix(p) and p.dtype == dtype and 1 not in p.shape for p in places)


# ---- layers
def _linear_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return readable(*reads[:2]) and reads[0].dtype == writes[0].dtype and writes[0].contiguous("C")


def _add_bias(site: Site) -> str:
    """A bias of one element is added as a 0-d array, 0.8 us instead of 1.9."""
    out, b = site.writes[0], site.reads[2]
    if out.shape[1] == 1 and b.strides is not None:
        return f"np.add({site.name(flat(out))}, {site.name(reshaped(b, ()))}, {site.name(flat(out))})"
    return "np.add({out}, {2}, {out})"


def _bias_scratch(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    """A bias of another dtype is cast by a copy."""
    out, b = writes[0], reads[2]
    if empty(*reads[:2]):
        return 0
    product = Place(out.buffer, 0, out.shape, out.strides, np.result_type(reads[0].dtype, reads[1].dtype))
    if out.shape[1] == 1 and b.strides is not None and product.dtype == out.dtype:
        return ufunc_scratch(np.add, flat(product), reshaped(b, ()))
    return ufunc_scratch(np.add, product, b)


def _linear(site: Site) -> tuple[str, ...]:
    return ('np.copyto({out}, {2}, "unsafe")',) if empty(*site.reads[:2]) else ("{0}.dot({1}, {out})", _add_bias(site))


def _linear_mixed(site: Site) -> tuple[str, ...]:
    if empty(*site.reads[:2]):
        return ('np.copyto({out}, {2}, "unsafe")',)
    lines, (x, W) = _casting(site)
    last = site.call.temps[-1].buffer
    product = f"{{t{len(site.call.temps) - 1}}}" if last is not W.buffer and last is not x.buffer else "{out}"
    return (*lines, f"{site.name(x)}.dot({site.name(W)}, {product})", f"np.add({product}, {{2}}, {{out}})")


def _linear_temps(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    """The casts, and the product where the bias makes the result another dtype."""
    dtype = np.result_type(specs[0].dtype, specs[1].dtype)
    return (*_cast_temps(specs, outs, attrs), *([outs[0].with_dtype(dtype)] if dtype != outs[0].dtype else []))


def _linear_mixed_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return (
        all(dense(p) for p in reads[:2]) and writes[0].contiguous("C") and not (readable(*reads[:2]) and reads[0].dtype == writes[0].dtype)
    )


def _linear_cost(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> float:
    return 1000 + _flops_ns(outs[0].shape[0], specs[0].shape[1], outs[0].shape[1], outs[0].dtype) + 10 * outs[0].shape[0]


def _product_of(site: Site, x: Place, gy: Place) -> str:
    return "{out}.fill(0)" if empty(x, gy) else f"{site.name(transposed(x))}.dot({site.name(gy)}, {{out}})"


def _vjp_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return readable(*reads) and reads[0].strides is not None and all(w.contiguous("C") for w in writes)


def _vjp_product_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    rows = reads[1].shape[0]
    return (
        _vjp_accepts(reads, writes, attrs)
        and reads[1].dtype == writes[1].dtype
        and reads[1].dtype.char in "fd"  # a complex product with ones would make NaN of 0 times infinity
        and 0 < rows <= LONGEST
        and not empty(*reads)
    )


def _vjp_product(site: Site) -> tuple[str, ...]:
    gy, db = site.reads[1], site.writes[1]
    ones = site.filled(gy.shape[0], 1, gy.dtype)
    column = (site.name(flat(gy)), site.name(reshaped(db, ()))) if gy.shape[1] == 1 else (site.name(gy), "{out1}")
    return _product_of(site, site.reads[0], gy), f"{ones}.dot({', '.join(column)})"


def _vjp_lines(site: Site) -> tuple[str, ...]:
    lines, (x, gy) = _casting(site)
    kind = "None" if site.reads[1].dtype == site.writes[1].dtype else f"np.{type_name(site.writes[1].dtype)}"
    return (*lines, _product_of(site, x, gy), f"np.add.reduce({{1}}, (0,), {kind}, {{out1}})")


def _vjp_cost(reduce: float) -> Any:
    def cost(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> float:
        return PRODUCT + reduce + _flops_ns(outs[0].shape[0], specs[0].shape[0], outs[0].shape[1], outs[0].dtype)

    return cost


KERNELS: dict[str, tuple[Kernel, ...]] = {
    "dot": (
        Kernel("dot.rows", "dot", _rows, exact=False, accepts=_rows_accept, cost=_dot_cost(PRODUCT)),
        Kernel("dot.blas", "dot", _dot, accepts=_dot_accepts, cost=_dot_cost(PRODUCT)),
        Kernel(
            "dot.scalar",
            "dot",
            ("np.multiply({0}, {1}, {out})",),
            exact=False,
            accepts=_scalar_accepts,
            cost=_dot_cost(500),
            scratch=scratch_of(np.multiply),
        ),
        Kernel(
            "dot.multiply", "dot", ("np.multiply({0}, {1}, {out})",), accepts=_scalar_multiply_accepts, cost=_dot_cost(PRODUCT),
            scratch=scratch_of(np.multiply),
        ),
        Kernel("dot.numpy", "dot", ("np.dot({0}, {1}, {out})",), accepts=_scalar_dot_accepts, cost=_dot_cost(2000), scratch=_cast_scratch),
        Kernel("dot.matmul", "dot", ("np.matmul({0}, {1}, {out})",), exact=False, accepts=_strided_accepts, cost=_matmul_cost),
        Kernel("dot.cast", "dot", _dot_mixed, accepts=_mixed_accepts, cost=_dot_cost(1500), temps=_cast_temps),
    ),
    "matmul": (
        Kernel("matmul.dot", "matmul", _dot, exact=False, accepts=_matmul_by_dot, cost=_dot_cost(PRODUCT)),
        Kernel("matmul.rows", "matmul", _rows, exact=False, accepts=_rows_accept, cost=_dot_cost(PRODUCT)),
        Kernel("matmul.numpy", "matmul", ("np.matmul({0}, {1}, {out})",), accepts=_same_dtype, cost=_matmul_cost),
        Kernel("matmul.cast", "matmul", _matmul_mixed, accepts=_mixed_accepts, cost=_dot_cost(3500), temps=_cast_temps),
    ),
    "linear": (
        Kernel("linear.dot", "linear", _linear, accepts=_linear_accepts, cost=_linear_cost, scratch=_bias_scratch),
        Kernel(
            "linear.cast",
            "linear",
            _linear_mixed,
            accepts=_linear_mixed_accepts,
            cost=_linear_cost,
            temps=_linear_temps,
            scratch=_bias_scratch,
        ),
    ),
    "linear_vjp": (
        Kernel("linear_vjp.product", "linear_vjp", _vjp_product, exact=False, accepts=_vjp_product_accepts, cost=_vjp_cost(PRODUCT)),
        Kernel("linear_vjp.reduce", "linear_vjp", _vjp_lines, accepts=_vjp_accepts, cost=_vjp_cost(5000)),
        Kernel(
            "linear_vjp.cast",
            "linear_vjp",
            _vjp_lines,
            cost=_vjp_cost(7000),
            temps=_cast_temps,
            accepts=lambda reads, writes, attrs: reads[0].dtype != reads[1].dtype and all(map(dense, reads)),
        ),
    ),
}
