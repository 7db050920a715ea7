"""Products against NumPy: every pairing of numbers of axes, broadcast batches, all kinds of dtypes, empties."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ir import errors
from ir.graph import Graph
from ir.ops import matmul
from ir.spec import Spec
from tests.factory import Case, broadcasting, make
from tests.ir.checks import against, gradients

SIZE = st.integers(0, 3)
DTYPES = ["bool", "int8", "uint16", "int64", "float16", "float32", "float64", "longdouble", "complex64", "complex128"]


def array(shape: tuple[int, ...], seed: int = 0, dtype: Any = float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drawn = rng.integers(-2, 3, shape) if np.dtype(dtype).kind in "biu" else rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        drawn = drawn + 1j * rng.standard_normal(shape)
    return np.asarray(drawn).astype(dtype)


@st.composite
def dots(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes that dot takes, 0-d to 3-d."""
    a, b = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    x, y = [draw(SIZE) for _ in range(a)], [draw(SIZE) for _ in range(b)]
    if x and y:
        y[-2 if b > 1 else -1] = x[-1]
    return tuple(x), tuple(y)


@st.composite
def matmuls(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes that matmul takes: 1-d, or 2-d and more with leading axes that broadcast."""
    a, b, c = draw(SIZE), draw(SIZE), draw(SIZE)
    batch = draw(st.lists(SIZE, max_size=2))

    def lead() -> tuple[int, ...]:
        return tuple([n if draw(st.booleans()) else 1 for n in batch])[draw(st.integers(0, len(batch))) :]

    x = (b,) if draw(st.integers(0, 3)) == 0 else (*lead(), a, b)
    y = (b,) if draw(st.integers(0, 3)) == 0 else (*lead(), b, c)
    return x, y


@given(dots(), st.booleans())
def test_dot(shapes: tuple[tuple[int, ...], tuple[int, ...]], is_complex: bool) -> None:
    x, y = array(shapes[0], 1), array(shapes[1], 2, complex if is_complex else float)
    against(matmul.dot, np.dot, [x, y])
    gradients(matmul.dot, [x, y], [0, 1])


@given(matmuls(), st.booleans())
def test_matmul(shapes: tuple[tuple[int, ...], tuple[int, ...]], is_complex: bool) -> None:
    x, y = array(shapes[0], 1), array(shapes[1], 2, complex if is_complex else float)
    against(matmul.matmul, np.matmul, [x, y])
    gradients(matmul.matmul, [x, y], [0, 1])


@pytest.mark.parametrize("op", ["dot", "matmul"])
@pytest.mark.parametrize("other", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(op: str, dtype: str, other: str) -> None:
    against(getattr(matmul, op), getattr(np, op), [array((2, 3), 0, dtype), array((3, 2), 1, other)])


@pytest.mark.parametrize("number", [2, 2.5, 1j])
def test_dot_makes_an_array_of_a_python_number(number: Any) -> None:
    against(lambda x: matmul.dot(x, number), lambda x: np.dot(x, number), [array((2,), 0, np.float32)])


@st.composite
def contractions(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...], Any]:
    x, count = draw(st.lists(st.integers(1, 3), max_size=3)), 0
    y = draw(st.lists(st.integers(1, 3), max_size=3))
    count = draw(st.integers(0, min(len(x), len(y))))
    of_x, of_y = draw(st.permutations(range(len(x))))[:count], draw(st.permutations(range(len(y))))[:count]
    for a, b in zip(of_x, of_y):
        y[b] = x[a]
    return tuple(x), tuple(y), (tuple(of_x), tuple(of_y))


@given(contractions())
def test_tensordot(drawn: tuple[tuple[int, ...], tuple[int, ...], Any]) -> None:
    x, y, axes = array(drawn[0], 1), array(drawn[1], 2), drawn[2]
    against(lambda a, b: matmul.tensordot(a, b, axes), lambda a, b: np.asarray(np.tensordot(a, b, axes)), [x, y])
    gradients(lambda a, b: matmul.tensordot(a, b, axes), [x, y], [0, 1])


def test_tensordot_by_a_number_of_axes_and_single_axes() -> None:
    x, y = array((2, 3, 4)), array((3, 4, 5))
    for axes in (2, ([1, 2], [0, 1]), (2, -2), 0):
        against(lambda a, b, axes=axes: matmul.tensordot(a, b, axes), lambda a, b, axes=axes: np.tensordot(a, b, axes), [x, y])


@pytest.mark.parametrize(("x", "y"), [((3,), (3,)), ((2, 3), (3,)), ((2, 3), (4, 3)), ((), (2, 3)), ((2, 1, 3), (2, 3))])
def test_inner(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    against(matmul.inner, np.inner, [array(x, 1), array(y, 2)])
    gradients(matmul.inner, [array(x, 1), array(y, 2)], [0, 1])


@pytest.mark.parametrize("dtype", ["float64", "complex128", "int32"])
def test_outer_and_vdot(dtype: str) -> None:
    x, y = array((2, 3), 1, dtype), array((3, 2), 2, dtype)
    against(matmul.outer, np.outer, [x, y])
    against(matmul.vdot, np.vdot, [x, y])


def squares(op: Any) -> Any:
    """The product of x as a matrix with its transpose, so that every drawn shape fits."""
    return lambda x: op(matmul.reshape(x, shape=(1, x.spec.size)), matmul.reshape(x, shape=(x.spec.size, 1)))


test_operation = make([
    Case("dot", squares(matmul.dot), lambda x: np.dot(x.reshape(1, -1), x.reshape(-1, 1)), broadcasting((-2, 2)), complex=True),
    Case("matmul", squares(matmul.matmul), lambda x: np.matmul(x.reshape(1, -1), x.reshape(-1, 1)), broadcasting((-2, 2)), complex=True),
    Case("outer", matmul.outer, np.outer, broadcasting((-2, 2), (-2, 2)), complex=True),
    Case("vdot", lambda x: matmul.vdot(x, x), lambda x: np.vdot(x, x), broadcasting((-2, 2)), complex=True),
])  # fmt: skip


ERRORS = [
    (lambda x: matmul.dot(x, x), "x has 3 columns but y has 2 rows"),
    (lambda x: matmul.dot(x, np.ones(2)), "x has 3 columns but y has 2 rows"),
    (lambda x: matmul.matmul(x, x), "x has 3 columns but y has 2 rows"),
    (lambda x: matmul.matmul(x, 2.0), "does not take the 0-d y"),
    (lambda x: matmul.matmul(_batch(x), np.ones((3, 3, 2))), "do not broadcast"),
    (lambda x: matmul.tensordot(x, x, ((0, 1), (0,))), "2 axes of x but 1 of y"),
    (lambda x: matmul.tensordot(x, x, (0, 1)), "axis 0 of x has size 2 but axis 1 of y has size 3"),
    (lambda x: matmul.tensordot(x, x, (0, 4)), "axis 4 is out of range"),
]


def _batch(x: Any) -> Any:
    return x.graph.input(Spec((2, 2, 3)))


@pytest.mark.parametrize(("build", "says"), ERRORS)
def test_errors_name_the_sizes(build: Any, says: str) -> None:
    with pytest.raises(errors.ShapeError) as caught:
        build(Graph().input(Spec((2, 3))))
    assert says in str(caught.value) and caught.value.mend


def test_flops_count_products_and_sums() -> None:
    assert matmul.dot.flops((Spec((2, 5)),), (Spec((2, 3)), Spec((3, 5)))) == 60
    assert matmul.dot.flops((Spec((2, 5)),), (Spec(()), Spec((2, 5)))) == 10
    assert matmul.matmul.flops((Spec((7, 2, 5)),), (Spec((7, 2, 3)), Spec((3, 5)))) == 420
