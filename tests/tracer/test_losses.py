"""Softmax and what is made of it: against NumPy's formulas in extended precision, finite differences, and what does not fit."""
from __future__ import annotations

import numpy as np
import pytest

import tracer
from tracer import Variable
from tracer import functions as F

RNG = np.random.default_rng(5)


def log_softmax(x, axis=-1):
    x = x.astype(np.longdouble)
    x = x - x.max(axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("scale", [1.0, 500.0])
def test_softmax(axis, scale):
    x = RNG.normal(size=(4, 5)) * scale
    due = log_softmax(x, axis)
    np.testing.assert_allclose(F.log_softmax(x, axis).data, due.astype(float), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(F.softmax(x, axis).data, np.exp(due).astype(float), rtol=1e-9, atol=1e-300)
    compiled = tracer.compile(lambda x: (F.softmax(x, axis), F.log_softmax(x, axis)))
    np.testing.assert_allclose(compiled(x)[1], due.astype(float), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("shape", [(6, 4), (4,), (2, 3, 5)])
@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_cross_entropy_and_its_gradient(shape, kind):
    x = RNG.normal(size=shape) * 3
    t = np.asarray(RNG.integers(0, shape[-1], shape[:-1]), kind)

    def by_hand(x):
        return -np.take_along_axis(log_softmax(x), t[..., None].astype(int), -1).mean()

    held = Variable(x)
    loss = F.softmax_cross_entropy(held, t)
    loss.backward()
    assert float(loss.data) == pytest.approx(float(by_hand(x)), rel=1e-13)
    due = (np.exp(log_softmax(x)) - (np.arange(shape[-1]) == t[..., None])) / max(t.size, 1)
    np.testing.assert_allclose(held.grad.data, due.astype(float), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(tracer.grad(lambda x: F.softmax_cross_entropy(x, t))(x), due.astype(float), rtol=1e-10, atol=1e-14)
    direction = RNG.normal(size=shape).astype(np.longdouble)
    slope = (by_hand(x + 1e-6 * direction) - by_hand(x - 1e-6 * direction)) / 2e-6
    assert float(slope) == pytest.approx(float((due * direction).sum()), rel=1e-7)


def test_large_scores_neither_overflow_nor_lose_the_gradient():
    x = np.array([[1000.0, 0.0], [-1000.0, 0.0]])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        value, slope = tracer.value_and_grad(lambda x: F.softmax_cross_entropy(x, np.array([1, 1])))(x)
    assert value == 500
    np.testing.assert_array_equal(slope, [[0.5, -0.5], [0, 0]])


def test_dtypes_are_kept():
    x = RNG.normal(size=(3, 4)).astype(np.float32)
    assert F.softmax(x).dtype == F.log_softmax(x).dtype == F.softmax_cross_entropy(x, np.zeros(3, int)).dtype == np.float32


def test_classes_that_do_not_fit():
    x = np.zeros((3, 4))
    for t in (np.zeros(4, int), np.zeros((3, 1), int), np.zeros((3, 4), int)):
        with pytest.raises(tracer.ShapeError, match="classes") as error:
            F.softmax_cross_entropy(x, t)
        assert "softmax_cross_entropy" in str(error.value) and "mend" in str(error.value)
    with pytest.raises(IndexError):
        F.softmax_cross_entropy(x, np.array([0, 1, 4])).data  # noqa: B018
    with pytest.raises((tracer.Error, IndexError)):
        F.softmax_cross_entropy(x, np.zeros(3)).data  # noqa: B018
