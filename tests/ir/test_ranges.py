"""The numbers that a value lies between, and the rules that ask for them: on inputs from subnormal to infinite nothing leaves its range,
and no rewrite moves a NaN, an infinity or a zero.
"""
from __future__ import annotations

import numpy as np
import pytest

from ir import Graph, Spec, evaluate
from ir.ops import elementwise as e
from ir.ops import reduce as r
from ir.ops.nn import sigmoid
from ir.passes import optimize
from ir.ranges import range_of


def _row(op, x):
    return op(x, axis=(1,), keepdims=True)


def _softmax(x):
    shifted = e.exp(x - _row(r.max, x))
    return shifted / _row(r.sum, shifted)


VALUES = {
    "square": lambda x: x * x,
    "spread": lambda x: e.sqrt(_row(r.mean, e.square(x)) + 1e-5),
    "exp": e.exp,
    "exp of a bounded one": lambda x: e.exp(e.sin(x) * 3.0),
    "exp of a small one": lambda x: e.exp(e.tanh(x) * 20.0 - 30.0),
    "shifted": lambda x: x - _row(r.max, x),
    "sum of exponentials": lambda x: _row(r.sum, e.exp(x - _row(r.max, x))),
    "sum of squares": lambda x: _row(r.sum, x * x),
    "sigmoid": lambda x: sigmoid(x) * 2.0 + 1.0,
    "product": lambda x: (e.sin(x) + 2.0) * (e.cos(x) - 3.0),
    "the greater": lambda x: e.maximum(x, 0.5),
    "size": lambda x: e.abs(e.tanh(x) - 2.0),
    "huge": lambda x: (e.sin(x) + 2.0) * 3e4 * 3e4,
}
REWRITTEN = {
    "over its spread": lambda x: x / e.sqrt(_row(r.mean, x * x) + 1e-5),
    "softmax": _softmax,
    "scaled around": lambda x: (x * 0.125 * e.sin(x)) * 3.0,
    "scaled and doubled": lambda x: (x * 0.0625) + (x * 0.0625),
    "tanh and 1": lambda x: x * (1.0 + e.tanh(x * 0.75)),
    "the slope of tanh": lambda x: (1.0 + (t := e.tanh(x))) + (1 - t * t),
    "a bounded one scaled": lambda x: e.sin(x) * 3.0 * 0.25,
}


def extremes(dtype: str) -> np.ndarray:
    """Rows of ordinary numbers, of huge, tiny and subnormal ones, of zeros, infinities, NaN."""
    limits = np.finfo(dtype)
    huge, tiny, least = float(limits.max), float(limits.smallest_normal), float(limits.smallest_subnormal)
    rng = np.random.default_rng(3)
    rows = [
        rng.standard_normal(8), rng.standard_normal(8) * 30, [huge, -huge, huge / 2, 1, 0, -0.0, tiny, least],
        [tiny, -tiny, least, -least, 4 * least, 0.0, -0.0, tiny * 2], [np.inf, 1, 2, 3, -1, 0, -0.0, 5], [-np.inf, 1, 2, 3, -1, 0, -0.0, 5],
        [np.nan, 1, 2, 3, -1, 0, -0.0, 5], [-np.inf] * 8, [0.0] * 8, [-0.0] * 8, [huge] * 8, np.linspace(-20, 20, 8), [least] * 8,
    ]
    return np.array(rows).astype(dtype)


def computed(graph: Graph, x: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(evaluate(graph, [x])[0][0])


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("name", VALUES)
def test_values_lie_in_their_range(name: str, dtype: str) -> None:
    with np.errstate(all="ignore"):
        x = extremes(dtype)
    graph = Graph()
    value = VALUES[name](graph.input(Spec(x.shape, dtype)))
    graph.outputs = [value]
    low, high, infinite = range_of(value)
    found = computed(graph, x)
    finite = found[np.isfinite(found)].astype(float)
    assert np.all((low <= finite) & (finite <= high)), (low, high, finite.min(), finite.max())
    assert infinite or not np.isinf(found).any()
    assert low < 0 or not np.isneginf(found).any()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", REWRITTEN)
def test_rewrites_move_roundings_alone(name: str, dtype: str) -> None:
    with np.errstate(all="ignore"):
        x = extremes(dtype)
    graph = Graph()
    graph.outputs = [REWRITTEN[name](graph.input(Spec(x.shape, dtype)))]
    due, before = computed(graph, x), graph.text(lines=False)
    optimize(graph)
    assert graph.text(lines=False) != before
    found, limits = computed(graph, x), np.finfo(dtype)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(due))
    least = 8 * float(limits.eps) if name == "the slope of tanh" else 4 * float(limits.smallest_subnormal)  # 1 - t*t cancels
    np.testing.assert_allclose(found, due, rtol=8 * limits.eps, atol=least)
    normal = np.abs(due) >= limits.smallest_normal
    np.testing.assert_array_equal(np.signbit(found[normal | (due == 0)]), np.signbit(due[normal | (due == 0)]))
