"""Classes of axes that are cut together: spots (a value and one of its axes) and what goes with what in, the class of a spot out.

In a class every index of one axis goes with a fixed number of indices of another: one with one, or a run with one where axes are merged
or split. The axis with the fewest counts the rows of a class; `each` says how many indices of a spot go with a row.
"""
from __future__ import annotations

from fractions import Fraction

from ir.graph import Value

Spot = tuple[Value, int]
Ratio = int | Fraction


class Classes:
    def __init__(self) -> None:
        self._above: dict[Spot, tuple[Spot, Ratio]] = {}  # a spot nearer to the root, and how many indices go with one of its
        self._least: dict[Spot, Ratio] = {}  # of a root: the fewest indices of a spot for one of the root's

    def root(self, spot: Spot) -> Spot:
        """The spot that stands for the class."""
        return self._find(spot)[0]

    def each(self, spot: Spot) -> int | None:
        """How many indices go with a row of the class; None where that is no whole number."""
        root, own = self._find(spot)
        found = ratio(own, self._least.get(root, 1))
        return int(found) if found == int(found) else None

    def unite(self, a: Spot, b: Spot, of: Ratio) -> None:
        """One class of the two: `of` indices of `a` go with one of `b`."""
        (above, of_a), (root, of_b) = self._find(a), self._find(b)
        if above != root:
            of = ratio(of * of_b, of_a)
            self._above[above] = root, of
            self._least[root] = min(self._least.get(root, 1), self._least.get(above, 1) * of)

    def _find(self, spot: Spot) -> tuple[Spot, Ratio]:
        path = []
        while (above := self._above.get(spot)) is not None:
            path.append(spot)
            spot = above[0]
        own: Ratio = 1
        for below in reversed(path):
            own = self._above[below][1] * own
            self._above[below] = spot, own
        return spot, own


def ratio(a: Ratio, b: Ratio) -> Ratio:
    """a / b; an int where it is whole, since reckoning with fractions takes twenty times as long."""
    if b == 1:
        return a
    found = Fraction(a) / b
    return found.numerator if found.denominator == 1 else found
