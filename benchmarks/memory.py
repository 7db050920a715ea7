"""The memory of one training step, ours against the others: `python -m benchmarks.memory [relu|tanh]`.

An 8-layer network, 1,024 wide, batch 4,096, float32: the loss and the gradients of all 16 parameters. Each contestant runs twice in a
process of its own; `step` is the largest resident size (VmHWM) beyond what its inputs and imports took, so arenas, graphs and caches
count as they are. A contestant whose package is missing is left out. One thread for BLAS.
"""
from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

LAYERS, WIDTH, BATCH = 8, 1024, 4096
MIB = 1 << 20
NEEDS = {"numpy": "numpy", "autograd": "autograd", "torch": "torch", "jax": "jax", "gradplan": "numpy"}
Step = Callable[[], Any]


# ---- a contestant's child
def child(name: str, kind: str) -> None:
    """Prints the contestant's loss and its largest and initial resident sizes in KiB."""
    x, y, params = data()
    step = CONTESTANTS[name](kind, x, y, params)
    before = resident("VmRSS")
    loss = float(step())
    step()
    print(loss, resident("VmHWM"), before)


def resident(field: str) -> int:
    """A field of /proc/self/status in KiB."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field))


def data() -> tuple[Any, Any, list[Any]]:
    """x, y, and W1, b1, W2, b2, ..."""
    import numpy as np

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, BATCH, WIDTH), np.float32)
    params = []
    for _ in range(LAYERS):
        params += [rng.standard_normal((WIDTH, WIDTH), np.float32) * np.float32(1.4 / WIDTH**0.5), np.zeros(WIDTH, np.float32)]
    return x, y, params


def forward(np: Any, kind: str, params: Any, x: Any, y: Any) -> Any:
    """The mean squared error of the network, written once for every NumPy-like namespace."""
    h = x
    for k in range(LAYERS):
        h = np.dot(h, params[2 * k]) + params[2 * k + 1]
        if k < LAYERS - 1:
            h = np.tanh(h) if kind == "tanh" else np.maximum(h, 0)
    return np.mean((h - y) ** 2)


def by_hand(kind: str, x: Any, y: Any, params: list[Any]) -> Step:
    """Plain NumPy as one writes it, with what is not needed any more let go."""
    import numpy as np

    def step() -> Any:
        kept, h = [x], x
        for k in range(LAYERS):
            h = h @ params[2 * k] + params[2 * k + 1]
            if k < LAYERS - 1:
                h = np.tanh(h) if kind == "tanh" else np.maximum(h, 0)
                kept.append(h)
        d = h - y
        loss, g, grads = np.mean(d**2), d * np.float32(2 / d.size), []
        for k in reversed(range(LAYERS)):
            h = kept.pop()
            grads += [g.sum(0), h.T @ g]
            if k:
                g = g @ params[2 * k].T
                g = g * (1 - h * h) if kind == "tanh" else g * (h > 0)
        return loss

    return step


def by_autograd(kind: str, x: Any, y: Any, params: list[Any]) -> Step:
    import autograd
    import autograd.numpy as np

    both = autograd.value_and_grad(lambda p: forward(np, kind, p, x, y))
    return lambda: both(params)[0]


def by_torch(kind: str, x: Any, y: Any, params: list[Any]) -> Step:
    import torch

    torch.set_num_threads(1)
    leaves = [torch.from_numpy(p).requires_grad_() for p in params]
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)

    def step() -> Any:
        h = tx
        for k in range(LAYERS):
            h = torch.addmm(leaves[2 * k + 1], h, leaves[2 * k])
            if k < LAYERS - 1:
                h = torch.tanh(h) if kind == "tanh" else torch.relu(h)
        loss = ((h - ty) ** 2).mean()
        torch.autograd.grad(loss, leaves)
        return loss.detach()

    return step


def by_jax(kind: str, x: Any, y: Any, params: list[Any]) -> Step:
    import jax
    import jax.numpy as np

    both = jax.jit(jax.value_and_grad(lambda p, x, y: forward(np, kind, p, x, y)))
    held = [np.asarray(p) for p in params], np.asarray(x), np.asarray(y)
    return lambda: jax.block_until_ready(both(*held))[0]


def by_us(kind: str, x: Any, y: Any, params: list[Any]) -> Step:
    both = ours(kind)
    return lambda: both(params, x, y)[0]


def ours(kind: str) -> Any:
    """Our compiled loss and gradients."""
    import numpy as np

    import tracer

    return tracer.compile(tracer.value_and_grad(lambda p, x, y: forward(np, kind, p, x, y)))


CONTESTANTS: dict[str, Callable[..., Step]] = {
    "numpy": by_hand,
    "autograd": by_autograd,
    "torch": by_torch,
    "jax": by_jax,
    "gradplan": by_us,
}


# ---- the table
def main(kind: str) -> None:
    x, y, params = data()
    plan = ours(kind).plan(params, x, y)
    print(f"{LAYERS} layers, {WIDTH} wide, batch {BATCH}, float32, {kind}")
    print(f"planned peak {plan.peak_bytes / MIB:.1f} MiB, lower bound {plan.lower_bound_bytes / MIB:.1f} MiB, ", end="")
    print(f"ratio {plan.peak_bytes / plan.lower_bound_bytes:.4f}\n")
    print("| contestant | step MiB | whole process MiB | loss |\n| --- | ---: | ---: | ---: |")
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    for name in CONTESTANTS:
        if importlib.util.find_spec(NEEDS[name]) is None:
            print(f"| {name} | not installed | | |")
            continue
        command = [sys.executable, "-m", "benchmarks.memory", "child", name, kind]
        done = subprocess.run(command, env={**os.environ, **threads, "JAX_PLATFORMS": "cpu"}, capture_output=True, text=True)
        if done.returncode:
            print(f"| {name} | failed: {done.stderr.strip().splitlines()[-1]} | | |")
            continue
        loss, most, before = map(float, done.stdout.split())
        print(f"| {name} | {(most - before) / 1024:.0f} | {most / 1024:.0f} | {loss:.6f} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:4])
    else:
        main(sys.argv[1] if len(sys.argv) > 1 else "relu")
