"""What emitted programs call beside NumPy: a cheap way to be quiet about overflow, and writes that are all done or none.

`hushed` does what `with np.errstate(over="ignore", under="ignore")` does (2.8 us) by calling ufuncs in a context of their own, in which
NumPy's context variable is set so (0.06 us a call; to set it and back takes 1.1). Where this NumPy has no such variable it is errstate.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy._core import _ufunc_config, umath

from backends.straight.finish import finish, finish_held, stop, together
from ir.ops.host import Code, called
from ir.spec import Spec

__all__ = [
    "Block", "adjacent", "finish", "finish_held", "hosted", "hushed", "lie_adjacent", "overlap", "setting", "side_by_side", "stop",
    "together", "under",
]  # fmt: skip
_variable: Any = getattr(_ufunc_config, "_extobj_contextvar", None)
_make: Any = getattr(umath, "_make_extobj", None)
_NEVER = object()


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


def hosted(fn: Code, operands: tuple[Any, ...], specs: tuple[Spec, ...], outs: tuple[Any, ...]) -> None:
    """Calls code of the user's and puts its results in their places: all or, if it raises, none."""
    for result, out in zip(called(fn, operands, specs), outs):
        np.copyto(out, result)
