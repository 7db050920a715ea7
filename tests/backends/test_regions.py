"""Regions against NumPy and against the same program without: drawn programs at tiny caches, each length of block, one worker, two and
eight, `exact`; the memory bill of plans with regions, as NumPy's allocator counts it; what a region's blocks must not do to their
neighbours."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer
from backends.numpy import blas
from ir.plan import Region
from tests.backends.test_memory import ROOT
from tests.drawn.grow import draw_program
from tests.drawn.regions import ELEMENTS, run_regions, tiny
from tests.drawn.test_drawn import COUNT, drawn, holds


@drawn(COUNT * 3 // 5)
def test_drawn_programs(seed: int) -> None:
    holds(draw_program(random.Random(seed), seed), run_regions)


def test_drawn_programs_have_regions() -> None:
    """Else the test above would say nothing."""
    programs = [draw_program(random.Random(seed), seed) for seed in range(30)]
    assert sum([run_regions(program).regions for program in programs]) >= 10


def test_memory() -> None:
    """The bills of drawn programs with regions, by the counting allocator in a child process."""
    command = [sys.executable, "-m", "tests.drawn.memory", "900", str(max(COUNT // 10, 1)), "--regions"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    assert done.stdout.strip() == "all as planned", done.stdout + done.stderr


def softmax(x: Any) -> Any:
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


def layer_norm(x: Any) -> Any:
    d = x - np.mean(x, axis=1, keepdims=True)
    return d / np.sqrt(np.mean(d * d, axis=1, keepdims=True) + 1e-5)


def columns(x: Any) -> Any:
    """Several kinds of parts, among them extrema of negative numbers and a sum that is -0.0."""
    y = np.tanh(x) * 0.5
    return np.sum(y, axis=0), np.max(y - 2, axis=0), np.min(y + 2, axis=0), np.sum(y * y), np.sum(y * -0.0, axis=0)


def both_ways(x: Any) -> Any:
    """A part that is read by the same rows again: two regions."""
    y = np.exp(x) + 1
    return y / np.sum(y, axis=0)


def integers(x: Any) -> Any:
    n = np.rint(x * 10).astype(np.int64)
    return np.sum(n * n, axis=0), np.max(n, axis=0), n % 7 - 3


def turned(x: Any) -> Any:
    """Blocks along what is not the first axis in memory."""
    y = np.exp(x.T) * 2
    return y - np.max(y, axis=0), y


def diagonal(x: Any) -> Any:
    """Written row by row, at columns that index arrays say: no block of columns has them all."""
    return np.mean(np.diag(np.exp(x[0])), axis=0), np.mean(np.diag(x[:, 0]), axis=1)


def regrouped(x: Any) -> Any:
    """Columns of as many indices as the rows of what they are regrouped into, which are no columns."""
    column = np.exp(x[0])
    y = np.exp(x) * column
    return y.reshape(x.shape[::-1]) * 2 + column[:, None]


FUNCTIONS = [softmax, layer_norm, columns, both_ways, integers, turned, diagonal, regrouped]
SHAPES = [(2, 3), (5, 4), (33, 3)]


def strided(x: np.ndarray) -> np.ndarray:
    return np.repeat(x, 2, axis=0)[::2]


def plans_regions(fast: Any, x: np.ndarray) -> bool:
    return any(isinstance(step, Region) for step in fast.plan(x).steps)


def agree(got: Any, want: Any, exact: bool, what: str) -> None:
    for a, b in zip(got if isinstance(got, tuple) else (got,), want if isinstance(want, tuple) else (want,), strict=True):
        if exact:
            assert a.tobytes() == b.tobytes(), what
        else:
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15, err_msg=what)
        assert a.dtype == b.dtype and np.array_equal(np.signbit(a), np.signbit(b)), what


@pytest.mark.parametrize("fn", FUNCTIONS)
@pytest.mark.parametrize("exact", [False, True])
def test_each_length_of_block(fn: Callable[[Any], Any], exact: bool) -> None:
    """From blocks of two rows to one block larger than the array; C, F and strided arrays."""
    rng, regions, several = np.random.default_rng(0), 0, itertools.cycle((2, 8))
    for elements, shape, layout in itertools.product(ELEMENTS, SHAPES, (np.array, np.asfortranarray, strided)):
        if (elements in ELEMENTS[:2]) != (shape == SHAPES[-1] or layout is not np.array):
            continue  # not all of them with each other
        x, bits = layout(rng.uniform(-2, 2, shape)), set()
        for workers in (1, next(several)):
            with tiny(workers, block_elements=elements):
                fast = tracer.compile(fn, exact=True) if exact else tracer.compile(fn)
                got = fast(x)
                regions += plans_regions(fast, x)
            agree(got, fn(x), exact, f"{shape} {x.strides} {elements} {workers}")
            bits.add(b"".join([a.tobytes() for a in (got if isinstance(got, tuple) else (got,))]))
        assert len(bits) == 1, "the number of workers changes bits"
    assert regions


def test_nan_and_infinity_pass_through_parts() -> None:
    x = np.ones((9, 3))
    x[4, 1], x[5, 2], x[6, 0] = np.nan, np.inf, -np.inf
    with tiny(3), np.errstate(all="ignore"):
        fast = tracer.compile(columns)
        got = fast(x)
        assert plans_regions(fast, x)
    for a, b in zip(got, columns(x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def test_replays_and_results_are_apart() -> None:
    """The parts begin anew at each call, and a result is not written again."""
    rng = np.random.default_rng(1)
    with tiny(3):
        fast = tracer.compile(columns)
        given = [rng.normal(size=(17, 4)) for _ in range(3)]
        got = [fast(x) for x in given]
        assert plans_regions(fast, given[0])
    for x, results in zip(given, got, strict=True):
        agree(results, columns(x), False, "after later calls")


def test_warnings_come_from_workers_too() -> None:
    """The caller's errstate holds in each worker."""
    x = np.full((40, 4), 1e3)
    with tiny(3):
        fast = tracer.compile(lambda x: np.exp(x) * 2 + 1)
        with np.errstate(over="raise"), pytest.raises(FloatingPointError):
            fast(x)
        with np.errstate(over="ignore"):
            assert np.isinf(fast(x)).all()


def test_products_beside_a_region_that_forks_have_one_thread() -> None:
    """BLAS's own threads would wait awake for their next product; the caller's setting is back after the call."""
    rng = np.random.default_rng(2)
    x, W = rng.normal(size=(64, 8)), rng.normal(size=(8, 8))
    before = blas.SETTING.get() if blas.SETTING else None
    found = []
    for workers in (1, 2, 8):
        with tiny(workers, fork_ns=0.0):
            fast = tracer.compile(lambda x, W: columns(np.tanh(x) + 1)[0] @ np.tanh(W @ W))
            found.append(fast(x, W).tobytes())
            assert fast.plan(x, W).blas_threads == 1 and "with blas_threads(1)" in fast.source(x, W)
    assert len(set(found)) == 1
    assert blas.SETTING is None or blas.SETTING.get() == before


@pytest.mark.long
def test_the_long_run() -> None:
    """As `python -m tests.drawn --regions` does it, other programs than those above."""
    for seed in range(8_000_000, 8_000_000 + 4 * COUNT):
        holds(draw_program(random.Random(seed), seed), run_regions)
