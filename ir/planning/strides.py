"""Arithmetic of strides: shapes, strides and view operations in, the strides NumPy would give out. Nothing here touches data.

View operations other than reshape are asked of NumPy itself: their meaning is applied to an array with the right shape and strides
that is never read. What a dense result looks like ("K" order) is likewise NumPy's iterator's answer, on axes cut down to two.
"""
from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ir.graph import Node
from ir.op import Op

Ints = tuple[int, ...]


@lru_cache(1 << 14)
def c_strides(shape: Ints, itemsize: int) -> Ints:
    """Strides in bytes of a C-ordered array.

    >>> c_strides((2, 3), 8)
    (24, 8)
    """
    return permuted_strides(shape, itemsize, tuple(range(len(shape))))


def f_strides(shape: Ints, itemsize: int) -> Ints:
    """Strides in bytes of an F-ordered array."""
    return permuted_strides(shape, itemsize, tuple(reversed(range(len(shape)))))


def permuted_strides(shape: Ints, itemsize: int, axes: Ints) -> Ints:
    """Dense strides, the axes listed from the slowest to the fastest; an axis of size 0 counts as 1, as in NumPy."""
    strides, step = [0] * len(shape), itemsize
    for axis in reversed(axes):
        strides[axis] = step
        step *= max(shape[axis], 1)
    return tuple(strides)


def is_dense(shape: Ints, strides: Ints, itemsize: int) -> bool:
    """Whether the elements fill one block of memory without gaps, in some order of axes.

    >>> is_dense((2, 3), (8, 16), 8), is_dense((2, 3), (48, 8), 8)
    (True, False)
    """
    if 0 in shape:
        return True
    step = itemsize
    for stride, size in sorted((stride, size) for stride, size in zip(strides, shape) if size != 1):
        if stride != step:
            return False
        step *= size
    return True


@lru_cache(1 << 14)
def k_strides(shape: Ints, itemsize: int, operands: tuple[tuple[Ints, Ints], ...]) -> Ints:
    """The strides of NumPy's new result of an elementwise function over operands of these (shape, strides).

    >>> k_strides((2, 3), 8, (((2, 3), (8, 16)),))
    (8, 16)
    """
    kept = [axis for axis, size in enumerate(shape) if size > 1]
    if len(kept) < 2 or not operands:
        return c_strides(shape, itemsize)
    stand_ins: list[Any] = []
    for other, strides in operands:
        lead = len(shape) - len(other)
        small = [(min(other[axis - lead], 2), strides[axis - lead]) if axis >= lead else (1, 0) for axis in kept]
        stand_ins.append(_unread(tuple(n for n, _ in small), tuple(s for _, s in small), np.dtype("b")))
    flags: list[Any] = [["readonly"]] * len(stand_ins) + [["writeonly", "allocate"]]
    made = np.nditer([*stand_ins, None], op_flags=flags).operands[-1]
    order = sorted(range(len(kept)), key=lambda k: (-abs(made.strides[k]), k))
    slow_first = [kept[k] for k in order]
    return permuted_strides(shape, itemsize, tuple([axis for axis in range(len(shape)) if shape[axis] <= 1] + slow_first))


def reshaped(shape: Ints, strides: Ints, itemsize: int, new: Ints) -> Ints | None:
    """The strides of a reshape that needs no copy, None where NumPy would have to copy.

    >>> reshaped((2, 3), (24, 8), 8, (3, 2)), reshaped((2, 3), (8, 16), 8, (6,))
    ((16, 8), None)
    """
    if 0 in shape:
        return c_strides(new, itemsize)
    old = [(n, s) for n, s in zip(shape, strides) if n != 1]
    found: list[int] = []
    at = axis = 0
    while at < len(old) or axis < len(new):
        # the shortest run of old axes and the shortest run of new ones that hold the same number of elements
        held, first, start = 1, at, axis
        wanted = 1
        if at < len(old):
            held, at = old[at][0], at + 1
        if axis < len(new):
            wanted, axis = new[axis], axis + 1
        while held != wanted:
            if held < wanted:
                held, at = held * old[at][0], at + 1
            else:
                wanted, axis = wanted * new[axis], axis + 1
        for k in range(first, at - 1):
            if old[k][1] != old[k + 1][0] * old[k + 1][1]:
                return None
        step = old[at - 1][1] if at > first else itemsize
        run = []
        for k in range(axis - 1, start - 1, -1):
            run.append(step)
            step *= new[k]
        found += reversed(run)
    return tuple(found)


def viewed(node: Node, shape: Ints, strides: Ints, dtype: np.dtype) -> tuple[int, Ints] | None:
    """(offset in bytes, strides) of the view that `node` makes of an array with this shape and strides; None where it must copy."""
    if node.op.name == "reshape":
        made = reshaped(shape, strides, dtype.itemsize, node.outputs[0].shape)
        return None if made is None else (0, made)
    return _view(node.op, tuple(node.attrs.items()), shape, strides, dtype)


@lru_cache(1 << 14)
def _view(op: Op, attrs: tuple[tuple[str, Any], ...], shape: Ints, strides: Ints, dtype: np.dtype) -> tuple[int, Ints]:
    base = _unread(shape, strides, dtype)
    made = op.meaning(base, **dict(attrs))
    if made.size == 0:
        return 0, made.strides
    return made.__array_interface__["data"][0] - base.__array_interface__["data"][0], made.strides


def _unread(shape: Ints, strides: Ints, dtype: np.dtype) -> np.ndarray:
    """An array with these strides over memory that is not there: to be asked for its flags and pointers, never for its elements."""
    return np.lib.stride_tricks.as_strided(np.zeros(1, dtype), shape, strides)
