"""Kernels of `norm`: `np.linalg.norm` step by step, in planned memory. The 2-norm over all axes is a product, as NumPy has it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backends.numpy.kernels_reduce import product_cost, steps_cost
from backends.straight.site import Site, flat, like, parts, reshaped
from ir.planning.strides import is_dense
from ir.spec import Spec
from ir.target import Kernel, Places


def _by_dot(reads: Places, attrs: dict[str, Any]) -> bool:
    """The 2-norm over all axes, which NumPy computes as a product of the array with itself."""
    return attrs["ord"] is None and len(attrs["axis"]) == len(reads[0].shape)


def _norm_dot_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    x = reads[0]
    return _by_dot(reads, attrs) and x.strides is not None and is_dense(x.shape, x.strides, x.dtype.itemsize)


def _norm_dot_temps(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    """Integers as floats; the imaginary part's product."""
    if specs[0].dtype.kind == "c":
        return (Spec((), outs[0].dtype),)
    return () if specs[0].dtype == outs[0].dtype else (specs[0].with_dtype(outs[0].dtype),)


def _norm_dot(site: Site) -> tuple[str, ...]:
    x, out = flat(site.reads[0]), site.name(reshaped(site.writes[0], ()))
    if x.dtype.kind == "c":
        re, im = map(site.name, parts(x))
        return (f"{re}.dot({re}, {out})", f"{im}.dot({im}, {{t0}})", f"np.add({out}, {{t0}}, {out})", f"np.sqrt({out}, {out})")
    lines: tuple[str, ...] = ()
    if site.call.temps:
        x = flat(site.call.temps[0])
        lines = (f'np.copyto({site.name(x)}, {site.name(flat(site.reads[0]))}, "unsafe")',)
    return (*lines, f"{site.name(x)}.dot({site.name(x)}, {out})", f"np.sqrt({out}, {out})")


def _norm_temps(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    x = specs[0]
    return (Spec(x.shape, x.dtype if x.dtype.kind == "c" and attrs["ord"] in (None, 2) else outs[0].dtype),)


def _norm(site: Site) -> tuple[str, ...]:
    """`np.linalg.norm` along axes step by step, in a temp of the operand's shape."""
    order, keep = site.attrs["ord"], ", True" if site.attrs["keepdims"] else ""
    out, work = site.writes[0].dtype, like(site.call.temps[0], site.reads[0])
    t = site.name(work)
    total = f"np.add.reduce({t}, {{axis}}, None, {{out}}{keep})"
    if work.dtype.kind == "c":
        total = total.replace(t, site.name(parts(work)[0]), 1)
        return (f"np.conjugate({{0}}, {t})", f"np.multiply({t}, {{0}}, {t})", total, "np.sqrt({out}, {out})")
    x, lines = "{0}", []
    if site.reads[0].dtype.kind in "biu":
        x, lines = t, [f'np.copyto({t}, {{0}}, "unsafe")']
    if order is None or order == 2:
        return (*lines, f"np.multiply({x}, {x}, {t})", total, "np.sqrt({out}, {out})")
    if order == 0:
        return (*lines, f"np.not_equal({x}, {site.number(0, out if x == t else site.reads[0].dtype)}, {t})", total)
    lines.append(f"np.absolute({x}, {t})")
    if order in (math.inf, -math.inf):
        return (*lines, f"np.{'maximum' if order > 0 else 'minimum'}.reduce({t}, {{axis}}, None, {{out}}{keep})")
    if order == 1:
        return (*lines, total)
    return (*lines, _raised(site, t, order, out), total, _raised(site, "{out}", 1 / order, out))


def _raised(site: Site, target: str, power: float, dtype: np.dtype) -> str:
    """`target **= power` with NumPy's short cuts."""
    short = {0.5: "sqrt", 2.0: "square", -1.0: "reciprocal"}.get(power)
    return f"np.{short}({target}, {target})" if short else f"np.power({target}, {site.number(power, dtype)}, {target})"


KERNELS: dict[str, tuple[Kernel, ...]] = {
    "norm": (
        Kernel("norm.dot", "norm", _norm_dot, accepts=_norm_dot_accepts, cost=product_cost, temps=_norm_dot_temps),
        Kernel(
            "norm.steps",
            "norm",
            _norm,
            cost=steps_cost(2),
            temps=_norm_temps,
            accepts=lambda reads, writes, attrs: not _by_dot(reads, attrs),
        ),
    ),
}
