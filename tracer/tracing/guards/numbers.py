"""Guards of numbers that Python needed while tracing: the values themselves, and the kinds of powers of them."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracer.captures.fetch import Fetch
from tracer.captures.paths import now
from tracer.captures.seen import fingerprint
from tracer.tracing.context import Tracing
from tracer.tracing.guards.guard import Guard, captured_changed, still
from tracer.tracing.guards.kinds import kind_holds
from tracer.tracing.outcome import Trace


def of_numbers(tracing: Tracing, traced: Trace, leaves: list[Any]) -> list[Guard]:
    """Arguments and captured numbers that were pinned still have their values; powers are still of the kind that they were."""
    guards = []
    of_input = {leaf.input: k for k, leaf in enumerate(traced.leaves) if leaf.input is not None}
    for source, (line, what) in sorted(tracing.noted.pinned.items()):
        k, where = of_input.get(source), f" ({line.place()}: {what})" if line else f" ({what})"
        if k is not None:
            name = traced.leaves[k].name
            became = _argument_changed(f"argument {name}: {leaves[k]!r} -> ", where, k)
            guards.append(Guard(f"{name} is {leaves[k]!r}{where}", _same_number(k, leaves[k]), k, change=became))
        elif source in tracing.numbers.entered:
            found = tracing.numbers.entered[source]
            guards.append(still(f"is {found.thing!r}{where}", found, fingerprint(found.thing), captured_changed(found, where)))
    getters = {source: _leaf(k) for source, k in of_input.items()}
    getters |= {source: _reached(found.fetch) for source, found in tracing.numbers.entered.items()}
    for power in tracing.noted.powers:
        if power.graph is tracing.graph and (check := kind_holds(power, getters)) is not None:
            where = f" ({power.node.line.place()})" if power.node.line else ""
            guards.append(Guard(f"a power is {'an' if power.spec.weak == 'int' else 'a'} {power.spec.weak}{where}", check))
    return guards


def _leaf(k: int) -> Callable[[list[Any]], Any]:
    return lambda leaves: leaves[k]


def _reached(fetch: Fetch) -> Callable[[list[Any]], Any]:
    return lambda leaves: now(fetch)


def _same_number(position: int, number: Any) -> Callable[[list[Any]], bool]:
    kind, shown = type(number), repr(number)
    return lambda leaves: type(leaves[position]) is kind and repr(leaves[position]) == shown


def _argument_changed(before: str, where: str, k: int) -> Callable[[Sequence[Any]], str]:
    return lambda leaves: f"{before}{leaves[k]!r}{where}"
