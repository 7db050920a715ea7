"""Backends by name, each loaded when it is asked for.

A backend gives a Target (data for the planner) and an emitter that turns a Plan into a Program; see `base.py`. They are listed here
and nowhere else.
"""

from __future__ import annotations

import importlib

from backends.base import Backend
from ir.errors import ArgumentError

BACKENDS: dict[str, str] = {"numpy": "backends.numpy"}


def get(name: str) -> Backend:
    """The backend called `name`; ArgumentError for a name that is not in `BACKENDS`.

    >>> get("numpy").name
    'numpy'
    """
    module = BACKENDS.get(name)
    if module is None:
        raise ArgumentError(f"there is no backend {name!r}", mend=f"known backends: {', '.join(BACKENDS)}")
    return importlib.import_module(module).BACKEND
