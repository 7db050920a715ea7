"""The array that records: what a function sees in place of an array while it is traced.

A traced array has shape and dtype but no value. It is a view of a storage (`storage.py`): here stand how views are made of views and how
elements are read and written. What the user's code calls on it (operators, methods, refusals) is its `Surface`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.errors import ArgumentError, Error
from ir.graph import Value
from ir.op import Op
from ir.ops import TABLE
from ir.source import user_line
from ir.spec import Spec
from tracer import numpy_api
from tracer.arrays import selected
from tracer.arrays.scalar import TracedScalar
from tracer.arrays.selected import Selected
from tracer.arrays.storage import Path, Step, Storage, read, stand_in, write
from tracer.arrays.surface import Surface
from tracer.arrays.truth import TracedTruth
from tracer.numpy_api.common import leaves
from tracer.operands.apply import apply
from tracer.operands.index import Parsed, parse
from tracer.operands.refusal import bad_dtype, bad_shape, refuse, remembered
from tracer.operands.stack import Operand, Recorder, current, running

__all__ = ["TracedArray", "TracedScalar", "leaked"]


READ_ONLY = ("broadcast_to",)  # views that are not written through


class TracedArray(Surface):
    """A view of a storage: `path` leads from the storage's content to what this array shows.

    `scalar`: NumPy would have a NumPy scalar here, not a 0-d array. `strides_` is the stand-in with the array's strides, None for C
    order. `isinstance(x, np.ndarray)` is true (for scalars `isinstance(x, np.float64)` and so on), as for what it stands for.
    """

    __slots__ = ("storage", "path", "spec", "strides_", "scalar", "_seen", "__weakref__")

    def __init__(self, storage: Storage, path: Path, spec: Spec, strides: np.ndarray | None, *, scalar: bool = False):
        self.storage, self.path, self.spec, self.strides_, self.scalar = storage, path, spec, strides, scalar
        self._seen: tuple[int, Value] | None = None

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return self.spec.dtype.type if self.scalar else np.ndarray

    # ---- recording
    @classmethod
    def of(cls, value: Value) -> TracedArray:
        """A traced array in the running trace with an IR Value as its content."""
        tracing = current()
        assert tracing is not None, "there is no running trace"
        return tracing.wrap(value)

    @classmethod
    def record(cls, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        tracing = current()
        if tracing is None:
            raise next(leaked(x) for x in operands if type(x) is TracedArray)
        return tracing.record(op, operands, attrs)

    @property
    def tracing(self) -> Recorder:
        return self.storage.tracing

    @property
    def value(self) -> Value:
        """The IR Value of the content now."""
        storage = self.storage
        if not self.path:
            return storage.value
        if self._seen is None or self._seen[0] != storage.version:
            self._seen = storage.version, read(storage, self.path)
        return self._seen[1]

    def viewed(self, op: Op, attrs: dict[str, Any], indices: Sequence[Value] = (), strides: np.ndarray | None = None) -> TracedArray:
        """A view operation on this array: a view of the same storage; a copy for a reshape where NumPy copies, or of a scalar.

        `strides` is the view's stand-in where the step can't say it.
        """
        step = Step(op, tuple(attrs.items()), tuple(indices))
        try:
            spec = op.infer((self.spec, *[i.spec for i in indices]), attrs)[0]
        except Error as error:
            raise error.at(op=op.name, operands=[("x", self.spec)], line=user_line())
        if self.scalar:  # what NumPy's scalars give to their methods are scalars again
            return self.tracing.wrap(step.read(self.value), array=bool(spec.shape) or op.name == "broadcast_to")
        strides = step.stand_in(self.stand_in()) if strides is None else strides
        if strides is None:
            return self.tracing.wrap(step.read(self.value), array=True)
        plain = strides.flags.c_contiguous and op.name != "broadcast_to"
        return TracedArray(self.storage, (*self.path, step), spec, None if plain else strides)

    def diagonal_view(self, i: np.ndarray, j: np.ndarray, offset: int) -> TracedArray:
        """`np.diagonal` over the last two axes, at rows `i` and columns `j`: a view that can't be written, as in NumPy."""
        tracing = self._tracing_now()
        mine = tracing.adopt(self)
        strides = np.diagonal(mine.stand_in(), offset, self.ndim - 2, self.ndim - 1)
        indices = [tracing.graph.constant(i, user_line()), tracing.graph.constant(j, user_line())]
        line = mine.viewed(TABLE["gather"], {"axes": (self.ndim - 2, self.ndim - 1)}, indices, strides)
        if tracing.exact and line.ndim > 1:  # what is gathered lies with the diagonal outermost: as the view lies sums are rounded
            order = sorted(range(line.ndim), key=lambda k: -abs(strides.strides[k]))
            turned = line.viewed(TABLE["transpose"], {"axes": tuple(order)}, (), strides.transpose(order))
            turned = turned.viewed(TABLE["copy"], {"order": "C"}, (), strides.transpose(order))
            line = turned.viewed(TABLE["transpose"], {"axes": tuple(np.argsort(order).tolist())}, (), strides)
        return line.viewed(TABLE["broadcast_to"], {"shape": line.shape}, (), strides)

    def stand_in(self) -> np.ndarray:
        """An array of the same shape and strides without memory; never to be read."""
        return stand_in(self.spec) if self.strides_ is None else self.strides_

    def as_truth(self) -> TracedTruth:
        """The Python bool that NumPy makes of this one."""
        return TracedTruth(self)

    @property
    def writeable(self) -> bool:
        """Whether NumPy would let the user write into it."""
        return not self.scalar and self.storage.writeable and not any(step.op.name in READ_ONLY for step in self.path)

    # ---- reading and writing at an index
    def __getitem__(self, key: Any) -> Any:
        parsed = self._parse(key)
        if parsed.mask is not None:
            place, mask, rest = self._masked(parsed)
            wrap = self._tracing_now().wrap
            return Selected(wrap(place.value, place.strides_, array=True), wrap(mask.value, array=True), rest)
        place = self._place(parsed)
        if parsed.indices and not parsed.keeps:
            found = apply("gather", place, *parsed.indices, axes=parsed.axes)
            return found
        if place.scalar and not parsed.scalar:  # `...` makes an array of a scalar
            return place.tracing.wrap(place.value, array=True)
        return place.tracing.wrap(place.value) if parsed.scalar and not place.shape else place

    def __setitem__(self, key: Any, value: Any) -> None:
        parsed = self._parse(key)
        self._must_be_writeable()
        if parsed.mask is not None:
            selected.put(*self._masked(parsed), value if type(value) is Selected else _assignable(value, self.dtype))
            return
        place = self._place(parsed)
        if (
            type(value) is TracedArray
            and value.storage is place.storage
            and value.path == place.path
            and not (parsed.indices and not parsed.keeps)
        ):
            return  # the second half of `x[i] += v`: the write has been done through the view
        if parsed.indices and not parsed.keeps:
            tracing = self._tracing_now()
            indices = [tracing.value_of(i) for i in parsed.indices]
            new = TABLE["set_at"](place.value, tracing.value_of(_assignable(value, self.dtype)), *indices, axes=parsed.axes)
            write(place.storage, place.path, new)
            return
        if isinstance(value, (list, tuple)):
            value = _assignable(value, self.dtype)
            if value.ndim > place.ndim:
                raise bad_shape("setting an array element with a sequence", "give a value with as many axes as the place", op="assignment")
        place.assign(value)

    def assign(self, value: Any) -> None:
        """`self[...] = value`: broadcast to this shape, cast to this dtype."""
        self._must_be_writeable()
        new = self._tracing_now().value_of(_assignable(value, self.dtype))
        while new.ndim > self.ndim and new.shape[0] == 1:
            new = TABLE["squeeze"](new, axis=(0,))
        if new.ndim and new.shape != self.shape:
            if new.ndim > self.ndim or any(n not in (1, m) for n, m in zip(reversed(new.shape), reversed(self.shape))):
                raise bad_shape(
                    f"could not broadcast input array from shape {new.shape} into shape {self.shape}",
                    "the value's sizes must be equal to the place's, or 1",
                    op="assignment",
                    operands=[("place", self.spec), ("value", new.spec)],
                )
            if not self.path or self.path[-1].op.name not in ("slice", "gather"):
                new = TABLE["broadcast_to"](new, shape=self.shape)
        write(self.storage, self.path, new)

    def at(self, ufunc: np.ufunc, key: Any, value: Any) -> None:
        """`ufunc.at(self, key, value)`: where an index stands twice, both values count."""
        parsed = self._parse(key)
        self._must_be_writeable()
        if parsed.mask is not None:
            self[key] = self[key]._changed(ufunc, value)
            return
        place = self._place(parsed)
        if not parsed.indices or parsed.keeps:
            numpy_api.array_ufunc(place, ufunc, "__call__", place, value, out=(place,))
            return
        tracing = self._tracing_now()
        indices = [tracing.value_of(i) for i in parsed.indices]
        op, attrs = (TABLE["add_at"], {}) if ufunc is np.add else (TABLE["ufunc_at"], {"ufunc": ufunc.__name__})
        write(place.storage, place.path, op(place.value, tracing.value_of(value), *indices, **attrs, axes=parsed.axes))

    def _parse(self, key: Any) -> Parsed:
        self._tracing_now()
        return parse(key, self.shape)

    def _place(self, parsed: Parsed) -> TracedArray:
        place = self._tracing_now().adopt(self)
        for name, attrs in parsed.views:
            place = place.viewed(TABLE[name], attrs)
        if parsed.keeps and parsed.indices:
            tracing = self._tracing_now()
            place = place.viewed(TABLE["gather"], {"axes": parsed.axes}, [tracing.value_of(i) for i in parsed.indices])
        return place if place is not self or self.scalar else TracedArray(self.storage, self.path, self.spec, self.strides_)

    def _masked(self, parsed: Parsed) -> tuple[TracedArray, Any, int]:
        """The view of which a traced mask masks the first axes, the mask, and how many axes other operands are aligned with."""
        place, mask = self._place(parsed), parsed.mask
        end = parsed.first + mask.ndim
        selected.check_mask(mask, place.shape[parsed.first : end])
        if parsed.first == 0:
            return place, mask, place.ndim - mask.ndim
        axes = (*range(parsed.first, end), *range(parsed.first), *range(end, place.ndim))
        return place.viewed(TABLE["transpose"], {"axes": axes}), mask, 0

    def _must_be_writeable(self) -> None:
        if self.scalar:
            raise ArgumentError(
                f"a NumPy scalar is not written ({self.spec.dtype})", mend="make an array: np.full_like, or x[...] of a 0-d array",
                op="assignment", line=user_line(),
            )
        if not self.writeable:
            raise refuse("assignment destination is read-only", "write into x.copy()", op="assignment", operands=[("x", self.spec)])

    def _tracing_now(self) -> Recorder:
        tracing = current()
        if tracing is None or self.storage.tracing.closed:
            raise leaked(self)
        return tracing


def _assignable(value: Any, dtype: np.dtype) -> Any:
    """The right side of an assignment as an operand: Python numbers and lists as arrays of the place's dtype, as NumPy does."""
    if isinstance(value, Operand):
        if type(value) is TracedScalar and value.value.dtype.kind == "c" and dtype.kind != "c":
            raise _no_complex(dtype)
        return value.data if type(value).rank == 3 else value  # type: ignore[attr-defined]
    if isinstance(value, (np.ndarray, np.generic)):
        return value
    if dtype.kind != "c" and any(type(leaf) is complex for leaf in leaves(value)):
        raise _no_complex(dtype)
    if isinstance(value, (list, tuple)):
        traced = any(isinstance(leaf, Operand) for leaf in leaves(value))
        return numpy_api.TABLE[np.array](value) if traced else numpy_api.operand(value)
    held = value if value is None or isinstance(value, (bool, int, float)) else numpy_api.plain(value)  # None is NaN among floats
    return np.asarray(held, dtype)[()]


def _no_complex(dtype: np.dtype) -> Error:
    return bad_dtype(f"a Python complex number is assigned to an element of dtype {dtype}", "give its real part", op="assignment")


def leaked(array: TracedArray) -> Error:
    """The refusal of a traced array whose trace is over, naming the line where it came from."""
    line, owner = array.storage.value.node.line, array.storage.tracing
    came = f"; it came from {line.place()}   {line.code}" if line else ""
    if not owner.closed and owner not in running():
        error = refuse(
            f"a traced value is used in another thread than the one that traces{came}",
            "do it in the function's own thread: the plan runs alone", op="value", operands=[("value", array.spec)],
        )  # fmt: skip
        return remembered(error, owner)
    return refuse(
        f"a traced value is used after its trace has ended{came}",
        "return the value from the traced function; what is kept aside while tracing has no value",
        op="value",
        operands=[("value", array.spec)],
    )
