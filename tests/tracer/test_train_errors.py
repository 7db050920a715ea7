"""`train_step`: what is refused, and that an error leaves all as it was."""
from __future__ import annotations

import numpy as np
import pytest

import tracer
from tests.tracer.test_train import X, Y
from tracer import Variable
from tracer import functions as F
from tracer.optimizers import SGD


def test_an_exception_in_the_loss_leaves_all_as_it_was():
    W, fail = Variable(np.full((2, 1), 0.5)), [False]

    def loss(x, y):
        if fail[0]:
            raise RuntimeError("mine")
        return F.mean_squared_error(y, F.matmul(x, W))

    step = tracer.train_step(loss, SGD(lr=0.01), [W])
    step(X, Y)
    after = W.data.copy()
    fail[0] = True
    with pytest.raises(RuntimeError, match="mine"):
        step(X[:2], Y[:2])
    with pytest.raises(RuntimeError, match="mine"):
        step.run(X[:1], Y[:1], steps=2)
    np.testing.assert_array_equal(W.data, after)
    assert step.iteration == 1 and W.grad is None
    fail[0] = False
    step(X, Y)
    assert step.iteration == 2


def test_an_error_at_run_time_leaves_parameters_as_they_were():
    W = Variable(np.full((2, 1), 0.5))
    step = tracer.train_step(lambda x, i: F.sum(F.matmul(x[i], W) ** 2), SGD(lr=0.01), [W])
    step(X, np.array([0, 1]))
    after = W.data.copy()
    with pytest.raises(IndexError):
        step(X, np.array([0, 7]))
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        step(X * 1e308, np.array([1, 2]))
    np.testing.assert_array_equal(W.data, after)
    assert step.iteration == 1


@pytest.mark.parametrize("optimizer", [0.1, None, SGD, "sgd"])
def test_no_optimizer(optimizer):
    with pytest.raises(tracer.ArgumentError, match="optimizer") as error:
        tracer.train_step(lambda x: x, optimizer, [Variable(np.ones(2))])
    assert "SGD" in str(error.value) and "test_train_errors.py" in str(error.value)


def test_mixed_params():
    with pytest.raises(tracer.ArgumentError, match="mixes"):
        tracer.train_step(lambda p: p, SGD(), [Variable(np.ones(2)), np.ones(2)])


@pytest.mark.parametrize("params", [[np.arange(3)], ["W"], [Variable(np.arange(3))], [Variable(None)], [None]], ids=str)
def test_params_that_are_not_floating(params):
    with pytest.raises(tracer.Error) as error:
        tracer.train_step(lambda *a: F.sum(a[0] * 1.0), SGD(), params)(np.ones(3))
    assert "mend" in str(error.value), str(error.value)


def test_empty_params():
    with pytest.raises(tracer.ArgumentError, match="empty"):
        tracer.train_step(lambda x: x, SGD(), [])


def test_nothing_to_train():
    with pytest.raises(tracer.GradientError, match="no float Variable"):
        tracer.train_step(lambda x: np.sum(x), SGD())(X)
    whole = Variable(np.arange(3))
    with pytest.raises(tracer.GradientError, match="no float Variable"):
        tracer.train_step(lambda x: F.sum(x * whole), SGD())(np.ones(3))


@pytest.mark.parametrize(
    "loss, words",
    [(lambda p, x: x @ p, "f64[3,1]"), (lambda p, x: 1.0, "float"), (lambda p, x: None, "NoneType"), (lambda p, x: np.sum(p) > 0, "bool"),
     (lambda p, x: (np.sum(p), x), "has_aux")],
)  # fmt: skip
def test_no_loss(loss, words):
    with pytest.raises(tracer.GradientError) as error:
        tracer.train_step(loss, SGD(), np.ones((2, 1)))(X)
    assert words in str(error.value) and "mend" in str(error.value), str(error.value)


def test_unknown_backend():
    with pytest.raises(tracer.Error, match="numpy"):
        tracer.train_step(lambda p: p, SGD(), np.ones(2), backend="abacus")
