"""Drawn programs with regions at tiny sizes: caches of a few bytes, so that what is drawn (values of up to 150 elements) runs in blocks.

In: a program. Out: what does not hold of it: compiled against NumPy, against the same without regions, and one worker against two
or eight, to the bit. The seed says how long blocks are, from two rows to all of the array, and whether the program is compiled `exact`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import backends
import tracer
from ir.plan import Plan, Region
from tests.drawn.compare import different, snapshot
from tests.drawn.program import Loaded, Program
from tests.drawn.runner import OURS, Call, Outcome, compare, compiled, perform
from tests.drawn.twin import LIBRARY

ELEMENTS = (1, 2, 3, 7, 40, 10**6)  # of a block at least; the last is larger than any array
CACHES = (64, 64, 64, 400)


@contextmanager
def tiny(workers: int = 1, **fields: Any) -> Iterator[None]:
    """In the block NumPy's target has a cache of 64 bytes, all regions fork, steps between pieces are free; `fields` are the target's."""
    backend, real = backends.get("numpy"), type(backends.get("numpy")).target
    given = {"cache_bytes": 64, "shared_bytes": 0, "block_elements": 2, "fork_ns": 0.0, "run_ns": 0.0, "workers": workers, **fields}
    backend.target = lambda exact=False: replace(real(backend, exact), **given)  # type: ignore[method-assign]
    tracer.set_threads(workers)
    try:
        yield
    finally:
        del backend.target  # type: ignore[attr-defined]
        tracer.set_threads(None)


def drawn_fields(seed: int) -> dict[str, Any]:
    """Of the target, for this seed."""
    rng = random.Random(f"regions {seed}")
    return {"cache_bytes": rng.choice(CACHES), "block_elements": rng.choice(ELEMENTS)}


def run_regions(program: Program) -> Outcome:
    """What does not hold of a program with regions."""
    exact, fields, outcome = program.seed % 4 == 0, drawn_fields(program.seed), Outcome()
    with tiny(**fields):
        want, _ = _calls(program, None)
        one, plan = _calls(program, exact)
    for k, (got, expected) in enumerate(zip(one, want)):
        if not compare(program, outcome, k, got, expected, exact):
            return outcome
    outcome.regions = sum([isinstance(step, Region) for step in plan.steps]) if plan is not None else 0
    if not outcome.regions:
        return outcome
    workers = 8 if program.seed % 8 < 4 else 2
    with tiny(workers, **fields):
        more, _ = _calls(program, exact)
    outcome.wrong += [f"{workers} workers for one: {d}" for a, b in zip(more, one) for d in different(_seen(a), _seen(b), exact=True)]
    with tiny(regions=False):
        off, _ = _calls(program, exact)
    compare(program, outcome, 0, replace(one[0], warned=frozenset()), off[0], exact)  # NumPy was asked about warnings
    return outcome


def _seen(call: Call) -> tuple[Any, ...]:
    return call.result, call.arguments, call.around, call.things


def _calls(program: Program, exact: bool | None) -> tuple[list[Call], Plan | None]:
    """Two calls of a function compiled anew, and its plan; by NumPy where `exact` is None."""
    loaded = Loaded(program, LIBRARY if exact is None else OURS)
    try:
        fn = loaded.fn if exact is None else compiled(loaded.fn, exact)
        calls = []
        for k in range(2):
            loaded.change(k)
            calls.append(perform(fn, loaded, loaded.arguments(k)))
            if calls[-1].error is not None:
                return calls, None
            calls[-1].result = snapshot(calls[-1].result)
        return calls, None if exact is None else fn.plan(*loaded.arguments(1))  # type: ignore[attr-defined]
    finally:
        loaded.close()
