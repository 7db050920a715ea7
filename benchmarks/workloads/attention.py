"""An attention block: one product for queries, keys and values, heads of 32, softmax, output product, mean squared error; all gradients."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks import case, gradients
from benchmarks.case import Goal, Inputs, Variant, Workload, each, orders, products
from benchmarks.timing import Contestant

HEAD = 32
SCALE = 1 / math.sqrt(HEAD)


def inputs(batch: int, length: int, width: int) -> Inputs:
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((2, batch, length, width), np.float32)
    ins = rng.standard_normal((width, 3 * width), np.float32) * np.float32(1.5 / math.sqrt(width))
    out = rng.standard_normal((width, width), np.float32) * np.float32(1 / math.sqrt(width))
    return {"x": x, "ins": ins, "out": out, "t": t}


def work(batch: int, length: int, width: int) -> float:
    """Multiplications of the products."""
    return batch * length * width * (4 * width + 2 * length)


def loss(np: Any, x: Any, ins: Any, out: Any, t: Any) -> Any:
    """Written once for every NumPy-like namespace."""
    *lead, length, width = x.shape
    parts = np.matmul(x, ins).reshape((*lead, length, 3, width // HEAD, HEAD))
    q, k, v = [np.swapaxes(parts[..., j, :, :], -2, -3) for j in range(3)]
    scores = np.matmul(q, np.swapaxes(k, -1, -2)) * SCALE
    e = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    a = e / np.sum(e, axis=-1, keepdims=True)
    heads = np.swapaxes(np.matmul(a, v), -2, -3).reshape((*lead, length, width))
    d = np.matmul(heads, out) - t
    return np.mean(d * d)


def by_hand(inputs: Inputs) -> Contestant:
    """NumPy, the formulas line by line."""
    x, ins, out, t = inputs.values()
    *lead, length, width = x.shape
    split = (*lead, length, 3, width // HEAD, HEAD)

    def flat(a: Any) -> Any:
        return a.reshape(-1, a.shape[-1])

    def call() -> Any:
        parts = (flat(x) @ ins).reshape(split)
        q, k, v = [parts[..., j, :, :].swapaxes(-2, -3) for j in range(3)]
        scores = q @ k.swapaxes(-1, -2) * SCALE
        e = np.exp(scores - scores.max(-1, keepdims=True))
        a = e / e.sum(-1, keepdims=True)
        heads = flat((a @ v).swapaxes(-2, -3).reshape(x.shape))
        d = heads @ out - flat(t)
        g = d * (2 / d.size)
        gheads = (g @ out.T).reshape(*lead, length, width // HEAD, HEAD).swapaxes(-2, -3)
        ga = gheads @ v.swapaxes(-1, -2)
        gs = (ga - (ga * a).sum(-1, keepdims=True)) * a * SCALE
        gparts = np.stack([each.swapaxes(-2, -3) for each in (gs @ k, gs.swapaxes(-1, -2) @ q, a.swapaxes(-1, -2) @ gheads)], axis=-3)
        gflat = gparts.reshape(-1, 3 * width)
        return (d * d).mean(), (gflat @ ins.T).reshape(x.shape), flat(x).T @ gflat, heads.T @ g

    return each(call)


def by_torch(x: Any, ins: Any, out: Any, t: Any) -> Any:
    from torch.nn import functional

    batch, length, width = x.shape
    q, k, v = (x @ ins).view(batch, length, 3, width // HEAD, HEAD).permute(2, 0, 3, 1, 4)
    heads = functional.scaled_dot_product_attention(q, k, v)
    return functional.mse_loss(heads.transpose(1, 2).reshape(batch, length, width) @ out, t)


def by_gemms(inputs: Inputs) -> Contestant:
    """The dense products of forward and backward alone, into buffers kept from call to call."""
    x, ins, out, _ = inputs.values()
    x = x.reshape(-1, x.shape[-1])
    parts, heads, gx = x @ ins, np.ones_like(x), np.empty_like(x)
    gins, gout = np.empty_like(ins), np.empty_like(out)
    forward = (x, ins, parts), (heads, out, gx)
    return products(*forward, (heads.T, gx, gout), (gx, out.T, heads), (x.T, parts, gins), (parts, ins.T, gx))


GEMMS = "its six dense products"
WORKLOAD = Workload(
    name="attention", title="attention block 8x128x128, 4 heads, output product", inputs=inputs,
    sizes={"batch": 8, "length": 128, "width": 128}, tiny={"batch": 2, "length": 5, "width": 64}, work=work, references=(GEMMS,),
    contestants={case.HAND: by_hand, **gradients.contestants(loss, by_torch, 3), GEMMS: by_gemms},
    goals=(Goal(1.0),),
    variants=(
        Variant("7x127x128", {"batch": 7, "length": 127}), Variant("8 heads, width 256", {"width": 256}),
        Variant("7 heads, width 224", {"width": 224}, of="8 heads, width 256"), *orders("x", "t"),
    ),
)
