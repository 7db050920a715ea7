"""NumPy's own lines of single steps: copies, quiet calls."""
from __future__ import annotations

from backends.straight.names import Names
from backends.straight.steps import StepWriter
from ir.plan import Call, Copy, Plan
from ir.planning.walk import turned


class NumpyStepWriter(StepWriter):
    def __init__(self, plan: Plan, around: Names | None = None):
        super().__init__(plan, around)
        self._quiet = False

    def _copy(self, step: Copy) -> list[str]:
        write, read = self.names.place(step.write), self.names.place(step.read)
        axes = turned(step.read, step.write) if step.read.dtype.char in "fd" and not self.as_calls and not self.plan.exact else None
        if axes is not None:
            return [f"{self.names.need('backends.numpy.turn', 'turn')}({write}, {read}, {axes[0]}, {axes[1]})"]
        if step.read.dtype == step.write.dtype and not self.as_calls:
            return [f"{write}[...] = {read}"]  # 0.35 us, where `copyto` takes 0.85
        return super()._copy(step)

    def _call(self, call: Call) -> list[str]:
        lines = super()._call(call)
        if not self._quiet and any("quiet()" in line for line in lines):
            self._quiet = True
            self.names.bound.append(f"quiet = {self.names.functions('support.hushed')}()")
        return lines
