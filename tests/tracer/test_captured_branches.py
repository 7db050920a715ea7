"""What Python decides by the numbers of a captured array that is in the graph as well: another way, text or key traces again; what asks
for shapes, for other things, or nothing at all does not.
"""
# ruff: noqa: E731  (functions that close over an array, a line each)
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer

X = np.arange(1.0, 4.0)
TABLE = np.ones(3)
FLAG, NOTHING = True, None
BY_NUMBER, IN_A_DICT, IN_A_LIST = {1.0: 2.0, 4.0: 3.0}, {"w": np.ones(3), "mode": "a"}, [np.ones(3), np.ones(3)]


class Layer:
    def __init__(self) -> None:
        self.w, self.n = np.ones(3), 2

    def branch(self, x: Any) -> Any:
        return x * self.w if self.w[0] < 2 else x - 5

    def shapes(self, x: Any) -> Any:
        w = x.shape[0]
        fits = self.w.ndim == 1 and len(self.w) == 3 and self.w.shape[0] == w and isinstance(self.w, np.ndarray)
        return x * self.w if fits and self.w is not None and w > self.n else x


def by_a_local(x: Any) -> Any:
    total = TABLE.sum()
    if total > 5 and FLAG:
        return x * TABLE
    return x - TABLE


def by_a_loop(x: Any) -> Any:
    y, k = x * TABLE, 0
    while np.max(TABLE) > k:
        y, k = y + 1, k + 1
    return y


def by_its_elements(x: Any) -> Any:
    for one in TABLE.tolist():
        if one > 2:
            x = x + 1
    return x * TABLE


def by_an_assertion(x: Any) -> Any:
    try:
        assert TABLE.min() < 2
    except AssertionError:
        return x * TABLE - 1
    return x * TABLE


def by_a_keyword(x: Any, *, k: Any = TABLE) -> Any:
    return x * k if not (k > 2).any() else x - k


def layers(x: Any) -> Any:
    for k, w in enumerate(IN_A_LIST):
        x = x * w
        if k < len(IN_A_LIST) - 1:
            x = np.tanh(x)
    return x


def choose(x: Any, t: Any, n: int = 2) -> Any:
    return x * t if t[0] < 2 and n else x


def counted(x: Any, t: Any, n: int) -> Any:
    return x * t if n > 1 else x


def further(x: Any, n: int, way: Any) -> Any:
    return choose(x, t=way, n=n)


def above(x: Any, total: Any) -> Any:
    if total > 5:
        return x
    return x + 1


layer = Layer()
DECIDED: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "an expression": (lambda x: x * TABLE if (TABLE < 2).all() else x + 1, TABLE),
    "a chain": (lambda x: x * TABLE if 0 < TABLE[0] < 2 else x + 1, TABLE),
    "a generator": (lambda x: x * TABLE if all(t < 2 for t in TABLE) else x + 1, TABLE),
    "a local": (by_a_local, TABLE),
    "a loop": (by_a_loop, TABLE),
    "elements": (by_its_elements, TABLE),
    "an assertion": (by_an_assertion, TABLE),
    "a keyword": (by_a_keyword, TABLE),
    "an attribute": (layer.branch, layer.w),
    "an item": (lambda x: x * IN_A_DICT["w"] if IN_A_DICT["w"].sum() < 5 else x, IN_A_DICT["w"]),
    "a place": (lambda x: x * IN_A_LIST[0] if IN_A_LIST[0][1] < 2 else x, IN_A_LIST[0]),
    "a helper": (lambda x: choose(x, TABLE), TABLE),
    "a helper's helper": (lambda x: further(x, 3, TABLE), TABLE),
    "a number for a helper": (lambda x: above(x * TABLE, TABLE.sum()), TABLE),
    "a key": (lambda x: x * TABLE * BY_NUMBER[TABLE[0]], TABLE),
    "a list's index": (lambda x: x * TABLE + [1.0, 2.0][int(np.sum(TABLE > 2) > 0)], TABLE),
}
LEFT_ALONE: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "no branch": (lambda x: x * TABLE, TABLE),
    "on something else": (lambda x: x * TABLE if FLAG else x + TABLE, TABLE),
    "on nothing": (lambda x: x + TABLE if NOTHING is None else x, TABLE),
    "on shapes": (layer.shapes, layer.w),
    "on another item": (lambda x: x * IN_A_DICT["w"] if IN_A_DICT["mode"] == "a" else x, IN_A_DICT["w"]),
    "on a count": (layers, IN_A_LIST[0]),
    "on a list being there": (lambda x: x * IN_A_LIST[0] if IN_A_LIST else x, IN_A_LIST[0]),
    "in a helper on something else": (lambda x: counted(x, TABLE, 3), TABLE),
    "in the graph": (lambda x: np.where(x > 1, x * TABLE, TABLE), TABLE),
}


def traces(fn: Callable[[Any], Any], held: np.ndarray) -> int:
    """How often a function is traced in three calls, between which an array is written; each result is NumPy's."""
    before, fast = held.copy(), tracer.compile(fn)
    try:
        for k in (1.0, 1.0, 4.0):
            held[...] = k
            got, due = fast(X), fn(X)
            assert got.tolist() == due.tolist()
    finally:
        held[...] = before
    return fast.explain().traces


@pytest.mark.parametrize("what", DECIDED)
def test_a_decision_by_its_numbers_is_taken_again(what: str) -> None:
    assert traces(*DECIDED[what]) == 2


@pytest.mark.parametrize("what", LEFT_ALONE)
def test_where_its_numbers_decide_nothing_it_is_an_input(what: str) -> None:
    assert traces(*LEFT_ALONE[what]) == 1


def test_a_text_of_its_numbers_is_made_again() -> None:
    fast = tracer.compile(lambda x: (x * TABLE, f"total {TABLE.sum():.0f}"))
    assert fast(X)[1] == "total 3"
    TABLE[0] = 2.0
    assert fast(X)[1] == "total 4"
    TABLE[0] = 1.0
