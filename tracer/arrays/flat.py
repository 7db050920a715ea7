"""`x.flat`: the elements in C order, whatever the strides; reading gives copies, writing repeats the values to the places asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from tracer import numpy_api
from tracer.numpy_api.common import array
from tracer.operands.apply import apply
from tracer.operands.refusal import bad_shape, needs_value, refuse
from tracer.operands.stack import Operand


class Flat:
    """What stands for NumPy's `flatiter` of a traced array."""

    __slots__ = ("base",)

    def __init__(self, base: Any):
        self.base = base

    def __len__(self) -> int:
        return self.base.size

    def __iter__(self) -> Iterator[Any]:
        return iter([self[k] for k in range(len(self))])

    def copy(self) -> Any:
        """The elements as one axis."""
        return numpy_api.copy(self.base.reshape(-1))

    def __getitem__(self, key: Any) -> Any:
        return self.copy()[key]

    def __setitem__(self, key: Any, values: Any) -> None:
        x = self.base
        if getattr(values, "storage", None) is x.storage:
            raise refuse("x.flat[...] is set to a view of x, which NumPy writes while it reads", "give a copy: x.copy()", op="flat")
        values = _line(values)
        if isinstance(key, Operand) and key.dtype == bool:  # type: ignore[attr-defined]
            if values.size != 1:
                raise refuse("x.flat[mask] = values with a traced mask", "one value, or np.place", op="flat")
        else:
            count = np.empty(len(self), bool)[_known(key)].size
            if isinstance(key, (int, np.integer)) and values.size != 1:
                raise bad_shape(f"one element is set to {values.size} values", "give one value", op="flat")
            values = _repeated(values, count)
        if values is None:
            return
        viewed = x.stand_in().flags.c_contiguous
        line = x.reshape(-1) if viewed else self.copy()
        line[key] = values if values.size != 1 else values.reshape(())
        if not viewed:
            x.assign(line.reshape(x.shape))

    def fill(self, values: Any) -> None:
        """`x.flat = values`."""
        values = _repeated(_line(values), len(self))
        if values is not None:
            self.base.assign(values.reshape(self.base.shape))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise needs_value("turning x.flat into a plain array", "x.ravel()")


def _line(values: Any) -> Any:
    values = array(values)
    return apply("reshape", values, shape=(values.size,)) if values.ndim != 1 else values


def _repeated(values: Any, count: int) -> Any:
    """The values over and over until there are `count`; None where there are none."""
    if not values.size:
        return None
    return values if values.size == count else apply("take", values, np.arange(count) % values.size, axis=0, mode="raise")


def _known(key: Any) -> Any:
    """A key that picks as many elements: traced indices by zeros of their shape."""
    return np.zeros(key.shape, np.intp) if isinstance(key, Operand) and type(key).rank > 1 else key  # type: ignore[attr-defined]
