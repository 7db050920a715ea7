"""Constants that lie in memory as the arrays that they are made of: for a trace that keeps NumPy's bits.

What NumPy computes from an array hangs on how it lies: which axis it sums first, whether its rows follow each other without gaps. A
constant of the graph is C-ordered; so an array that is not becomes a constant and a view of it that lies as the array does: the axes in
the same order, the same of them backwards, gaps where there are gaps (of some width), one place for all that is broadcast.
"""

from __future__ import annotations

import numpy as np

from ir.graph import Graph, Value
from ir.ops import TABLE
from ir.ops.places import triple
from ir.source import Line


def constant_as_it_lies(graph: Graph, array: np.ndarray, line: Line | None) -> Value:
    """The Value of a constant of the same numbers, or of a view of one, that lies as the array."""
    if array.flags.c_contiguous or not array.size:
        return graph.constant(array, line)
    order = sorted(range(array.ndim), key=lambda k: -abs(array.strides[k]))  # stable: equal strides as they come
    turned = array.transpose(order)
    part = turned[tuple([slice(0, None if s else 1) for s in turned.strides])]
    steps, widths = _gaps(part)
    key = [slice(0, s * n, s) for s, n in zip(steps, part.shape)]
    key = [slice(k.stop - k.step, None, -k.step) if s < 0 else k for k, s in zip(key, part.strides)]
    wide = np.zeros(widths, array.dtype)
    wide[tuple(key)] = part
    value = graph.constant(wide, line)
    with graph.at(line):
        value = TABLE["slice"](value, index=tuple([triple(k, n) for k, n in zip(key, widths)]))
        if part.shape != turned.shape:
            value = TABLE["broadcast_to"](value, shape=turned.shape)
        return TABLE["transpose"](value, axes=tuple(np.argsort(order).tolist()))


def _gaps(array: np.ndarray) -> tuple[list[int], list[int]]:
    """For each axis, the slowest first, the step to its next index and its width in an array with the same gaps."""
    steps, widths = [1] * array.ndim, list(array.shape)
    inner: int | None = None
    for k in [k for k in reversed(range(array.ndim)) if array.shape[k] > 1]:
        if inner is None and abs(array.strides[k]) != array.itemsize:
            steps[k], widths[k] = 2, 2 * array.shape[k]
        if inner is not None and abs(array.strides[k]) != array.shape[inner] * abs(array.strides[inner]):
            widths[inner] += steps[inner]
        inner = k
    return steps, widths
