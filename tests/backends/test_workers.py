"""Workers: all tasks run once, whoever runs them; errors, context, forks in forks, threads, signals, forked children, the end."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest

import tracer
from backends.numpy import workers

SIZE = 1 << 14


@pytest.fixture(autouse=True, params=[1, 2, 8])
def count(request: pytest.FixtureRequest) -> Iterator[int]:
    tracer.set_threads(request.param)
    yield request.param
    tracer.set_threads(None)


def squares(out: np.ndarray) -> list[partial[None]]:
    """A task for each row; row k becomes the squares of k, k + 1, ..."""

    def one(k: int) -> None:
        np.square(np.arange(k, k + out.shape[1], dtype=float), out=out[k])

    return [partial(one, k) for k in range(len(out))]


def test_every_task_runs_once() -> None:
    for rows in (0, 1, 2, 3, 17):
        out = np.zeros((rows, SIZE))
        workers.fork(squares(out))
        np.testing.assert_array_equal(out, (np.arange(rows)[:, None] + np.arange(SIZE)) ** 2.0)
    times = [0] * 200
    for _ in range(20):
        workers.fork([partial(lambda k: times.__setitem__(k, times[k] + 1), k) for k in range(200)])
    assert times == [20] * 200


def test_as_many_threads_as_set(count: int) -> None:
    met = threading.Barrier(count)
    idents: set[int] = set()
    workers.fork([lambda: (met.wait(30), idents.add(threading.get_ident()))] * count)
    assert len(idents) == count and threading.get_ident() in idents


def test_the_first_error_by_position_when_all_have_ended(count: int) -> None:
    ended = []

    def late() -> None:
        time.sleep(0.02)
        ended.append(1)
        raise ZeroDivisionError("late")

    def early() -> None:
        ended.append(3)
        raise KeyError("early")

    with pytest.raises(ZeroDivisionError, match="late"):
        workers.fork([lambda: None, late, lambda: ended.append(2), early])
    assert sorted(ended) == [1, 2, 3]

    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        workers.fork([lambda: time.sleep(0.01), leave] * 3)
    test_every_task_runs_once()


def test_errstate_of_the_caller_holds() -> None:
    zero, out = np.zeros(SIZE), np.zeros((8, SIZE))
    tasks = [partial(np.divide, 1.0, zero, out=row) for row in out]
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        workers.fork(tasks)
    seen: list[tuple[str, int]] = []
    with np.errstate(divide="call", call=lambda kind, flag: seen.append((kind, flag))):
        workers.fork(tasks)
    assert len(seen) == 8
    with np.errstate(divide="ignore"):
        workers.fork(tasks)
        assert np.geterr()["divide"] == "ignore"


def test_a_task_that_forks_runs_its_tasks_itself() -> None:
    def outer(k: int) -> None:
        idents: list[int] = []
        workers.fork([lambda: idents.append(threading.get_ident())] * 3)
        inner[k] = idents == [threading.get_ident()] * 3

    inner = [False] * 6
    workers.fork([partial(outer, k) for k in range(6)])
    assert all(inner)


def test_from_sixteen_threads() -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        for k in range(30):
            out = np.zeros((1 + (seed + k) % 5, 2000))
            workers.fork(squares(out))
            if not np.array_equal(out, (np.arange(len(out))[:, None] + np.arange(2000)) ** 2.0):
                wrong.append(seed)

    callers = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert not wrong and not any(caller.is_alive() for caller in callers)


def test_nothing_is_kept() -> None:
    kept = [np.zeros(SIZE) for _ in range(4)]
    alive = [weakref.ref(x) for x in kept]
    gc.disable()
    try:
        workers.fork([partial(np.add, x, 1.0, out=x) for x in kept])
        with pytest.raises(ValueError):
            workers.fork([partial(np.add, x, 1.0, out=np.zeros(3)) for x in kept])
        del kept
        until = time.monotonic() + 10
        while any(ref() is not None for ref in alive) and time.monotonic() < until:
            time.sleep(0.01)  # a worker lets go a moment after the fork
        assert not any(ref() is not None for ref in alive)
    finally:
        gc.enable()


def test_alone_but_for_the_workers(count: int) -> None:
    assert workers.alone()
    met = threading.Barrier(count)
    workers.fork([lambda: met.wait(30)] * count)
    assert workers.alone()
    leave = threading.Event()
    other = threading.Thread(target=leave.wait)
    other.start()
    assert not workers.alone()
    leave.set()
    other.join()
