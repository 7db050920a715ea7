"""Guards of which things are one: reached by two ways, or told apart by `is`."""
from __future__ import annotations

import types
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.captures.fetch import Fetch
from tracer.captures.paths import Found, now
from tracer.captures.seen import PLAIN
from tracer.operands.stack import Operand
from tracer.tracing.context import Tracing
from tracer.tracing.guards.guard import Guard, captured_changed, still

_NEVER_ANOTHER = (type, types.FunctionType, types.ModuleType, types.CodeType)  # which one it is, its own guard says


def of_aliases(tracing: Tracing) -> list[Guard]:
    """What is reached by two ways is still one thing."""
    return [_still_one(found, first) for found, first in tracing.outside.reach.aliases if now(found.fetch) is now(first)]


def of_identity(tracing: Tracing, leaves: list[Any]) -> list[Guard]:
    """Where the function asks by `is`: arrays and Variables within reach are the same ones, and the same arguments are one array."""
    if not tracing.outside.reach.asks_is:
        return []
    reached = [f for f in tracing.outside.reach.found if isinstance(f.thing, (np.ndarray, Operand))]
    others = [f.fetch for f in tracing.outside.reach.found if not isinstance(f.thing, (*PLAIN, np.ndarray, Operand, *_NEVER_ANOTHER))]
    ways = [f.fetch for f in reached] + others + [f.fetch for f, _ in tracing.outside.reach.aliases]
    same = _which_are_one(leaves, ways)
    return [
        *[still("is the same one", f, weakref.ref(f.thing), captured_changed(f)) for f in reached],
        Guard("the same arguments are one array", lambda leaves: _which_are_one(leaves, ways) == same),
    ]


def _which_are_one(leaves: Sequence[Any], ways: list[Fetch]) -> list[int]:
    """For each argument, and what is reached by these ways, the first that is the same thing."""
    ids = [id(leaf) if isinstance(leaf, (np.ndarray, Operand)) else -1 - k for k, leaf in enumerate(leaves)]
    first: dict[int, int] = {}
    return [first.setdefault(one, k) for k, one in enumerate([*ids, *[id(now(way)) for way in ways]])]


def _still_one(found: Found, first: Fetch) -> Guard:
    """What is reached by two ways is still one thing."""
    again = found.fetch
    return Guard(f"{found.name} is still the same by each way", lambda leaves: now(again) is now(first))
