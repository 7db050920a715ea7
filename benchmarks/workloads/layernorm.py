"""Layer norm, GELU (tanh form) and mean squared error: the loss and the gradients of input, gain and shift."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks import case, gradients
from benchmarks.case import Goal, Inputs, Variant, Workload, each, orders
from benchmarks.timing import Contestant

EPS, C, K = 1e-5, math.sqrt(2 / math.pi), 0.044715


def inputs(rows: int, columns: int) -> Inputs:
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((2, rows, columns), np.float32)
    gamma, beta = rng.standard_normal((2, columns), np.float32) * np.float32(0.1) + np.float32([[1], [0]])
    return {"x": x, "gamma": gamma, "beta": beta, "t": t}


def loss(np: Any, x: Any, gamma: Any, beta: Any, t: Any) -> Any:
    """Written once for every NumPy-like namespace."""
    centred = x - np.mean(x, axis=-1, keepdims=True)
    normal = centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + EPS)
    h = normal * gamma + beta
    a = 0.5 * h * (1 + np.tanh(C * (h + K * (h * h * h))))
    return np.mean((a - t) * (a - t))


def by_hand(inputs: Inputs) -> Contestant:
    """NumPy, the formulas line by line."""
    x, gamma, beta, t = inputs.values()
    rows = tuple(range(x.ndim - 1))

    def call() -> Any:
        centred = x - x.mean(-1, keepdims=True)
        scale = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + EPS)
        normal = centred * scale
        h = normal * gamma + beta
        squared = h * h
        th = np.tanh(C * (h + K * (squared * h)))
        d = 0.5 * h * (1 + th) - t
        gh = d * (2 / d.size) * (0.5 * (1 + th) + 0.5 * h * (1 - th * th) * (C * (1 + 3 * K * squared)))
        gn = gh * gamma
        gx = (gn - gn.mean(-1, keepdims=True) - normal * (gn * normal).mean(-1, keepdims=True)) * scale
        return (d * d).mean(), gx, (gh * normal).sum(rows), gh.sum(rows)

    return each(call)


def by_out(inputs: Inputs) -> Contestant:
    """NumPy into buffers kept from call to call, products of a few numbers drawn together."""
    x, gamma, beta, t = inputs.values()
    normal, h, th, d, s = [np.empty_like(x) for _ in range(5)]
    mean, scale = np.empty((2, len(x), 1), x.dtype)
    ggamma, gbeta = np.empty_like(gamma), np.empty_like(beta)

    def call() -> Any:
        np.mean(x, -1, keepdims=True, out=mean)
        np.subtract(x, mean, out=normal)
        np.multiply(normal, normal, out=s)
        np.mean(s, -1, keepdims=True, out=scale)
        np.add(scale, EPS, out=scale)
        np.sqrt(scale, out=scale)
        np.divide(1, scale, out=scale)
        np.multiply(normal, scale, out=normal)
        np.multiply(normal, gamma, out=h)
        np.add(h, beta, out=h)
        np.multiply(h, h, out=s)
        np.multiply(s, C * K, out=th)
        np.add(th, C, out=th)
        np.multiply(th, h, out=th)
        np.tanh(th, out=th)
        np.multiply(s, 3 * C * K, out=s)
        np.add(s, C, out=s)
        np.multiply(s, h, out=s)  # h u'
        np.add(th, 1, out=d)
        np.multiply(d, h, out=h)
        np.multiply(h, 0.5, out=h)
        np.subtract(h, t, out=h)  # the difference
        loss = np.dot(h.reshape(-1), h.reshape(-1)) / h.size
        np.multiply(th, th, out=th)
        np.subtract(1, th, out=th)
        np.multiply(th, s, out=th)
        np.add(th, d, out=d)
        np.multiply(d, h, out=d)
        np.multiply(d, 1 / h.size, out=d)  # gh
        np.multiply(d, normal, out=s)
        np.sum(s, 0, out=ggamma)
        np.sum(d, 0, out=gbeta)
        np.multiply(d, gamma, out=d)
        np.mean(d, -1, keepdims=True, out=mean)
        np.multiply(d, normal, out=s)
        np.subtract(d, mean, out=d)
        np.mean(s, -1, keepdims=True, out=mean)
        np.multiply(normal, mean, out=s)
        np.subtract(d, s, out=d)
        np.multiply(d, scale, out=d)
        return loss, d, ggamma, gbeta

    return each(call)


def by_torch(x: Any, gamma: Any, beta: Any, t: Any) -> Any:
    from torch.nn import functional

    h = functional.layer_norm(x, gamma.shape, gamma, beta, EPS)
    return functional.mse_loss(functional.gelu(h, approximate="tanh"), t)


def by_numba(inputs: Inputs) -> Contestant:
    """Loops over rows, the sums of the parameters kept for each of a few blocks of rows."""
    import numba

    tanh, sqrt, one = math.tanh, math.sqrt, np.float32(1)
    c, k, half, eps = np.float32(C), np.float32(K), np.float32(0.5), np.float32(EPS)

    @numba.njit(parallel=True, fastmath=True)
    def both(x, gamma, beta, t, gx, parts, losses):
        rows, columns = x.shape
        blocks = len(losses)
        for block in numba.prange(blocks):
            losses[block] = 0
            for j in range(columns):
                parts[block, 0, j] = 0
                parts[block, 1, j] = 0
            for i in range(block * rows // blocks, (block + 1) * rows // blocks):
                mean = np.float32(0)
                for j in range(columns):
                    mean += x[i, j]
                mean /= columns
                var = np.float32(0)
                for j in range(columns):
                    var += (x[i, j] - mean) * (x[i, j] - mean)
                scale = one / np.float32(sqrt(var / np.float32(columns) + eps))
                first, second, own = np.float32(0), np.float32(0), np.float32(0)
                for j in range(columns):
                    normal = (x[i, j] - mean) * scale
                    h = normal * gamma[j] + beta[j]
                    th = np.float32(tanh(c * h * (one + k * h * h)))
                    d = half * h * (one + th) - t[i, j]
                    own += d * d
                    gh = d * (half * (one + th) + half * h * (one - th * th) * c * (one + np.float32(3) * k * h * h))
                    gh *= np.float32(2) / np.float32(x.size)
                    parts[block, 0, j] += gh * normal
                    parts[block, 1, j] += gh
                    gn = gh * gamma[j]
                    gx[i, j] = gn
                    first += gn
                    second += gn * normal
                losses[block] += own
                first /= columns
                second /= columns
                for j in range(columns):
                    gx[i, j] = (gx[i, j] - first - (x[i, j] - mean) * scale * second) * scale

    x, gamma, beta, t = inputs.values()
    gx, parts, losses = np.empty_like(x), np.empty((8, 2, len(gamma)), np.float32), np.empty(8, np.float32)

    def call() -> Any:
        both(x, gamma, beta, t, gx, parts, losses)
        return losses.sum() / np.float32(x.size), gx, *parts.sum(0)

    return each(call)


WORKLOAD = Workload(
    name="layernorm", title="layer norm, GELU, squared error, 4096x1024", inputs=inputs, sizes={"rows": 4096, "columns": 1024},
    tiny={"rows": 9, "columns": 16}, work=lambda rows, columns: rows * columns,
    contestants={
        case.HAND: by_hand, case.OUT: by_out, case.NUMBA: by_numba, **gradients.contestants(loss, by_torch, 3),
    },
    goals=(Goal(0.65),), variants=(Variant("4099x1021", {"rows": 4099, "columns": 1021}), *orders("x", "t")),
)
