"""Functional writes against assignment and `np.add.at`: values that broadcast and cast, indices that stand twice."""
from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ir import errors
from ir.gradient import append_gradient
from ir.graph import Graph
from ir.ops import update
from ir.ops.places import triple
from ir.spec import Spec
from tests.ir.checks import against, gradients, run
from tests.ir.test_index import SHAPES, array, fancy, gathers, slices


def narrowed(data: Any, shape: tuple[int, ...], more: bool = False) -> tuple[int, ...]:
    """A shape that broadcasts to `shape`: sizes of 1, fewer axes; with `more` also more leading axes of size 1."""
    small = tuple([n if data.draw(st.booleans()) else 1 for n in shape])[data.draw(st.integers(0, len(shape))) :]
    return (1,) * data.draw(st.integers(0, 1)) + small if more and len(small) == len(shape) else small


def assigned(key: Any) -> Any:
    def twin(base: np.ndarray, value: Any, *indices: Any) -> np.ndarray:
        base[key(*indices)] = value
        return base

    return twin


@given(SHAPES, st.data())
def test_slices(shape: tuple[int, ...], data: Any) -> None:
    key = data.draw(slices(shape))
    at = tuple([triple(k, n) for k, n in zip(key, shape)])
    place = array(shape)[(*key, ...)].shape

    def add(base: np.ndarray, value: Any) -> np.ndarray:
        base[key] += value
        return base

    for op, twin in ((update.set_slice, assigned(lambda: (*key, ...))), (update.add_slice, add)):
        value = array(narrowed(data, place, op is update.set_slice), 1)
        against(lambda b, v, op=op: op(b, v, index=at), twin, [array(shape), value])
        gradients(lambda b, v, op=op: op(b, v, index=at), [array(shape), value], [0, 1])


@given(gathers(), st.data())
def test_index_arrays(drawn: tuple[tuple[int, ...], tuple[int, ...], list[np.ndarray]], data: Any) -> None:
    shape, axes, indices = drawn
    place = array(shape)[fancy(axes, indices)].shape

    def add(base: np.ndarray, value: Any, *at: Any) -> np.ndarray:
        np.add.at(base, fancy(axes, at), value)
        return base

    for op, twin in ((update.set_at, assigned(lambda *at: fancy(axes, at))), (update.add_at, add)):
        value = array(narrowed(data, place, op is update.set_at and len(place) > 0), 1)
        against(lambda b, v, *at, op=op: op(b, v, *at, axes=axes), twin, [array(shape), value, *indices])
        gradients(lambda b, v, *at, op=op: op(b, v, *at, axes=axes), [array(shape), value, *indices], [0, 1])


def test_repeated_indices() -> None:
    base, value, i = np.zeros(3), np.array([1.0, 2.0, 4.0]), np.array([1, 1, 2])
    assert run(lambda b, v, at: update.add_at(b, v, at, axes=(0,)), [base, value, i])[0].tolist() == [0, 3, 4]
    assert run(lambda b, v, at: update.set_at(b, v, at, axes=(0,)), [base, value, i])[0].tolist() == [0, 2, 4]


def test_constant_indices_that_differ_need_no_count_of_the_writes() -> None:
    for numbers, names in (([1, -1, 0], {"set_at", "gather"}), ([1, -2, 0], {"set_at", "gather", "equal", "where", "broadcast_to"})):
        graph = Graph()
        x, v = graph.input(Spec((3,))), graph.input(Spec((3,)))
        y = update.set_at(x, v, np.array(numbers), axes=(0,))
        graph.outputs = append_gradient(graph, [y], [graph.input(y.spec)], [x, v])
        assert {n.op.name for n in graph.order()} - {"input", "constant"} == names
        gradients(lambda x, v, numbers=numbers: update.set_at(x, v, np.array(numbers), axes=(0,)), [array((3,)), array((3,), 1)], [0, 1])


@pytest.mark.parametrize("base", ["bool", "int8", "float32", "complex64"])
@pytest.mark.parametrize("value", ["bool", "int64", "float64"])
def test_values_are_cast_as_by_assignment(base: str, value: str) -> None:
    b, v, i = np.ones((3, 2), base), np.array([1.75, 2.25]).astype(value), np.array([2, 0])
    key = (builtins.slice(1, 3),)
    against(lambda x, y: update.set_slice(x, y, index=((1, 3, 1), (0, 2, 1))), assigned(lambda: key), [b, v])
    against(lambda x, y, at: update.set_at(x, y, at, axes=(0,)), assigned(lambda at: (at,)), [b, v, i])


def test_python_numbers_are_values() -> None:
    against(lambda x: update.set_slice(x, 1.5, index=((0, 2, 1),)), lambda x: np.array([1, 1, 5]), [np.array([3, 4, 5])])
    against(lambda x: update.add_slice(x, 2, index=((0, 2, 1),)), lambda x: x + np.array([2, 2, 0], np.float32), [np.ones(3, np.float32)])


def test_both_are_differentiated_through_a_write_over_itself() -> None:
    def build(x: Any, v: Any) -> Any:
        y = update.set_slice(x, v, index=((0, 1, 1),))
        return y * update.set_slice(y, y.graph.constant(2.0), index=((1, 2, 1),))

    gradients(build, [array((3,)), array((1,), 1)], [0, 1])


ERRORS = [
    (lambda x: update.set_slice(x, np.ones(4), index=((0, 2, 1), (0, 3, 1))), "(4,) does not fit into a place of shape (2, 3)"),
    (lambda x: update.set_slice(x, np.ones((2, 2, 3)), index=((0, 2, 1), (0, 3, 1))), "does not fit"),
    (lambda x: update.add_slice(x, 1j, index=((0, 2, 1), (0, 3, 1))), "would turn complex128 into float64"),
    (lambda x: update.set_at(x, np.ones(2), np.array([0]), axes=(1,)), "a value of shape (2,) does not fit"),
    (lambda x: update.set_at(x, 1.0, np.array([0.5]), axes=(1,)), "indices must be integers"),
    (lambda x: update.add_at(x, 1.0, np.array([0]), axes=(3,)), "can't index axes (3,)"),
    (lambda x: update.add_at(x.graph.constant(np.ones(3, int)), 1.5, np.array([0]), axes=(0,)), "would turn float64 into int64"),
]


@pytest.mark.parametrize(("build", "says"), ERRORS)
def test_errors_say_what_is_wrong(build: Any, says: str) -> None:
    with pytest.raises(errors.Error) as caught:
        build(Graph().input(Spec((2, 3))))
    assert says in str(caught.value) and caught.value.mend
