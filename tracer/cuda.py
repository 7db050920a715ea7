"""Where arrays live, for code written against a choice of array modules: everything here lives in NumPy.

Traced arrays and Variables answer NumPy's functions, so `xp = get_array_module(x); xp.tanh(x)` records like any other call.
"""
from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from ir.errors import BackendUnavailable
from tracer.variable import Variable

gpu_enable = False


def get_array_module(x: Any) -> ModuleType:
    """The module whose functions take `x`.

    >>> get_array_module(np.zeros(3)).__name__
    'numpy'
    """
    return np


def as_numpy(x: Any) -> np.ndarray:
    """`x` as a NumPy array: the data of a Variable, a number as a 0-d array, an array as it is.

    >>> as_numpy(3.0)
    array(3.)
    """
    held = x.data if isinstance(x, Variable) else x
    return np.array(held) if np.isscalar(held) else held


def as_cupy(x: Any) -> Any:
    """Raises BackendUnavailable: arrays of this process live in NumPy."""
    raise BackendUnavailable("arrays can't be moved to a GPU here", op="as_cupy", mend="leave them as NumPy arrays: as_numpy(x)")
