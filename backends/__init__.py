"""Backends by name, each loaded when it is asked for; and whose arrays a thing is one of.

A backend gives a Target (data for the planner) and an emitter that turns a Plan into a Program; see `base.py`. They are listed here
and nowhere else.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from backends.base import Backend
from ir.errors import ArgumentError
from ir.source import module_of

BACKENDS: dict[str, str] = {"numpy": "backends.numpy", "cupy": "backends.cupy"}
DEVICES: dict[str, str] = {"cupy": "cupy"}  # the library of a device's arrays, and its backend


def get(name: str, mode: str | None = None) -> Backend:
    """The backend called `name`, in one of its modes where one is asked for; ArgumentError for a name or mode that there is not.

    >>> get("numpy").name
    'numpy'
    """
    module = BACKENDS.get(name)
    if module is None:
        raise ArgumentError(f"there is no backend {name!r}", mend=f"known backends: {', '.join(BACKENDS)}")
    backend: Backend = importlib.import_module(module).BACKEND
    if mode is None:
        return backend
    if mode not in backend.modes:
        known = f"its modes are {', '.join(backend.modes)}" if backend.modes else "leave it out: it has one way to run plans"
        raise ArgumentError(f"the {name} backend has no mode {mode!r}", mend=known)
    return backend.in_mode(mode)


def owner(thing: Any) -> Backend | None:
    """The backend of whose device a thing is an array; None for NumPy's arrays and all else.

    >>> owner(np.ones(3)) is None
    True
    """
    name = DEVICES.get(module_of(type(thing)).partition(".")[0])
    if name is None:
        return None
    backend = get(name)
    return backend if backend.arrays.owns(thing) else None


def device() -> Backend:
    """The backend to whose device arrays are moved where none is named."""
    return get(next(iter(DEVICES.values())))


def memory_of(thing: Any) -> np.ndarray | None:
    """Where an array lies: NumPy's itself, for a device's one that must not be read; None for what is no array."""
    if isinstance(thing, np.ndarray):
        return thing
    backend = owner(thing)
    return backend.arrays.geometry(thing) if backend is not None else None


def to_host(array: Any) -> np.ndarray:
    """An array, a device's or NumPy's, as NumPy's; what is on a device is waited for."""
    backend = owner(array)
    return backend.arrays.to_host(array) if backend is not None else np.asarray(array)

