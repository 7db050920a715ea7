"""What a traced array refuses: its value is not known, its memory is the plan's, and what NumPy's arrays have besides is not traced."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from ir.spec import Spec
from tracer.arrays.conversions import to_array, to_float
from tracer.operands.refusal import needs_value, refuse
from tracer.operands.stack import Operand


def _no_value(what: str, mend: str) -> Callable[..., NoReturn]:
    def method(self: Refusing, *args: Any, **kwargs: Any) -> NoReturn:
        raise needs_value(what, mend, value=self.spec)

    return method


class Flags:
    """`x.flags`: what is known of the memory's order, and whether it can be written; nothing can be set."""

    __slots__ = ("_of",)
    _KNOWN = ("c_contiguous", "f_contiguous", "contiguous", "fortran", "fnc", "forc", "aligned")

    def __init__(self, of: Any):
        object.__setattr__(self, "_of", of)

    def __getattr__(self, name: str) -> Any:
        if name == "writeable":
            return self._of.writeable
        if name not in self._KNOWN:
            raise refuse(f"x.flags.{name} is not known while tracing", "leave memory to the plan", op="flags")
        return getattr(self._of.stand_in().flags, name)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name.lower())

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise refuse(f"x.flags.{name} is set", "leave the flags alone, or set them on the result", op="flags")

    __setitem__ = __setattr__


class Refusing(Operand):
    """The refusals of something with a `spec` and no value."""

    __slots__ = ()
    spec: Spec

    # ---- memory
    @property
    def strides(self) -> NoReturn:
        raise refuse("x.strides is asked while tracing", "leave the layout to the plan", op="strides")

    @property
    def base(self) -> NoReturn:
        raise refuse("x.base is not known while tracing", "compare the names instead", op="base")

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

    # ---- what needs a value
    def __contains__(self, item: Any) -> NoReturn:
        raise needs_value("`v in x`", "np.any(x == v)", x=self.spec)

    __hash__ = _no_value("hash()", "use id(x), or a name, as the key")
    __bool__ = _no_value(
        "a branch (if, while, and, or, not, chained comparison)",
        "np.where(c, a, b), or &, |, ~; (a < x) & (x < c) for a < x < c; pass a Python number if each value should have its own trace",
    )
    __int__ = _no_value("int()", "keep the 0-d array, return it to read its value; x.astype(np.int64) rounds towards 0")
    __complex__ = _no_value("complex()", "keep the 0-d array, return it to read its value; x.astype(complex)")
    __index__ = _no_value("an index, range() or a list's [x]", "pass it as a Python int, or np.array(list, like=x)[x]")
    item = _no_value("x.item()", "keep the 0-d array; return it to read its value")
    tolist = _no_value("x.tolist()", "return x and convert the result")
    tobytes = _no_value("x.tobytes()", "return x and convert the result")
    tofile = _no_value("x.tofile()", "return x and save the result")
    dump = dumps = _no_value("x.dump()", "return x and save the result")
    __reduce__ = __reduce_ex__ = _no_value("pickle", "return x and pickle the result")
    __trunc__ = _no_value("math.trunc()", "np.trunc(x)")

    def __format__(self, spec: str) -> str:
        if not spec:
            return repr(self)
        raise needs_value("a format", "return x and format the result; print(x) describes the traced array", x=self.spec)

    def __float__(self) -> NoReturn:
        raise to_float(self.spec)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise to_array(self.spec)
