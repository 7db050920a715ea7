"""When two results agree: containers, kinds (array or scalar or number), dtypes and shapes always; values to the bit or to a bound.

Out: a list of differences as text, none where they agree. `close` names the leaves whose values differ beyond rounding of one operation,
which `noise.py` then judges.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

LEAVES = (np.ndarray, np.generic)


def leaves(tree: Any, path: str = "result") -> list[tuple[str, Any]]:
    """The leaves of a result with the way to each."""
    if isinstance(tree, (list, tuple)):
        return [leaf for k, part in enumerate(tree) for leaf in leaves(part, f"{path}[{k}]")] + [(f"{path} is", type(tree).__name__)]
    if isinstance(tree, dict):
        return [leaf for k, part in tree.items() for leaf in leaves(part, f"{path}[{k!r}]")] + [(f"{path} keys", tuple(tree))]
    return [(path, tree)]


def snapshot(tree: Any) -> Any:
    """A copy that later writes do not reach; layouts stay."""
    return copy.deepcopy(tree)


def different(got: Any, want: Any, *, exact: bool) -> list[str]:
    """What differs, leaf by leaf: each line begins with the leaf's path."""
    gots, wants = leaves(got), leaves(want)
    if [p for p, _ in gots] != [p for p, _ in wants]:
        return [f"structure: {[p for p, _ in gots]} for {[p for p, _ in wants]}"]
    return [f"{path}: {text}" for (path, g), (_, w) in zip(gots, wants) if (text := _leaf(g, w, exact))]


def _leaf(got: Any, want: Any, exact: bool) -> str:
    if not isinstance(want, LEAVES):
        if isinstance(want, (bool, complex)) and type(got) in (np.bool_, np.complex128):
            got = got.item()  # Python's complex takes a np.float64 for a float of its own
        if type(got) is not type(want):
            return f"KIND {type(got).__name__} for {type(want).__name__}"
        if isinstance(want, (float, complex)):
            return _values(np.asarray(got), np.asarray(want), exact)
        return "" if got == want else f"VALUE {got!r} for {want!r}"
    if isinstance(want, np.ndarray) != isinstance(got, np.ndarray) or not isinstance(got, LEAVES):
        return f"KIND {type(got).__name__} for {type(want).__name__}"
    if got.dtype.newbyteorder("=") != want.dtype.newbyteorder("="):
        return f"DTYPE {got.dtype} for {want.dtype}"
    if got.shape != want.shape:
        return f"SHAPE {got.shape} for {want.shape}"
    return _values(np.asarray(got), np.asarray(want), exact)


def _values(got: np.ndarray, want: np.ndarray, exact: bool) -> str:
    if same_bits(got, want):
        return ""
    if not exact and want.dtype.kind in "fc":
        eps = np.finfo(want.dtype).eps
        with np.errstate(all="ignore"):
            if np.allclose(got, want, rtol=64 * float(eps), atol=0, equal_nan=True) and _signs(got, want):
                return ""
    return f"VALUE {got.tolist()!r:.300} for {want.tolist()!r:.300}"


def same_bits(got: np.ndarray, want: np.ndarray) -> bool:
    """The same numbers with the same signs of zero; NaN is NaN, whatever its sign and payload."""
    if got.dtype.kind not in "fc":
        return bool(np.array_equal(got, want))
    parts = [(got.real, want.real), (got.imag, want.imag)] if got.dtype.kind == "c" else [(got, want)]
    return all(bool(np.array_equal(a, b, equal_nan=True)) and _signs(a, b) for a, b in parts)


def _signs(got: np.ndarray, want: np.ndarray) -> bool:
    if got.dtype.kind == "c":
        return True
    zero = (want == 0) & (got == 0)
    return bool(np.all(np.signbit(got)[zero] == np.signbit(want)[zero]))
