"""A plan for generated kernels as a device program. Job: places become spots, steps become works; pure data, no device.

In: a `Plan` made for `kernels.KERNELS`. Out: a `work.Program`. Numbers (Host and Fill steps) are computed on the host, once a call, into
one block of scalars; a product becomes a `Gemm` where its places can be said so, and a kernel of one thread an element where they can't
(types that no library multiplies, columns with gaps). Raises NotLowered for a step that has no form on a device.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import gcd
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from backends.cupy.cuda import module
from backends.cupy.device import PRECISIONS
from backends.cupy.launch import launches
from backends.cupy.plain_product import BLOCK, plain_product
from backends.cupy.products import Product, View, product
from backends.cupy.work import Array, Launch, Multiply, Program, Spot, Work
from ir.errors import NotLowered
from ir.evaluate import apply_meaning
from ir.graph import Constant, Value
from ir.place import Buffer, Place
from ir.plan import Call, Fill, Host, Plan, Tick

ALIGNED = {"state": 16}  # arrays from outside; all else lies at multiples of 256
Matrix = tuple[Place, View]  # an operand of a product, seen as (stacks of) matrices


class _Maker:
    """Where things lie, and what has been asked for so far."""

    def __init__(self, plan: Plan, precision: str) -> None:
        self.plan, self.precision = plan, precision
        self.constants: list[np.ndarray] = []
        self.texts: list[str] = []
        self._const: dict[Any, int] = {}
        self._scalars: dict[Buffer, int] = {}

    def spot(self, place: Place, first: int, nbytes: int, writes: bool = False) -> Spot:
        """Bytes of a place, from the byte `first` of its buffer on."""
        buffer = place.buffer
        if buffer.kind == "scalar":
            return Spot("scalar", self.slot(buffer) + first, nbytes, writes=writes)
        if buffer.kind == "arena":
            assert buffer.offset is not None
            return Spot("arena", buffer.offset + first, nbytes, writes=writes)
        if buffer.kind == "const":
            assert buffer.data is not None
            return Spot("const", first, nbytes, self.constant(buffer, _memory(buffer.data)))
        assert buffer.index is not None, buffer.kind
        return Spot(buffer.kind, first, nbytes, buffer.index, writes)

    def slot(self, buffer: Buffer) -> int:
        """Where a number lies in the block of scalars: 16 bytes each."""
        return self._scalars.setdefault(buffer, 16 * len(self._scalars))

    @property
    def scalar_bytes(self) -> int:
        return 16 * len(self._scalars)

    def constant(self, key: Any, array: np.ndarray) -> int:
        if key not in self._const:
            self._const[key] = len(self.constants)
            self.constants.append(array)
        return self._const[key]


def _memory(array: np.ndarray) -> np.ndarray:
    """The bytes of a constant as it lies."""
    low, high = byte_bounds(array)
    block = np.zeros(high - low, np.uint8)  # what lies between its elements is 0
    np.ndarray(array.shape, array.dtype, block, array.__array_interface__["data"][0] - low, array.strides)[...] = array
    return block


def program(plan: Plan, precision: str = "", fused: bool = True) -> Program:
    """The plan's works. `precision`: "tf32" for float32 products of fewer bits. `fused`: products and sums in kernels may round once."""
    make = _Maker(plan, precision)
    kernels = {launch.step: launch for launch in launches(plan)}
    hosts = [step for step in plan.steps if isinstance(step, Host | Fill)]
    for fill in hosts:
        if isinstance(fill, Fill):
            make.slot(fill.write.buffer)
    works: list[Work] = []
    for k, step in enumerate(plan.steps):
        launch = kernels.get(k)
        if launch is not None:
            spots = []
            for param, where in zip(launch.form.params, launch.params, strict=True):
                nbytes = param.count * param.dtype.itemsize
                if isinstance(where, Constant):
                    spots.append(Spot("const", 0, nbytes, make.constant(where, where.array().reshape(-1))))
                else:
                    spots.append(make.spot(where, where.offset + param.low * param.dtype.itemsize, nbytes, param.writes))
            works.append(Launch(launch.text.name, (launch.text.grid,), (launch.text.block,), tuple(spots)))
        elif isinstance(step, Call):
            works += _product(make, k, step)
        elif not isinstance(step, Host | Fill | Tick):
            raise NotLowered(f"a step of a plan that no device runs: {type(step).__name__}").at(line=step.line)
    text = "\n".join([module([launch.text for launch in kernels.values()]), *make.texts])
    places = [plan.places.get(value) for value in plan.graph.inputs]
    return Program(
        text, tuple(works), plan.arena_bytes, tuple([None if place is None else _array(place) for place in places]),
        tuple([i for i, place in enumerate(places) if place is not None and place.buffer.kind == "state"]),
        tuple([(_array(p), make.spot(p, p.offset, p.span()[1] - p.offset)) for p in plan.results if p is not None]),
        tuple(make.constants), make.scalar_bytes,
        Numbers(plan, hosts, make), fused)


def _array(place: Place) -> Array:
    return Array(place.shape, place.dtype, None if place.contiguous() else place.strides)


class Numbers:
    """Arithmetic on Python numbers: those of a call in, the block of scalars out."""

    def __init__(self, plan: Plan, steps: Sequence[Host | Fill], make: _Maker) -> None:
        self._plan = plan
        self._inputs = [value for value in plan.graph.inputs if value not in plan.places]
        self._steps = [(step, None if isinstance(step, Host) else make.slot(step.write.buffer)) for step in steps]

    def __call__(self, numbers: Sequence[Any], block: np.ndarray) -> None:
        held = self._held(numbers)
        for step, slot in self._steps:
            if isinstance(step, Fill):
                assert slot is not None
                dtype = step.write.dtype
                block[slot + step.write.offset :][: dtype.itemsize].view(dtype)[0] = _number(step.value, held)

    def _held(self, numbers: Sequence[Any]) -> dict[Value, Any]:
        """All numbers that are known from the call's."""
        held: dict[Value, Any] = dict(zip(self._inputs, numbers, strict=True))
        for step, _ in self._steps:
            if isinstance(step, Host):
                held.update(zip(step.node.outputs, apply_meaning(step.node, [_number(v, held) for v in step.node.operands])))
        return held

    def results(self, inputs: Sequence[Any], arrays: Sequence[Any]) -> list[Any]:
        """A run's results, in the order of the plan's: its arrays, and between them the numbers."""
        given = [x for x, value in zip(inputs, self._plan.graph.inputs, strict=True) if value not in self._plan.places]
        held, rest = self._held(given), iter(arrays)
        return [_number(v, held) if place is None else next(rest) for v, place in zip(self._plan.graph.outputs, self._plan.results)]


def _number(value: Value, held: dict[Value, Any]) -> Any:
    constant = value.node.attrs.get("value")
    return constant.value if isinstance(constant, Constant) else held[value]


# ---- products
def _product(make: _Maker, k: int, step: Call) -> list[Work]:
    """A product and what belongs to it: dot, matmul, linear (with a bias), linear_vjp (with the bias's gradient)."""
    name = step.node.op.name
    reads, d = step.reads, step.writes[0]
    if name == "linear_vjp":
        x, g = (_matrix(place) for place in reads)
        a = View(x.shape[::-1], x.strides[::-1])
        return _works(make, k, ((reads[0], a), (reads[1], g), (d, _matrix(d))), step.writes[1], "sum_b")
    if name == "linear":
        return _works(make, k, ((reads[0], _matrix(reads[0])), (reads[1], _matrix(reads[1])), (d, _matrix(d))), reads[2], "bias")
    if name not in ("dot", "matmul"):
        raise NotLowered("an operation without a form on a device").at(op=name, line=step.line)
    return _works(make, k, _operands(name, reads[0], reads[1], d), None, "none")


def _matrix(place: Place) -> View:
    assert place.strides is not None
    return View(place.shape, tuple([s // place.dtype.itemsize for s in place.strides]))


def _operands(name: str, a: Place, b: Place, d: Place) -> tuple[Matrix, Matrix, Matrix]:
    """Operands of `dot` and `matmul` as matrices: vectors get an axis of size 1, leading axes are those of the result."""
    va, vb, vd = _matrix(a), _matrix(b), _matrix(d)
    if name == "dot" and len(vb.shape) > 2:
        raise NotLowered("dot over stacks of matrices").at(op=name)
    row, column = len(va.shape) == 1, len(vb.shape) == 1
    if row:
        va = View((1, *va.shape), (0, *va.strides))
    if column:
        vb = View((*vb.shape, 1), (*vb.strides, 0))
    lead = vd.shape[: len(vd.shape) - 2 + row + column]
    at = vd.strides[: len(lead)]
    vd = View((*lead, va.shape[-2], vb.shape[-1]), (*at, *_inner(vd, len(lead), row, column)))
    return (a, _spread(va, lead)), (b, _spread(vb, lead)), (d, vd)


def _inner(d: View, lead: int, row: bool, column: bool) -> tuple[int, int]:
    rest = list(d.strides[lead:])
    return 0 if row else rest.pop(0), 0 if column else rest.pop(0)


def _spread(view: View, lead: tuple[int, ...]) -> View:
    """Leading axes broadcast."""
    shape, strides = view.shape[:-2], view.strides[:-2]
    shape, strides = (1,) * (len(lead) - len(shape)) + shape, (0,) * (len(lead) - len(strides)) + strides
    return View((*lead, *view.shape[-2:]), (*[0 if n == 1 else s for n, s in zip(shape, strides)], *view.strides[-2:]))


def _works(make: _Maker, k: int, matrices: tuple[Matrix, Matrix, Matrix], bias: Place | None, epilogue: str) -> list[Work]:
    """d = a @ b: the library's products, or a kernel of our own, which also stands by where the library may not sum for a bias."""
    (a, va), (b, vb), (d, vd) = matrices
    if 0 in vd.shape and epilogue != "sum_b":
        return []
    dtypes = {place.dtype.name for place in (a, b, d, bias) if place is not None}
    found = None
    if len(dtypes) == 1 and dtypes <= PRECISIONS.keys() and (bias is None or bias.contiguous()):
        dtype = dtypes.pop()
        precision = make.precision if make.precision in PRECISIONS[dtype] else ""
        found = product(va, vb, vd, dtype, epilogue=epilogue, precision=precision, align=_aligned(a, b, d))
    if found is not None and (bias is None or len(found.offsets) == 1):
        stand_by = (_plain(make, k, matrices, bias, epilogue),) if epilogue == "sum_b" else ()
        return [replace(work, otherwise=stand_by) for work in _multiplies(make, found, a, b, d, bias)]
    return [_plain(make, k, matrices, bias, epilogue)]


def _aligned(*places: Place) -> int:
    """A power of 2 that divides where they begin."""
    return gcd(*[ALIGNED.get(place.buffer.kind, 256) for place in places], *[(place.buffer.offset or 0) + place.offset for place in places])


def _multiplies(make: _Maker, found: Product, a: Place, b: Place, d: Place, bias: Place | None) -> list[Multiply]:
    works = []
    first, second = (b, a) if found.swapped else (a, b)
    one, two, three, beside = found.gemm.spans()
    for x, y, z in found.offsets:
        skip, skip_second = (y, x) if found.swapped else (x, y)
        works.append(Multiply(
            found.gemm, make.spot(first, first.offset + skip * first.dtype.itemsize, one),
            make.spot(second, second.offset + skip_second * second.dtype.itemsize, two),
            make.spot(d, d.offset + z * d.dtype.itemsize, three, True),
            None if bias is None else make.spot(bias, bias.offset, beside, found.gemm.epilogue.startswith("bgrad"))))
    return works


def _plain(make: _Maker, k: int, matrices: tuple[Matrix, Matrix, Matrix], bias: Place | None, epilogue: str) -> Launch:
    """The launch of the kernel that does without a library; its text joins the module."""
    operands = [*matrices, *([(bias, _matrix(bias))] if bias is not None else [])]
    text, grid = plain_product(f"product{k}", [view for _, view in operands], [place.dtype for place, _ in operands], epilogue)
    make.texts.append(text)
    written = (2, 3) if epilogue == "sum_b" else (2,)
    return Launch(f"product{k}", (grid,), (BLOCK,), tuple([_whole(make, place, i in written) for i, (place, _) in enumerate(operands)]))


def _whole(make: _Maker, place: Place, writes: bool) -> Spot:
    """All of a place, from its lowest byte on."""
    low, high = place.span()
    return make.spot(place, low, high - low, writes)
