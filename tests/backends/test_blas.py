"""BLAS threads: inside a block BLAS has the block's count whatever other threads want, after it what it had before."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest

from backends.numpy import blas
from backends.numpy.blas import Setting

real = pytest.mark.skipif(blas.SETTING is None, reason="this BLAS has no setter")


class Process:
    """A setting that notes what it was set to, by a function of C as a library's setter is one."""

    def __init__(self) -> None:
        self.sets = list[int]()
        self.set = self.sets.append

    @property
    def value(self) -> int:
        return self.sets[-1] if self.sets else 7

    def get(self) -> int:
        return self.value


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
def setting(process: Process) -> Setting:
    return Setting(process.get, process.set)


def test_set_and_put_back(process: Process, setting: Setting) -> None:
    for count, sets in ((1, [1, 7]), (7, []), (None, [])):
        process.sets.clear()
        with setting.hold(count):
            assert process.value == (count or 7)
        assert process.value == 7 and process.sets == sets


def test_put_back_after_an_error(process: Process, setting: Setting) -> None:
    for error in (ValueError, KeyboardInterrupt, SystemExit):
        with pytest.raises(error), setting.hold(2):
            raise error
        assert process.value == 7 and not setting.holders


def test_nested(process: Process, setting: Setting) -> None:
    with setting.hold(1):
        with setting.hold(1), setting.hold(3), setting.hold(None):
            assert process.value == 7
        assert process.value == 1
        with pytest.raises(ValueError), setting.hold(3):
            assert process.value == 3
            raise ValueError
        assert process.value == 1
    assert process.value == 7


def test_two_that_nest_crosswise_do_not_wait_for_each_other(process: Process, setting: Setting) -> None:
    met, seen = threading.Barrier(2), []

    def work(inner: int) -> None:
        with setting.hold(1):
            met.wait(30)
            with setting.hold(inner):
                seen.append((inner, process.value))
            seen.append((1, process.value))

    run([threading.Thread(target=work, args=(inner,)) for inner in (2, 3)])
    assert sorted(seen) == [(1, 1), (1, 1), (2, 2), (3, 3)] and process.value == 7


def test_same_counts_share(process: Process, setting: Setting) -> None:
    met = threading.Barrier(4)

    def work() -> None:
        with setting.hold(2):
            met.wait(30)

    run([threading.Thread(target=work) for _ in range(4)])
    assert process.sets == [2, 7]


def run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize("which", ["noted", pytest.param("real", marks=real)])
def test_sixteen_threads_with_mixed_wants(which: str, process: Process, setting: Setting) -> None:
    if which == "real":
        assert blas.SETTING is not None
        setting = blas.SETTING
    before, wrong, x = setting.get(), [], np.ones((40, 40))

    def work(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(60):
            count = draw.choice([1, 1, 2, None])
            with setting.hold(count):
                first = setting.get()
                if draw.random() < 0.2:
                    with setting.hold(1):
                        wrong.extend([1] * (setting.get() != 1))
                x @ x
                if not first == setting.get() == (count or before):
                    wrong.append((first, count))

    run([threading.Thread(target=work, args=(seed,)) for seed in range(16)])
    assert not wrong and setting.get() == before and not setting.holders and not setting.queue
