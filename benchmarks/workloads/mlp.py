"""A network 784-256-10 with relu, softmax cross-entropy, batch 128: a training step with SGD; and its five products alone."""
from __future__ import annotations

from typing import Any

import numpy as np

import tracer
from benchmarks import case
from benchmarks.case import Goal, Inputs, Make, Variant, Workload, each, leading, orders, products
from benchmarks.timing import Contestant
from benchmarks.workloads.softmax import exponentials

LR = 0.1


def inputs(batch: int, wide: int, hidden: int, classes: int) -> Inputs:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, wide), np.float32)
    W1 = rng.standard_normal((wide, hidden), np.float32) * np.float32((2 / wide) ** 0.5)
    W2 = rng.standard_normal((hidden, classes), np.float32) * np.float32(hidden**-0.5)
    params = [W1, np.zeros(hidden, np.float32), W2, np.zeros(classes, np.float32)]
    return {"x": x, "labels": rng.integers(0, classes, batch), "params": params}


def loss(np: Any, params: Any, x: Any, labels: Any) -> Any:
    """Written once for every NumPy-like namespace."""
    W1, b1, W2, b2 = params
    z = np.dot(np.maximum(np.dot(x, W1) + b1, 0), W2) + b2
    z = z.reshape((-1, z.shape[-1]))
    shifted = z - np.max(z, axis=-1, keepdims=True)
    logp = shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))
    return -np.mean(logp[np.arange(labels.shape[0]), labels])


def fresh(inputs: Inputs) -> list[np.ndarray]:
    return [p.copy() for p in inputs["params"]]


def by_hand(inputs: Inputs) -> Contestant:
    """NumPy, the formulas line by line."""
    x, labels, (W1, b1, W2, b2) = inputs["x"], inputs["labels"], fresh(inputs)
    x = x.reshape(-1, x.shape[-1])
    n, rows = len(labels), np.arange(len(labels))

    def call() -> Any:
        nonlocal W1, b1, W2, b2
        h = np.maximum(x @ W1 + b1, 0)
        z = h @ W2 + b2
        shifted = z - z.max(-1, keepdims=True)
        e = np.exp(shifted)
        total = e.sum(-1, keepdims=True)
        value = (np.log(total)[:, 0] - shifted[rows, labels]).mean()
        g = e / total
        g[rows, labels] -= 1
        g /= n
        gh = g @ W2.T * (h > 0)
        W2 -= LR * (h.T @ g)
        b2 -= LR * g.sum(0)
        W1 -= LR * (x.T @ gh)
        b1 -= LR * gh.sum(0)
        return value, W1, b1, W2, b2

    return each(call)


def by_out(inputs: Inputs) -> Contestant:
    """NumPy into buffers kept from call to call."""
    x, labels, (W1, b1, W2, b2) = inputs["x"], inputs["labels"], fresh(inputs)
    n, rows = len(labels), np.arange(len(labels))
    h, gh = np.empty((2, n, len(b1)), np.float32)
    on, z, row = np.empty(h.shape, bool), np.empty((n, len(b2)), np.float32), np.empty((n, 1), np.float32)
    dW1, db1, dW2, db2 = [np.empty_like(p) for p in (W1, b1, W2, b2)]

    def call() -> Any:
        np.dot(x, W1, out=h)
        np.add(h, b1, out=h)
        np.maximum(h, 0, out=h)
        np.dot(h, W2, out=z)
        np.add(z, b2, out=z)
        value = exponentials(z, rows, labels, z, row)
        np.divide(z, row, out=z)
        z[rows, labels] -= 1
        np.multiply(z, LR / n, out=z)
        np.dot(z, W2.T, out=gh)
        np.greater(h, 0, out=on)
        np.multiply(gh, on, out=gh)
        np.dot(h.T, z, out=dW2)
        np.dot(x.T, gh, out=dW1)
        np.sum(z, 0, out=db2)
        np.sum(gh, 0, out=db1)
        for p, d in ((W1, dW1), (b1, db1), (W2, dW2), (b2, db2)):
            np.subtract(p, d, out=p)
        return value, W1, b1, W2, b2

    return each(call)


def by_gemms(inputs: Inputs) -> Contestant:
    """The five products alone, into buffers kept from call to call."""
    x, (W1, _, W2, _) = inputs["x"], inputs["params"]
    h, z = np.dot(x, W1), np.dot(np.dot(x, W1), W2)
    gh, dW1, dW2 = np.empty_like(h), np.empty_like(W1), np.empty_like(W2)
    return products((x, W1, h), (h, W2, z), (h.T, z, dW2), (z, W2.T, gh), (x.T, gh, dW1))


def by_us(inputs: Inputs) -> Contestant:
    step = tracer.train_step(lambda *of: loss(np, *of), tracer.optimizers.SGD(lr=LR), inputs["params"])
    batch = inputs["x"], inputs["labels"]
    return each(lambda: step(*batch), values=lambda value: [value, *step.params], plan=lambda: step.plan(*batch))


def by_autograd(inputs: Inputs) -> Contestant:
    import autograd
    import autograd.numpy as anp

    x, labels, params = inputs["x"], inputs["labels"], fresh(inputs)
    both = autograd.value_and_grad(lambda params: loss(anp, params, x, labels))

    def call() -> Any:
        value, grads = both(params)
        for p, g in zip(params, grads):
            p -= LR * g
        return value, *params

    return each(call)


def by_jax(inputs: Inputs) -> Contestant:
    import jax
    import jax.numpy as jnp

    def step(params: Any, x: Any, labels: Any) -> Any:
        value, grads = jax.value_and_grad(lambda params: loss(jnp, params, x, labels))(params)
        return value, [p - LR * g for p, g in zip(params, grads)]

    fast = jax.jit(step, donate_argnums=0)
    params, x, labels = [jnp.array(p) for p in inputs["params"]], jnp.asarray(inputs["x"]), jnp.asarray(inputs["labels"])

    def call() -> Any:
        nonlocal params
        value, params = jax.block_until_ready(fast(params, x, labels))
        return value, *params

    return each(call)


def by_torch(compiled: bool) -> Make:
    def make(inputs: Inputs) -> Contestant:
        import torch
        from torch.nn import functional

        params = [torch.from_numpy(p).requires_grad_() for p in fresh(inputs)]
        x, labels = torch.from_numpy(inputs["x"]), torch.from_numpy(inputs["labels"])

        def total(x: Any, labels: Any, W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
            return functional.cross_entropy(torch.addmm(b2, torch.relu(torch.addmm(b1, x, W1)), W2), labels)

        forward = torch.compile(total) if compiled else total

        def call() -> Any:
            value = forward(x, labels, *params)
            grads = torch.autograd.grad(value, params)
            with torch.no_grad():
                for p, g in zip(params, grads):
                    p.sub_(g, alpha=LR)
            return value, params

        return each(call, values=lambda found: [each.detach() for each in (found[0], *found[1])])

    return make


def by_pytensor(inputs: Inputs) -> Contestant:
    import pytensor
    import pytensor.tensor as pt

    with pytensor.config.change_flags(floatX="float32"):
        params = [pytensor.shared(p) for p in fresh(inputs)]
        value = loss(pt, params, pytensor.shared(inputs["x"]), pytensor.shared(inputs["labels"]))
        updates = [(p, p - np.float32(LR) * g) for p, g in zip(params, pytensor.grad(value, params))]
        step = pytensor.function([], value, updates=updates)
    return each(step, values=lambda value: [value, *[p.get_value() for p in params]])


GEMMS = "its five products"
WORKLOAD = Workload(
    name="mlp", title="MLP 784-256-10, batch 128, with its SGD update", inputs=inputs, calls=3, tolerance=5e-4,
    sizes={"batch": 128, "wide": 784, "hidden": 256, "classes": 10}, tiny={"batch": 6, "wide": 9, "hidden": 7, "classes": 3},
    work=lambda batch, wide, hidden, classes: batch * hidden * (2 * wide + 3 * classes), references=(GEMMS,),
    contestants={
        case.HAND: by_hand, case.OURS: by_us, case.OUT: by_out, case.AUTOGRAD: by_autograd, case.JAX: by_jax,
        case.TORCH: by_torch(False), case.COMPILED: by_torch(True), case.PYTENSOR: by_pytensor, GEMMS: by_gemms,
    },
    goals=(Goal(1.15, (GEMMS,)), Goal(1.0, (case.TORCH, case.COMPILED))),
    variants=(
        Variant("batch 131", {"batch": 131}), Variant("785-257-11", {"wide": 785, "hidden": 257, "classes": 11}),
        *orders("x", one=leading),
    ),
)
