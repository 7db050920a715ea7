"""Softmax cross-entropy: the mean loss and the gradient of the logits."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks import case, gradients
from benchmarks.case import Goal, Inputs, Variant, Workload, each, orders
from benchmarks.timing import Contestant


def inputs(rows: int, classes: int) -> Inputs:
    rng = np.random.default_rng(0)
    return {"logits": rng.standard_normal((rows, classes), np.float32) * 3, "labels": rng.integers(0, classes, rows)}


def loss(np: Any, logits: Any, labels: Any) -> Any:
    """Written once for every NumPy-like namespace."""
    shifted = logits - np.max(logits, axis=-1, keepdims=True)
    logp = shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))
    return -np.mean(logp.reshape((labels.shape[0], -1))[np.arange(labels.shape[0]), labels])


def by_hand(inputs: Inputs) -> Contestant:
    """NumPy, the formulas line by line."""
    logits, labels = inputs.values()
    n = len(labels)
    rows = np.arange(n)

    def call() -> Any:
        shifted = logits - logits.max(-1, keepdims=True)
        e = np.exp(shifted)
        total = e.sum(-1, keepdims=True)
        loss = (np.log(total).reshape(n) - shifted.reshape(n, -1)[rows, labels]).mean()
        g = e / total
        g.reshape(n, -1)[rows, labels] -= 1
        g /= n
        return loss, g

    return each(call)


def exponentials(logits: np.ndarray, rows: np.ndarray, labels: np.ndarray, into: np.ndarray, total: np.ndarray) -> Any:
    """The mean loss; `into` gets exp(logits - their maximum), `total` its sums over the rows."""
    np.max(logits, -1, keepdims=True, out=total)
    np.subtract(logits, total, out=into)
    picked = into[rows, labels]
    np.exp(into, out=into)
    np.sum(into, -1, keepdims=True, out=total)
    return (np.log(total)[:, 0] - picked).mean()


def by_out(inputs: Inputs) -> Contestant:
    """NumPy into one buffer kept from call to call."""
    logits, labels = inputs.values()
    n, rows, g = len(labels), np.arange(len(labels)), np.empty_like(logits)
    total = np.empty((n, 1), np.float32)

    def call() -> Any:
        loss = exponentials(logits, rows, labels, g, total)
        np.multiply(total, n, out=total)
        np.divide(g, total, out=g)
        g[rows, labels] -= np.float32(1 / n)
        return loss, g

    return each(call)


def by_torch(logits: Any, labels: Any) -> Any:
    from torch.nn import functional

    return functional.cross_entropy(logits, labels)


def by_numba(inputs: Inputs) -> Contestant:
    """Loops over rows."""
    import numba

    exp, log = math.exp, math.log

    @numba.njit(parallel=True, fastmath=True)
    def both(logits, labels, g, losses):
        rows, classes = logits.shape
        for i in numba.prange(rows):
            most = logits[i, 0]
            for j in range(classes):
                most = max(most, logits[i, j])
            total = np.float32(0)
            for j in range(classes):
                e = np.float32(exp(logits[i, j] - most))
                g[i, j] = e
                total += e
            losses[i] = np.float32(log(total)) - (logits[i, labels[i]] - most)
            scale = np.float32(1) / (total * np.float32(rows))
            for j in range(classes):
                g[i, j] *= scale
            g[i, labels[i]] -= np.float32(1) / np.float32(rows)
        return losses.mean()

    logits, labels = inputs.values()
    g, losses = np.empty_like(logits), np.empty(len(labels), np.float32)
    return each(lambda: (np.float32(both(logits, labels, g, losses)), g))


WORKLOAD = Workload(
    name="softmax", title="softmax cross-entropy, 1024x8192", inputs=inputs, sizes={"rows": 1024, "classes": 8192},
    tiny={"rows": 7, "classes": 12}, work=lambda rows, classes: rows * classes,
    contestants={
        case.HAND: by_hand, case.OUT: by_out, case.NUMBA: by_numba, **gradients.contestants(loss, by_torch, 1),
    },
    goals=(Goal(0.5),), variants=(Variant("1031x8191", {"rows": 1031, "classes": 8191}), *orders("logits")),
)
