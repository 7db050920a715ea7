"""Results compared to the last bit: bytes, dtype, shape, kind, and the order of axes in memory."""
from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

import tracer
from tracer import trees

LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "gaps": lambda a: np.repeat(a, 2, -1)[..., ::2],
    "F with gaps": lambda a: np.asfortranarray(np.repeat(a, 2, -1))[..., ::2],
    "middle axis fastest": lambda a: np.ascontiguousarray(np.moveaxis(a, -2, -1)).swapaxes(-1, -2) if a.ndim > 1 else a,
}


def bits(array: Any) -> bytes:
    """The values' bytes in C order; a long double's without its padding."""
    array = np.ascontiguousarray(array)
    if array.dtype.char not in "gG":
        return array.tobytes()
    parts = array.view(np.longdouble).reshape(-1)
    return b"".join([x.tobytes()[:10] for x in parts])


def order(array: np.ndarray) -> list[int]:
    """The axes with more than one index, from the slowest to the fastest."""
    return sorted([k for k in range(array.ndim) if array.shape[k] > 1], key=lambda k: (-abs(array.strides[k]), k))


def same_bits(got: Any, want: Any, what: str = "", orders: bool = True) -> None:
    """Asserts equal trees, leaf by leaf to the bit, and the order of axes of arrays that are no broadcast views."""
    gots, tree = trees.flatten(got)
    wants, wanted = trees.flatten(want)
    assert tree == wanted, f"{what}: {tree} for {wanted}"
    for k, (g, w) in enumerate(zip(gots, wants)):
        assert type(g) is type(w), f"{what} {k}: {type(g)} for {type(w)}"
        if isinstance(w, (np.ndarray, np.generic)):
            assert (g.dtype, g.shape) == (w.dtype, w.shape), f"{what} {k}: {g.dtype}{g.shape} for {w.dtype}{w.shape}"
            assert bits(g) == bits(w), f"{what} {k}: {g!r} for {w!r}"
            if orders and isinstance(w, np.ndarray) and 0 not in w.shape and 0 not in w.strides:
                assert order(g) == order(w), f"{what} {k}: strides {g.strides} for {w.strides}"
        else:
            assert g == w or g != g, f"{what} {k}: {g!r} for {w!r}"


def exactly(fn: Callable[..., Any], *args: Any, what: str = "", orders: bool = True) -> Any:
    """Asserts that `fn` compiled with exact=True gives what it gives by itself, twice, and leaves the arguments as it does; gives it."""
    fast = tracer.compile(fn, exact=True)
    with np.errstate(all="ignore"):
        theirs = copied(args)
        want = fn(*theirs)
        for _ in range(2):
            mine = copied(args)
            same_bits(fast(*mine), want, what, orders)
            same_bits(mine, theirs, f"{what} arguments", orders=False)
    return fast


def copied(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Copies of arrays that lie as the arrays do."""
    return tuple([_as_it_lies(a) if isinstance(a, np.ndarray) else copy.deepcopy(a) for a in args])


def _as_it_lies(array: np.ndarray) -> np.ndarray:
    low = sum([(n - 1) * s for n, s in zip(array.shape, array.strides) if s < 0])
    high = sum([(n - 1) * s for n, s in zip(array.shape, array.strides) if s > 0])
    made = np.ndarray(array.shape, array.dtype, np.empty(high - low + array.itemsize, np.uint8), -low, array.strides)
    made[...] = array
    return made
