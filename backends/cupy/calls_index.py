"""Reads and writes at indices, sorts and joins as CuPy's calls. An update's operand 0 and its output are the same memory.

CuPy takes an index out of range round the axis, where NumPy raises. Where an index stands twice, CuPy's own writes are in no order and its
additions in a new one each time: `support.set_at` and `support.combine_at` sort first, so that the last value is kept and sums have the
same bits at each run. Constant indices that are all different are written at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backends.cupy.calls_elementwise import fixed, kernel
from backends.straight.site import Site, parts, same_memory, trimmed_value, written_view
from ir.place import Place
from ir.spec import Spec
from ir.target import Kernel, Places

COMBINES = {
    "subtract": ("add", "subtract"), "multiply": ("multiply", "multiply"), "divide": ("multiply", "divide"),
    "maximum": ("maximum", "maximum"), "minimum": ("minimum", "minimum"), "fmax": ("fmax", "fmax"), "fmin": ("fmin", "fmin"),
    "logaddexp": ("logaddexp", "logaddexp"), "hypot": ("hypot", "hypot"), "bitwise_and": ("bitwise_and", "bitwise_and"),
    "bitwise_or": ("bitwise_or", "bitwise_or"), "bitwise_xor": ("bitwise_xor", "bitwise_xor"),
}  # fmt: skip


def _known(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return all(p.strides is not None for p in reads)


def _within(x: Place, indices: Places, axes: tuple[int, ...]) -> bool:
    """Whether constant indices are those of the axes; of others nobody knows before the run."""
    for place, axis in zip(indices, axes, strict=True):
        known, size = fixed(place), x.shape[axis]
        if known is not None and known.size and not (-size <= known.min() and known.max() < size):
            return False
    return True


def _reads_within(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return _within(reads[0], reads[1:], attrs["axes"])


def _writes_within(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return _known(reads, writes, attrs) and _within(reads[0], reads[2:], attrs["axes"])


def _along_within(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return _within(reads[0], reads[1:], (attrs["axis"],))


# ---- joining
def _concatenate(site: Site) -> tuple[str, ...]:
    names = ", ".join([site.name(p) for p in site.reads])
    return (f"cp.concatenate(({names},), {{axis}}, {{out}})",)


# ---- reading
def _key(axes: tuple[int, ...], first: int) -> str:
    """The key as Python writes it: index arrays at `axes`, operand `first` and on, full slices before and between."""
    return ", ".join([f"{{{first + axes.index(k)}}}" if k in axes else ":" for k in range(axes[-1] + 1)])


def _take(site: Site) -> tuple[str, ...]:
    if 0 in site.writes[0].shape:
        return ()
    if site.attrs["mode"] != "clip":
        return ("cp.take({0}, {1}, {axis}, {out})",)
    last = site.reads[0].shape[site.attrs["axis"]] - 1
    return "cp.maximum({1}, 0, {t0})", f"cp.minimum({{t0}}, {last}, {{t0}})", "cp.take({0}, {t0}, {axis}, {out})"


def _take_temps(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    return (Spec(specs[1].shape, np.dtype(np.int64)),) if attrs["mode"] == "clip" else ()


def _take_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    within = attrs["mode"] != "raise" or _along_within(reads, writes, attrs)
    return writes[0].contiguous("C") and reads[1].dtype.kind in "iu" and within


def _gather(site: Site) -> tuple[str, ...]:
    return (f"cp.copyto({{out}}, {{0}}[{_key(site.attrs['axes'], 1)}])",)


def _along(site: Site) -> tuple[str, ...]:
    """Each other axis reads its own index, as a constant."""
    x, axis = site.reads[0], site.attrs["axis"]
    grid = []
    for k, n in enumerate(x.shape):
        shape = tuple([n if a == k else 1 for a in range(len(x.shape))])
        grid.append("{1}" if k == axis else site.thing(np.arange(n).reshape(shape), f"along{k}"))
    return (f"cp.copyto({{out}}, {{0}}[{', '.join(grid)}])",)


def _fresh(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    return _bytes(writes[0])


def _bytes(place: Place) -> int:
    return int(np.prod(place.shape, dtype=np.int64)) * place.dtype.itemsize


# ---- order
def _sort(site: Site) -> tuple[str, ...]:
    copy = () if same_memory(site.reads[0], site.writes[0]) else ("cp.copyto({out}, {0})",)
    return (*copy, *(() if 0 in site.writes[0].shape else ("{out}.sort({axis})",)))


def _argsort(site: Site) -> tuple[str, ...]:
    return () if 0 in site.writes[0].shape else ("cp.copyto({out}, {0}.argsort({axis}))",)


def _dense(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return reads[0].contiguous("C") and writes[0].contiguous("C")


def _sort_scratch(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    return 2 * _bytes(writes[0])


# ---- writing
def _set_slice(site: Site) -> tuple[str, ...]:
    return (f'cp.copyto({written_view(site)}, {{1}}, "unsafe")',)


def _apart(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    """Whether the value lies outside of what may be written over: CuPy reads and writes in no order."""
    return reads[1].buffer is not reads[0].buffer


def _apart_and_known(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return _known(reads, writes, attrs) and _apart(reads, writes, attrs)


def _set_slice_meeting(site: Site) -> tuple[str, ...]:
    return ("cp.copyto({t0}, {1})", f'cp.copyto({written_view(site)}, {{t0}}, "unsafe")')


def _value(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    return (specs[1].strong(),)


def _add_slice(value: str) -> Callable[[Site], tuple[str, ...]]:
    def lines(site: Site) -> tuple[str, ...]:
        view = written_view(site)
        before = () if value == "{1}" else ("cp.copyto({t0}, {1})",)
        added = trimmed_value(site, len(site.writes[0].shape)) if value == "{1}" else value
        return (*before, f"cp.add({view}, {added}, {view})")

    return lines


def _places(site: Site, first: int = 2) -> str:
    """The key, as a tuple."""
    key = _key(site.attrs["axes"], first).replace(":", "slice(None)")
    return f"({key},)"


def _different(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    """Whether constants say that no index stands twice, or there is only one."""
    indices, base = reads[2:], writes[0]
    if int(np.prod(np.broadcast_shapes(*[p.shape for p in indices]), dtype=np.int64)) <= 1:
        return True
    known = [fixed(p) for p in indices]
    if any(array is None for array in known):
        return False
    arrays = np.broadcast_arrays(*known)
    wrapped = np.stack([np.where(a < 0, a + base.shape[k], a).ravel() for a, k in zip(arrays, attrs["axes"])])
    return np.unique(wrapped, axis=1).shape == wrapped.shape


def _set_at(site: Site) -> tuple[str, ...]:
    if _different(site.reads, site.writes, site.attrs):
        return (f"{{out}}[{_key(site.attrs['axes'], 2)}] = {{1}}",)
    return (f"support.set_at({{out}}, {_places(site)}, {{1}})",)


def _indexed_axes(site: Site) -> int:
    return len(site.writes[0].shape) - len(site.attrs["axes"]) + max([len(p.shape) for p in site.reads[2:]])


def _at(site: Site) -> tuple[str, ...]:
    name = site.attrs.get("ufunc", "add")
    value = trimmed_value(site, _indexed_axes(site))
    if _different(site.reads, site.writes, site.attrs):
        key = _key(site.attrs["axes"], 2)
        return (f"{{out}}[{key}] = cp.{name}({{out}}[{key}], {value})",)
    inner, outer = COMBINES.get(name, ("add", "add"))
    return (f"support.combine_at({{out}}, {_places(site)}, {value}, cp.{inner}, cp.{outer})",)


def _at_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    """Functions whose order matters are taken where no index stands twice."""
    return _writes_within(reads, writes, attrs) and (attrs["ufunc"] in COMBINES or _different(reads, writes, attrs))


def _at_scratch(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    return 3 * _bytes(reads[1]) + 2 * _bytes(writes[0])


def _set_part(which: int) -> Callable[[Site], tuple[str, ...]]:
    def lines(site: Site) -> tuple[str, ...]:
        value = "{1}.real" if site.reads[1].dtype.kind == "c" else "{1}"
        return (f'cp.copyto({site.name(parts(site.writes[0])[which])}, {value}, "unsafe")',)

    return lines


KERNELS: dict[str, tuple[Kernel, ...]] = {
    "concatenate": (kernel("concatenate", "concatenate", _concatenate),),
    "take": (kernel("take", "take", _take, accepts=_take_accepts, temps=_take_temps),),
    "gather": (kernel("gather", "getitem", _gather, 2, _reads_within, scratch=_fresh),),
    "take_along_axis": (kernel("take_along_axis", "getitem", _along, 2, _along_within, scratch=_fresh),),
    "sort": (kernel("sort", "sort", _sort, 2, _dense, overwrites=(0,), scratch=_sort_scratch),),
    "argsort": (kernel("argsort", "argsort", _argsort, 2, _dense, scratch=_sort_scratch),),
    "set_slice": (
        kernel("set_slice", "copyto", _set_slice, accepts=_apart, overwrites=(0,), single=True),
        kernel("set_slice", "meeting", _set_slice_meeting, 2, overwrites=(0,), temps=_value),
    ),
    "add_slice": (
        kernel("add_slice", "add", _add_slice("{1}"), accepts=_apart_and_known, overwrites=(0,), single=True),
        kernel("add_slice", "meeting", _add_slice("{t0}"), 2, overwrites=(0,), temps=_value),
    ),
    "set_at": (kernel("set_at", "setitem", _set_at, 8, _writes_within, overwrites=(0,), scratch=_at_scratch),),
    "add_at": (kernel("add_at", "sorted", _at, 8, _writes_within, overwrites=(0,), scratch=_at_scratch),),
    "ufunc_at": (kernel("ufunc_at", "sorted", _at, 8, _at_accepts, overwrites=(0,), scratch=_at_scratch),),
    "set_real": (kernel("set_real", "copyto", _set_part(0), overwrites=(0,), single=True),),
    "set_imag": (kernel("set_imag", "copyto", _set_part(1), overwrites=(0,), single=True),),
}  # fmt: skip
