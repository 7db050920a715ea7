"""The lockstep checker of `compile(check=True)`: each call is followed, value by value, from the trace to the results.

In: a traced graph's stages (`tracer.stages`) and the inputs of a call. Three things are compared, each with what stands before it and
on the same operands, so that no rounding adds up: the trace by the meaning of its operations (a value that is no longer finite though
its operands were is named); each pass, where a Value took another's place; each step of the plan, watched while it runs, against the
meaning of its operation on what it read. Out: a CheckError with the user's line, or the results of the program that always runs.
States are copies while this goes on, so a call that fails a check has changed nothing.
"""
from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from backends.base import Backend, Settle
from backends.numpy.support import lie_adjacent, side_by_side
from ir.errors import CheckError
from ir.evaluate import apply_meaning, checked_input
from ir.graph import CONSTANT, Graph, Node, Value
from ir.op import Trait
from ir.passes import optimize
from ir.plan import Call, Host, Plan, Region
from tracer.calls.entry import Entry
from tracer.checking.bounds import NOISES, Noise, apart, bound
from tracer.checking.finite import first_turned
from tracer.checking.stages import Stage, staged
from tracer.variable import Variable


class CheckedEntry(Entry):
    """An Entry whose program checks each run before it makes it."""

    @cached_property
    def _staged(self) -> tuple[Graph, list[Stage]]:
        target = None if self._exact else self._backend.target()
        return staged(self.traced.graph, exact=self._exact, target=target, may_join=self._may_join, log=self._passes)

    @cached_property
    def graph(self) -> Graph:
        graph = self.traced.graph.copy()[0]  # the traced one is the first stage
        optimize(graph, exact=self._exact)
        return graph

    @cached_property
    def prepared(self) -> Graph:
        return self._staged[0]

    @cached_property
    def program(self) -> Any:
        single = self._planned(regions=False)
        return Checked(self._staged[1], self.plan, single, self._backend, self._ticks, self._settle())

    def run(self, inputs: list[Any], leaves: Sequence[Any] | None = None) -> Any:
        if self.records_variables:
            self.program.check([thing.data if isinstance(thing, Variable) else thing for thing in inputs])
        return super().run(inputs, leaves)

    def _looped(self, program: Any, trips: int, inputs: list[Any], changing: Mapping[int, Sequence[Any]]) -> list[Any]:
        inputs = self.program.settled(inputs)
        now, due = list(inputs), []
        for trip in range(trips):
            results, now = self.program.check([changing[k][trip] if k in changing else thing for k, thing in enumerate(now)])
            due.append(results)
        found = super()._looped(program, trips, inputs, changing)
        self.program.compare(inputs, [list(row) for row in zip(*found)], due, now, "in a loop than one by one")
        return found


class Checked:
    """A program with its checks. `plan` and `source` are those of the program; watched are the same nodes, `single`, without regions."""

    def __init__(
        self, stages: list[Stage], plan: Plan, single: Plan, backend: Backend, ticks: Iterator[int] | None = None,
        settle: Settle | None = None,
    ):
        self._stages, self.plan, self._single, self._settle = stages, plan, single, settle
        self._program, self._watched = backend.emit(plan, ticks=ticks, settle=settle), backend.emit(single, self._look)
        self.source = self._program.source
        self._in_parts = any(isinstance(step, Region) and step.starts for step in plan.steps)  # sums of other bits
        self._run: Run | None = None
        self._lock = threading.RLock()

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """The results, checked."""
        inputs = self.settled(inputs)
        expected, after = self.check(inputs)
        results = self._program(inputs)
        self.compare(inputs, [results], [expected], after, "than its steps do one by one")
        return results

    def settled(self, inputs: Sequence[Any]) -> list[Any]:
        """The inputs as the plan takes them: the states of packs side by side."""
        apart = not all(lie_adjacent([inputs[k] for k in members]) for members in self.plan.packs)
        return self._settle(inputs) if self._settle is not None and apart else list(inputs)

    def compare(self, inputs: Sequence[Any], runs: list[list[Any]], due: list[list[Any]], after: Sequence[Any], what: str) -> None:
        """CheckError where the results of these runs are not those `due`, or the states not those of the inputs `after` them."""
        graph = self._single.graph
        for results, expected in zip(runs, due, strict=True):
            for value, got, wanted in zip(graph.outputs, results, expected, strict=True):
                self._agree(value, got, wanted, f"another result {what}", self._in_parts)
        for state, new in graph.updates:
            k = graph.inputs.index(state)
            self._agree(new, inputs[k], after[k], f"another new state {what}", self._in_parts)

    def check(self, inputs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Runs the program on copies, watched; gives its results, and the inputs with the new states in their places."""
        graph = self._single.graph
        copies = [_copy(x) for x in inputs]
        for members in self._single.packs:
            for k, copy in zip(members, side_by_side([copies[k] for k in members])):
                copies[k] = copy
        with self._lock, _quiet():
            given = [checked_input(k, v.spec, _copy(x)) for k, (v, x) in enumerate(zip(graph.inputs, inputs))]
            follow(self._stages, graph.inputs, given)
            run = self._run = Run(self._single, dict(zip(graph.inputs, given)))
            try:
                results = self._watched(copies)
            finally:
                self._run = None
            for value, got in zip(graph.outputs, results, strict=True):
                self._agree(value, got, run.value(value), "another result than its steps computed")
            for state, new in graph.updates:
                self._agree(new, copies[graph.inputs.index(state)], run.value(new), "another new state than its steps computed")
        return results, copies

    def _look(self, k: int, after: bool, arrays: tuple[Any, ...]) -> None:
        assert self._run is not None
        self._run.look(k, after, arrays)

    def _agree(self, value: Value, got: Any, wanted: Any, what: str, to_rounding: bool = False) -> None:
        wrong = apart(got, wanted, _rounding(wanted) if to_rounding else 0.0, signs=not to_rounding)
        if wrong.any():
            raise _error(value.node, value.node.operands, f"the program gives {what}: {_difference(got, wanted, wrong)}", "program")


def _rounding(wanted: Any) -> float:
    """What sums that are added up in another order may differ by: of its largest finite number 10,000 units of the last place."""
    array = np.asarray(wanted)
    if array.dtype.kind not in "fc":
        return 0.0
    finite = np.abs(array[np.isfinite(array)])
    return float(1e4 * np.finfo(array.dtype).eps * finite.max(initial=0))


def _copy(thing: Any) -> Any:
    """A copy that lies in memory as the array does: a plan may count on the strides."""
    if not isinstance(thing, np.ndarray) or not thing.size:
        return thing
    low, high = byte_bounds(thing)
    held = np.empty(high - low, np.uint8)
    twin = np.ndarray(thing.shape, thing.dtype, held, thing.ctypes.data - low, thing.strides)
    twin[...] = thing
    return twin


# ---- the passes
def follow(stages: list[Stage], inputs: Sequence[Value], given: Sequence[Any]) -> None:
    """Computes the trace by the meaning of its operations and follows every value through the passes; CheckError at the first fault."""
    followed = _Followed(dict(zip(inputs, given)))
    for node, operands in stages[0].nodes:
        followed.compute("", node, operands)
    turned = first_turned(stages[0], followed.values)
    if turned is not None:
        raise turned
    for before, stage in pairwise(stages):
        stand_ins = stage.stand_ins()
        there = [new for new in stand_ins if new in followed.values]
        for value in there:
            followed.replaced(before, stage.name, stand_ins[value], value)
        for node, operands in stage.nodes:
            followed.compute(stage.name, node, operands)
            for value in node.outputs:
                if value in stand_ins and value not in there:
                    followed.replaced(before, stage.name, stand_ins[value], value, force=True)
        for old, new in zip(before.results, stage.results, strict=True):
            followed.replaced(before, stage.name, [old], new)


class _Followed:
    """The values of a call, those that some stage has, and for each that rounding may move what noise makes of it."""

    def __init__(self, values: dict[Value, Any]):
        self.values, self._noise = values, Noise()
        self._noisy: dict[Value, list[Any]] = {}
        self._operands: dict[Node, tuple[Value, ...]] = {}

    def compute(self, name: str, node: Node, operands: tuple[Value, ...]) -> None:
        """The node's values, where its operands are others than before. Those known already stay: the node must still give them."""
        if self._operands.get(node) == operands:
            return
        self._operands[node] = operands
        held = [self.values[v] for v in operands]
        found = apply_meaning(node, held)
        if any(v in self._noisy for v in operands):
            moved = [self._noisy.get(v, [x] * NOISES) for v, x in zip(operands, held)]
            runs = [self._noise.of(node, column) for column in zip(*moved)]
        else:
            runs = self._noise.several(node, held)
        for at, (value, result) in enumerate(zip(node.outputs, found)):
            several = [run[at] for run in runs]
            if value not in self.values:
                self.values[value] = result
                if several:
                    self._noisy[value] = several
                continue
            wanted = self.values[value]
            wrong = apart(result, wanted, bound(wanted, self._noisy.get(value, ())) + bound(result, several))
            if wrong.any():
                raise _changed(node, operands, name, result, wanted, wrong)

    def replaced(self, before: Stage, name: str, olds: Sequence[Value], new: Value, *, force: bool = False) -> None:
        """`new` stands where others stood: it must have their value. `force`: it is given that, so that no rounding adds up."""
        for old in olds:
            if old is new or old not in self.values:
                continue
            got, wanted = self.values[new], self.values[old]
            if got is not wanted:
                wrong = apart(got, wanted, bound(wanted, self._noisy.get(old, ())) + bound(got, self._noisy.get(new, ())))
                if wrong.any():
                    operands = dict(before.nodes).get(old.node, ())
                    raise _changed(old.node, operands, name, got, wanted, wrong, new.node.op.name)
            if force:
                self.values[new] = wanted
                if old in self._noisy:
                    self._noisy[new] = self._noisy[old]


def _changed(
    node: Node, operands: Sequence[Value], name: str, got: Any, wanted: Any, wrong: np.ndarray, became: str | None = None
) -> CheckError:
    step = f"the pass {name} made it {became}, which changes" if became and became != node.op.name else f"the pass {name} changes"
    return _error(node, operands, f"{step} its value: {_difference(got, wanted, wrong)}", f"pass {name}")


# ---- the steps
class Run:
    """One run of the watched program. `given`: the inputs' values."""

    def __init__(self, plan: Plan, given: dict[Value, Any]):
        self.plan, self._values, self._noise = plan, given, Noise()
        for node in plan.graph.order():
            if node.op is CONSTANT:
                self._values[node.outputs[0]] = node.attrs["value"].value

    def value(self, value: Value) -> Any:
        """What the program has computed for it; what costs no step (views, joins of what lies there) by its meaning."""
        stack = [value]
        while stack:
            node = stack[-1].node
            missing = [v for v in node.operands if v not in self._values]
            if stack[-1] in self._values or not missing:
                if stack.pop() not in self._values:
                    self._values.update(zip(node.outputs, apply_meaning(node, [self._values[v] for v in node.operands])))
            else:
                stack += missing
        return self._values[value]

    def look(self, k: int, after: bool, arrays: tuple[Any, ...]) -> None:
        """CheckError where step k reads something else than what was computed, or writes something else than it means."""
        step = self.plan.steps[k]
        if isinstance(step, Call):
            (self._written if after else self._read)(k, step, arrays)
        elif isinstance(step, Host) and after:
            self._values[step.node.outputs[0]] = arrays[0]

    def _read(self, k: int, step: Call, arrays: tuple[Any, ...]) -> None:
        for value, array in zip(step.node.operands, arrays, strict=True):
            wanted = np.asarray(self.value(value)).astype(array.dtype, copy=False)
            wrong = apart(array, wanted, 0.0, signs=True)
            if wrong.any():
                cause = f"what step {k} ({step.kernel.name}) reads has been overwritten: {_difference(array, wanted, wrong)}"
                raise _error(step.node, step.node.operands, cause, f"plan, step {k}")

    def _written(self, k: int, step: Call, arrays: tuple[Any, ...]) -> None:
        node = step.node
        operands = [self.value(v) for v in node.operands]
        wanted, noisy = apply_meaning(node, operands), self._noise.several(node, operands)
        for at, (value, array, due) in enumerate(zip(node.outputs, arrays, wanted, strict=True)):
            wrong = apart(array, due, bound(due, [run[at] for run in noisy]), signs=not node.op.has(Trait.ROUNDS))
            if wrong.any():
                cause = f"the kernel {step.kernel.name}, step {k} of the plan, gives another value: {_difference(array, due, wrong)}"
                raise _error(node, node.operands, cause, f"kernel {step.kernel.name}, step {k}")
            self._values[value] = np.array(array)


# ---- in words
def _error(node: Node, operands: Sequence[Value], cause: str, culprit: str) -> CheckError:
    names = node.op.names(len(operands))
    error = CheckError(
        cause, op=node.op.name, operands=zip(names, [v.spec for v in operands]), line=node.line,
        mend="this is a fault of the compiler, not of your code: please report it with this text and the function",
    )
    return error.by(culprit)


def _difference(got: Any, wanted: Any, wrong: np.ndarray) -> str:
    """`2.5, not 3.0, at [0, 1], and at 3 more of 6 elements`."""
    where = tuple([int(n) for n in np.argwhere(wrong)[0]]) if wrong.ndim else ()
    text = f"{np.asarray(got)[where]!s}, not {np.asarray(wanted)[where]!s}"
    if where:
        text += f", at {list(where)}"
    more = int(np.count_nonzero(wrong)) - 1
    return text + (f", and at {more} more of {wrong.size} elements" if more else "")


@contextmanager
def _quiet() -> Iterator[None]:
    """The references are computed without warnings: the run itself gives them."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
