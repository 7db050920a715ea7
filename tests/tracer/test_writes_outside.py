"""Writes into what lies outside the function: the data of Variables is written, captured arrays and aliased gradients are refused."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracer
from tracer import Variable

X = np.arange(1.0, 4.0)
buffer, held = np.zeros(3), [np.zeros(3)]
W, V = Variable(np.zeros(3)), Variable(np.zeros(3))


class Model:
    def __init__(self) -> None:
        self.total = np.zeros(3)

    def count(self, x: Any) -> None:
        self.total += x


def _augments(x: Any) -> None:
    global buffer
    buffer += x


def _assigns(x: Any) -> None:
    buffer[0] = x[0]


def _views(x: Any) -> None:
    part = held[0][1:]
    part *= x[1:]


# ---- captured arrays
@pytest.mark.parametrize("fn", [
    _augments, _assigns, _views, Model().count,
    lambda x: buffer.__setitem__(slice(None), x),
    lambda x: np.add(buffer, x, out=buffer),
    lambda x: np.copyto(buffer, x),
    lambda x: np.add.at(buffer, [0], x[:1]),
    lambda x: np.put(held[0], [0], x[0]),
    lambda x: np.sum(x, out=buffer[:1].reshape(())),
    lambda x: buffer.fill(x[0]),
    lambda x: buffer.__setitem__(x > 1, 3),
])  # fmt: skip
def test_a_captured_array_is_not_written(fn: Any) -> None:
    """Plain code that reads it while tracing would not see the write, so it is refused, with the way that works."""
    with pytest.raises(tracer.TraceError) as caught:
        tracer.compile(fn)(X.copy())
    assert "test_writes_outside.py" in str(caught.value)
    assert "argument" in str(caught.value)
    assert not buffer.any() and not held[0].any()


def test_the_name_of_the_captured_array_is_said() -> None:
    with pytest.raises(tracer.TraceError, match=r"buffer, an array that the function reaches by itself, is written"):
        tracer.compile(_augments)(X.copy())
    with pytest.raises(tracer.TraceError, match=r"held\[0\], an array"):
        tracer.compile(_views)(X.copy())


# ---- the data of Variables
def _sum(x: Any) -> Any:
    W.data[...] += x
    return W.data.sum()


def _ways(x: Any) -> None:
    W.data[0] = x[0]
    W.data *= 2
    np.add(W.data, x, out=W.data)
    np.add.at(W.data, [0, 0], 1.0)
    W.data[W.data > 30] = 3
    W.data.flat[1] = 7


def _rebound(x: Any) -> Any:
    W.data = W.data + x
    V.data[...] = W.data
    return V.data * 2


def _viewed(x: Any) -> Any:
    tail = W.data[1:]
    tail += x[1:]
    W.data[::-1][0] = 9
    return tail


def _swapped(x: Any) -> None:
    first = W.data.copy()
    W.data[...] = V.data
    V.data[...] = first


def _both(x: Any) -> None:
    x += W.data
    W.data[1:] *= x[:-1]
    x[0] = W.data.sum()


@pytest.mark.parametrize("fn", [_sum, _ways, _rebound, _viewed, _swapped, _both])
def test_the_data_of_variables_is_written(fn: Any) -> None:
    results = []
    for run in (fn, tracer.compile(fn)):
        W.data, V.data = np.arange(3.0), np.arange(3.0) * 10
        holder, given, seen = W.data, X.copy(), []
        for _ in range(3):
            got = run(given)
            seen.append((None if got is None else np.copy(got), W.data.copy(), V.data.copy(), given.copy()))
        assert fn is _rebound or W.data is holder  # others who hold the array see the writes
        results.append(seen)
    for due, got in zip(*results, strict=True):
        for d, g in zip(due, got, strict=True):
            assert d is g is None or np.array_equal(d, g)


def test_nothing_is_written_when_a_call_fails() -> None:
    def fn(x: Any, i: Any) -> Any:
        W.data[...] = x
        x[0] = 100.0
        return x[i]

    W.data = np.zeros(3)
    x = X.copy()
    fast = tracer.compile(fn)
    fast(x, np.array([0]))
    W.data[...] = 0.0
    with pytest.raises(IndexError):
        fast(x, np.array([7]))
    assert not W.data.any() and x[0] == 100.0


# ---- gradients by arguments that share memory
def _aliased(x: Any, y: Any) -> Any:
    x += y
    return (x * y).sum()


@pytest.mark.parametrize("numbers", [0, 1, (0, 1)])
def test_a_gradient_by_an_aliased_argument_that_is_written_is_refused(numbers: Any) -> None:
    with pytest.raises(tracer.GradientError, match="given twice"):
        tracer.grad(_aliased, argnums=numbers)(X, X)
    a = np.arange(4.0)
    with pytest.raises(tracer.GradientError, match="given twice"):
        tracer.compile(tracer.grad(_aliased, argnums=numbers))(a[1:], a[:-1])
    np.testing.assert_array_equal(tracer.grad(_aliased, argnums=0)(X.copy(), X.copy()), X)


def test_inside_a_trace_too() -> None:
    def outer(x: Any) -> Any:
        g = tracer.grad(_aliased)(x[:2], x[1:])
        x[0] = 5.0
        return g

    with pytest.raises(tracer.GradientError, match="given twice"):
        tracer.compile(outer)(X.copy())

    def reads(x: Any) -> Any:
        g = tracer.grad(lambda a, b: (a * b * b).sum())(x[:2], x[1:])
        x[0] = 5.0
        return g

    mine = X.copy()
    np.testing.assert_array_equal(tracer.compile(reads)(mine), X[1:] ** 2)
    assert mine[0] == 5.0


# ---- Variables that share memory
def test_variables_over_one_array_are_refused_where_one_is_written() -> None:
    flat = np.arange(8.0)
    one, two, other = Variable(flat[:4]), Variable(flat[2:6]), Variable(flat[6:])

    def reads() -> Any:
        return one.data.sum() + two.data.sum()

    def writes() -> Any:
        one.data[...] = 1.0
        return two.data.sum()

    def raw() -> Any:
        one.data[...] = 1.0
        return (one.data[0] * flat).sum()

    def apart() -> Any:
        one.data[...] *= 2.0
        return other.data.sum()

    assert tracer.compile(reads)() == 20.0
    for fn, names in ((writes, "one and two"), (raw, "flat and one|one and flat")):
        with pytest.raises(tracer.TraceError, match=f"({names}) share memory, and one of them is written"):
            tracer.compile(fn)()
    assert flat.sum() == 28.0
    assert tracer.compile(apart)() == 13.0 and flat[3] == 6.0


def test_a_step_does_not_train_two_parameters_over_one_array() -> None:
    flat = np.arange(1.0, 5.0)
    a, b = Variable(flat[:3]), Variable(flat[1:])
    step = tracer.train_step(lambda x: ((a * x) ** 2).sum() + (b * x).sum(), tracer.optimizers.SGD(lr=0.1), [a, b])
    with pytest.raises(tracer.TraceError, match="share memory"):
        step(np.ones(3))
    np.testing.assert_array_equal(flat, np.arange(1.0, 5.0))
