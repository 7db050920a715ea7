"""The sine network's training step, ours against the others, in one table: `python -m benchmarks.sine`.

100x1 inputs, 10 hidden sigmoid units, float64, mean squared error, SGD. Every contestant's losses are checked against the known
ones first. One thread for BLAS and XLA. A contestant whose package is missing is left out and said so.
"""
from __future__ import annotations

import os

if __name__ == "__main__":
    for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[_name] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tracer
from benchmarks.timing import Contestant, interleaved, machine, table
from tracer import functions as F
from tracer.train import TrainStep

LOSSES = (0.8473695850105871, 0.2514286285183606)  # at iterations 0 and 1000
LR = 0.2
Run = Callable[[int], float]
Arrays = Sequence[np.ndarray]


def data(rows: int = 100, hidden: int = 10) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """x, y and fresh parameters W1, b1, W2, b2."""
    rng = np.random.RandomState(0)
    x = rng.rand(rows, 1)
    y = np.sin(2 * np.pi * x) + rng.rand(rows, 1)
    return x, y, [0.01 * rng.randn(1, hidden), np.zeros(hidden), 0.01 * rng.randn(hidden, 1), np.zeros(1)]


def by_hand(x: np.ndarray, y: np.ndarray, params: Arrays) -> Run:
    """NumPy, the formulas line by line."""
    W1, b1, W2, b2 = [a.copy() for a in params]

    def run(n: int) -> float:
        nonlocal W1, b1, W2, b2
        loss = 0.0
        for _ in range(n):
            h = x.dot(W1) + b1
            a = np.tanh(h * 0.5) * 0.5 + 0.5
            p = a.dot(W2) + b2
            diff = y - p
            loss = (diff**2).sum() / len(diff)
            gp = -(diff * (2.0 / len(diff)))
            gb2 = gp.sum(axis=0)
            ga = gp.dot(W2.T)
            gW2 = a.T.dot(gp)
            gh = ga * a * (1 - a)
            gb1 = gh.sum(axis=0)
            gW1 = x.T.dot(gh)
            W1 -= LR * gW1
            b1 -= LR * gb1
            W2 -= LR * gW2
            b2 -= LR * gb2
        return float(loss)

    return run


def network(params: Arrays) -> tuple[list[tracer.Variable], Callable]:
    """Variables of the parameters' values and the prediction over them."""
    held = [tracer.Variable(a.copy()) for a in params]

    def predict(x):
        h = F.sigmoid(F.linear(x, held[0], held[1]))
        return F.linear(h, held[2], held[3])

    return held, predict


def stepper(params: Arrays) -> TrainStep:
    """Our compiled step(x, y)."""
    held, predict = network(params)
    return tracer.train_step(lambda x, y: F.mean_squared_error(y, predict(x)), tracer.optimizers.SGD(lr=LR), held)


def by_step(x: np.ndarray, y: np.ndarray, params: Arrays) -> Contestant:
    """A call of ours for each iteration."""
    step = stepper(params)

    def run(n: int) -> float:
        loss = 0.0
        for _ in range(n):
            loss = step(x, y)
        return float(loss)

    return Contestant(run, plan=lambda: step.plan(x, y))


def by_run(x: np.ndarray, y: np.ndarray, params: Arrays) -> Contestant:
    """A call of ours for each 1,000 iterations."""
    step = stepper(params)

    def run(n: int) -> float:
        losses = [0.0]
        for _ in range(n):
            losses = step.run(x, y, steps=1000)
        return float(losses[-1])

    return Contestant(run, 1000, plan=lambda: step.plan(x, y))


def by_eager(x: np.ndarray, y: np.ndarray, params: Arrays) -> Run:
    """The define-by-run script's iteration."""
    held, predict = network(params)

    def run(n: int) -> float:
        loss = None
        for _ in range(n):
            loss = F.mean_squared_error(y, predict(x))
            for p in held:
                p.cleargrad()
            loss.backward()
            for p in held:
                p.data -= LR * p.grad.data
        return float(loss.data)

    return run


def dezero(x: np.ndarray, y: np.ndarray, arrays: Arrays) -> Run:
    """The teaching framework itself."""
    np.int = int  # type: ignore[attr-defined]  # its release of 2020 still asks for the old name
    import dezero
    import dezero.functions as DF

    params = [dezero.Variable(a.copy()) for a in arrays]
    W1, b1, W2, b2 = params

    def run(n: int) -> float:
        loss = None
        for _ in range(n):
            loss = DF.mean_squared_error(y, DF.linear(DF.sigmoid(DF.linear(x, W1, b1)), W2, b2))
            for p in params:
                p.cleargrad()
            loss.backward()
            for p in params:
                p.data -= LR * p.grad.data
        return float(loss.data)

    return run


def autograd(x: np.ndarray, y: np.ndarray, arrays: Arrays) -> Run:
    """HIPS autograd."""
    import autograd.numpy as anp
    from autograd import value_and_grad

    params = [a.copy() for a in arrays]

    def loss_fn(params):
        W1, b1, W2, b2 = params
        a = anp.tanh((anp.dot(x, W1) + b1) * 0.5) * 0.5 + 0.5
        diff = y - (anp.dot(a, W2) + b2)
        return anp.sum(diff**2) / len(diff)

    both = value_and_grad(loss_fn)

    def run(n: int) -> float:
        loss = 0.0
        for _ in range(n):
            loss, grads = both(params)
            for p, g in zip(params, grads):
                p -= LR * g
        return float(loss)

    return run


def jax_step(x: np.ndarray, y: np.ndarray) -> Callable:
    """JAX's step: parameters to new parameters and loss."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def loss_fn(params):
        W1, b1, W2, b2 = params
        a = jnp.tanh((x @ W1 + b1) * 0.5) * 0.5 + 0.5
        return jnp.sum((y - (a @ W2 + b2)) ** 2) / len(y)

    def step(params):
        loss, grads = jax.value_and_grad(loss_fn)(params)
        return [p - LR * g for p, g in zip(params, grads)], loss

    return step


def jax_jit(x: np.ndarray, y: np.ndarray, arrays: Arrays) -> Run:
    """A jitted step called from Python."""
    import jax

    jitted = jax.jit(jax_step(x, y), donate_argnums=0)
    state = [jax.numpy.array(a) for a in arrays]

    def run(n: int) -> float:
        nonlocal state
        loss = None
        for _ in range(n):
            state, loss = jitted(state)
        return float(loss)

    return run


def jax_scan(x: np.ndarray, y: np.ndarray, arrays: Arrays) -> Contestant:
    """1,000 steps in one scan."""
    import jax

    step = jax_step(x, y)
    scanned = jax.jit(lambda params: jax.lax.scan(lambda p, _: step(p), params, None, length=1000), donate_argnums=0)
    state = [jax.numpy.array(a) for a in arrays]

    def run(n: int) -> float:
        nonlocal state
        losses = None
        for _ in range(n):
            state, losses = scanned(state)
        return float(losses[-1])

    return Contestant(run, 1000)


def torch(x: np.ndarray, y: np.ndarray, arrays: Arrays, threads: int | None = None) -> Run:
    """PyTorch, eager."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    X, Y = torch.from_numpy(x), torch.from_numpy(y)
    params = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    optimizer = torch.optim.SGD(params, lr=LR)

    def run(n: int) -> float:
        loss = None
        for _ in range(n):
            W1, b1, W2, b2 = params
            loss = ((Y - torch.addmm(b2, torch.sigmoid(torch.addmm(b1, X, W1)), W2)) ** 2).sum() / len(Y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    return run


PEERS: list[tuple[str, str, Callable[..., Any]]] = [  # package, name, contestant
    ("jax", "JAX jit", jax_jit), ("jax", "JAX scan", jax_scan), ("dezero", "DeZero", dezero), ("autograd", "autograd", autograd),
    ("torch", "PyTorch eager", lambda *inputs: torch(*inputs, threads=1)),
]


def contestants() -> tuple[dict[str, Contestant], list[str]]:
    """Who takes part, and the names of the packages that are missing."""
    makers: dict[str, Callable[..., Any]] = {
        "NumPy by hand": by_hand, "gradplan step()": by_step, "gradplan run()": by_run, "gradplan eager": by_eager,
    }
    makers |= {name: make for package, name, make in PEERS if importlib.util.find_spec(package)}
    made = {name: make(*data()) for name, make in makers.items()}
    missing = sorted({package for package, _, _ in PEERS if not importlib.util.find_spec(package)})
    return {name: each if isinstance(each, Contestant) else Contestant(each) for name, each in made.items()}, missing


def check(found: dict[str, Contestant]) -> None:
    """After the first thousand iterations everybody stands at the same loss, and the one by hand went through the known ones."""
    hand = by_hand(*data())
    known = [hand(1), hand(1000)]
    assert np.allclose(known, LOSSES, rtol=1e-12), known
    want = by_hand(*data())(1000)
    for name, each in found.items():
        got = each.run(1000 // each.unit)
        assert abs(got - want) < 1e-10 * want, f"{name}: loss {got!r} where {want!r} is due"


def main() -> None:
    found, missing = contestants()
    check(found)
    medians = interleaved(found)
    print(f"{machine()}, NumPy {np.__version__}; one thread; medians of 7 interleaved rounds")
    if missing:
        print(f"not installed, left out: {', '.join(missing)}")
    print(table("sine step, an iteration", medians, ["NumPy by hand", "DeZero", "JAX jit", "JAX scan"]))


if __name__ == "__main__":
    main()
