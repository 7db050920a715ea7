"""The workloads, in the order of the table."""
from __future__ import annotations

from benchmarks.case import Workload
from benchmarks.workloads import adam, attention, black_scholes, layernorm, mlp, sine, softmax, stencil

WORKLOADS: tuple[Workload, ...] = (
    sine.STEP, sine.RUN, layernorm.WORKLOAD, softmax.WORKLOAD, mlp.WORKLOAD, attention.WORKLOAD, adam.WORKLOAD, black_scholes.WORKLOAD,
    stencil.WORKLOAD,
)


def named(name: str) -> Workload:
    """The workload of this name."""
    return next(w for w in WORKLOADS if w.name == name)
