"""Programs whose launches are counted: at the sizes that the goals are stated for, and small enough to be run by the emulator.

`python -m tests.backends.cupy.programs` prints the table: launches, bytes that kernels move, and the fewest that there are to move.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backends.cupy.kernels import KERNELS
from ir import passes
from ir.graph import Graph
from ir.plan import Call, Copy, Plan
from ir.planning import plan
from ir.planning.blocks import REGION
from tests.ir import golden_plans
from tests.ir.golden_plans import arrays, gradients, trained
from tracer import Parameter, optimizers
from tracer import functions as F


def seed(n: int = 100) -> Graph:
    """Two layers, sigmoid, squared error, SGD."""
    W1, b1, W2, b2 = [Parameter(a) for a in arrays((1, 10), (10,), (10, 1), (1,))]

    def loss(x: Any, y: Any) -> Any:
        return F.mean_squared_error(y, F.linear(F.sigmoid(F.linear(x, W1, b1)), W2, b2))

    return trained([W1, b1, W2, b2], loss, optimizers.SGD(lr=0.2), *arrays((n, 1), (n, 1)))


def layer_norm(n: int = 4096, m: int = 1024) -> Graph:
    """Layer norm, GELU, squared error: the loss with the gradients of gain and bias."""

    def loss(params: Any, x: Any, target: Any) -> Any:
        d = x - np.mean(x, axis=1, keepdims=True)
        y = d / np.sqrt(np.mean(d * d, axis=1, keepdims=True) + 1e-5) * params[0] + params[1]
        gelu = 0.5 * y * (1 + np.tanh(0.7978845608 * (y + 0.044715 * y * y * y)))
        return np.mean((gelu - target) ** 2)

    x, target, scale, bias = arrays((n, m), (n, m), (m,), (m,))
    return gradients(loss, [scale, bias], x, target)  # type: ignore[arg-type]


def attention(batch: int = 8, length: int = 128, width: int = 128, heads: int = 4) -> Graph:
    """Softmax attention, all heads, the loss with the gradients of q, k and v: four products forward and back of each."""
    each = width // heads

    def loss(qkv: Any) -> Any:
        q, k, v = [m.reshape(batch, length, heads, each).transpose(0, 2, 1, 3) for m in qkv]
        scores = q @ k.transpose(0, 1, 3, 2) * each**-0.5
        e = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
        return np.sum(((e / np.sum(e, axis=-1, keepdims=True)) @ v) ** 2)

    return gradients(loss, arrays(*[(batch, length, width)] * 3))  # type: ignore[arg-type]


def adam(tensors: int = 30) -> Graph:
    """Adam's update of so many tensors: the loss is another kernel."""
    held = [Parameter(a) for a in arrays(*[(64 + k, 32) if k % 2 else (100 + 7 * k,) for k in range(tensors)])]

    def loss(x: Any) -> Any:
        total = F.sum(x)
        for p in held:
            total = total + F.sum(p * p)
        return total

    return trained(held, loss, optimizers.Adam(lr=0.01), *arrays((9,)))


def cross_entropy(n: int = 1024, m: int = 8192) -> Graph:
    """Softmax cross-entropy with its gradient."""
    t = np.random.default_rng(0).integers(0, m, n)

    def loss(x: Any) -> Any:
        shifted = x - np.max(x, axis=1, keepdims=True)
        return np.mean(np.log(np.sum(np.exp(shifted), axis=1)) - shifted[np.arange(n), t])

    return gradients(loss, *arrays((n, m)))


LARGE: dict[str, Callable[[], Graph]] = {
    "seed": seed, "layer norm": layer_norm, "attention": attention, "adam": adam, "cross entropy": cross_entropy,
    "stencil": golden_plans.stencil,
}  # fmt: skip
SMALL: dict[str, Callable[[], Graph]] = {
    "seed": lambda: seed(33), "layer norm": lambda: layer_norm(33, 40), "attention": lambda: attention(2, 6, 8, 2),
    "adam": lambda: adam(5), "cross entropy": lambda: cross_entropy(12, 70), "stencil": golden_plans.stencil,
}  # fmt: skip


def traced(program: Callable[[], Graph]) -> Graph:
    """The program after all passes, those that prepare it for generated kernels among them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "PLAN_PASSES", ())
        graph = program()
    passes.optimize(graph)
    passes.prepare(graph, KERNELS)
    return graph


def planned(program: Callable[[], Graph]) -> Plan:
    """The plan of generated kernels and products."""
    return plan(traced(program), KERNELS)


def counted(made: Plan) -> tuple[int, int, int]:
    """Generated kernels, products, copies."""
    calls = [s for s in made.steps if isinstance(s, Call)]
    kernels = [s for s in calls if s.node.op is REGION]
    return len(kernels), len(calls) - len(kernels), len([s for s in made.steps if isinstance(s, Copy)])


def moved_bytes(made: Plan) -> tuple[int, int]:
    """Bytes that all steps read and write, each place once a step, and those of what the caller gives and gets alone."""
    moved = 0
    for step in made.steps:
        if isinstance(step, Call):
            moved += sum([math.prod(p.shape) * p.dtype.itemsize for p in (*step.reads, *step.writes)])
        elif isinstance(step, Copy):
            moved += 2 * math.prod(step.read.shape) * step.read.dtype.itemsize
    states = [v for v, _ in made.graph.updates]
    return moved, sum([v.spec.nbytes for v in (*made.graph.inputs, *made.graph.outputs, *states)])


def main() -> None:
    print(f"{'':14} kernels  products  copies  launches    moved, MB    least, MB")
    for name, program in LARGE.items():
        made = planned(program)
        kernels, products, copies = counted(made)
        moved, least = [n / 1e6 for n in moved_bytes(made)]
        print(f"{name:14} {kernels:7}  {products:8}  {copies:6}  {kernels + products + copies:8}  {moved:11.3f}  {least:11.3f}")


if __name__ == "__main__":
    main()
