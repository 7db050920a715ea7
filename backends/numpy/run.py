"""Programs and Instances: a Program is text and constants, shared by all; an Instance is memory of its own with the run bound to it.

A call leases an Instance from the Program's pool (a list: `pop` and `append` are atomic, so threads and re-entrant calls never meet)
and gives it back whatever happens. The arena is requested once, in an Instance's first run; it dies with the Program.
"""

from __future__ import annotations

import itertools
import linecache
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from backends.base import Look, Settle
from backends.numpy.emit import Source
from backends.numpy.names import states_of
from backends.numpy.support import lie_adjacent
from backends.numpy.warm import LEAST, warm_up
from ir.plan import Call, Loop, Plan, Region

_numbers = itertools.count()
_COMMENT = re.compile(r"\s*# \S+:\d+ ")


class Program:
    """`source` is the text that runs; calling the program runs it on a leased Instance."""

    def __init__(
        self, plan: Plan, source: Source, look: Look | None = None, ticks: Iterator[int] | None = None, settle: Settle | None = None
    ):
        self.plan, self.source, self.const = plan, source.text, source.const
        self.packs, self.settle = plan.packs, settle
        self.states, self.multiply = states_of(plan), multiply_together(plan)
        self.file = f"<gradplan program {next(_numbers)}>"
        linecache.cache[self.file] = (len(self.source), None, self.source.splitlines(keepends=True), self.file)
        weakref.finalize(self, linecache.cache.pop, self.file, None)
        module: dict[str, Any] = {"__name__": self.file, "look": look, "ticks": itertools.count() if ticks is None else ticks}
        exec(compile(self.source, self.file, "exec"), module)
        self.make: Callable[..., Callable[[Sequence[Any]], list[Any]]] = module["bind"]
        self._free: list[Instance] = []

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """The results for `inputs`, in the order of `graph.inputs`; see `backends.base.Instance.run`."""
        try:
            instance = self._free.pop()
        except IndexError:
            instance = Instance(self)
        try:
            return instance.run(inputs)
        except Exception as error:
            self.say_where(error)
            raise
        finally:
            self._free.append(instance)

    def say_where(self, error: Exception) -> None:
        """Adds a note to an error that the program raised: the user's line that stands above the program's."""
        number, traceback = 0, error.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == self.file:
                number = traceback.tb_lineno
            traceback = traceback.tb_next
        above = [line.strip() for line in self.source.splitlines()[:number] if _COMMENT.match(line)]
        if above:
            error.add_note(f"while running {above[-1][2:]}")

    def bind(self) -> Instance:
        """A new Instance, not of the pool."""
        return Instance(self)

    @contextmanager
    def lease(self) -> Iterator[Instance]:
        """An Instance of the pool for a `with` block."""
        instance = self._free.pop() if self._free else Instance(self)
        try:
            yield instance
        finally:
            self._free.append(instance)


class Instance:
    """`run(inputs)` gives the results. It is bound to memory and states in the first run, and again when other state arrays come.

    Nothing here refers back to the Program or in a circle, so memory goes when the last reference does.
    """

    __slots__ = ("_make", "_const", "_states", "_request", "_alignment", "_packs", "_settle", "_multiply", "arena", "run", "__weakref__")

    def __init__(self, program: Program):
        self._make, self._const, self._states = program.make, program.const, program.states
        self._request, self._alignment = program.plan.arena_request, program.plan.target.alignment
        self._packs, self._settle, self._multiply = program.packs, program.settle, program.multiply
        self.arena: Any = None
        self.run: Callable[[Sequence[Any]], list[Any]] = partial(Instance._bind_and_run, weakref.proxy(self))

    def _bind_and_run(self, inputs: Sequence[Any]) -> list[Any]:
        if self.arena is None:
            warm_up(self._multiply)
            self.arena = aligned(self._request, self._alignment)
        if self._settle is not None and not all(lie_adjacent([inputs[k] for k in members]) for members in self._packs):
            inputs = self._settle(inputs)
        moved = partial(Instance._bind_and_run, weakref.proxy(self) if type(self) is Instance else self)
        self.run = self._make(self.arena, self._const, [inputs[k] for k in self._states], moved)
        return self.run(inputs)


def multiply_together(plan: Plan) -> int:
    """How many threads may be in a product of some size at the same time; 0 where the plan has none."""
    found = 0
    for step in plan.steps:
        if isinstance(step, Call) and step.node.op.family == "matmul":
            found = max(found, int(step.node.op.flops(step.node.specs, tuple([v.spec for v in step.node.operands])) >= 2 * LEAST))
        elif isinstance(step, Loop):
            found = max(found, multiply_together(step.body))
        elif isinstance(step, Region):
            found = max(found, multiply_together(step.body) * step.workers)
    return found


def aligned(request: int, alignment: int) -> Any:
    """`request` bytes from NumPy, without those before the first aligned one. Nothing is requested for 0."""
    if request == 0:
        return bytearray()
    block = np.empty(request, np.uint8)
    start = -block.__array_interface__["data"][0] % alignment
    return block[start:]
