"""Shifted slices in regions: each block reads some rows before and after its own, and the first and the last are cut short.

Programs are compared with NumPy to the bit (`exact`), with themselves without regions, and gradients with differences in NumPy.
"""
from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer
from ir.plan import Region
from tests.drawn.regions import tiny

Program = Callable[[Any, Any], Any]


def heat(u: Any, v: Any) -> Any:
    for _ in range(5):
        new = u.copy()
        new[1:-1, 1:-1] += 0.2 * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * u[1:-1, 1:-1])
        u = new
    return u - v


def padded(u: Any, v: Any) -> Any:
    for _ in range(3):
        u = np.tanh(np.pad(u[2:, :] - u[:-2, :], ((1, 1), (0, 0)))) + v
    return u


def upwind(u: Any, v: Any) -> Any:
    """All shifts to one side; what is read is overwritten."""
    for _ in range(4):
        u[2:] = u[2:] - 0.3 * v[2:] * (u[2:] - u[:-2])
    return u * 1.5


def narrower(u: Any, v: Any) -> Any:
    """Each result is shorter than the one before; two lengths are given."""
    d = np.diff(u, axis=0)
    dd = (d[1:] - d[:-1]) * v[1:-1]
    return d * 2.0, np.tanh(dd) + 1.0


def held(u: Any, v: Any) -> Any:
    """Ends that are set to numbers and to another's, sums over rows."""
    w = u * v + 1.0
    w[1:-1] = 0.5 * (w[:-2] + w[2:])
    w[:-1, 0] = 3.0
    return w / np.sum(np.abs(w), axis=1, keepdims=True), np.maximum(w, v)


def summed(u: Any, v: Any) -> Any:
    """Columns summed over rows, of which the last block has none but of halos."""
    return np.sum(np.square(u[1:] - u[:-1]) * v[1:], axis=0), np.max(np.abs(u[2:] * v[:-2]), axis=0)


def turned(u: Any, v: Any) -> Any:
    """Runs of rows in one axis and back."""
    w = np.exp(-u * u)[1:-1].reshape(-1) * 2.0
    return w.reshape(u.shape[0] - 2, u.shape[1]) - v[1:-1]


def normed(u: Any, v: Any) -> Any:
    """Columns added up, and blocks of columns: the first and the last block have one column less of what is added up."""
    u, v = np.concatenate([u] * 3, axis=1), np.concatenate([v] * 3, axis=1)
    w = u * 1.0
    w[:, 1:-1] = u[:, 1:-1] / (np.sum(v[:, 1:-1] * v[:, 1:-1], axis=0) + 1.0) + np.mean(u[:, :-2] * v[:, :-2], axis=0)
    return w * 2.0


PROGRAMS = [normed, heat, padded, upwind, narrower, held, summed, turned]


def arrays(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(16, 60)), int(rng.integers(4, 40))
    u, v = rng.standard_normal((2, *shape))
    return [np.asfortranarray(u) if seed % 3 == 2 else u, v]


def leaves(found: Any) -> list[np.ndarray]:
    return list(found) if isinstance(found, tuple) else [found]


def loss(program: Program) -> Callable[..., Any]:
    def total(u: Any, v: Any) -> Any:
        value = 0.0
        for k, a in enumerate(leaves(program(u.copy(), v))):
            value = value + np.sum(a * np.cos(a + k))
        return value

    return total


def fields(seed: int) -> dict[str, int]:
    return {"block_elements": random.Random(seed).choice((1, 2, 20, 60, 200, 10**6)), "cache_bytes": random.Random(seed).choice((64, 2000))}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("program", PROGRAMS)
def test_values(program: Program, seed: int) -> None:
    """NumPy's bits, whatever the blocks and the workers."""
    u, v = arrays(seed)
    want = leaves(program(u.copy(), v.copy()))
    for exact in (True, False):
        with tiny((1, 2, 8)[seed % 3], **fields(seed)):
            fast = tracer.compile(lambda u, v: program(u.copy(), v), exact=exact)
            got = leaves(fast(u, v))
            regions = [s for s in fast.plan(u, v).steps if isinstance(s, Region)]
        assert regions
        for a, b in zip(got, want, strict=True):
            assert np.array_equal(a, b) if exact else np.allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("program", PROGRAMS)
def test_gradients(program: Program, seed: int) -> None:
    """Those without regions, and NumPy's differences along a direction."""
    u, v = arrays(seed)
    total = loss(program)

    def gradient() -> Any:
        return tracer.compile(tracer.value_and_grad(total, argnums=(0, 1)))(u, v)

    with tiny(regions=False):
        want, slopes = gradient()
    with tiny((1, 2, 8)[seed % 3], **fields(seed)):
        got, found = gradient()
    assert np.isclose(got, want, rtol=1e-12)
    for a, b in zip(found, slopes, strict=True):
        assert np.allclose(a, b, rtol=1e-11, atol=1e-11)
    du, dv = np.random.default_rng(seed + 100).standard_normal((2, *u.shape))
    h = 1e-6
    difference = (total(u + h * du, v + h * dv) - total(u - h * du, v - h * dv)) / (2 * h)
    assert np.isclose(np.sum(found[0] * du) + np.sum(found[1] * dv), difference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("elements", [1, 30, 200])
def test_a_state_that_is_read_at_shifted_rows_is_not_written_block_by_block(elements: int) -> None:
    """A blocked stencil in place would read what other blocks have written."""
    p = tracer.Parameter(np.random.default_rng(0).standard_normal((40, 6)))
    want = p.data.copy()
    with tiny(3, block_elements=elements):
        step = tracer.train_step(lambda: 0.5 * tracer.functions.sum((p[1:] - p[:-1]) ** 2), tracer.optimizers.SGD(lr=0.1), [p])
        for _ in range(3):
            step()
            d = want[1:] - want[:-1]
            want[1:] -= 0.1 * d
            want[:-1] += 0.1 * d
    assert np.allclose(p.data, want, rtol=1e-12, atol=1e-12)


def test_the_plan_says_which_rows_a_block_reads() -> None:
    u, v = arrays(0)
    with tiny(1, block_elements=20):
        fast = tracer.compile(lambda u, v: np.tanh(u[2:] + u[:-2] - 2.0 * u[1:-1]) * v[1:-1])
        assert "input0 rows +0..+2, input1 rows +1..+1" in str(fast.plan(u, v))
