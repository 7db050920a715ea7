"""BLAS threads and the process: NumPy's own library is found and set, interrupts and forked children leave it as it was."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from backends.numpy import blas
from backends.numpy.blas import Setting, blas_threads
from tests.backends.test_blas import Process, real


@real
def test_it_is_the_setting_of_numpys_blas() -> None:
    known = pytest.importorskip("threadpoolctl")

    def counts() -> list[int]:
        return [lib["num_threads"] for lib in known.threadpool_info() if lib["user_api"] == "blas" and "numpy" in lib["filepath"]]

    if not (before := counts()):
        pytest.skip("threadpoolctl does not know NumPy's BLAS")
    for count in (1, 2):
        with blas_threads(count):
            assert counts() == [count]
        assert counts() == before


def test_the_setter_is_found_by_name() -> None:
    def library(prefix: str, suffix: str, parallel: int) -> SimpleNamespace:
        """An OpenBLAS, as far as can be seen."""
        openblas = {f"{prefix}openblas_{name}{suffix}": lambda *_, v=v: v
                    for name, v in (("get_num_threads", 5), ("set_num_threads", None), ("get_parallel", parallel))}  # fmt: skip
        return SimpleNamespace(**openblas, omp_get_max_threads=lambda: 6, omp_set_num_threads=lambda n: None)

    for prefix, suffix in (("scipy_", "64_"), ("", "")):
        found = blas.find([SimpleNamespace(), library(prefix, suffix, 1)])
        assert found is not None and found[0] == f"{prefix}openblas_set_num_threads{suffix}" and found[1]() == 5
    found = blas.find([library("", "", 2)])
    assert found is not None and found[0] == "omp_set_num_threads" and found[1]() == 6
    assert blas.find([SimpleNamespace()]) is None


def test_without_a_setter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "SETTING", None)
    with blas_threads(1), blas_threads(2):
        pass


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
def test_interrupts_put_it_back() -> None:
    process = Process()
    setting = Setting(process.get, process.set)
    stop, came, draw = threading.Event(), 0, random.Random(1)

    def other() -> None:
        while not stop.is_set():
            with setting.hold(2):
                pass

    def ring(*_: object) -> None:
        raise KeyboardInterrupt

    rival, before = threading.Thread(target=other), signal.signal(signal.SIGALRM, ring)
    rival.start()
    until = time.monotonic() + 1
    while time.monotonic() < until:
        try:
            signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-5, 2e-4))
            while True:
                with setting.hold(1) as one, one, setting.hold(3) as three, three:
                    assert process.value == 3
        except KeyboardInterrupt:
            came += 1
    signal.signal(signal.SIGALRM, before)
    stop.set()
    rival.join(60)
    assert came > 20 and process.value == 7 and not setting.holders and not setting.queue


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no os.fork")
@real
def test_a_forked_child_has_the_setting_back() -> None:
    code = """
import os, threading
from backends.numpy import blas
s = blas.SETTING
own, inside, leave = s.get(), threading.Event(), threading.Event()
def other():
    with s.hold(own + 1):
        inside.set(); leave.wait(30)
t = threading.Thread(target=other); t.start(); inside.wait(30)
child = os.fork()
if not child:
    ok = s.get() == own
    with s.hold(own + 2): ok = ok and s.get() == own + 2
    os._exit(0 if ok and s.get() == own else 1)
leave.set(); t.join()
assert os.waitpid(child, 0)[1] == 0 and s.get() == own
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)
