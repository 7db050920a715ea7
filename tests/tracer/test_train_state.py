"""What a train step keeps: state that is read and set, what is trained, what is refused; the memory that it takes."""
from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tracer
from tracer import Parameter, Variable
from tracer import functions as F
from tracer.optimizers import SGD, Adam, Cosine, RMSprop

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(8, 3)), RNG.normal(size=(8, 2))


def loss(params, x, y):
    return np.mean((np.tanh(x @ params["W"]) + params["c"] - y) ** 2)


def start():
    rng = np.random.default_rng(1)
    return {"W": rng.normal(size=(3, 2)), "c": rng.normal(size=2)}


def same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            same(one[name], other[name])
    else:
        np.testing.assert_array_equal(one, other)


# ---- read and set
def test_a_step_goes_on_where_another_stopped():
    def make():
        return tracer.train_step(loss, Adam(Cosine(0.1, 20), clip_norm=1), start())

    one = make()
    one.run(X, Y, steps=7)
    kept = pickle.loads(pickle.dumps((one.params, one.state, one.iteration, one.optimizer)))
    other = tracer.train_step(loss, kept[3], start())
    other.params, other.state, other.iteration = kept[:3]
    np.testing.assert_array_equal([one(X, Y) for _ in range(5)], other.run(X, Y, steps=5))
    same(one.params, other.params)
    same(one.state, other.state)
    assert one.iteration == other.iteration == 12 and one.explain().traces == 1


def test_what_is_read_is_a_copy():
    step = tracer.train_step(loss, SGD(0.1, 0.9), start())
    step(X, Y)
    params, state = step.params, step.state
    params["W"][:] = 7
    state["velocity"]["W"][:] = 7
    assert (step.params["W"] != 7).all() and (step.state["velocity"]["W"] != 7).all()
    given = np.ones((3, 2))
    step.params = {"W": given, "c": np.zeros(2)}
    step(X, Y)
    assert (given == 1).all()


def test_variables_are_set_in_place():
    W = Variable(np.ones((3, 2)))
    held = W.data
    step = tracer.train_step(lambda x, y: F.mean_squared_error(y, F.matmul(x, W)), SGD(0.1, 0.9), {"W": W})
    step(X, Y)
    step.params = {"W": Variable(np.full((3, 2), 2.0))}
    assert step.params["W"] is W and W.data is held and (held == 2).all()
    due = np.mean((Y - X @ np.full((3, 2), 2.0)) ** 2) * 2  # the error of dezero: over rows
    assert step(X, Y) == pytest.approx(due) and step.explain().traces == 1


def test_a_state_that_was_swapped():
    step = tracer.train_step(lambda p: np.sum(p["a"] * 2 + p["b"]), SGD(1.0, 0.5), {"a": np.zeros(2), "b": np.zeros(2)})
    step()
    held = step.params
    step.params = {"a": held["b"], "b": held["a"]}
    step.state = {"velocity": {"a": np.ones(2), "b": np.zeros(2)}}
    step()
    np.testing.assert_array_equal(step.params["a"], -1 - (0.5 + 2))
    np.testing.assert_array_equal(step.params["b"], -2 - 1)


@pytest.mark.parametrize(
    "bad, word",
    [({}, "velocity"), ({"velocity": {}}, "form"), ({"velocity": {"W": np.zeros((3, 2)), "c": np.zeros(3)}}, r"\(2,\)"), (3, "int"),
     ({"velocity": {"c": np.zeros(2), "W": np.zeros((3, 2))}}, "form"),
     ({"velocity": {"W": np.zeros((3, 2)), "c": np.zeros(2, "f")}}, "float32"),
     ({"m": {"W": np.zeros((3, 2)), "c": np.zeros(2)}}, "'m'"), ({"velocity": {"W": np.zeros((3, 2)), "c": [0.0, 0.0]}}, "form")],
)  # fmt: skip
def test_a_state_that_does_not_fit(bad, word):
    step = tracer.train_step(loss, SGD(0.1, 0.9), start())
    step(X, Y)
    before = step.state
    with pytest.raises(tracer.ArgumentError, match=word) as error:
        step.state = bad
    assert "mend" in str(error.value) and "test_train_state.py" in str(error.value)
    same(step.state, before)


def test_parameters_that_do_not_fit():
    step = tracer.train_step(loss, SGD(0.1), start())
    before = step.params
    for bad, word in [({"W": np.zeros((3, 2))}, "form"), ({"W": np.ones((3, 2)), "c": np.zeros(1)}, "shape")]:
        with pytest.raises(tracer.ArgumentError, match=word):
            step.params = bad
    same(step.params, before)
    for bad in (-1, 1.5, "2", None, True):
        with pytest.raises(tracer.ArgumentError, match="iteration"):
            step.iteration = bad


def test_state_before_the_first_step():
    step = tracer.train_step(loss, Adam(), start())
    same(step.state, {name: {"W": np.zeros((3, 2)), "c": np.zeros(2)} for name in "mv"})
    step.state = {name: {"W": np.ones((3, 2)), "c": np.ones(2)} for name in "mv"}
    step(X, Y)
    assert (step.state["v"]["W"] > 0.9).all()
    W = Parameter(np.ones((3, 2)))
    found = tracer.train_step(lambda x, y: F.mean_squared_error(y, F.matmul(x, W)), Adam())
    assert found.state == {} and found.params == []
    with pytest.raises(tracer.ArgumentError, match="first step"):
        found.state = {"m": [], "v": []}
    found(X, Y)
    assert [a.shape for a in found.state["m"]] == [(3, 2)]


def test_batches_of_other_shapes_share_the_moments():
    step = tracer.train_step(loss, Adam(0.1), start())
    step(X, Y), step(X[:5], Y[:5]), step(X, Y)
    m, v, p = {}, {}, start()
    for t, n in enumerate((8, 5, 8), 1):
        z = np.tanh(X[:n] @ p["W"])
        d = 2 * (z + p["c"] - Y[:n]) / Y[:n].size
        for name, g in {"W": X[:n].T @ (d * (1 - z**2)), "c": d.sum(0)}.items():
            m[name] = 0.9 * m.get(name, 0) + 0.1 * g
            v[name] = 0.999 * v.get(name, 0) + 0.001 * g**2
            p[name] = p[name] - 0.1 * (m[name] / (1 - 0.9**t)) / (np.sqrt(v[name] / (1 - 0.999**t)) + 1e-8)
    for name in p:
        np.testing.assert_allclose(step.params[name], p[name], rtol=1e-10)
    assert step.explain().traces == 2 and step.iteration == 3


def test_two_steps_that_share_a_parameter_have_moments_of_their_own():
    W = Variable(np.ones((3, 2)))

    def error(x, y):
        return F.mean_squared_error(y, F.matmul(x, W))

    one, two = tracer.train_step(error, SGD(0.01, 0.9), [W]), tracer.train_step(error, RMSprop(0.01), [W])
    w, v, s = W.data.copy(), 0.0, 0.0
    for k in range(6):
        g = 2 * X.T @ (X @ w - Y) / len(X)
        if k % 3 == 0:
            two(X, Y)
            s = 0.99 * s + 0.01 * g**2
            w = w - 0.01 * g / (np.sqrt(s) + 1e-8)
        else:
            one(X, Y)
            v = 0.9 * v + g
            w = w - 0.01 * v
    np.testing.assert_allclose(W.data, w, rtol=1e-10)


# ---- which are trained
def test_what_is_trained_is_said_once():
    W, b = Variable(np.ones((3, 2))), Variable(np.zeros(2))
    index = Variable(np.arange(8))
    step = tracer.train_step(lambda x, y: F.mean_squared_error(y[index.data], F.linear(x, W, b)), SGD(0.1, 0.9))
    step(X, Y), step(X, Y)
    text = str(step.explain())
    assert text.count("trains W, b: all float Variables") == 1 and {id(v) for v in step.params} == {id(W), id(b)}
    p = Parameter(np.ones((3, 2)))
    with_parameter = tracer.train_step(lambda x, y: F.mean_squared_error(y, F.linear(x, p, b)), SGD())
    with_parameter(X, Y)
    assert "the Parameters that the loss uses" in str(with_parameter.explain()) and len(with_parameter.params) == 1


def test_a_variable_that_is_an_argument_is_not_trained():
    W, given = Variable(np.ones((3, 2))), Variable(X.copy())
    step = tracer.train_step(lambda x, y: F.mean_squared_error(y, F.matmul(given, W) + 0 * F.sum(x)), SGD(0.1))
    step(given, Y)
    assert step.params == [W]
    np.testing.assert_array_equal(given.data, X)


def test_a_parameter_given_twice():
    W = Variable(np.ones(2))
    with pytest.raises(tracer.ArgumentError, match="twice"):
        tracer.train_step(lambda: F.sum(W), SGD(), [W, W])


def test_a_parameter_that_changes_its_shape():
    W = Variable(np.ones(2))
    step = tracer.train_step(lambda: F.sum(W * W), SGD(0.1, 0.9), [W])
    step()
    W.data = np.ones(3)
    with pytest.raises(tracer.ArgumentError, match="shape"):
        step()


# ---- where it can't be
def test_a_step_inside_a_traced_function():
    step = tracer.train_step(lambda p, x: np.sum((p - x) ** 2), SGD(0.1), np.zeros(2))
    for transform in (tracer.compile, tracer.grad):
        with pytest.raises(tracer.ArgumentError, match="inside a traced function"):
            transform(lambda x: step(x) * 2.0)(np.ones(2))
    with pytest.raises(tracer.ArgumentError, match="inside a traced function"):
        tracer.trace(step, np.ones(2))
    same(step.params, np.zeros(2))
    assert step.iteration == 0 and step(np.ones(2)) == 2


@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy])
def test_steps_are_not_copied(how):
    step = tracer.train_step(loss, SGD(), start())
    with pytest.raises(tracer.ArgumentError, match="pickled or copied"):
        how(step)


# ---- memory
def test_momentum_takes_no_buffer_and_no_copy_of_its_own():
    W = {"a": np.zeros((40, 30)), "b": np.zeros((30, 20))}
    x, y = np.ones((10, 40)), np.ones((10, 20))

    def error(p, x, y):
        return np.mean((np.tanh(x @ p["a"]) @ p["b"] - y) ** 2)

    plain = tracer.train_step(error, SGD(0.1), W).plan(x, y)
    for optimizer in (SGD(0.1, 0.9), SGD(0.1, 0.9, nesterov=True), Adam()):
        plan = tracer.train_step(error, optimizer, W).plan(x, y)
        assert "copy" not in plan.text(lines=False)
        assert plan.arena_bytes <= plain.arena_bytes + 8 * 1200 + 2000, (optimizer, plan.arena_bytes, plain.arena_bytes)
    assert tracer.train_step(error, SGD(0.1, 0.9), W).plan(x, y).arena_bytes <= plain.arena_bytes + 128
