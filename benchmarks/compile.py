"""How long deciding takes: `python -m benchmarks.compile`.

The sine step from function to program (a new function each time, warm process, verifier off), and a chain `x = x*c1 + c2` of n rounds,
differentiated and compiled, beside JAX's first gradient of the same chain.
"""
from __future__ import annotations

import gc
import importlib.util
import statistics
import time
from collections.abc import Callable

import numpy as np

import tracer
from benchmarks.timing import machine
from tracer import functions as F


def seconds(act: Callable[[], object]) -> float:
    gc.collect()
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def sine_step() -> None:
    """Traces, differentiates, plans, emits and runs the sine network's step once."""
    rng = np.random.RandomState(0)
    x, y = rng.rand(100, 1), rng.rand(100, 1)
    W1, b1, W2, b2 = (tracer.Variable(a) for a in (rng.randn(1, 10), np.zeros(10), rng.randn(10, 1), np.zeros(1)))

    def loss_fn(x, y):
        return F.mean_squared_error(y, F.linear(F.sigmoid(F.linear(x, W1, b1)), W2, b2))

    tracer.train_step(loss_fn, tracer.optimizers.SGD(lr=0.2), [W1, b1, W2, b2])(x, y)


def chain(rounds: int) -> Callable:
    def total(x):
        for k in range(rounds):
            x = x * 0.999 + 0.001 * (k % 2)
        return np.sum(x)

    return total


def main() -> None:
    print(machine())
    sine_step()
    print(f"sine step, trace + gradient + plan + emit + first run: {statistics.median(seconds(sine_step) for _ in range(7)) * 1e3:.1f} ms")
    x = np.array([1.0, -1.0])
    for rounds in (500, 1000, 5000):
        taken = statistics.median(seconds(lambda n=rounds: tracer.compile(tracer.grad(chain(n)))(x)) for _ in range(3))
        print(f"chain of {rounds}, gradient, compiled and run once: {taken:.2f} s ({taken / rounds * 1e6:.0f} us a round)")
    if importlib.util.find_spec("jax"):
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)

        def jax_chain(x):
            for k in range(500):
                x = x * 0.999 + 0.001 * (k % 2)
            return jnp.sum(x)

        first = lambda: jax.jit(jax.value_and_grad(lambda x: jax_chain(x)))(x)[0].block_until_ready()
        taken = statistics.median(seconds(first) for _ in range(3))
        ours = statistics.median(seconds(lambda: tracer.compile(tracer.value_and_grad(chain(500)))(x)) for _ in range(3))
        print(f"chain of 500, first value and gradient: ours {ours:.2f} s, JAX {taken:.2f} s, ratio {ours / taken:.2f}")


if __name__ == "__main__":
    main()
