"""Programs and Instances: a Program is text and constants, shared by all; an Instance is memory of its own with the run bound to it.

A call leases an Instance from the Program's pool (a list: `pop` and `append` are atomic, so threads and re-entrant calls never meet)
and gives it back whatever happens. The arena is requested once, in an Instance's first run; it dies with the Program. What memory is,
and where constants and states must lie, the backend's `Ground` says; before the first run nothing is asked of it.
"""

from __future__ import annotations

import itertools
import linecache
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, Protocol

from backends.base import Look, Settle
from backends.straight.names import states_of
from backends.straight.writer import Source
from ir.plan import Plan

Run = Callable[[Sequence[Any]], list[Any]]
_numbers = itertools.count()
_COMMENT = re.compile(r"\s*# \S+:\d+ ")


class Memory(Protocol):
    """What an Instance has of its own."""

    arena: Any

    def bound(self, run: Run) -> Run:
        """The run, in an order with those before it in this memory."""
        ...


class Ground(Protocol):
    """What a backend's programs stand on."""

    def ready(self, plan: Plan) -> None:
        """BackendUnavailable where the plan can't run here."""
        ...

    def memory(self, plan: Plan) -> Memory:
        """Memory for an Instance of the plan."""
        ...

    def constants(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        """The constants of a program where it can read them; things that are no arrays as they are."""
        ...

    def lie(self, plan: Plan, inputs: Sequence[Any], states: Sequence[int]) -> bool:
        """Whether the states among the inputs lie as the plan has them."""
        ...


class Program:
    """`source` is the text that runs; calling the program runs it on a leased Instance."""

    def __init__(
        self, plan: Plan, source: Source, ground: Ground, look: Look | None = None, ticks: Iterator[int] | None = None,
        settle: Settle | None = None,
    ):  # fmt: skip
        self.plan, self.source, self.ground, self.settle, self.states = plan, source.text, ground, settle, states_of(plan)
        self._const = source.const
        self._given: dict[str, Any] = {"look": look, "ticks": itertools.count() if ticks is None else ticks}
        self.file = f"<gradplan program {next(_numbers)}>"
        linecache.cache[self.file] = (len(self.source), None, self.source.splitlines(keepends=True), self.file)
        weakref.finalize(self, linecache.cache.pop, self.file, None)
        self._free: list[Instance] = []

    @cached_property
    def make(self) -> Callable[..., Run]:
        """`bind` of the program; BackendUnavailable where it can't run here."""
        self.ground.ready(self.plan)
        module: dict[str, Any] = {"__name__": self.file, **self._given}
        exec(compile(self.source, self.file, "exec"), module)
        return module["bind"]

    @cached_property
    def const(self) -> tuple[Any, ...]:
        """The constants where the program reads them."""
        return self.ground.constants(self._const)

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

    __slots__ = ("_make", "_const", "_states", "_plan", "_ground", "_settle", "memory", "run", "__weakref__")

    def __init__(self, program: Program):
        self._make, self._const, self._states = program.make, program.const, program.states
        self._plan, self._ground, self._settle = program.plan, program.ground, program.settle
        self.memory: Memory | None = None
        self.run: Run = partial(Instance._bind_and_run, weakref.proxy(self))

    def _bind_and_run(self, inputs: Sequence[Any]) -> list[Any]:
        if self.memory is None:
            self.memory = self._ground.memory(self._plan)
        if self._settle is not None and not self._ground.lie(self._plan, inputs, self._states):
            inputs = self._settle(inputs)
        moved = partial(Instance._bind_and_run, weakref.proxy(self) if type(self) is Instance else self)
        self.run = self.memory.bound(self._make(self.memory.arena, self._const, [inputs[k] for k in self._states], moved))
        return self.run(inputs)
