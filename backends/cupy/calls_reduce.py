"""Reductions as CuPy's calls, with `out` and the dtype that the plan states; means, spreads and norms step by step, as NumPy has them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backends.cupy.calls_elementwise import kernel
from backends.straight.site import Site, parts, type_name
from ir.place import Place
from ir.spec import Spec
from ir.target import Kernel, Places


def _keep(site: Site) -> str:
    return ", True" if site.attrs["keepdims"] else ""


def _typed(site: Site, x: Place | None = None, out: Place | None = None) -> str:
    """The dtype in which is summed, where it is not the operand's."""
    x, out = x or site.reads[0], out or site.writes[0]
    return "None" if x.dtype == out.dtype else f"np.{type_name(out.dtype)}"


def _added(path: str) -> Any:
    def lines(site: Site) -> tuple[str, ...]:
        if not site.attrs["axis"]:
            return ('cp.copyto({out}, {0}, "unsafe")', *(["cp.add({out}, 0, {out})"] if path == "cp.sum" else []))  # -0.0 + 0 is 0.0
        return (f"{path}({{0}}, {{axis}}, {_typed(site)}, {{out}}{_keep(site)})",)

    return lines


def _extreme(path: str) -> Any:
    def lines(site: Site) -> tuple[str, ...]:
        return (f"{path}({{0}}, {{axis}}, {{out}}{_keep(site)})",) if site.attrs["axis"] else ("cp.copyto({out}, {0})",)

    return lines


def _truth(path: str) -> Any:
    def lines(site: Site) -> tuple[str, ...]:
        if not site.attrs["axis"]:
            return ("cp.not_equal({0}, 0, {out})",)
        if site.reads[0].dtype.kind == "b":
            return (f"{path}({{0}}, {{axis}}, {{out}}{_keep(site)})",)
        return "cp.not_equal({0}, 0, {t0})", f"{path}({{t0}}, {{axis}}, {{out}}{_keep(site)})"

    return lines


def _truth_temps(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    return () if specs[0].dtype.kind == "b" or not attrs["axis"] else (Spec(specs[0].shape, np.dtype(bool)),)


# ---- means and spreads
def _count(site: Site) -> int:
    return math.prod([site.reads[0].shape[k] for k in site.attrs["axis"]])


def _half(specs: tuple[Spec, ...], attrs: dict[str, Any]) -> bool:
    return specs[0].dtype.char == "e" and attrs.get("dtype") is None


def _mean_temps(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    """What is float16 is summed in float32; so are integers in float64 when their mean is to be another dtype."""
    return (outs[0].with_dtype("f4"),) if _half(specs, attrs) else ()


def _summed(site: Site, x: str, target: str, dtype: str, keep: str) -> list[str]:
    """The sum of x over the node's axes into a place of its shape; over no axes a copy."""
    if not site.attrs["axis"]:
        return [f'cp.copyto({target}, {x}, "unsafe")']
    return [f"cp.sum({x}, {{axis}}, {dtype}, {target}{keep})"]


def _mean(site: Site) -> tuple[str, ...]:
    if site.call.temps:
        lines = _summed(site, "{0}", "{t0}", "np.float32", _keep(site))
        return (*lines, f"cp.divide({{t0}}, {float(_count(site))}, {{t0}})", 'cp.copyto({out}, {t0}, "unsafe")')
    lines = _summed(site, "{0}", "{out}", _typed(site), _keep(site))
    if site.writes[0].dtype.kind in "fc":
        return (*lines, f"cp.divide({{out}}, {float(_count(site))}, {{out}})")
    return (*lines, f'cp.divide({{out}}, {_count(site)}, {{out}}, casting="unsafe")')


def _inner_dtype(x: Spec) -> np.dtype:
    return x.dtype if x.dtype.kind in "fc" else np.dtype(np.float64)


def _var_temps(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    """The mean with its axes kept, and the deviations."""
    x, dtype = specs[0], _inner_dtype(specs[0])
    return Spec([1 if k in attrs["axis"] else n for k, n in enumerate(x.shape)], dtype), Spec(x.shape, dtype)


def _var(root: bool) -> Any:
    def lines(site: Site) -> tuple[str, ...]:
        mean, apart = site.call.temps
        found = [
            *_summed(site, "{0}", "{t0}", _typed(site, out=mean), ", True"),
            f"cp.divide({{t0}}, {float(_count(site))}, {{t0}})",
            "cp.subtract({0}, {t0}, {t1})",
        ]
        squares = "{t1}"
        if mean.dtype.kind == "c":
            squares, im = map(site.name, parts(apart))
            found += [f"cp.square({squares}, {squares})", f"cp.square({im}, {im})", f"cp.add({squares}, {im}, {squares})"]
        else:
            found.append("cp.square({t1}, {t1})")
        found += _summed(site, squares, "{out}", "None" if apart.dtype.kind == "c" else _typed(site, apart), _keep(site))
        found.append(f"cp.divide({{out}}, {float(max(_count(site) - site.attrs['ddof'], 0))}, {{out}})")
        return (*found, *(["cp.sqrt({out}, {out})"] if root else []))

    return lines


# ---- norms
def _norm_temps(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    """The absolute values, in the dtype of the result."""
    return (Spec(specs[0].shape, outs[0].dtype),)


def _norm(site: Site) -> tuple[str, ...]:
    """`np.linalg.norm` along axes, of the absolute values: their squares summed and a root, their sum, their greatest ..."""
    order = site.attrs["ord"]
    (total,) = _summed(site, "{t0}", "{out}", "None", _keep(site))
    first = 'cp.copyto({t0}, {0}, "unsafe")' if site.reads[0].dtype.kind in "biu" else "cp.absolute({0}, {t0})"
    lines = [first, *(["cp.absolute({t0}, {t0})"] if site.reads[0].dtype.kind in "biu" else [])]
    if order is None or order == 2:
        return (*lines, "cp.square({t0}, {t0})", total, "cp.sqrt({out}, {out})")
    if order == 0:
        return (*lines, "cp.copyto({t0}, cp.not_equal({t0}, 0))", total)
    if order in (math.inf, -math.inf):
        extreme = f"cp.{'amax' if order > 0 else 'amin'}({{t0}}, {{axis}}, {{out}}{_keep(site)})"
        return (*lines, extreme if site.attrs["axis"] else "cp.copyto({out}, {t0})")
    if order == 1:
        return (*lines, total)
    return (*lines, _raised("{t0}", order), total, _raised("{out}", 1 / order))


def _raised(target: str, power: float) -> str:
    short = {0.5: "sqrt", 2.0: "square", -1.0: "reciprocal"}.get(power)
    return f"cp.{short}({target}, {target})" if short else f"cp.power({target}, {float(power)!r}, {target})"


# ---- places of extremes, running sums
def _arg(path: str) -> Any:
    def lines(site: Site) -> tuple[str, ...]:
        return (f"{path}({{0}}, {{axis}}, None, {{out}}{_keep(site)})",)

    return lines


def _running(path: str) -> Any:
    def lines(site: Site) -> tuple[str, ...]:
        if 0 in site.reads[0].shape:
            return ()
        return (f"{path}({{0}}, {{axis}}, {_typed(site)}, {{out}})",)

    return lines


def _dense(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return all(p.contiguous("C") for p in (*reads, *writes))


KERNELS: dict[str, tuple[Kernel, ...]] = {
    "sum": (kernel("sum", "sum", _added("cp.sum")),),
    "prod": (kernel("prod", "prod", _added("cp.prod")),),
    "mean": (kernel("mean", "sum", _mean, 2, temps=_mean_temps),),
    "max": (kernel("max", "amax", _extreme("cp.amax")),),
    "min": (kernel("min", "amin", _extreme("cp.amin")),),
    "any": (kernel("any", "any", _truth("cp.any"), 2, temps=_truth_temps),),
    "all": (kernel("all", "all", _truth("cp.all"), 2, temps=_truth_temps),),
    "var": (kernel("var", "steps", _var(root=False), 6, temps=_var_temps),),
    "std": (kernel("std", "steps", _var(root=True), 7, temps=_var_temps),),
    "norm": (kernel("norm", "steps", _norm, 4, temps=_norm_temps),),
    "argmax": (kernel("argmax", "argmax", _arg("cp.argmax"), accepts=_dense),),
    "argmin": (kernel("argmin", "argmin", _arg("cp.argmin"), accepts=_dense),),
    "cumsum": (kernel("cumsum", "cumsum", _running("cp.cumsum"), accepts=_dense),),
    "cumprod": (kernel("cumprod", "cumprod", _running("cp.cumprod"), accepts=_dense),),
}
