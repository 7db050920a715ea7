"""A plan in, the text of its program out: one straight line of NumPy calls, in the plan's order, on names bound before.

    import numpy as np                  functions and small constants, once a program
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
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np

from backends.numpy.names import Names, body_of, states_of
from backends.numpy.site import Site, type_name
from ir.errors import VerifyError
from ir.graph import Value
from ir.plan import Call, Copy, Fill, Gate, Host, Loop, Place, Plan, Region, Step, Tick
from ir.planning.results import is_scalar
from ir.planning.walk import turned
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
MANY = 1000  # names that `run` takes from around it one by one: Python compiles that in time that grows with the square
_DEFINED = re.compile(r"(\w+) = ")
_KEYWORD = re.compile(r', (\w+=(?:\w+|"\w+"))')
_CALL = re.compile(r"^(\w+)\((.*)\)$")


@dataclass(frozen=True)
class Source:
    """The text, and the constant arrays for `bind`."""

    text: str
    const: tuple[Any, ...]


def emit_source(plan: Plan, watched: bool = False) -> Source:
    """The program of a plan made for NumPy's target. `watched`: with calls of `look` (see `backends.base`) around the steps."""
    return (_Watched if watched else _Writer)(plan).source()


class _Writer:
    def __init__(self, plan: Plan, around: Names | None = None):
        self.plan, self.body = plan, body_of(plan)
        self.names = Names(plan, self.body, around)
        self.numbers: dict[Value, str] = {}
        self.uses_support: set[str] = set()
        self.blocks: dict[Plan, str] = {}
        self.known: list[str] = []  # names of the numbers of the call before
        self.as_calls = False  # whether each step must be one call
        self.uses_python = self.uses_partial = self.uses_quiet = self.uses_turn = False
        self.imported: set[str] = set()  # of `backends.numpy.blocks`
        for index, value in enumerate(plan.graph.inputs):
            if value.spec.weak:
                self.numbers[value] = self.names.inputs[index]

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
            main = [*moving, *self._loop_head(loop), *_indent([*anew, *repeated, *main, *rows] or ["pass"])]
        return Source(self._text(first, [*before, *main], returned), tuple(self.names.arrays))

    def _text(self, first: list[str], main: list[str], returned: str) -> str:
        names, states = self.names, states_of(self.plan)
        now = [f"{n}_now" if k in states else n for k, n in enumerate(names.inputs)]
        run = []
        if now:
            run.append(f"{', '.join(now)}{',' if len(now) == 1 else ''} = inputs")
        if states:
            run += [f"if {' or '.join([f'{names.inputs[k]}_now is not {names.inputs[k]}' for k in states])}:", "    return moved(inputs)"]
        work = [*first, *names.called, *main, f"return [{returned}]"]
        if self.plan.blas_threads is not None:
            hold = names.fresh("hold_")
            work = [f"with blas_threads({self.plan.blas_threads}) as {hold}, {hold}:", *_indent(work)]
        run += work
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
        bind += ["", "def run(inputs):", *_indent(run), "", "return run"]
        head = ["from functools import partial", ""] if self.uses_partial else []
        head.append("import numpy as np")
        if self.imported:
            head += ["", f"from backends.numpy.blocks import {', '.join(sorted(self.imported))}"]
        if self.plan.blas_threads is not None:
            head.insert(len(head) - 1, "from backends.numpy.blas import blas_threads")
        if self.uses_turn:
            head += ["", "from backends.numpy.turn import turn"]
        if support := self.uses_support | names.support:
            head += ["", f"from backends.numpy.support import {', '.join(sorted(support))}"]
        if self.uses_python:
            head += ["", "from ir.ops.scalar import python"]
        text = [*head, "", *names.once, "", "", "def bind(arena, const, state, moved):", *_indent(bind)]
        return "\n".join([line.rstrip() for line in text]) + "\n"

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
        return [f"if {asked}:", *_indent([*lines, *kept])]

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
        self.uses_support.add("overlap")
        lines = [line for step in kept for line in self._step(step)]
        return [f"moving = overlap(({', '.join(given)},), ({', '.join(states)},))"], ["if moving:", *_indent(lines)]

    # ---- steps
    def _steps(self, steps: list[Step]) -> list[str]:
        """Lines under the user's lines, each of which is named once for a run of steps; under his `np.errstate` where he has one."""
        found: list[str] = []
        last: str | None = None
        held: tuple[tuple[str, str], ...] = ()
        for step in steps:
            comment, lines = _comment(step.line), self._step(step)
            shown = [comment] if comment != last and comment is not None else []
            last = comment
            modes = step.line.errstate if step.line is not None and lines else ()
            if modes and modes != held:
                found.append(self.names.functions(f"with np.errstate({', '.join([f'{k}={mode!r}' for k, mode in modes])}):"))
            found += _indent([*shown, *lines]) if modes else [*shown, *lines]
            held = modes
        return found

    def _step(self, step: Step) -> list[str]:
        match step:
            case Call():
                return self._call(step)
            case Copy():
                write, read = self.names.place(step.write), self.names.place(step.read)
                axes = turned(step.read, step.write) if step.read.dtype.char in "fd" and not self.as_calls and not self.plan.exact else None
                if axes is not None:
                    self.uses_turn = True
                    return [f"turn({write}, {read}, {axes[0]}, {axes[1]})"]
                if step.read.dtype == step.write.dtype and not self.as_calls:
                    return [f"{write}[...] = {read}"]  # 0.35 us, where `copyto` takes 0.85
                cast = "" if step.read.dtype == step.write.dtype else ', "unsafe"'
                return [self.names.functions(f"np.copyto({write}, {read}{cast})")]
            case Region():
                return self._region(step)
            case Fill():
                return [f"{self.names.place(step.write)}[()] = {self._number(step.value)}"]
            case Gate():
                self.uses_support.add("stop")
                return [f"if not {self.names.place(step.read)}:", "    stop()"]
            case Tick():
                return ["next(ticks)"]
            case Host():
                name = self.names.fresh("host_")
                text = self._python(step)
                self.numbers[step.node.outputs[0]] = name
                return [f"{name} = {text}"]
            case _:
                return []

    def _call(self, call: Call) -> list[str]:
        names = self.names
        site = Site(call, names.place, names.const, names.thing)
        templates = call.kernel.body if isinstance(call.kernel.body, tuple) else call.kernel.body(site)
        fields = {f"t{k}": names.place(p) for k, p in enumerate(call.temps)}
        fields.update({f"out{k or ''}": names.place(p) for k, p in enumerate(call.writes)})
        fields.update({key: repr(value) for key, value in call.node.attrs.items() if key not in fields})
        lines = [template.format(*_Lazy(names, call.reads), **fields) for template in templates]
        for line in lines:
            if "hosted" in line:
                self.uses_support.add("hosted")
            elif "quiet()" in line and not self.uses_quiet:
                self.uses_quiet = True
                self.uses_support.add("hushed")
                names.bound.append("quiet = hushed()")
        return [names.functions(line) for line in lines]

    def _region(self, region: Region, at_end: bool = False) -> list[str]:
        """One call for all regions that run together, none for those that follow."""
        if region.follows:
            return []
        names, members, run = self.names, self._together(region), "run_through" if at_end else "run"
        self.imported.add("Blocks")
        if len(members) == 1:
            name, given = self._blocks(region, f".{run}")
            return [f"{name}({', '.join(given)})"]
        self.imported.add("Together")
        made = [self._blocks(member) for member in members]
        name = names.fresh("regions_")
        names.bound.append(f"{name} = Together({', '.join([each for each, _ in made])}).{run}")
        return [f"{name}({', '.join([array for _, given in made for array in given])})"]

    def _together(self, region: Region) -> list[Region]:
        """The region and those that follow it."""
        steps = self.body.steps
        at = next(k for k, step in enumerate(steps) if step is region)
        return [region, *takewhile(lambda step: isinstance(step, Region) and step.follows, steps[at + 1 :])]  # type: ignore[list-item]

    def _blocks(self, region: Region, method: str = "") -> tuple[str, list[str]]:
        """(the name of what runs a region or of its method, the arrays that it is given); the functions of its blocks are made in `bind`,
        for each worker over its own buffers.
        """
        names = self.names
        plans = ((region.body, region.rows), (region.first, region.first_rows), (region.last, region.last_rows))
        make = [None if plan is None else (self._block(plan, region), f", {rows}" if region.scales else "") for plan, rows in plans]
        bodies = []
        for place in region.private or (None,) * region.workers:
            work = names.place(place) if place is not None else "None"
            bodies.append(f"({', '.join(['None' if each is None else f'{each[0]}({work}{each[1]})' for each in make])})")
        cuts = [None if cut is None else (*cut, *extent) for cut, extent in zip(region.cuts, region.extents)]
        starts = [names.const(f"np.{type_name(start.dtype)}({start.item()!r})", f"start_{start.item()}") for start in region.starts]
        name = names.fresh("region_")
        places = (*region.reads, *region.writes)
        once = len(region.reads)  # what is written over is given as what is read
        given = [(p, cut) for k, (p, cut) in enumerate(zip(places, cuts)) if k < once or p not in region.reads]
        names.bound += [
            "",
            f"{name} = Blocks(",
            f"    {region.size}, {region.rows}, {region.first_rows}, {region.last_rows}, {region.shares},",
            f"    {tuple([cut for _, cut in given])},",
            f"    ({''.join([f'{start}, ' for start in starts])}), ({', '.join(bodies)},),",
            f"){method}",
        ]
        return name, [names.place(p) for p, _ in given]

    def _block(self, plan: Plan, region: Region) -> str:
        """Defines what makes the function of a block over a worker's buffers, once for equal regions; gives its name."""
        if plan not in self.blocks:
            writer = _Block(plan, self.names)
            writer.names.scaled = (region.rows,) if region.scales else None
            self.blocks[plan] = self.names.fresh("block_")
            self.names.bound += writer.definition(self.blocks[plan])
            self.uses_support |= writer.uses_support
            self.uses_turn |= writer.uses_turn
        return self.blocks[plan]

    def _tail(self, steps: list[Step]) -> list[str]:
        """What writes states and what follows, single calls all: several are made by `finish` or what `together` makes, all or none."""
        regions = any(isinstance(step, Region) for step in steps)
        if not regions and sum([len(self._step(step)) for step in steps]) < 2:
            return self._steps(steps)
        found, self.as_calls = [], True
        for step in steps:
            comment = _comment(step.line)
            for line in self._region(step, at_end=True) if isinstance(step, Region) else self._step(step):
                matched = _CALL.match(line)
                if matched is None:
                    raise VerifyError(f"the end of a plan holds {line!r}, which is no single call", mend="its kernel is not `single`")
                function, operands = self._positional(matched[1], matched[2])
                found.append(f"    ({function}, {operands}),{'  ' + comment if comment else ''}")
        writes = self.names.fresh("writes")
        states = states_of(self.plan)
        called = {line.split(" = ")[0] for line in self.names.called} | {n for k, n in enumerate(self.names.inputs) if k not in states}
        text = [f"{writes} = (", *found, ")"]
        moving = bool(called & {word for line in found for word in re.findall(r"\w+", line.split("  #")[0])})
        finish = "finish_held" if regions else "finish" if moving else "together"
        self.uses_support.add(finish)
        if moving:
            return [*text, f"{finish}({writes})"]
        self.names.bound += ["", *text]
        if regions:
            return ["# every state or none", f"{finish}({writes})"]
        write = self.names.fresh("write_states")
        self.names.bound.append(f"{write} = together({writes})")
        return ["# every state or none", f"{write}()"]

    def _positional(self, function: str, operands: str) -> tuple[str, str]:
        """The function and its operands without keywords, which are bound to it."""
        named = _KEYWORD.findall(operands)
        if not named:
            return function, operands
        self.uses_partial = True
        return f"partial({function}, {', '.join(named)})", _KEYWORD.sub("", operands)

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
        self.uses_python = True
        return f"python.meaning({', '.join(operands)}, fn={fn!r})"

    # ---- results
    def _output(self, index: int, value: Value) -> str:
        place = self.body.results[index]
        return self._number(value) if place is None else self.names.place(place)

    def _result(self, index: int, value: Value) -> str:
        place: Place | None = self.plan.results[index]
        if place is None:
            return self._number(value)
        return self.names.place(place) + ("[()]" if is_scalar(value) else "")


class _Block(_Writer):
    """Writes the body of a region: a function of blocks of its operands and results, then of the parts it adds to."""

    def definition(self, name: str) -> list[str]:
        steps = self.body.steps
        main = [line for step in steps if isinstance(step, (Host, Fill)) for line in self._step(step)]
        main += self._steps([s for s in steps if not isinstance(s, (Host, Fill))])
        states = states_of(self.plan)
        names = self.names
        results = [names.place(p) for p in self.plan.results if p is not None and p.buffer.kind == "result"]
        given = [n for k, n in enumerate(names.inputs) if k not in states] + results + [names.inputs[k] for k in states]
        inner = ["", f"def block({', '.join(given)}):", *_indent([*names.called, *main] or ["pass"]), "", "return block"]
        return ["", f"def {name}(arena{', length' if names.scaled else ''}):", *_indent([*names.bound, *inner])]


class _Watched(_Writer):
    """Writes a call of `look` before and after each step. States are written step by step: whoever watches gives copies of them."""

    def __init__(self, plan: Plan):
        super().__init__(plan)
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


def _comment(line: Line | None) -> str | None:
    return None if line is None else f"# {line.place()}   {line.code}".rstrip()


def _may_overflow(step: Step) -> list[str]:
    """The user's line over a Python integer that its slot may not hold."""
    small = isinstance(step, Fill) and step.value.spec.weak == "int" and step.write.dtype.kind in "iu"
    comment = _comment(step.line) if small else None
    return [comment] if comment is not None else []


def _indent(lines: list[str]) -> list[str]:
    return [f"    {line}" if line else line for line in lines]
