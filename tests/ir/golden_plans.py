"""Six programs at small sizes, whose plans for three Targets are golden: `python -m tests.ir.golden_plans` writes them anew.

Forward and gradients are traced and pass through all passes, as a user's would; the seed's step and Adam update states.
"""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracer
from ir import passes
from ir.graph import Graph
from ir.plan import Plan
from ir.planning import plan
from tests.ir.targets import TARGETS
from tracer import Parameter, optimizers
from tracer import functions as F

GOLDEN = Path(__file__).parent / "golden"


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.uniform(-1, 1, shape).astype(np.float32) for shape in shapes]


def gradients(loss: Any, *given: np.ndarray) -> Graph:
    """Of the loss by the first argument, with the loss."""
    return tracer.compile(tracer.value_and_grad(loss)).graph(*given)


def softmax_cross_entropy() -> Graph:
    t = np.arange(12) % 8

    def loss(x: Any) -> Any:
        shifted = x - np.max(x, axis=1, keepdims=True)
        chosen = shifted[np.arange(12), t]
        return np.mean(np.log(np.sum(np.exp(shifted), axis=1)) - chosen)

    return gradients(loss, *arrays((12, 8)))


def layer_norm() -> Graph:
    target, scale, bias = arrays((12, 8), (8,), (8,))

    def loss(params: Any, x: Any, target: Any) -> Any:
        d = x - np.mean(x, axis=1, keepdims=True)
        y = d / np.sqrt(np.mean(d * d, axis=1, keepdims=True) + 1e-5)
        return np.mean((y * params[0] + params[1] - target) ** 2)

    return tracer.compile(tracer.value_and_grad(loss)).graph([scale, bias], *arrays((12, 8)), target)


def attention() -> Graph:
    def loss(qkv: Any) -> Any:
        q, k, v = [m.reshape(4, 6, 2, 4).transpose(0, 2, 1, 3) for m in qkv]
        scores = q @ k.transpose(0, 1, 3, 2) * 0.5
        e = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
        return np.sum(((e / np.sum(e, axis=-1, keepdims=True)) @ v) ** 2)

    return tracer.compile(tracer.value_and_grad(loss)).graph(arrays((4, 6, 8), (4, 6, 8), (4, 6, 8)))


def stencil() -> Graph:
    def steps(u: Any) -> Any:
        for _ in range(2):
            inner = u[1:-1, 1:-1] + 0.1 * (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1])
            u = np.pad(inner, 1)
        return np.sum(u * u)

    return gradients(steps, *arrays((24, 10)))


def trained(parameters: list[Parameter], loss: Any, optimizer: Any, *given: np.ndarray) -> Graph:
    return tracer.train_step(loss, optimizer, params=parameters).graph(*given)


def adam() -> Graph:
    W, b = [Parameter(a) for a in arrays((10, 8), (9,))]
    return trained([W, b], lambda x: F.sum(W * W) + F.sum(b * x), optimizers.Adam(lr=0.01), *arrays((9,)))


def seed() -> Graph:
    W1, b1, W2, b2 = [Parameter(a) for a in arrays((1, 10), (10,), (10, 1), (1,))]

    def loss(x: Any, y: Any) -> Any:
        return F.mean_squared_error(y, F.linear(F.sigmoid(F.linear(x, W1, b1)), W2, b2))

    return trained([W1, b1, W2, b2], loss, optimizers.SGD(lr=0.2), *arrays((12, 1), (12, 1)))


PROGRAMS = {made.__name__: made for made in (softmax_cross_entropy, layer_norm, attention, stencil, adam, seed)}


def path(program: str, target: str) -> Path:
    return GOLDEN / f"plan_{program}_{target}.txt"


def planned(program: str, target: str) -> Plan:
    """The program's plan; the passes that make of the end what a target plans best are run for this one, not for NumPy's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "PLAN_PASSES", ())
        graph = PROGRAMS[program]()
    passes.optimize(graph)
    passes.prepare(graph, TARGETS[target])
    return plan(graph, TARGETS[target])


def text(program: str, target: str) -> str:
    """The plan and what is in no region."""
    made = planned(program, target)
    left = dict.fromkeys([f"in no region: {op}: {why}" for op, _, why in made.notes["outside regions"]])
    return "\n".join([made.text(lines=False), *left]) + "\n"


def main() -> None:
    for program in PROGRAMS:
        for target in TARGETS:
            path(program, target).write_text(text(program, target))


if __name__ == "__main__":
    main()
