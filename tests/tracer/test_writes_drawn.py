"""Drawn sequences of writes over two arrays that may share memory: every array as NumPy leaves it, after each of three calls.

A program is data: a list of acts on numbered arrays (the arguments, then the views and copies that acts make). What NumPy refuses is
left out while drawing. Values are small whole numbers, so that sums and products are exact in any order.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import tracer

Act = tuple[Any, ...]

# how the two arguments lie in one array of 4 x 6
PLACES: dict[str, Any] = {
    "apart": lambda m: (m[:2], m[2:]),
    "the same": lambda m: (m, m),
    "shifted": lambda m: (m[:, :-1], m[:, 1:]),
    "transposed": lambda m: (m[:, :4], m[:, :4].T),
    "interleaved": lambda m: (m[:, ::2], m[:, 1::2]),
    "reversed": lambda m: (m, m[::-1, ::-1]),
    "a row of it": lambda m: (m, m[1]),
    "a column and a row": lambda m: (m[:, 2], m[3]),
    "flat": lambda m: (m.reshape(-1)[3:], m.reshape(-1)[:-3]),
}


def act(arrays: list[Any], one: Act) -> None:
    """Does one act; what it makes is a further array."""
    kind, k, *rest = one
    x = arrays[k]
    match kind:
        case "view":
            arrays.append(_view(x, *rest))
        case "copy":
            arrays.append(x.copy() - rest[0])
        case "set":
            x[rest[0]] = _value(arrays, rest[1])
        case "add":
            x[rest[0]] += _value(arrays, rest[1])
        case "whole":
            x -= _value(arrays, rest[0])
        case "negate":
            np.negative(x, out=x)
        case "out":
            np.add(arrays[rest[0]], arrays[rest[1]], out=x)
        case "maximum":
            np.maximum(x, arrays[rest[0]], out=x)
        case "where":
            np.copyto(x, _value(arrays, rest[1]), where=x > rest[0])
        case "mask":
            x[x > rest[0]] *= -1
        case "masked":
            x[x <= rest[0]] = x[x <= rest[0]] + 3
        case "at":
            np.add.at(x, rest[0], rest[1])
        case "less":
            np.minimum.at(x, rest[0], rest[1])
        case "flat":
            x.flat[rest[0]] = rest[1]
        case "swap":
            x[rest[0]], x[rest[1]] = x[rest[1]], x[rest[0]]
        case "exchange":
            x[rest[0]], x[rest[1]] = x[rest[1]].copy(), x[rest[0]].copy()
        case "cumulate":
            np.cumsum(x, axis=0, out=x)
        case "sort":
            x.sort(axis=0)


def _view(x: Any, how: str, argument: Any = None) -> Any:
    match how:
        case "index":
            return x[argument]
        case "T":
            return x.T
        case "line":
            return x.reshape(-1)
        case "ravel":
            return np.ravel(x)
        case "square":
            return x.reshape(2, -1)
        case "flip":
            return np.flip(x, argument)
    return np.expand_dims(x, argument)


def _value(arrays: list[Any], what: Any) -> Any:
    """A number, or ("of", k): the array, ("from", k, key): a part of it, ("twice", k): computed from it."""
    if not isinstance(what, tuple):
        return what
    x = arrays[what[1]]
    return x if what[0] == "of" else x[what[2]] if what[0] == "from" else x * 2 - 1


# ---- drawing
def _slices(draw: Any, n: int) -> slice:
    bound = st.none() | st.integers(-n, n)
    return slice(draw(bound), draw(bound), draw(st.sampled_from([None, None, 1, 2, -1, -2])))


def _key(draw: Any, shape: tuple[int, ...], arrays: bool) -> Any:
    items: list[Any] = []
    for n in shape[: draw(st.integers(0, len(shape)))]:
        kind = draw(st.sampled_from(["slice", "slice", "int"] + ["array"] * arrays))
        if kind == "slice" or n == 0:
            items.append(_slices(draw, n))
        elif kind == "int":
            items.append(draw(st.integers(-n, n - 1)))
        else:
            items.append(draw(st.lists(st.integers(-n, n - 1), min_size=3, max_size=3)))
    if draw(st.integers(0, 3)) == 0:
        items.append(...)
    return tuple(items)


def _drawn(draw: Any, arrays: list[Any]) -> Act:
    k = draw(st.integers(0, len(arrays) - 1))
    j = draw(st.integers(0, len(arrays) - 1))
    x, number = arrays[k], draw(st.integers(-3, 3))
    kind = draw(st.sampled_from(
        ["view", "view", "view", "copy", "set", "set", "add", "add", "whole", "negate", "out", "maximum", "where", "mask", "masked", "at",
         "less", "flat", "swap", "exchange", "cumulate", "sort"]
    ))  # fmt: skip
    if kind == "view":
        how = draw(st.sampled_from(["index", "index", "T", "line", "ravel", "square", "flip", "wider"]))
        return kind, k, how, _key(draw, x.shape, False) if how == "index" else 0
    value = draw(st.sampled_from([number, ("of", j), ("twice", j), ("from", j, _key(draw, arrays[j].shape, True))]))
    if kind in ("set", "add"):
        return kind, k, _key(draw, x.shape, True), value
    if kind in ("swap", "exchange"):
        return kind, k, _key(draw, x.shape, False), _key(draw, x.shape, False)
    if kind == "at" or kind == "less":
        return kind, k, _key(draw, x.shape, True), number
    if kind == "flat":
        return kind, k, _slices(draw, x.size), [number, 1]
    if kind == "out":
        return kind, k, j, draw(st.integers(0, len(arrays) - 1))
    if kind == "maximum":
        return kind, k, j
    return (kind, k, value) if kind == "whole" else (kind, k, number, value)


def _legal(place: Any, acts: list[Act]) -> bool:
    arrays = list(place(_data(0)))
    try:
        for one in acts:
            act(arrays, one)
            if max(np.abs(x).max(initial=0) for x in arrays) > 1e12:
                return False  # sums would no longer be exact
    except (ValueError, IndexError, TypeError):
        return False
    return all(isinstance(x, np.ndarray) and x.size <= 64 for x in arrays)


def _data(turn: int) -> np.ndarray:
    return np.random.default_rng(turn).integers(-9, 10, (4, 6)).astype(float)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_every_array_is_what_numpy_leaves(data: Any) -> None:
    place = PLACES[data.draw(st.sampled_from(list(PLACES)))]
    acts: list[Act] = []
    for _ in range(data.draw(st.integers(1, 12))):
        arrays = list(place(_data(0)))
        for one in acts:
            act(arrays, one)
        one = _drawn(data.draw, arrays)
        if _legal(place, [*acts, one]):
            acts.append(one)

    def program(a: Any, b: Any) -> Any:
        arrays = [a, b]
        for one in acts:
            act(arrays, one)
        return [x + 0 for x in arrays]

    fast = tracer.compile(program)
    for turn in range(3):
        mine, due = _data(turn), _data(turn)
        got, want = fast(*place(mine)), program(*place(due))
        np.testing.assert_array_equal(mine, due, err_msg=f"memory after call {turn} of {acts}")
        for k, (g, w) in enumerate(zip(got, want, strict=True)):
            np.testing.assert_array_equal(g, w, err_msg=f"array {k} after call {turn} of {acts}")
    assert fast.explain().traces == 1
