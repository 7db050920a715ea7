"""Variables in and out of compiled functions, and the one storage of each that all plans share."""
from __future__ import annotations

import numpy as np
import pytest

import tracer
import tracer.functions as F
from tracer import Parameter, Variable, no_grad, optimizers

X = np.arange(12.0).reshape(4, 3)


def linear():
    W, b = Parameter(np.ones((3, 2)), name="W"), Parameter(np.zeros(2))
    return W, b, tracer.compile(lambda x: F.linear(x, W, b))


# ---- in and out
@pytest.mark.parametrize("given", ["array", "Variable"])
def test_gradients_reach_parameters_and_arguments_through_a_compiled_function(given):
    W, b, fast = linear()
    for _ in range(2):
        x = Variable(X) if given == "Variable" else X
        for p in (W, b):
            p.cleargrad()
        F.mean_squared_error(np.zeros((4, 2)), fast(x)).backward()
        g = 2 * (X @ W.data + b.data) / 4
        np.testing.assert_allclose(W.grad.data, X.T @ g, rtol=1e-14)
        np.testing.assert_allclose(b.grad.data, g.sum(0), rtol=1e-14)
        if given == "Variable":
            np.testing.assert_allclose(x.grad.data, g @ W.data.T, rtol=1e-14)
        W.data -= 0.01 * W.grad.data
    assert fast.explain().traces == 1


def test_variables_in_trees_and_none():
    fast = tracer.compile(lambda d: {"y": d["a"] * d["b"][0], "z": (d["b"][1], d["c"])})
    a, k = Variable(np.array([2.0])), Variable(np.array([5.0]))
    got = fast({"a": a, "b": [np.array([3.0]), k], "c": None})
    assert (got["y"].data.tolist(), got["z"][0].data.tolist(), got["z"][1]) == ([6.0], [5.0], None)
    (got["y"] * got["z"][0]).backward()
    assert (a.grad.data.tolist(), k.grad.data.tolist()) == ([15.0], [6.0])


@pytest.mark.parametrize("absent", [None, Variable(None)], ids=["None", "Variable(None)"])
def test_an_absent_operand(absent):
    fast = tracer.compile(lambda x, W, b: F.linear(x, W, b))
    W = Variable(np.ones((3, 2)))
    np.testing.assert_array_equal(fast(X, W, absent).data, X @ W.data)
    np.testing.assert_array_equal(fast(X, W, Variable(np.ones(2))).data, X @ W.data + 1)


def test_second_gradients_through_a_compiled_function():
    x = Variable(np.array([1.0, 2.0]))
    tracer.compile(lambda v: F.sum(v**3))(x).backward(create_graph=True)
    gx = x.grad
    x.cleargrad()
    gx.backward()
    assert x.grad.data.tolist() == [6.0, 12.0]


def test_the_same_variable_twice():
    x = Variable(np.array([3.0]))
    tracer.compile(lambda a, b: a * b)(x, x).backward()
    assert x.grad.data.tolist() == [6.0]


def test_without_history():
    W, _, fast = linear()
    with no_grad():
        y = fast(X)
    y.backward()
    assert W.grad is None


def test_a_recorded_call_sees_its_operands_as_they_were():
    W, _, fast = linear()
    x, a = Variable(X.copy()), X.copy()
    y, z = fast(x), fast(a)
    x.data[0], a[0], W.data[0] = 100.0, 100.0, 100.0
    np.testing.assert_array_equal(y.data, X @ np.ones((3, 2)))
    np.testing.assert_array_equal(z.data, X @ np.ones((3, 2)))


def test_results_are_new_variables():
    W, x = Parameter(np.ones(2)), Variable(np.ones(2))
    for fast, given in ((tracer.compile(lambda v: v), (x,)), (tracer.compile(lambda: W), ())):
        got = fast(*given)
        got.data[:] = 7.0
    assert x.data.tolist() == W.data.tolist() == [1.0, 1.0]


def test_data_inside_a_trace_and_what_else_is_seen_of_an_argument():
    seen = []

    @tracer.compile
    def fast(v):
        seen.append((type(v), type(v.data).__name__, v.name, v.grad is None))
        return v.data * 2

    for given in (Parameter(np.ones(2), name="p"), Parameter(np.ones(2), name="q"), Variable(np.ones(2))):
        assert fast(given).tolist() == [2.0, 2.0]
    given.grad = Variable(np.ones(2))
    fast(given)
    assert seen == [
        (Parameter, "ndarray", "p", True), (Parameter, "ndarray", "q", True), (Variable, "ndarray", None, True),
        (Variable, "ndarray", None, False),
    ]  # fmt: skip


def test_the_gradient_of_an_argument_is_no_part_of_it():
    x = Variable(np.array([3.0]))
    x.grad = Variable(np.array([100.0]))
    with pytest.raises(tracer.TraceError, match="v.cleargrad"):
        tracer.compile(lambda v: v.data - v.grad.data)(x)
    for fn in (lambda v: v + v.grad, lambda v: 2 * v.grad, lambda v: np.exp(v.grad), lambda v: (F.sum(v * v).backward(), v.data)[1]):
        with pytest.raises(tracer.TraceError, match="v.cleargrad"):
            tracer.compile(fn)(x)

    @tracer.compile
    def slope(v):
        v.cleargrad()
        F.sum(v * v).backward()
        return v.grad

    assert slope(x).data.tolist() == [6.0] and x.grad.data.tolist() == [100.0]


# ---- one storage
def trained():
    P = Parameter(np.ones(3))
    step = tracer.train_step(lambda: F.sum(P * P), optimizers.SGD(lr=0.1), [P])
    return P, step, tracer.compile(lambda: P.data * 1.0), tracer.compile(lambda: P * 1.0)


def test_an_array_taken_from_data_is_a_view_of_the_storage():
    P, step, predict, recorded = trained()
    early = P.data
    for k in range(1, 4):
        step()
        for seen in (early, P.data, predict(), recorded().data):
            np.testing.assert_allclose(seen, 0.8**k, rtol=1e-14)
    early[0] = 5.0
    assert predict()[0] == recorded().data[0] == P.data[0] == 5.0
    step()
    np.testing.assert_allclose(early, [4.0, 0.8**4, 0.8**4], rtol=1e-14)


FOREIGN = {
    "another shape": np.arange(4.0).reshape(2, 2), "another dtype": np.ones(3, np.float32), "Fortran order": np.ones((2, 3), order="F"),
    "gaps": np.arange(12.0)[::2], "backwards": np.arange(3.0)[::-1], "byte order": np.arange(3.0).astype(">f8"),
    "a view": np.arange(8.0)[3:6], "0-d": np.array(4.0), "empty": np.zeros((0, 3)), "half": np.ones(3, np.float16),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOREIGN)
def test_data_of_another_kind_between_steps(kind):
    P, step, predict, recorded = trained()
    step()
    given = FOREIGN[kind].copy() if kind != "gaps" else np.arange(12.0)[::2]
    want = np.array(given)
    P.data = given
    np.testing.assert_array_equal(predict(), want)
    np.testing.assert_array_equal(recorded().data, want)
    np.testing.assert_allclose(step(), np.sum(want * want), rtol=1e-3 if kind == "half" else 1e-6)
    for seen in (P.data, predict(), recorded().data):
        np.testing.assert_allclose(seen, want * 0.8, rtol=2e-3 if kind == "half" else 1e-6)
    assert P.data.shape == want.shape and P.data.dtype == want.dtype.newbyteorder("=")


def test_a_read_only_array_is_copied_when_a_step_must_write():
    P, step, predict, _ = trained()
    fixed = np.ones(3)
    fixed.flags.writeable = False
    P.data = fixed
    step()
    np.testing.assert_allclose(predict(), 0.8)
    assert fixed.tolist() == [1.0] * 3


def test_the_array_that_was_rebound_is_the_users_again():
    P, step, predict, _ = trained()
    early = P.data
    step()
    P.data = np.full(3, 2.0)
    early[:] = 77.0
    step()
    np.testing.assert_allclose(predict(), 1.6)
    np.testing.assert_array_equal(early, 77.0)


def test_parameters_that_are_views_of_one_array():
    flat = np.ones(4)
    A, B = Parameter(flat[:2]), Parameter(flat[2:])
    step = tracer.train_step(lambda: F.sum(A * 2 + B * 3), optimizers.SGD(lr=1.0), [A, B])
    step()
    assert flat.tolist() == [-1.0, -1.0, -2.0, -2.0]


def test_two_steps_and_eager_code_share_a_parameter():
    P = Parameter(np.zeros(2))
    one = tracer.train_step(lambda: F.sum(P), optimizers.SGD(lr=1.0), [P])
    ten = tracer.train_step(lambda: F.sum(P * 10), optimizers.SGD(lr=1.0), [P])
    one()
    ten()
    one()
    P.data -= 100.0
    P.cleargrad()
    F.sum(P * 1000).backward()
    P.data -= P.grad.data
    one()
    assert P.data.tolist() == [-1113.0] * 2


def test_what_was_recorded_before_a_step_is_of_before():
    P, step, _, recorded = trained()
    y, z = P * 5, recorded()
    step()
    np.testing.assert_array_equal(y.data, 5.0)
    np.testing.assert_array_equal(z.data, 1.0)


def test_without_data_it_is_an_error_until_there_is_some_again():
    P, step, _, _ = trained()
    step()
    P.data = None
    with pytest.raises(tracer.Error):
        step()
    P.data = np.ones(3)
    step()
    np.testing.assert_allclose(P.data, 0.8)
