"""Plans of generated kernels run on the host: kernels by the reference interpreter or the emulator, products by their meaning."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from backends.cupy.cuda import module
from backends.cupy.launch import Launch, launches
from ir.evaluate import apply_meaning
from ir.graph import Constant, Value
from ir.kernel_run import run
from ir.place import Buffer, Place
from ir.plan import Call, Copy, Fill, Host, Plan, Tick, View
from tests.backends.cupy import emulated

Kernel = Callable[[Launch, Mapping[str, np.ndarray]], None]


def interpreted(plan: Plan) -> Kernel:
    return lambda launch, arrays: run(launch.form, arrays)


def emulating(plan: Plan) -> Kernel:
    """One module for all kernels, each run in both orders of threads."""
    text = module([launch.text for launch in launches(plan)])

    def kernel(launch: Launch, arrays: Mapping[str, np.ndarray]) -> None:
        writes = [k for k, p in enumerate(launch.form.params) if p.writes]
        emulated.run(text, launch.text.name, launch.text.grid, launch.text.block, *[arrays[n] for n in launch.text.params], writes=writes)

    return kernel


class HostRun:
    """Memory of a plan, filled with NaN; `inputs` are copied in, states keep what is written."""

    def __init__(self, plan: Plan, inputs: Sequence[Any]):
        self.plan = plan
        self.arena = np.full(plan.arena_bytes, 0xFF, np.uint8)
        self.memory: dict[Buffer, np.ndarray] = {}
        self.numbers: dict[Value, Any] = {}
        for value, given in zip(plan.graph.inputs, inputs):
            if value.spec.weak:
                self.numbers[value] = given
            else:
                self.view(plan.places[value])[...] = given

    def bytes(self, buffer: Buffer) -> np.ndarray:
        if buffer.kind in ("arena", "scalar") and buffer.offset is not None:
            return self.arena[buffer.offset : buffer.offset + buffer.bytes]
        if buffer not in self.memory:
            made = np.full(buffer.bytes, 0xFF, np.uint8)
            if buffer.data is not None:
                made[:] = np.ascontiguousarray(buffer.data).reshape(-1).view(np.uint8)
            self.memory[buffer] = made
        return self.memory[buffer]

    def view(self, place: Place) -> np.ndarray:
        return np.ndarray(place.shape, place.dtype, self.bytes(place.buffer).data, place.offset, place.strides)

    def run(self, kernel: Kernel) -> list[np.ndarray]:
        made = {launch.step: launch for launch in launches(self.plan)}
        for k, step in enumerate(self.plan.steps):
            match step:
                case Host():
                    self.numbers.update(zip(step.node.outputs, apply_meaning(step.node, [self._number(v) for v in step.node.operands])))
                case Fill():
                    self.view(step.write)[()] = self._number(step.value)
                case Call() | Copy() if k in made:
                    self._launch(made[k], kernel)
                case Call():
                    given = [self.view(p) for p in step.reads]
                    for place, value in zip(step.writes, apply_meaning(step.node, given)):
                        self.view(place)[...] = value
                case Tick() | View():
                    pass
                case _:
                    raise NotImplementedError(step)
        return [self.view(p).copy() for p in self.plan.results if p is not None]

    def _number(self, value: Value) -> Any:
        held = value.node.attrs.get("value")
        return held.value if isinstance(held, Constant) else self.numbers[value]

    def _launch(self, launch: Launch, kernel: Kernel) -> None:
        arrays: dict[str, np.ndarray] = {}
        whole: dict[str, np.ndarray] = {}
        for param, where in zip(launch.form.params, launch.params):
            if isinstance(where, Constant):
                arrays[param.name] = where.array().reshape(-1).copy()
                continue
            start = where.offset + param.low * param.dtype.itemsize
            whole[param.name] = self.bytes(where.buffer)[start : start + param.count * param.dtype.itemsize]
            arrays[param.name] = whole[param.name].copy().view(param.dtype)
        kernel(launch, arrays)
        for param in launch.form.params:
            if param.writes:
                whole[param.name][:] = arrays[param.name].view(np.uint8)
