"""Reductions against NumPy, a line each, and the points where a naive rule divides by zero."""
from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import strategies as st

from ir import Graph, Spec, evaluate
from ir.errors import ArgumentError, ShapeError
from ir.ops import cumulated
from ir.ops import elementwise as e
from ir.ops import reduce as r
from tests.factory import Case, along_axis, make, reducing, refuses
from tests.ir.test_elementwise import gradient, second

ANY, POSITIVE = (-2.0, 2.0), (0.3, 2.0)
FLAT = {"gradient": False, "second": False}
INTO = st.sampled_from([None, np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.complex128), np.dtype(bool)])
DDOF = st.sampled_from([0, 1, 0.5])


def vector_norm(x, *, axis, keepdims, ord):
    return np.linalg.norm(x, axis=axis, keepdims=keepdims, ord=ord)


def one_axis(op):
    return lambda x, *, axis, keepdims, ord: op(x, axis=(axis,), keepdims=keepdims, ord=ord)


def all_norm(x, *, axis, keepdims):
    """The definition; NumPy has no norm over three axes or none."""
    x = np.asarray(x)
    x = x if x.dtype.kind in "fc" else x.astype(float)
    return np.sqrt(np.sum(np.real(x * np.conj(x)), axis=axis, keepdims=keepdims))


def norms(name: str, orders: list, bounds: tuple[float, float] = POSITIVE, **options) -> Case:
    draw = along_axis(bounds, keepdims=st.booleans(), ord=st.sampled_from(orders))
    return Case(f"norm {name}", one_axis(r.norm), vector_norm, draw, **options)


test_operation = make([
    Case("sum", r.sum, np.sum, reducing(ANY), complex=True),
    Case("sum into a dtype", r.sum, np.sum, reducing(POSITIVE, dtype=INTO), **FLAT),
    Case("mean", r.mean, np.mean, reducing(ANY), complex=True),
    Case("mean into a dtype", r.mean, np.mean, reducing(POSITIVE, dtype=INTO), **FLAT),
    Case("max", r.max, np.max, reducing(ANY)),
    Case("min", r.min, np.min, reducing(ANY)),
    Case("prod", r.prod, np.prod, reducing(ANY), complex=True),
    Case("prod into a dtype", r.prod, np.prod, reducing(POSITIVE, dtype=INTO), **FLAT),
    Case("var", r.var, np.var, reducing(ANY, ddof=st.just(0)), complex=True),
    Case("var with ddof", r.var, np.var, reducing(ANY, ddof=DDOF), **FLAT),
    Case("std with ddof", r.std, np.std, reducing(ANY, ddof=DDOF), **FLAT),
    Case("any", r.any, np.any, reducing((-0.5, 1.5)), **FLAT),
    Case("all", r.all, np.all, reducing((-0.5, 1.5)), **FLAT),
    Case("norm", lambda x, **a: r.norm(x, ord=None, **a), all_norm, reducing(POSITIVE), complex=True, dtypes="?iBfdgFD"),
    norms("ord 2", [None, 2], ANY, complex=True), norms("ord 1", [1], complex=True), norms("ord 3", [3, 2.5, 4], complex=True),
    norms("ord inf", [math.inf, -math.inf]), norms("ord small", [0.5, -1, -2.0]), norms("ord 0", [0]),
    Case("argmax", r.argmax, np.argmax, along_axis(ANY, keepdims=st.booleans()), **FLAT),
    Case("argmin", r.argmin, np.argmin, along_axis(ANY, keepdims=st.booleans()), **FLAT),
    Case("cumsum", cumulated.cumsum, np.cumsum, along_axis(ANY), complex=True),
    Case("cumprod", cumulated.cumprod, np.cumprod, along_axis(ANY), complex=True),
])


# ---- prod
def others(x, axes):
    """The product of the others, by leaving each out in turn."""
    found = np.empty_like(x)
    for index in itertools.product(*map(range, x.shape)):
        inside = tuple([slice(None) if k in axes else i for k, i in enumerate(index)])
        masked = np.array(x)
        masked[index] = 1
        found[index] = np.prod(masked[inside])
    return found


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 2), (0, 1, 2), ()])
@pytest.mark.parametrize("keepdims", [True, False])
def test_prod_with_zeros(zeros, axes, keepdims):
    x = np.arange(1.0, 31.0).reshape(2, 5, 3) / 8
    x.reshape(-1)[[7, 8, 22][:zeros]] = 0
    found = gradient(lambda v: r.prod(v, axis=axes, keepdims=keepdims), x)[0]
    np.testing.assert_allclose(found, others(x, axes) if axes else np.ones_like(x), rtol=1e-14)


def test_prod_twice_with_two_zeros():
    x = np.array([2.0, 0.0, 3.0, 0.0, 5.0])
    hessian = np.array([[np.prod([v for k, v in enumerate(x) if k not in (i, j)]) * (i != j) for j in range(5)] for i in range(5)])
    np.testing.assert_array_equal(second(lambda v: r.prod(v, axis=(0,), keepdims=False), x), hessian.sum(0))


def test_prod_of_many_takes_few_nodes():
    graph = Graph()
    x = graph.input(Spec((100_000,)))
    others = r.products_of_others(x)
    assert others.shape == x.shape and len(graph) < 400
    graph.outputs = [others]
    values = np.ones(100_000)
    values[5] = 0
    (found,) = evaluate(graph, [values])[0]
    assert found[5] == 1 and np.count_nonzero(found) == 1


# ---- ties
def test_ties_of_max_and_min_are_shared_equally():
    x = np.array([[3.0, 3.0, 1.0], [2.0, 2.0, 2.0]])
    third = 1 / 3
    np.testing.assert_allclose(gradient(lambda v: r.max(v, axis=(1,), keepdims=False), x)[0], [[0.5, 0.5, 0], [third, third, third]])
    np.testing.assert_allclose(gradient(lambda v: r.min(v, axis=(0, 1), keepdims=True), x)[0], [[0, 0, 1], [0, 0, 0]])
    largest = gradient(lambda v: r.norm(v, axis=(0,), keepdims=False, ord=math.inf), np.array([-3.0, 3.0]))[0]
    np.testing.assert_allclose(largest, [-0.5, 0.5])


def test_nan_chooses_nothing():
    np.testing.assert_array_equal(gradient(lambda v: r.max(v, axis=(0,), keepdims=False), np.array([1.0, np.nan]))[0], [0, 0])


# ---- at zero
@pytest.mark.parametrize("ord", [None, 1, 2, 3, 1.5, 0.5, 0, math.inf])
def test_norm_at_zero(ord):
    found = gradient(lambda v: r.norm(v, axis=(0,), keepdims=False, ord=ord), np.zeros(3))[0]
    np.testing.assert_array_equal(found, [0, 0, 0])


def test_norm_of_one_zero_among_others():
    x = np.array([3.0, 0.0, -4.0])
    np.testing.assert_allclose(gradient(lambda v: r.norm(v, axis=(0,), keepdims=False, ord=None), x)[0], [0.6, 0, -0.8])
    assert np.all(np.isfinite(second(lambda v: r.norm(v, axis=(0,), keepdims=False, ord=None), np.zeros(3))))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e8 / 3, -7.7])
@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_std_of_equal_elements(value, n):
    found = gradient(lambda v: r.std(v, axis=(0,), keepdims=False, ddof=0), np.full(n, value))[0]
    np.testing.assert_allclose(found, np.zeros(n), atol=1e-12)


def test_std_gradient_with_ddof():
    x = np.array([1.0, 2.0, 4.0, -3.0])
    want = (x - x.mean()) / (3 * x.std(ddof=1))
    np.testing.assert_allclose(gradient(lambda v: r.std(v, axis=(0,), keepdims=False, ddof=1), x)[0], want)
    np.testing.assert_allclose(gradient(lambda v: r.var(v, axis=(0,), keepdims=False, ddof=1), x)[0], 2 * (x - x.mean()) / 3)


def test_std_twice():
    x = np.array([1.0, 2.0, 4.0, -3.0])
    n, s, c = len(x), x.std(), x - x.mean()
    hessian = (np.eye(n) - 1 / n - np.outer(c, c) / (n * s**2)) / (n * s)
    np.testing.assert_allclose(second(lambda v: r.std(v, axis=(0,), keepdims=False, ddof=0), x), hessian.sum(0), atol=1e-12)
    squared = second(lambda v: e.square(r.std(v * v, axis=(0,), keepdims=False, ddof=0)), x)
    np.testing.assert_allclose(squared, second(lambda v: r.var(v * v, axis=(0,), keepdims=False, ddof=0), x))


# ---- sum_to
SHAPES = [((2, 3), (3,)), ((2, 3), (1, 3)), ((2, 3), (2, 1)), ((4, 2, 3), (2, 1)), ((2, 3), ()), ((0, 3), (3,)), ((2, 3), (2, 3))]


@pytest.mark.parametrize(("full", "small"), SHAPES)
def test_sum_to_is_the_transpose_of_broadcasting(full, small):
    graph = Graph()
    graph.outputs = [r.sum_to(graph.input(Spec(full)), small)]
    g, x = np.random.default_rng(0).normal(size=full), np.random.default_rng(1).normal(size=small)
    (found,) = evaluate(graph, [g])[0]
    assert np.shape(found) == small
    np.testing.assert_allclose(np.sum(found * x), np.sum(g * np.broadcast_to(x, full)))


# ---- errors, axes
def test_errors_name_cause_and_mend():
    graph = Graph()
    x, empty = graph.input(Spec((2, 3))), graph.input(Spec((0, 3)))
    refuses(ShapeError, lambda: r.sum(x, axis=(2,), keepdims=False))
    refuses(ShapeError, lambda: r.sum(x, axis=(0, 0), keepdims=False))
    refuses(ShapeError, lambda: r.max(empty, axis=(0,), keepdims=False))
    refuses(ShapeError, lambda: r.argmin(empty, axis=0, keepdims=False))
    refuses(ShapeError, lambda: r.norm(x, axis=(0, 1), keepdims=False, ord=1))
    refuses(ArgumentError, lambda: r.norm(x, axis=(0,), keepdims=False, ord="fro"))
    refuses(ShapeError, lambda: r.sum_to(x, (4,)))
    assert r.max(empty, axis=(1,), keepdims=False).shape == (0,)


def test_axes_say_which_axis_is_read_whole():
    x = Spec((2, 3, 4))
    for keepdims, place in ((True, (0, 2)), (False, (0, 1))):
        attrs = {"axis": (1,), "keepdims": keepdims}
        (axes,) = r.sum.axes(r.sum.infer((x,), attrs), (x,), **attrs)
        assert [type(a).__name__ for a in axes] == ["Same", "Reduced", "Same"] and (axes[0].axis, axes[2].axis) == place
    (axes,) = cumulated.cumsum.axes((x,), (x,), axis=2)
    assert [type(a).__name__ for a in axes] == ["Same", "Same", "Whole"]


def test_mean_of_more_halves_than_float16_counts():
    found = gradient(lambda v: r.mean(v, axis=(0,), keepdims=False), np.ones(100_000, np.float16))[0]
    assert found.dtype == np.float16 and np.all(found == np.float16(1e-5))
