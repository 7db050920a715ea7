"""Captured arrays that are both in the graph and read by Python: what was read is not there forever."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer

X = np.arange(1.0, 4.0)
table, places, one = np.array([1.0, 2.0, 3.0]), np.array([1, 2, 0]), np.array(9.0)


class Layer:
    def __init__(self) -> None:
        self.scale = np.array([1.0, 2.0, 3.0])

    def __call__(self, x: Any) -> Any:
        return x * self.scale + self.scale[0].item()


layer = Layer()


def on_its_own_line(x: Any) -> Any:
    shift = int(places[0])
    return np.roll(x * places, shift)


READ: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "float": (lambda x: x * table + float(table[0]), table),
    "float of no axes": (lambda x: x * one + float(one), one),
    "int": (on_its_own_line, places),
    "item": (layer, layer.scale),
    "tolist": (lambda x: x * table + sum(table.tolist()), table),
    "a NumPy integer as an index": (lambda x: x[places[0]] + places, places),
    "in a tuple": (lambda x: x[None][0, places[0]] + places, places),
    "a bound": (lambda x: x[places[0] :].sum() + places, places),
    "an axis": (lambda x: (x * places)[None].sum(axis=int(places[0] > 0)), places),
}


@pytest.mark.parametrize("name", READ)
def test_a_number_read_out_of_an_array_in_the_graph_is_looked_at_again(name: str) -> None:
    fn, held = READ[name]
    before, fast = held.copy(), tracer.compile(fn)
    try:
        for k in (2, 1, 0):
            assert np.array_equal(fast(X), fn(X))
            held[...] = k
        assert np.array_equal(fast(X), fn(X))
        assert fast.explain().traces == 4
    finally:
        held[...] = before


def test_an_array_whose_numbers_nobody_reads_is_an_input() -> None:
    fast = tracer.compile(lambda x: x * table)
    for k in range(3):
        table[0] = k
        assert np.array_equal(fast(X), X * table)
    assert fast.explain().traces == 1
    table[0] = 1.0
