"""Draws a program: parameters, captured things, then statement by statement, each run by NumPy, kept where it is legal and small.

Deterministic in the `random.Random` given, so that hypothesis can drive and shrink it.
"""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np

from tests.drawn import reads, writes
from tests.drawn.draw import Draw
from tests.drawn.program import Change, Loaded, Program
from tests.drawn.twin import LIBRARY
from tests.drawn.world import Kind, Thing, draw_kind, draw_number

LARGEST = 150  # elements of a value
TRIES = 4


def draw_program(rng: random.Random, seed: int | None = None, *, least: int = 5, most: int = 40, smooth: bool = False) -> Program:
    """A program of `least` to `most` statements. `seed` names it and is where its data come from.

    `smooth`: float64 alone, and the result is one number that hangs on the last values.
    """
    seed = rng.getrandbits(32) if seed is None else seed
    parameters, captured = _parameters(rng, smooth), _captured(rng, smooth)
    start = Program(seed, parameters, captured, ("pass",), "None", _changes(rng, captured))
    world = Loaded(start, LIBRARY)
    draw = Draw(rng, smooth=smooth)
    space: dict[str, Any] = dict(world.space)
    space.update(zip([t.name for t in parameters], world.arguments(0)))
    for thing in captured:
        value = thing.kind.make((seed, "captured", captured.index(thing)))
        if thing.place in ("global", "cell", "default"):
            space[thing.name] = value
        draw.names[thing.name] = value if thing.place in ("global", "cell", "default") else eval(thing.name, space)
    draw.closed = [v for v in draw.names.values() if isinstance(v, np.ndarray)]
    for thing in parameters:
        draw.names[thing.name] = space[thing.name]
        draw.traced.add(thing.name)
    statements: list[str] = []
    count = int(least + (most - least) * rng.random() ** 1.5)
    illegal = rng.random() < 0.03 and not smooth
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        while len(statements) < count:
            statements += _statement(rng, draw, space, keep_illegal=illegal and len(statements) == count - 1)
    world.close()
    returns = _loss(draw) if smooth else _returns(rng, draw)
    return Program(seed, parameters, captured, tuple(statements), returns, start.changes)


def _loss(draw: Draw) -> str:
    """A number that hangs on the last values and on what was written before."""
    traced = [n for n, v in draw.names.items() if isinstance(v, (np.ndarray, np.generic)) and n in draw.traced]
    return " + ".join([f"np.sum(np.sin({n} + 0.3))" for n in dict.fromkeys([*traced[-4:], *traced[:1]])])


def _statement(rng: random.Random, draw: Draw, space: dict[str, Any], *, keep_illegal: bool) -> list[str]:
    """One more statement that NumPy runs; `x = x` after so many tries."""
    for _ in range(TRIES):
        table = writes.WRITES if rng.random() < 0.28 else reads.SMOOTH if draw.smooth else reads.READS
        make = rng.choices([m for m, _ in table], [w for _, w in table])[0]
        try:
            text = make(draw)
        except LookupError:
            continue
        name = None
        if table is not writes.WRITES:
            name = draw.new()
            text = f"{name} = {text}"
        try:
            exec(text, space)
        except Exception:
            if keep_illegal and "like=" not in text:  # which NumPy minds for a scalar
                return [text]
            continue
        made = _made(draw, space)
        large = [n for n, v in made.items() if n not in draw.names and (np.size(v) > LARGEST or (draw.smooth and not _is_smooth(v)))]
        for n in large:
            space.pop(n)
        if large:
            continue
        draw.names.update(made)
        draw.follow(text)
        return [text, *_tamed(rng, draw, space, made)]
    name = draw.new()
    space[name] = draw.names[name] = 1.5
    return [f"{name} = 1.5"]


def _is_smooth(value: Any) -> bool:
    """Whether a value may stand in a smooth program."""
    if not isinstance(value, (np.ndarray, np.generic)):
        return True
    return value.dtype == np.float64 and bool(np.all(np.isfinite(value)))


def _made(draw: Draw, space: dict[str, Any]) -> dict[str, Any]:
    """What a statement gave names to: arrays, scalars and numbers."""
    kinds = (np.ndarray, np.generic, int, float, complex)
    fresh = {f"v{k}" for k in range(1, draw.fresh + 1)}
    return {
        n: v
        for n, v in space.items()
        if isinstance(v, kinds) and (n in fresh or n in draw.names) and getattr(v, "dtype", np.dtype(int)).kind in "fiubc"
    }


def _tamed(rng: random.Random, draw: Draw, space: dict[str, Any], made: dict[str, Any]) -> list[str]:
    """What brings a large or infinite value back, most of the time."""
    lines = []
    for name, value in made.items():
        if not name.startswith("v") or np.asarray(value).dtype.kind not in "fc" or not np.size(value):
            continue
        largest = np.max(np.abs(value))
        if (largest < 1e3) or rng.random() < 0.1:
            continue
        text = f"{name} = np.tanh(np.nan_to_num({name}.real))" if isinstance(value, (np.ndarray, np.generic)) else f"{name} = 0.5"
        exec(text, space)
        draw.names[name] = space[name]
        lines.append(text)
    return lines


def _parameters(rng: random.Random, smooth: bool) -> tuple[Thing, ...]:
    things: list[Thing] = []
    for k in range(rng.choice((1, 2, 2, 3))):
        alias = things[-1] if things and rng.random() < 0.05 and not smooth else None
        if alias is not None and not alias.kind.scalar and alias.kind.shape:
            things.append(Thing(f"a{k}", "argument", alias.kind, alias.name, rng.random() < 0.4))
        else:
            things.append(Thing(f"a{k}", "argument", draw_kind(rng, smooth=smooth)))
    for k in range(rng.choice((0, 1, 1, 2))):
        things.append(Thing(f"k{k}", "argument", draw_number(rng, smooth=smooth)))
    return tuple(things)


def _captured(rng: random.Random, smooth: bool) -> tuple[Thing, ...]:
    things = []
    items = 0
    for k in range(rng.choice((0, 1, 1, 2, 3))):
        place = rng.choice(("global", "cell", "default", "attribute", "key", "item"))
        kind = draw_number(rng, smooth=smooth) if rng.random() < 0.3 else draw_kind(rng, smooth=smooth)
        name = {"attribute": f"box.w{k}", "key": f"bag['w{k}']", "item": f"items[{items}]"}.get(place, f"{place[0]}{k}")
        items += place == "item"
        things.append(Thing(name, place, kind))
    return tuple(things)


def _changes(rng: random.Random, captured: tuple[Thing, ...]) -> tuple[Change, ...]:
    changes = []
    for call in (1, 2):
        for k in range(len(captured)):
            if rng.random() < 0.5:
                changes.append(Change(call, k, rng.choice(("write", "rebind"))))
    return tuple(changes)


def _returns(rng: random.Random, draw: Draw) -> str:
    names = [n for n in draw.names if rng.random() < 0.3] or list(draw.names)[-1:]
    names += [n for n in list(draw.names)[-3:] if n not in names]
    match rng.random():
        case p if p < 0.3:
            return f"({', '.join(names)},)"
        case p if p < 0.5:
            return "[" + ", ".join(names) + "]"
        case p if p < 0.7:
            return "{" + ", ".join([f"'r{k}': {n}" for k, n in enumerate(reversed(names))]) + "}"
        case p if p < 0.85:
            return f"({names[0]}, {{'rest': [{', '.join(names[1:])}], 'none': None}})"
    return names[-1]


__all__ = ["Kind", "draw_program"]
