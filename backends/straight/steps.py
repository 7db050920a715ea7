"""One step of a plan in, its lines out: calls of kernels, copies, fills, Python's arithmetic; steps under the user's lines."""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from backends.straight.names import Names, body_of
from backends.straight.site import Site
from ir.graph import Value
from ir.place import Place
from ir.plan import Call, Copy, Fill, Gate, Host, Plan, Step, Tick
from ir.planning.results import is_scalar
from ir.source import Line

_SIGNS = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "truediv": "/",
    "floordiv": "//",
    "mod": "%",
    "lshift": "<<",
    "rshift": ">>",
    "and_": "&",
    "or_": "|",
    "xor": "^",
}


class StepWriter:
    """Names, and what the lines written so far need around them. Lines are NumPy's; a backend overrides what it writes otherwise."""

    names_type: type[Names] = Names
    site_type: type[Site] = Site

    def __init__(self, plan: Plan, around: Names | None = None):
        self.plan, self.body = plan, body_of(plan)
        self.names = self.names_type(plan, self.body, around)
        self.numbers: dict[Value, str] = {}
        self.as_calls = False  # whether each step must be one call
        for index, value in enumerate(plan.graph.inputs):
            if value.spec.weak:
                self.numbers[value] = self.names.inputs[index]

    # ---- steps
    def _steps(self, steps: list[Step]) -> list[str]:
        """Lines under the user's lines, each of which is named once for a run of steps; under his `np.errstate` where he has one."""
        found: list[str] = []
        last: str | None = None
        held: tuple[tuple[str, str], ...] = ()
        for step in steps:
            comment, lines = user_comment(step.line), self._step(step)
            shown = [comment] if comment != last and comment is not None else []
            last = comment
            modes = self._errstate(step) if lines else ()
            if modes and modes != held:
                found.append(self.names.functions(f"with np.errstate({', '.join([f'{k}={mode!r}' for k, mode in modes])}):"))
            found += indent([*shown, *lines]) if modes else [*shown, *lines]
            held = modes
        return found

    def _errstate(self, step: Step) -> tuple[tuple[str, str], ...]:
        """The user's setting of floating-point errors for the step's line, where he has one."""
        return step.line.errstate if step.line is not None else ()

    def _step(self, step: Step) -> list[str]:
        match step:
            case Call():
                return self._call(step)
            case Copy():
                return self._copy(step)
            case Fill():
                return [self._fill(step)]
            case Gate():
                return [f"if not {self.names.place(step.read)}:", f"    {self.names.functions('support.stop')}()"]
            case Tick():
                return ["next(ticks)"]
            case Host():
                name = self.names.fresh("host_")
                text = self._python(step)
                self.numbers[step.node.outputs[0]] = name
                return [f"{name} = {text}"]
            case _:
                return []

    def _copy(self, step: Copy) -> list[str]:
        cast = "" if step.read.dtype == step.write.dtype else ', "unsafe"'
        write, read = self.names.place(step.write), self.names.place(step.read)
        return [self.names.functions(f"{self.names.module}.copyto({write}, {read}{cast})")]

    def _fill(self, step: Fill) -> str:
        return f"{self.names.place(step.write)}[()] = {self._number(step.value)}"

    def _call(self, call: Call) -> list[str]:
        names = self.names
        site = self.site_type(call, names.place, names.const, names.thing)
        templates = call.kernel.body if isinstance(call.kernel.body, tuple) else call.kernel.body(site)
        fields = {f"t{k}": names.place(p) for k, p in enumerate(call.temps)}
        fields.update({f"out{k or ''}": names.place(p) for k, p in enumerate(call.writes)})
        fields.update({key: repr(value) for key, value in call.node.attrs.items() if key not in fields})
        return [names.functions(template.format(*_Lazy(names, call.reads), **fields)) for template in templates]

    # ---- Python numbers
    def _number(self, value: Value) -> str:
        if value in self.numbers:
            return self.numbers[value]
        held = value.node.attrs["value"].value
        text = repr(held)
        return text if isinstance(held, int) or np.isfinite(held) else f"{type(held).__name__}({str(held).strip('()')!r})"

    def _python(self, step: Host) -> str:
        """The operator; `**` and what may change its kind by value goes through the operation's own meaning."""
        operands, fn = [self._number(v) for v in step.node.operands], step.node.attrs["fn"]
        if fn in _SIGNS:
            return f"{operands[0]} {_SIGNS[fn]} {operands[1]}"
        if fn in ("neg", "pos", "invert"):
            return {"neg": "-", "pos": "+", "invert": "~"}[fn] + operands[0]
        self.names.need("ir.ops.scalar", "python")
        return f"python.meaning({', '.join(operands)}, fn={fn!r})"

    # ---- results
    def _output(self, index: int, value: Value) -> str:
        place = self.body.results[index]
        return self._number(value) if place is None else self.names.place(place)

    def _result(self, index: int, value: Value) -> str:
        place: Place | None = self.plan.results[index]
        if place is None:
            return self._number(value)
        return self._given(self.names.place(place), value)

    def _given(self, name: str, value: Value) -> str:
        return f"{name}[()]" if is_scalar(value) else name


class _Lazy:
    """Names of the operands a template really mentions, so that what no line reads is not bound."""

    def __init__(self, names: Names, places: tuple[Place, ...]):
        self._names, self._places = names, places

    def __iter__(self) -> Iterator[_Name]:
        return iter([_Name(self._names, p) for p in self._places])


class _Name:
    def __init__(self, names: Names, place: Place):
        self._names, self._place = names, place

    def __format__(self, spec: str) -> str:
        return self._names.place(self._place)


def user_comment(line: Line | None) -> str | None:
    return None if line is None else f"# {line.place()}   {line.code}".rstrip()


def indent(lines: list[str]) -> list[str]:
    return [f"    {line}" if line else line for line in lines]
