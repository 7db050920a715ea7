"""Regions that write over what nothing reads after them: which outputs take whose place, and the values against NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer
from ir.plan import Copy, Region
from tests.drawn.regions import ELEMENTS, tiny

KEY = np.linspace(-1, 1, 25).reshape(5, 5)


def apart(x: Any) -> Any:
    """In no region here, so what it gives lies in the arena, and what it reads must be there."""
    return x @ KEY


def apart_tiny(workers: int = 1, **fields: Any) -> Any:
    return tiny(workers, region_products=False, **fields)


def dies(x: Any) -> Any:
    return np.exp(apart(x)) * 2


def read_late(x: Any) -> Any:
    """The output is ready before the last reader of the operand is; it is computed behind that."""
    c = apart(x)
    return apart(c + c), np.sum(c * c)


def read_by_rows(x: Any) -> Any:
    """Rows are read whole before anything is written over them."""
    c = apart(x)
    e = np.exp(c - np.max(c, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True) + c


def needs_the_output(x: Any) -> Any:
    """What reads the operand last needs the output, which is so copied there at the end."""
    c = apart(x)
    y = np.exp(c)
    return apart(y), np.sum(np.sin(y) * c, axis=1)


def two(x: Any) -> Any:
    """Two operands, three outputs, one of another dtype."""
    a, b = apart(x), apart(x * 3)
    s = a * b
    return apart(s + a), apart(s - b), apart(s > 0)


def turned(x: Any) -> Any:
    """What lies by columns is written over by what lies so."""
    return np.exp(apart(x).T) * 2


def shown(x: Any) -> Any:
    c = apart(x)
    return np.exp(c) * 2, c


def seen_twice(x: Any) -> Any:
    """The rows of one view are other rows of the other."""
    c = apart(x)
    return np.exp(c[1:]) * 2 + np.exp(c[:-1])


def larger(x: Any) -> Any:
    """A row of the operand that all blocks read."""
    c = (x @ KEY)[0]
    return np.exp(x * c) + c


TAKEN = {dies: 1, read_late: 1, read_by_rows: 1, needs_the_output: 1, two: 2, turned: 1, shown: 0, seen_twice: 0, larger: 0}
COPIED = {needs_the_output}


@pytest.mark.parametrize("fn", TAKEN)
@pytest.mark.parametrize("exact", [False, True])
def test_values(fn: Callable[[Any], Any], exact: bool) -> None:
    """As NumPy gives them, at each length of block, for one worker, two and eight."""
    x = np.random.default_rng(0).uniform(-1, 1, (9, 5))
    want = fn(x)
    for elements in ELEMENTS:
        for workers in (1, 2, 8):
            with apart_tiny(workers, block_elements=elements):
                fast = tracer.compile(fn, exact=True) if exact else tracer.compile(fn)
                for _ in range(2):
                    got = fast(x)
                    for a, b in zip(got if isinstance(got, tuple) else (got,), want if isinstance(want, tuple) else (want,), strict=True):
                        np.testing.assert_allclose(a, b, rtol=0 if exact else 1e-13, atol=0 if exact else 1e-15)


@pytest.mark.parametrize("fn", TAKEN)
def test_who_takes_whose_place(fn: Callable[[Any], Any]) -> None:
    with apart_tiny():
        plan = tracer.compile(fn).plan(tracer.Spec((9, 5)))
    regions = [step for step in plan.steps if isinstance(step, Region)]
    assert regions and sum([p in region.reads for region in regions for p in region.writes]) == TAKEN[fn]
    inputs = [{p.buffer for p in region.body.results if p.buffer.kind == "input"} for region in regions]
    copied = [s for region, held in zip(regions, inputs) for s in region.body.steps if isinstance(s, Copy) and s.write.buffer in held]
    assert bool(copied) == (fn in COPIED)


def test_a_chain_of_layers_holds_two_arrays_and_its_result() -> None:
    """What a product gives is written over by what the region makes of it."""

    def layers(x: Any, w: Any) -> Any:
        for _ in range(4):
            x = np.maximum(np.sin(x @ w), 0.1)
        return x

    rng = np.random.default_rng(0)
    x, w = rng.uniform(-1, 1, (600, 40)), rng.uniform(-1, 1, (40, 40))
    with apart_tiny(cache_bytes=1 << 12, block_elements=1 << 10):
        fast = tracer.compile(layers)
        plan = fast.plan(x, w)
        np.testing.assert_allclose(fast(x, w), layers(x, w), rtol=1e-12)
    assert sum([isinstance(step, Region) for step in plan.steps]) == 4
    assert 3 * x.nbytes <= plan.peak_bytes <= 3 * x.nbytes + (1 << 14)
