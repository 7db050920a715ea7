"""Where an index points: slices as triples, NumPy's rule for where the axes of index arrays go, and what fits into a place.

Pure arithmetic on specs, shared by the reads (`index.py`) and the writes (`update.py`).
"""
from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.errors import DTypeError, ShapeError
from ir.spec import Spec, broadcast, promote

Triple = tuple[int, int | None, int]
Index = tuple[Triple, ...]


# ---- slices
def triple(asked: builtins.slice, size: int) -> Triple:
    """A Python slice of an axis of `size` as (start, stop, step), all in range; stop is None where a negative step reaches index 0.

    Slices that read the same indices in the same direction give the same triple: of one element too, where NumPy's stride says which.

    >>> triple(slice(-3, None), 5), triple(slice(None, None, -2), 5), triple(slice(4, 2), 5)
    ((2, 5, 1), (4, None, -2), (0, 0, 1))
    """
    start, stop, step = asked.indices(size)
    count = len(range(start, stop, step))
    if count == 0:
        return 0, 0, 1
    if count == 1:
        return (start, start + 1, 1) if step > 0 else (start, start - 1 if start else None, -1)
    last = start + step * (count - 1)
    stop = last + (1 if step > 0 else -1)
    return start, stop if stop >= 0 else None, step


def everything(shape: Sequence[int]) -> Index:
    """The index that reads all of an array."""
    return tuple([(0, n, 1) for n in shape])


def keys(index: Index) -> tuple[Any, ...]:
    """The index as Python slices, with an ellipsis behind them, by which a 0-d place stays an array."""
    return (*[builtins.slice(*t) for t in index], ...)


def ranges(index: Index, shape: tuple[int, ...]) -> list[range]:
    """The indices read along each axis; ShapeError where the index does not belong to such a shape."""
    if len(index) != len(shape):
        raise ShapeError(f"{len(index)} slices for the {len(shape)} axes of {shape}", mend="give one (start, stop, step) an axis")
    if any(step == 0 for _, _, step in index):
        raise ShapeError("a slice has step 0", mend="use a step of 1 or more, or a negative one")
    return [range(*builtins.slice(*t).indices(n)) for t, n in zip(index, shape)]


def composed(first: Index, second: Index, shape: tuple[int, ...]) -> Index:
    """The index that reads of an array of `shape` what `second` reads of what `first` reads.

    >>> composed(((1, 5, 1),), ((3, None, -2),), (6,))
    ((4, 1, -2),)
    """
    found = []
    for r, t, n in zip(ranges(first, shape), second, shape):
        both = r[builtins.slice(*t)]
        found.append(triple(builtins.slice(both.start, both.stop if both.stop >= 0 else None, both.step), n))
    return tuple(found)


def slice_shape(index: Index, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([len(r) for r in ranges(index, shape)])


# ---- index arrays
def placement(x: Spec, indices: tuple[Spec, ...], axes: tuple[int, ...]) -> tuple[tuple[int, ...], int, list[int]]:
    """Where things go in `x[..., i, ...]` with index arrays at `axes`: the result's shape, the first axis of the (broadcast) index
    arrays in it, and for each axis of `x` its place in the result (-1 for the indexed ones).

    Index arrays side by side put their axes where they stand, separated ones put them first, as in NumPy.
    """
    check_indices(x, indices, axes)
    shape = broadcast([i.shape for i in indices])
    first = axes[0] if axes[-1] - axes[0] == len(axes) - 1 else 0
    kept = [k for k in range(x.ndim) if k not in axes]
    place = [-1] * x.ndim
    for position, k in enumerate(kept):
        place[k] = position if position < first else position + len(shape)
    sizes = [x.shape[k] for k in kept]
    return (*sizes[:first], *shape, *sizes[first:]), first, place


def check_indices(x: Spec, indices: tuple[Spec, ...], axes: tuple[int, ...]) -> None:
    """ShapeError or DTypeError unless `indices` are integer arrays for the increasing `axes` of `x`."""
    if not axes or len(indices) != len(axes):
        raise ShapeError(f"{len(indices)} index arrays for axes {axes}", mend="give one index array an axis, and at least one")
    if list(axes) != sorted(set(axes)) or axes[0] < 0 or axes[-1] >= x.ndim:
        raise ShapeError(f"can't index axes {axes} of {x.shape}", mend=f"name axes from 0 to {x.ndim - 1} in increasing order, each once")
    for i in indices:
        check_integer(i)


def check_integer(index: Spec) -> None:
    if index.dtype.kind not in "iu":
        mend = "np.nonzero or np.where turn a mask into other forms" if index.dtype.kind == "b" else "cast it with astype(np.int64)"
        raise DTypeError(f"indices must be integers, not {index}", mend=mend)


def fancy(indices: Sequence[Any], axes: tuple[int, ...]) -> tuple[Any, ...]:
    """The Python key: index arrays at `axes`, full slices before and between."""
    key: list[Any] = [builtins.slice(None)] * (axes[-1] + 1)
    for axis, i in zip(axes, indices):
        key[axis] = i
    return tuple(key)


def grids(shape: tuple[int, ...]) -> list[np.ndarray]:
    """`np.ogrid`: for each axis its indices, shaped so that all together broadcast to `shape`."""
    return [np.arange(n).reshape([n if a == k else 1 for a in range(len(shape))]) for k, n in enumerate(shape)]


# ---- values to be written
def check_fits(value: Spec, place: tuple[int, ...], ones: bool = False) -> None:
    """ShapeError unless `value` broadcasts to `place`. `ones`: as NumPy's assignment has it, more leading axes of size 1 are dropped."""
    shape = value.shape
    while ones and len(shape) > len(place) and shape[0] == 1:
        shape = shape[1:]
    if len(shape) > len(place) or any(n not in (1, m) for n, m in zip(shape[::-1], place[::-1])):
        cause = f"a value of shape {value.shape} does not fit into a place of shape {place}"
        raise ShapeError(cause, mend="sizes must be equal, or 1 in the value")


def check_adds(base: Spec, value: Spec) -> None:
    """DTypeError unless NumPy would add `value` into `base` in place."""
    dtype = promote(base.strong(), value)
    if not np.can_cast(dtype, base.dtype, "same_kind"):
        cause = f"adding {value} into {base} would turn {dtype} into {base.dtype}"
        raise DTypeError(cause, mend=f"cast the value to {base.dtype}, or the array to {dtype}")
