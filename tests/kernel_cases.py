"""Graphs that generated code must get right, as functions of a size, and the sizes at which loops, warps and blocks end."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ir.ops import elementwise as e
from ir.ops import index as indexing
from ir.ops import nn, reduce, shape, update
from tests.lowered import Case, drawn

SIZES = (0, 1, 31, 32, 33, 1023, 1025)


def softmax(x: Any) -> Any:
    shifted = e.exp(x - reduce.max(x, axis=(1,), keepdims=True))
    return shifted / reduce.sum(shifted, axis=(1,), keepdims=True)


def layer_norm_sums(x: Any, gain: Any, g: Any) -> list[Any]:
    """A layer norm's backward pass: rows are reduced, and the gain's gradient and the loss added up over them."""
    centred = x - reduce.mean(x, axis=(1,), keepdims=True)
    scaled = centred / e.sqrt(reduce.mean(centred * centred, axis=(1,), keepdims=True) + 1e-5)
    by_scaled = g * gain
    along = reduce.mean(by_scaled * scaled, axis=(1,), keepdims=True)
    by_x = by_scaled - reduce.mean(by_scaled, axis=(1,), keepdims=True) - scaled * along
    return [by_x, reduce.sum(g * scaled, axis=(0,), keepdims=False), reduce.sum(g * g, axis=(0, 1), keepdims=False)]


CASES: dict[str, Callable[[int], Case]] = {
    "chain": lambda n: Case(lambda x, b: [nn.sigmoid(x * 2.0 + b), e.exp(x)], drawn(1, (3, n), (n,))),
    "column": lambda n: Case(lambda x, b: e.tanh(x) - b, drawn(2, (n, 3), (n, 1))),
    "outer": lambda n: Case(lambda x, y: e.maximum(x, y), drawn(3, (n, 1), (1, 3))),
    "views": lambda n: Case(lambda x: shape.reshape(shape.transpose(x, axes=(1, 0)), shape=(2 * n,)) + 1.0, drawn(4, (2, n))),
    "softmax": lambda n: Case(softmax, drawn(5, (5, max(n, 1)))),
    "softmax of columns": lambda n: Case(
        lambda x: e.exp(x - reduce.max(x, axis=(0,), keepdims=True)) / reduce.sum(x * x, axis=(0,), keepdims=True), drawn(6, (4, n))
    ),
    "variance": lambda n: Case(
        lambda x: [reduce.var(x, axis=(1,), keepdims=False, ddof=0), reduce.std(x, axis=(1,), keepdims=True, ddof=0)],
        drawn(7, (3, max(n, 1))),
    ),
    "sums": lambda n: Case(
        lambda x: [reduce.sum(x, axis=(0,), keepdims=False), reduce.sum(x, axis=(0, 1), keepdims=False)], drawn(8, (n, 3))
    ),
    "sums in shares": lambda n: Case(
        lambda x: [x * 2.0, reduce.sum(x, axis=(0,), keepdims=False), reduce.sum(x * x, axis=(0, 1), keepdims=False)],
        drawn(9, (max(n, 2), 3)), parts=2, shares=5,
    ),
    "rows and columns in one share": lambda n: Case(
        lambda x, y: reduce.sum(x * y, axis=(0, 1), keepdims=False), drawn(25, (31, max(n, 2)), (31, 1)), parts=1, shares=6,
    ),
    "layer norm": lambda n: Case(layer_norm_sums, drawn(10, (6, max(n, 1)), (max(n, 1),), (6, max(n, 1))), parts=2, shares=4),
    "stencil": lambda n: Case(
        lambda x: update.set_slice(x, indexing.cut(x, 0, 2, n + 2) - indexing.cut(x, 0, 0, n), index=((1, n + 1, 1),)), drawn(11, (n + 2,))
    ),
    "pad": lambda n: Case(
        lambda x, z: update.add_slice(z, x * 2.0, index=((1, n + 1, 1), (0, 6, 2))), drawn(12, (n, 3), (n + 2, 6))
    ),
    "flip": lambda n: Case(lambda x: indexing.flip(x, 0) + x, drawn(13, (n, 2))),
    "joined": lambda n: Case(lambda x, y: shape.concatenate(x, y * 2.0, x, axis=0), drawn(14, (n,), (3,))),
    "taken": lambda n: Case(
        lambda x, i: e.exp(indexing.take(x, i, axis=0, mode="raise")),
        [*drawn(15, (7, 3)), np.random.default_rng(15).integers(-7, 7, n)],
    ),
    "picked": lambda n: Case(
        lambda x, i: indexing.gather(x, x.graph.constant(np.arange(x.shape[0])), i, axes=(0, 1)),
        [*drawn(16, (max(n, 2), 4)), np.random.default_rng(16).integers(0, 4, max(n, 2))],
    ),
    "scattered": lambda n: Case(
        lambda z, x, i: indexing.add_at(z, x, i, axes=(0,)), [*drawn(17, (5, 3), (n, 3)), np.random.default_rng(17).integers(-5, 5, n)]
    ),
    "set at": lambda n: Case(
        lambda z, x, i: [update.set_at(z, x, i, axes=(0,)), update.set_at(z, i.graph.constant(np.float32(2)), i, i, axes=(0, 1))],
        [*drawn(24, (5, 5), (n, 5)), np.random.default_rng(24).integers(-5, 5, n)],
    ),
    "places": lambda n: Case(
        lambda x: [reduce.argmax(x, axis=1, keepdims=False), reduce.argmin(x, axis=0, keepdims=True)],
        [np.random.default_rng(20).integers(0, 9, (3, max(n, 1))).astype(np.float32)],
    ),
    "norms": lambda n: Case(
        lambda x: [
            *[reduce.norm(x, axis=(1,), keepdims=False, ord=o) for o in (None, 1, 3, np.inf)],
            reduce.any(e.greater(x, 1.0), axis=(0,), keepdims=False),
        ],
        drawn(21, (3, max(n, 1))),
    ),
    "Fortran's order": lambda n: Case(
        lambda x, y: e.exp(x) + y, [np.asfortranarray(a) for a in drawn(22, (n, 3), (n, 3))], strides=[(4, 4 * n), (4, 4 * n)]
    ),
    "backwards in memory": lambda n: Case(lambda x, y: x * 2.0 + y, drawn(23, (n,), (n,)), strides=[(-4,), None], turned=(0,)),
    "cast": lambda n: Case(lambda x: [e.cast(x * 100.0, dtype=np.dtype(np.int16)), e.greater(x, 0.0)], drawn(18, (n,))),
    "mask": lambda n: Case(lambda x, c: e.where(c, x, 0.0), [*drawn(19, (n, 2)), np.arange(2 * n).reshape(n, 2) % 3 == 0]),
}  # fmt: skip
