"""Kernels of elementwise operations: each ufunc with `out`, and the few that are no ufuncs.

In: the records of `ir.ops`, which name the ufunc. Out: Kernels. Where operands are of several dtypes NumPy casts them in blocks in a
fixed buffer of its own, but small ones it copies whole: `ufunc_scratch` says when.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from backends.numpy.costs import ARITHMETIC, CALL, ELEMENT, NUMBERS, VECTOR32
from backends.straight.site import Site, same_memory
from ir.op import Op
from ir.place import Place
from ir.spec import Spec, ufunc_dtypes
from ir.target import Kernel, Places

BUFFER = 8192  # elements of NumPy's casting buffer (np.getbufsize())


def per_element(name: str, dtype: np.dtype) -> float:
    """Nanoseconds an element of one pass."""
    base = ELEMENT.get(name, ARITHMETIC)
    if dtype.itemsize <= 4 and dtype.kind == "f":
        return base / (4 if name in VECTOR32 else 2)
    return base


def passes(*names: str) -> Any:
    """The cost of a few passes over the first output, a call each."""

    def cost(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> float:
        return sum(CALL + outs[0].size * per_element(n, outs[0].dtype) for n in names)

    return cost


def ufunc_scratch(ufunc: np.ufunc, *reads: Place) -> int:
    """Bytes that a call of the ufunc on these operands asks for.

    NumPy goes through the operands in order and, as long as it may hope for a plain loop, casts those of at most one axis by a copy;
    at the first larger one that needs a cast it gives up hope. What has no axes is copied in any case.
    """
    loop = ufunc_dtypes(ufunc, tuple([_number(p.dtype) for p in reads]))
    total, hope = 0, True
    for place, dtype in zip(reads, loop):
        if place.dtype != dtype:
            hope = hope and len(place.shape) < 2 and math.prod(place.shape) <= BUFFER
            if hope or place.shape == ():
                total += max(1, math.prod(place.shape) * dtype.itemsize)
    return total


@lru_cache
def _number(dtype: np.dtype) -> Spec:
    return Spec((), dtype)


def scratch_of(ufunc: np.ufunc) -> Any:
    """The `scratch` of a kernel that calls the ufunc on its operands."""
    return lambda reads, writes, attrs: ufunc_scratch(ufunc, *reads)


def ufunc_kernel(op: Op) -> Kernel:
    """The ufunc that the record names, written into its output. In place is safe: NumPy reads an element before it writes it."""
    path = "np._core.umath.clip" if op.name == "clip" else f"np.{op.ufunc.__name__}"
    operands = ", ".join(f"{{{k}}}" for k in range(op.ufunc.nin))
    out = "out={out}" if op.name in ("maximum", "minimum") else "{out}"  # NumPy deprecates a third operand of these two
    return Kernel(
        f"{op.name}.ufunc",
        op.name,
        (f"{path}({operands}, {out})",),
        cost=passes(op.name),
        overwrites=tuple(range(op.ufunc.nin)),
        scratch=scratch_of(op.ufunc),
        single=True,
    )


# ---- single numbers: NumPy's scalars take 0.25 us where a ufunc takes 0.65
_SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}


def _are_numbers(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    dtype = writes[0].dtype
    return dtype.char in "fd" and all(p.shape == () and p.dtype == dtype for p in (*reads, *writes))


def _scalar(site: Site) -> tuple[str, ...]:
    one, two = [site.scalar(p) for p in site.reads]
    return (f"{{out}}[()] = {one} {_SIGNS[site.call.node.op.name]} {two}",)


def scalar_kernel(op: Op) -> Kernel:
    """The operation on NumPy scalars."""
    return Kernel(
        f"{op.name}.scalar", op.name, _scalar, exact=False, accepts=_are_numbers, cost=lambda specs, outs, attrs: NUMBERS,
        overwrites=(0, 1), scalar=True,
    )  # fmt: skip


# ---- powers with a constant exponent: NumPy's own takes 28 ns an element for all but -1, 0, 0.5, 1 and 2
def _exponent(reads: Places) -> Any:
    held = reads[1].buffer.data
    return held.item() if held is not None and held.ndim == 0 and reads[1].buffer.kind == "const" else None


def _is_cube(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return _exponent(reads) == 3 and reads[0].dtype == writes[0].dtype and writes[0].dtype.kind == "f" and writes[0].dtype.itemsize > 2


def _is_fourth(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return _exponent(reads) == 4 and reads[0].dtype == writes[0].dtype and writes[0].dtype.kind == "f" and writes[0].dtype.itemsize > 2


POWER = (
    Kernel(
        "power.cube",
        "power",
        ("np.multiply({0}, {0}, {out})", "np.multiply({out}, {0}, {out})"),
        exact=False,
        accepts=_is_cube,
        cost=passes("multiply", "multiply"),
    ),
    Kernel(
        "power.fourth",
        "power",
        ("np.multiply({0}, {0}, {out})", "np.multiply({out}, {out}, {out})"),
        exact=False,
        accepts=_is_fourth,
        cost=passes("multiply", "multiply"),
        overwrites=(0,),
    ),
)


# ---- logarithms: NumPy's own of doubles takes another way near 1, which nobody foresees: 10 to 17 ns an element
def _log(site: Site) -> tuple[str, ...]:
    return "np.log2({0}, {out})", f"np.multiply({{out}}, {site.number(math.log(2), site.writes[0].dtype)}, {{out}})"


def _is_double(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return reads[0].dtype == writes[0].dtype and writes[0].dtype.char == "d"


LOG = (Kernel("log.log2", "log", _log, exact=False, accepts=_is_double, cost=passes("log2", "multiply"), overwrites=(0,)),)


# ---- no ufuncs
def _move(site: Site) -> tuple[str, ...]:
    return () if same_memory(site.reads[0], site.writes[0]) else ('np.copyto({out}, {0}, "unsafe")',)


def _imag(site: Site) -> tuple[str, ...]:
    return ("np.copyto({out}, {0}.imag)",) if site.reads[0].dtype.kind == "c" else ("{out}.fill(0)",)


def _cast(site: Site) -> tuple[str, ...]:
    """From complex to real it is the real part that is copied: NumPy's warning belongs to the user's astype, not to us."""
    read, write = site.reads[0], site.writes[0]
    return ('np.copyto({out}, {0}.real, "unsafe")',) if read.dtype.kind == "c" and write.dtype.kind not in "cb" else _move(site)


MORE = {"power": POWER, "log": LOG}
OTHERS = {
    "real": (Kernel("real.copyto", "real", ("np.copyto({out}, {0}.real)",), cost=passes("copy")),),
    "imag": (Kernel("imag.copyto", "imag", _imag, cost=passes("copy")),),
    "cast": (Kernel("cast.copyto", "cast", _cast, cost=passes("copy"), overwrites=(0,), single=True),),
    "copy": (Kernel("copy.copyto", "copy", _move, cost=passes("copy"), overwrites=(0,)),),
}


def kernels(table: dict[str, Op]) -> dict[str, tuple[Kernel, ...]]:
    """The kernels of every elementwise operation in the table."""
    found: dict[str, tuple[Kernel, ...]] = dict(OTHERS)
    for name, op in table.items():
        if op.family == "elementwise" and op.ufunc is not None and name not in found:
            found[name] = (*MORE.get(name, ()), ufunc_kernel(op), *([scalar_kernel(op)] if name in _SIGNS else []))
    return found
