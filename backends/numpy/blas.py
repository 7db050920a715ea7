"""The number of threads of the BLAS library that NumPy uses, as a property of a step: set while it runs, then what it was before.

In: the count that the products of a step were planned for. Invariant: inside `with blas_threads(n)` BLAS has n threads, whatever other
calls want at the same time. The setting belongs to the process, so calls that want the same count share it, and others wait, first come
first served; the last to leave puts back what the first found. A thread holds one count at a time: inside another block it lets go of
the outer count for the inner one, so that no two ever wait for each other. Left open: other code that changes the setting meanwhile or
multiplies meanwhile; a BLAS built on OpenMP keeps the setting for each thread, so that there it reaches the calling one alone.

As in `workers`, what threads share is right after each statement, since a signal's handler may raise between any two.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core import _multiarray_umath  # type: ignore[attr-defined]

Get = Callable[[], int]
Set = Callable[[int], object]
_AFFIXES = list(itertools.product(("scipy_", ""), ("64_", "_64", "")))  # NumPy's wheels have scipy_..._num_threads64_
_NAMES = [
    *[(f"{p}openblas_get_num_threads{s}", f"{p}openblas_set_num_threads{s}", f"{p}openblas_get_parallel{s}") for p, s in _AFFIXES],
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads", ""),
    ("bli_thread_get_num_threads", "bli_thread_set_num_threads", ""),
    ("flexiblas_get_num_threads", "flexiblas_set_num_threads", ""),
]
_OPENMP = 2  # what openblas_get_parallel gives then; its own setter has no effect on such builds before 0.3.34
_LOOK_AGAIN = 0.05  # seconds: an interrupt may have swallowed a wake-up


def find(libraries: list[Any]) -> tuple[str, Get, Set] | None:
    """The setter's name, getter and setter, from the first library that has them; None where none does."""
    for library in libraries:
        for get, set_, parallel in _NAMES:
            if hasattr(library, get) and hasattr(library, set_):
                if hasattr(library, parallel) and getattr(library, parallel)() == _OPENMP and hasattr(library, "omp_set_num_threads"):
                    get, set_ = "omp_get_max_threads", "omp_set_num_threads"
                setter = getattr(library, set_)
                setter.argtypes, setter.restype = [ctypes.c_int], None
                return set_, getattr(library, get), setter
    return None


def loaded() -> list[Any]:
    """NumPy's compiled core, through which the symbols of the BLAS that it was linked with are found; on Windows that library itself."""
    files = [_multiarray_umath.__file__]
    if os.name == "nt":
        files += sorted(map(str, Path(np.__file__).parent.parent.joinpath("numpy.libs").glob("*blas*.dll")))
    return [ctypes.CDLL(file) for file in files]


class Setting:
    """A process-wide count that blocks hold at a value. A count below 1 that `get` finds means 1 (BLIS has -1); `set` is C's, so that no
    interrupt comes before it has done its work."""

    def __init__(self, get: Get, set: Set):
        self.get, self.set = get, set
        self.lock = threading.Lock()
        self.holders, self.held, self.own = 0, 0, 0  # how many threads hold it, at what, and what it was before the first
        self.queue: list[threading.Lock] = []  # who waits, each asleep on its lock
        self.here = _Here()

    def hold(self, count: int | None) -> Hold:
        """A `with` block in which the count is `count`."""
        return Hold(self, count or 0)

    def switch(self, mine: Mine, count: int) -> None:
        """This thread holds `count` and nothing else: -1 for none, 0 for what the process has."""
        if mine.holds == count and count:
            return
        if mine.holds != -1:
            with self.lock:
                self.release(mine)
        if count != -1:
            self.acquire(mine, count)

    def release(self, mine: Mine) -> None:
        """Under the lock."""
        mine.holds = -1
        self.holders -= 1
        if not self.holders and self.held != self.own:
            self.set(self.own)
        if self.queue:
            self.wake()

    def acquire(self, mine: Mine, count: int) -> None:
        place = None
        try:
            while True:
                with self.lock:
                    if not self.holders:
                        own = self.get()
                        self.own = own if own > 0 else 1
                    if (not self.queue or self.queue[0] is place) and (not self.holders or self.held == (count or self.own)):
                        mine.holds = count or self.own
                        self.holders += 1
                        if self.holders == 1:
                            self.held = mine.holds
                            if self.held != self.own:
                                self.set(self.held)
                        break
                    if place is None:
                        place = threading.Lock()
                        place.acquire()
                        self.queue.append(place)
                place.acquire(timeout=_LOOK_AGAIN)
        finally:
            if place is not None:
                with self.lock:
                    if place in self.queue:
                        self.queue.remove(place)
                    self.wake()

    def wake(self) -> None:
        """Under the lock: whoever is first in the queue looks again."""
        if self.queue and self.queue[0].locked():
            self.queue[0].release()

    def renew(self) -> None:
        """In a forked child: no other thread is there, and somebody may have had the lock."""
        self.lock, self.queue = threading.Lock(), []
        left, self.holders = self.holders, int(self.here.mine.holds != -1)
        if left and not self.holders and self.held != self.own:
            self.set(self.own)


class Mine:
    """What one thread holds now (-1: nothing), and the counts of the blocks that it is in, the innermost last."""

    def __init__(self) -> None:
        self.holds = -1
        self.blocks: list[int] = []


class _Here(threading.local):
    def __init__(self) -> None:
        self.mine = Mine()


class Hold:
    """One `with` block. It may be entered twice, `with blas_threads(1) as held, held:`, and the first exit ends it."""

    __slots__ = ("setting", "count", "mine", "depth")

    def __init__(self, setting: Setting, count: int):
        self.setting, self.count, self.depth = setting, count, -1

    def __enter__(self) -> Hold:
        if self.depth == -1:
            self.mine = mine = self.setting.here.mine
            self.depth = len(mine.blocks)
            try:
                self.setting.switch(mine, self.count)
                mine.blocks.append(mine.holds)
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.depth != -1:
            blocks = self.mine.blocks
            del blocks[self.depth :]
            self.setting.switch(self.mine, blocks[-1] if blocks else -1)
            self.depth = -1


class NoHold:
    """A block that changes nothing."""

    def __enter__(self) -> NoHold:
        return self

    def __exit__(self, *_: object) -> None: ...


_found = find(loaded())
SETTER: str | None = None if _found is None else _found[0]
SETTING: Setting | None = None if _found is None else Setting(*_found[1:])
if SETTING is not None and hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SETTING.renew)


def blas_threads(count: int | None) -> Hold | NoHold:
    """A `with` block in which NumPy's products use `count` BLAS threads; None: as many as the process has it set to.

    A block costs 7 us, 5 where BLAS has that count already, 2 inside another of the same count (threadpoolctl's 25): OpenBLAS's setter
    takes 1, asking it 0.4. Products of up to 262,144 multiplications, or 9,216 with a vector, OpenBLAS gives to one thread anyway.
    Waits while calls in other threads hold another count. Where no setter was found (`SETTER` is None) the block does nothing.
    Python can deliver an interrupt just before `__exit__` begins, which then does not run; where that matters the block is entered
    twice, `with blas_threads(1) as held, held:`, so that the outer exit does what the inner one missed. It costs 1 us more.

    >>> import numpy as np
    >>> with blas_threads(1):
    ...     np.ones((2, 3)) @ np.ones(3)
    array([3., 3.])
    """
    return NoHold() if SETTING is None else Hold(SETTING, count or 0)
