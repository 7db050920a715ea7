"""Clocks, and the system's random numbers: what gives something else at each call though nothing within reach has changed.

In: a function and what its code does with names. Out: whether it names one of them. Reading a clock is no fault by itself (a function may
print how long it took); whether what it said is in the trace, a second trace shows (`audit.repeats`).
"""
from __future__ import annotations

import sys
import types
from collections.abc import Iterable
from typing import Any

from tracer.captures.code import Uses
from tracer.captures.paths import filled

SOURCES: dict[str, frozenset[str]] = {
    "time": frozenset(
        ["time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time", "process_time_ns",
         "thread_time", "thread_time_ns", "localtime", "gmtime", "ctime"]
    ),
    "datetime": frozenset(["datetime", "date"]),
    "os": frozenset(["urandom", "getrandom"]),
    "random": frozenset(["Random", "SystemRandom"]),
    "secrets": frozenset(["choice", "randbelow", "randbits", "token_bytes", "token_hex", "token_urlsafe"]),
    "uuid": frozenset(["uuid1", "uuid4"]),
}  # fmt: skip


def names_a_clock(fn: types.FunctionType, use: Uses) -> bool:
    """Whether the function's code has a clock, as `time.time` or imported by name, here or inside of it."""
    cells = [cell.cell_contents for cell in fn.__closure__ or () if filled(cell)]
    held: Iterable[Any] = [*cells, *[fn.__globals__.get(name) for name in use.globals_]]
    modules = {h.__name__ for h in held if isinstance(h, types.ModuleType)} | use.imports
    return any(not SOURCES[name].isdisjoint(use.names) for name in modules & SOURCES.keys())


def is_a_clock(thing: Any) -> bool:
    """Whether this very thing is one of them."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__name__", None)
    module = {"posix": "os", "nt": "os"}.get(str(module), module)
    return module in SOURCES and name in SOURCES[module] and getattr(sys.modules.get(module), name, None) is thing
