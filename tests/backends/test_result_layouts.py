"""Results that share memory with other values, in every order of axes: a buffer is laid as its owner, others are cut out of it."""
from __future__ import annotations

import numpy as np
import pytest

import tracer


@pytest.mark.parametrize("shapes", [((2, 1, 3), (2, 3, 4)), ((5, 3), (2, 2, 3, 4)), ((3,), (2, 3, 4))])
@pytest.mark.parametrize("argnum", [0, 1])
def test_gradients_of_products_with_many_axes(shapes, argnum):
    rng = np.random.default_rng(0)
    args = [rng.random(shape) for shape in shapes]

    def loss(x, y):
        return np.sum(np.dot(x, y) ** 2)

    got = tracer.compile(tracer.grad(loss, argnums=argnum))(*args)
    want = np.empty_like(args[argnum])
    for index in np.ndindex(want.shape):
        moved = [a.copy() for a in args]
        moved[argnum][index] += 1e-6
        up = loss(*moved)
        moved[argnum][index] -= 2e-6
        want[index] = (up - loss(*moved)) / 2e-6
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("axes", [(1, 0, 2), (2, 0, 1), (0, 2, 1), (2, 1, 0)])
def test_a_result_in_any_order_of_axes(axes):
    x = np.random.default_rng(1).random((2, 3, 4))

    def both(x):
        y = x.transpose(axes) * 2.0
        return y, y.sum(axis=1), np.exp(y) + y

    for got, want in zip(tracer.compile(both)(x), both(x)):
        np.testing.assert_allclose(got, want)


def test_a_scalar_that_lives_inside_a_joined_result():
    """The buffer is the joined array's, also where the scalar is the result before it."""

    def fn(x):
        total = np.sum(x)
        return total, np.hstack((total, total * 2))

    x = np.arange(4)
    total, joined = tracer.compile(fn)(x)
    assert type(total) is np.int64 and total == 6 and joined.tolist() == [6, 12]
