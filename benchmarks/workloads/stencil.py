"""2-d heat equation, 20 explicit steps unrolled, edges held: half the squared distance to a target, and its adjoint."""
from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import case, gradients
from benchmarks.case import Goal, Inputs, Variant, Workload, each, leading, orders
from benchmarks.timing import Contestant

STEPS, RATE = 20, 0.2
IN = (..., slice(1, -1), slice(1, -1))
AROUND = [(..., *side) for inner in [slice(1, -1)] for end in (slice(None, -2), slice(2, None)) for side in ((end, inner), (inner, end))]


def inputs(rows: int, columns: int) -> Inputs:
    rng = np.random.default_rng(0)
    u, target = rng.standard_normal((2, rows, columns), np.float32)
    return {"u": u, "target": target}


def change(u: Any) -> Any:
    """What a step adds to the inner points."""
    up, left, down, right = AROUND
    return RATE * (u[up] + u[down] + u[left] + u[right] - 4 * u[IN])


def loss(np: Any, u: Any, target: Any) -> Any:
    """As one writes it in NumPy."""
    for _ in range(STEPS):
        new = u.copy()
        new[IN] += change(u)
        u = new
    d = u - target
    return 0.5 * np.sum(d * d)


def by_hand(inputs: Inputs) -> Contestant:
    """NumPy; the problem is linear, so the adjoint needs no state kept."""
    start, target = inputs.values()

    def call() -> Any:
        u = start
        for _ in range(STEPS):
            new = u.copy()
            new[IN] += change(u)
            u = new
        g = u - target
        value = 0.5 * (g * g).sum()
        for _ in range(STEPS):
            inner = RATE * g[IN]
            g = g.copy()
            g[IN] -= 4 * inner
            for side in AROUND:
                g[side] += inner
        return value, g

    return each(call)


def by_out(inputs: Inputs) -> Contestant:
    """NumPy into buffers kept from call to call; sums in dense scratch, one write into the strided inside."""
    start, target = inputs.values()
    u, g = np.empty_like(start), np.empty_like(start)
    s, four = np.empty((2, len(start) - 2, start.shape[1] - 2), start.dtype)
    up, left, down, right = AROUND

    def call() -> Any:
        np.copyto(u, start)
        for _ in range(STEPS):
            np.add(u[up], u[down], out=s)
            np.add(s, u[left], out=s)
            np.add(s, u[right], out=s)
            np.multiply(u[IN], 4, out=four)
            np.subtract(s, four, out=s)
            np.multiply(s, RATE, out=s)
            np.add(u[IN], s, out=u[IN])
        np.subtract(u, target, out=g)
        value = 0.5 * np.dot(g.reshape(-1), g.reshape(-1))
        for _ in range(STEPS):
            np.multiply(g[IN], RATE, out=s)
            np.multiply(s, 4, out=four)
            np.subtract(g[IN], four, out=g[IN])
            for side in AROUND:
                np.add(g[side], s, out=g[side])
        return value, g

    return each(call)


def by_autograd(np: Any, u: Any, target: Any) -> Any:
    """Without writes, which it has none of; its `pad` takes no single number."""
    for _ in range(STEPS):
        u = u + np.pad(change(u), ((1, 1), (1, 1)), "constant")
    d = u - target
    return 0.5 * np.sum(d * d)


def by_jax(np: Any, u: Any, target: Any) -> Any:
    for _ in range(STEPS):
        u = u.at[IN].add(change(u))
    d = u - target
    return 0.5 * np.sum(d * d)


def by_torch(u: Any, target: Any) -> Any:
    import torch

    for _ in range(STEPS):
        u = u + torch.nn.functional.pad(change(u), (1, 1, 1, 1))
    d = u - target
    return 0.5 * torch.sum(d * d)


def by_pytensor(np: Any, u: Any, target: Any) -> Any:
    for _ in range(STEPS):
        u = u[IN].inc(change(u))
    d = u - target
    return 0.5 * np.sum(d * d)


def by_numba(inputs: Inputs) -> Contestant:
    """Loops over rows; the adjoint gathers from inner points, as the forward pass does."""
    import numba

    rate, zero = np.float32(RATE), np.float32(0)

    @numba.njit(parallel=True, fastmath=True)
    def step(u, new):
        rows, columns = u.shape
        for i in numba.prange(rows):
            new[i, 0], new[i, columns - 1] = u[i, 0], u[i, columns - 1]
            if i == 0 or i == rows - 1:
                for j in range(columns):
                    new[i, j] = u[i, j]
            else:
                for j in range(1, columns - 1):
                    new[i, j] = u[i, j] + rate * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1] - np.float32(4) * u[i, j])

    @numba.njit(parallel=True, fastmath=True)
    def back(g, new):
        rows, columns = g.shape
        for i in numba.prange(rows):
            if 2 <= i < rows - 2:
                for j in range(2, columns - 2):
                    new[i, j] = g[i, j] + rate * (g[i - 1, j] + g[i + 1, j] + g[i, j - 1] + g[i, j + 1] - np.float32(4) * g[i, j])
            for j in range(columns):
                if 2 <= i < rows - 2 and 2 <= j < columns - 2:
                    continue
                s = zero
                if 0 < j < columns - 1:
                    s += g[i - 1, j] if i > 1 else zero
                    s += g[i + 1, j] if i < rows - 2 else zero
                if 0 < i < rows - 1:
                    s += g[i, j - 1] if j > 1 else zero
                    s += g[i, j + 1] if j < columns - 2 else zero
                    s -= np.float32(4) * g[i, j] if 0 < j < columns - 1 else zero
                new[i, j] = g[i, j] + rate * s

    start, target = inputs.values()
    buffers = np.empty_like(start), np.empty_like(start)

    def call() -> Any:
        u = start
        for k in range(STEPS):
            step(u, buffers[k % 2])
            u = buffers[k % 2]
        g = np.subtract(u, target, out=u)
        value = 0.5 * np.dot(g.reshape(-1), g.reshape(-1))
        for k in range(STEPS):
            back(g, buffers[(STEPS + k) % 2])
            g = buffers[(STEPS + k) % 2]
        return value, g

    return each(call)


WORKLOAD = Workload(
    name="stencil", title="2-d heat stencil, 1000x1000, 20 steps and the adjoint", inputs=inputs, sizes={"rows": 1000, "columns": 1000},
    tiny={"rows": 9, "columns": 11}, work=lambda rows, columns: rows * columns,
    contestants={
        case.HAND: by_hand, case.OUT: by_out, case.NUMBA: by_numba, case.OURS: gradients.ours(loss, 1),
        case.AUTOGRAD: gradients.by_autograd(by_autograd, 1), case.JAX: gradients.by_jax(by_jax, 1),
        case.TORCH: gradients.by_torch(by_torch, 1, False),
        case.COMPILED: gradients.by_torch(by_torch, 1, True), case.PYTENSOR: gradients.by_pytensor(by_pytensor, 1),
    },
    goals=(Goal(0.7, (case.HAND,)),), variants=(Variant("997x1013", {"rows": 997, "columns": 1013}), *orders("u", "target", one=leading)),
)
