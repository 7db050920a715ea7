"""Index expressions: whole numbers made of the dims of a loop nest, of values that were read, and of constants, in one normal form.

    Index = c + sum of k * atom        atom: a Dim, a Held value, floor(Index / n) or Index mod n

In the normal form what is a multiple of n leaves a quotient and vanishes from a rest, and `n * floor(e / n) + e mod n` is e again, so that
an index that was flattened and taken apart along the way comes out as it went in. `span` says between which numbers an index lies, which
is how a read is known to stay inside its array.

>>> i, j = Dim("i", 4), Dim("j", 6)
>>> flat = 6 * index(i) + index(j)
>>> print(flat, flat // 6, flat % 6, flat % 3, flat.span)
6*i + j i j j % 3 (0, 23)
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Span = tuple[int, int]  # the least and the greatest, both included


@dataclass(frozen=True, slots=True, order=True)
class Dim:
    """A dim of a loop nest: from 0 to `size` - 1. One with the same name is the same dim."""

    name: str
    size: int

    @property
    def span(self) -> Span | None:
        return 0, max(0, self.size - 1)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Held:
    """A whole number that is known when the kernel runs: the value called `key`, between `low` and `high`."""

    key: Any
    low: int
    high: int

    @property
    def span(self) -> Span | None:
        return self.low, self.high

    def __str__(self) -> str:
        return str(self.key)


@dataclass(frozen=True, slots=True)
class Quotient:
    """floor(of / by)."""

    of: Index
    by: int

    @property
    def span(self) -> Span | None:
        low, high = self.of.span
        return low // self.by, high // self.by

    def __str__(self) -> str:
        return f"{_grouped(self.of)} / {self.by}"


@dataclass(frozen=True, slots=True)
class Rest:
    """What floor(of / by) leaves: from 0 to by - 1."""

    of: Index
    by: int

    @property
    def span(self) -> Span | None:
        return 0, self.by - 1

    def __str__(self) -> str:
        return f"{_grouped(self.of)} % {self.by}"


Atom = Dim | Held | Quotient | Rest


@dataclass(frozen=True)
class Index:
    """`constant` + the sum of `terms`, pairs of an atom and a factor that is not 0, sorted by their text."""

    terms: tuple[tuple[Atom, int], ...] = ()
    constant: int = 0

    @cached_property
    def span(self) -> Span:
        """The least and the greatest number that it may be."""
        low = high = self.constant
        for atom, factor in self.terms:
            ends = [factor * end for end in atom.span or ()]
            low, high = low + min(ends), high + max(ends)
        return low, high

    def within(self, low: int, high: int) -> bool:
        """Whether it is known to be at least `low` and below `high`."""
        return low <= self.span[0] and self.span[1] < high

    def atoms(self) -> Iterator[Dim | Held]:
        """The dims and values that it is made of, inside quotients and rests too."""
        todo: list[Index] = [self]
        while todo:
            for atom, _ in todo.pop().terms:
                if isinstance(atom, Quotient | Rest):
                    todo.append(atom.of)
                else:
                    yield atom

    @cached_property
    def dims(self) -> frozenset[Dim]:
        return frozenset([atom for atom in self.atoms() if isinstance(atom, Dim)])

    def factor(self, atom: Atom) -> int:
        """How often the atom stands in it by itself."""
        return dict(self.terms).get(atom, 0)

    def __add__(self, other: Index | int) -> Index:
        if not isinstance(other, Index):
            return Index(self.terms, self.constant + other) if other else self
        return total([*self.terms, *other.terms], self.constant + other.constant)

    __radd__ = __add__

    def __sub__(self, other: Index | int) -> Index:
        return self + -1 * other

    def __mul__(self, factor: int) -> Index:
        if factor == 0:
            return Index()
        return Index(tuple([(atom, k * factor) for atom, k in self.terms]), self.constant * factor)

    __rmul__ = __mul__

    def __floordiv__(self, by: int) -> Index:
        out, left = _split(self, by)
        if left.within(0, by):
            return out
        shared = math.gcd(by, left.constant, *[k for _, k in left.terms])
        left, by = _over(left, shared), by // shared
        atom = left.terms[0][0] if len(left.terms) == 1 and left.terms[0][1] == 1 and not left.constant else None
        if isinstance(atom, Quotient):
            return out + total([(Quotient(atom.of, atom.by * by), 1)], 0)
        return out + total([(Quotient(left, by), 1)], 0)

    def __mod__(self, by: int) -> Index:
        _, left = _split(self, by)
        if left.within(0, by):
            return left
        shared = math.gcd(by, left.constant, *[k for _, k in left.terms])
        left, by = _over(left, shared), by // shared
        return total([(Rest(left, by), shared)], 0)

    def put(self, instead: Mapping[Any, Index]) -> Index:
        """With dims and held values replaced."""
        if not any(atom in instead for atom in self.atoms()):
            return self
        found = Index((), self.constant)
        for atom, factor in self.terms:
            if isinstance(atom, Quotient):
                found += factor * (atom.of.put(instead) // atom.by)
            elif isinstance(atom, Rest):
                found += factor * (atom.of.put(instead) % atom.by)
            else:
                found += factor * instead[atom] if atom in instead else Index(((atom, factor),))
        return found

    def text(self, atom: Callable[[Atom], str] = str) -> str:
        """The sum as it is read: `1024*i + j + 1`."""
        parts = [_times(atom(a), k, bool(" " in atom(a))) for a, k in self.terms]
        if self.constant or not parts:
            parts.append(str(self.constant))
        return parts[0] + "".join([f" - {p[1:]}" if p.startswith("-") else f" + {p}" for p in parts[1:]])

    def __str__(self) -> str:
        return self.text()


@dataclass(frozen=True, slots=True)
class Bound:
    """`low` <= `at` < `high`."""

    at: Index
    low: int
    high: int

    def put(self, instead: Mapping[Any, Index]) -> Bound:
        return Bound(self.at.put(instead), self.low, self.high)

    def __str__(self) -> str:
        return f"{self.low} <= {self.at} < {self.high}"


ZERO = Index()


def index(what: Atom | int) -> Index:
    """A dim, a value or a number as an Index."""
    return Index((), what) if isinstance(what, int) else Index(((what, 1),))


def flat(at: Iterable[Index], strides: Iterable[int]) -> Index:
    """The place in memory of the element at these indices."""
    return sum([i * stride for i, stride in zip(at, strides)], ZERO)


def apart(whole: Index, shape: tuple[int, ...]) -> tuple[Index, ...]:
    """The indices of an array of this shape whose element stands at `whole` in C order; past its end the first one is past its axis."""
    found: list[Index] = []
    left = math.prod(shape)
    for n in shape:
        left = left // n if n else 0
        first = all(i is ZERO for i in found)
        found.append(ZERO if n == 1 or not left else whole // left if first else whole // left % n)
    return tuple(found)


def total(terms: Iterable[tuple[Atom, int]], constant: int) -> Index:
    """The sum in normal form."""
    factors: dict[Atom, int] = {}
    for atom, k in terms:
        factors[atom] = factors.get(atom, 0) + k
    for rest in [atom for atom in factors if isinstance(atom, Rest)]:
        k = factors[rest]
        whole = rest.of // rest.by  # n * floor(e / n) + e mod n is e
        if k and len(whole.terms) == 1 and not whole.constant and whole.terms[0][1] == 1:
            quotient = whole.terms[0][0]
            if factors.get(quotient) == k * rest.by:
                del factors[quotient], factors[rest]
                return total([*factors.items(), *[(a, f * k) for a, f in rest.of.terms]], constant + rest.of.constant * k)
    kept = [(atom, k) for atom, k in factors.items() if k]
    return Index(tuple(sorted(kept, key=lambda term: (-abs(term[1]), str(term[0])))), constant)


def _split(whole: Index, by: int) -> tuple[Index, Index]:
    """What is a multiple of `by`, divided by it, and the rest of the sum."""
    out = tuple([(atom, k // by) for atom, k in whole.terms if k % by == 0])
    left = tuple([(atom, k) for atom, k in whole.terms if k % by])
    return total(out, whole.constant // by), Index(left, whole.constant % by)


def _over(whole: Index, by: int) -> Index:
    return whole if by == 1 else Index(tuple([(atom, k // by) for atom, k in whole.terms]), whole.constant // by)


def _grouped(whole: Index) -> str:
    text = str(whole)
    return f"({text})" if " " in text or "*" in text else text


def _times(atom: str, factor: int, compound: bool) -> str:
    if factor == 1:
        return atom
    atom = f"({atom})" if compound else atom
    return f"-{atom}" if factor == -1 else f"{factor}*{atom}"
