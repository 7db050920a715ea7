"""The sine network's training step, ours against the others, in one table: `python -m benchmarks.sine`.

100x1 inputs, 10 hidden sigmoid units, float64, mean squared error, SGD. Every contestant's losses are checked against the known
ones first. One thread for BLAS and XLA. A contestant whose package is missing is left out and said so.
"""
from __future__ import annotations

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"

import importlib.util
from collections.abc import Callable

import numpy as np

import tracer
from benchmarks.timing import Contestant, interleaved, machine, table
from tracer import functions as F

LOSSES = (0.8473695850105871, 0.2514286285183606)  # at iterations 0 and 1000
LR = 0.2
Run = Callable[[int], float]


def data() -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """x, y and fresh parameters W1, b1, W2, b2."""
    rng = np.random.RandomState(0)
    x = rng.rand(100, 1)
    y = np.sin(2 * np.pi * x) + rng.rand(100, 1)
    return x, y, [0.01 * rng.randn(1, 10), np.zeros(10), 0.01 * rng.randn(10, 1), np.zeros(1)]


def by_hand() -> Run:
    """NumPy, the formulas line by line."""
    x, y, (W1, b1, W2, b2) = data()

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


def ours() -> dict[str, Contestant]:
    """`step()`, `run()` and the define-by-run script's iteration."""
    def network() -> tuple:
        x, y, arrays = data()
        params = [tracer.Variable(a) for a in arrays]

        def predict(x):
            h = F.sigmoid(F.linear(x, params[0], params[1]))
            return F.linear(h, params[2], params[3])

        return x, y, params, predict

    def stepper() -> tuple:
        x, y, params, predict = network()
        return x, y, tracer.train_step(lambda x, y: F.mean_squared_error(y, predict(x)), tracer.optimizers.SGD(lr=LR), params)

    x, y, step = stepper()

    def run_step(n: int) -> float:
        loss = 0.0
        for _ in range(n):
            loss = step(x, y)
        return float(loss)

    x2, y2, step2 = stepper()

    def run_run(n: int) -> float:
        losses = [0.0]
        for _ in range(n):
            losses = step2.run(x2, y2, steps=1000)
        return float(losses[-1])

    x3, y3, params, predict = network()

    def run_eager(n: int) -> float:
        loss = None
        for _ in range(n):
            loss = F.mean_squared_error(y3, predict(x3))
            for p in params:
                p.cleargrad()
            loss.backward()
            for p in params:
                p.data -= LR * p.grad.data
        return float(loss.data)

    return {"gradplan step()": Contestant(run_step), "gradplan run()": Contestant(run_run, 1000), "gradplan eager": Contestant(run_eager)}


def dezero() -> Run:
    """The teaching framework itself."""
    np.int = int  # type: ignore[attr-defined]  # its release of 2020 still asks for the old name
    import dezero
    import dezero.functions as DF

    x, y, arrays = data()
    W1, b1, W2, b2 = params = [dezero.Variable(a) for a in arrays]

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


def autograd() -> Run:
    """HIPS autograd."""
    import autograd.numpy as anp
    from autograd import value_and_grad

    x, y, params = data()

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


def jax() -> dict[str, Contestant]:
    """JAX: a jitted step called from Python, and 1,000 steps in one scan."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    x, y, arrays = data()

    def loss_fn(params):
        W1, b1, W2, b2 = params
        a = jnp.tanh((x @ W1 + b1) * 0.5) * 0.5 + 0.5
        return jnp.sum((y - (a @ W2 + b2)) ** 2) / len(y)

    def step(params):
        loss, grads = jax.value_and_grad(loss_fn)(params)
        return [p - LR * g for p, g in zip(params, grads)], loss

    jitted = jax.jit(step, donate_argnums=0)
    scanned = jax.jit(lambda params: jax.lax.scan(lambda p, _: step(p), params, None, length=1000), donate_argnums=0)
    state = {"jit": [jnp.array(a) for a in arrays], "scan": [jnp.array(a) for a in arrays]}

    def run_jit(n: int) -> float:
        loss = None
        for _ in range(n):
            state["jit"], loss = jitted(state["jit"])
        return float(loss)

    def run_scan(n: int) -> float:
        losses = None
        for _ in range(n):
            state["scan"], losses = scanned(state["scan"])
        return float(losses[-1])

    return {"JAX jit": Contestant(run_jit), "JAX scan": Contestant(run_scan, 1000)}


def torch() -> Run:
    """PyTorch, eager."""
    import torch

    torch.set_num_threads(1)
    x, y, arrays = data()
    X, Y = torch.from_numpy(x), torch.from_numpy(y)
    params = [torch.from_numpy(a).requires_grad_() for a in arrays]
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


def contestants() -> tuple[dict[str, Contestant], list[str]]:
    """Who takes part, and the names of the packages that are missing."""
    found, missing = {"NumPy by hand": Contestant(by_hand()), **ours()}, []
    if importlib.util.find_spec("jax"):
        found.update(jax())
    else:
        missing.append("jax")
    for package, name, make in (("dezero", "DeZero", dezero), ("autograd", "autograd", autograd), ("torch", "PyTorch eager", torch)):
        if importlib.util.find_spec(package):
            found[name] = Contestant(make())
        else:
            missing.append(package)
    return found, missing


def check(found: dict[str, Contestant]) -> None:
    """After the first thousand iterations everybody stands at the same loss, and the one by hand went through the known ones."""
    hand = by_hand()
    known = [hand(1), hand(1000)]
    assert np.allclose(known, LOSSES, rtol=1e-12), known
    want = by_hand()(1000)
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
