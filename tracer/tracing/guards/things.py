"""Guards of what lies within the function's reach: plain values, and arrays whose numbers were read out of the graph's sight."""
from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ir.spec import Spec
from tracer.captures.paths import GONE, Found, now
from tracer.captures.reads import read_values
from tracer.captures.seen import LARGE, fingerprint
from tracer.tracing.context import Tracing
from tracer.tracing.guards.guard import Guard, captured_changed, shown, still


class OfThings(NamedTuple):
    """The guards; `read`: arrays that NumPy may have read out of the graph's sight; `compared`: the arrays that calls compare, by name."""

    guards: list[Guard]
    read: list[Found]
    compared: list[tuple[str, np.ndarray]]


def of_things(tracing: Tracing, before: list[tuple[Found, Any]]) -> OfThings:
    """Plain values within reach are what they were `before`, arrays that did not enter the graph (all, where something is unknown) hold
    the same numbers.
    """
    outside, noted, made = tracing.outside, tracing.noted, OfThings([], [], [])
    inside = outside.entered_ids()
    arrays = [found.name for found, _ in before if isinstance(found.thing, np.ndarray)]
    as_numbers = read_values(arrays, outside.fn, outside.reach.found) if outside.fn is not None else set()
    for found, seen in before:
        thing = now(found.fetch)
        if fingerprint(thing) != seen and (thing is found.thing or not outside.reach.is_others(found)):
            continue  # the function itself changes it
        if found.place in tracing.numbers.stood_in:
            continue
        if not isinstance(found.thing, np.ndarray):
            made.guards.append(still(f"is {shown(found.thing)}", found, seen, captured_changed(found)))
        elif id(found.thing) not in inside or noted.unknown is not None or noted.plain_result or found.name in as_numbers:
            made.guards.append(still("holds the same numbers", found, seen, _array_changed(found)))
            made.compared.append((found.name, found.thing))
            made.read.extend([found] if outside.reach.names_it(found) else [])
    return made


def of_constants(tracing: Tracing) -> OfThings:
    """Arrays that the function does not reach by a path, and that became constants, hold the same numbers as long as they live."""
    made = OfThings([], [], [])
    for ref, seen in tracing.outside.pathless:
        if (array := ref()) is not None and fingerprint(array) == seen:
            made.guards.append(Guard("an array that became a constant holds the same numbers", _same_while_alive(ref, seen)))
            made.compared.append(("a constant", array))
    return made


def cost(tracing: Tracing, compared: list[tuple[str, np.ndarray]]) -> str | None:
    """Where arrays of more than LARGE bytes are compared at each call: which, why, what it costs, and the way out."""
    total = sum([array.nbytes for _, array in compared])
    if total <= LARGE:
        return None
    began = time.perf_counter()
    for _, array in compared:
        fingerprint(array)
    cost = (time.perf_counter() - began) * 1e3
    names, line = ", ".join(dict.fromkeys([name for name, _ in compared])), tracing.noted.unknown
    why = f"{line.place()} computes with what NumPy made while tracing" if line else "Python or NumPy read them while tracing"
    return (
        f"{names}: {total} bytes are compared by checksum at each call, about {cost:.1f} ms, because {why}. "
        "Pass the arrays as arguments, or compute from them outside and pass the result."
    )


def _array_changed(found: Found) -> Callable[[Sequence[Any]], str]:
    name, fetch, was = found.name, found.fetch, _spec(found.thing)

    def change(leaves: Sequence[Any]) -> str:
        thing = now(fetch)
        if not isinstance(thing, np.ndarray):
            return f"captured {name}: {was} -> {'nothing' if thing is GONE else shown(thing)}"
        after = _spec(thing)
        return f"captured {name}: {was} with other numbers" if after == was else f"captured {name}: {was} -> {after}"

    return change


def _spec(array: np.ndarray) -> str:
    known = array.dtype.kind in "biufc"
    return str(Spec(array.shape, array.dtype)) if known else f"{array.dtype}{list(array.shape)}"


def _same_while_alive(ref: weakref.ref[np.ndarray], seen: Any) -> Callable[[list[Any]], bool]:
    def check(leaves: list[Any]) -> bool:
        array = ref()
        return array is None or fingerprint(array) == seen

    return check
