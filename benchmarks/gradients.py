"""Contestants that take a loss written once for every NumPy-like namespace: its value and its gradients by the first few inputs.

`loss(np, *inputs)`, `first` of the inputs are differentiated. case.JAX and PyTensor hold the inputs on their side from the start.
PyTorch gets a loss of its own, written as its users would.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tracer
from benchmarks import case
from benchmarks.case import Inputs, Make, each
from benchmarks.timing import Contestant

Loss = Callable[..., Any]


def ours(loss: Loss, first: int) -> Make:
    def make(inputs: Inputs) -> Contestant:
        both = tracer.compile(tracer.value_and_grad(lambda *of: loss(np, *of), argnums=tuple(range(first))))
        of = tuple(inputs.values())
        return each(lambda: both(*of), plan=lambda: both.plan(*of))

    return make


def by_autograd(loss: Loss, first: int) -> Make:
    def make(inputs: Inputs) -> Contestant:
        import autograd
        import autograd.numpy as anp

        of = list(inputs.values())
        both = autograd.value_and_grad(lambda changed: loss(anp, *changed, *of[first:]))
        return each(lambda: both(of[:first]))

    return make


def by_jax(loss: Loss, first: int) -> Make:
    def make(inputs: Inputs) -> Contestant:
        import jax
        import jax.numpy as jnp

        both = jax.jit(jax.value_and_grad(lambda *of: loss(jnp, *of), argnums=tuple(range(first))))
        of = [jnp.asarray(a) for a in inputs.values()]
        return each(lambda: jax.block_until_ready(both(*of)))

    return make


def by_pytensor(loss: Loss, first: int) -> Make:
    def make(inputs: Inputs) -> Contestant:
        import pytensor
        import pytensor.tensor as pt

        with pytensor.config.change_flags(floatX="float32"):
            of = [pytensor.shared(a, name=name) for name, a in inputs.items()]
            value = loss(pt, *of)
            return each(pytensor.function([], [value, *pytensor.grad(value, of[:first])]))

    return make


def by_torch(loss: Loss, first: int, compiled: bool) -> Make:
    def make(inputs: Inputs) -> Contestant:
        import torch

        of = [torch.from_numpy(a) for a in inputs.values()]
        changed = [a.requires_grad_() for a in of[:first]]
        forward = torch.compile(loss) if compiled else loss

        def call() -> Any:
            value = forward(*of)
            return value.detach(), torch.autograd.grad(value, changed)

        return each(call)

    return make


def contestants(loss: Loss, torch_loss: Loss, first: int) -> dict[str, Make]:
    """All of them, by name."""
    return {
        case.OURS: ours(loss, first), case.AUTOGRAD: by_autograd(loss, first),
        case.JAX: by_jax(loss, first), case.TORCH: by_torch(torch_loss, first, False), case.COMPILED: by_torch(torch_loss, first, True),
        case.PYTENSOR: by_pytensor(loss, first),
    }
