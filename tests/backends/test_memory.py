"""The memory bill is true to the byte: what NumPy's allocator is asked for in a first run is `plan.peak_bytes`, in a replay the
results and the stated scratch. Counted in child processes by an allocator of our own (`allocator.py`)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.backends.test_kernels import NAMES

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def measured(*arguments: str) -> str:
    command = [sys.executable, "-m", "tests.backends.measure", *arguments]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300)
    return (done.stdout + done.stderr).strip()


def test_every_kernel() -> None:
    assert measured("kernels", *NAMES) == "all as planned"


@pytest.mark.parametrize("seed", [0, 1000])
def test_drawn_programs(seed: int) -> None:
    assert measured("drawn", str(seed), "40") == "all as planned"
