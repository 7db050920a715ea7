"""Elementwise operations as CuPy's calls: a ufunc with `out` where CuPy's has NumPy's meaning, else a few of them that do together.

CuPy 14 takes the loop that NumPy takes, or a wider one of integers with the same values, for all operations but those named here:
`floor_divide` and `remainder` of floats divide and floor (1 // 0.1 is 10 there, 9 in NumPy), `fmod` of integers goes through doubles,
shifts by more than the width are up to the device, `clip` lets a NaN among its bounds pass, `logical_*` takes no complex numbers.
Integers raised to powers that may be negative are refused: NumPy raises there, a GPU can't.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backends.straight.site import Site, same_memory
from ir.op import Op
from ir.place import Place
from ir.spec import Spec
from ir.target import Kernel, Places

LAUNCH = 5000.0  # nanoseconds of a call of CuPy's on the host, about
BYTES_PER_NS = 1500.0


def call_cost(count: int) -> Any:
    """The cost of `count` calls that read the operands and write the first output."""

    def cost(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> float:
        return count * (LAUNCH + (outs[0].nbytes + sum([s.nbytes for s in specs])) / BYTES_PER_NS)

    return cost


def taken(*places: Place) -> bool:
    """Whether CuPy has arrays of these dtypes: none of longdouble."""
    return all(p.dtype.char not in "gG" for p in places)


def kernel(covers: str, name: str, body: Any, calls: int = 1, accepts: Callable[..., bool] | None = None, **more: Any) -> Kernel:
    """A kernel of so many calls, for places that CuPy takes."""

    def takes(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
        return taken(*reads, *writes) and (accepts is None or accepts(reads, writes, attrs))

    return Kernel(f"{covers}.{name}", covers, body, exact=False, accepts=takes, cost=call_cost(calls), **more)


def masks(count: int) -> Any:
    """The `temps` of a kernel that needs so many arrays of bool in the shape of its output."""
    return lambda specs, outs, attrs: (Spec(outs[0].shape, np.dtype(bool)),) * count


def _ufunc(op: Op) -> Kernel:
    operands = ", ".join([f"{{{k}}}" for k in range(op.ufunc.nin)])
    lines = (f"cp.{op.ufunc.__name__}({operands}, {{out}})",)
    return kernel(op.name, "ufunc", lines, overwrites=tuple(range(op.ufunc.nin)), single=True)


# ---- floor_divide, remainder and fmod
def _is_float(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return writes[0].dtype.kind == "f"


def _is_integer(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return writes[0].dtype.kind in "biu"


def _other_sign(rest: str) -> tuple[str, ...]:
    """In {t0}: where the remainder that C gives is not 0 and has not the sign of {1}."""
    return (
        f"cp.less({rest}, 0, {{t0}})",
        "cp.less({1}, 0, {t3})",
        "cp.not_equal({t0}, {t3}, {t0})",
        f"cp.not_equal({rest}, 0, {{t1}})",
        "cp.logical_and({t0}, {t1}, {t0})",
    )


def _modulo_temps(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    """Two masks and an array in the shape of the output, a mask in that of {1}."""
    mask = Spec(outs[0].shape, np.dtype(bool))
    return mask, mask, outs[0].strong(), Spec(specs[1].shape, np.dtype(bool))


def _floor_temps(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    return (*_modulo_temps(specs, outs, attrs), outs[0].strong())


_REMAINDER = (
    "cp.fmod({0}, {1}, {out})",
    *_other_sign("{out}"),
    "cp.add({out}, {1}, {t2})",
    'cp.copyto({out}, {t2}, "same_kind", {t0})',
    "cp.copysign({out}, {1}, {t2})",
    "cp.equal({out}, 0, {t0})",
    'cp.copyto({out}, {t2}, "same_kind", {t0})',
)
_FLOOR_DIVIDE = (
    "cp.fmod({0}, {1}, {t2})",
    *_other_sign("{t2}"),
    "cp.subtract({0}, {t2}, {t2})",
    "cp.divide({t2}, {1}, {t2})",  # whole, but for rounding
    "cp.rint({t2}, {out})",
    "cp.subtract({out}, 1, {t2})",
    'cp.copyto({out}, {t2}, "same_kind", {t0})',
    "cp.divide({0}, {1}, {t4})",
    "cp.copysign({out}, {t4}, {t2})",
    "cp.equal({out}, 0, {t0})",
    'cp.copyto({out}, {t2}, "same_kind", {t0})',
    "cp.equal({1}, 0, {t3})",
    "cp.copyto({t0}, {t3})",
    'cp.copyto({out}, {t4}, "same_kind", {t0})',
)
_FMOD_INTEGER = (
    "cp.remainder({0}, {1}, {out})",
    "cp.less({out}, 0, {t1})",
    "cp.less({0}, 0, {t4})",
    "cp.not_equal({t1}, {t4}, {t0})",
    "cp.not_equal({out}, 0, {t1})",
    "cp.logical_and({t0}, {t1}, {t0})",
    "cp.subtract({out}, {1}, {t2})",
    'cp.copyto({out}, {t2}, "same_kind", {t0})',
)


def _sign_temps(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    """As `_modulo_temps`, and a mask in the shape of {0}."""
    return (*_modulo_temps(specs, outs, attrs), Spec(specs[0].shape, np.dtype(bool)))


# ---- powers and shifts
def fixed(place: Place) -> Any:
    """The numbers of a constant, where it is read whole; None where only the run will tell."""
    data = place.buffer.data if place.buffer.kind == "const" else None
    return data if data is not None and (data.shape, data.strides, place.offset) == (place.shape, place.strides, 0) else None


def _power_accepts(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    """Integers are raised to what can't be negative."""
    exponent = fixed(reads[1])
    signed = writes[0].dtype.kind == "i" and reads[1].dtype.kind == "i"
    return not signed or (exponent is not None and bool(np.all(exponent >= 0)))


def _within(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    count = fixed(reads[1])
    return count is not None and bool(np.all((count >= 0) & (count < 8 * writes[0].dtype.itemsize)))


def _shift(path: str) -> Any:
    """By the width and more nothing is left but, of negative numbers shifted to the right, their sign."""

    def lines(site: Site) -> tuple[str, ...]:
        width = 8 * site.writes[0].dtype.itemsize
        found = (f"cp.{path}({{0}}, {{1}}, {{out}})", f"cp.greater_equal({{1}}, {width}, {{t3}})", "cp.copyto({t0}, {t3})",
                 "cp.less({1}, 0, {t3})", "cp.logical_or({t0}, {t3}, {t0})")  # fmt: skip
        if path == "left_shift" or site.writes[0].dtype.kind == "u":
            return (*found, 'cp.copyto({out}, 0, "unsafe", {t0})')
        signs = ("cp.less({0}, 0, {t4})", "cp.copyto({t2}, {t4})", "cp.negative({t2}, {t2})")
        return (*found, *signs, 'cp.copyto({out}, {t2}, "unsafe", {t0})')

    return lines


# ---- logic of complex numbers
def _is_complex(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return any(p.dtype.kind == "c" for p in reads)


def _not_complex(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return not _is_complex(reads, writes, attrs)


def _truths(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    return tuple([Spec(s.shape, np.dtype(bool)) for s in specs])


def _logical(op: Op) -> tuple[Kernel, ...]:
    count = op.ufunc.nin
    lines = [f"cp.not_equal({{{k}}}, 0, {{t{k}}})" for k in range(count)]
    lines.append(f"cp.{op.ufunc.__name__}({', '.join([f'{{t{k}}}' for k in range(count)])}, {{out}})")
    plain = f"cp.{op.ufunc.__name__}({', '.join([f'{{{k}}}' for k in range(count)])}, {{out}})"
    return (
        kernel(op.name, "ufunc", (plain,), accepts=_not_complex, overwrites=tuple(range(count)), single=True),
        kernel(op.name, "truth", tuple(lines), count + 1, _is_complex, temps=_truths),
    )


# ---- no ufuncs
def _move(site: Site) -> tuple[str, ...]:
    return () if same_memory(site.reads[0], site.writes[0]) else ('cp.copyto({out}, {0}, "unsafe")',)


def _imag(site: Site) -> tuple[str, ...]:
    return ("cp.copyto({out}, {0}.imag)",) if site.reads[0].dtype.kind == "c" else ("{out}.fill(0)",)


def _real(site: Site) -> tuple[str, ...]:
    return ("cp.copyto({out}, {0}.real)",) if site.reads[0].dtype.kind == "c" else _move(site)


def _cast(site: Site) -> tuple[str, ...]:
    """To bool it is a question; from complex to real it is the real part."""
    read, write = site.reads[0], site.writes[0]
    if write.dtype.kind == "b" and read.dtype.kind != "b":
        return ("cp.not_equal({0}, 0, {out})",)
    return ('cp.copyto({out}, {0}.real, "unsafe")',) if read.dtype.kind == "c" and write.dtype.kind != "c" else _move(site)


def _clip(site: Site) -> tuple[str, ...]:
    """An operand that does not fill the output is copied there first: CuPy's `out` has the shape of what is computed."""
    x, low = site.reads[:2]
    whole = np.broadcast_shapes(x.shape, low.shape) == site.writes[0].shape
    first = ("cp.maximum({0}, {1}, {out})",) if whole else ("cp.copyto({out}, {0})", "cp.maximum({out}, {1}, {out})")
    return (*first, "cp.minimum({out}, {2}, {out})")


# ---- where
def _where(site: Site) -> tuple[str, ...]:
    choose = 'cp.copyto({out}, {1}, "unsafe", {0})'
    return (choose,) if same_memory(site.reads[2], site.writes[0]) else ('cp.copyto({out}, {2}, "unsafe")', choose)


def _where_number(site: Site) -> tuple[str, ...]:
    return ("cp.not_equal({0}, 0, {t0})", *[line.replace("{0}", "{t0}") for line in _where(site)])


def _is_condition(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return reads[0].dtype.kind == "b"


def _no_condition(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    return reads[0].dtype.kind != "b"


# ---- layers
_SIGMOID = (
    "cp.multiply({0}, 0.5, {out})", "cp.tanh({out}, {out})", "cp.multiply({out}, 0.5, {out})", "cp.add({out}, 0.5, {out})",
)  # fmt: skip

OTHERS: dict[str, tuple[Kernel, ...]] = {
    "real": (kernel("real", "copyto", _real),),
    "imag": (kernel("imag", "copyto", _imag),),
    "cast": (kernel("cast", "copyto", _cast, overwrites=(0,), single=True),),
    "copy": (kernel("copy", "copyto", _move, overwrites=(0,)),),
    "clip": (
        kernel("clip", "bounds", _clip, 2, overwrites=(0,)),
    ),
    "floor_divide": (
        kernel("floor_divide", "ufunc", ("cp.floor_divide({0}, {1}, {out})",), accepts=_is_integer, overwrites=(0, 1), single=True),
        kernel("floor_divide", "fmod", _FLOOR_DIVIDE, len(_FLOOR_DIVIDE), _is_float, temps=_floor_temps),
    ),
    "remainder": (
        kernel("remainder", "ufunc", ("cp.remainder({0}, {1}, {out})",), accepts=_is_integer, overwrites=(0, 1), single=True),
        kernel("remainder", "fmod", _REMAINDER, len(_REMAINDER), _is_float, temps=_modulo_temps),
    ),
    "fmod": (
        kernel("fmod", "ufunc", ("cp.fmod({0}, {1}, {out})",), accepts=_is_float, overwrites=(0, 1), single=True),
        kernel("fmod", "remainder", _FMOD_INTEGER, len(_FMOD_INTEGER), _is_integer, temps=_sign_temps),
    ),
    "power": (kernel("power", "ufunc", ("cp.power({0}, {1}, {out})",), accepts=_power_accepts, overwrites=(0, 1), single=True),),
    **{
        name: (
            kernel(name, "ufunc", (f"cp.{name}({{0}}, {{1}}, {{out}})",), accepts=_within, overwrites=(0, 1), single=True),
            kernel(name, "width", _shift(name), 7, temps=_sign_temps),
        )
        for name in ("left_shift", "right_shift")
    },
    "where": (
        kernel("where", "copyto", _where, 2, _is_condition, overwrites=(2,)),
        kernel("where", "number", _where_number, 3, _no_condition, overwrites=(2,), temps=masks(1)),
    ),
    "sigmoid": (kernel("sigmoid", "tanh", _SIGMOID, 4, overwrites=(0,)),),
    "relu": (kernel("relu", "maximum", ("cp.maximum({0}, 0, {out})",), overwrites=(0,), single=True),),
}  # fmt: skip


def kernels(table: dict[str, Op]) -> dict[str, tuple[Kernel, ...]]:
    """The kernels of every elementwise operation in the table, and of layers that are elementwise."""
    found = dict(OTHERS)
    for name, op in table.items():
        if op.family == "elementwise" and op.ufunc is not None and name not in found:
            found[name] = _logical(op) if name.startswith("logical_") else (_ufunc(op),)
    return found
