"""The same function, target and options: the same texts and bits, in whatever process, after whatever else, in whatever thread."""
from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import tracer
from tests.tracer import deterministic
from tests.tracer.bits import bits

ROOT = Path(__file__).parents[2]


def child(seed: str, *names: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.tracer.deterministic", *names]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def test_texts_and_bits_are_the_same_in_each_process() -> None:
    alone = [child("0"), child("1"), child("4242"), child("7", "written"), child("8", "step")]
    said = [dict(line.rsplit(" ", 1) for line in process.communicate()[0].splitlines()) for process in alone]
    assert all(process.returncode == 0 for process in alone)
    here = {name: deterministic.digest(found) for name, found in deterministic.programs().items()}
    assert said[0].keys() == here.keys() and len(here) >= 8
    for other in said[1:]:
        assert other.items() <= said[0].items()
    # here other tests ran before, and passes are verified: the program is the same
    assert here == said[0]


def test_the_order_of_compiling_does_not_matter() -> None:
    forwards = {name: deterministic.digest(found) for name, found in deterministic.programs().items()}
    backwards = {name: deterministic.digest(found) for name, found in reversed(deterministic.programs().items())}
    assert forwards == backwards


def test_threads_that_trace_at_the_same_time_make_the_same() -> None:
    want = {name: deterministic.digest(found) for name, found in deterministic.programs().items()}
    gate = threading.Barrier(4)
    found: list[dict[str, str]] = []

    def run() -> None:
        gate.wait()
        found.append({name: deterministic.digest(parts) for name, parts in deterministic.programs().items()})

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [want] * 4


def test_calls_from_many_threads_have_the_bits_of_one() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 32)), rng.standard_normal((32, 64))
    fast = tracer.compile(lambda x, y: ((np.tanh(x @ y) @ x).sum(0), np.exp(x).mean(), (x / x.std(0)).T))
    want = [bits(part) for part in fast(x, y)]
    wrong: list[int] = []

    def run(k: int) -> None:
        for _ in range(50):
            if [bits(part) for part in fast(x, y)] != want:
                wrong.append(k)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("exact", [False, True])
def test_layouts_of_memory_around_do_not_show_in_the_texts(exact: bool) -> None:
    x = deterministic.X
    aside = np.empty(x.nbytes + 8, np.uint8)[8:].view(np.float64).reshape(x.shape)  # at another alignment
    aside[...] = x
    one, two = (tracer.compile(deterministic.written, exact=exact) for _ in range(2))
    assert [bits(a) for a in one(x)] == [bits(a) for a in two(aside)]
    assert (str(one.plan(x)), one.source(x)) == (str(two.plan(aside)), two.source(aside))
