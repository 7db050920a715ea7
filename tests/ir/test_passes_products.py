"""Products that are associated otherwise, scaled elsewhere or joined: drawn chains and sums against NumPy's values of what was written.

All numbers are whole and small, or wrap, so that nothing is rounded: values and signs of zero must be the same to the bit. What a move
gains is taken for granted (`always`), so that small arrays show it.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ir import Graph, Spec, evaluate
from ir.ops import TABLE as T
from ir.passes import associate, join_products, optimize

SIZES = (2, 3, 5, 8)


@contextmanager
def always() -> Iterator[None]:
    """Gains count however small they are."""
    with mock.patch.multiple(associate, _LEAST=1, _LEAST_WORK=1, _MOVED=0), mock.patch.multiple(join_products, _LEAST=0, _JOIN=0, _OUTER=2):
        yield


class Drawer:
    """Draws products of products, factors of them scaled, turned or vectors, and sums of such; with the arrays for its inputs."""

    def __init__(self, seed: int, dtype: str):
        self.rng, self.graph, self.dtype = np.random.default_rng(seed), Graph(), np.dtype(dtype)
        self.arrays: list[np.ndarray] = []

    def pick(self, items: Any) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def array(self, *shape: int) -> Any:
        wide = self.dtype.kind in "iu"
        values = self.rng.integers(-2, 3, shape) if not wide else self.rng.integers(0, 1 << 40, shape)
        array = np.asarray(values).astype(self.dtype)
        if self.dtype.kind == "c":
            array = array + np.asarray(1j * self.rng.integers(-1, 2, shape), self.dtype)
        self.arrays.append(np.asarray(array, order="F") if self.rng.random() < 0.3 else array)
        return self.graph.input(Spec(shape, self.dtype))

    def number(self) -> Any:
        other = 3 if self.dtype.kind == "u" else -3
        return self.pick([2, other, self.graph.constant(self.dtype.type(2)), self.array(), self.array(1), self.array(1, 1)])

    def matrix(self, rows: int, columns: int, depth: int) -> Any:
        """A matrix of that shape: an input, or made of others."""
        match self.pick(["input", "scaled", "turned", "product", "product", "sum"] if depth else ["input"]):
            case "scaled":
                inner = self.matrix(rows, columns, depth - 1)
                scale = self.pick([self.number(), self.array(columns), self.array(1, columns), self.array(rows, 1)])
                both = (inner, scale) if self.rng.random() < 0.5 else (scale, inner)
                return T["multiply"](*both) if self.rng.random() < 0.8 else T["negative"](inner)
            case "turned":
                return T["transpose"](self.matrix(columns, rows, depth - 1), axes=(1, 0))
            case "product":
                k = self.pick((1, *SIZES))
                return T["dot"](self.matrix(rows, k, depth - 1), self.matrix(k, columns, depth - 1))
            case "sum":
                total = self.matrix(rows, columns, depth - 1)
                for _ in range(int(self.rng.integers(1, 4))):
                    total = T["add"](*self.pick([(total, self.term(rows, columns)), (self.term(rows, columns), total)]))
                return total
        return self.array(rows, columns)

    def term(self, rows: int, columns: int) -> Any:
        match self.pick(["product", "outer", "zero", "other"]):
            case "product":
                return self.matrix(rows, columns, 1)
            case "outer":
                return T["multiply"](self.array(rows, 1), self.array(*self.pick([(columns,), (1, columns)])))
            case "zero":
                return 0
        return self.array(rows, columns)

    def program(self) -> tuple[Graph, list[np.ndarray]]:
        rows, k, columns = self.pick(SIZES), self.pick(SIZES), self.pick(SIZES)
        left = self.matrix(rows, k, 3) if self.rng.random() < 0.6 else self.array(k)
        right = self.matrix(k, columns, 3) if self.rng.random() < 0.6 else self.array(k)
        result = T["dot"](left, right)
        if result.ndim and self.rng.random() < 0.3:
            result = T["dot"](result, self.array(result.shape[-1]))
        self.graph.outputs = [T["copy"](result) if result.ndim else result]
        return self.graph, self.arrays


def same(x: Any, y: Any) -> bool:
    a, b = np.asarray(x), np.asarray(y)
    if a.dtype != b.dtype or a.shape != b.shape or not np.array_equal(a, b):
        return False
    return a.dtype.kind in "iu" or bool(np.array_equal(np.signbit(a.real), np.signbit(b.real)))


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i4", "u1", "c16"])
@settings(max_examples=150)
@given(seed=st.integers(0, 2**32 - 1))
def test_values_stay(dtype: str, seed: int) -> None:
    graph, arrays = Drawer(seed, dtype).program()
    before, (expected,) = str(graph), evaluate(graph, arrays)[0]
    with always():
        optimize(graph)
    graph.verify()
    (found,) = evaluate(graph, arrays)[0]
    assert same(expected, found), f"{expected}\n{found}\n{before}\n{graph}"


def test_what_is_drawn_is_rewritten() -> None:
    found = {"associate": 0, "join_products": 0}
    for seed in range(60):
        graph, _ = Drawer(seed, "f8").program()
        log: list[Any] = []
        with always():
            optimize(graph, log=log)
        for name in found:
            found[name] += any(r.name == name and r.rewrites for r in log)
    assert found["associate"] >= 30 and found["join_products"] >= 8


@pytest.mark.parametrize("dtype", ["f8", "i8"])
def test_nothing_moves_under_exact(dtype: str) -> None:
    for seed in range(40):
        graph, _ = Drawer(seed, dtype).program()
        twin, _ = graph.copy()
        with always():
            optimize(graph, exact=True)
        optimize(twin, exact=True)
        assert [n.op for n in graph.order()] == [n.op for n in twin.order()]
        with always():
            assert not associate.run(graph, exact=True) and not join_products.run(graph, exact=True)
