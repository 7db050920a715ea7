"""Masks never take away what is there: on drawn graphs of finite values the gradient with masks is, element by element, the one without.

Where every slope is finite a strong zero is an ordinary zero already, so a mask that changed anything would be a wrong one. The second
derivative is compared as well, and every mask that could be built is built and compared with the cotangents that it speaks of.
"""
from __future__ import annotations

import numpy as np
import pytest

from ir import Graph, Spec, evaluate, support
from ir import gradient as reverse
from ir.gradient import append_gradient
from ir.ops import cumulated, index, matmul, nn, update
from ir.ops import elementwise as e
from ir.ops import reduce as r
from ir.ops import shape as s


def draw(rng, graph, steps):
    """A graph of `steps` operations over two inputs, with choices of every kind, each value finite and of moderate size."""
    pool = [graph.input(Spec((int(rng.choice([3, 4])), 4))), graph.input(Spec((4,)))]  # squares: a turned mask fits as well
    for _ in range(steps):
        x = pool[rng.integers(len(pool))] if rng.random() < 0.4 else pool[-1]
        found = [step(rng, graph, x, pool) for step in [STEPS[rng.integers(len(STEPS))]]][0]
        if found is not None and found.spec.size and found.ndim <= 3 and found.dtype == np.float64:
            pool.append(found)
    return r.sum(e.tanh(pool[-1]), axis=tuple(range(pool[-1].ndim)), keepdims=False)


def mate(rng, x, pool):
    """A value that broadcasts with x, or x itself."""
    fitting = [p for p in pool if _fits(p.shape, x.shape)]
    return fitting[rng.integers(len(fitting))] if fitting else x


def _fits(a, b):
    return all(m == n or m == 1 or n == 1 for m, n in zip(a[::-1], b[::-1]))


def mask(rng, graph, x):
    shape = tuple([n if rng.random() < 0.6 else 1 for n in x.shape])
    if rng.random() < 0.5:
        return graph.constant(rng.random(shape) < 0.6)
    return x > float(rng.normal())


def axis(rng, x):
    return int(rng.integers(x.ndim)) if x.ndim else None


def cut(rng, x):
    found = []
    for n in x.shape:
        start, step = int(rng.integers(n)), int(rng.choice([1, 2, -1]))
        found.append(index.triple(slice(start, None, step), n))
    return tuple(found)


def numbers(rng, graph, x, k):
    return graph.constant(rng.integers(x.shape[k], size=int(rng.integers(1, 4))))


def on_axis(build):
    return lambda rng, graph, x, pool: build(rng, graph, x, axis(rng, x)) if x.ndim else None


STEPS = [
    lambda rng, graph, x, pool: e.where(mask(rng, graph, x), x, mate(rng, x, pool)),
    lambda rng, graph, x, pool: e.where(mask(rng, graph, x), 0.3, x),
    lambda rng, graph, x, pool: e.maximum(x, mate(rng, x, pool)),
    lambda rng, graph, x, pool: e.clip(x, -0.4, 0.6),
    lambda rng, graph, x, pool: nn.relu(x),
    lambda rng, graph, x, pool: e.multiply(x, mask(rng, graph, x)),
    lambda rng, graph, x, pool: e.multiply(x, mate(rng, x, pool)),
    lambda rng, graph, x, pool: e.add(x, mate(rng, x, pool)),
    lambda rng, graph, x, pool: e.sin(x),
    lambda rng, graph, x, pool: e.divide(x, 2 + e.square(mate(rng, x, pool))),
    lambda rng, graph, x, pool: e.log(1.5 + e.square(x)),
    lambda rng, graph, x, pool: e.negative(x),
    lambda rng, graph, x, pool: index.slice(x, index=cut(rng, x)),
    lambda rng, graph, x, pool: s.reshape(x, shape=(x.spec.size,)),
    lambda rng, graph, x, pool: s.transpose(x, axes=tuple([int(k) for k in rng.permutation(x.ndim)])),
    lambda rng, graph, x, pool: s.broadcast_to(x, shape=(2, *x.shape)),
    lambda rng, graph, x, pool: matmul.dot(x, e.sin(x)) if x.ndim == 1 else matmul.dot(e.sin(x), s.swap_last(x)) if x.ndim == 2 else None,
    lambda rng, graph, x, pool: matmul.matmul(x, s.swap_last(x)) if x.ndim == 3 else None,
    lambda rng, graph, x, pool: update.set_slice(x, 0.5, index=cut(rng, x)),
    lambda rng, graph, x, pool: update.add_slice(x, 0.5, index=cut(rng, x)),
    on_axis(lambda rng, graph, x, k: r.sum(x, axis=(k,), keepdims=bool(rng.random() < 0.5))),
    on_axis(lambda rng, graph, x, k: r.mean(x, axis=(k,), keepdims=True)),
    on_axis(lambda rng, graph, x, k: r.max(x, axis=(k,), keepdims=bool(rng.random() < 0.5))),
    on_axis(lambda rng, graph, x, k: r.norm(x + 2.0, axis=(k,), keepdims=False, ord=None)),
    on_axis(lambda rng, graph, x, k: r.std(x * r.mean(x, axis=(k,), keepdims=True) + np.arange(1.0, 1.0 + x.shape[-1]), axis=(k,),
                                           keepdims=True, ddof=0) if x.shape[k] > 1 and k == x.ndim - 1 else None),
    on_axis(lambda rng, graph, x, k: cumulated.cumsum(x, axis=k)),
    on_axis(lambda rng, graph, x, k: cumulated.cumprod(x, axis=k)),
    on_axis(lambda rng, graph, x, k: index.sort(x, axis=k, kind=None)),
    on_axis(lambda rng, graph, x, k: index.flip(x, k)),
    on_axis(lambda rng, graph, x, k: index.take(x, numbers(rng, graph, x, k), axis=k, mode="raise")),
    on_axis(lambda rng, graph, x, k: index.gather(x, numbers(rng, graph, x, k), axes=(k,))),
    on_axis(lambda rng, graph, x, k: index.take_along_axis(x, index.argsort(x, axis=k, kind=None), axis=k)),
    on_axis(lambda rng, graph, x, k: s.concatenate(x, e.sin(x), axis=k) if x.spec.size < 60 else None),
    on_axis(lambda rng, graph, x, k: update.set_at(x, 0.5, numbers(rng, graph, x, k), axes=(k,))),
    on_axis(lambda rng, graph, x, k: index.add_at(x, 0.5, numbers(rng, graph, x, k), axes=(k,))),
]


def gradients(seed, order):
    """The gradient of a drawn graph, and for order 2 that of a sum over it."""
    rng = np.random.default_rng(seed)
    graph = Graph()
    y = draw(rng, graph, int(rng.integers(3, 14)))
    inputs = list(graph.inputs)
    found = append_gradient(graph, [y], [graph.constant(np.ones(()))], inputs)
    if order == 2:
        turned = [r.sum(g * e.sin(g.graph.constant(np.arange(1.0, 1 + g.spec.size).reshape(g.shape))), axis=tuple(range(g.ndim)),
                        keepdims=False) for g in found]
        found = append_gradient(graph, turned, [graph.constant(np.ones(())) for _ in turned], inputs)
    graph.outputs = found
    values = [rng.uniform(-1, 1, v.shape) for v in inputs]
    with np.errstate(all="ignore"):
        return evaluate(graph, values)[0]


@pytest.mark.parametrize(("order", "folded"), [(1, 4096), (2, 4096), (1, 1)])
def test_masks_change_nothing_where_all_is_finite(order, folded, monkeypatch):
    built = []
    monkeypatch.setattr(support, "_FOLDED", folded)  # as if the arrays were large
    masked = reverse.Supports.masked
    for seed in range(60 if order == 1 else 25):
        with monkeypatch.context() as patch:
            patch.setattr(reverse.Supports, "masked", lambda self, g, support: built.append(1) or masked(self, g, support))
            # every support counts as met by a factor that may be infinite, so that every mask is built
            patch.setattr(reverse, "is_calm", lambda value, g: False)
            patch.setattr(reverse, "_mixes", lambda node, support: True)
            with_masks = gradients(seed, order)
        with monkeypatch.context() as patch:
            patch.setattr(reverse.Supports, "masked", lambda self, g, support: g)
            without = gradients(seed, order)
        for a, b in zip(with_masks, without, strict=True):
            assert np.all(np.isfinite(b)), seed
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13, err_msg=f"seed {seed}")
    assert len(built) > 50
