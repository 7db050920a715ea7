"""What a backend must supply, as protocols: nothing is inherited, so a backend is a module with an object of this form.

Backend.target() -> Target      data: kernels, costs, caches; planning needs nothing else
Backend.arrays                  the arrays that its programs read and give: NumPy's, or those of a device
Backend.emit(plan) -> Program   text first; it may be printed, read and run by hand
Program(inputs) -> results      leases an Instance (memory, bound views) from a pool, runs it and gives it back
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self

import numpy as np

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


class Arrays(Protocol):
    """The arrays of a backend. What is on the host is NumPy's; only `states`, `to_host` and `write` need the device."""

    on_host: bool

    def owns(self, thing: Any) -> bool:
        """Whether a thing is such an array."""
        ...

    def layout(self, array: Any) -> str:
        """The stride class ("C", "F", "any") in which a program gets this array, NumPy's or its own."""
        ...

    def geometry(self, array: Any) -> np.ndarray:
        """An array of NumPy's with its address, shape, strides and dtype, never to be read: to ask what lies where."""
        ...

    def may_pack(self, arrays: Sequence[Any]) -> bool:
        """Whether states in these arrays may be asked to lie one behind the other."""
        ...

    def states(self, arrays: Sequence[Any]) -> list[Any]:
        """Arrays of its own with these values, as states of one pack lie."""
        ...

    def to_host(self, array: Any) -> np.ndarray:
        """An array of its own as NumPy's."""
        ...

    def write(self, target: Any, value: Any) -> None:
        """`target[...] = value`, each of them NumPy's or its own."""
        ...


class Backend(Protocol):
    """One way to run plans. `modes`: the names of ways that can be asked for."""

    name: str
    modes: tuple[str, ...]
    arrays: Arrays

    def in_mode(self, mode: str) -> Self:
        """The backend as it runs in one of its modes."""
        ...

    def remarks(self, plan: Plan, uploaded: int) -> list[str]:
        """For `explain`, where it is worth a word: how the plan runs and why so. `uploaded`: bytes that each call brings to a device."""
        ...

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
        `settle(inputs)` is asked for the inputs where states do not lie as they must: one behind the other, if they are of a pack
        (`Plan.packs`), and in arrays of the backend's own.
        """
        ...
