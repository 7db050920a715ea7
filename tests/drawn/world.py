"""What a drawn program stands on: arguments and captured things of all dtypes and layouts, made anew from a seed for each call.

In: a description of each thing. Out: equal but separate arrays for each of the two sides; nothing here is shared between them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np

DTYPES = ("d",) * 10 + ("f",) * 4 + ("e", "l", "l", "i", "b", "B", "?", "D", "F")
LAYOUTS = ("C",) * 6 + ("F", "F", "strided", "reversed", "swapped", "inner")
SHAPES = ((3,), (4,), (3, 4), (4, 3), (3, 3), (4, 4), (2, 3, 4), (1, 4), (3, 1), (), (5,), (2, 2), (1,), (0, 3), (0,))
WEIGHTS = (3, 6, 8, 6, 6, 4, 4, 2, 2, 3, 2, 2, 1, 1, 1)
NUMBERS = ("float", "float", "int", "complex", "bool")


@dataclass(frozen=True)
class Kind:
    """An array (`shape` and `dtype`, in a layout) or, with `number`, a Python number. `below`: an index array for that many places."""

    shape: tuple[int, ...] = ()
    dtype: str = "d"
    layout: str = "C"
    number: str = ""
    below: int = 0
    scalar: bool = False
    generic: bool = False  # no ties and zeros, where slopes are conventions

    def make(self, seed: object) -> Any:
        """One of its kind: the same for the same seed, in memory of its own."""
        rng = random.Random(f"{seed}")
        if self.number:
            return _number(self.number, rng)
        draws = np.random.default_rng(rng.getrandbits(32))
        return _laid(_values(self, draws), self.layout) if not self.scalar else _values(self, draws)[()]


@dataclass(frozen=True)
class Thing:
    """A parameter or a captured thing: `name` as the program writes it, `place` says where it lives.

    `alias`: the name of another parameter that it shares memory with, `turned` or as it is.
    """

    name: str
    place: str
    kind: Kind
    alias: str = ""
    turned: bool = False


def draw_kind(rng: random.Random, *, smooth: bool = False) -> Kind:
    """An array of any kind; with `smooth` float64, and nothing empty."""
    shape = rng.choices(SHAPES, WEIGHTS)[0]
    if smooth:
        return Kind(shape if 0 not in shape else (3,), "d", rng.choice(LAYOUTS), generic=True)
    if rng.random() < 0.08:
        return Kind(rng.choice(((3,), (2, 2), (4,))), "l", "C", below=3)
    kind = Kind(shape, rng.choice(DTYPES), rng.choice(LAYOUTS))
    return Kind((), kind.dtype, scalar=True) if rng.random() < 0.04 else kind


def draw_number(rng: random.Random, *, smooth: bool = False) -> Kind:
    """A Python number."""
    return Kind(number="float" if smooth else rng.choice(NUMBERS))


def _number(kind: str, rng: random.Random) -> Any:
    match kind:
        case "float":
            return rng.choice((rng.uniform(-2, 2), rng.uniform(0.5, 1.5), 0.0, 1.0, -0.0, 2.0))
        case "int":
            return rng.choice((0, 1, 2, 3, -1, 5))
        case "complex":
            return complex(rng.uniform(-1, 1), rng.choice((0.0, 1.0, 0.5)))
    return rng.random() < 0.5


def _values(kind: Kind, draws: np.random.Generator) -> np.ndarray:
    dtype, shape = np.dtype(kind.dtype), kind.shape
    if kind.below:
        return draws.integers(-kind.below, kind.below, shape)
    if dtype.kind == "b":
        return np.asarray(draws.random(shape) < 0.5)
    if dtype.kind in "iu":
        return np.asarray(draws.integers(0 if dtype.kind == "u" else -4, 6, shape)).astype(dtype)
    real = np.asarray(draws.uniform(-2, 2, shape))
    if draws.random() < 0.15 and not kind.generic:  # ties, zeros of both signs
        real = np.round(real) * 1.0
    if dtype.kind == "c":
        return np.asarray((real + 1j * draws.uniform(-1, 1, shape)).astype(dtype))
    return np.asarray(real.astype(dtype))


def _laid(values: np.ndarray, layout: str) -> np.ndarray:
    if values.ndim == 0:
        return values.astype(values.dtype.newbyteorder()) if layout == "swapped" else values
    match layout:
        case "F":
            return np.asfortranarray(values)
        case "strided":
            wide = np.full((*values.shape[:-1], 2 * values.shape[-1]), 7, values.dtype)
            view = wide[..., ::2]
        case "reversed":
            view = np.empty_like(values)[::-1]
        case "inner":
            wide = np.full(tuple([n + 2 for n in values.shape]), 7, values.dtype)
            view = wide[tuple([slice(1, n + 1) for n in values.shape])]
        case "swapped":
            return values.astype(values.dtype.newbyteorder())
        case _:
            return values
    view[...] = values
    return view
