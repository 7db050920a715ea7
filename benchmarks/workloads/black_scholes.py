"""Black-Scholes prices of calls and puts, float64, forward only.

The normal distribution by the polynomial 26.2.17 of Abramowitz and Stegun, the same for all.
"""
from __future__ import annotations

import math
from typing import Any

import numpy as np

import tracer
from benchmarks import case
from benchmarks.case import Goal, Inputs, Make, Variant, Workload, arranged, each
from benchmarks.timing import Contestant

RATE, SIGMA = 0.03, 0.25
P, A = 0.2316419, (0.319381530, -0.356563782, 1.781477937, -1.821255978, 1.330274429)
ROOT = 1 / math.sqrt(2 * math.pi)


def inputs(options: int) -> Inputs:
    rng = np.random.default_rng(0)
    return {"price": rng.uniform(10, 50, options), "strike": rng.uniform(10, 50, options), "years": rng.uniform(0.1, 3, options)}


def normal(np: Any, d: Any) -> Any:
    k = 1 / (1 + P * np.abs(d))
    w = ROOT * np.exp(-0.5 * d * d) * (k * (A[0] + k * (A[1] + k * (A[2] + k * (A[3] + k * A[4])))))
    return np.where(d > 0, 1 - w, w)


def prices(np: Any, price: Any, strike: Any, years: Any) -> Any:
    """Written once for every NumPy-like namespace."""
    spread = SIGMA * np.sqrt(years)
    d1 = (np.log(price / strike) + (RATE + 0.5 * SIGMA * SIGMA) * years) / spread
    n1, n2 = normal(np, d1), normal(np, d1 - spread)
    discounted = strike * np.exp(-RATE * years)
    call = price * n1 - discounted * n2
    return call, call - price + discounted


def by_hand(inputs: Inputs) -> Contestant:
    of = tuple(inputs.values())
    return each(lambda: prices(np, *of))


def by_out(inputs: Inputs) -> Contestant:
    """NumPy into buffers kept from call to call."""
    price, strike, years = inputs.values()
    d1, d2, k, w, call, put = [np.empty_like(price) for _ in range(6)]
    below = np.empty(price.shape, bool)

    def normal_into(d: np.ndarray) -> None:
        np.abs(d, out=k)
        np.multiply(k, P, out=k)
        np.add(k, 1, out=k)
        np.divide(1, k, out=k)
        np.multiply(k, A[4], out=w)
        for a in reversed(A[:4]):
            np.add(w, a, out=w)
            np.multiply(w, k, out=w)
        np.less_equal(d, 0, out=below)
        np.multiply(d, d, out=d)
        np.multiply(d, -0.5, out=d)
        np.exp(d, out=d)
        np.multiply(d, ROOT, out=d)
        np.multiply(d, w, out=w)
        np.subtract(1, w, out=d)
        np.copyto(d, w, where=below)

    def run() -> Any:
        np.sqrt(years, out=k)
        np.multiply(k, SIGMA, out=k)
        np.divide(price, strike, out=d1)
        np.log(d1, out=d1)
        np.multiply(years, RATE + 0.5 * SIGMA * SIGMA, out=d2)
        np.add(d1, d2, out=d1)
        np.divide(d1, k, out=d1)
        np.subtract(d1, k, out=d2)
        normal_into(d1)
        normal_into(d2)
        np.multiply(years, -RATE, out=k)
        np.exp(k, out=k)
        np.multiply(k, strike, out=k)
        np.multiply(price, d1, out=call)
        np.multiply(k, d2, out=w)
        np.subtract(call, w, out=call)
        np.subtract(call, price, out=put)
        np.add(put, k, out=put)
        return call, put

    return each(run)


def by_us(inputs: Inputs) -> Contestant:
    fast = tracer.compile(lambda *of: prices(np, *of))
    of = tuple(inputs.values())
    return each(lambda: fast(*of), plan=lambda: fast.plan(*of))


def by_jax(inputs: Inputs) -> Contestant:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    fast = jax.jit(lambda *of: prices(jnp, *of))
    of = [jnp.asarray(a) for a in inputs.values()]
    return each(lambda: jax.block_until_ready(fast(*of)))


def by_torch(compiled: bool) -> Make:
    def make(inputs: Inputs) -> Contestant:
        import torch

        def run(*of: Any) -> Any:
            return prices(torch, *of)

        fast = torch.compile(run) if compiled else run
        of = [torch.from_numpy(a) for a in inputs.values()]
        return each(lambda: fast(*of))

    return make


def by_pytensor(inputs: Inputs) -> Contestant:
    import pytensor
    import pytensor.tensor as pt

    with pytensor.config.change_flags(floatX="float64"):
        of = [pytensor.shared(a, name=name) for name, a in inputs.items()]
        return each(pytensor.function([], list(prices(pt, *of))))


def by_numexpr(inputs: Inputs) -> Contestant:
    """Four expressions, into arrays kept from call to call."""
    import numexpr

    price, strike, years = inputs.values()
    d1, n1, n2, call, put = [np.empty_like(price) for _ in range(5)]
    poly = f"k*({A[0]}+k*({A[1]}+k*({A[2]}+k*({A[3]}+k*{A[4]}))))"

    def normal_of(d: str) -> str:
        w = f"({ROOT}*exp(-0.5*{d}*{d})*({poly}))".replace("k", f"(1/(1+{P}*abs({d})))")
        return f"where({d}>0, 1-{w}, {w})"

    first = f"(log(S/K)+{RATE + 0.5 * SIGMA * SIGMA}*T)/({SIGMA}*sqrt(T))"
    last, other = f"S*a-K*exp({-RATE}*T)*b", f"c-S+K*exp({-RATE}*T)"

    def run() -> Any:
        numexpr.evaluate(first, {"S": price, "K": strike, "T": years}, out=d1)
        numexpr.evaluate(normal_of("d"), {"d": d1}, out=n1)
        numexpr.evaluate(normal_of(f"(d-{SIGMA}*sqrt(T))"), {"d": d1, "T": years}, out=n2)
        numexpr.evaluate(last, {"S": price, "K": strike, "T": years, "a": n1, "b": n2}, out=call)
        numexpr.evaluate(other, {"c": call, "S": price, "K": strike, "T": years}, out=put)
        return call, put

    return each(run)


def by_numba(inputs: Inputs) -> Contestant:
    """One loop."""
    import numba

    exp, log, sqrt = math.exp, math.log, math.sqrt
    a0, a1, a2, a3, a4 = A

    @numba.njit(fastmath=True)
    def normal_at(d):
        k = 1 / (1 + P * abs(d))
        w = ROOT * exp(-0.5 * d * d) * (k * (a0 + k * (a1 + k * (a2 + k * (a3 + k * a4)))))
        return 1 - w if d > 0 else w

    @numba.njit(parallel=True, fastmath=True)
    def fill(price, strike, years, call, put):
        for i in numba.prange(len(price)):
            spread = SIGMA * sqrt(years[i])
            d1 = (log(price[i] / strike[i]) + (RATE + 0.5 * SIGMA * SIGMA) * years[i]) / spread
            discounted = strike[i] * exp(-RATE * years[i])
            call[i] = price[i] * normal_at(d1) - discounted * normal_at(d1 - spread)
            put[i] = call[i] - price[i] + discounted

    of = tuple(inputs.values())
    call, put = np.empty_like(of[0]), np.empty_like(of[0])

    def run() -> Any:
        fill(*of, call, put)
        return call, put

    return each(run)


NAMES = ("price", "strike", "years")


def halves(a: np.ndarray) -> np.ndarray:
    """Every second element of a larger array."""
    base = np.zeros(2 * len(a))
    base[::2] = a
    return base[::2]


def columns(a: np.ndarray) -> np.ndarray:
    """As a matrix of 20 rows in Fortran order."""
    return np.asfortranarray(a.reshape(20, -1))


WORKLOAD = Workload(
    name="black_scholes", title="Black-Scholes, 10 million float64, forward only", inputs=inputs, sizes={"options": 10_000_000},
    tiny={"options": 40}, work=lambda options: options, tolerance=1e-10,
    contestants={
        case.HAND: by_hand, case.OURS: by_us, case.OUT: by_out, case.JAX: by_jax, case.TORCH: by_torch(False),
        case.COMPILED: by_torch(True), case.PYTENSOR: by_pytensor, case.NUMEXPR: by_numexpr, case.NUMBA: by_numba,
    },
    goals=(Goal(0.8, (case.JAX,)), Goal(0.3, (case.HAND,))),
    variants=(
        Variant("9,999,991", {"options": 9_999_991}), Variant("every second element", arrange=arranged(halves, *NAMES)),
        Variant("Fortran order, 20x500,000", arrange=arranged(columns, *NAMES)),
        Variant("an axis of size 1, 10,000,000x1", arrange=arranged(lambda a: a[:, None], *NAMES)),
    ),
)
