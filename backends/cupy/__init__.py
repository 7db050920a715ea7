"""The CuPy backend: plans become programs on an NVIDIA GPU. Planning, source and explain need neither CuPy nor a GPU."""

from __future__ import annotations

from collections.abc import Iterator

from backends.base import Look, Settle
from backends.cupy.array import CupyArrays
from backends.cupy.emit import emit_source
from backends.cupy.ground import CupyGround
from backends.cupy.target import CALLS
from backends.straight.run import Program
from ir.errors import ArgumentError
from ir.plan import Call, Plan
from ir.target import Target


class CupyBackend:
    """See `backends.base.Backend`. `mode`: "calls", of CuPy's functions; None: the fastest that there is.

    >>> BACKEND.target().name
    'cupy'
    """

    name, modes = "cupy", ("calls", "kernels")

    def __init__(self, mode: str | None = None):
        self.mode, self.arrays = mode, CupyArrays()

    def in_mode(self, mode: str) -> CupyBackend:
        """The backend in that mode alone."""
        if mode == "kernels":
            raise ArgumentError("the cupy backend has no generated kernels yet", op="mode", mend='leave mode out, or give mode="calls"')
        return CupyBackend(mode)

    def target(self, exact: bool = False) -> Target:
        """The kernels and costs. ArgumentError for `exact`: a GPU's functions have other last bits than NumPy's."""
        if exact:
            raise ArgumentError(
                "a GPU's functions and sums have other last bits than NumPy's", op="exact", mend='leave exact=True out, or backend="cupy"'
            )
        return CALLS

    def emit(
        self, plan: Plan, look: Look | None = None, ticks: Iterator[int] | None = None, settle: Settle | None = None
    ) -> Program:
        """See `backends.base.Backend`."""
        return Program(plan, emit_source(plan, watched=look is not None), _GROUND, look, ticks, settle)

    def remarks(self, plan: Plan, uploaded: int) -> list[str]:
        """How it runs, why so, and what is uploaded."""
        why = 'as mode="calls" asks' if self.mode == "calls" else "the only way there is yet"
        calls = sum([isinstance(step, Call) for step in plan.steps])
        found = [f"runs as plain calls of CuPy's, {why}: {calls} operations"]
        return [*found, f"uploads {uploaded:,} bytes at each call, given as NumPy arrays"] if uploaded else found


_GROUND = CupyGround()
BACKEND = CupyBackend()
