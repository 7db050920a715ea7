"""All guards of a trace, in the order in which a call asks them."""
from __future__ import annotations

from typing import Any

from tracer.captures.paths import Found
from tracer.tracing.context import Tracing
from tracer.tracing.guards.guard import Guard
from tracer.tracing.guards.identity import of_aliases, of_identity
from tracer.tracing.guards.memory import of_memory
from tracer.tracing.guards.numbers import of_numbers
from tracer.tracing.guards.things import cost, of_constants, of_things
from tracer.tracing.outcome import Trace


def guards_of(tracing: Tracing, traced: Trace, leaves: list[Any], before: list[tuple[Found, Any]]) -> list[Guard]:
    """What a call must have in common with the one that was traced. Notes in `traced` what the comparing costs.

    `before`: what was within reach when the trace began, with fingerprints. TraceError where no later call could be right.
    """
    things, constants = of_things(tracing, before), of_constants(tracing)
    traced.cost = cost(tracing, things.compared + constants.compared)
    return [
        *of_numbers(tracing, traced, leaves), *things.guards, *of_aliases(tracing), *constants.guards, *of_identity(tracing, leaves),
        *of_memory(tracing, traced, leaves, things.read),
    ]
