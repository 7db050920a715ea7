"""The text of NumPy's programs: the lines that are not as every array library has them. Nothing is decided here."""
from __future__ import annotations

from backends.numpy.emit_regions import RegionWriter
from backends.straight.steps import indent
from backends.straight.writer import Source, Watched
from ir.plan import Plan, Region, Step


class NumpyWriter(RegionWriter):
    def _around(self, lines: list[str]) -> list[str]:
        if self.plan.blas_threads is None:
            return lines
        self.names.need("backends.numpy.blas", "blas_threads")
        hold = self.names.fresh("hold_")
        return [f"with blas_threads({self.plan.blas_threads}) as {hold}, {hold}:", *indent(lines)]

    def _is_held(self, steps: list[Step]) -> bool:
        return any(isinstance(step, Region) for step in steps)

    def _last(self, step: Step) -> list[str]:
        return self._region(step, at_end=True) if isinstance(step, Region) else self._step(step)


class _WatchedNumpy(Watched, NumpyWriter):
    """A program to be watched."""


def emit_source(plan: Plan, watched: bool = False) -> Source:
    """The program of a plan made for NumPy's target. `watched`: with calls of `look` (see `backends.base`) around the steps."""
    return (_WatchedNumpy if watched else NumpyWriter)(plan).source()
