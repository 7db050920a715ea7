"""The NumPy backend: plans become straight-line Python that calls NumPy with `out=` into planned memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from backends.base import Look, Settle
from backends.numpy.arrays import NumpyArrays
from backends.numpy.emit import emit_source
from backends.numpy.ground import NumpyGround
from backends.numpy.target import TARGET, TARGET_EXACT
from backends.numpy.workers import threads
from backends.straight.run import Program
from ir.plan import Plan
from ir.target import Target


class NumpyBackend:
    """See `backends.base.Backend`.

    >>> BACKEND.target().name
    'numpy'
    """

    name, arrays = "numpy", NumpyArrays()
    modes: tuple[str, ...] = ()

    def in_mode(self, mode: str) -> NumpyBackend:
        """It has no modes."""
        return self

    def remarks(self, plan: Plan, uploaded: int) -> list[str]:
        """Nothing."""
        return []

    def target(self, exact: bool = False) -> Target:
        """The kernels and costs, for as many workers as there are threads; the same record while that is so."""
        return _target(exact, threads())

    def emit(
        self, plan: Plan, look: Look | None = None, ticks: Iterator[int] | None = None, settle: Settle | None = None
    ) -> Program:
        """See `backends.base.Backend`."""
        return Program(plan, emit_source(plan, watched=look is not None), _GROUND, look, ticks, settle)


@lru_cache
def _target(exact: bool, workers: int) -> Target:
    return replace(TARGET_EXACT if exact else TARGET, workers=workers)


_GROUND = NumpyGround()
BACKEND = NumpyBackend()
