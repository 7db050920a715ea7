"""Adam over 10 million parameters in 30 tensors, the gradients given: parameters and both moments are changed in place."""
from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import tracer
from benchmarks import case
from benchmarks.case import Goal, Inputs, Make, Variant, Workload, arranged, each, middle, strided
from benchmarks.timing import Contestant

LR, B1, B2, EPS = 0.001, 0.9, 0.999, 1e-8
FUSED = "PyTorch fused"


def inputs(parameters: int, rows: int, columns: int) -> Inputs:
    """Ten layers: a large matrix, a flat one, and a vector with what is left."""
    flat = rows // 10, columns
    left = parameters - 10 * (rows + flat[0]) * columns
    shapes = [shape for k in range(10) for shape in ((rows, columns), flat, (left // 10 + (left % 10 if k == 9 else 0),))]
    rng = np.random.default_rng(0)
    params = [rng.standard_normal(shape, np.float32) * np.float32(0.01) for shape in shapes]
    return {"params": params, "grads": [rng.standard_normal(shape, np.float32) for shape in shapes]}


def numbers() -> Callable[[], tuple[np.float32, np.float32]]:
    """Rate and eps of the next step, with the corrections of both moments in them (Kingma and Ba 2015, the end of section 2)."""
    count = itertools.count(1)

    def following() -> tuple[np.float32, np.float32]:
        t = next(count)
        root = math.sqrt(1 - B2**t)
        return np.float32(LR * root / (1 - B1**t)), np.float32(EPS * root)

    return following


def held(inputs: Inputs) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """(parameter, gradient, m, v) for each, fresh."""
    return [(p.copy(order="K"), g, np.zeros_like(p), np.zeros_like(p)) for p, g in zip(inputs["params"], inputs["grads"])]


def by_hand(inputs: Inputs) -> Contestant:
    """NumPy, the formulas line by line."""
    all_of, following = held(inputs), numbers()

    def call() -> Any:
        rate, eps = following()
        for p, g, m, v in all_of:
            m[...] = B1 * m + (1 - B1) * g
            v[...] = B2 * v + (1 - B2) * (g * g)
            p -= rate * m / (np.sqrt(v) + eps)
        return [p for p, *_ in all_of]

    return each(call)


def by_out(inputs: Inputs) -> Contestant:
    """NumPy in place, with one scratch buffer for each tensor."""
    all_of, following = [(*each, np.empty_like(each[0])) for each in held(inputs)], numbers()

    def call() -> Any:
        rate, eps = following()
        for p, g, m, v, s in all_of:
            np.multiply(g, 1 - B1, out=s)
            np.multiply(m, B1, out=m)
            np.add(m, s, out=m)
            np.multiply(g, g, out=s)
            np.multiply(s, 1 - B2, out=s)
            np.multiply(v, B2, out=v)
            np.add(v, s, out=v)
            np.sqrt(v, out=s)
            np.add(s, eps, out=s)
            np.divide(m, s, out=s)
            np.multiply(s, rate, out=s)
            np.subtract(p, s, out=p)
        return [p for p, *_ in all_of]

    return each(call)


class Given(tracer.Function):
    """A number whose gradient by `p` is `g`: nothing else is to be timed."""

    def forward(self, p: Any, g: Any) -> Any:
        return p[(0,) * p.ndim] * np.float32(0)

    def backward(self, gy: Any) -> Any:
        return self.inputs[1], None


def by_us(inputs: Inputs) -> Contestant:
    grads = inputs["grads"]

    def loss(params: Any, grads: Any) -> Any:
        return sum([Given()(p, g) for p, g in zip(params, grads)])

    step = tracer.train_step(loss, tracer.optimizers.Adam(LR, (B1, B2), EPS), inputs["params"])
    return each(lambda: step(grads), values=lambda _: step.params, plan=lambda: step.plan(grads))


def by_jax(inputs: Inputs) -> Contestant:
    import jax
    import jax.numpy as jnp

    def step(params: Any, ms: Any, vs: Any, grads: Any, rate: Any, eps: Any) -> Any:
        ms = [B1 * m + (1 - B1) * g for m, g in zip(ms, grads)]
        vs = [B2 * v + (1 - B2) * (g * g) for v, g in zip(vs, grads)]
        return [p - rate * m / (jnp.sqrt(v) + eps) for p, m, v in zip(params, ms, vs)], ms, vs

    fast, following = jax.jit(step, donate_argnums=(0, 1, 2)), numbers()
    grads = [jnp.asarray(g) for g in inputs["grads"]]
    state = [jnp.array(p) for p in inputs["params"]], *[[jnp.zeros_like(g) for g in grads] for _ in range(2)]

    def call() -> Any:
        nonlocal state
        state = jax.block_until_ready(fast(*state, grads, *following()))
        return state[0]

    return each(call)


def by_torch(compiled: bool = False, **options: Any) -> Make:
    def make(inputs: Inputs) -> Contestant:
        import torch

        params = [torch.from_numpy(p.copy()).requires_grad_() for p in inputs["params"]]
        for p, g in zip(params, inputs["grads"]):
            p.grad = torch.from_numpy(g)
        optimizer = torch.optim.Adam(params, LR, (B1, B2), EPS, **options)
        step = torch.compile(optimizer.step) if compiled else optimizer.step
        return each(step, values=lambda _: [p.detach() for p in params])

    return make


def by_pytensor(inputs: Inputs) -> Contestant:
    import pytensor
    import pytensor.tensor as pt

    following, updates = numbers(), []
    with pytensor.config.change_flags(floatX="float32"):
        rate, eps = pt.fscalars("rate", "eps")
        shared = [[pytensor.shared(a) for a in each] for each in held(inputs)]
        for p, g, m, v in shared:
            new_m, new_v = np.float32(B1) * m + np.float32(1 - B1) * g, np.float32(B2) * v + np.float32(1 - B2) * (g * g)
            updates += [(m, new_m), (v, new_v), (p, p - rate * new_m / (pt.sqrt(new_v) + eps))]
        step = pytensor.function([rate, eps], [], updates=updates)
    return each(lambda: step(*following()), values=lambda _: [each[0].get_value() for each in shared])


def by_numexpr(inputs: Inputs) -> Contestant:
    """Three expressions for each tensor, in place."""
    import numexpr

    all_of, following = held(inputs), numbers()
    b1, b2, c1, c2 = np.float32([B1, B2, 1 - B1, 1 - B2])

    def call() -> Any:
        rate, eps = following()
        for p, g, m, v in all_of:
            numexpr.evaluate("b*m + c*g", {"b": b1, "c": c1, "m": m, "g": g}, out=m)
            numexpr.evaluate("b*v + c*g*g", {"b": b2, "c": c2, "v": v, "g": g}, out=v)
            numexpr.evaluate("p - r*m/(sqrt(v)+e)", {"p": p, "r": rate, "e": eps, "m": m, "v": v}, out=p)
        return [p for p, *_ in all_of]

    return each(call)


def by_numba(inputs: Inputs) -> Contestant:
    """One loop for each tensor."""
    import numba

    b1, b2, c1, c2 = np.float32([B1, B2, 1 - B1, 1 - B2])
    sqrt, all_of, following = math.sqrt, held(inputs), numbers()

    @numba.njit(parallel=True, fastmath=True)
    def update(p, g, m, v, rate, eps):
        for i in numba.prange(p.size):
            m[i] = b1 * m[i] + c1 * g[i]
            v[i] = b2 * v[i] + c2 * g[i] * g[i]
            p[i] -= rate * m[i] / (np.float32(sqrt(v[i])) + eps)

    flat = [[a.reshape(-1) for a in each] for each in all_of]

    def call() -> Any:
        numbers = following()
        for of in flat:
            update(*of, *numbers)
        return [p for p, *_ in all_of]

    return each(call)


WORKLOAD = Workload(
    name="adam", title="Adam, 10 million parameters in 30 tensors", inputs=inputs, calls=3, tolerance=1e-4,
    sizes={"parameters": 10_000_000, "rows": 900, "columns": 1000}, tiny={"parameters": 903, "rows": 10, "columns": 7},
    work=lambda parameters, rows, columns: parameters,
    contestants={
        case.HAND: by_hand, case.OURS: by_us, case.OUT: by_out, case.JAX: by_jax, case.TORCH: by_torch(foreach=True),
        FUSED: by_torch(fused=True), case.COMPILED: by_torch(True, foreach=True), case.PYTENSOR: by_pytensor,
        case.NUMEXPR: by_numexpr, case.NUMBA: by_numba,
    },
    kept=lambda inputs: 4 * sum([p.nbytes for p in inputs["params"]]),  # both moments
    goals=(Goal(0.5, (case.OUT,)),),
    variants=(
        Variant("9,999,991, 907x991 and so on", {"parameters": 9_999_991, "rows": 907, "columns": 991}),
        Variant("gradients: every second column", arrange=arranged(strided, "grads")),
        Variant("Fortran order", arrange=arranged(np.asfortranarray, "params", "grads")),
        Variant("an axis of size 1", arrange=arranged(middle, "params", "grads")),
    ),
)
