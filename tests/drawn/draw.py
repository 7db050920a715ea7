"""What a drawn statement is made of: names of arrays and numbers there are, indices and axes that fit, constants.

A `Draw` knows the value that NumPy gave each name, so that most statements drawn are legal; which ones are not is found by running them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Name(NamedTuple):
    """How the program writes it, and what NumPy has there now."""

    text: str
    value: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.value)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def kind(self) -> str:
        return np.asarray(self.value).dtype.kind


class Draw:
    """`names` in the order in which they came; later ones are drawn more often."""

    def __init__(self, rng: random.Random, *, smooth: bool = False):
        self.rng, self.smooth = rng, smooth
        self.names: dict[str, Any] = {}
        self.closed: list[np.ndarray] = []  # what the program closes over, where that is not to be written
        self.traced: set[str] = set()  # names of what a trace sees as traced: a plain array takes no such values
        self.fresh = 0

    def new(self) -> str:
        """A name not used so far."""
        self.fresh += 1
        return f"v{self.fresh}"

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def one(self, choices: Sequence[Any]) -> Any:
        return choices[int(self.rng.random() * len(choices))]

    def name(self, accepts: Callable[[Name], bool]) -> Name:
        """A name that is accepted. LookupError where there is none."""
        fitting = [Name(text, value) for text, value in self.names.items() if accepts(Name(text, value))]
        if not fitting:
            raise LookupError("no such name")
        back = 0
        while self.chance(0.75) and back < len(fitting) - 1:
            back += 1
        return fitting[-1 - back]

    def follow(self, text: str) -> None:
        """What a statement gives names to is traced where it uses anything traced, shapes aside."""
        for line in text.splitlines():
            found = re.match(r"\s*([\w, ]+?) = (.*)", line)
            used = set(re.findall(r"[a-z][\w.\[\]']*(?!\w*\.(?:shape|ndim|size))", found.group(2) if found else ""))
            used |= set(re.findall(r"[a-z]\w*(?!\w*\.(?:shape|ndim|size))", found.group(2) if found else ""))
            if found and used & self.traced:
                self.traced.update(re.findall(r"\w+", found.group(1)))

    def is_closed(self, x: np.ndarray) -> bool:
        """Whether an array is one that the program closes over, or a view of one."""
        return any(np.may_share_memory(x, c) for c in self.closed)

    def array(self, kinds: str = "fiubc", *, least: int = 0, scalars: bool = True) -> Name:
        """An array (or NumPy scalar) of one of these kinds of dtype, with at least so many axes."""
        arrays = (np.ndarray, np.generic) if scalars else np.ndarray
        return self.name(lambda n: isinstance(n.value, arrays) and n.ndim >= least and n.kind in kinds)

    def like(self, shape: tuple[int, ...], kinds: str = "fiubc") -> Name:
        """An array that broadcasts with such a shape."""
        return self.name(lambda n: isinstance(n.value, (np.ndarray, np.generic)) and n.kind in kinds and _fit(n.shape, shape))

    def number(self) -> str:
        """A number: one of the program's, arithmetic on one, or a constant."""
        try:
            name = self.name(lambda n: isinstance(n.value, (int, float, complex)) and not isinstance(n.value, np.generic))
        except LookupError:
            return self.constant()
        draw = self.rng.random()
        if draw < 0.5:
            return name.text
        if draw < 0.75:
            return f"({name.text} {self.one('+-*')} {self.constant()})"
        return self.constant()

    def constant(self) -> str:
        if self.smooth:
            return self.one(("0.5", "2.0", "-1.0", "3", "2", "1.5"))
        return self.one(("0.5", "2.0", "2", "1", "0", "0.0", "-1", "-0.5", "3", "1.5", "True", "np.float32(0.5)", "np.int64(2)", "1j",
        "-0.0"))

    def operand(self, shape: tuple[int, ...], kinds: str = "fiubc") -> str:
        """Something that broadcasts with such a shape: an array or a number."""
        if self.chance(0.25):
            return self.number()
        return self.like(shape, kinds).text

    def axis(self, x: Name, *, none: bool = True) -> str:
        """The text of an axis of x."""
        if none and self.chance(0.2) or not x.ndim:
            return "None" if none else "0"
        axis = self.one(range(-x.ndim, x.ndim))
        if none and x.ndim > 1 and self.chance(0.2):
            return f"({axis}, {(axis + 1) % x.ndim})" if axis >= 0 else f"({axis},)"
        return str(axis)

    def slice(self, n: int) -> str:
        """The text of a slice of an axis of that size."""
        bound = ["", *map(str, range(-n - 1, n + 2))]
        start, stop = (self.one(bound) if self.chance(0.5) else "" for _ in range(2))
        step = self.one((":", ":", "", ":2", ":-1", ":-1", ":-2"))
        return f"{start}:{stop}{'' if step == ':' else step}"

    def key(self, shape: tuple[int, ...], *, fancy: bool = True) -> str:
        """The text of an index for such a shape."""
        used = self.one(range(1, len(shape) + 1)) if shape else 0
        parts = []
        for n in shape[:used]:
            draw = self.rng.random()
            if draw < 0.45 or not n:
                parts.append(self.slice(n))
            elif draw < 0.7:
                parts.append(str(self.one(range(-n, n))))
            elif draw < 0.8 and fancy:
                parts.append(str([self.one(range(-n, n)) for _ in range(3)]))
            elif draw < 0.88 and fancy:
                parts.append(self.index(n))
            else:
                parts.append(":")
            if self.chance(0.06):
                parts.append("None")
        if self.chance(0.1) or not parts:
            parts.insert(self.one(range(len(parts) + 1)), "...")
        return ", ".join(parts)

    def index(self, n: int) -> str:
        """Integers that index an axis of that size, in range whatever the data."""
        if self.chance(0.3):
            return f"np.array({[self.one(range(-n, n)) for _ in range(self.one((1, 2, 4)))]})"
        found = self.array("iu")
        if found.value.dtype == np.uint8 or found.kind == "u":
            return f"({found.text} % {n})"
        return f"({found.text} % {n} - {self.one((0, n))})"


def _fit(one: tuple[int, ...], two: tuple[int, ...]) -> bool:
    return all(a == b or 1 in (a, b) for a, b in zip(reversed(one), reversed(two)))
