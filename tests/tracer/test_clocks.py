"""Clocks and the system's random numbers: what they said while tracing is an error where it would be repeated, and no fault elsewhere."""
from __future__ import annotations

import datetime
import datetime as dt
import os
import random
import secrets
import threading
import time
import uuid
from collections.abc import Callable
from time import perf_counter as clock
from typing import Any

import numpy as np
import pytest

import tracer
from tracer import optimizers

X = np.ones(3)
AT = [time.monotonic]
SOON = dt.date.today() + dt.timedelta(days=200)


class Timer:
    def __init__(self) -> None:
        self.now = time.time


TIMER = Timer()


def helper() -> float:
    return time.time()


def inside(x: Any) -> Any:
    import time as t

    return x * t.perf_counter()


READ: dict[str, Callable[..., Any]] = {
    "time.time": lambda x: x * time.time(), "by name": lambda x: x + clock(), "nanoseconds": lambda x: x * time.monotonic_ns(),
    "a difference": lambda x: x * (time.time() - 1.7e9), "today": lambda x: x * dt.date.today().year,
    "now": lambda x: x * datetime.datetime.now().timestamp(), "the year": lambda x: x * time.localtime().tm_year,
    "as an array": lambda x: x * np.full(3, time.time()), "returned": lambda x: (x, time.time()),
    "in a helper": lambda x: x * helper(), "imported inside": inside, "in a list": lambda x: x * AT[0](),
    "an attribute": lambda x: x * TIMER.now(), "a cell": (lambda now: lambda x: x * now())(time.perf_counter),
    "a default": lambda x, now=time.perf_counter: x * now(), "urandom": lambda x: x * int.from_bytes(os.urandom(4), "big"),
    "secrets": lambda x: x * secrets.randbelow(10**9), "uuid": lambda x: x * (uuid.uuid4().int % 10**9),
    "random": lambda x: x * random.Random().random(), "a branch": lambda x: x if dt.date.today() < SOON else -x,
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_what_would_be_repeated_is_an_error(name: str) -> None:
    with pytest.raises(tracer.TraceError, match=r"read while tracing, and later calls would repeat[\s\S]*mend: read it outside") as caught:
        tracer.compile(READ[name])(X)
    if name != "returned":
        assert caught.value.line is not None and "test_clocks.py:" in str(caught.value)
    assert time.time() < 4e9 and datetime.datetime is dt.datetime and isinstance(time.time, type(time.sleep))


def test_a_clock_that_is_not_in_the_trace_is_no_fault(capsys: Any) -> None:
    spent = []

    def fn(x: Any) -> Any:
        start = time.perf_counter()
        y = np.tanh(x) * random.Random(7).random()
        spent.append(time.perf_counter() - start)
        return y

    fast = tracer.compile(fn)
    np.testing.assert_array_equal(fast(X), fn(X))
    assert len(spent) == 2 and fast.explain().traces == 1 and min(spent) >= 0


def test_gradients_and_steps() -> None:
    with pytest.raises(tracer.TraceError, match="were read while tracing"):
        tracer.grad(lambda x: np.sum(x * time.time()))(X)
    with pytest.raises(tracer.TraceError, match="were read while tracing"):
        tracer.train_step(lambda p: np.sum(p * time.time()), optimizers.SGD(lr=0.1), X)()
    np.testing.assert_array_equal(tracer.compile(lambda x, now: x * now)(X, 3.0), X * 3)


def test_another_thread_s_clock_goes_on() -> None:
    seen: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.append(time.time())

    def slow(x: Any) -> Any:
        start = time.time()
        while time.time() - start < 0.02:
            pass
        return x * 2

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        tracer.compile(slow)(X)
    finally:
        done.set()
        thread.join()
    assert max(seen) - min(seen) < 60


def test_what_the_function_counts_is_counted_once() -> None:
    calls = [0]

    def fn(x: Any) -> Any:
        calls[0] += 1
        start = time.time()
        return x * 2 if time.time() >= start else x

    np.testing.assert_array_equal(tracer.compile(fn)(X), X * 2)
    assert calls == [1]
    with pytest.raises(tracer.TraceError, match="or what the function itself changes"):
        tracer.compile(lambda x: (fn(x), x * calls[0])[1])(X)
