"""What emitted programs call beside NumPy: a cheap way to be quiet about overflow, and writes that are all done or none.

`hushed` does what `with np.errstate(over="ignore", under="ignore")` does (2.8 us) by calling ufuncs in a context of their own, in which
NumPy's context variable is set so (0.06 us a call; to set it and back takes 1.1). Where this NumPy has no such variable it is errstate.
"""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, repeat, starmap
from operator import call, length_hint
from typing import Any

import numpy as np
from numpy._core import _ufunc_config, umath

from backends.interrupts import without_interrupts
from ir.errors import NotFiniteError
from ir.ops.host import Code, called
from ir.spec import Spec

_variable: Any = getattr(_ufunc_config, "_extobj_contextvar", None)
_make: Any = getattr(umath, "_make_extobj", None)
_NEVER = object()
_MOST = 1 << 62  # calls


def hushed() -> Callable[[], Callable[..., Any]]:
    """Gives a function, for one thread at a time, that gives one that calls others as the caller's setting is, but quiet.

    >>> quietly = hushed()()
    >>> quietly(np.exp, 1000.0)
    np.float64(inf)
    """
    known, run = _NEVER, _under_errstate

    def quiet() -> Callable[..., Any]:
        nonlocal known, run
        if setting() is not known:
            known, run = setting(), _hushed_run()
        return run

    return quiet


def _hushed_run() -> Callable[..., Any]:
    """What calls a function in a context that holds nothing but the caller's setting, made quiet."""
    if _variable is None or _make is None:
        return _under_errstate
    context = contextvars.Context()
    context.run(_variable.set, _make(over="ignore", under="ignore"))
    return context.run


def _under_errstate(function: Callable[..., Any], *operands: Any) -> Any:
    with np.errstate(over="ignore", under="ignore"):
        return function(*operands)


def _unknown() -> None:
    """Where this NumPy does not show its setting."""


setting: Callable[[], Any] = _unknown if _variable is None else _variable.get
"""The caller's setting of floating-point errors: the same object while nobody changes it."""


@contextmanager
def under(held: Any) -> Iterator[None]:
    """What `setting` gave is in force inside."""
    if _variable is None or held is None or held is _variable.get():
        yield
        return
    token = _variable.set(held)
    try:
        yield
    finally:
        _variable.reset(token)


class Block(np.ndarray):
    """The memory of a pack: the base of the arrays that lie in it, by which they are known."""


def adjacent(*arrays: np.ndarray) -> np.ndarray:
    """The memory of contiguous arrays that lie one behind the other, as bytes.

    >>> adjacent(*side_by_side([np.ones(2), np.ones((2, 3))])).nbytes
    64
    """
    assert lie_adjacent(arrays), "the states of a pack lie apart"
    return np.lib.stride_tricks.as_strided(arrays[0].reshape(-1).view(np.uint8), (sum([a.nbytes for a in arrays]),), (1,))


def lie_adjacent(arrays: Sequence[np.ndarray]) -> bool:
    """Whether contiguous arrays lie one behind the other in one Block."""
    at = [a.__array_interface__["data"][0] for a in arrays]
    one_block = all(type(a.base) is Block and a.base is arrays[0].base for a in arrays)
    return one_block and all(next_ - here == a.nbytes for here, next_, a in zip(at, at[1:], arrays))


def side_by_side(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Copies of the arrays, one behind the other in a new block.

    >>> lie_adjacent(side_by_side([np.ones(2), np.ones((2, 3))]))
    True
    """
    block, start, found = Block((sum([a.nbytes for a in arrays]),), np.uint8), 0, list[np.ndarray]()
    for array in arrays:
        found.append(np.ndarray(array.shape, array.dtype, block, start))
        found[-1][...] = array
        start += array.nbytes
    return found


def overlap(some: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> bool:
    """Whether memory of some may be memory of others.

    >>> a = np.zeros(4)
    >>> overlap((a[:2],), (a[2:],)), overlap((a[:2], a[1:]), (a[2:],))
    (False, True)
    """
    return any(np.may_share_memory(one, two) for one in some for two in others)


def finish(writes: Iterable[tuple[Any, ...]]) -> None:
    """Makes all of these calls, (function, *operands) each: all or, if never called, none.

    They run without a step of Python between them, so Ctrl-C waits until the last is done. If one raises (a floating-point error under
    `np.errstate(all="raise")`, after it has written), the others are still made, then the first error is raised, or the interrupt if
    there was one.
    """
    steps = starmap(call, writes)
    try:
        deque(steps, 0)
    except BaseException as error:
        raise _rest(steps, error)


def together(writes: Iterable[tuple[Any, ...]]) -> Callable[[], None]:
    """A function that does what `finish(writes)` does, for writes that are the same at each call: in 0.3 us beside them, not 1.0.

    >>> done = []
    >>> write = together([(done.append, 1), (done.append, 2)])
    >>> write(), write(), done
    (None, None, [1, 2, 1, 2])
    """
    calls = list(writes)
    begun, *made = [iter(range(_MOST)) for _ in range(len(calls) + 1)]  # the next is taken before the first call, and after each
    pairs = zip([starmap(function, repeat(operands)) for function, *operands in calls], made)
    advance = zip(begun, *chain.from_iterable(pairs)).__next__

    def write() -> None:
        try:
            advance()
        except BaseException as error:
            missing = [count for count in made if length_hint(count) != length_hint(begun)]
            if not missing:  # an interrupt before the first call or after the last
                raise
            for count in missing:
                next(count)
            raise _rest(starmap(call, calls[len(calls) - len(missing) + 1 :]), error)

    return write


def finish_held(writes: Iterable[tuple[Any, ...]]) -> None:
    """As `finish` where some of the calls are regions, which take steps of Python: signals wait until the last is done."""
    with without_interrupts():
        finish(writes)


def stop() -> None:
    """What was to be finite is not: nothing has been written."""
    raise NotFiniteError(
        "the loss or a gradient is NaN or infinite; nothing was updated", mend="lower the learning rate, or clip gradients with clip_norm="
    )


def _rest(steps: Iterator[Any], first: BaseException) -> BaseException:
    """Makes the calls that are left, whatever comes in between. Gives what is to be raised: what came first, but rather an interrupt."""
    while True:
        try:
            with np.errstate(all="ignore"):
                deque(steps, 0)
            return first
        except BaseException as error:  # each time a call fewer is left
            first = first if isinstance(error, Exception) else error


def hosted(fn: Code, operands: tuple[Any, ...], specs: tuple[Spec, ...], outs: tuple[Any, ...]) -> None:
    """Calls code of the user's and puts its results in their places: all or, if it raises, none."""
    for result, out in zip(called(fn, operands, specs), outs):
        np.copyto(out, result)
