"""Workers and the process: their number, when threads start, signals, forked children, the end of the interpreter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

import tracer
from backends.numpy import workers

HEAD = """
import os, signal, sys, threading, time
import numpy as np
from functools import partial
from backends.numpy import workers
workers.set_threads(3)
out = np.zeros((6, 50000))
def tasks():
    return [partial(np.add, row, 1.0, out=row) for row in out]
"""


def run(code: str) -> str:
    """What a child process prints that runs `code`; it ends by itself and without a word on stderr."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", HEAD + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.strip()


def test_threads_start_when_needed_and_end_when_there_are_too_many() -> None:
    code = """
assert threading.active_count() == 1
workers.fork(tasks()[:1]); workers.fork([])
assert threading.active_count() == 1
workers.fork(tasks()[:2])
assert threading.active_count() == 2
workers.fork(tasks())
assert threading.active_count() <= 3
for n in (2, 8, 4, 2, 1):
    workers.set_threads(n)
    workers.fork(tasks())
until = time.monotonic() + 20
while threading.active_count() > 1 and time.monotonic() < until: time.sleep(0.01)
assert threading.active_count() == 1
"""
    assert run(code) == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no os.fork")
def test_a_forked_child_has_workers_of_its_own() -> None:
    code = """
workers.fork(tasks())
stop = []
def busy():
    while not stop:
        workers.fork(tasks())
callers = [threading.Thread(target=busy) for _ in range(3)]
for caller in callers: caller.start()
for _ in range(20):
    child = os.fork()
    if not child:
        out[...] = 0.0
        before = threading.active_count()
        workers.fork(tasks())
        os._exit(0 if (out == 1.0).all() and before == 1 and threading.active_count() > 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.append(1)
for caller in callers: caller.join()
"""
    run(code)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
def test_interrupts_wait_for_the_workers() -> None:
    code = """
inside, most = [0] * 6, 0
def one(k):
    inside[k] = 1
    for _ in range(3): np.add(out[k], 1.0, out=out[k])
    inside[k] = 0
def ring(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, ring)
came = through = 0
random = np.random.default_rng(1)
until = time.monotonic() + 1
while time.monotonic() < until:
    inside = [0] * 6
    mine = threading.get_ident()
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 6e-4))
        try:
            workers.fork([partial(one, k) for k in range(6)])
        finally:
            running = sum(inside)
        through += 1
    except KeyboardInterrupt:
        came += 1
        assert running <= 1, inside   # the task of the main thread itself was cut short, no other one runs
    while True:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
            break
        except KeyboardInterrupt:
            pass
assert came > 20, (came, through)
before = out.copy()
workers.fork(tasks())
assert (out == before + 1).all()
met = threading.Barrier(3)
workers.fork([lambda: met.wait(30)] * 3)   # no worker was lost
"""
    run(code)


def test_the_end() -> None:
    code = """
import atexit
class Late:
    def __del__(self):
        workers.fork(tasks())
workers.fork(tasks())
late = Late()
atexit.register(lambda: workers.fork(tasks()))
def busy():
    while True: workers.fork(tasks())
threading.Thread(target=busy, daemon=True).start()
time.sleep(0.05)
"""
    run(code)


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2"])
def test_no_number_of_threads(n: object) -> None:
    with pytest.raises(tracer.ArgumentError, match="threads"):
        tracer.set_threads(n)  # type: ignore[arg-type]


@pytest.mark.parametrize(("asked", "given"), [("3", 3), (" 5,2", 5), ("", None), ("0", None), ("-2", None), ("many", None)])
def test_default(asked: str, given: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert tracer.set_threads(None) == workers.threads() == (given or processors)
    monkeypatch.undo()
    tracer.set_threads(None)
