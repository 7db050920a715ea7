"""`x[key]`: a key in NumPy's manifold forms in, plain view operations and one gather out.

The key becomes at most three views (slice, squeeze, expand_dims) and then, where there are index arrays, a gather along some axes.
Plain boolean masks turn into index arrays here, while tracing; a traced mask stays a mask, since its length depends on the data.
"""

from __future__ import annotations

import operator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ir.errors import ArgumentError, ValueArgumentError
from ir.ops.places import everything, triple
from ir.source import user_line
from tracer.operands import refusal
from tracer.operands.stack import Operand, current

refuse = partial(refusal.refuse, op="index")
_no_index = partial(refusal.bad_index, op="index")


class Parsed(NamedTuple):
    """`views`: (operation, attributes) in order; `indices` the index arrays along `axes` of what the views give.

    `keeps`: the result is a view although there are indices (traced NumPy integers); `scalar`: a 0-d result is a NumPy scalar;
    `mask`: a traced mask stands for the axes of what the views give from `first` on; there are no indices then.
    """

    views: tuple[tuple[str, dict[str, Any]], ...] = ()
    indices: tuple[Any, ...] = ()
    axes: tuple[int, ...] = ()
    keeps: bool = False
    scalar: bool = False
    mask: Any = None
    first: int = 0


_MASKED = object()  # stands for an axis that a traced mask masks


def parse(key: Any, shape: tuple[int, ...]) -> Parsed:
    """Takes the key apart for an array of that shape. ShapeError for what is out of range, TraceError for what needs values."""
    items = [_item(k) for k in (key if type(key) is tuple else (key,))]
    masks = [k for k in items if isinstance(k, Operand) and k.dtype == bool]  # type: ignore[attr-defined]
    if masks:
        return _parse_masked(items, masks[0], shape)
    _check_masks(items, shape)
    items = [part for k in items for part in _without_masks(k)]
    used = sum(k is not None and k is not Ellipsis for k in items)
    if used > len(shape):
        raise _no_index(f"{used} indices for an array with {len(shape)} axes, {shape}", f"give {len(shape)} at most")
    if not any(k is Ellipsis for k in items):
        items.append(Ellipsis)
        dotted = False
    else:
        dotted = True
        if sum(k is Ellipsis for k in items) > 1:
            raise _no_index("an index has more than one ellipsis", "keep one '...'")
    arrays = any(_is_array(k) for k in items)
    return _plan(items, shape, arrays, len(shape) - used, dotted)[0]


def _parse_masked(items: list[Any], mask: Any, shape: tuple[int, ...]) -> Parsed:
    """A key with one traced mask: beside slices, None, "..." and ints it is a view first, then the mask along some of its axes."""
    if any(_is_array(k) for k in items if k is not mask) or (len(items) > 1 and not mask.ndim):
        raise refuse("a traced mask stands beside other index arrays", "mask first: np.where(mask, x, fill), then index the result")
    spread = [part for k in items for part in ([_MASKED] * mask.ndim if k is mask else [k])]
    used = sum(k is not None and k is not Ellipsis for k in spread)
    if used > len(shape) or sum(k is Ellipsis for k in spread) > 1:
        raise _no_index(f"{used} indices for an array with {len(shape)} axes, {shape}", f"give {len(shape)} at most")
    dotted = any(k is Ellipsis for k in spread)
    parsed, first = _plan(spread if dotted else [*spread, Ellipsis], shape, False, len(shape) - used, dotted)
    return parsed._replace(mask=mask, first=first)


def _plan(items: list[Any], shape: tuple[int, ...], arrays: bool, hidden: int, dotted: bool) -> tuple[Parsed, int]:
    """The views and the gather of items that are ints, slices, None, one Ellipsis and index arrays; where a traced mask begins."""
    index = list(everything(shape))
    dropped: list[int] = []  # axes of the array that an int takes away
    added: list[int] = []  # axes of the result that None adds
    indices: list[Any] = []
    axes: list[int] = []
    axis = place = 0
    first: int | None = None
    parted = _parted(items) and not hidden  # "..." of no axes: it still parts the index arrays, whose axes then come first
    for k in items:
        if k is Ellipsis:
            axis, place = axis + hidden, place + hidden
        elif k is None:
            added.append(place)
            place += 1
        elif isinstance(k, slice):
            index[axis] = triple(k, shape[axis])
            axis, place = axis + 1, place + 1
        elif k is _MASKED:
            first = place if first is None else first
            axis, place = axis + 1, place + 1
        elif isinstance(k, int) and not isinstance(k, Operand):
            at = _in_range(k, axis, shape)
            if arrays:
                indices.append(np.intp(at))
                axes.append(place)
                place += 1
            else:
                index[axis] = (at, at + 1, 1)
                dropped.append(axis)
            axis += 1
        else:
            indices.append(refusal.checked_indices(k, shape[axis], axis))
            axes.append(place)
            axis, place = axis + 1, place + 1
    views: list[tuple[str, dict[str, Any]]] = []
    if tuple(index) != everything(shape):
        views.append(("slice", {"index": tuple(index)}))
    if dropped:
        views.append(("squeeze", {"axis": tuple(dropped)}))
    if added:
        views.append(("expand_dims", {"axis": tuple(added)}))
    if parted:
        views.append(("transpose", {"axes": (*axes, *[k for k in range(place) if k not in axes])}))
        axes = list(range(len(axes)))
    keeps = arrays and all(isinstance(i, np.integer) or getattr(i, "scalar", False) for i in indices)
    return Parsed(tuple(views), tuple(indices), tuple(axes), keeps, not dotted), first or 0


def _parted(items: list[Any]) -> bool:
    """Whether an ellipsis stands between index arrays (ints count as such beside arrays)."""
    at = next((n for n, k in enumerate(items) if k is Ellipsis), len(items))

    def indexes(part: list[Any]) -> bool:
        return any(_is_array(k) or type(k) is int for k in part)

    return any(map(_is_array, items)) and indexes(items[:at]) and indexes(items[at + 1 :])


def _item(k: Any) -> Any:
    """One item of the key as an int, slice, None, Ellipsis, plain array or traced array."""
    if k is None or k is Ellipsis:
        return k
    if isinstance(k, slice):
        bounds = [_bound(b) for b in (k.start, k.stop, k.step)]
        if bounds[2] == 0:
            raise ValueArgumentError("a slice has step 0", op="index", mend="a step of 1 or more, or a negative one").at(line=user_line())
        return slice(*bounds)
    if isinstance(k, Operand):
        return _traced_item(k)
    if isinstance(k, (bool, np.bool_)):
        return np.asarray(k)
    if isinstance(k, np.ndarray):
        return _integer(k) if k.ndim == 0 and k.dtype.kind in "iu" else _index_array(k)
    if isinstance(k, (list, tuple)):
        parts = [part for part in _leaves(k) if isinstance(part, Operand)]
        if any(type(part).rank > 1 for part in parts):
            raise refuse("a list with traced values is an index", "make one array of it with np.stack")
        k = _known(k) if parts else k
        return _index_array(np.asarray(k, dtype=np.intp) if len(k) == 0 else np.asarray(k))
    try:
        return _integer(k)
    except TypeError:
        mend = "index with integers, slices, ..., None, and integer or boolean arrays"
        raise _no_index(f"a {type(k).__name__} is no index", mend) from None


def _integer(k: Any) -> int:
    """An index as a Python int. Where NumPy made it, it may come from an array within reach, which the trace is told."""
    if isinstance(k, (np.ndarray, np.generic)) and (tracing := current()) is not None:
        tracing.noted.bake("a NumPy integer as an index", user_line())
    return operator.index(k)


def _known(k: Any) -> Any:
    """A list of indices, nested or not, with the values of the Python numbers in it: another one traces again."""
    return [_known(part) for part in k] if isinstance(k, (list, tuple)) else operator.index(k)


def _traced_item(k: Any) -> Any:
    if type(k).rank == 1:
        return operator.index(k)
    if type(k).rank == 3:
        k = k.data
        if not isinstance(k, Operand):
            return _item(k)
    if k.dtype.kind not in "iub":
        raise _no_index(f"an index of dtype {k.dtype}", "indices are integers or masks: cast with astype(np.int64)")
    return k


def _bound(b: Any) -> Any:
    if isinstance(b, Operand) and type(b).rank > 1:
        raise refuse(
            "a slice with traced bounds has a length that depends on the data", "np.take(x, a + np.arange(n), axis=0) for a fixed length n"
        )
    if b is None:
        return None
    try:
        return _integer(b)
    except TypeError:
        raise ArgumentError(f"{b!r:.40} is no bound of a slice", op="index", mend="give ints or None").at(line=user_line()) from None


def _index_array(k: np.ndarray) -> np.ndarray:
    if k.dtype.kind not in "iub":
        raise _no_index(f"an index array of dtype {k.dtype}", "indices are integers or masks: cast with astype(np.int64)")
    return k


def _leaves(k: Any) -> list[Any]:
    found, queue = [], [k]
    while queue:
        part = queue.pop()
        if isinstance(part, (list, tuple)):
            queue += part
        else:
            found.append(part)
    return found


def _is_array(k: Any) -> bool:
    return isinstance(k, Operand) or (isinstance(k, np.ndarray) and not isinstance(k, int))


def _without_masks(k: Any) -> list[Any]:
    """A plain mask as the index arrays of its true places; they are fixed in the trace, which the trace is told."""
    if isinstance(k, Operand) or not isinstance(k, np.ndarray) or k.dtype != bool:
        return [k]
    if k.ndim == 0:
        raise refuse("a bool is an index", "use x[None] or an empty slice")
    tracing = current()
    if tracing is not None:
        tracing.noted.bake("a boolean mask", user_line())
    return list(np.nonzero(k))


def _in_range(k: int, axis: int, shape: tuple[int, ...]) -> int:
    refusal.checked_index(k, shape[axis], axis)
    return k % shape[axis]


def _check_masks(items: list[Any], shape: tuple[int, ...]) -> None:
    """ShapeError unless each plain mask fits the axes that it stands for."""
    widths = [0 if k is None else k.ndim if _is_array(k) and k.dtype == bool else 1 for k in items]
    hidden = len(shape) - sum(w for k, w in zip(items, widths) if k is not Ellipsis)
    axis = 0
    for k, width in zip(items, widths):
        if _is_array(k) and k.dtype == bool and tuple(shape[axis : axis + width]) != k.shape:
            raise _no_index(
                f"a mask of shape {k.shape} indexes axes of shape {shape[axis : axis + width]}", "a mask has the shape of what it masks"
            )
        axis += hidden if k is Ellipsis else width
