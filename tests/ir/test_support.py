"""Strong zeros: what was not chosen gives exactly 0 through every kind of operation, and a zero that is one by chance keeps its slope."""
from __future__ import annotations

import numpy as np
import pytest

import tracer
from ir import Graph, Spec, evaluate
from ir.gradient import append_gradient
from ir.ops import elementwise as e
from ir.ops import index, matmul, update
from ir.ops import reduce as r
from tracer import functions as F
from tracer import grad

X = np.array([0.0, 1.0, 4.0])  # sqrt and log have an infinite slope at the first
ROOT = np.array([0.0, 0.5, 0.25])


def wrote(x, key, value):
    x[key] = value
    return x


def added(x, key, value):
    x[key] += value
    return x


# name: a function of X in which the first element is not chosen, and its gradient
CASES = {
    "a slice": (lambda x: np.sum(np.sqrt(x)[1:]), ROOT),
    "a slice backwards": (lambda x: np.sum(np.sqrt(x)[:0:-1]), ROOT),
    "an element": (lambda x: np.sqrt(x)[1], [0, 0.5, 0]),
    "two elements": (lambda x: np.sqrt(x)[1] * 2 + np.sqrt(x)[2], [0, 1, 0.25]),
    "two slices of one": (lambda x: (lambda y: np.sum(y[1:]) + np.sum(y[2:]))(np.sqrt(x)), [0, 0.5, 0.5]),
    "a slice of a cumulated sum": (lambda x: np.sum(np.cumsum(np.sqrt(x)[::-1])[:2]), [0, 0.5, 0.5]),
    "take": (lambda x: np.sum(np.take(np.sqrt(x), [1, 2, 2])), [0, 0.5, 0.5]),
    "an index array": (lambda x: np.sum(np.sqrt(x)[np.array([1, -1])]), ROOT),
    "an index that depends on the data": (lambda x: np.sum(np.sqrt(x)[np.argsort(x)[1:]]), ROOT),
    "take_along_axis": (lambda x: np.sum(np.take_along_axis(np.log(x), np.argsort(x)[1:], axis=0)), [0, 1, 0.25]),
    "the greatest by argmax": (lambda x: np.log(x)[np.argmax(x)], [0, 0, 0.25]),
    "np.max": (lambda x: np.max(np.log(x)), [0, 0, 0.25]),
    "written over": (lambda x: np.sum(wrote(np.sqrt(x), 0, 5.0)), ROOT),
    "written over by a mask": (lambda x: np.sum(wrote(np.sqrt(x), x == 0, 0.0)), ROOT),
    "written over at an index array": (lambda x: np.sum(wrote(np.sqrt(x), np.array([0]), 0.0)), ROOT),
    "added to, then cut": (lambda x: np.sum(added(np.sqrt(x), slice(1, 3), 1.0)[1:]), ROOT),
    "joined, then cut": (lambda x: np.sum(np.concatenate([np.sqrt(x), x])[1:]), [1, 1.5, 1.25]),
    "stacked, then masked": (lambda x: np.sum(np.where(x > 0, np.stack([np.sqrt(x), np.log(x)]), 0)), [0, 1.5, 0.5]),
    "reshaped, then cut": (lambda x: np.sum(np.sqrt(x).reshape(3, 1)[1:]), ROOT),
    "transposed, then cut": (lambda x: np.sum(np.sqrt(x)[None].T[1:, 0]), ROOT),
    "flipped, sorted, then cut": (lambda x: np.sum(np.sort(np.flip(np.sqrt(x)))[1:]), ROOT),
    "broadcast, then cut": (lambda x: np.sum(np.broadcast_to(np.sqrt(x), (2, 3))[:, 1:]), [0, 1, 0.5]),
    "times a mask": (lambda x: np.sum((x > 0) * np.sqrt(x)), ROOT),
    "times a mask of floats": (lambda x: np.sum(np.sqrt(x) * (x > 0).astype(float)), ROOT),
    "sum with where=": (lambda x: np.sum(np.log(x), where=x > 0), [0, 1, 0.25]),
    "mean with where=": (lambda x: np.mean(np.log(x), where=x > 0), [0, 0.5, 0.125]),
    "prod with where=": (lambda x: np.prod(np.sqrt(x), where=x > 0), [0, 1, 0.25]),
    "maximum": (lambda x: np.sum(np.maximum(np.log(x), -5.0)), [0, 1, 0.25]),
    "clip": (lambda x: np.sum(np.clip(np.log(x), -5.0, 5.0)), [0, 1, 0.25]),
    "both branches infinite": (lambda x: np.sum(np.where(x > 0, np.log(x), np.where(x < 0, 1 / x, 7.0))), [0, 1, 0.25]),
    "nested": (lambda x: np.sum(np.where(x > 0, np.where(x > 1, np.log(x - 1), np.sqrt(x)), 0)), [0, 0.5, 1 / 3]),
    "masks one after the other": (lambda x: np.sum(np.where(x > 0, np.sqrt(np.where(x < 9, x, 1.0)), 0)), ROOT),
    "select": (lambda x: np.sum(np.select([x > 1, x > 0], [np.log(x), np.sqrt(x)], 0.0)), [0, 0.5, 0.25]),
    "a chain that is infinite more than once": (lambda x: np.sum(np.where(x > 0, np.exp(np.sin(np.log(x))) / x, 0)), None),
    "used in several ways": (lambda x: (lambda y: np.sum(np.where(x > 0, y * y + y * np.exp(y) + y, 0)))(np.log(x)), None),
    "chosen for the whole array": (lambda x: np.where(np.sum(x) > 100, np.sum(np.log(x)), np.sum(x)), [1, 1, 1]),
    "a norm not taken": (lambda x: np.where(x[0] > 0, np.linalg.norm(np.log(x)), np.sum(x)), [1, 1, 1]),
    "a product not taken": (lambda x: np.where(x[0] > 0, np.prod(np.log(x)), np.sum(x)), [1, 1, 1]),
    "a matrix product not taken": (lambda x: np.where(x[0] > 0, np.log(x) @ np.log(x), np.sum(x)), [1, 1, 1]),
    "a diagonal": (lambda x: np.sum(np.diagonal(np.sqrt(x * np.eye(3) + 1 - np.eye(3)))[1:]), ROOT),
    "a loop over elements": (lambda x: (lambda y: sum([y[k] for k in (1, 2)], 0.0))(np.sqrt(x)), ROOT),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_was_not_chosen_gives_exactly_zero(name):
    fn, want = CASES[name]
    found = grad(fn)(X)
    if want is None:
        inner = slopes(fn, X, range(1, 3))
        assert found[0] == 0
        np.testing.assert_allclose(found[1:], inner, rtol=1e-7, atol=1e-12)
    else:
        np.testing.assert_allclose(found, want, rtol=1e-14)


def slopes(fn, at, where, step=1e-4):
    """Central differences of NumPy's own values, element by element."""
    found = []
    for k in where:
        moved = [np.array(at, np.longdouble) for _ in range(4)]
        for x, d in zip(moved, (step, -step, 2 * step, -2 * step)):
            x[k] += d
        a, b, c, d = [fn(x) for x in moved]
        found.append(float((8 * (a - b) - (c - d)) / (12 * step)))
    return found


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_rows_of_a_product_that_were_not_chosen():
    """Both for the rows and for the other factor, to which a row of NaN would add NaN."""
    x, W = np.array([[np.nan, np.inf], [1.0, 2.0]]), np.ones((2, 3))
    keep = np.array([[False], [True]])
    gx, gW = grad(lambda x, W: np.sum(np.where(keep, x @ W, 0)), (0, 1))(x, W)
    np.testing.assert_array_equal(gx, [[0, 0], [3, 3]])
    np.testing.assert_array_equal(gW, [[1, 1, 1], [2, 2, 2]])
    gx, gW = grad(lambda x, W: np.sum(np.where(keep[None], np.log(x) @ W, 0)), (0, 1))(np.array([[[0.0, 0.0], [1.0, 2.0]]] * 2), W)
    np.testing.assert_array_equal(gx, [[[0, 0], [3, 1.5]]] * 2)
    np.testing.assert_allclose(gW, np.log([[1, 1, 1], [2, 2, 2]]) * 2)
    gx, gW, gb = grad(lambda x, W, b: np.sum(np.where(keep, F.linear(x, W, b), 0)), (0, 1, 2))(x, W, np.zeros(3))
    np.testing.assert_array_equal(gW, [[1, 1, 1], [2, 2, 2]])
    np.testing.assert_array_equal(gb, [1, 1, 1])


def test_rows_of_padding_train_nothing():
    """Two layers over rows of NaN that the loss leaves out: the gradients are those of the rows that it keeps."""
    rng = np.random.default_rng(0)
    W, V, x = rng.normal(size=(3, 4)), rng.normal(size=(4, 1)), rng.normal(size=(8, 3))
    x[5:] = np.nan
    keep = np.arange(8) < 5

    def loss(W, V, x, keep):
        y = (np.tanh(x @ W) @ V)[:, 0]
        return np.sum(np.where(keep, (y - 1) ** 2, 0)) / np.sum(keep)

    for found, want in zip(grad(loss, (0, 1))(W, V, x, keep), grad(loss, (0, 1))(W, V, x[:5], keep[:5]), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-12)


# ---- zeros that are none
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_zero_by_chance_is_no_strong_zero():
    """The slope of sqrt(x)**2 at 0 is 1: 0 times infinity has no answer of its own, and 0 would be a wrong one."""
    assert np.isnan(grad(lambda x: np.sqrt(x) ** 2)(0.0))
    assert np.isnan(grad(lambda x: np.where(x >= 0, np.sqrt(x) ** 2, 0.0))(0.0))


def second(fn):
    return lambda x: grad(lambda y: np.sum(grad(fn)(y)))(x)


@pytest.mark.parametrize(
    ("fn", "want"),
    [
        (lambda x: np.sum(np.where(x > 0, np.log(x) ** 2, 0)), lambda x: (2 - 2 * np.log(x)) / x**2),
        (lambda x: np.sum((np.log(x) ** 2)[0:]), lambda x: (2 - 2 * np.log(x)) / x**2),
        (lambda x: np.sum(np.maximum((x - 1) ** 2 * x, -1)), lambda x: 6 * x - 4),
        (lambda x: np.sum(np.sin(x - 1)[np.array([0, 1, 2])] ** 2), lambda x: 2 * np.cos(2 * (x - 1))),
        (lambda x: np.sum(wrote((x - 1) ** 4 * 1.0, slice(3, 4), 0.0)[:3]), lambda x: 12 * (x - 1) ** 2),
    ],
    ids=["where", "slice", "maximum", "index", "write"],
)
def test_second_derivatives_where_the_cotangent_is_zero_by_chance(fn, want):
    x = np.array([1.0, 2.0, 0.5])  # at 1 the inner cotangent is 0
    np.testing.assert_allclose(second(fn)(x), want(x), atol=1e-12)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_second_derivatives_below_a_choice():
    np.testing.assert_allclose(second(lambda x: np.sum((x * np.sqrt(x))[1:]))(X), [0, 0.75, 0.375])
    np.testing.assert_allclose(second(lambda x: np.sum(np.where(x > 0, x * np.log(x), 0)))(X), [0, 1, 0.25])
    np.testing.assert_allclose(second(lambda x: np.sum(np.take(x * np.log(x), [1, 2])))(X), [0, 1, 0.25])


# ---- what it costs
def backward_of(build, *shapes):
    graph = Graph()
    inputs = [graph.input(Spec(shape)) for shape in shapes]
    y = build(*inputs)
    forward = set(graph.order())
    append_gradient(graph, [y], [graph.constant(np.ones(y.shape))], inputs)
    return [n.op.name for n in graph.order() if n not in forward and n.op.name != "constant"]


def test_no_masks_where_nothing_is_chosen():
    names = backward_of(lambda x, W: r.sum(e.exp(e.tanh(matmul.dot(x, W))) / (1 + e.log(x * x)), axis=(0,), keepdims=False), (4, 4), (4, 4))
    assert not {"where", "not_equal", "logical_and", "isfinite"} & set(names)


def test_a_choice_on_top_of_a_product_costs_its_own_masks_only():
    assert backward_of(lambda x, W: e.maximum(matmul.dot(x, W), 0.0), (4, 3), (3, 2)).count("where") == 3  # a tie, and each operand
    assert backward_of(lambda x: index.slice(x * 2.0, index=((0, 2, 1),)), (3,)).count("where") == 0


def test_one_mask_for_a_chain_of_any_length():
    def chain(x):
        y = e.log(x)
        for _ in range(10):
            y = e.exp(e.sin(y))
        return e.where(x > 0, y, 0.0)

    assert backward_of(chain, (3,)).count("where") == 3  # one for each branch of the choice, one at the end


def test_many_choices_one_after_the_other_take_nodes_in_proportion():
    def deep(x, n):
        for _ in range(n):
            x = e.where(x > 0, e.sqrt(x), 0.5)
        return x

    small, large = (len(backward_of(lambda x, n=n: deep(x, n), (3,))) for n in (100, 200))
    assert large <= 2 * small + 10


def test_choices_far_past_the_recursion_limit():
    graph = Graph()
    x = y = graph.input(Spec(()))
    for _ in range(3_000):
        y = e.where(x > 0, e.sqrt(y), y)
    graph.outputs = append_gradient(graph, [y], [graph.constant(np.ones(()))], [x])
    with np.errstate(all="ignore"):
        assert np.isfinite(evaluate(graph, [np.array(1.0)])[0][0])


def diffused(x, rate, steps):
    """Heat on a plate, its edges held; the rate is no constant and might be infinite."""
    for _ in range(steps):
        around = [index.slice(x, index=((1 + i, 99 + i, 1), (1 + j, 99 + j, 1))) for i, j in ((-1, 0), (0, -1), (1, 0), (0, 1))]
        inner = index.slice(x, index=((1, 99, 1), (1, 99, 1)))
        new = inner + rate * (around[0] + around[1] + around[2] + around[3] - 4.0 * inner)
        x = update.set_slice(x, new, index=((1, 99, 1), (1, 99, 1)))
    return x


def test_what_slices_leave_out_is_known_without_arrays():
    assert "where" not in backward_of(lambda x, rate: diffused(x, rate, 3), (100, 100), ())


def test_large_arrays_have_the_zeros_of_small_ones():
    graph = Graph()
    x, rate = graph.input(Spec((100, 100))), graph.input(Spec(()))
    y = index.slice(diffused(x, rate, 1) * rate, index=((2, 98, 1), (0, 100, 1)))
    graph.outputs = append_gradient(graph, [y], [graph.constant(np.ones(y.shape))], [x])
    with np.errstate(all="ignore"):
        (found,), _ = evaluate(graph, [np.zeros((100, 100)), np.array(np.inf)])
    assert not found[0].any() and not found[-1].any() and not found[1, [0, -1]].any()  # nothing reads them
    assert not np.isfinite(found[2, 5])


def test_compiled_and_eager_agree():
    fn = grad(CASES["used in several ways"][0])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(tracer.compile(fn)(X), fn(X))
        x = tracer.Variable(X.copy())
        y = F.log(x)
        loss = F.sum(F.where(X > 0, y * y + y * F.exp(y) + y, 0.0))
        loss.backward()
        np.testing.assert_allclose(np.asarray(x.grad.data), fn(X))
