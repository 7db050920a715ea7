"""What would happen while tracing only: random numbers drawn, generators made without a seed, plain values written into plain arrays."""
from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer

X = np.ones(3)
RNG, STATE, PLAIN, BITS = np.random.default_rng(0), np.random.RandomState(1), random.Random(2), np.random.PCG64(3)


class Layer:
    def __init__(self) -> None:
        self.rng = np.random.default_rng(4)

    def __call__(self, x: Any) -> Any:
        return x + self.rng.normal(size=3)


def noise(n: int) -> Any:
    return np.random.standard_normal(n)


def dropout(x: Any) -> Any:
    return x * noise(3)


LAYER = Layer()
CASES: dict[str, tuple[Callable[..., Any], str]] = {
    "np.random": (lambda x: x + np.random.rand(3), "np.random"),
    "random": (lambda x: x * random.random(), "random"),
    "Generator": (lambda x: x + RNG.normal(size=3), "RNG"),
    "RandomState": (lambda x: x + STATE.rand(3), "STATE"),
    "Random": (lambda x: x * PLAIN.random(), "PLAIN"),
    "BitGenerator": (lambda x: x * BITS.random_raw(), "BITS"),
    "an attribute": (lambda x: x + LAYER.rng.normal(size=3), "LAYER.rng"),
    "an object": (LAYER, "rng"),
    "permutation": (lambda x: x[np.random.permutation(3)], "np.random"),
    "a seeded global": (lambda x: (np.random.seed(3), x + np.random.rand(3))[1], "np.random"),
}


@pytest.mark.parametrize("name", CASES)
def test_drawing_is_an_error_and_spends_nothing(name: str) -> None:
    fn, source = CASES[name]
    np.random.seed(7)
    random.seed(7)
    before = [np.random.get_state()[1].copy(), random.getstate(), RNG.bit_generator.state, PLAIN.getstate(), BITS.state]
    with pytest.raises(tracer.TraceError, match=rf"drawn from {source} while tracing[\s\S]*test_draws.py:[\s\S]*mend: draw outside"):
        tracer.compile(fn)(X)
    after = [np.random.get_state()[1].copy(), random.getstate(), RNG.bit_generator.state, PLAIN.getstate(), BITS.state]
    assert repr(before) == repr(after)


def test_the_line_is_that_of_the_helper_that_draws() -> None:
    with pytest.raises(tracer.TraceError) as caught:
        tracer.compile(dropout)(X)
    assert caught.value.line is not None and caught.value.line.number == noise.__code__.co_firstlineno + 1


@pytest.mark.parametrize("made", [np.random.default_rng, np.random.RandomState, random.Random, np.random.PCG64], ids=lambda m: m.__name__)
def test_generators_among_the_arguments_are_watched(made: Any) -> None:
    given = made(0)
    draw = (lambda g: g.random_raw()) if made is np.random.PCG64 else (lambda g: g.random())
    with pytest.raises(tracer.TraceError, match="drawn from g while"):
        tracer.compile(lambda x, g: x * draw(g))(X, given)
    with pytest.raises(tracer.TraceError, match=r"drawn from d\['g'\] while"):
        tracer.compile(lambda d: d["x"] * draw(d["g"]))({"x": X, "g": given})
    assert draw(given) == draw(made(0))
    np.testing.assert_array_equal(tracer.compile(lambda x, g: x * 2)(X, given), X * 2)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x + np.random.default_rng().random(3), lambda x: x + np.random.RandomState().rand(3),
        lambda x: x + np.random.Generator(np.random.PCG64()).random(3), lambda x: x + np.random.RandomState(seed=None).rand(3),
        lambda x: x + np.random.default_rng(np.random.SeedSequence()).random(3),
    ],
)
def test_a_generator_made_without_a_seed_is_an_error(fn: Any) -> None:
    with pytest.raises(tracer.TraceError, match=r"made without a seed while tracing[\s\S]*test_draws.py:[\s\S]*mend: make it outside"):
        tracer.compile(fn)(X)
    assert np.random.default_rng().random() != np.random.default_rng().random()  # nothing is left in NumPy


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x + np.random.default_rng(7).random(3), lambda x: x + np.random.RandomState(7).rand(3),
        lambda x: x * random.Random(7).random(), lambda x: x + np.random.Generator(np.random.PCG64(7)).random(3),
    ],
)
def test_a_generator_made_with_a_seed_draws_the_same_at_each_call(fn: Any) -> None:
    fast = tracer.compile(fn)
    for x in (X, X * 2):
        np.testing.assert_array_equal(fast(x), fn(x))


def test_other_threads_may_make_generators() -> None:
    done = threading.Event()
    failed: list[BaseException] = []

    def make() -> None:
        try:
            while not done.is_set():
                np.random.default_rng()
        except BaseException as error:  # noqa: BLE001  # shown below
            failed.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    try:
        for k in range(20):
            tracer.compile(lambda x, k=k: np.sin(x) * k)(X)
    finally:
        done.set()
        thread.join()
    assert not failed


BUFFER = np.zeros(3)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: (BUFFER.__setitem__(slice(None), BUFFER + 1), x + BUFFER)[1], lambda x: (BUFFER.__iadd__(1), x * BUFFER)[1],
        lambda x: (x * BUFFER, np.add(BUFFER, 1, out=BUFFER))[0], lambda x: (BUFFER.fill(BUFFER[0] + 3), x + BUFFER)[1],
    ],
)
def test_plain_values_written_into_an_array_that_is_computed_with(fn: Any) -> None:
    words = r"writes plain values into the array BUFFER[\s\S]*test_draws.py:[\s\S]*mend: write it before the call"
    with pytest.raises(tracer.TraceError, match=words):
        tracer.compile(fn)(X)


def test_as_an_argument_it_is_written_at_each_call() -> None:
    def count(x: Any, buffer: Any) -> Any:
        buffer += 1
        return x * buffer

    fast, mine, theirs = tracer.compile(count), np.zeros(3), np.zeros(3)
    for _ in range(3):
        np.testing.assert_array_equal(fast(X, mine), count(X, theirs))
        np.testing.assert_array_equal(mine, theirs)


def test_plain_arrays_of_its_own_may_be_written() -> None:
    def fn(x: Any) -> Any:
        weights = np.zeros(3)
        weights[:2] = [1.0, 2.0]
        weights += 0.5
        return x * weights

    np.testing.assert_array_equal(tracer.compile(fn)(X), fn(X))
