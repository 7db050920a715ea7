"""What a trace rests on: guards, which a later call must pass before the trace is used again.

Numbers that Python needed; plain values within reach of the function; arrays within reach whose content was read out of the graph's
sight; that nothing overlaps an argument that is written. Guards hold paths and copies, never the objects themselves.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ir.errors import TraceError
from tracer.capture import Found, fingerprint
from tracer.stack import Operand

if TYPE_CHECKING:
    from tracer.context import Tracing
    from tracer.trace import Trace


@dataclass(frozen=True)
class Guard:
    """What must still hold for the trace to be used again. `check(leaves)` gets the flat arguments of a call."""

    description: str
    check: Callable[[list[Any]], bool]


def guards_of(tracing: Tracing, traced: Trace, leaves: list[Any], before: list[tuple[Found, Any]]) -> list[Guard]:
    """Pinned numbers; plain values within reach; arrays within reach that did not enter the graph (all, where something is unknown)."""
    guards = []
    of_input = {leaf.input: k for k, leaf in enumerate(traced.leaves) if leaf.input is not None}
    for source, (line, what) in sorted(tracing.pinned.items()):
        k = of_input.get(source)
        if k is not None:
            where = f" ({line.place()}: {what})" if line else f" ({what})"
            guards.append(Guard(f"{traced.leaves[k].name} is {leaves[k]!r}{where}", _same_number(k, leaves[k])))
    inside = tracing.entered_ids()
    for found, seen in before:
        if fingerprint(now(found.fetch)) != seen:
            continue  # the function itself changes it
        if isinstance(found.thing, np.ndarray):
            if id(found.thing) not in inside or tracing.unknown is not None or tracing.plain_result:
                guards.append(Guard(f"{found.name} holds the same numbers", _same_thing(found.fetch, seen)))
        else:
            same = _same_function if isinstance(seen, weakref.ref) else _same_thing
            guards.append(Guard(f"{found.name} is {found.thing!r:.40}", same(found.fetch, seen)))
    for ref, seen in tracing.pathless:
        if ref() is not None:
            guards.append(Guard("an array that became a constant holds the same numbers", _same_while_alive(ref, seen)))
    if traced.writes:
        guards.append(Guard("no argument overlaps one that is written", lambda leaves: _overlap(traced, leaves) is None))
    return guards


def _same_number(position: int, number: Any) -> Callable[[list[Any]], bool]:
    kind, shown = type(number), repr(number)
    return lambda leaves: type(leaves[position]) is kind and repr(leaves[position]) == shown


def _same_thing(fetch: Callable[[], Any], seen: Any) -> Callable[[list[Any]], bool]:
    return lambda leaves: fingerprint(now(fetch)) == seen


def _same_while_alive(ref: weakref.ref[np.ndarray], seen: Any) -> Callable[[list[Any]], bool]:
    def check(leaves: list[Any]) -> bool:
        array = ref()
        return array is None or fingerprint(array) == seen

    return check


def _same_function(fetch: Callable[[], Any], seen: Any) -> Callable[[list[Any]], bool]:
    return lambda leaves: now(fetch) is seen()


def now(fetch: Callable[[], Any]) -> Any:
    """What is reached by the path now; a missing thing is none of the things that can have been there."""
    try:
        return fetch()
    except (LookupError, AttributeError, ValueError, TypeError):
        return _GONE


_GONE = object()


def no_overlap(traced: Trace, leaves: list[Any]) -> None:
    """TraceError where an argument that the function wrote into shares memory with another."""
    pair = _overlap(traced, leaves)
    if pair is not None:
        one, two = traced.leaves[pair[0]], traced.leaves[pair[1]]
        line = traced.graph.inputs[one.input or 0].node.line
        raise TraceError(
            f"{one.name} is written, and it shares memory with {two.name}",
            line=line,
            mend=f"pass a copy: {two.name}.copy()",
            op="assignment",
        )


def _overlap(traced: Trace, leaves: list[Any]) -> tuple[int, int] | None:
    """The first written leaf that shares memory with another leaf."""
    arrays = [(k, leaf) for k, leaf in enumerate(leaves) if isinstance(leaf, np.ndarray) and not isinstance(leaf, Operand)]
    for k, one in arrays:
        if traced.leaves[k].input in traced.writes:
            for j, two in arrays:
                if j != k and np.may_share_memory(one, two):
                    return k, j
    return None
