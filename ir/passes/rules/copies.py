"""Copies, casts and choices that give what went in."""
from __future__ import annotations

import numpy as np

from ir.graph import Value
from ir.passes.rules.constants import REAL
from ir.rules import Condition, Match, Rule, owned, same


def _loses_nothing(m: Match) -> bool:
    """The first cast keeps every value, and the second gives what it would have given without it."""
    old, between, new = m["x"].dtype, m["first"], m.root.dtype
    if m["x"].spec.weak is not None or "c" in (old.kind, between.kind, new.kind) or new.kind == "b" != old.kind:
        return False
    whole = old.kind in "iub"
    if whole and between.kind == "f":
        bits = 1 if old.kind == "b" else 8 * old.itemsize - (old.kind == "i")
        lossless = bits <= np.finfo(between).nmant + 1
        return lossless and (new.kind == "f" or np.can_cast(old, new, "safe"))  # out of range, floats and integers wrap differently
    return np.can_cast(old, between, "safe") and (whole or new.kind == "f")


def _chosen(m: Match) -> Value | None:
    """The branch that a constant condition takes, where it has the result's spec."""
    choice = m.facts.fill(m["c"])
    return None if choice is None else m["x"] if choice else m["y"]


RULES: tuple[Rule, ...] = (
    Rule("copy", "copy(x)", to="x", exact=owned("x") & Condition(lambda m: not m.root.node.attrs)),
    Rule("positive", "positive(x)", to="x", exact=owned("x")),
    Rule("conjugate of a real", "conj(x)", to="x", where=REAL, exact=owned("x")),
    Rule("real part of a real", "real(x)", to="x", where=same("x"), exact=owned("x")),
    Rule("cast to its own dtype", "cast(x)", to="x", where=same("x"), exact=owned("x")),
    Rule("cast on the way", "cast(cast(x, dtype=first), dtype=second)", to="cast(x, dtype=second)", where=Condition(_loses_nothing)),
    Rule("the same either way", "where(c, x, x)", to="x", where=same("x"), exact=False),
    Rule("always the same way", "where(c, x, y)", to=_chosen, exact=False),
)
