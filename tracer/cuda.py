"""Where arrays live, for code written against a choice of array modules.

Traced arrays and Variables answer NumPy's functions wherever their data lives, so `xp = get_array_module(x); xp.tanh(x)` records like any
other call; for a bare array on a GPU the module is that of the array.
"""
from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np

import backends
from tracer.variable import Variable

gpu_enable = False


def get_array_module(x: Any) -> ModuleType:
    """The module whose functions take `x`.

    >>> get_array_module(np.zeros(3)).__name__
    'numpy'
    """
    return np if backends.owner(x) is None else sys.modules[type(x).__module__.partition(".")[0]]


def as_numpy(x: Any) -> np.ndarray:
    """`x` as a NumPy array: the data of a Variable, a number as a 0-d array, an array as it is, but one on a GPU as a copy.

    >>> as_numpy(3.0)
    array(3.)
    """
    held = x.data if isinstance(x, Variable) else x
    return np.array(held) if np.isscalar(held) else held if backends.owner(held) is None else backends.to_host(held)


def as_cupy(x: Any) -> Any:
    """`x` as an array on the GPU: the data of a Variable, a number, an array. BackendUnavailable, with the reason, where there is none."""
    held = x.data if isinstance(x, Variable) else x
    return held if backends.owner(held) is not None else backends.device().arrays.states([np.asarray(held)])[0]
