"""A stand-in for CuPy that is NumPy underneath: it takes what the recorded CuPy takes (`recorded.json`) and nothing else.

    with installed() as cupy: ...       sys.modules["cupy"] is the stand-in inside

It is as strict as a GPU where NumPy is kind: arrays are of their own class and never become NumPy's unasked (`__array__` raises), a ufunc
runs in the first recorded loop that its operands fit and by CuPy's own formula where that is not NumPy's, `out` has its shape and a dtype
that may be cast to, an index out of range goes round, of writes at an index that stands twice the *first* is kept, a copy between
overlapping memory goes byte by byte. `cupy.waits` counts what makes the host wait, `cupy.uploaded` the bytes that came from it.
"""
from __future__ import annotations

import inspect
import itertools
import json
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from backends.cupy import unavailable
from tests.backends.cupy.record import RECORD

RECORDED = json.loads(RECORD.read_text())
SCALARS = (bool, int, float, complex, np.generic)


class CUDARuntimeError(RuntimeError):
    """CUDA's errors, with their number."""

    def __init__(self, status: int, text: str = ""):
        super().__init__(text or f"CUDA error {status}")
        self.status = status


class MemoryPointer:
    """An address inside a block; `+` moves it."""

    def __init__(self, mem: np.ndarray, ptr: int):
        self.mem, self.ptr = mem, ptr

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self.ptr + offset)


class Flags:
    def __init__(self, flags: Any):
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous


class ndarray:
    """CuPy's array: `_a` is its memory seen by NumPy, `_block` what owns it."""

    __array_priority__ = 100
    _a: np.ndarray
    _block: np.ndarray

    def __init__(self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C"):
        assert strides is None or memptr is not None, "memptr is required if strides is given."
        if memptr is None:
            self._hold(np.empty(shape, dtype, order))
            return
        assert isinstance(memptr, MemoryPointer) and order == "C"
        self._block = memptr.mem
        self._a = np.ndarray(shape, dtype, memptr.mem, memptr.ptr - _address(memptr.mem), strides)

    def _hold(self, array: np.ndarray) -> None:
        """A new block with the array's numbers, in its order."""
        assert array.dtype.char in "?bBhHiIlLqQefdFD", f"CuPy has no {array.dtype}"
        self._block = np.full(max(array.nbytes, 1), 0xFF, np.uint8)
        strides = np.empty_like(array).strides
        self._a = np.ndarray(array.shape, array.dtype, self._block, 0, strides)
        self._a[...] = array

    @classmethod
    def _of(cls, array: Any) -> ndarray:
        made = cls.__new__(cls)
        made._hold(np.asarray(array))
        return made

    def _view(self, array: np.ndarray) -> ndarray:
        """A view of this memory, or a new array where NumPy had to copy."""
        if not np.may_share_memory(array, self._block) or array.size == 0:
            return ndarray._of(array)
        made = ndarray.__new__(ndarray)
        made._a, made._block = array, self._block
        return made

    # ---- what it is
    shape = property(lambda self: self._a.shape)
    strides = property(lambda self: self._a.strides)
    dtype = property(lambda self: self._a.dtype)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    nbytes = property(lambda self: self._a.nbytes)
    itemsize = property(lambda self: self._a.itemsize)
    flags = property(lambda self: Flags(self._a.flags))
    base = property(lambda self: None if self._a.base is self._block and self._a.nbytes == self._block.nbytes else self)
    data = property(lambda self: MemoryPointer(self._block, _address(self._a)))
    T = property(lambda self: self._view(self._a.T))
    real = property(lambda self: self._view(self._a.real))
    imag = property(lambda self: self._view(self._a.imag))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"shape": self.shape, "typestr": self.dtype.str, "data": (self.data.ptr, False), "version": 3, "strides": self.strides}

    def __dlpack__(self, **_: Any) -> Any:
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly.")

    def __len__(self) -> int:
        return len(self._a)

    # ---- what waits
    def get(self, *args: Any, **kwargs: Any) -> np.ndarray:
        given = _bound("get", RECORDED["methods"]["get"], args, kwargs)
        _module().waits += 1
        return np.array(self._a, order=given["order"])

    def item(self) -> Any:
        return self.get().item()

    def __bool__(self) -> bool:
        return bool(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __repr__(self) -> str:
        return repr(self.get())

    # ---- indices
    def __getitem__(self, key: Any) -> ndarray:
        key, fancy = _key(key, self.shape)
        return ndarray._of(self._a[key]) if fancy else self._view(self._a[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        key, fancy = _key(key, self.shape)
        assert isinstance(value, (ndarray, *SCALARS)), f"CuPy does not take a {type(value).__name__} as a value"
        given = value._a if isinstance(value, ndarray) else value
        if not fancy:
            _elementwise_copy(given, self._a[key])
            return
        numbers = np.arange(self.size).reshape(self.shape)[key]
        values = np.broadcast_to(given if np.ndim(given) <= numbers.ndim else np.reshape(given, numbers.shape), numbers.shape)
        flat = self._a.reshape(-1) if self._a.flags.c_contiguous else self._a.flat
        for number, one in zip(numbers.reshape(-1)[::-1].tolist(), values.reshape(-1)[::-1]):  # the first is written last
            flat[number] = one

    # ---- methods
    def _called(self, name: str, args: Any, kwargs: Any) -> dict[str, Any]:
        return _bound(name, RECORDED["methods"][name], args, kwargs)

    def fill(self, *args: Any) -> None:
        value = self._called("fill", args, {})["value"]
        assert isinstance(value, SCALARS), "CuPy fills with a number"
        with np.errstate(all="ignore"):
            self._a.fill(np.asarray(value).astype(self.dtype))

    def copy(self, *args: Any, **kwargs: Any) -> ndarray:
        return ndarray._of(np.array(self._a, order=self._called("copy", args, kwargs)["order"]))

    def astype(self, *args: Any, **kwargs: Any) -> ndarray:
        given = self._called("astype", args, kwargs)
        with np.errstate(all="ignore"):
            return ndarray._of(self._a.astype(given["dtype"]))

    def reshape(self, *shape: Any, **kwargs: Any) -> ndarray:
        self._called("reshape", shape, kwargs)
        return self._view(self._a.reshape(*shape))

    def transpose(self, *axes: Any) -> ndarray:
        self._called("transpose", axes, {})
        return self._view(self._a.transpose(*axes))

    def squeeze(self, *args: Any, **kwargs: Any) -> ndarray:
        return self._view(self._a.squeeze(self._called("squeeze", args, kwargs)["axis"]))

    def view(self, dtype: Any = None) -> ndarray:
        return self._view(self._a.view(dtype))

    def take(self, *args: Any, **kwargs: Any) -> ndarray:
        given = self._called("take", args, kwargs)
        return _take(self, **given)

    def sort(self, *args: Any, **kwargs: Any) -> None:
        given = self._called("sort", args, kwargs)
        assert given["kind"] in (None, "stable")
        if not self._a.flags.c_contiguous:
            raise NotImplementedError("Sorting non-contiguous array is not supported.")
        self._a.sort(given["axis"], kind="stable")

    def argsort(self, *args: Any, **kwargs: Any) -> ndarray:
        given = self._called("argsort", args, kwargs)
        return ndarray._of(self._a.argsort(given["axis"], kind="stable"))

    def dot(self, *args: Any, **kwargs: Any) -> ndarray:
        given = self._called("dot", args, kwargs)
        b, out = given["b"], given["out"]
        assert isinstance(b, ndarray)
        with np.errstate(all="ignore"):
            result = np.dot(self._a, b._a)
        if out is None:
            return ndarray._of(result)
        if out.dtype != result.dtype or out.shape != result.shape or not out._a.flags.c_contiguous:
            raise ValueError("Output array has an invalid size, dtype or order")
        assert self.dtype.kind != "b", "a product of bools is not checked"
        out._a[...] = result
        return out

    def __add__(self, other: Any) -> ndarray:
        return _module().add(self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> ndarray:
        return _module().subtract(self, other)

    def __mul__(self, other: Any) -> ndarray:
        return _module().multiply(self, other)

    __rmul__ = __mul__

    def __lt__(self, other: Any) -> ndarray:
        return _module().less(self, other)

    def __ge__(self, other: Any) -> ndarray:
        return _module().greater_equal(self, other)

    def __eq__(self, other: Any) -> Any:
        return _module().equal(self, other)

    def __and__(self, other: Any) -> ndarray:
        return _module().bitwise_and(self, other)

    __hash__ = None  # type: ignore[assignment]


ndarray.__module__ = "cupy"


def _address(array: np.ndarray) -> int:
    found: int = array.__array_interface__["data"][0]
    return found


def _key(key: Any, shape: tuple[int, ...]) -> tuple[tuple[Any, ...], bool]:
    """The key for NumPy, and whether it has index arrays, which go round."""
    parts = key if isinstance(key, tuple) else (key,)
    found, axis, fancy = list[Any](), 0, False
    for k, part in enumerate(parts):
        if part is Ellipsis:
            rest = parts[k + 1 :]
            axis = len(shape) - len([p for p in rest if p is not None])
            found.append(part)
            continue
        if isinstance(part, ndarray):
            assert part.dtype.kind in "iu", "an index array of integers"
            fancy = True
            part = part._a.astype(np.int64) % max(shape[axis], 1)
        else:
            assert part is None or isinstance(part, (slice, int)), f"CuPy's index is no {type(part).__name__} here"
        found.append(part)
        axis += part is not None
    return tuple(found) if fancy or Ellipsis in found else (*found, ...), fancy  # type: ignore[return-value]


def _elementwise_copy(source: Any, target: np.ndarray, where: np.ndarray | None = None) -> None:
    if isinstance(source, np.ndarray) and where is None and np.may_share_memory(source, target) and _by_memory(source, target):
        for a, b in zip(target.reshape(-1), source.reshape(-1), strict=True):
            a[...] = b
        return
    with np.errstate(all="ignore"):
        value = np.array(source).astype(target.dtype)
        np.copyto(target, value, where=True if where is None else where)


def _by_memory(source: np.ndarray, target: np.ndarray) -> bool:
    """Whether CuPy copies memory as it lies, in an order that nobody knows."""
    dense = source.flags.c_contiguous and target.flags.c_contiguous
    return dense and source.dtype == target.dtype and source.size == target.size


# ---- functions
def _bound(name: str, text: str, args: Any, kwargs: Any) -> dict[str, Any]:
    """The arguments by the recorded signature; TypeError as Python has it."""
    signature = _signatures.get(text)
    if signature is None:
        made: dict[str, Any] = {}
        exec(f"def f{text}: pass", made)
        signature = _signatures[text] = inspect.signature(made["f"])
    try:
        found = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"cupy.{name}: {error}") from None
    found.apply_defaults()
    return dict(found.arguments)


_signatures: dict[str, inspect.Signature] = {}


def _only_arrays(*things: Any) -> None:
    for thing in things:
        assert isinstance(thing, ndarray), f"CuPy takes its own arrays, not a {type(thing).__name__}"


def _out(result: Any, out: ndarray | None, dtype_too: bool = False) -> ndarray:
    result = np.asarray(result)
    if out is None:
        return ndarray._of(result)
    if out.shape != result.shape:
        raise ValueError(f"Output parameter has shape {out.shape}, not {result.shape}")
    if dtype_too and out.dtype != result.dtype:
        raise ValueError(f"output dtype {out.dtype} is not {result.dtype}")
    with np.errstate(all="ignore"):
        np.copyto(out._a, result, casting="same_kind")
    return out


def _reduction(path: str, typed: bool = True) -> Callable[..., ndarray]:
    def run(a: Any, axis: Any, out: Any, keepdims: Any, dtype: Any = None) -> ndarray:
        _only_arrays(a)
        assert axis is None or axis != (), "what CuPy does over no axes was not looked at"
        with np.errstate(all="ignore"):
            more = {"dtype": dtype} if typed else {}
            return _out(getattr(np, path)(a._a, axis=axis, keepdims=bool(keepdims), **more), out)

    return run


def _arg(path: str) -> Callable[..., ndarray]:
    def run(a: Any, axis: Any, dtype: Any, out: Any, keepdims: Any) -> ndarray:
        _only_arrays(a)
        return _out(getattr(np, path)(a._a, axis=axis, keepdims=keepdims), out)

    return run


def _running(path: str) -> Callable[..., ndarray]:
    def run(a: Any, axis: Any, dtype: Any, out: Any) -> ndarray:
        _only_arrays(a)
        assert out is None or out._a.flags.c_contiguous
        with np.errstate(all="ignore"):
            return _out(getattr(np, path)(a._a, axis, dtype), out, dtype_too=True)

    return run


def _take(a: Any, indices: Any, axis: Any, out: Any) -> ndarray:
    _only_arrays(a, indices)
    size = a.size if axis is None else a.shape[axis]
    assert size or not indices.size, "cannot take from an empty axis"
    return _out(np.take(a._a, indices._a.astype(np.int64) % max(size, 1), axis), out, dtype_too=True)


def _copyto(dst: Any, src: Any, casting: str, where: Any) -> None:
    _only_arrays(dst)
    if isinstance(src, ndarray):
        if not np.can_cast(src.dtype, dst.dtype, casting):
            raise TypeError(f"Cannot cast {src.dtype} to {dst.dtype} in {casting} casting mode")
        given: Any = src._a.reshape(src.shape[max(src.ndim - dst.ndim, 0) :])
    else:
        assert isinstance(src, SCALARS), f"CuPy does not copy from a {type(src).__name__}"
        np.copyto(np.empty((), dst.dtype), src, casting=casting)  # type: ignore[arg-type]
        given = src
    if where is not None:
        _only_arrays(where)
        assert where.dtype == bool
    np.broadcast_to(given, dst.shape)
    _elementwise_copy(given, dst._a, None if where is None else where._a)


def _concatenate(tup: Any, axis: Any, out: Any, dtype: Any, casting: str) -> ndarray:
    _only_arrays(*tup)
    return _out(np.concatenate([x._a for x in tup], axis), out)


def _matmul(*args: Any, out: Any, **_: Any) -> ndarray:
    _only_arrays(*args)
    assert len(args) == 2 and all(x.dtype.kind != "b" for x in args)
    with np.errstate(all="ignore"):
        return _out(np.matmul(args[0]._a, args[1]._a), out)


def _array(obj: Any, dtype: Any, order: str, **_: Any) -> ndarray:
    if isinstance(obj, ndarray):
        return ndarray._of(np.array(obj._a, dtype, order=order))  # type: ignore[call-overload]
    assert isinstance(obj, (np.ndarray, *SCALARS))
    host = np.array(obj, dtype, order=order)  # type: ignore[call-overload]
    _module().uploaded += host.nbytes
    return ndarray._of(host)


def _searchsorted(a: Any, v: Any, side: str, sorter: Any) -> ndarray:
    _only_arrays(a, v)
    assert a.ndim == 1
    return ndarray._of(np.searchsorted(a._a, v._a, side))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "all": _reduction("all", typed=False), "any": _reduction("any", typed=False), "amax": _reduction("amax", typed=False),
    "amin": _reduction("amin", typed=False), "sum": _reduction("sum"), "prod": _reduction("prod"), "argmax": _arg("argmax"),
    "argmin": _arg("argmin"), "cumsum": _running("cumsum"), "cumprod": _running("cumprod"), "take": _take, "copyto": _copyto,
    "concatenate": _concatenate, "matmul": _matmul, "array": _array, "searchsorted": _searchsorted,
    "asarray": lambda a, dtype, order, **_: a if isinstance(a, ndarray) else _array(a, dtype, order or "K"),
    "arange": lambda start, stop, step, dtype: ndarray._of(np.arange(*((0, start) if stop is None else (start, stop)), step, dtype)),
    "broadcast_to": lambda array, shape: array._view(np.broadcast_to(array._a, shape)),
    "empty": lambda shape, dtype, order: ndarray(shape, dtype, order=order),
    "expand_dims": lambda a, axis: a._view(np.expand_dims(a._a, axis)),
}  # fmt: skip


def _function(name: str) -> Callable[..., Any]:
    text, run = RECORDED["functions"][name], FUNCTIONS[name]

    def call(*args: Any, **kwargs: Any) -> Any:
        given = _bound(name, text, args, kwargs)
        return run(*given.pop("args", ()), **given)

    return call


# ---- ufuncs
def _integral_power(x: Any, y: Any) -> Any:
    return np.where(y < 0, np.where(x == 1, 1, 0), np.power(x, np.maximum(y, 0))).astype(x.dtype)


def _integral_fmod(x: Any, y: Any) -> Any:
    return np.where(y == 0, 0, np.fmod(x.astype(float), y.astype(float))).astype(x.dtype)


FORMULAS: dict[str, Callable[..., Any]] = {  # where CuPy computes otherwise than NumPy, in the loop's dtype
    "floor_divide": lambda x, y: np.floor(x / y) if x.dtype.kind == "f" else np.floor_divide(x, y),
    "remainder": lambda x, y: x - np.floor(x / y) * y if x.dtype.kind == "f" else np.remainder(x, y),
    "fmod": lambda x, y: _integral_fmod(x, y) if x.dtype.kind in "iu" else np.fmod(x, y),
    "power": lambda x, y: _integral_power(x, y) if x.dtype.kind in "iu" else np.power(x, y),
    "left_shift": lambda x, y: np.left_shift(x, y % (8 * x.itemsize)),
    "right_shift": lambda x, y: np.right_shift(x, y % (8 * x.itemsize)),
    "add": lambda x, y: x | y if x.dtype.kind == "b" else x + y,
    "multiply": lambda x, y: x & y if x.dtype.kind == "b" else x * y,
    "logaddexp": lambda x, y: np.where(x == y, x + np.log(2.0), np.fmax(x, y) + np.log1p(np.exp(-np.abs(x - y)))).astype(x.dtype),
    "exp2": lambda x: np.power(x.dtype.type(2), x),
    "reciprocal": lambda x: np.where(x == 0, 0, 1 // np.where(x == 0, 1, x)).astype(x.dtype) if x.dtype.kind in "iu" else 1 / x,
    "sign": lambda x: np.sign(x),
}


class ufunc:
    def __init__(self, name: str, loops: list[str]):
        self.name, self.types = name, loops
        self.nin = len(loops[0].partition("->")[0])

    def __call__(self, *args: Any, out: Any = None, casting: str = "same_kind", dtype: Any = None) -> Any:
        assert len(args) in (self.nin, self.nin + 1), f"{self.name} takes {self.nin} operands and out"
        assert dtype is None, "not looked at"
        operands, out = args[: self.nin], args[self.nin] if len(args) > self.nin else out
        for x in operands:
            assert isinstance(x, (ndarray, *SCALARS)), f"{self.name}: Unsupported type {type(x)}"
        assert any(isinstance(x, ndarray) for x in operands)
        loop = next((found for found in self.types if all(map(_fits, operands, found))), None)
        if loop is None:
            raise TypeError(f"Wrong type of arguments for {self.name}: {[getattr(x, 'dtype', type(x)) for x in operands]}")
        ins, gives = loop.split("->")
        with np.errstate(all="ignore"):
            arrays = [np.asarray(x._a if isinstance(x, ndarray) else x).astype(c) for x, c in zip(operands, ins)]
            formula = FORMULAS.get(self.name)
            result = np.asarray(formula(*arrays) if formula else getattr(np, self.name)(*arrays)).astype(gives)
            if out is None:
                return ndarray._of(result)
            _only_arrays(out)
            if out.shape != result.shape:
                raise ValueError(f"Out shape is mismatched: {out.shape} and {result.shape}")
            if not np.can_cast(result.dtype, out.dtype, casting):
                raise TypeError(f"output (typecode '{result.dtype.char}') could not be coerced to '{out.dtype.char}' by {casting}")
            out._a[...] = result.astype(out.dtype)
        return out


def _fits(x: Any, char: str) -> bool:
    dtype = np.dtype(char)
    if type(x) is bool:
        return True
    if type(x) in (int, float, complex):
        return dtype.kind in {int: "iufc", float: "fc", complex: "c"}[type(x)]
    return np.can_cast(x.dtype, dtype, "safe")


# ---- the module
class Stream:
    """A stream; `events` tells who waited for whom."""

    def __init__(self, ptr: int = 0):
        self.ptr, self.waited = ptr, list[Any]()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self.ptr == other.ptr

    def __hash__(self) -> int:
        return self.ptr

    def record(self) -> Any:
        return ("event", self.ptr)

    def wait_event(self, event: Any) -> None:
        self.waited.append(event)


def module(free: int = 1 << 40) -> Any:
    """A new stand-in. `free`: bytes on the device."""
    made: Any = types.ModuleType("cupy")
    made.__version__ = RECORDED["version"]
    made.ndarray, made.waits, made.uploaded, made.free, made.device = ndarray, 0, 0, free, 0
    for name in RECORDED["functions"]:
        setattr(made, name, _function(name))
    for name, loops in RECORDED["ufuncs"].items():
        setattr(made, name, ufunc(name, loops))
    made.stream = Stream()
    made.cuda = types.SimpleNamespace(
        runtime=types.SimpleNamespace(
            getDeviceCount=lambda: 1, getDevice=lambda: made.device, memGetInfo=lambda: (made.free, 1 << 40),
            CUDARuntimeError=CUDARuntimeError,
        ),
        nvrtc=types.SimpleNamespace(getVersion=lambda: (13, 5)), cublas=object(), get_current_stream=lambda: made.stream,
    )  # fmt: skip
    made.get_default_memory_pool = lambda: types.SimpleNamespace(free_bytes=lambda: 0)
    return made


def _module() -> Any:
    return sys.modules["cupy"]


@contextmanager
def installed(free: int = 1 << 40) -> Iterator[Any]:
    """The stand-in as `cupy` for a `with` block."""
    before, made = sys.modules.get("cupy"), module(free)
    sys.modules["cupy"] = made
    unavailable.forget()
    try:
        yield made
    finally:
        unavailable.forget()
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before


def floats(*shapes: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    """Arrays of doubles, on the host."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in itertools.chain(shapes)]
