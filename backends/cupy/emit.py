"""A plan in, the text of its program of CuPy calls out. It is what NumPy's program is, but for arrays over device memory.

    import cupy as cp                   `bind` gets `arena` as an array of bytes on the device, constants and states as CuPy's arrays
    def run(inputs):
        x = given(x)                    what the caller gives is uploaded unless it lives on the device; nothing is waited for
"""

from __future__ import annotations

from backends.straight.names import Names
from backends.straight.site import type_name
from backends.straight.writer import Source, Watched, Writer
from ir.graph import Value
from ir.place import Place
from ir.plan import Fill, Plan, Step
from ir.planning.results import is_scalar


class CupyNames(Names):
    module, support = "cp", "backends.cupy.support"

    def _cut(self, base: str, place: Place, offset: int) -> str:
        pointer = f"{base}.data + {offset}" if offset else f"{base}.data"
        strides = "" if place.contiguous("C") else f", {place.strides}"
        return self.functions(f"cp.ndarray({place.shape}, np.{type_name(place.dtype)}, {pointer}{strides})")

    def _geometry(self, base: str, root: Place, place: Place) -> str:
        return self._cut(base, place, place.offset - root.offset)


class CupyWriter(Writer):
    names_type = CupyNames
    head = ("import cupy as cp", "import numpy as np")

    def _taken(self, states: list[int]) -> list[str]:
        lines = []
        for k, value in enumerate(self.plan.graph.inputs):
            if value.spec.weak is None and k not in states:
                name = self.names.inputs[k]
                lines.append(f"{name} = {self.names.functions('support.given')}({name})")
        return lines

    def _errstate(self, step: Step) -> tuple[tuple[str, str], ...]:
        return ()

    def _fill(self, step: Fill) -> str:
        """NumPy's own type makes the number, so that an integer too large for it is NumPy's OverflowError."""
        number = f"np.{type_name(step.write.dtype)}({self._number(step.value)})"
        return f"{self.names.place(step.write)}.fill({number})"

    def _given(self, name: str, value: Value) -> str:
        return f"{name}.copy()" if is_scalar(value) else name  # the plan has numbers in its arena

    def _is_held(self, steps: list[Step]) -> bool:
        return bool(steps)


class _WatchedCupy(Watched, CupyWriter):
    """A program to be watched."""


def emit_source(plan: Plan, watched: bool = False) -> Source:
    """The program of a plan made for CuPy's target of plain calls. `watched`: with calls of `look` (see `backends.base`)."""
    return (_WatchedCupy if watched else CupyWriter)(plan).source()
