"""Reading at an index: slices, index arrays with all of NumPy's placement rules, take, sorting."""
from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ir import errors
from ir.graph import Graph
from ir.ops import index
from ir.ops.places import everything, keys, triple
from ir.spec import Spec
from tests.factory import Case, along_axis, make
from tests.ir.checks import against, gradients, run

SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
FULL = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


def array(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape))


@st.composite
def slices(draw: Any, shape: tuple[int, ...]) -> tuple[builtins.slice, ...]:
    """A Python slice an axis, out of range and backwards too."""
    end = st.none() | st.integers(-6, 6)
    step = st.sampled_from([None, 1, 2, 3, -1, -2])
    return tuple([builtins.slice(draw(end), draw(end), draw(step)) for _ in shape])


@st.composite
def gathers(draw: Any, distinct: bool = False) -> tuple[tuple[int, ...], tuple[int, ...], list[np.ndarray]]:
    """A shape, some of its axes, and for each an index array; they broadcast to one shape."""
    shape = draw(FULL)
    axes = tuple(sorted(draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))
    common = draw(st.lists(st.integers(0, 3), max_size=2))
    found = []
    for axis in axes:
        small = [n if draw(st.integers(0, 3)) else 1 for n in common][draw(st.integers(0, len(common))) :]
        size = int(np.prod(small))
        numbers = draw(st.lists(st.integers(-shape[axis], shape[axis] - 1), min_size=size, max_size=size))
        found.append(np.array(numbers, draw(st.sampled_from([np.int64, np.int32]))).reshape(small))
    return shape, axes, found


def fancy(axes: tuple[int, ...], indices: Any) -> tuple[Any, ...]:
    key: list[Any] = [builtins.slice(None)] * (axes[-1] + 1)
    for axis, i in zip(axes, indices):
        key[axis] = i
    return tuple(key)


@given(st.integers(0, 6), st.data())
def test_triples_are_unique(size: int, data: Any) -> None:
    a, b = (data.draw(slices((size,)))[0] for _ in range(2))
    x = np.arange(size)
    np.testing.assert_array_equal(x[a], x[builtins.slice(*triple(a, size))])
    same = list(x[a]) == list(x[b]) and (x[a].size == 0 or (x[a].strides[0] < 0) == (x[b].strides[0] < 0))
    assert (triple(a, size) == triple(b, size)) == same


@given(SHAPES, st.data())
def test_slice(shape: tuple[int, ...], data: Any) -> None:
    key = data.draw(slices(shape))
    at = tuple([triple(k, n) for k, n in zip(key, shape)])
    assert [array(shape)[keys(at)].tolist()] == [array(shape)[key].tolist()]
    against(lambda x: index.slice(x, index=at), lambda x: x[(*key, ...)], [array(shape)])
    gradients(lambda x: index.slice(x, index=at), [array(shape)], [0])


@given(gathers())
def test_gather(drawn: tuple[tuple[int, ...], tuple[int, ...], list[np.ndarray]]) -> None:
    shape, axes, indices = drawn
    against(lambda x, *at: index.gather(x, *at, axes=axes), lambda x, *at: x[fancy(axes, at)], [array(shape), *indices])
    gradients(lambda x, *at: index.gather(x, *at, axes=axes), [array(shape), *indices], [0])


def test_gather_out_of_range_is_numpys_error() -> None:
    with pytest.raises(IndexError, match="out of bounds"):
        run(lambda x, i: index.gather(x, i, axes=(0,)), [array((3,)), np.array([3])])


def test_gather_of_unsigned_indices() -> None:
    against(lambda x, i: index.gather(x, i, axes=(0,)), lambda x, i: x[i], [array((3,)), np.array([2, 1], np.uint64)])


@given(FULL, st.data())
def test_take(shape: tuple[int, ...], data: Any) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    mode = data.draw(st.sampled_from(["raise", "wrap", "clip"]))
    bound = shape[axis] if mode == "raise" else 9
    small = data.draw(st.lists(st.integers(0, 3), max_size=2).map(tuple))
    count = int(np.prod(small))
    i = np.array(data.draw(st.lists(st.integers(-bound, bound - 1), min_size=count, max_size=count)), np.int64).reshape(small)
    against(lambda x, at: index.take(x, at, axis=axis, mode=mode), lambda x, at: np.take(x, at, axis, mode=mode), [array(shape), i])
    gradients(lambda x, at: index.take(x, at, axis=axis, mode=mode), [array(shape), i], [0])


def test_take_of_bools_counts_them_as_numpy_does() -> None:
    flags = np.array([True, False])
    against(lambda x, i: index.take(x, i, axis=0, mode="raise"), lambda x, i: np.take(x, i, 0), [array((3,)), flags])
    gradients(lambda x, i: index.take(x, i, axis=0, mode="raise"), [array((3,)), flags], [0])


@given(FULL, st.sampled_from([None, "stable", "heapsort"]), st.data())
def test_sort_and_argsort(shape: tuple[int, ...], kind: Any, data: Any) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    x = array(shape)
    against(lambda v: index.sort(v, axis=axis, kind=kind), lambda v: np.sort(v, axis, kind=kind), [x])
    against(lambda v: index.argsort(v, axis=axis, kind=kind), lambda v: np.argsort(v, axis, kind=kind), [x])
    gradients(lambda v: index.sort(v, axis=axis, kind=kind), [x], [0])


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "longdouble", "complex64"])
def test_sort_of_other_dtypes_and_none(dtype: str) -> None:
    x = (array((3, 0)) * 4).astype(dtype), (array((5, 3)) * 4).astype(dtype)
    for a in x:
        against(lambda v: index.sort(v, axis=0, kind=None), lambda v: np.sort(v, 0), [a])
        against(lambda v: index.argsort(v, axis=1, kind="stable"), lambda v: np.argsort(v, 1, kind="stable"), [a])


@given(FULL, st.data())
def test_take_along_axis(shape: tuple[int, ...], data: Any) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    count = data.draw(st.integers(0, 3))
    small = tuple([count if k == axis else n if data.draw(st.booleans()) else 1 for k, n in enumerate(shape)])
    size = int(np.prod(small))
    i = np.array(data.draw(st.lists(st.integers(-shape[axis], shape[axis] - 1), min_size=size, max_size=size)), np.int64).reshape(small)
    against(lambda x, at: index.take_along_axis(x, at, axis=axis), lambda x, at: np.take_along_axis(x, at, axis), [array(shape), i])
    gradients(lambda x, at: index.take_along_axis(x, at, axis=axis), [array(shape), i], [0])


ANY, KIND = (-2.0, 2.0), st.sampled_from([None, "stable"])
FIRST = np.array([0, -1, 0])
test_operation = make([
    Case("slice", lambda x, *, axis: index.cut(x, axis, 1, 3), lambda x, *, axis: np.moveaxis(np.moveaxis(x, axis, 0)[1:3], 0, axis),
         along_axis(ANY), complex=True),
    Case("flip", lambda x, *, axis: index.flip(x, axis), lambda x, *, axis: np.flip(x, axis), along_axis(ANY), complex=True),
    Case("take", lambda x, *, axis: index.take(x, FIRST, axis=axis, mode="clip"), lambda x, *, axis: np.take(x, FIRST, axis, mode="clip"),
         along_axis(ANY), complex=True),
    Case("gather", lambda x, *, axis: index.gather(x, FIRST, axes=(axis,)), lambda x, *, axis: x[(builtins.slice(None),) * axis + (FIRST,)],
         along_axis(ANY), complex=True),
    Case("sort", index.sort, np.sort, along_axis(ANY, kind=KIND)),
    Case("argsort", index.argsort, np.argsort, along_axis(ANY, kind=KIND), gradient=False, second=False),
])  # fmt: skip


ERRORS = [
    (lambda x, i: index.slice(x, index=((0, 1, 1),)), "1 slices for the 2 axes"),
    (lambda x, i: index.slice(x, index=((0, 1, 0), (0, 1, 1))), "step 0"),
    (lambda x, i: index.gather(x, i, axes=(2,)), "can't index axes (2,)"),
    (lambda x, i: index.gather(x, i, i, axes=(1, 0)), "increasing"),
    (lambda x, i: index.gather(x, i, axes=(0, 1)), "1 index arrays for axes (0, 1)"),
    (lambda x, i: index.gather(x, i, x.graph.input(Spec((3,), np.int64)), axes=(0, 1)), "do not broadcast"),
    (lambda x, i: index.gather(x, x, axes=(0,)), "indices must be integers"),
    (lambda x, i: index.take(x, i, axis=2, mode="raise"), "axis 2 is out of range"),
    (lambda x, i: index.take(x, x, axis=0, mode="raise"), "indices must be integers"),
    (lambda x, i: index.take(x, i, axis=0, mode="bounce"), "unknown mode 'bounce'"),
    (lambda x, i: index.sort(x, axis=5, kind=None), "axis 5 is out of range"),
    (lambda x, i: index.argsort(x, axis=0, kind="bogo"), "unknown kind of sort 'bogo'"),
    (lambda x, i: index.take_along_axis(x, i, axis=0), "2 axes but the indices have 1"),
    (lambda x, i: index.take_along_axis(x, x, axis=0), "indices must be integers"),
]


@pytest.mark.parametrize(("build", "says"), ERRORS)
def test_errors_say_what_is_wrong(build: Any, says: str) -> None:
    graph = Graph()
    with pytest.raises(errors.Error) as caught:
        build(graph.input(Spec((2, 3))), graph.input(Spec((2,), np.int64)))
    assert says in str(caught.value) and caught.value.mend


def test_everything_reads_all() -> None:
    against(lambda x: index.slice(x, index=everything((2, 3))), lambda x: x[:], [array((2, 3))])
