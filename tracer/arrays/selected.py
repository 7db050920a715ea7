"""`x[mask]` with a traced mask: an array whose length depends on the data, so what it holds is kept at its places in the whole array.

Elementwise arithmetic among selections by the same mask, and with what broadcasts against one element (or row), gives selections; they
can be assigned through the same mask (`x[m] *= 2`, `x[m] = f(y[m])`) and summed up. What needs the length is refused. Elements that
are not selected take part as copies of the first that is: no warning and no error then comes from them that NumPy would not give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from ir.graph import CONSTANT, Node, Value
from ir.op import Op, Trait
from ir.source import user_line
from tracer import numpy_api
from tracer.arrays.surface import Surface
from tracer.numpy_api import reductions
from tracer.operands.apply import apply
from tracer.operands.refusal import bad_dtype, bad_shape, refuse
from tracer.operands.stack import Operand

_MEND = "np.where(mask, x, fill), or np.sum(x, where=mask); x[mask] goes only into arithmetic with other y[mask], sums and x[mask] = ..."


def _inplace(ufunc: np.ufunc) -> Callable[[Any, Any], Any]:
    return lambda self, other: self._changed(ufunc, other)


def _reduction(reduction: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, axis=None, **kwargs: self._reduced(reduction, axis, **kwargs)


class Selected(Operand):
    """`full` holds the selected elements where `mask` (its first axes) is true. `rest`: axes against which other operands broadcast.

    `safe`: the elements that are not selected are copies of one that is.
    """

    __slots__ = ("full", "mask", "rest", "safe", "line")
    rank = 4
    scalar = False  # a selection is an array, of one element too
    __array_priority__ = 1100

    def __init__(self, full: Any, mask: Any, rest: int, safe: bool = False):
        self.full, self.mask, self.rest, self.safe, self.line = full, mask, rest, safe, user_line()

    @property
    def dtype(self) -> np.dtype:
        """As that of the array."""
        return self.full.dtype

    @classmethod
    def record(cls, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        one = next(x for x in operands if type(x) is cls)
        if not op.has(Trait.ELEMENTWISE):
            raise one._refused(op.name)
        found = apply(op, *[one._beside(x, op.name) for x in operands], **attrs)
        return cls(found, one.mask, one.rest, safe=True)

    def _beside(self, other: Any, name: str) -> Any:
        """An operand of an elementwise operation with this selection, as an operand beside its whole array."""
        if type(other) is Selected:
            if not same_value(self.mask.value, other.mask.value) or self.rest != other.rest:
                raise refuse("two selections meet that were made by different masks", "select with one mask: m = ...; x[m] + y[m]", op=name)
            return other.filled()
        if len(getattr(other, "shape", ())) > self.rest:
            raise refuse(
                "x[mask] meets an array, which needs as many elements as the mask has true places; that depends on the data",
                "use the whole arrays: x[m] + y[m] with y of x's shape, or np.where", op=name,
            )
        return other

    def filled(self) -> Any:
        """The whole array, with copies of the first selected element (1 where none is) for those that are not selected."""
        mask, full = self.mask, self.full
        if self.safe or not mask.size or full.dtype == bool:
            return full
        line = apply("reshape", mask, shape=(mask.size,))
        first = apply("argmax", line, axis=0, keepdims=False)
        row = apply("take", apply("reshape", full, shape=(mask.size, *full.shape[mask.ndim :])), first, axis=0, mode="clip")
        row = apply("where", apply("take", line, first, axis=0, mode="clip"), row, np.ones((), full.dtype))
        return apply("where", wide(mask, full.ndim), full, row)

    def _refused(self, name: str) -> Exception:
        error = refuse(
            "the length of x[mask] depends on the data", _MEND, op=name, operands=[("x", self.full.spec), ("mask", self.mask.spec)]
        )
        if name == "data":  # asked for when it is returned: no line of the user's runs any more
            error.line = self.line
        return error

    # ---- operators: those of arrays, which record; in place the selection, which is a copy, changes for all its names
    for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift"):
        for _reflection in ("", "r"):
            locals()[f"__{_reflection}{_name}__"] = getattr(Surface, f"__{_reflection}{_name}__")
    for _name in ("neg", "pos", "abs", "invert", "lt", "le", "gt", "ge", "eq", "ne"):
        locals()[f"__{_name}__"] = getattr(Surface, f"__{_name}__")
    del _name, _reflection
    _fast_power = Surface._fast_power

    def _changed(self, ufunc: np.ufunc, other: Any) -> Selected:
        found = numpy_api.array_ufunc(self, ufunc, "__call__", self, other)
        if not np.can_cast(found.dtype, self.dtype, "same_kind"):
            raise bad_dtype(
                f"cannot cast output from {found.dtype!r} to {self.dtype!r} with casting rule 'same_kind'",
                f"cast the array first: x.astype({found.dtype})", op=ufunc.__name__,
            )
        self.full, self.safe = numpy_api.astype(found.full, self.dtype, copy=False), True
        return self

    __iadd__, __isub__, __imul__ = _inplace(np.add), _inplace(np.subtract), _inplace(np.multiply)
    __itruediv__, __ifloordiv__, __imod__ = _inplace(np.divide), _inplace(np.floor_divide), _inplace(np.remainder)
    __ipow__, __iand__, __ior__, __ixor__ = (
        _inplace(np.power), _inplace(np.bitwise_and), _inplace(np.bitwise_or), _inplace(np.bitwise_xor),
    )

    # ---- NumPy's protocols, and the methods that need no length
    __array_ufunc__ = numpy_api.array_ufunc

    def __array_function__(self, func: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        reduction = _REDUCTIONS.get(func)
        if reduction is not None and type(args[0]) is Selected:
            return args[0]._reduced(reduction, *args[1:], **kwargs)
        return numpy_api.array_function(self, func, types, args, kwargs)

    def _reduced(self, reduction: Callable[..., Any], axis: Any = None, **kwargs: Any) -> Any:
        if axis is not None and not (axis in (0, (0,)) and self.rest == self.full.ndim - self.mask.ndim):
            raise self._refused("axis")
        over = None if axis is None else tuple(range(self.mask.ndim))
        mask = apply("broadcast_to", wide(self.mask, self.full.ndim), shape=self.full.shape)
        return reduction(self.full, over, where=mask, **kwargs)

    sum, prod, mean = _reduction(reductions.sum), _reduction(reductions.prod), _reduction(reductions.mean)
    any, all = _reduction(reductions.any), _reduction(reductions.all)

    def copy(self, order: str = "C") -> Any:
        """As `np.ndarray.copy`."""
        return Selected(self.full, self.mask, self.rest, self.safe)

    def astype(self, dtype: Any, **kwargs: Any) -> Any:
        """As `np.ndarray.astype`."""
        return Selected(numpy_api.astype(self.filled(), dtype, **kwargs), self.mask, self.rest, safe=True)

    # ---- what needs the length
    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"'numpy.ndarray' object has no attribute '{name}'")
        raise self._refused(name)

    def __getitem__(self, key: Any) -> NoReturn:
        raise self._refused("index")

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise self._refused("assignment")

    def __len__(self) -> NoReturn:
        raise self._refused("len")

    def __iter__(self) -> Iterator[Any]:
        raise self._refused("iteration")

    def __bool__(self) -> NoReturn:
        raise self._refused("bool")

    def __float__(self) -> NoReturn:
        raise self._refused("float")

    def __int__(self) -> NoReturn:
        raise self._refused("int")

    def __index__(self) -> NoReturn:
        raise self._refused("index")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise self._refused("value")

    __hash__ = None  # type: ignore[assignment]


_REDUCTIONS: dict[Any, Callable[..., Any]] = {
    np.sum: reductions.sum, np.prod: reductions.prod, np.mean: reductions.mean, np.any: reductions.any, np.all: reductions.all,
}  # fmt: skip


def wide(mask: Any, ndim: int) -> Any:
    """The mask with an axis of size 1 for each further axis of what it masks."""
    return apply("reshape", mask, shape=(*mask.shape, *(1,) * (ndim - mask.ndim))) if ndim > mask.ndim else mask


def put(place: Any, mask: Any, rest: int, value: Any) -> None:
    """`place[mask] = value`, the mask standing for the first axes of a view that can be written."""
    if type(value) is Selected:
        if not same_value(value.mask.value, mask.value) or value.rest != rest:
            raise refuse("x[mask] = y[other mask]: the masks differ", "select with one mask: m = ...; x[m] = y[m]", op="assignment")
        value = value.full
    else:
        if len(getattr(value, "shape", ())) > rest:
            raise refuse(
                "x[mask] = array takes as many values as the mask has true places, which depends on the data",
                "give an array of x's shape: x = np.where(mask, new, x), x[mask] = new[mask]; np.place for values in order",
                op="assignment", operands=[("x", place.spec), ("mask", mask.spec)],
            )
    if value.dtype != place.dtype:
        value = apply("cast", value, dtype=place.dtype)
    place.assign(apply("where", wide(mask, place.ndim), value, place))


def check_mask(mask: Any, shape: tuple[int, ...]) -> None:
    """ShapeError unless the mask has the shape of the axes that it masks."""
    if mask.shape != shape:
        raise bad_shape(f"a mask of shape {mask.shape} indexes axes of shape {shape}", "a mask has the shape of what it masks", op="index")


def same_value(a: Value, b: Value, most: int = 1000) -> bool:
    """Whether two Values are computed alike from the same inputs: `x > 0` written twice. Gives up, with no, after `most` nodes."""
    pairs, seen = [(a, b)], set[tuple[Node, Node]]()
    while pairs:
        one, two = pairs.pop()
        if one is two or (one.node, two.node) in seen:
            continue
        m, n = one.node, two.node
        alike = m.op is n.op and m.attrs == n.attrs and len(m.operands) == len(n.operands) and one.index == two.index
        source = not m.operands and m.op is not CONSTANT
        if not alike or source or m.op.has(Trait.OPAQUE) or len(seen) > most:
            return False
        seen.add((m, n))
        pairs += zip(m.operands, n.operands)
    return True


