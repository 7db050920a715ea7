"""A slice that is written with what was read of it.

`new[1:-1] += d` is traced as a read, an addition and a write; it is one addition in place. What is written back as it was read changes
nothing.
"""
from __future__ import annotations

from ir.ops.places import slice_shape
from ir.rules import Condition, Match, Rule, one_use, owned, same_dtype


def _fills_the_slice(m: Match) -> bool:
    """What is added is no larger than the slice, so that the sum has its shape."""
    return bool(m["add"].shape == slice_shape(m["where"], m["x"].shape))


RULES: tuple[Rule, ...] = (
    Rule("written back", "set_slice(x, slice(x, index=where), index=where)", to="x", exact=owned("x")),
    Rule(
        "added and written back", "set_slice(x, add(slice(x, index=where), y), index=where)", to="add_slice(x, y, index=where)",
        where=one_use("add") & same_dtype("x", "y") & Condition(_fills_the_slice),
    ),
)
