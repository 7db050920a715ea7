"""What a traced array offers to the user's code: attributes, operators, NumPy's protocols, ndarray's methods.

Nothing here knows of storages: operators and methods go to `apply` and to the tables of `numpy_api`; what would need a value
raises (`refusing.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from tracer import numpy_api
from tracer.arrays.flat import Flat
from tracer.arrays.refusing import Flags, Refusing
from tracer.numpy_api.exact import are_complex_scalars, is_power_of_scalars, scalar_magnitude, scalar_power, scalar_product
from tracer.operands.apply import apply
from tracer.operands.refusal import bad_dtype, bad_shape, needs_value, refuse
from tracer.operands.shown import described
from tracer.operands.stack import Operand, keeps_bits

# the exponents for which NumPy's operator leaves np.power aside, with other results at infinities
_COMPLEX_POWERS: dict[Any, str] = {(float, 0.5): "sqrt", (int, -1): "reciprocal", (int, 2): "square"}
_POWERS: dict[Any, str] = {(float, 0.5): "sqrt", (int, -1): "reciprocal"}  # of floats: the same but for what a warning says


def _binary(ufunc: np.ufunc, op: str) -> Callable[[Any, Any], Any]:
    def method(self: Surface, other: Any) -> Any:
        if op == "multiply" and are_complex_scalars(self, other):
            return scalar_product(self, other)
        if _known(other):
            return apply(op, self, other)
        if getattr(other, "__array_ufunc__", self) is None:  # as NumPy's arrays: the other's own operator answers
            return NotImplemented
        return numpy_api.array_ufunc(self, ufunc, "__call__", self, other)

    return method


def _reflected(ufunc: np.ufunc, op: str) -> Callable[[Any, Any], Any]:
    def method(self: Surface, other: Any) -> Any:
        if op == "multiply" and are_complex_scalars(self, other):
            return scalar_product(other, self)
        if op == "power" and is_power_of_scalars(other, self):
            return scalar_power(other, self)
        return apply(op, other, self) if _known(other) else numpy_api.array_ufunc(self, ufunc, "__call__", other, self)

    return method


def _known(other: Any) -> bool:
    return isinstance(other, (Operand, np.ndarray, np.generic, int, float, complex))


def _inplace(ufunc: np.ufunc) -> Callable[[Any, Any], Any]:
    def method(self: Surface, other: Any) -> Any:
        if self.scalar:
            if ufunc is np.multiply and are_complex_scalars(self, other):
                return scalar_product(self, other)
            return numpy_api.array_ufunc(self, ufunc, "__call__", self, other)
        return numpy_api.array_ufunc(self, ufunc, "__call__", self, other, out=(self,))

    return method


def _unary(op: str) -> Callable[[Any], Any]:
    return lambda self: apply(op, self)


def _method(fn: Callable[..., Any], name: str | None = None) -> Callable[..., Any]:
    """An ndarray method that is a NumPy function with the array as its first argument."""

    def method(self: Surface, *args: Any, **kwargs: Any) -> Any:
        return numpy_api.array_function(self, fn, (), (self, *args), kwargs)

    method.__name__, method.__doc__ = name or fn.__name__, f"As `np.ndarray.{name or fn.__name__}`."
    return method


class Surface(Refusing):
    """The public face of a traced array, which has `spec`, `scalar` (NumPy would have a scalar here), `stand_in` and `assign`."""

    __slots__ = ()
    rank = 2
    __array_priority__ = 1000
    scalar: bool

    def stand_in(self) -> np.ndarray:
        """An array of the same shape and strides without memory."""
        raise TypeError("a surface has no strides")

    def assign(self, value: Any) -> None:
        """`self[...] = value`."""
        raise TypeError("a surface has no storage")

    def __getitem__(self, key: Any) -> Any:
        raise TypeError("a surface has no elements")

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
    def T(self) -> Any:
        return self.transpose()

    @property
    def mT(self) -> Any:
        return numpy_api.TABLE[np.matrix_transpose](self)

    @property
    def real(self) -> Any:
        return numpy_api.TABLE[np.real](self)

    @real.setter
    def real(self, value: Any) -> None:
        self.real.assign(value)

    @property
    def imag(self) -> Any:
        return numpy_api.TABLE[np.imag](self)

    @imag.setter
    def imag(self, value: Any) -> None:
        if self.dtype.kind != "c":
            raise bad_dtype("the array does not have an imaginary part to set", "make it complex: x.astype(complex)", op="imag")
        self.imag.assign(value)

    @property
    def data(self) -> Any:
        """The array itself: inside a trace `.data` of whatever an operation gave is the traced array."""
        return self

    @property
    def flat(self) -> Flat:
        return Flat(self)

    @flat.setter
    def flat(self, values: Any) -> None:
        self.flat.fill(values)

    @property
    def flags(self) -> Flags:
        return Flags(self)

    device = "cpu"

    def to_device(self, device: str, /, *, stream: Any = None) -> Any:
        """As `np.ndarray.to_device`: the array itself."""
        return self

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return np

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[k] for k in range(self.shape[0]))  # read when it is taken, as NumPy's

    def __repr__(self) -> str:
        return described(f"<traced {self.spec}>", self.spec)

    def __sizeof__(self) -> NoReturn:
        raise refuse("sys.getsizeof is not known while tracing", "x.nbytes are the bytes of its elements", op="getsizeof")

    # ---- operators
    __add__, __radd__, __iadd__ = _binary(np.add, "add"), _reflected(np.add, "add"), _inplace(np.add)
    __sub__, __rsub__, __isub__ = _binary(np.subtract, "subtract"), _reflected(np.subtract, "subtract"), _inplace(np.subtract)
    __mul__, __rmul__, __imul__ = _binary(np.multiply, "multiply"), _reflected(np.multiply, "multiply"), _inplace(np.multiply)
    __truediv__, __rtruediv__, __itruediv__ = _binary(np.divide, "divide"), _reflected(np.divide, "divide"), _inplace(np.divide)
    __floordiv__, __rfloordiv__ = _binary(np.floor_divide, "floor_divide"), _reflected(np.floor_divide, "floor_divide")
    __ifloordiv__ = _inplace(np.floor_divide)
    __mod__, __rmod__, __imod__ = _binary(np.remainder, "remainder"), _reflected(np.remainder, "remainder"), _inplace(np.remainder)
    __rpow__ = _reflected(np.power, "power")
    __matmul__, __rmatmul__, __imatmul__ = _binary(np.matmul, "matmul"), _reflected(np.matmul, "matmul"), _inplace(np.matmul)
    __and__, __rand__, __iand__ = (
        _binary(np.bitwise_and, "bitwise_and"),
        _reflected(np.bitwise_and, "bitwise_and"),
        _inplace(np.bitwise_and),
    )
    __or__, __ror__, __ior__ = _binary(np.bitwise_or, "bitwise_or"), _reflected(np.bitwise_or, "bitwise_or"), _inplace(np.bitwise_or)
    __xor__, __rxor__, __ixor__ = (
        _binary(np.bitwise_xor, "bitwise_xor"),
        _reflected(np.bitwise_xor, "bitwise_xor"),
        _inplace(np.bitwise_xor),
    )
    __lshift__, __rlshift__, __ilshift__ = (
        _binary(np.left_shift, "left_shift"),
        _reflected(np.left_shift, "left_shift"),
        _inplace(np.left_shift),
    )
    __rshift__, __rrshift__ = _binary(np.right_shift, "right_shift"), _reflected(np.right_shift, "right_shift")
    __irshift__ = _inplace(np.right_shift)
    __neg__, __pos__, __invert__ = _unary("negative"), _unary("positive"), _unary("invert")
    __lt__, __le__ = _binary(np.less, "less"), _binary(np.less_equal, "less_equal")
    __gt__, __ge__ = _binary(np.greater, "greater"), _binary(np.greater_equal, "greater_equal")
    __eq__, __ne__ = _binary(np.equal, "equal"), _binary(np.not_equal, "not_equal")
    __hash__ = Refusing.__hash__  # type: ignore[assignment]  # a class with an `__eq__` of its own has none otherwise

    def __abs__(self) -> Any:
        return scalar_magnitude(self) if are_complex_scalars(self) else apply("abs", self)

    def __pow__(self, other: Any, modulus: Any = None) -> Any:
        """`self ** other`; a modulus is refused."""
        if modulus is not None:
            raise refuse("pow(x, y, mod) is not traced", "(x ** y) % mod", op="pow")
        fast = self._fast_power(other)
        if fast is not None:
            return apply(fast, self)
        if is_power_of_scalars(self, other):
            return scalar_power(self, other)
        return apply("power", self, other) if _known(other) else numpy_api.array_ufunc(self, np.power, "__call__", self, other)

    def __ipow__(self, other: Any) -> Any:  # type: ignore[misc]
        if self.scalar:
            return self**other
        fast = self._fast_power(other)
        if fast is not None:
            return numpy_api.array_ufunc(self, getattr(np, fast), "__call__", self, out=(self,))
        return _inplace(np.power)(self, other)

    def _fast_power(self, other: Any) -> str | None:
        """The operation that NumPy's operator takes for some powers by Python numbers: other bits or dtypes than np.power gives."""
        kind = self.dtype.kind
        if getattr(type(other), "rank", 0) == 1 and (kind == "b" or (kind == "c" and keeps_bits())):
            other = other.__class__(other)  # which of them it is, its value says: another value traces again
        power = (type(other), other) if type(other) in (int, float) else None
        scalar = getattr(self, "scalar", False)
        if kind == "b":
            return "square" if power == (int, 2) and not scalar else None  # int8, where np.power and scalars give int64
        if kind == "c":
            return None if scalar else _COMPLEX_POWERS.get(power)
        return _POWERS.get(power) if kind == "f" and not scalar else None

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

    def conj(self) -> Any:
        """As `np.ndarray.conj`: the array itself where it is not complex."""
        return apply("conj", self) if self.dtype.kind == "c" else self

    conjugate = conj

    def astype(self, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True) -> Any:
        """As `np.ndarray.astype`."""
        return numpy_api.astype(self, dtype, casting=casting, copy=copy, order=order)

    def copy(self, order: str = "C") -> Any:
        """As `np.ndarray.copy`."""
        return numpy_api.copy(self, order)

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
        """As `np.ndarray.reshape`."""
        return numpy_api.TABLE[np.reshape](self, shape[0] if len(shape) == 1 else shape, order=order, copy=copy)

    def transpose(self, *axes: Any) -> Any:
        """As `np.ndarray.transpose`."""
        return numpy_api.TABLE[np.transpose](self, axes[0] if len(axes) == 1 else axes or None)

    def flatten(self, order: str = "C") -> Any:
        """As `np.ndarray.flatten`: always a copy."""
        return numpy_api.copy(numpy_api.TABLE[np.ravel](self, order))

    def fill(self, value: Any) -> None:
        """As `np.ndarray.fill`."""
        if numpy_api.spec_of(value).shape:
            raise bad_shape("fill takes one value", "x[...] = values", op="fill")
        self.assign(value)

    def sort(self, axis: int = -1, kind: str | None = None, order: Any = None) -> None:
        """As `np.ndarray.sort`: in place."""
        self.assign(numpy_api.TABLE[np.sort](self, axis, kind, order))

    def put(self, indices: Any, values: Any, mode: str = "raise") -> None:
        """As `np.ndarray.put`."""
        numpy_api.TABLE[np.put](self, indices, values, mode)

    def view(self, dtype: Any = None, type: Any = None) -> Any:
        """As `np.ndarray.view` of the same dtype; of another it is refused, since the bytes of a traced array are not known."""
        if type in (None, np.ndarray) and (dtype in (None, np.ndarray) or np.dtype(dtype) == self.dtype):
            return self[...]
        raise refuse("x.view is not traced", "x.astype(dtype) converts the values; x[...] is a view of the same dtype", op="view")

    def __copy__(self) -> Any:
        return self.copy("K")

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy("K")

    def __round__(self, ndigits: Any = None) -> Any:
        if not self.scalar:
            raise TypeError("type numpy.ndarray doesn't define __round__ method")
        if ndigits is None:
            raise needs_value("round(), which gives a Python int,", "np.round(x), a float", value=self.spec)
        return self.round(ndigits)
