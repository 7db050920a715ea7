"""Kernels that read and write at indices, sort, and join arrays: concatenate, take, gather, sort, and the update family.

NumPy can't read at several index arrays into a given buffer, nor argsort into one: these kernels state the fresh array as scratch.
An update's operand 0 and its output are the same memory (the planner sees to it), so a body writes the new part only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from backends.numpy.costs import MOVED, MOVES
from backends.numpy.kernels_elementwise import ufunc_scratch
from backends.straight.site import Site, parts, same_memory, trimmed_value, written_view
from ir.place import Place
from ir.planning.places import sliced
from ir.spec import Spec
from ir.target import Kernel, Places


def _bytes(place: Place) -> int:
    return math.prod(place.shape) * place.dtype.itemsize


def _moves(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> float:
    return MOVES + MOVED * outs[0].size


# ---- joining
def _concatenate(site: Site) -> tuple[str, ...]:
    names = ", ".join([site.name(p) for p in site.reads])
    return (f"np.concatenate(({names},), {{axis}}, {{out}})",)


# ---- reading
def _take_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return all(p.contiguous("C") for p in (*reads, *writes))


def _take_scratch(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    """The output once more where indices are checked (NumPy writes nothing before all are), and the indices where they are not of
    `intp` or, as constants are, not writeable."""
    indices = reads[1]
    copied = indices.dtype != np.intp or indices.buffer.kind == "const"
    return max(1, _bytes(writes[0])) * (attrs["mode"] == "raise") + math.prod(indices.shape) * 8 * copied


def _key(axes: tuple[int, ...], first: int) -> str:
    """The key as Python writes it: index arrays at `axes`, operand `first` and on, full slices before and between."""
    return ", ".join([f"{{{first + axes.index(k)}}}" if k in axes else ":" for k in range(axes[-1] + 1)])


def _tuple(axes: tuple[int, ...], first: int) -> str:
    key = _key(axes, first).replace(":", "slice(None)")
    return f"({key},)"


def _gather(site: Site) -> tuple[str, ...]:
    return (f"np.copyto({{out}}, {{0}}[{_key(site.attrs['axes'], 1)}])",)


def _fresh_result(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    return max(1, _bytes(writes[0]))


def _along(site: Site) -> tuple[str, ...]:
    """Each other axis reads its own index, as a constant."""
    x, axis = site.reads[0], site.attrs["axis"]
    grid = []
    for k, n in enumerate(x.shape):
        shape = tuple([n if a == k else 1 for a in range(len(x.shape))])
        grid.append("{1}" if k == axis else site.const(f"np.arange({n}).reshape({shape})", f"along{k}"))
    return (f"np.copyto({{out}}, {{0}}[{', '.join(grid)}])",)


# ---- order
def _sort(site: Site) -> tuple[str, ...]:
    kind = "" if site.attrs["kind"] is None else ", {kind}"
    copy = () if same_memory(site.reads[0], site.writes[0]) else ("np.copyto({out}, {0})",)
    return (*copy, f"{{out}}.sort({{axis}}{kind})")


def _lane(place: Place, axis: int) -> int:
    """NumPy sorts a row that is not contiguous in a buffer of its own."""
    assert place.strides is not None
    n, size = place.shape[axis], place.dtype.itemsize
    return 0 if place.strides[axis] == size or n < 2 or 0 in place.shape else n * size


def _sort_scratch(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    return _lane(writes[0], attrs["axis"])


def _argsort(site: Site) -> tuple[str, ...]:
    kind = "" if site.attrs["kind"] is None else ", {kind}"
    return (f"np.copyto({{out}}, {{0}}.argsort({{axis}}{kind}))",)


def _argsort_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return reads[0].contiguous("C") and writes[0].contiguous("C")


def _argsort_scratch(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    return max(1, _bytes(writes[0])) + _lane(reads[0], attrs["axis"]) + _lane(writes[0], attrs["axis"])


# ---- writing
def _set_slice(site: Site) -> tuple[str, ...]:
    return (f'np.copyto({written_view(site)}, {{1}}, "unsafe")',)


def _set_slice_scratch(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    """NumPy copies a value first whose span of memory meets the place's; along one axis only where the steps differ in sign."""
    value = reads[1]
    if value.buffer is not writes[0].buffer or value.strides is None or writes[0].strides is None:
        return 0
    view = sliced(writes[0], attrs["index"])
    assert view.strides is not None
    if not view.shape or (len(view.shape) == 1 and (not value.shape or view.strides[0] * value.strides[-1] >= 0)):
        return 0
    (one, two), (three, four) = view.span(), value.span()
    return _bytes(value) if one < four and three < two else 0


def _add_slice(site: Site) -> tuple[str, ...]:
    view = written_view(site)
    return (f"np.add({view}, {trimmed_value(site, len(site.writes[0].shape))}, {view}{_casting(site)})",)


def _add_slice_scratch(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    """A small value of another dtype is cast by a copy."""
    view, value = sliced(writes[0], attrs["index"]), reads[1]
    return ufunc_scratch(np.add, view, value)


def _casting(site: Site) -> str:
    return "" if site.reads[1].dtype == site.writes[0].dtype else ', casting="same_kind"'


def _set_at(site: Site) -> tuple[str, ...]:
    return (f"{{out}}[{_key(site.attrs['axes'], 2)}] = {{1}}",)


def _add_at(site: Site) -> tuple[str, ...]:
    base, axes = site.writes[0], site.attrs["axes"]
    ndim = len(base.shape) - len(axes) + max([len(p.shape) for p in site.reads[2:]])
    return (f"np.add.at({{out}}, {_tuple(axes, 2)}, {trimmed_value(site, ndim)})",)


def _add_at_scratch(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    """Where all indices are 0-d NumPy makes an index of one element."""
    return 8 if all(p.shape == () for p in reads[2:]) else 0


def _ufunc_at(site: Site) -> tuple[str, ...]:
    return (_add_at(site)[0].replace("np.add.at", f"np.{site.attrs['ufunc']}.at"),)


def _set_part(which: int) -> Callable[[Site], tuple[str, ...]]:
    return lambda site: (f'np.copyto({site.name(parts(site.writes[0])[which])}, {{1}}, "unsafe")',)


def _known(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return reads[1].strides is not None


KERNELS: dict[str, tuple[Kernel, ...]] = {
    "concatenate": (Kernel("concatenate.numpy", "concatenate", _concatenate, cost=_moves),),
    "take": (
        Kernel(
            "take.numpy", "take", ("np.take({0}, {1}, {axis}, {out}, {mode})",), accepts=_take_accepts, cost=_moves, scratch=_take_scratch
        ),
    ),
    "gather": (Kernel("gather.copy", "gather", _gather, cost=_moves, scratch=_fresh_result),),
    "take_along_axis": (Kernel("take_along_axis.copy", "take_along_axis", _along, cost=_moves, scratch=_fresh_result),),
    "sort": (Kernel("sort.inplace", "sort", _sort, cost=_moves, overwrites=(0,), scratch=_sort_scratch),),
    "argsort": (Kernel("argsort.copy", "argsort", _argsort, accepts=_argsort_accepts, cost=_moves, scratch=_argsort_scratch),),
    "set_slice": (
        Kernel("set_slice.copyto", "set_slice", _set_slice, cost=_moves, overwrites=(0,), scratch=_set_slice_scratch, single=True),
    ),
    "add_slice": (
        Kernel(
            "add_slice.add", "add_slice", _add_slice, accepts=_known, cost=_moves, overwrites=(0,), scratch=_add_slice_scratch, single=True
        ),
    ),
    "set_at": (Kernel("set_at.setitem", "set_at", _set_at, cost=_moves, overwrites=(0,)),),
    "set_real": (Kernel("set_real.copyto", "set_real", _set_part(0), cost=_moves, overwrites=(0,), single=True),),
    "set_imag": (Kernel("set_imag.copyto", "set_imag", _set_part(1), cost=_moves, overwrites=(0,), single=True),),
    "ufunc_at": (
        Kernel("ufunc_at.at", "ufunc_at", _ufunc_at, accepts=_known, cost=_moves, overwrites=(0,), scratch=_add_at_scratch),
    ),
    "add_at": (Kernel("add_at.at", "add_at", _add_at, accepts=_known, cost=_moves, overwrites=(0,), scratch=_add_at_scratch),),
}
