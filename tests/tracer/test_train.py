"""`train_step`: both forms of parameters, what a step gives, what it writes and what it must not."""
from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import tracer
from tracer import Parameter, Variable, optimizers
from tracer import functions as F
from tracer.optimizers import SGD

X = np.arange(6.0).reshape(3, 2)
Y = np.array([[1.0], [0.0], [2.0]])


def descent(W: np.ndarray, lr: float, x=X, y=Y) -> tuple[float, np.ndarray]:
    """One step of least squares by hand: the loss before, the weights after."""
    diff = x @ W - y
    return (diff**2).sum() / len(x), W - lr * (2 * x.T @ diff / len(x))


def loss_of(W):
    return lambda x, y: F.mean_squared_error(y, F.matmul(x, W))


# ---- the two forms of parameters
@pytest.mark.parametrize("form", ["list", "dict", "one", "none", "none of Parameters"])
def test_variables(form):
    W = (Parameter if form == "none of Parameters" else Variable)(np.full((2, 1), 0.5))
    given = {"list": [W], "dict": {"W": W}, "one": W}.get(form)
    step = tracer.train_step(loss_of(W), SGD(lr=0.01), given)
    by_hand = W.data.copy()
    for _ in range(4):
        due, by_hand = descent(by_hand, 0.01)
        assert step(X, Y) == pytest.approx(due, rel=1e-13)
        np.testing.assert_allclose(W.data, by_hand, rtol=1e-12)
    params = step.params
    assert {"list": lambda: params[0], "dict": lambda: params["W"], "one": lambda: params}.get(form, lambda: params[0])() is W
    assert step.iteration == 4 and step.explain().traces == 1


def test_the_array_is_updated_in_place():
    W = Variable(np.full((2, 1), 0.5))
    held = W.data
    step = tracer.train_step(loss_of(W), SGD(lr=0.01), [W])
    step(X, Y)
    step.run(X, Y, steps=3)
    assert W.data is held or np.shares_memory(W.data, held)


@pytest.mark.parametrize("tree", [np.full((2, 1), 0.5), {"W": np.full((2, 1), 0.5), "b": [np.zeros(1), 0.25]}], ids=["one", "tree"])
def test_arrays(tree):
    def loss(params, x, y):
        if isinstance(params, dict):
            return F.mean_squared_error(y, x @ params["W"] + params["b"][0] * params["b"][1])
        return F.mean_squared_error(y, x @ params)

    W = tree["W"] if isinstance(tree, dict) else tree
    before = W.copy()
    step = tracer.train_step(loss, SGD(lr=0.01), tree)
    due, after = descent(before, 0.01)
    assert step(X, Y) == pytest.approx(due)
    np.testing.assert_array_equal(W, before)  # the caller's arrays are never written
    params = step.params
    np.testing.assert_allclose(params["W"] if isinstance(tree, dict) else params, after)
    if isinstance(tree, dict):
        assert list(params) == ["W", "b"] and type(params["b"]) is list
    W[:] = 100  # nor read again
    assert step(X, Y) == pytest.approx(descent(after, 0.01)[0]) or isinstance(tree, dict)
    taken = step.params
    (taken["W"] if isinstance(tree, dict) else taken)[:] = 0  # what `params` gave is the caller's
    np.testing.assert_array_less(0.1, abs(step.params["W"] if isinstance(tree, dict) else step.params).max())


def test_parameters_found_leave_other_variables_alone():
    W, fixed = Parameter(np.full((2, 1), 0.5)), Variable(np.ones(1))
    step = tracer.train_step(lambda x, y: F.mean_squared_error(y, F.matmul(x, W) + fixed), SGD(lr=0.01))
    step(X, Y)
    assert step.params == [W] and (W.data != 0.5).all()
    np.testing.assert_array_equal(fixed.data, [1])
    fixed.data[:] = 5  # read anew
    due = (((X @ W.data) + 5 - Y) ** 2).sum() / 3
    assert step(X, Y) == pytest.approx(due)


def test_found_params_before_the_first_step():
    W = Parameter(np.full((2, 1), 0.5))
    step = tracer.train_step(loss_of(W), SGD())
    assert step.params == []
    step.graph(X, Y)
    assert step.params == [W]


def test_parameters_of_a_model():
    class Model:
        def __init__(self):
            self.W, self.b = Parameter(np.full((2, 1), 0.5)), Parameter(np.zeros(1))

        def loss(self, x, y):
            return F.mean_squared_error(y, F.linear(x, self.W, self.b))

    model = Model()
    step = tracer.train_step(model.loss, SGD(lr=0.01))
    first = step(X, Y)
    assert step(X, Y) < first and {id(p) for p in step.params} == {id(model.W), id(model.b)}


def test_a_given_parameter_that_the_loss_does_not_use():
    W, unused = Variable(np.full((2, 1), 0.5)), Variable(np.ones(4))
    step = tracer.train_step(loss_of(W), SGD(lr=0.01), [W, unused])
    step(X, Y)
    np.testing.assert_array_equal(unused.data, np.ones(4))


def test_two_steps_share_a_parameter():
    W = Variable(np.full((2, 1), 0.5))
    one, two = tracer.train_step(loss_of(W), SGD(lr=0.01), [W]), tracer.train_step(loss_of(W), SGD(lr=0.001), [W])
    by_hand = W.data.copy()
    for step, lr in [(one, 0.01), (two, 0.001), (one, 0.01), (two, 0.001)]:
        due, by_hand = descent(by_hand, lr)
        assert step(X, Y) == pytest.approx(due)
    np.testing.assert_allclose(W.data, by_hand)


def test_data_written_and_rebound_between_steps():
    W = Variable(np.full((2, 1), 0.5))
    step = tracer.train_step(loss_of(W), SGD(lr=0.01), [W])
    step(X, Y)
    W.data[:] = 0.25
    assert step(X, Y) == pytest.approx(descent(np.full((2, 1), 0.25), 0.01)[0])
    W.data = np.asfortranarray(np.full((2, 1), 0.75))
    assert step(X, Y) == pytest.approx(descent(np.full((2, 1), 0.75), 0.01)[0])
    np.testing.assert_allclose(W.data, descent(np.full((2, 1), 0.75), 0.01)[1])
    assert step.explain().traces == 1


def test_strided_and_foreign_parameters():
    big = np.full((4, 2), 0.5)
    for data in (big[::2, :1], np.full((2, 1), 0.5, ">f8"), np.broadcast_to(np.array([0.5]), (2, 1)).copy(order="F")):
        W = Variable(data)
        step = tracer.train_step(loss_of(W), SGD(lr=0.01), [W])
        step(X, Y)
        np.testing.assert_allclose(W.data, descent(np.full((2, 1), 0.5), 0.01)[1])


# ---- what a step gives
def test_kind_and_dtype_of_the_loss():
    for dtype in (np.float64, np.float32):
        W = Variable(np.full((2, 1), 0.5, dtype))
        step = tracer.train_step(loss_of(W), SGD(lr=0.01), [W])
        loss = step(X.astype(dtype), Y.astype(dtype))
        assert type(loss) is dtype
        losses = step.run(X.astype(dtype), Y.astype(dtype), steps=3)
        assert type(losses) is np.ndarray and losses.dtype == dtype and losses.shape == (3,)
        assert W.data.dtype == dtype


def test_mixed_dtypes_keep_the_parameters():
    W = Variable(np.full((2, 1), 0.5, np.float32))
    step = tracer.train_step(loss_of(W), SGD(lr=0.01), [W])
    assert step(X, Y).dtype == np.float64 and W.data.dtype == np.float32


def test_has_aux():
    W = Variable(np.full((2, 1), 0.5))

    def loss(x, y):
        out = F.matmul(x, W)
        return F.mean_squared_error(y, out), {"out": out, "n": 3}

    step = tracer.train_step(loss, SGD(lr=0.01), [W], has_aux=True)
    before = W.data.copy()
    value, aux = step(X, Y)
    assert type(value) is np.float64 and aux["n"] == 3
    np.testing.assert_allclose(np.asarray(aux["out"]), X @ before)  # of before the update
    losses, stacked = step.run(X, Y, steps=2)
    assert losses.shape == (2,) and np.asarray(stacked["out"]).shape == (2, 3, 1)
    assert step.fit([(X, Y)] * 2).shape == (2,)


def test_results_are_not_overwritten_by_the_next_step():
    W = Variable(np.full((2, 1), 0.5))
    step = tracer.train_step(lambda x, y: (F.mean_squared_error(y, F.matmul(x, W)), W), SGD(lr=0.01), [W], has_aux=True)
    before = W.data.copy()
    _, aux = step(X, Y)
    losses, _ = step.run(X, Y, steps=3)
    kept = losses.copy()
    step.run(X, Y, steps=3)
    np.testing.assert_array_equal(losses, kept)
    np.testing.assert_array_equal(np.asarray(aux), before)


# ---- run, fit
@pytest.mark.parametrize("given", [lambda W: W.data, lambda W: W.data.copy()])
def test_run_equals_as_many_calls_where_the_batch_is_a_parameter_of_the_step(given):
    """x is the weight's own memory, so each iteration reads another x."""

    def trained(run):
        W, b = Variable(np.linspace(0.1, 0.9, 16).reshape(4, 4)), Variable(np.zeros(4))
        step = tracer.train_step(lambda x: F.sum((F.sigmoid(F.linear(x, W, b)) - 1.0) ** 2), SGD(lr=0.1), [W, b])
        step(np.ones((4, 4)))  # at the first call it is refused
        x = given(W)
        losses = step.run(x, steps=5) if run else [step(x) for _ in range(5)]
        return [*losses, *W.data.flat, *b.data]

    assert trained(run=True) == trained(run=False)


def test_run_equals_as_many_calls():
    one, two = Variable(np.full((2, 1), 0.5)), Variable(np.full((2, 1), 0.5))
    called, ran = tracer.train_step(loss_of(one), SGD(lr=0.01), [one]), tracer.train_step(loss_of(two), SGD(lr=0.01), [two])
    losses = [called(X, Y) for _ in range(12)]
    np.testing.assert_array_equal(np.concatenate([ran.run(X, Y, steps=k) for k in (5, 0, 1, 6)]), losses)
    np.testing.assert_array_equal(one.data, two.data)
    assert ran.iteration == called.iteration == 12


def test_no_steps():
    W = Variable(np.full((2, 1), 0.5))
    step = tracer.train_step(loss_of(W), SGD(lr=0.01), [W])
    assert step.run(X, Y, steps=0).shape == (0,) and step.iteration == 0
    np.testing.assert_array_equal(W.data, 0.5)
    assert step.fit([]).shape == (0,)


@pytest.mark.parametrize("steps", [-1, 1.5, "3", None, True])
def test_bad_number_of_steps(steps):
    W = Variable(np.full((2, 1), 0.5))
    step = tracer.train_step(loss_of(W), SGD(lr=0.01), [W])
    with pytest.raises(tracer.ArgumentError, match="steps"):
        step.run(X, Y, steps=steps)


def test_a_loss_that_writes_into_its_batch():
    W = Variable(np.full((2, 1), 0.5))

    def loss(x, y):
        x *= 2
        return F.mean_squared_error(y, F.matmul(x, W))

    step = tracer.train_step(loss, SGD(lr=0.0), [W])
    x = X.copy()
    for k in (2, 4):
        assert step(x, Y) == pytest.approx(descent(W.data, 0.0, k * X)[0])
        np.testing.assert_array_equal(x, k * X)
    with pytest.raises(tracer.ArgumentError, match="writes into x"):
        step.run(x, Y, steps=2)
    np.testing.assert_array_equal(x, 4 * X)


def test_numpy_integers_count_as_numbers_of_steps():
    W = Variable(np.full((2, 1), 0.5))
    assert tracer.train_step(loss_of(W), SGD(lr=0.01), [W]).run(X, Y, steps=np.int64(3)).shape == (3,)


def test_fit_and_batches_of_a_new_shape():
    W = Variable(np.full((2, 1), 0.5))
    step = tracer.train_step(loss_of(W), SGD(lr=0.01), [W])
    by_hand, due = W.data.copy(), []
    batches = [(X, Y), (X[:2], Y[:2]), (X, Y), (X[1:], Y[1:])]
    for x, y in batches:
        loss, by_hand = descent(by_hand, 0.01, x, y)
        due.append(loss)
    losses = step.fit(iter(batches))
    np.testing.assert_allclose(losses, due)
    np.testing.assert_allclose(W.data, by_hand)
    assert losses.dtype == np.float64 and step.iteration == 4 and step.explain().traces == 2


def test_fit_with_batches_of_one_argument():
    w = Variable(np.ones(2))
    step = tracer.train_step(lambda x: F.sum((w - x) ** 2), SGD(lr=0.25), [w])
    np.testing.assert_allclose(step.fit([np.zeros(2), np.zeros(2)]), [2, 0.5])


# ---- hyperparameters
def test_a_new_learning_rate_never_traces_again():
    W = Variable(np.full((2, 1), 0.5))
    step = tracer.train_step(loss_of(W), SGD(lr=0.01), [W])
    by_hand = W.data.copy()
    for lr in (0.01, 0.02, 0, 1, np.float32(0.5), 1e-3):
        step.optimizer.lr = lr
        due, by_hand = descent(by_hand, float(lr))
        assert step(X, Y) == pytest.approx(due, rel=1e-9)
    step.optimizer.lr = 0.0
    losses = step.run(X, Y, steps=3)
    assert losses[0] == losses[2] and step.explain().traces == 1


@pytest.mark.parametrize("lr", [-1, float("nan"), float("inf"), "fast", None, 1j, np.ones(2)], ids=str)
def test_bad_learning_rate(lr):
    with pytest.raises(tracer.ArgumentError, match="lr"):
        SGD(lr=lr)


def test_an_optimizer_of_the_users_with_slots():
    class Momentum(optimizers.Optimizer):
        def __init__(self, lr, beta):
            super().__init__(lr)
            self.beta = beta

        def scalars(self, iteration):
            return super().scalars(iteration) | {"beta": self.beta}

        def state(self, parameter):
            return {"v": np.zeros_like(parameter)}

        def update(self, parameter, gradient, state, scalars):
            v = scalars["beta"] * state["v"] + gradient
            return parameter - scalars["lr"] * v, {"v": v}

    W, arrays = Variable(np.full((2, 1), 0.5)), np.full((2, 1), 0.5)
    step = tracer.train_step(loss_of(W), Momentum(0.01, 0.9), [W])
    other = tracer.train_step(lambda p, x, y: F.mean_squared_error(y, x @ p), Momentum(0.01, 0.9), arrays)
    w, v = arrays.copy(), np.zeros((2, 1))
    for k in range(6):
        g = 2 * X.T @ (X @ w - Y) / 3
        v = 0.9 * v + g
        w = w - 0.01 * v
        if k < 3:
            step(X, Y)
            other(X, Y)
    step.run(X, Y, steps=3)
    other.run(X, Y, steps=3)
    np.testing.assert_allclose(W.data, w)
    np.testing.assert_allclose(other.params, w)


# ---- what is seen
def test_graph_plan_source_explain():
    W = Variable(np.full((2, 1), 0.5))
    step = tracer.train_step(loss_of(W), SGD(lr=0.01), [W])
    graph = step.graph(X, Y)
    assert len(graph.updates) == 1 and "update" in str(graph) and "test_train.py" in str(graph)
    assert step.plan(X, Y).peak_bytes > 0 and "def run" in step.source(X, Y)
    text = str(step.explain())
    assert "train_step(" in text and "lr" in text and "first call" in text
    assert step.explain().traces == 1
    spec = tracer.Spec((5, 2), np.float64), tracer.Spec((5, 1), np.float64)
    assert step.plan(*spec).peak_bytes > 0 and step.iteration == 0
    np.testing.assert_array_equal(W.data, 0.5)


# ---- memory
def test_steps_batches_and_parameters_are_not_kept():
    def make():
        W = Variable(np.full((2, 1), 0.5))
        step = tracer.train_step(loss_of(W), SGD(lr=0.01), [W])
        x = X.copy()
        step(x, Y)
        step.run(x, Y, steps=2)
        batch = weakref.ref(x)
        del x
        gc.collect()
        assert batch() is None
        return weakref.ref(W), weakref.ref(step)

    refs = make()
    gc.collect()
    assert [r() for r in refs] == [None, None]


def test_sgd_prints():
    assert repr(optimizers.SGD(0.5)) == "SGD(lr=0.5)"
