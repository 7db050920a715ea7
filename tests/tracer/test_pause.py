"""The garbage collector is put back as it was, whatever happens while compiling."""
from __future__ import annotations

import gc

import numpy as np
import pytest

import tracer
from tracer.tracing.pause import no_collection


def test_runs_again_after_a_trace() -> None:
    seen = []

    def f(x):
        seen.append(gc.isenabled())
        return x + 1

    tracer.compile(f)(np.ones(2))
    assert seen == [False] and gc.isenabled()


def test_runs_again_after_a_failure() -> None:
    def f(x):
        raise KeyError("no")

    with pytest.raises(KeyError):
        tracer.compile(f)(np.ones(2))
    assert gc.isenabled()


def test_stays_off_where_it_was_off() -> None:
    gc.disable()
    try:
        with no_collection():
            with no_collection():
                pass
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
