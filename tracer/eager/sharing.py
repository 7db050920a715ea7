"""States shared by threads: what reads Variables while another thread's training step writes them gets those of one whole iteration.

Variables that a compiled function closes over share a lock and a count of writes (`Shared`), those of its training steps too. A program
that updates them holds the lock. One that reads them runs free, and once more under the lock if a write came in between.
"""
from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from tracer.eager.records import TAPE, Held

Program = Callable[[Sequence[Any]], list[Any]]


class Shared:
    """`lock` for those who write; `writes` is odd while somebody does. Locks are taken in the order of `serial`."""

    __slots__ = ("lock", "writes", "serial")

    def __init__(self) -> None:
        self.lock, self.writes, self.serial = threading.RLock(), 0, next(_serials)


_serials = itertools.count()
_shared: weakref.WeakKeyDictionary[Held, Shared] = weakref.WeakKeyDictionary()
_lock = threading.RLock()
_written = False  # whether there is any program that updates Variables


def shared_by(variables: Iterable[Held]) -> tuple[Shared, ...]:
    """What these Variables share with others: one for all of them, unless they were used apart before."""
    with _lock:
        known: dict[int, Shared] = {}
        new = []
        for variable in variables:
            found = _shared.get(variable)
            if found is None:
                new.append(variable)
            else:
                known[found.serial] = found
        if new:
            one = known[min(known)] if known else Shared()
            known[one.serial] = one
            for variable in new:
                _shared[variable] = one
        return tuple([known[serial] for serial in sorted(known)])


class Writing:
    """A program that updates Variables: one at a time."""

    __slots__ = ("program", "_first", "_last")

    def __init__(self, program: Any, shared: Sequence[Shared]):
        global _written
        _written = True
        self.program, self._first, self._last = program, shared[:-1], shared[-1]

    @property
    def alone(self) -> Shared | None:
        """What the Variables share, where that is one for all of them."""
        return None if self._first else self._last

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        if not self._first:
            return self._run(inputs)
        with ExitStack() as held:
            for one in self._first:
                held.enter_context(one.lock)
                one.writes += 1
                held.callback(setattr, one, "writes", one.writes + 1)
            return self._run(inputs)

    def _run(self, inputs: Sequence[Any]) -> list[Any]:
        one = self._last
        with one.lock:
            one.writes += 1
            try:
                return self.program(inputs)
            finally:
                one.writes += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.program, name)


class Reading:
    """A program that reads Variables and updates none."""

    __slots__ = ("program", "_shared")

    def __init__(self, program: Any, shared: Sequence[Shared]):
        self.program, self._shared = program, shared

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        return read(self.program, inputs, self._shared)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.program, name)


def read(program: Program, inputs: Sequence[Any], shared: Sequence[Shared]) -> list[Any]:
    """The program's results from Variables as no write was halfway through."""
    before = [one.writes for one in shared]
    if not any(count & 1 for count in before):
        results = program(inputs)
        if before == [one.writes for one in shared]:
            return results
    with ExitStack() as held:
        for one in shared:
            held.enter_context(one.lock)
        return program(inputs)


def read_eagerly(program: Program, values: Sequence[Any], leaves: Iterable[Any]) -> list[Any]:
    """As `read`, for values that are the data of those leaves that are Variables."""
    if not _written:
        return program(values)
    found = {one.serial: one for leaf in leaves if isinstance(leaf, Held) and (one := _shared.get(leaf)) is not None}
    return read(program, values, [found[serial] for serial in sorted(found)])


@contextmanager
def standing(shared: Sequence[Shared]) -> Iterator[None]:
    """Inside, no program updates these. Whoever records takes the tape's lock first, as those do who run what is pending."""
    if not _written or not shared:
        yield
        return
    with TAPE.lock, ExitStack() as held:
        for one in shared:
            held.enter_context(one.lock)
        yield


def copied(value: Any, dtype: Any, held: Held) -> Any:
    """A copy of a Variable's data as no write was halfway through."""
    one = _shared.get(held) if _written else None
    if one is None:
        return np.array(value, dtype) if isinstance(value, np.ndarray) else value.copy()
    with one.lock:
        return np.array(value, dtype) if isinstance(value, np.ndarray) else value.copy()
