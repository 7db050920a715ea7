"""Kernels of reductions: each ufunc's `reduce` with `out`, products with ones where they pay, and the few with temps of their own.

A column sum of 100x10 takes 5.5 us by `add.reduce` and 1.7 by a product with ones; a sum over all of 1,000 takes 2.4 and 1.0. The
product sums in another order, so it is not exact; a complex one would make NaN of 0 times infinity. The ones are made once a program
and are kept short (`LONGEST`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from backends.numpy.costs import ARITHMETIC, CALL, ELEMENT, PRODUCT, REDUCE, ROW
from backends.numpy.kernels_elementwise import ufunc_scratch
from backends.straight.site import Site, dense, flat, like, parts, reshaped, type_name, without
from ir.place import Place
from ir.spec import Spec
from ir.target import Kernel, Places

LONGEST = 1 << 16


def _cost(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> float:
    rows = specs[0].size // max(1, specs[0].shape[-1]) if specs[0].ndim else 1
    axis = attrs.get("axis", ())
    count = len(axis) if isinstance(axis, tuple) else 1
    return REDUCE + ARITHMETIC * specs[0].size + ROW * rows * (count < specs[0].ndim)


def product_cost(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> float:
    return PRODUCT + ARITHMETIC / 2 * specs[0].size


def _mean_product_cost(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> float:
    return CALL + ELEMENT["divide"] * outs[0].size + product_cost(specs, outs, attrs)


def steps_cost(count: int) -> Any:
    """The cost of `count` passes over the operand beside the reduction."""
    return lambda specs, outs, attrs: _cost(specs, outs, attrs) + count * (CALL + ARITHMETIC * specs[0].size)


def _reduce(path: str, dtype: bool = False) -> Any:
    """`ufunc.reduce(x, axis, dtype, out, keepdims)`; the dtype is named where it is not the operand's. Over no axes it is a copy."""

    def body(site: Site) -> tuple[str, ...]:
        if not site.attrs["axis"] and path != "np.add":  # a sum over no axes adds 0, which turns -0.0 to 0.0
            truth = path.startswith("np.logical")
            return (f"np.not_equal({{0}}, {site.number(0, site.reads[0].dtype)}, {{out}})" if truth else 'np.copyto({out}, {0}, "unsafe")',)
        out = site.writes[0].dtype
        kind = f"np.{type_name(out)}" if dtype and site.reads[0].dtype != out else "None"
        return (f"{path}.reduce({{0}}, {{axis}}, {kind}, {{out}}{', True' if site.attrs['keepdims'] else ''})",)

    return body


def _cast_whole(x: Place, dtype: np.dtype) -> int:
    """What `reduce` asks for to sum in another dtype: an operand without axes is cast whole, others in pieces."""
    return 0 if x.shape or x.dtype == dtype else dtype.itemsize


def _sum_scratch(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    return _cast_whole(reads[0], writes[0].dtype)


# ---- sums as products
def _summed(x: Place, axis: tuple[int, ...]) -> str | None:
    """ "all", "rows" (the leading axes) or "columns" (the trailing ones): what a sum over `axis` is for a C-contiguous place."""
    kept = [k for k in range(len(x.shape)) if k not in axis]
    if not kept:
        return "all"
    if not x.contiguous("C"):
        return None
    if axis == tuple(range(len(axis))):
        return "rows"
    return "columns" if kept == list(range(len(kept))) else None


def _lengths(x: Place, axis: tuple[int, ...]) -> tuple[int, int]:
    """(elements summed up, elements left)."""
    summed = math.prod([x.shape[k] for k in axis])
    return summed, math.prod([n for k, n in enumerate(x.shape) if k not in axis])


def _is_product(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    x, out, axis = reads[0], writes[0], tuple(sorted(attrs["axis"]))
    if x.dtype != out.dtype or x.dtype.char not in "fd" or not dense(x) or not out.contiguous("C") or 0 in x.shape or not axis:
        return False
    summed, left = _lengths(x, axis)
    return _summed(x, axis) is not None and summed <= LONGEST and summed >= 2


def _product(site: Site) -> tuple[str, ...]:
    """`ones.dot(x)`."""
    x, out, axis = site.reads[0], site.writes[0], tuple(sorted(site.attrs["axis"]))
    summed, left = _lengths(x, axis)
    ones = site.filled(summed, 1, x.dtype)
    way = _summed(x, axis)
    if way == "all" or left == 1:
        return (f"{ones}.dot({site.name(flat(x))}, {site.name(reshaped(out, ()))})",)
    if way == "rows":
        return (f"{ones}.dot({site.name(reshaped(x, (summed, left)))}, {site.name(flat(out))})",)
    return (f"{site.name(reshaped(x, (left, summed)))}.dot({ones}, {site.name(flat(out))})",)


def _mean_product(site: Site) -> tuple[str, ...]:
    """The sum, then divided: with weights of 1/n, tiny elements would underflow one by one."""
    return (*_product(site), divide_by(site, "{out}", _count(site), site.writes[0].dtype))


# ---- means and spreads
def divide_by(site: Site, target: str, count: Any, dtype: np.dtype) -> str:
    """`target /= count` with the bits of NumPy's mean, which divides by an integer in the loop of both and casts back: for most dtypes
    their own loop gives the same."""
    if dtype.char in "fdgDG":
        return f"np.divide({target}, {site.number(float(count), dtype)}, {target})"
    number = site.number(count, np.dtype(np.float64 if isinstance(count, float) else np.intp))
    return f'np.divide({target}, {number}, {target}, casting="unsafe")'


def _divide_scratch(target: Place, attrs: dict[str, Any]) -> int:
    """What `divide_by` asks for: the target in float64 or complex128, if it has one axis at most, and the count."""
    if target.dtype.char in "fdgDG":
        return 0
    integer = not isinstance(attrs.get("ddof"), float)
    return ufunc_scratch(np.divide, target, Place(target.buffer, 0, (), (), np.dtype(np.intp if integer else np.float64)))


def _mean_scratch(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    if reads[0].dtype.char == "e" and attrs.get("dtype") is None:
        return _cast_whole(reads[0], np.dtype(np.float32))
    return max(_cast_whole(reads[0], writes[0].dtype), _divide_scratch(writes[0], attrs))


def _var_scratch(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    """Of the mean's division and of the last one. The mean keeps its axes."""
    x = reads[0]
    kept = tuple([1 if k in attrs["axis"] else n for k, n in enumerate(x.shape)])
    mean = Place(x.buffer, 0, kept, None, _inner_dtype(Spec(x.shape, x.dtype)))
    divided = max(_divide_scratch(mean, {}), _divide_scratch(writes[0], attrs))
    return max(divided, ufunc_scratch(np.subtract, x, mean), _cast_whole(x, mean.dtype))


def _count(site: Site) -> int:
    return math.prod([site.reads[0].shape[k] for k in site.attrs["axis"]])


def _half(specs: tuple[Spec, ...], attrs: dict[str, Any]) -> bool:
    """NumPy sums a mean of float16 in float32."""
    return specs[0].dtype.char == "e" and attrs.get("dtype") is None


def _mean(site: Site) -> tuple[str, ...]:
    if site.call.temps:
        keep = ", True" if site.attrs["keepdims"] else ""
        return (f"np.add.reduce({{0}}, {{axis}}, np.float32, {{t0}}{keep})", divide_by(site, "{t0}", _count(site), np.dtype("f4")),
                'np.copyto({out}, {t0}, "unsafe")')  # fmt: skip
    return (*_reduce("np.add", dtype=True)(site), divide_by(site, "{out}", _count(site), site.writes[0].dtype))


def _mean_temps(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    return (outs[0].with_dtype("f4"),) if _half(specs, attrs) else ()


def _inner_dtype(x: Spec) -> np.dtype:
    return x.dtype if x.dtype.kind in "fc" else np.dtype(np.float64)


def _var_temps(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    """The mean with its axes kept, and the deviations."""
    x, dtype = specs[0], _inner_dtype(specs[0])
    mean = Spec([1 if k in attrs["axis"] else n for k, n in enumerate(x.shape)], dtype)
    return mean, Spec(x.shape, dtype)


def _var(root: bool) -> Any:
    def body(site: Site) -> tuple[str, ...]:
        mean, apart = site.call.temps[0], like(site.call.temps[1], site.reads[0])
        deviation = site.name(apart)
        keep = ", True" if site.attrs["keepdims"] else ""
        kind = "None" if mean.dtype == site.reads[0].dtype else f"np.{type_name(mean.dtype)}"
        lines = [
            f"np.add.reduce({{0}}, {{axis}}, {kind}, {{t0}}, True)",
            divide_by(site, "{t0}", _count(site), mean.dtype),
            f"np.subtract({{0}}, {{t0}}, {deviation})",
        ]
        if mean.dtype.kind == "c":
            re, im = map(site.name, parts(apart))
            lines += [f"np.square({re}, {re})", f"np.square({im}, {im})", f"np.add({re}, {im}, {re})"]
        else:
            lines.append(f"np.square({deviation}, {deviation})")
        squares = re if mean.dtype.kind == "c" else deviation
        left = max(_count(site) - site.attrs["ddof"], 0)
        lines += [f"np.add.reduce({squares}, {{axis}}, None, {{out}}{keep})", divide_by(site, "{out}", left, site.writes[0].dtype)]
        return (*lines, *(["np.sqrt({out}, {out})"] if root else []))

    return body


# ---- places of extremes, running sums
def _arg(path: str) -> Any:
    def body(site: Site) -> tuple[str, ...]:
        out = without(site.writes[0], (site.attrs["axis"],)) if site.attrs["keepdims"] else site.writes[0]
        return (f"{path}({{0}}, {{axis}}, {site.name(out)})",)

    return body


def _arg_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return reads[0].contiguous("C") and writes[0].contiguous("C")


def _arg_scratch(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    """NumPy brings the axis to the end, by a copy unless that leaves the elements where they are."""
    x, axis = reads[0], attrs["axis"]
    assert x.strides is not None
    order = [k for k in range(len(x.shape)) if k != axis] + [axis]
    moved = Place(x.buffer, x.offset, tuple([x.shape[k] for k in order]), tuple([x.strides[k] for k in order]), x.dtype)
    return 0 if moved.contiguous("C") else math.prod(x.shape) * x.dtype.itemsize


def _accumulate(ufunc: str) -> Callable[[Site], tuple[str, ...]]:
    def lines(site: Site) -> tuple[str, ...]:
        out = site.writes[0].dtype
        return (f"{ufunc}.accumulate({{0}}, {{axis}}, {'None' if out == site.reads[0].dtype else 'np.' + type_name(out)}, {{out}})",)

    return lines


def _accumulate_scratch(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    """`accumulate` casts its operand whole."""
    x, out = reads[0], writes[0]
    return 0 if x.dtype == out.dtype else max(1, math.prod(x.shape) * out.dtype.itemsize)


KERNELS: dict[str, tuple[Kernel, ...]] = {
    "sum": (
        Kernel("sum.product", "sum", _product, exact=False, accepts=_is_product, cost=product_cost),
        Kernel("sum.reduce", "sum", _reduce("np.add", dtype=True), cost=_cost, scratch=_sum_scratch),
    ),
    "mean": (
        Kernel("mean.product", "mean", _mean_product, exact=False, accepts=_is_product, cost=_mean_product_cost, scratch=_mean_scratch),
        Kernel("mean.reduce", "mean", _mean, cost=steps_cost(1), temps=_mean_temps, scratch=_mean_scratch),
    ),
    "max": (Kernel("max.reduce", "max", _reduce("np.maximum"), cost=_cost),),
    "min": (Kernel("min.reduce", "min", _reduce("np.minimum"), cost=_cost),),
    "prod": (Kernel("prod.reduce", "prod", _reduce("np.multiply", dtype=True), cost=_cost),),
    "any": (Kernel("any.reduce", "any", _reduce("np.logical_or"), cost=_cost),),
    "all": (Kernel("all.reduce", "all", _reduce("np.logical_and"), cost=_cost),),
    "var": (Kernel("var.steps", "var", _var(root=False), cost=steps_cost(3), temps=_var_temps, scratch=_var_scratch),),
    "std": (Kernel("std.steps", "std", _var(root=True), cost=steps_cost(3), temps=_var_temps, scratch=_var_scratch),),
    "argmax": (Kernel("argmax.numpy", "argmax", _arg("np.argmax"), accepts=_arg_accepts, cost=_cost, scratch=_arg_scratch),),
    "argmin": (Kernel("argmin.numpy", "argmin", _arg("np.argmin"), accepts=_arg_accepts, cost=_cost, scratch=_arg_scratch),),
    "cumsum": (Kernel("cumsum.accumulate", "cumsum", _accumulate("np.add"), cost=_cost, scratch=_accumulate_scratch),),
    "cumprod": (Kernel("cumprod.accumulate", "cumprod", _accumulate("np.multiply"), cost=_cost, scratch=_accumulate_scratch),),
}
