"""The seed's sine step: 100x1, 10 sigmoid units, float64, a training step with SGD; called one by one, and 1,000 in a call."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import case, sine
from benchmarks.case import Goal, Inputs, Make, Variant, Workload, arranged, strided
from benchmarks.timing import Contestant


def inputs(rows: int, hidden: int) -> Inputs:
    x, y, params = sine.data(rows, hidden)
    return {"x": x, "y": y, "params": params}


def of(make: Callable[..., Any]) -> Make:
    """A contestant of `benchmarks/sine.py`, that gives its last loss."""

    def made(inputs: Inputs) -> Contestant:
        found = make(inputs["x"], inputs["y"], inputs["params"])
        run, unit, plan = (found.run, found.unit, found.plan) if isinstance(found, Contestant) else (found, 1, None)
        return Contestant(run, unit, lambda loss: [np.float64(loss)], plan)

    return made


def kept(inputs: Inputs) -> int:
    """The new parameters."""
    return sum([p.nbytes for p in inputs["params"]])


SIZES = {"rows": 100, "hidden": 10}
VARIANTS = (
    Variant("101 rows, 11 units", {"rows": 101, "hidden": 11}),
    Variant("every second element", arrange=arranged(lambda a: strided(a.T).T, "x", "y")),
)
STEP = Workload(
    name="sine", title="sine step, `step()`", inputs=inputs, sizes=SIZES, tiny=SIZES, tolerance=1e-10, calls=1000, variants=VARIANTS,
    work=lambda rows, hidden: rows * hidden, kept=kept,
    contestants={
        case.HAND: of(sine.by_hand), case.OURS: of(sine.by_step), case.AUTOGRAD: of(sine.autograd),
        case.JAX: of(sine.jax_jit), case.TORCH: of(sine.torch),
    },
    goals=(Goal(0.45, (case.HAND,)), Goal(1.0, (case.JAX,))),
)
RUN = Workload(
    name="sine_run", title="sine step, `run()` of 1,000", inputs=inputs, sizes=SIZES, tiny=SIZES, tolerance=1e-10, calls=1000, kept=kept,
    contestants={case.HAND: of(sine.by_hand), case.OURS: of(sine.by_run), case.JAX: of(sine.jax_scan)}, goals=(Goal(2.5, (case.JAX,)),),
)
