"""Questions about shapes and dtypes, which need no value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.numpy_api.common import array, known, spec
from tracer.operands.refusal import needs_value
from tracer.operands.stack import Operand


def _asked(x: Any) -> Any:
    """What stands for `x` where only its dtype counts."""
    if not isinstance(x, Operand):
        return x
    s = spec(x)
    return {"int": 1, "float": 1.0, "complex": 1j}[s.weak] if s.weak else s.dtype


def _size(a: Any, axis: Any = None) -> int:
    x = array(a)
    return int(np.prod(x.shape)) if axis is None else int(np.prod([x.shape[k] for k in (axis if isinstance(axis, tuple) else (axis,))]))


def _can_cast(from_: Any, to: Any, casting: str = "safe") -> bool:
    return np.can_cast(_asked(from_), _asked(to), casting)  # type: ignore[arg-type]


def _min_scalar_type(a: Any) -> np.dtype:
    """As `np.min_scalar_type`: of an array its dtype, of one value the smallest that holds it, which hangs on the value."""
    number, mine = known(a, "np.min_scalar_type"), spec(a)
    if not isinstance(number, Operand) or mine.shape:
        return np.min_scalar_type(np.empty(0, mine.dtype) if mine.shape else number)
    raise needs_value("np.min_scalar_type of one value", "x.dtype, or np.result_type", x=mine)


def _shown(a: Any, *args: Any, **kwargs: Any) -> str:
    return repr(a)


TABLE: dict[Any, Callable[..., Any]] = {
    np.shape: lambda a: array(a).shape, np.ndim: lambda a: array(a).ndim, np.size: _size,
    np.result_type: lambda *xs: np.result_type(*[_asked(x) for x in xs]), np.can_cast: _can_cast,
    np.min_scalar_type: _min_scalar_type, np.common_type: lambda *xs: np.common_type(*[np.empty(0, spec(x).dtype) for x in xs]),
    np.iscomplexobj: lambda x: spec(x).dtype.kind == "c", np.isrealobj: lambda x: spec(x).dtype.kind != "c",
    np.array_repr: _shown, np.array_str: _shown, np.array2string: _shown,
    np.diag_indices_from: lambda arr: np.diag_indices(arr.shape[0], arr.ndim),
    np.tril_indices_from: lambda arr, k=0: np.tril_indices(arr.shape[-2], k, arr.shape[-1]),
    np.triu_indices_from: lambda arr, k=0: np.triu_indices(arr.shape[-2], k, arr.shape[-1]),
    np.isfortran: lambda a: bool(a.stand_in().flags.fnc) if hasattr(a, "stand_in") else False,
}  # fmt: skip
