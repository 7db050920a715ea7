"""What emitted programs call beside CuPy: uploads, writes that are all done or none, and writes at indices in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from backends.cupy.array import cupy
from backends.cupy.array import upload as given
from backends.straight.finish import finish, finish_held, stop

__all__ = ["combine_at", "finish", "finish_held", "given", "overlap", "set_at", "stop"]


def overlap(some: Sequence[Any], others: Sequence[Any]) -> bool:
    """Whether memory of some may be memory of others."""
    return any(_span(one)[0] < _span(two)[1] and _span(two)[0] < _span(one)[1] for one in some for two in others)


def _span(array: Any) -> tuple[int, int]:
    steps = [stride * (n - 1) for n, stride in zip(array.shape, array.strides)]
    start = array.data.ptr
    return start + sum([s for s in steps if s < 0]), start + sum([s for s in steps if s > 0]) + array.itemsize


def set_at(base: Any, key: tuple[Any, ...], value: Any) -> None:
    """`base[key] = value`; where an index stands twice the last value is kept."""
    rows, places, values = _by_place(base, key, value)
    if places.size == 0:
        return
    order = places.argsort()  # stable: of equal places the last comes last
    _put(rows, places.take(order), values.take(order, 0), lambda old, new: new)


def combine_at(base: Any, key: tuple[Any, ...], value: Any, inner: Any, outer: Any) -> None:
    """`base[key] = outer(base[key], v)` for one value v after the other, those of a place being combined by `inner` first.

    The order is that of the values, halved again and again: the same at each run.
    """
    rows, places, values = _by_place(base, key, value)
    if places.size == 0:
        return
    order = places.argsort()
    places, values = places.take(order), values.take(order, 0)
    step = 1
    while step < places.size:  # each takes in what stands `step` before it, where that is of the same place
        same = (places[step:] == places[:-step]).reshape((-1,) + (1,) * (values.ndim - 1))
        sums = inner(values[:-step], values[step:])
        module = cupy()
        module.copyto(values[step:], sums, "unsafe", module.broadcast_to(same, sums.shape))
        step *= 2
    _put(rows, places, values, outer)


def _by_place(base: Any, key: tuple[Any, ...], value: Any) -> tuple[Any, Any, Any]:
    """(base with the indexed axes as one in front, the place of each value along it, the values in that form)"""
    module = cupy()
    axes = [k for k, part in enumerate(key) if not isinstance(part, slice)]
    kept = [k for k in range(base.ndim) if k not in axes]
    shape = np.broadcast_shapes(*[key[k].shape for k in axes])
    places: Any = 0
    for k in axes:
        index = key[k].astype(np.int64)
        places = places * base.shape[k] + index + base.shape[k] * (index < 0)
    places = module.broadcast_to(places, shape).reshape(-1)
    first = axes[0] if axes[-1] - axes[0] == len(axes) - 1 else 0
    whole = (*[base.shape[k] for k in kept[:first]], *shape, *[base.shape[k] for k in kept[first:]])
    extra = value.ndim - len(whole)
    value = value.reshape(value.shape[extra:]) if extra > 0 else value
    values = module.broadcast_to(value.astype(base.dtype), whole)
    front = tuple(range(first, first + len(shape)))
    rest = tuple([k for k in range(len(whole)) if k not in front])
    values = values.transpose(front + rest).reshape((places.size, *[base.shape[k] for k in kept])).copy()
    return base.transpose((*axes, *kept)), places, values


def _put(turned: Any, places: Any, values: Any, outer: Callable[[Any, Any], Any]) -> None:
    """Writes, for each place that stands in the sorted `places`, `outer` of what is there and of the last value for it."""
    module = cupy()
    kept = values.ndim - 1
    front = turned.shape[: turned.ndim - kept]
    count = int(np.prod(front, dtype=np.int64))
    numbers = module.arange(count)
    last = module.searchsorted(places, numbers, "right") - 1
    found = (last >= 0) & (places.take(module.maximum(last, 0)) == numbers)
    new = values.take(module.maximum(last, 0), 0).reshape(turned.shape)
    hit = module.broadcast_to(found.reshape(front + (1,) * kept), turned.shape)
    module.copyto(turned, outer(turned, new), "unsafe", hit)
