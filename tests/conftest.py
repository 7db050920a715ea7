"""What every test shares: passes run between two verifiers, drawn tests draw the same each time, pictures need no screen.

In a worker of pytest-xdist the thread through which it hears from its master is none of the program's: those who ask which threads run
do not see it, as in a run without workers.
"""
from __future__ import annotations

import gc
import importlib.util
import os
import sys
import threading

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("MPLBACKEND", "Agg")

settings.register_profile("gradplan", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=False)
settings.load_profile("gradplan")

if importlib.util.find_spec("ir.passes") is not None:
    import ir.passes

    ir.passes.VERIFY = True


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        frames = sys._current_frames
        theirs = set(frames()) - {threading.get_ident()}
        sys._current_frames = lambda: {thread: frame for thread, frame in frames().items() if thread not in theirs}


def pytest_collection_finish() -> None:
    """What stands before the first test stands to the end: tests that collect garbage need not look through it."""
    gc.collect()
    gc.freeze()
