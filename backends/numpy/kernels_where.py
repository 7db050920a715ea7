"""Kernels of `where`: numbers chosen by a mask.

NumPy copies under a mask element by element: 8 ns each where the mask has no pattern, 1.5 where it is all one value. Read as integers,
an element times the mask (0 or 1) is itself or 0, NaN included, and `((a ^ b) * mask) ^ b` is a or b: 0.3 ns a pass, to the bit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from backends.numpy.costs import CALL, MASKED
from backends.numpy.kernels_elementwise import ufunc_scratch
from backends.straight.site import Site, same_memory
from ir.place import Place
from ir.spec import Spec
from ir.target import Kernel, Places


def bits(place: Place) -> Place:
    """The elements as integers of their size."""
    return replace(place, dtype=np.dtype(f"i{place.dtype.itemsize}"))


def _has_bits(*places: Place) -> bool:
    dtype = places[0].dtype
    return dtype.kind in "iuf" and dtype.itemsize <= 8 and all(p.dtype == dtype and p.strides is not None for p in places)


def _is_condition(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return reads[0].dtype.kind == "b"


def _is_number(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return not _is_condition(reads, writes, attrs)


def _is_zero(place: Place) -> bool:
    """A constant 0, of which every bit is 0."""
    data = place.buffer.data if place.buffer.kind == "const" else None
    return data is not None and not any(data.tobytes())


def _zero_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return _is_condition(reads, writes, attrs) and _has_bits(writes[0], *reads[1:]) and _is_zero(reads[2])


def _bits_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return _is_condition(reads, writes, attrs) and _has_bits(writes[0], *reads[1:])


def _is_masking(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    """`where(c, x, number)`: what masks a gradient."""
    x, out = reads[1], writes[0]
    return reads[0].dtype.kind == "b" and reads[2].shape == () and (x.shape, x.strides, x.dtype) == (out.shape, out.strides, out.dtype)


def _copyto(site: Site) -> tuple[str, ...]:
    choose = 'np.copyto({out}, {1}, "unsafe", {0})'
    return (choose,) if same_memory(site.reads[2], site.writes[0]) else ('np.copyto({out}, {2}, "unsafe")', choose)


def _masking(site: Site) -> tuple[str, ...]:
    """Over x: the number goes where the condition, turned round, holds. Elsewhere as usual."""
    if not same_memory(site.reads[1], site.writes[0]):
        return _copyto(site)
    return "np.logical_not({0}, {t0})", 'np.copyto({out}, {2}, "unsafe", {t0})'


def _number(site: Site) -> tuple[str, ...]:
    """A condition of numbers is brought to bool first."""
    return (f"np.not_equal({{0}}, {site.number(0, site.reads[0].dtype)}, {{t0}})", *[line.replace("{0}", "{t0}") for line in _copyto(site)])


def _zero(site: Site) -> tuple[str, ...]:
    return (f"np.multiply({site.name(bits(site.reads[1]))}, {{0}}, {site.name(bits(site.writes[0]))})",)


def _bits(site: Site) -> tuple[str, ...]:
    if same_memory(site.reads[2], site.writes[0]):
        return _copyto(site)
    a, b, out = [site.name(bits(p)) for p in (*site.reads[1:], *site.writes)]
    return f"np.bitwise_xor({a}, {b}, {out})", f"np.multiply({out}, {{0}}, {out})", f"np.bitwise_xor({out}, {b}, {out})"


def _cost(calls: int, each: float) -> Any:
    """`each`: nanoseconds an element of 4 bytes, twice that where they have 8."""

    def cost(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> float:
        return calls * CALL + outs[0].size * each * (2 if outs[0].dtype.itemsize > 4 else 1)

    return cost


def _masked_cost(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> float:
    return 2 * CALL + outs[0].size * MASKED


def _scratch(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    """The mask is cast to integers."""
    return ufunc_scratch(np.multiply, bits(writes[0]), reads[0])


def _zero_scratch(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    return ufunc_scratch(np.multiply, bits(reads[1]), reads[0])


def _mask(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    return (Spec(specs[0].shape, np.dtype(bool)),)


KERNELS: dict[str, tuple[Kernel, ...]] = {
    "where": (
        Kernel("where.zero", "where", _zero, accepts=_zero_accepts, cost=_cost(1, 0.5), overwrites=(1,), scratch=_zero_scratch),
        Kernel("where.bits", "where", _bits, accepts=_bits_accepts, cost=_cost(3, 0.9), overwrites=(1,), scratch=_scratch),
        Kernel("where.masking", "where", _masking, accepts=_is_masking, cost=_masked_cost, overwrites=(1,), temps=_mask),
        Kernel("where.copyto", "where", _copyto, accepts=_is_condition, cost=_masked_cost, overwrites=(2,)),
        Kernel("where.number", "where", _number, accepts=_is_number, cost=_masked_cost, overwrites=(2,), temps=_mask),
    ),
}
