"""Views, concatenate and the compositions of `ir/ops/shape.py` against NumPy."""
from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ir import errors
from ir.graph import Graph
from ir.ops import index, shape
from ir.spec import Spec
from tests.factory import Case, along_axis, broadcasting, make
from tests.ir.checks import against, gradients

SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
DTYPES = st.sampled_from(["bool", "int8", "uint16", "int64", "float16", "float32", "float64", "longdouble", "complex64", "complex128"])


def array(shape_: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    return np.asarray(np.arange(math.prod(shape_)).reshape(shape_) % 7 - 3, dtype)


@st.composite
def reshapes(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes with equally many elements."""
    factors = draw(st.lists(st.integers(0, 3), max_size=4))

    def split() -> tuple[int, ...]:
        found: list[int] = []
        fresh = True
        for f in factors:
            if fresh or draw(st.booleans()):
                found.append(f)
            else:
                found[-1] *= f
            fresh = False
            if draw(st.integers(0, 3)) == 0:
                found.append(1)
        return tuple(found)

    return split(), split()


@given(reshapes(), DTYPES)
def test_reshape(pair: tuple[tuple[int, ...], tuple[int, ...]], dtype: str) -> None:
    old, new = pair
    against(lambda x: shape.reshape(x, shape=new), lambda x: x.reshape(new), [array(old, dtype)])
    gradients(lambda x: shape.reshape(x, shape=new), [array(old)], [0])


@given(SHAPES, DTYPES, st.randoms(use_true_random=False))
def test_transpose_and_its_kin(shape_: tuple[int, ...], dtype: str, random: Any) -> None:
    axes = list(range(len(shape_)))
    random.shuffle(axes)
    x = array(shape_, dtype)
    against(lambda v: shape.transpose(v, axes=tuple(axes)), lambda v: v.transpose(axes), [x])
    gradients(lambda v: shape.transpose(v, axes=tuple(axes)), [array(shape_)], [0])
    if shape_:
        a, b = random.choice(axes), random.choice(axes) - len(shape_)
        against(lambda v: shape.swapaxes(v, a, b), lambda v: np.swapaxes(v, a, b), [x])
        against(lambda v: shape.moveaxis(v, a, b), lambda v: np.moveaxis(v, a, b), [x])
        against(lambda v: index.flip(v, a), lambda v: np.flip(v, a), [x])
    target = list(range(len(shape_)))
    random.shuffle(target)
    against(lambda v: shape.moveaxis(v, axes, target), lambda v: np.moveaxis(v, axes, target), [x])
    if shape_:  # of a 0-d array np.flip makes a scalar
        against(lambda v: index.flip(v), lambda v: np.flip(v), [x])
    against(shape.ravel, lambda v: v.reshape(-1), [x])


@given(SHAPES, st.data())
def test_broadcast_expand_and_squeeze(shape_: tuple[int, ...], data: Any) -> None:
    small = tuple(n if data.draw(st.booleans()) else 1 for n in shape_)[data.draw(st.integers(0, len(shape_))) :]
    against(lambda x: shape.broadcast_to(x, shape=shape_), lambda x: np.broadcast_to(x, shape_), [array(small)])
    gradients(lambda x: shape.broadcast_to(x, shape=shape_), [array(small)], [0])
    count = data.draw(st.integers(0, 2))
    ndim = len(shape_) + count
    axis = tuple(data.draw(st.permutations(range(ndim)))[:count])
    x = array(shape_)
    against(lambda v: shape.expand_dims(v, axis=axis), lambda v: np.expand_dims(v, axis), [x])
    gradients(lambda v: shape.expand_dims(v, axis=axis), [x], [0])
    wide = np.expand_dims(x, axis)
    against(lambda v: shape.squeeze(v, axis=axis), lambda v: np.squeeze(v, axis), [wide])
    gradients(lambda v: shape.squeeze(v, axis=axis), [wide], [0])


@given(SHAPES.filter(bool), st.lists(st.tuples(st.integers(0, 3), DTYPES), min_size=1, max_size=4), st.data())
def test_concatenate_and_stack(shape_: tuple[int, ...], parts: list[tuple[int, str]], data: Any) -> None:
    axis = data.draw(st.integers(0, len(shape_) - 1))
    xs = [array((*shape_[:axis], n, *shape_[axis + 1 :]), dtype) for n, dtype in parts]
    against(lambda *vs: shape.concatenate(*vs, axis=axis), lambda *vs: np.concatenate(vs, axis), xs)
    gradients(lambda *vs: shape.concatenate(*vs, axis=axis), [np.real(x).astype(float) for x in xs], list(range(len(xs))))
    place = data.draw(st.integers(-len(shape_) - 1, len(shape_)))
    ys = [array(shape_, dtype) for _, dtype in parts]
    against(lambda *vs: shape.stack(vs, place), lambda *vs: np.stack(vs, place), ys)


ANY = (-2.0, 2.0)
test_operation = make([
    Case("ravel", shape.ravel, np.ravel, broadcasting(ANY), complex=True),
    Case("transpose", lambda x: shape.transpose(x, axes=tuple(range(x.ndim))[::-1]), np.transpose, broadcasting(ANY), complex=True),
    Case("broadcast_to", lambda x: shape.broadcast_to(x, shape=(2, *x.shape)), lambda x: np.broadcast_to(x, (2, *np.shape(x))),
         broadcasting(ANY), complex=True),
    Case("expand_dims", lambda x: shape.expand_dims(x, axis=(0,)), lambda x: np.expand_dims(x, 0), broadcasting(ANY), complex=True),
    Case("squeeze", lambda x: shape.squeeze(shape.expand_dims(x, axis=(0,)), axis=(0,)), np.asarray, broadcasting(ANY), complex=True),
    Case("concatenate", lambda x, *, axis: shape.concatenate(x, x, axis=axis), lambda x, *, axis: np.concatenate([x, x], axis),
         along_axis(ANY), complex=True),
])  # fmt: skip


ERRORS = [
    (lambda x: shape.reshape(x, shape=(4, 2)), "of 6 elements into (4, 2) of 8"),
    (lambda x: shape.transpose(x, axes=(0, 0)), "do not permute"),
    (lambda x: shape.broadcast_to(x, shape=(2, 4)), "can't broadcast (2, 3) to (2, 4)"),
    (lambda x: shape.broadcast_to(x, shape=(3,)), "can't broadcast (2, 3) to (3,)"),
    (lambda x: shape.expand_dims(x, axis=(4,)), "axis 4 is out of range"),
    (lambda x: shape.expand_dims(x, axis=(0, 0)), "twice"),
    (lambda x: shape.squeeze(x, axis=(1,)), "its size is 3"),
    (lambda x: shape.concatenate(x, x.graph.input(Spec((3, 3))), axis=1), "sizes 2 and 3 differ at axis 0"),
    (lambda x: shape.concatenate(x, x.graph.input(Spec((3,))), axis=1), "has 1"),
    (lambda x: shape.concatenate(1.0, x, axis=0), "0-d"),
    (lambda x: shape.stack([x, x.graph.input(Spec((3, 3)))]), "operand 1 is (3, 3)"),
    (lambda x: shape.stack([]), "nothing"),
    (lambda x: shape.moveaxis(x, (0, 1), 1), "2 axes to move but 1"),
    (lambda x: shape.swapaxes(x, 0, 2), "axis 2 is out of range"),
]


@pytest.mark.parametrize(("build", "says"), ERRORS)
def test_errors_name_the_sizes(build: Any, says: str) -> None:
    with pytest.raises(errors.ShapeError) as caught:
        build(Graph().input(Spec((2, 3))))
    assert says in str(caught.value) and caught.value.mend


def test_a_failed_build_leaves_the_graph_alone() -> None:
    graph = Graph()
    x = graph.input(Spec((2, 3)))
    with pytest.raises(errors.ShapeError, match="reshape: can't reshape") as caught:
        shape.reshape(x, shape=(7,))
    assert len(graph) == 1 and caught.value.operands == (("x", Spec((2, 3))),) and caught.value.line is not None


RESOLVED = [((-1,), 6, (6,)), (6, 6, (6,)), ((2, -1), 6, (2, 3)), ((), 1, ()), ((0, 3), 0, (0, 3))]


@pytest.mark.parametrize(("asked", "size", "found"), RESOLVED)
def test_resolve_shape(asked: Any, size: int, found: tuple[int, ...]) -> None:
    assert shape.resolve_shape(asked, size) == found


@pytest.mark.parametrize(("asked", "size"), [((4, -1), 6), ((-1, -1), 6), ((0, -1), 0), ((-2,), 6)])
def test_resolve_shape_refuses(asked: Any, size: int) -> None:
    with pytest.raises(errors.ShapeError) as caught:
        shape.resolve_shape(asked, size)
    assert caught.value.mend
