"""The array that records: what a function sees in place of an array while it is traced.

A traced array has shape and dtype but no value. Operators, methods and NumPy functions record operations through `apply`; writes
change the storage that it is a view of (`storage.py`); whatever would need the value raises a TraceError with the user's line.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ir.errors import Error
from ir.graph import Value
from ir.op import Op
from ir.ops import TABLE
from ir.source import user_line
from ir.spec import Spec
from tracer import numpy_api
from tracer.apply import apply
from tracer.index import Parsed, parse
from tracer.refusal import bad_shape, needs_value, refuse
from tracer.scalar import TracedScalar
from tracer.stack import Operand, current
from tracer.storage import Path, Step, Storage, read, stand_in, write

if TYPE_CHECKING:
    from tracer.context import Tracing

__all__ = ["TracedArray", "TracedScalar", "leaked"]


READ_ONLY = ("broadcast_to", "real", "imag")  # views that are not written through


def _binary(ufunc: np.ufunc, op: str) -> Callable[[Any, Any], Any]:
    def method(self: TracedArray, other: Any) -> Any:
        return apply(op, self, other) if _known(other) else numpy_api.array_ufunc(self, ufunc, "__call__", self, other)

    return method


def _reflected(ufunc: np.ufunc, op: str) -> Callable[[Any, Any], Any]:
    def method(self: TracedArray, other: Any) -> Any:
        return apply(op, other, self) if _known(other) else numpy_api.array_ufunc(self, ufunc, "__call__", other, self)

    return method


def _known(other: Any) -> bool:
    return isinstance(other, (Operand, np.ndarray, np.generic, int, float, complex))


def _inplace(ufunc: np.ufunc) -> Callable[[Any, Any], Any]:
    def method(self: TracedArray, other: Any) -> Any:
        if self.scalar:
            return numpy_api.array_ufunc(self, ufunc, "__call__", self, other)
        return numpy_api.array_ufunc(self, ufunc, "__call__", self, other, out=(self,))

    return method


def _unary(op: str) -> Callable[[Any], Any]:
    return lambda self: apply(op, self)


def _method(fn: Callable[..., Any], name: str | None = None) -> Callable[..., Any]:
    """An ndarray method that is a NumPy function with the array as its first argument."""

    def method(self: TracedArray, *args: Any, **kwargs: Any) -> Any:
        return numpy_api.array_function(self, fn, (), (self, *args), kwargs)

    method.__name__, method.__doc__ = name or fn.__name__, f"As `np.ndarray.{name or fn.__name__}`."
    return method


def _no_value(what: str, mend: str) -> Callable[..., NoReturn]:
    def method(self: TracedArray, *args: Any, **kwargs: Any) -> NoReturn:
        raise needs_value(what, mend, value=self.spec)

    return method


class TracedArray(Operand):
    """A view of a storage: `path` leads from the storage's content to what this array shows.

    `scalar`: NumPy would have a NumPy scalar here, not a 0-d array. `strides_` is the stand-in with the array's strides, None for C
    order. `isinstance(x, np.ndarray)` is true (for scalars `isinstance(x, np.float64)` and so on), as for what it stands for.
    """

    __slots__ = ("storage", "path", "spec", "strides_", "scalar", "_seen", "__weakref__")
    rank = 2
    __array_priority__ = 1000

    def __init__(self, storage: Storage, path: Path, spec: Spec, strides: np.ndarray | None, *, scalar: bool = False):
        self.storage, self.path, self.spec, self.strides_, self.scalar = storage, path, spec, strides, scalar
        self._seen: tuple[int, Value] | None = None

    @property
    def __class__(self) -> type:  # type: ignore[override]
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
    def tracing(self) -> Tracing:
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
        if self.scalar:
            return self.tracing.wrap(step.read(self.value), array=True)
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
        return line.viewed(TABLE["broadcast_to"], {"shape": line.shape}, (), strides)

    def stand_in(self) -> np.ndarray:
        """An array of the same shape and strides without memory; never to be read."""
        return stand_in(self.spec) if self.strides_ is None else self.strides_

    # ---- what is known without a value
    @property
    def shape(self) -> tuple[int, ...]:
        return self.spec.shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        raise refuse("x.shape is assigned", "write x = x.reshape(shape)", op="shape")

    @property
    def dtype(self) -> np.dtype:
        return self.spec.dtype

    @property
    def ndim(self) -> int:
        return len(self.spec.shape)

    @property
    def size(self) -> int:
        return self.spec.size

    @property
    def itemsize(self) -> int:
        return self.spec.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.spec.nbytes

    @property
    def strides(self) -> NoReturn:
        raise refuse("x.strides is asked while tracing", "leave the layout to the plan", op="strides")

    @property
    def T(self) -> TracedArray:
        return self.transpose()

    @property
    def mT(self) -> TracedArray:
        return numpy_api.TABLE[np.matrix_transpose](self)

    @property
    def real(self) -> TracedArray:
        return numpy_api.TABLE[np.real](self)

    @real.setter
    def real(self, value: Any) -> None:
        raise refuse("x.real is assigned", "write x = value + 1j * x.imag", op="real")

    @property
    def imag(self) -> TracedArray:
        return numpy_api.TABLE[np.imag](self)

    @imag.setter
    def imag(self, value: Any) -> None:
        raise refuse("x.imag is assigned", "write x = x.real + 1j * value", op="imag")

    @property
    def data(self) -> TracedArray:
        """The array itself: inside a trace `.data` of whatever an operation gave is the traced array."""
        return self

    @property
    def flat(self) -> NoReturn:
        raise refuse("x.flat is not traced", "use x.ravel(), or x.reshape(-1)[...] = v for a write", op="flat")

    @property
    def base(self) -> NoReturn:
        raise refuse("x.base is not known while tracing", "compare the names instead", op="base")

    @property
    def flags(self) -> Any:
        return self.stand_in().flags

    device = "cpu"

    def to_device(self, device: str, /, *, stream: Any = None) -> TracedArray:
        """As `np.ndarray.to_device`: the array itself."""
        return self

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return np

    @property
    def writeable(self) -> bool:
        """Whether NumPy would let the user write into it."""
        return not self.scalar and self.storage.writeable and not any(step.op.name in READ_ONLY for step in self.path)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[TracedArray]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return iter([self[k] for k in range(self.shape[0])])

    def __repr__(self) -> str:
        return f"<traced {self.spec}>"

    # ---- reading and writing at an index
    def __getitem__(self, key: Any) -> TracedArray:
        parsed = self._parse(key)
        if parsed.mask is not None:
            raise refuse(
                "the length of x[mask] depends on the data", "np.where(mask, x, fill), or np.sum(x, where=mask); x[...] = np.where(mask, 2 * x, x) for x[mask] *= 2", op="x[mask]", operands=[("x", self.spec), ("mask", parsed.mask.spec)]
            )
        place = self._place(parsed)
        if parsed.indices and not parsed.keeps:
            found = apply("gather", place, *parsed.indices, axes=parsed.axes)
            return found
        return place.tracing.wrap(place.value) if parsed.scalar and not place.shape else place

    def __setitem__(self, key: Any, value: Any) -> None:
        parsed = self._parse(key)
        self._must_be_writeable()
        if parsed.mask is not None:
            self._set_masked(parsed.mask, value)
            return
        place = self._place(parsed)
        if type(value) is TracedArray and value.storage is place.storage and value.path == place.path and not (parsed.indices and not parsed.keeps):
            return  # the second half of `x[i] += v`: the write has been done through the view
        if parsed.indices and not parsed.keeps:
            tracing = self._tracing_now()
            indices = [tracing.value_of(i) for i in parsed.indices]
            new = TABLE["set_at"](place.value, tracing.value_of(_assignable(value, self.dtype)), *indices, axes=parsed.axes)
            write(place.storage, place.path, new)
            return
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
                    "the value's sizes must be equal to the place's, or 1", op="assignment", operands=[("place", self.spec), ("value", new.spec)],
                )
            if not self.path or self.path[-1].op.name not in ("slice", "gather"):
                new = TABLE["broadcast_to"](new, shape=self.shape)
        write(self.storage, self.path, new)

    def add_at(self, key: Any, value: Any) -> None:
        """`np.add.at(self, key, value)`: where an index stands twice, both values are added."""
        parsed = self._parse(key)
        self._must_be_writeable()
        if parsed.mask is not None:
            raise refuse("np.add.at with a traced mask", "x += np.where(mask, v, 0)", op="add.at")
        place = self._place(parsed)
        if not parsed.indices or parsed.keeps:
            numpy_api.array_ufunc(place, np.add, "__call__", place, value, out=(place,))
            return
        tracing = self._tracing_now()
        indices = [tracing.value_of(i) for i in parsed.indices]
        write(place.storage, place.path, TABLE["add_at"](place.value, tracing.value_of(value), *indices, axes=parsed.axes))

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

    def _set_masked(self, mask: Any, value: Any) -> None:
        shape = getattr(value, "shape", None)
        if shape is None:
            shape = np.shape(value)
        if mask.shape != self.shape[: mask.ndim]:
            raise bad_shape(f"a mask of shape {mask.shape} indexes axes of shape {self.shape[:mask.ndim]}", "a mask has the shape of what it masks", op="assignment")
        if shape != () and not (mask.ndim < self.ndim and len(shape) <= self.ndim - mask.ndim):
            raise refuse(
                "x[mask] = array takes as many values as the mask has true places, which depends on the data",
                "give an array of x's shape: x = np.where(mask, new, x); np.place for values in order", op="assignment", operands=[("x", self.spec), ("mask", mask.spec)],
            )
        wide = apply("reshape", mask, shape=(*mask.shape, *(1,) * (self.ndim - mask.ndim)))
        value = _assignable(value, self.dtype)
        if value.dtype != self.dtype:
            value = apply("cast", value, dtype=self.dtype)
        self.assign(apply("where", wide, value, self))

    def _must_be_writeable(self) -> None:
        if self.scalar:
            raise refuse(f"a NumPy scalar is not written ({self.spec.dtype})", "make an array: np.full_like, or x[...] of a 0-d array", op="assignment")
        if not self.writeable:
            raise refuse("assignment destination is read-only", "write into x.copy()", op="assignment", operands=[("x", self.spec)])

    def _tracing_now(self) -> Tracing:
        tracing = current()
        if tracing is None or self.storage.tracing.closed:
            raise leaked(self)
        return tracing

    # ---- operators
    __add__, __radd__, __iadd__ = _binary(np.add, "add"), _reflected(np.add, "add"), _inplace(np.add)
    __sub__, __rsub__, __isub__ = _binary(np.subtract, "subtract"), _reflected(np.subtract, "subtract"), _inplace(np.subtract)
    __mul__, __rmul__, __imul__ = _binary(np.multiply, "multiply"), _reflected(np.multiply, "multiply"), _inplace(np.multiply)
    __truediv__, __rtruediv__, __itruediv__ = _binary(np.divide, "divide"), _reflected(np.divide, "divide"), _inplace(np.divide)
    __floordiv__, __rfloordiv__ = _binary(np.floor_divide, "floor_divide"), _reflected(np.floor_divide, "floor_divide")
    __ifloordiv__ = _inplace(np.floor_divide)
    __mod__, __rmod__, __imod__ = _binary(np.remainder, "remainder"), _reflected(np.remainder, "remainder"), _inplace(np.remainder)
    __rpow__, __ipow__ = _reflected(np.power, "power"), _inplace(np.power)
    __matmul__, __rmatmul__, __imatmul__ = _binary(np.matmul, "matmul"), _reflected(np.matmul, "matmul"), _inplace(np.matmul)
    __and__, __rand__, __iand__ = _binary(np.bitwise_and, "bitwise_and"), _reflected(np.bitwise_and, "bitwise_and"), _inplace(np.bitwise_and)
    __or__, __ror__, __ior__ = _binary(np.bitwise_or, "bitwise_or"), _reflected(np.bitwise_or, "bitwise_or"), _inplace(np.bitwise_or)
    __xor__, __rxor__, __ixor__ = _binary(np.bitwise_xor, "bitwise_xor"), _reflected(np.bitwise_xor, "bitwise_xor"), _inplace(np.bitwise_xor)
    __lshift__, __rlshift__, __ilshift__ = _binary(np.left_shift, "left_shift"), _reflected(np.left_shift, "left_shift"), _inplace(np.left_shift)
    __rshift__, __rrshift__ = _binary(np.right_shift, "right_shift"), _reflected(np.right_shift, "right_shift")
    __irshift__ = _inplace(np.right_shift)
    __neg__, __pos__, __abs__, __invert__ = _unary("negative"), _unary("positive"), _unary("abs"), _unary("invert")
    __lt__, __le__ = _binary(np.less, "less"), _binary(np.less_equal, "less_equal")
    __gt__, __ge__ = _binary(np.greater, "greater"), _binary(np.greater_equal, "greater_equal")
    __eq__, __ne__ = _binary(np.equal, "equal"), _binary(np.not_equal, "not_equal")  # type: ignore[assignment]

    def __pow__(self, other: Any, modulus: Any = None) -> Any:
        """`self ** other`; a modulus is refused."""
        if modulus is not None:
            raise refuse("pow(x, y, mod) is not traced", "(x ** y) % mod", op="pow")
        if self.dtype == bool and type(other) is int and other == 2:
            return apply("square", self)  # as NumPy: int8, where np.power gives int64
        return apply("power", self, other) if _known(other) else numpy_api.array_ufunc(self, np.power, "__call__", self, other)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    # ---- NumPy's protocols
    __array_ufunc__ = numpy_api.array_ufunc
    __array_function__ = numpy_api.array_function

    # ---- methods that are functions of NumPy
    sum, prod, mean = _method(np.sum), _method(np.prod), _method(np.mean)
    var, std = _method(np.var), _method(np.std)
    max, min = _method(np.max, "max"), _method(np.min, "min")
    argmax, argmin = _method(np.argmax), _method(np.argmin)
    all, any = _method(np.all), _method(np.any)
    cumsum, cumprod = _method(np.cumsum), _method(np.cumprod)
    clip, round, dot = _method(np.clip), _method(np.round, "round"), _method(np.dot)
    take, argsort, repeat = _method(np.take), _method(np.argsort), _method(np.repeat)
    swapaxes, squeeze, diagonal = _method(np.swapaxes), _method(np.squeeze), _method(np.diagonal)
    trace, ravel, searchsorted = _method(np.trace), _method(np.ravel), _method(np.searchsorted)
    nonzero, compress, choose = _method(np.nonzero), _method(np.compress), _method(np.choose)
    conj, conjugate = _unary("conj"), _unary("conj")

    def astype(self, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True) -> TracedArray:
        """As `np.ndarray.astype`."""
        return numpy_api.astype(self, dtype, casting=casting, copy=copy)

    def copy(self, order: str = "C") -> TracedArray:
        """As `np.ndarray.copy`."""
        return numpy_api.copy(self)

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> TracedArray:
        """As `np.ndarray.reshape`."""
        return numpy_api.TABLE[np.reshape](self, shape[0] if len(shape) == 1 else shape, order=order, copy=copy)

    def transpose(self, *axes: Any) -> TracedArray:
        """As `np.ndarray.transpose`."""
        return numpy_api.TABLE[np.transpose](self, axes[0] if len(axes) == 1 else axes or None)

    def flatten(self, order: str = "C") -> TracedArray:
        """As `np.ndarray.flatten`: always a copy."""
        return numpy_api.copy(numpy_api.TABLE[np.ravel](self, order))

    def fill(self, value: Any) -> None:
        """As `np.ndarray.fill`."""
        self.assign(value)

    def sort(self, axis: int = -1, kind: str | None = None, order: Any = None) -> None:
        """As `np.ndarray.sort`: in place."""
        self.assign(numpy_api.TABLE[np.sort](self, axis, kind, order))

    def put(self, indices: Any, values: Any, mode: str = "raise") -> None:
        """As `np.ndarray.put`."""
        numpy_api.TABLE[np.put](self, indices, values, mode)

    def view(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: the bytes of a traced array are not known."""
        raise refuse("x.view is not traced", "x.astype(dtype) converts the values; x[...] is a view of the same dtype", op="view")

    def setflags(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: a traced array has no flags of its own."""
        raise refuse("x.setflags is not traced", "leave the flags alone, or set them on the result", op="setflags")

    def resize(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: a traced array keeps its shape."""
        raise refuse("x.resize is not traced", "np.tile and a slice give a new array", op="resize")

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and hasattr(np.ndarray, name):
            raise refuse(f"x.{name} is not traced", "use NumPy functions on whole arrays, or return x and do it on the result", op=name)
        raise AttributeError(f"'numpy.ndarray' object has no attribute '{name}'")

    def __copy__(self) -> TracedArray:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> TracedArray:
        return self.copy()

    # ---- what needs a value
    def __contains__(self, item: Any) -> NoReturn:
        raise needs_value("`v in x`", "np.any(x == v)", x=self.spec)

    __hash__ = _no_value("hash()", "use id(x), or a name, as the key")  # type: ignore[assignment]
    __bool__ = _no_value(
        "a branch (if, while, and, or, not, chained comparison)",
        "np.where(c, a, b), or &, |, ~; pass a Python number if the branch should be traced for each value; (a < x) & (x < c) for a < x < c",
    )
    __float__ = _no_value(
        "float()", "keep the 0-d array, return it to read its value; np.exp(x) in place of math.exp(x);"
        " for plain[i] = x make the buffer with np.zeros_like(x), or np.zeros(shape, like=x)")
    __int__ = _no_value("int()", "keep the 0-d array, return it to read its value; x.astype(np.int64) rounds towards 0")
    __complex__ = _no_value("complex()", "keep the 0-d array, return it to read its value; x.astype(complex)")
    __index__ = _no_value("an index, range() or a list's [x]", "pass it as a Python int, or np.take(np.array(list), x)")
    item = _no_value("x.item()", "keep the 0-d array; return it to read its value")
    tolist = _no_value("x.tolist()", "return x and convert the result")
    tobytes = _no_value("x.tobytes()", "return x and convert the result")
    tofile = _no_value("x.tofile()", "return x and save the result")
    dump = dumps = _no_value("x.dump()", "return x and save the result")
    __reduce__ = __reduce_ex__ = _no_value("pickle", "return x and pickle the result")  # type: ignore[assignment]
    __round__ = _no_value("round()", "np.round(x)")
    __trunc__ = _no_value("math.trunc()", "np.trunc(x)")

    def __format__(self, spec: str) -> str:
        if not spec:
            return repr(self)
        raise needs_value("a format", "return x and format the result; print(x) describes the traced array", x=self.spec)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise needs_value(
            "turning it into a plain array (np.array, np.asarray, plain[i] = x, plain[x], np.float32(x), a method of a plain array)",
            "x is an array already: drop the call; x.copy() for a copy, x.astype for a dtype; np.stack([a, b]) for an array of several;"
            " make a buffer to write into with np.zeros_like(x), or np.zeros(shape, like=x); np.take(table, i, axis=0) to look up",
            x=self.spec,
        )


def _assignable(value: Any, dtype: np.dtype) -> Any:
    """The right side of an assignment as an operand: Python numbers and lists as arrays of the place's dtype, as NumPy does."""
    if isinstance(value, Operand):
        return value.data if type(value).rank == 3 else value  # type: ignore[attr-defined]
    if isinstance(value, (np.ndarray, np.generic)):
        return value
    return np.asarray(numpy_api.plain(value), dtype)[()] if not isinstance(value, (list, tuple)) else numpy_api.operand(value)


def leaked(array: TracedArray) -> Error:
    """The refusal of a traced array whose trace is over, naming the line where it came from."""
    line = array.storage.value.node.line
    return refuse(
        "a traced value is used after its trace has ended" + (f"; it came from {line.place()}   {line.code}" if line else ""),
        "return the value from the traced function; what is kept aside while tracing has no value", op="value", operands=[("value", array.spec)],
    )
