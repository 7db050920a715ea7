"""What a backend must supply, as protocols: nothing is inherited, so a backend is a module with an object of this form.

Backend.target() -> Target      data: kernels, costs, caches; planning needs nothing else
Backend.emit(plan) -> Program   text first; it may be printed, read and run by hand
Program(inputs) -> results      leases an Instance (memory, bound views) from a pool, runs it and gives it back
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ir.plan import Plan
from ir.target import Target

Look = Callable[[int, bool, tuple[Any, ...]], None]
Settle = Callable[[Sequence[Any]], list[Any]]


class Instance(Protocol):
    """A program with memory of its own. One thread at a time."""

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The results for `inputs`, given in the order of `graph.inputs`: arrays of the planned shape, dtype and layout, Python numbers
        for weak inputs. State inputs are arrays too and are written in place. Array results belong to the caller."""
        ...


class Program(Protocol):
    """A plan made runnable. Any thread may call it, also while it runs."""

    plan: Plan
    source: str

    def bind(self) -> Instance:
        """A new Instance; its memory is requested in its first run."""
        ...

    def lease(self) -> AbstractContextManager[Instance]:
        """An Instance for a `with` block: a free one, or a new one."""
        ...

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """`Instance.run` on a leased Instance."""
        ...


class Backend(Protocol):
    """One way to run plans."""

    name: str

    def target(self, exact: bool = False) -> Target:
        """What the planner may use; with `exact` only kernels that keep the reference's bits."""
        ...

    def emit(
        self, plan: Plan, look: Look | None = None, ticks: Iterator[int] | None = None, settle: Settle | None = None
    ) -> Program:
        """The program of a plan made for this backend's target.

        With `look` a program to be watched: the same lines, and `look(k, after, values)` before (`after` False: what step k reads) and
        after each step (what it has written), with the arrays or numbers themselves. A program whose plan counts its runs takes the next
        of `ticks` with each run's writes of states, so that whoever holds it knows how many were made, whatever came in between.
        `settle(inputs)` is asked for the inputs where the states of a pack (`Plan.packs`) do not lie one behind the other.
        """
        ...
