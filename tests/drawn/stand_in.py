"""Drawn programs with backend="cupy", on the stand-in for CuPy: as `runner.run` judges them, results brought to the host before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backends
import tracer
from tests.backends.cupy import standin
from tests.drawn import runner
from tests.drawn.program import Program
from tests.drawn.runner import Outcome, run


def run_cupy(program: Program) -> Outcome:
    """What does not hold of a program; that a device gives 0-d arrays where NumPy gives numbers is as it must be."""
    with standin.installed(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "compiled", _compiled)
        patch.setattr(standin.ndarray, "__array__", lambda self, dtype=None, copy=None: np.array(self._a, dtype))  # what is compared
        outcome = run(program)
    outcome.wrong = [what for what in outcome.wrong if "KIND" not in what]
    return outcome


def _compiled(fn: Any, exact: bool) -> Any:
    fast = tracer.compile(fn, backend="cupy")
    return lambda *args: _on_host(fast(*args))


def _on_host(tree: Any) -> Any:
    if isinstance(tree, (list, tuple)):
        return type(tree)([_on_host(part) for part in tree])
    if isinstance(tree, dict):
        return {k: _on_host(v) for k, v in tree.items()}
    held = tree.data if isinstance(tree, tracer.Variable) else tree
    return held if backends.owner(held) is None else backends.to_host(held)[()]
