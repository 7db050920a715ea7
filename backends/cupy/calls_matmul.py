"""Products and the layers made of them as CuPy's calls: cuBLAS through `dot` and `matmul`, operands of several dtypes cast first.

float32 means float32: CuPy leaves TF32 off unless its user turns it on (`CUPY_TF32`). float16 is summed in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backends.cupy.calls_elementwise import kernel
from backends.straight.site import Site, transposed
from ir.place import Place
from ir.spec import Spec, promote
from ir.target import Kernel, Places


def _empty(*places: Place) -> bool:
    return any(0 in p.shape for p in places)


def _common(specs: tuple[Spec, ...]) -> np.dtype:
    return promote(specs[0].strong(), specs[1].strong())


def _counted(dtype: np.dtype) -> np.dtype:
    """The dtype in which a product is computed: of bools it is a count, in which what is not 0 is True."""
    return np.dtype(np.float32) if dtype.kind == "b" else dtype


def _temps(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    """A cast of each of the first two operands that has another dtype than the product, and the product where it is not the result."""
    dtype = _counted(_common(specs))
    found = [s.with_dtype(dtype) for s in specs[:2] if s.dtype != dtype]
    return (*found, *([outs[0].with_dtype(dtype)] if outs[0].dtype != dtype else []))


def _casting(site: Site) -> tuple[list[str], list[Place], Place]:
    """(lines that bring operands to one dtype, the places to be read, the place of the product)"""
    dtype, temps = _counted(np.result_type(site.reads[0].dtype, site.reads[1].dtype)), iter(site.call.temps)
    lines, places = [], []
    for k, place in enumerate(site.reads[:2]):
        if place.dtype != dtype:
            temp = next(temps)
            lines.append(f"cp.copyto({site.name(temp)}, {{{k}}})")
            place = temp
        places.append(place)
    return lines, places, site.writes[0] if site.writes[0].dtype == dtype else next(temps)


def _last(site: Site, product: Place) -> list[str]:
    """From the product to the result, where they are not the same."""
    if product is site.writes[0]:
        return []
    name = site.name(product)
    return [f"cp.not_equal({name}, 0, {{out}})" if site.writes[0].dtype.kind == "b" else f"cp.copyto({{out}}, {name})"]


def _product(path: str) -> Any:
    def lines(site: Site) -> tuple[str, ...]:
        if _empty(*site.reads):
            return ("{out}.fill(0)",)
        if not all(p.shape for p in site.reads):
            return ("cp.multiply({0}, {1}, {out})",)
        casts, (x, y), product = _casting(site)
        names = site.name(x), site.name(y), site.name(product)
        call = f"{names[0]}.dot({names[1]}, {names[2]})" if path == "dot" else f"cp.matmul({names[0]}, {names[1]}, out={names[2]})"
        return (*casts, call, *_last(site, product))

    return lines


def _into_rows(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return all(p.contiguous("C") for p in writes)


# ---- layers
def _linear(site: Site) -> tuple[str, ...]:
    if _empty(*site.reads[:2]):
        return ('cp.copyto({out}, {2}, "unsafe")',)
    casts, (x, W), product = _casting(site)
    return (*casts, f"{site.name(x)}.dot({site.name(W)}, {site.name(product)})", f"cp.add({site.name(product)}, {{2}}, {{out}})")


def _linear_vjp(site: Site) -> tuple[str, ...]:
    casts, (x, gy), _ = _casting(site)
    dW = "{out}.fill(0)" if _empty(x, gy) else f"{site.name(transposed(x))}.dot({site.name(gy)}, {{out}})"
    return (*casts, dW, "cp.sum({1}, (0,), np." + site.writes[1].dtype.type.__name__ + ", {out1})")


def _known(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    """The product is written as it is, and its operand turned."""
    return _into_rows(reads, writes, attrs) and reads[0].strides is not None and writes[0].dtype.kind != "b"


KERNELS: dict[str, tuple[Kernel, ...]] = {
    "dot": (kernel("dot", "dot", _product("dot"), accepts=_into_rows, temps=_temps),),
    "matmul": (kernel("matmul", "matmul", _product("matmul"), accepts=_into_rows, temps=_temps),),
    "linear": (kernel("linear", "dot", _linear, 2, accepts=_into_rows, temps=_temps),),
    "linear_vjp": (kernel("linear_vjp", "dot", _linear_vjp, 2, accepts=_known, temps=_temps),),
}
