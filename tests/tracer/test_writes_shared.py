"""What is written shares memory with what the function reaches by itself: told to the user, whenever it begins, or as NumPy gives it."""
from __future__ import annotations

import types

import numpy as np
import pytest

import tracer
from tracer import Parameter, Variable, optimizers
from tracer import functions as F


def solved(x, held):
    x[0] = x[0] * 2
    return np.linalg.inv(held.A) @ x


def summed(x, held):
    x += 1
    return x * held.A.sum()


def taken(x, held):
    x[...] = x * 2
    return x + np.sort(held.A, axis=None)[-1]


def called(x, held):
    def largest():
        return float(held.A.max())

    x *= 2
    return x * largest()


@pytest.mark.parametrize("fn", [solved, summed, taken, called])
def test_plain_numpy_on_memory_that_the_function_has_written(fn):
    held = types.SimpleNamespace(A=np.array([[2.0, 1.0], [1.0, 3.0]]))
    for k in (1.0, 2.0):  # apart: fine, and seen when it changes
        held.A[0, 0] = k
        x = np.array([k, 1.0])
        got, due = tracer.compile(lambda x: fn(x, held))(x.copy()), fn(x, held)
        np.testing.assert_allclose(got, due)
    fast = tracer.compile(lambda x: fn(x, held))
    fast(np.ones(2))
    before = held.A.copy()
    for x in (held.A[0], held.A[:, 1], held.A.ravel()[1:3]):
        with pytest.raises(tracer.TraceError, match="shares memory with held.A.*plain NumPy") as caught:
            fast(x)
        assert caught.value.line.function == fn.__name__ and (before == held.A).all()
    fast(held.A[0].copy())


def test_an_array_of_the_object_that_its_method_writes():
    class Grid:
        def __init__(self):
            self.heat, self.wide = np.arange(5.0), 2.0

        @tracer.compile
        def move(self, u):
            u[1:] += u[:-1] * self.wide
            return u.sum()

    grid, due = Grid(), np.arange(5.0)
    for _ in range(3):
        got = grid.move(grid.heat)
        due[1:] += due[:-1] * 2.0
        assert got == due.sum() and (grid.heat == due).all()


def test_a_variable_rebound_onto_the_memory_of_another():
    v, w = Variable(np.ones(3)), Variable(np.arange(3.0))

    @tracer.compile
    def add(x):
        v.data[...] = v.data + x
        return v.data * w.data

    assert add(1.0).tolist() == [0, 2, 4]
    for one, other in ((v, w), (w, v)):
        other.data = np.arange(3.0)
        one.data = other.data[:]
        with pytest.raises(tracer.TraceError, match="share memory"):
            add(1.0)
        assert v.data.tolist() == w.data.tolist() == [0, 1, 2]
        one.data = other.data.copy()
        assert add(1.0).tolist() == [0, 2, 6]
        v.data = np.arange(3.0)
    both = np.arange(6.0)
    v.data, w.data = both[:3], both[3:]  # of one array, with nothing in common
    assert add(1.0).tolist() == [3, 8, 15] and both.tolist() == [1, 2, 3, 3, 4, 5]


def test_a_parameter_rebound_onto_the_memory_of_another():
    v, w = Parameter(np.ones(2)), Parameter(np.arange(2.0))
    step = tracer.train_step(lambda: F.sum(v * v) + F.sum(w * w), optimizers.SGD(lr=0.25), [v, w])
    step()
    v.data = w.data[:]
    for _ in range(2):
        with pytest.raises(tracer.TraceError, match="v and w share memory"):
            step()
        assert v.data.tolist() == w.data.tolist() == [0, 0.5]
    v.data = w.data.copy()
    assert step() == 0.5 and v.data.tolist() == w.data.tolist() == [0, 0.25]


def test_plain_numpy_on_the_memory_of_a_variable_that_is_written():
    array = np.ones(3)
    v = Variable(array)

    @tracer.compile
    def add(x):
        v.data[...] = v.data + x
        return x * array.sum()

    with pytest.raises(tracer.TraceError, match="v and array share memory.*plain NumPy"):
        add(1.0)
    v.data = np.ones(3)
    assert [add(1.0), add(2.0), add(3.0)] == [3, 6, 9] and v.data.tolist() == [7, 7, 7]


def test_parameters_among_the_batch():
    W, b = Parameter(np.array([1.0, 2.0])), Parameter(np.array([4.0, 5.0]))
    step = tracer.train_step(lambda x: F.sum((W * x) ** 2) + F.sum(b * x), optimizers.SGD(lr=0.1), [W, b])
    for give in (lambda: np.ones(2), lambda: W.data, lambda: b.data, lambda: W.data):
        x, w = give().copy(), W.data.copy()
        due = np.sum((w * x) ** 2) + np.sum(b.data * x), w - 0.1 * 2 * w * x * x, b.data - 0.1 * x
        np.testing.assert_allclose(step(give()), due[0])
        np.testing.assert_allclose(W.data, due[1])
        np.testing.assert_allclose(b.data, due[2])
