"""Constants that are filled with one number, as conditions and replacements see them."""
from __future__ import annotations

from typing import Any

import numpy as np

from ir.graph import Value
from ir.rules import Condition, Match, kind

REAL = kind("biuf")
FLOAT = kind("f")
_LARGE = np.finfo(np.float64).max


def fill_of(m: Match, name: str) -> Any:
    """The real number, finite and not 0, that fills a constant; None where it is none."""
    number = m.facts.fill(m[name])
    if number is None or isinstance(number, (bool, np.bool_, complex, np.complexfloating)) or number == 0 or abs(number) > _LARGE:
        return None
    return None if number != number else number


def scalar(m: Match, number: Any, *names: str) -> Value:
    """The number as a constant without axes: a Python number where the constants of these names are, else of the root's dtype."""
    weak = all(m[n].spec.weak is not None for n in names)
    return m.graph.constant(float(number) if weak else m.root.dtype.type(number))


def is_scalar(*names: str) -> Condition:
    """Constants filled with one number, which add no axes to the result."""
    return Condition(lambda m: all(fill_of(m, n) is not None and m[n].spec.size == 1 and m[n].ndim == 0 for n in names))
