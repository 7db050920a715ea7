"""NumPy on traced arrays and Variables: the table of functions, and the two protocol methods that look into it.

An implementation is written over `apply`, so it serves every kind of operand; most are compositions of a few lines. What is not in
the tables raises a TraceError that names the function and the way out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ir.errors import Error
from ir.source import user_line
from tracer.numpy_api import choices, creation, indexing, joins, linalg, meta, nans, rearranged, reductions, refused, shapes, ufuncs
from tracer.numpy_api.common import operand, plain
from tracer.numpy_api.common import spec as spec_of
from tracer.numpy_api.creation import astype
from tracer.numpy_api.creation import copied as copy
from tracer.operands.refusal import refuse
from tracer.operands.stack import current

__all__ = ["TABLE", "array_function", "array_ufunc", "astype", "copy", "operand", "plain", "spec_of"]

TABLE: dict[Any, Callable[..., Any]] = {
    **reductions.TABLE, **nans.TABLE, **shapes.TABLE, **rearranged.TABLE, **joins.TABLE, **choices.TABLE, **indexing.TABLE, **linalg.TABLE,
    **creation.TABLE, **meta.TABLE,
}  # fmt: skip

_METHODS: dict[str, Callable[..., Any]] = {
    "__call__": ufuncs.call, "reduce": ufuncs.reduce, "accumulate": ufuncs.accumulate, "outer": ufuncs.outer, "at": ufuncs.at,
}  # fmt: skip


def array_ufunc(self: Any, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """`__array_ufunc__`: calls of ufuncs and of their methods on traced operands."""
    if method not in _METHODS:
        raise refuse(
            f"np.{ufunc.__name__}.{method} is not traced", "np.stack of sums over slices, or differences of np.cumsum", op=ufunc.__name__
        )
    try:
        return _METHODS[method](ufunc, *inputs, **kwargs)
    except Error as error:
        raise error.at(op=ufunc.__name__, line=user_line())


def array_function(self: Any, func: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`__array_function__`: looks the function up in the table."""
    implementation = TABLE.get(func)
    if implementation is None:
        name = func.__name__
        where = {"numpy.linalg": "np.linalg.", "numpy.fft": "np.fft.", "numpy.lib.scimath": "np.emath."}.get(func.__module__ or "", "np.")
        mend = refused.SCIMATH if where == "np.emath." else refused.MENDS.get(name, refused.ANY)
        if current() is None:
            mend = f"{where}{name} of x.data, a plain array, if no gradient is to go through; otherwise {mend}"
        raise refuse(f"{where}{name} is not traced", mend, op=name)
    try:
        return implementation(*args, **kwargs)
    except Error as error:
        raise error.at(op=func.__name__, line=user_line())
