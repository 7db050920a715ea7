"""Questions about shapes and dtypes, which need no value; and the functions that are refused, each with its mend."""

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

_LENGTH = "use the mask itself: np.where(c, a, b); np.argsort(~c, kind='stable') lists the true places first"
_UNIQUE = "np.bincount outside; np.sort(x) and a mask of first occurrences keep the length fixed"
_SET = "np.sort and a mask: the length of the result must not depend on the data"
_SAVE = "return x and save the result"
_LAYOUT = "drop the call: the plan chooses the layout"
_SCIMATH = "np.sqrt(x.astype(complex)) and its kin: the dtype would depend on the values"
_SOLVE = "compute it outside and pass the result in; for small fixed sizes write the formula with @, np.sum and products"

REFUSED: dict[str, str] = {
    **dict.fromkeys(["nonzero", "flatnonzero", "argwhere", "extract"], _LENGTH),
    **dict.fromkeys(["unique", "unique_all", "unique_counts", "unique_inverse", "unique_values"], _UNIQUE),
    **dict.fromkeys(["setdiff1d", "intersect1d", "union1d", "setxor1d"], _SET),
    **dict.fromkeys(["save", "savez", "savez_compressed", "savetxt"], _SAVE),
    **dict.fromkeys(["ascontiguousarray", "asfortranarray", "require", "asarray_chkfinite"], _LAYOUT),
    **dict.fromkeys(["real_if_close", "logn"], _SCIMATH),
    **dict.fromkeys(["inv", "solve", "det", "slogdet", "cholesky", "svd", "qr", "pinv", "lstsq"], _SOLVE),
    **dict.fromkeys(["eig", "eigh", "eigvals", "eigvalsh"], _SOLVE),
    "einsum": "np.tensordot, np.matmul or @, and transpose; sums of products with np.sum(x * y, axis)",
    "trim_zeros": _LENGTH,
    "may_share_memory": "compare the names instead",
    "shares_memory": "compare the names instead",
    "vectorize": "write it on whole arrays",
    "apply_along_axis": "write it on whole arrays with axis=",
    "piecewise": "np.select",
    "bincount": "np.add.at(np.zeros(n, like=w), k, w)",
    "histogram": "np.add.at on computed bins",
    "searchsorted": "np.sum(a[:, None] < v, axis=0)",
    "percentile": "np.sort(x, axis), then take and weigh",
    "quantile": "np.sort(x, axis), then take and weigh",
    "lexsort": "np.argsort(kind='stable') key by key",
    "partition": "np.sort",
    "argpartition": "np.argsort",
    "cov": "d = x - x.mean(0, keepdims=True), then d.T @ d / (len(x) - 1)",
    "polyval": "Horner's rule in a loop: y = y * x + c",
    "trapezoid": "np.sum((y[1:] + y[:-1]) / 2 * dx)",
    "gradient": "(x[2:] - x[:-2]) / 2, and the ends by np.concatenate",
    "convolve": "sums of shifted slices",
    "resize": "np.tile and a slice",
    "as_strided": "slices and np.stack",
    "sliding_window_view": "x[i[:, None] + np.arange(n)] with a plain i",
}
