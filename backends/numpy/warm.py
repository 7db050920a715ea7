"""The buffers of BLAS, used once before a plan's products need them.

OpenBLAS packs the operands of a product into a buffer; each of the threads that multiply at the same time has one. Until a product of
another shape has been through a buffer, the same products in float32 take four times as long in it (OpenBLAS 0.3.31, 2 cores with AVX2:
9 against 35 GFLOPS, two threads at once 10 against 67), however often they run; why, we have not found out. Its own threads do not show
this. So before a plan's first run each worker multiplies zeros for some milliseconds, all of them at the same time.
"""
from __future__ import annotations

import threading
import time

import numpy as np

from backends.numpy.blas import SETTING, blas_threads
from backends.numpy.workers import fork

ROWS, SUMMED, COLUMNS = 256, 32, 512
TOGETHER, PATIENCE = 0.003, 0.05  # seconds for which all multiply, and for which the first waits for the others
LEAST = 1 << 16  # multiplications: smaller products don't pack

_lock = threading.Lock()
_warmed = 0  # by so many threads at the same time


def warm_up(count: int) -> None:
    """Has `count` threads multiply at the same time, once in a process for each count that is larger than those before."""
    global _warmed
    with _lock:
        if SETTING is None or count <= _warmed:
            return
        _warmed = count
    begun: list[None] = []
    with blas_threads(1) as held, held:
        fork([lambda: _multiply(begun, count)] * count)


def _multiply(begun: list[None], count: int) -> None:
    """Into memory that NumPy was not asked for: a plan's memory is counted."""
    shapes = (ROWS, SUMMED), (SUMMED, COLUMNS), (ROWS, COLUMNS)
    x, y, out = [np.frombuffer(bytearray(4 * m * n), np.float32).reshape(m, n) for m, n in shapes]
    begun.append(None)
    ends, last = None, time.perf_counter() + PATIENCE
    while (now := time.perf_counter()) < (ends or last):
        if ends is None and len(begun) == count:
            ends = now + TOGETHER
        np.dot(x, y, out)
