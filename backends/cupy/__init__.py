"""The CuPy backend: plans become programs on an NVIDIA GPU. Planning, source and explain need neither CuPy nor a GPU."""

from __future__ import annotations

from collections.abc import Iterator

from backends.base import Look, Settle
from backends.cupy.array import CupyArrays, current_device
from backends.cupy.emit import emit_source
from backends.cupy.ground import CupyGround
from backends.cupy.kernel_program import KernelProgram
from backends.cupy.kernels import KERNELS
from backends.cupy.target import CALLS
from backends.straight.run import Program
from ir.errors import ArgumentError, NotLowered
from ir.plan import Call, Copy, Loop, Plan
from ir.target import Target


class CupyBackend:
    """See `backends.base.Backend`. `mode`: "calls", of CuPy's functions (so too None); "kernels": generated ones, as one graph.

    >>> BACKEND.target().name
    'cupy'
    """

    name, modes = "cupy", ("calls", "kernels")

    def __init__(self, mode: str | None = None):
        self.mode, self.arrays, self.device = mode, CupyArrays(), current_device

    def in_mode(self, mode: str) -> CupyBackend:
        """The backend in that mode alone."""
        return CupyBackend(mode)

    def target(self, exact: bool = False) -> Target:
        """The kernels and costs. ArgumentError for `exact`: a GPU's functions have other last bits than NumPy's."""
        if exact:
            raise ArgumentError(
                "a GPU's functions and sums have other last bits than NumPy's", op="exact", mend='leave exact=True out, or backend="cupy"'
            )
        return KERNELS if self.mode == "kernels" else CALLS

    def emit(
        self, plan: Plan, look: Look | None = None, ticks: Iterator[int] | None = None, settle: Settle | None = None
    ) -> Program | KernelProgram:
        """See `backends.base.Backend`. Plans of generated kernels can't be watched: ArgumentError."""
        if plan.target is KERNELS:
            if look is not None:
                raise ArgumentError("steps of one graph can't be looked at one by one", op="check", mend='give mode="calls"')
            try:
                return KernelProgram(plan, self.device, ticks, settle)
            except NotLowered as error:
                error.mend = error.mend or 'give mode="calls"'
                raise
        return Program(plan, emit_source(plan, watched=look is not None), _GROUND, look, ticks, settle)

    def remarks(self, plan: Plan, uploaded: int) -> list[str]:
        """How it runs, why so, and what is uploaded."""
        if plan.target is KERNELS:
            steps = [step for outer in plan.steps for step in (outer.body.steps if isinstance(outer, Loop) else [outer])]
            nodes = sum([isinstance(step, Call | Copy) for step in steps])
            return [f"runs as one graph of {nodes} launches, generated kernels and products of cublasLt's", *_uploads(uploaded)]
        why = 'as mode="calls" asks' if self.mode == "calls" else 'the surest way; mode="kernels" generates kernels'
        calls = sum([isinstance(step, Call) for step in plan.steps])
        found = [f"runs as plain calls of CuPy's, {why}: {calls} operations"]
        return [*found, *_uploads(uploaded)]


def _uploads(nbytes: int) -> list[str]:
    return [f"uploads {nbytes:,} bytes at each call, given as NumPy arrays"] if nbytes else []


_GROUND = CupyGround()
BACKEND = CupyBackend()
