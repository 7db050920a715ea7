"""A plan in, the text of its program out: one straight line of calls of an array library, in the plan's order, on names bound before.

    import numpy as np                  the library, functions and small constants, once a program
    def bind(arena, const, state, moved):
        h = ndarray(...)                views of the arena and of states, once an Instance (very many: in a tuple `held`)
        def run(inputs):
            x, y, W1_now = inputs       views of what the caller gives, results: at each call
            ...                         the steps, under the lines of the user's they come from
            return [...]
        return run

`ticks` is an iterator of the caller's: a plan that counts its runs takes the next of it with each run's writes of states.
`arena` is a uint8 array that begins on an aligned byte, `const` the constant arrays, `state` the state arrays in the order of their
inputs, `moved(inputs)` what to do when other state arrays are given. The emitter decides nothing: each Step becomes its lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from backends.straight.names import Names, states_of
from backends.straight.steps import StepWriter, indent, user_comment
from ir.errors import VerifyError
from ir.plan import Call, Copy, Fill, Host, Loop, Plan, Step

MANY = 1000  # names that `run` takes from around it one by one: Python compiles that in time that grows with the square
_DEFINED = re.compile(r"(\w+) = ")
_KEYWORD = re.compile(r', (\w+=(?:\w+|"\w+"))')
_CALL = re.compile(r"^(\w+)\((.*)\)$")


@dataclass(frozen=True)
class Source:
    """The text, and the constant arrays for `bind`."""

    text: str
    const: tuple[Any, ...]


class Writer(StepWriter):
    """Writes a whole program. What its lines are, and what stands at its head, a backend says by overriding."""

    head: tuple[str, ...] = ("import numpy as np",)

    def __init__(self, plan: Plan, around: Names | None = None):
        super().__init__(plan, around)
        self.known: list[str] = []  # names of the numbers of the call before
        self.uses_partial = False

    # ---- the whole
    def source(self) -> Source:
        loop = next((step for step in self.plan.steps if isinstance(step, Loop)), None)
        steps = self.body.steps
        front = [s for s in steps if isinstance(s, (Host, Fill))]
        again = loop.again if loop is not None else ()
        first = [line for step in front if step not in again for line in (*_may_overflow(step), *self._step(step))]
        if loop is None:
            first = self._remembered(front, first)
        repeated = [line for step in again for line in self._step(step)]
        kept = [s for s in steps if isinstance(s, Copy) and s.when]
        before = [line for step in kept for line in self._kept(step)]
        moving, anew = self._moving([s for s in kept if s.read.buffer.kind == "input"]) if loop is not None else ([], [])
        main = self._steps([s for s in steps[: self.body.tail] if not isinstance(s, (Host, Fill)) and s not in kept])
        main += self._tail(steps[self.body.tail :])
        returned = ", ".join([self._result(k, v) for k, v in enumerate(self.plan.graph.outputs)])
        if loop is not None:
            rows = [
                f"{self.names.place(p)}[trip] = {self._output(k, v)}" for k, (p, v) in enumerate(zip(loop.stacked, self.plan.graph.outputs))
            ]
            main = [*moving, *self._loop_head(loop), *indent([*anew, *repeated, *main, *rows] or ["pass"])]
        return Source(self._text(first, [*before, *main], returned), tuple(self.names.arrays))

    def _text(self, first: list[str], main: list[str], returned: str) -> str:
        names, states = self.names, states_of(self.plan)
        now = [f"{n}_now" if k in states else n for k, n in enumerate(names.inputs)]
        run = []
        if now:
            run.append(f"{', '.join(now)}{',' if len(now) == 1 else ''} = inputs")
        if states:
            run += [f"if {' or '.join([f'{names.inputs[k]}_now is not {names.inputs[k]}' for k in states])}:", "    return moved(inputs)"]
        run += self._taken(states)
        run += self._around([*first, *names.called, *main, f"return [{returned}]"])
        bind = []
        if names.array_names:
            bind.append(f"{', '.join(names.array_names)}, = const")
        if states:
            bind.append(f"{', '.join([names.inputs[k] for k in states])}, = state")
        bind += names.bound
        held = [*names.array_names, *[found[1] for line in names.bound if (found := _DEFINED.match(line))]]
        if len(held) > MANY:
            bind.append(f"held = {', '.join(held)}")
            run.insert(0, f"{', '.join(held)} = held")
        if self.known:
            bind.append(f"{' = '.join(self.known)} = None")
            run.insert(0, f"nonlocal {', '.join(self.known)}")
        bind += ["", "def run(inputs):", *indent(run), "", "return run"]
        head = [*(["from functools import partial", ""] if self.uses_partial else []), *self.head]
        if names.imports:
            head += ["", *[f"from {module} import {', '.join(sorted(found))}" for module, found in sorted(names.imports.items())]]
        text = [*head, "", *names.once, "", "", "def bind(arena, const, state, moved):", *indent(bind)]
        return "\n".join([line.rstrip() for line in text]) + "\n"

    def _taken(self, states: list[int]) -> list[str]:
        """Lines that make of what is given, but for states, what the other lines read."""
        return []

    def _around(self, lines: list[str]) -> list[str]:
        """The lines of a run, in what holds for all of it."""
        return lines

    def _loop_head(self, loop: Loop) -> list[str]:
        """The `for` of a loop; an input that changes is a sequence, named anew inside."""
        if not loop.changing:
            return [f"for trip in range({loop.trips}):"]
        given = [self.names.inputs[k] for k in loop.changing]
        return [f"for trip, ({', '.join(given)},) in enumerate(zip({', '.join(given)})):"]

    # ---- what need not be done again
    def _remembered(self, front: list[Host | Fill], lines: list[str]) -> list[str]:
        """The lines of these steps, for numbers that are other objects than those of the call before: slots keep what they were given."""
        made = {step.node.outputs[0] for step in front if isinstance(step, Host)}
        read = [v for step in front for v in (step.node.operands if isinstance(step, Host) else (step.value,)) if v not in made]
        given = [v for v in dict.fromkeys(read) if v in self.plan.graph.inputs]
        plain = all(step.value.spec.dtype == step.write.dtype for step in front if isinstance(step, Fill))  # casts may warn at each call
        if not lines or not given or not plain or made.intersection(self.plan.graph.outputs):
            return lines
        names = [self.numbers[v] for v in given]
        self.known = known = [self.names.fresh(f"{name}_known") for name in names]
        asked = " or ".join([f"{name} is not {held}" for name, held in zip(names, known)])
        kept = [f"{held} = {name}" for name, held in zip(names, known)]
        return [f"if {asked}:", *indent([*lines, *kept])]

    # ---- copies that stand
    def _kept(self, step: Copy) -> list[str]:
        """The lines of `run`; none where `bind` makes the copy."""
        if step.when == "once":
            self.names.bound += self._step(step)
            return []
        return self._step(step)

    def _moving(self, kept: list[Copy]) -> tuple[list[str], list[str]]:
        """What finds out whether an input is a state's own memory, and what then copies it again in each trip."""
        states = [self.names.inputs[k] for k in states_of(self.plan)]
        given = list(dict.fromkeys([self.names.inputs[s.read.buffer.index] for s in kept if s.read.buffer.index is not None]))
        if not given or not states:
            return [], []
        self.names.need(self.names.support, "overlap")
        lines = [line for step in kept for line in self._step(step)]
        return [f"moving = overlap(({', '.join(given)},), ({', '.join(states)},))"], ["if moving:", *indent(lines)]

    def _tail(self, steps: list[Step]) -> list[str]:
        """What writes states and what follows, single calls all: several are made by `finish` or what `together` makes, all or none."""
        held = self._is_held(steps)
        if not held and sum([len(self._step(step)) for step in steps]) < 2:
            return self._steps(steps)
        found, self.as_calls = [], True
        for step in steps:
            comment = user_comment(step.line)
            for line in self._last(step):
                matched = _CALL.match(line)
                if matched is None:
                    raise VerifyError(f"the end of a plan holds {line!r}, which is no single call", mend="its kernel is not `single`")
                function, operands = self._positional(matched[1], matched[2])
                found.append(f"    ({function}, {operands}),{'  ' + comment if comment else ''}")
        if not found:
            return []
        writes = self.names.fresh("writes")
        states = states_of(self.plan)
        called = {line.split(" = ")[0] for line in self.names.called} | {n for k, n in enumerate(self.names.inputs) if k not in states}
        text = [f"{writes} = (", *found, ")"]
        moving = bool(called & {word for line in found for word in re.findall(r"\w+", line.split("  #")[0])})
        finish = "finish_held" if held else "finish" if moving else "together"
        self.names.need(self.names.support, finish)
        if moving:
            return [*text, f"{finish}({writes})"]
        self.names.bound += ["", *text]
        if held:
            return ["# every state or none", f"{finish}({writes})"]
        write = self.names.fresh("write_states")
        self.names.bound.append(f"{write} = together({writes})")
        return ["# every state or none", f"{write}()"]

    def _is_held(self, steps: list[Step]) -> bool:
        """Whether signals must wait while these write states: where a call takes steps of Python."""
        return False

    def _last(self, step: Step) -> list[str]:
        """The lines of one of the last steps."""
        return self._step(step)

    def _positional(self, function: str, operands: str) -> tuple[str, str]:
        """The function and its operands without keywords, which are bound to it."""
        named = _KEYWORD.findall(operands)
        if not named:
            return function, operands
        self.uses_partial = True
        return f"partial({function}, {', '.join(named)})", _KEYWORD.sub("", operands)


class Watched(Writer):
    """Writes a call of `look` before and after each step. States are written step by step: whoever watches gives copies of them."""

    def __init__(self, plan: Plan, around: Names | None = None):
        super().__init__(plan, around)
        self._numbered = {id(step): k for k, step in enumerate(self.body.steps)}

    def _step(self, step: Step) -> list[str]:
        lines = super()._step(step)
        match step:
            case Call():
                reads, writes = [self.names.place(p) for p in step.reads], [self.names.place(p) for p in step.writes]
            case Copy():
                reads, writes = [self.names.place(step.read)], [self.names.place(step.write)]
            case Fill():
                reads, writes = [self._number(step.value)], [self.names.place(step.write)]
            case Host():
                reads, writes = [self._number(v) for v in step.node.operands], [self._number(step.node.outputs[0])]
            case _:
                return lines
        return [self._look(step, False, reads), *lines, self._look(step, True, writes)]

    def _kept(self, step: Copy) -> list[str]:
        return self._step(step)

    def _remembered(self, front: list[Host | Fill], lines: list[str]) -> list[str]:
        return lines

    def _look(self, step: Step, after: bool, names: list[str]) -> str:
        return f"look({self._numbered[id(step)]}, {after}, ({''.join([f'{name}, ' for name in names])}))"

    def _tail(self, steps: list[Step]) -> list[str]:
        return self._steps(steps)


def _may_overflow(step: Step) -> list[str]:
    """The user's line over a Python integer that its slot may not hold."""
    small = isinstance(step, Fill) and step.value.spec.weak == "int" and step.write.dtype.kind in "iu"
    comment = user_comment(step.line) if small else None
    return [comment] if comment is not None else []
