"""Stride arithmetic against NumPy: what is a view, where it begins, how a new result lies."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ir.graph import Graph
from ir.ops import TABLE
from ir.ops import elementwise as e
from ir.place import Buffer, Place
from ir.planning.places import new_strides
from ir.planning.strides import c_strides, is_dense, k_strides, reshaped, viewed
from ir.spec import Spec


@st.composite
def strided(draw: st.DrawFn, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """An array of up to 4 axes: a permuted, sliced, reversed or broadcast view."""
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 2, 3, 4, 6]), max_size=4))) if shape is None else shape
    axes = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from([1, 1, 1, 2, -1, 0])) for _ in shape]
    base = np.zeros([1 if s == 0 else n * abs(s) for n, s in zip(shape, steps)], np.float64)
    base = np.ascontiguousarray(base.transpose(axes)).transpose(np.argsort(axes)) if shape else base
    view = base[tuple(slice(None) if s == 0 else slice(None, None, s) for s in steps)]
    return np.broadcast_to(view, shape)


@settings(max_examples=150)
@given(st.data())
def test_a_reshape_is_a_view_where_numpy_can_make_one(data):
    x = data.draw(strided())
    sizes = [n for n in x.shape if n != 1]
    factors = [f for n in sizes for f in ({4: (2, 2), 6: (2, 3)}.get(n, (n,)) if data.draw(st.booleans()) else (n,))]
    new: list[int] = []
    for f in factors:  # neighbours joined, ones strewn in
        if new and data.draw(st.booleans()):
            new[-1] *= f
        else:
            new += [1] * data.draw(st.integers(0, 1)) + [f]
    new += [1] * data.draw(st.integers(0, 1))
    try:
        made = np.reshape(x, tuple(new), copy=False)
    except ValueError:
        assert reshaped(x.shape, x.strides, 8, tuple(new)) is None
        return
    found = reshaped(x.shape, x.strides, 8, tuple(new))
    assert found is not None
    if made.size:
        assert [s for s, n in zip(found, new) if n != 1] == [s for s, n in zip(made.strides, new) if n != 1]


@settings(max_examples=80)
@given(st.data())
def test_a_new_result_lies_as_numpys(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 4), max_size=4)))
    arrays = [data.draw(strided(shape[data.draw(st.integers(0, len(shape))) :])) for _ in range(2)] + [data.draw(strided(shape))]
    made = np.clip(arrays[2], arrays[0], arrays[1])  # a ufunc of three operands
    found = k_strides(shape, 8, tuple((a.shape, a.strides) for a in (arrays[2], arrays[0], arrays[1])))
    assert [s for s, n in zip(found, shape) if n > 1] == [s for s, n in zip(made.strides, shape) if n > 1]


@settings(max_examples=80)
@given(st.data())
def test_a_reduction_lies_as_numpys(data):
    x = data.draw(strided(tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))))
    axis = tuple(sorted(data.draw(st.sets(st.integers(0, x.ndim - 1)))))
    keepdims = data.draw(st.booleans())
    graph = Graph()
    node = TABLE["max"](graph.input(Spec(x.shape)), axis=axis, keepdims=keepdims).node
    made = np.max(x, axis=axis, keepdims=keepdims)
    found = new_strides(node, node.specs[0], (Place(Buffer(0, "input", x.nbytes), 0, x.shape, x.strides, x.dtype),))
    assert [s for s, n in zip(found, made.shape) if n > 1] == [s for s, n in zip(made.strides, made.shape) if n > 1]


@settings(max_examples=80)
@given(strided())
def test_dense_is_a_permutation_of_contiguous(x):
    if 0 in x.strides and any(s == 0 and n > 1 for s, n in zip(x.strides, x.shape)):
        assert not is_dense(x.shape, x.strides, 8) or x.size == 0
        return
    order = sorted(range(x.ndim), key=lambda k: (-abs(x.strides[k]), k))
    kept = [k for k in order if x.shape[k] > 1]
    positive = all(x.strides[k] > 0 for k in kept)
    assert is_dense(x.shape, x.strides, 8) == (x.size == 0 or (positive and x.transpose(order).flags.c_contiguous))


VIEWS = [
    ("transpose", {"axes": (2, 0, 1)}),
    ("slice", {"index": ((0, 2, 1), (2, None, -1), (1, 4, 2))}),
    ("slice", {"index": ((1, 1, 1), (0, 3, 1), (0, 4, 1))}),
    ("expand_dims", {"axis": (0, 2)}),
    ("broadcast_to", {"shape": (5, 2, 3, 4)}),
    ("reshape", {"shape": (6, 4)}),
]


@pytest.mark.parametrize("name, attrs", VIEWS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_views_begin_and_stride_as_numpys(name, attrs, order):
    x = np.zeros((2, 3, 4), order=order)
    graph = Graph()
    node = TABLE[name](graph.input(Spec(x.shape)), **attrs).node
    found = viewed(node, x.shape, x.strides, x.dtype)
    if name == "reshape" and order == "F":
        assert found is None
        return
    made = node.op.meaning(x, **attrs)
    offset = made.__array_interface__["data"][0] - x.__array_interface__["data"][0]
    assert found == (offset if made.size else 0, made.strides)


def test_c_strides():
    assert c_strides((), 8) == () and c_strides((2, 1, 3), 8) == (24, 24, 8)


def test_exp_of_a_transposed_array_is_in_its_order():
    graph = Graph()
    node = e.exp(graph.input(Spec((3, 2)))).node
    assert new_strides(node, node.specs[0], (Place(Buffer(0, "input", 48), 0, (3, 2), (8, 24), np.dtype("float64")),)) == (8, 24)
