"""Variables from outside: what they hold, print and compute, and their gradients, against NumPy, differences and DeZero."""
from __future__ import annotations

import copy
import importlib
import importlib.util
import pickle

import numpy as np
import pytest

import tracer
import tracer.functions as F
from tracer import Parameter, Variable, as_array, as_variable, no_grad, using_config


@pytest.fixture(scope="module")
def dezero():
    """DeZero, with the names that its version needs and NumPy 2 lacks."""
    if importlib.util.find_spec("dezero") is None:
        pytest.skip("DeZero is not installed")
    missing = [name for name in ("int", "float") if name not in vars(np)]
    for name in missing:
        setattr(np, name, {"int": int, "float": float}[name])
    try:
        found = importlib.import_module("dezero")
        importlib.import_module("dezero.functions")
    finally:
        for name in missing:
            delattr(np, name)
    return found


def slope(f, x, e=1e-6):
    """The gradient of a function of arrays to numbers, by differences."""
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += e
        down[i] -= e
        g[i] = (f(up) - f(down)) / (2 * e)
    return g


# ---- what it holds
def test_the_array_is_held_as_given():
    a = np.arange(3.0)
    assert Variable(a).data is a


@pytest.mark.parametrize("data", [3.0, 3, [1.0], "x", np.float64(1.0)])
def test_only_arrays(data):
    with pytest.raises(TypeError, match="is not supported"):
        Variable(data)


class Mine(np.ndarray):
    pass


@pytest.mark.parametrize("array", [np.ma.ones(3), np.ones(3).view(Mine)])
def test_no_subclasses(array):
    with pytest.raises(TypeError, match="is not supported"):
        Variable(array)


def test_none_is_an_absent_operand():
    v = Variable(None)
    assert v.data is None and v.absent and repr(v) == "variable(None)"


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array(0.8473695850105871), "variable(0.8473695850105871)"),
        (np.array([1.0, 2.0]), "variable([1. 2.])"),
        (np.array([[1, 2], [3, 4]]), "variable([[1 2]\n          [3 4]])"),
    ],
)
def test_repr(array, text):
    assert repr(Variable(array)) == text


def test_repr_is_dezeros(dezero):
    for array in (np.arange(12.0).reshape(3, 4), np.zeros((2, 2, 2)), np.array(1e-9), np.arange(3)):
        assert repr(Variable(array)) == repr(dezero.Variable(array))


def test_shape_and_kin_compute_nothing():
    v = Variable(np.ones((2, 3), np.float32)) * 2
    assert (v.shape, v.ndim, v.size, v.dtype, len(v)) == ((2, 3), 2, 6, np.float32, 2)
    assert "pending" in repr(v._value)


def test_a_number_has_no_len():
    with pytest.raises(TypeError, match="unsized"):
        len(Variable(np.array(1.0)))


def test_names_and_attributes():
    v = Variable(np.ones(2), name="v")
    v.note = 1
    assert (v.name, v.note) == ("v", 1)


def test_as_variable_as_array():
    v = Variable(np.ones(2))
    assert as_variable(v) is v
    assert as_array(3.0).shape == () and as_array(v) is v
    assert isinstance(as_variable(2), Variable)


def test_parameter():
    p = Parameter(np.ones(2))
    assert isinstance(p, Variable) and type(p * 2) is Variable


def test_data_of_a_0d_result_is_an_array():
    assert type((Variable(np.array(2.0)) * 3).data) is np.ndarray


def test_numpy_and_python_numbers_of_it():
    v = Variable(np.array(2.5)) * 2
    assert (float(v), int(v), v.item(), bool(v)) == (5.0, 5, 5.0, True)
    assert np.array_equal(np.asarray(v), 5.0)


# ---- what it computes
OPERANDS = [2, 3, 2.5, -1.0, np.float64(1.5), np.array([0.5, 2.0, 4.0])]


@pytest.mark.parametrize("other", OPERANDS)
@pytest.mark.parametrize("op", ["+", "-", "*", "/", "**", "//", "%"])
def test_operators_on_either_side(op, other):
    a = np.array([1.5, 2.0, 3.25])
    apply = np.errstate(invalid="ignore")(eval(f"lambda x, y: x {op} y"))
    for x, y in ((a, other), (other, a)):
        want = apply(x, y)
        got = apply(Variable(x) if x is a else x, Variable(y) if y is a else y)
        assert isinstance(got, Variable) and got.dtype == want.dtype
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(got.data, want, rtol=1e-15)


@pytest.mark.parametrize("number", [2.0, 2, np.float32(2), 1e-3])
def test_a_number_does_not_widen(number):
    v = Variable(np.ones(3, np.float32))
    assert (number * v).dtype == (v * number).dtype == np.float32


def test_a_numpy_scalar_on_the_left():
    v = np.float64(2) * Variable(np.array([1.0, 2.0]))
    assert isinstance(v, Variable) and v.data.tolist() == [2.0, 4.0]


def test_numpy_functions_give_variables():
    v = Variable(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert isinstance(np.exp(v), Variable) and isinstance(np.sum(v, axis=0), Variable)
    np.testing.assert_allclose(np.exp(v).data, np.exp(v.data), rtol=1e-15)


def test_methods():
    a = np.arange(6.0).reshape(2, 3)
    v = Variable(a)
    for got, want in [
        (v.T, a.T), (v.transpose(), a.T), (v.transpose(1, 0), a.T), (v.transpose((1, 0)), a.T), (v.reshape(3, 2), a.reshape(3, 2)),
        (v.reshape((6,)), a.reshape(6)), (v.reshape(-1), a.ravel()), (v.sum(), a.sum()), (v.sum(axis=0), a.sum(0)),
        (v.sum(axis=1, keepdims=True), a.sum(1, keepdims=True)), (v[0], a[0]), (v[:, 1:], a[:, 1:]), (v[..., None], a[..., None]),
        (v[[0, 0, 1]], a[[0, 0, 1]]), (v.mean(), a.mean()), (v.max(axis=1), a.max(1)), (v.dot(a.T), a @ a.T), (v @ a.T, a @ a.T),
        (-v, -a), (abs(-v), a), (v > 2, a > 2),
    ]:  # fmt: skip
        np.testing.assert_array_equal(got.data, want)


def test_iteration():
    assert [float(v) for v in Variable(np.arange(3.0))] == [0.0, 1.0, 2.0]


def test_errors_are_raised_at_the_operation_with_the_line():
    with pytest.raises(tracer.ShapeError, match=r"test_variable.py:\d+ in test_errors_are_raised"):
        Variable(np.ones(3)) + np.ones(4)


def test_foreign_operands():
    with pytest.raises(TypeError):
        Variable(np.ones(3)) + "x"
    with pytest.raises(TypeError):
        Variable(np.ones(3)) + np.array(["x"])


def test_absent_data_is_no_operand():
    with pytest.raises(tracer.ArgumentError, match="without data"):
        Variable(None) + 1


# ---- gradients
CASES = {
    "square": lambda F, x: F.sum(x * x),
    "diamond": lambda F, x: F.sum((x + x * 2) * x),
    "shared": lambda F, x: (lambda y: F.sum(y * y + y))(F.exp(x)),
    "power": lambda F, x: F.sum(x**3 / 2 - 1 / (x + 4)),
    "tanh": lambda F, x: F.sum(F.tanh(x) * 2.5),
    "matmul": lambda F, x: F.sum(F.matmul(x, F.transpose(x))),
    "broadcast": lambda F, x: F.sum(F.broadcast_to(F.sum(x, axis=0, keepdims=True), (5, 3)) * 0.3),
    "reshape": lambda F, x: F.sum(F.reshape(x, (3, 2)) ** 2),
    "mse": lambda F, x: F.mean_squared_error(x, F.sin(x)),
    "sub": lambda F, x: F.sum(1 - x - x),
    "neg": lambda F, x: F.sum(-x * F.cos(x)),
    "item": lambda F, x: F.sum(x[0] * x[1]),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_the_slopes(name):
    a = np.random.default_rng(0).uniform(0.5, 1.5, (2, 3))
    x = Variable(a)
    y = CASES[name](F, x)
    y.backward()
    want = slope(lambda a: float(CASES[name](F, Variable(a)).data), a)
    np.testing.assert_allclose(x.grad.data, want, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_dezeros(name, dezero):
    a = np.random.default_rng(1).uniform(0.5, 1.5, (2, 3))
    ours, theirs = Variable(a), dezero.Variable(a)
    y, z = CASES[name](F, ours), CASES[name](importlib.import_module("dezero.functions"), theirs)
    y.backward()
    z.backward()
    np.testing.assert_allclose(y.data, z.data, rtol=1e-14)
    np.testing.assert_allclose(ours.grad.data, theirs.grad.data, rtol=1e-13)


def test_gradients_add_up_until_cleargrad():
    x = Variable(np.array(3.0))
    for k in (1, 2, 3):
        (x * x).backward()
        assert float(x.grad) == 6.0 * k
    x.cleargrad()
    assert x.grad is None
    (x * x).backward()
    assert float(x.grad) == 6.0


def test_backward_twice_adds_again():
    x = Variable(np.array(3.0))
    y = F.exp(x) * x
    y.backward()
    once = float(x.grad)
    y.backward()
    assert float(x.grad) == 2 * once


def test_backward_twice_after_the_leaf_has_changed(dezero):
    grads = []
    for kind, exp in ((Variable, F.exp), (dezero.Variable, importlib.import_module("dezero.functions").exp)):
        x = kind(np.array([1.0, 2.0]))
        y = exp(exp(x) * 0.1)
        y.backward()
        x.data -= 0.5 * x.grad.data
        y.backward()
        grads.append(x.grad.data)
    np.testing.assert_allclose(*grads, rtol=1e-14)


def test_a_starting_gradient():
    x = Variable(np.array([1.0, 2.0]))
    y = x * x
    y.grad = Variable(np.array([10.0, 100.0]))
    y.backward()
    assert x.grad.data.tolist() == [20.0, 400.0]
    assert y.grad is None


def test_no_scalar_starts_with_ones():
    x = Variable(np.array([1.0, 2.0]))
    (x * x).backward()
    assert x.grad.data.tolist() == [2.0, 4.0]


def test_retain_grad():
    x = Variable(np.array(3.0))
    y = x * x
    z = y * 2
    z.backward()
    assert y.grad is None and z.grad is None
    x.cleargrad()
    z.backward(retain_grad=True)
    assert (float(z.grad), float(y.grad), float(x.grad)) == (1.0, 2.0, 12.0)


def test_retained_gradients_seed_the_next_backward(dezero):
    got = []
    for kind in (Variable, dezero.Variable):
        x = kind(np.array(3.0))
        y = x * x
        z = y * 2
        z.backward(retain_grad=True)
        z.backward(retain_grad=True)
        got.append([float(v.grad.data) for v in (x, y, z)])
    assert got[0] == got[1]


def test_a_variable_in_between_with_a_gradient_of_its_own():
    x = Variable(np.array(3.0))
    y = x * x
    z = y * 2
    y.grad = Variable(np.array(5.0))
    z.backward()
    assert float(x.grad) == 6.0 * (2 + 5)


def test_backward_of_a_leaf():
    x = Variable(np.array(3.0))
    x.backward()
    assert float(x.grad) == 1.0


def test_backward_of_integers_says_why():
    with pytest.raises(tracer.GradientError, match=r"i64\[\]"):
        (Variable(np.array(3)) * 2).backward()


def test_integers_among_floats_get_no_gradient():
    x, k = Variable(np.array(3.0)), Variable(np.array(2))
    (x * k).backward()
    assert float(x.grad) == 2.0 and k.grad is None


def test_an_operation_without_gradient():
    x = Variable(np.array(3.0))
    (np.floor(x) * x).backward()
    assert float(x.grad) == 3.0


def test_second_derivatives():
    x = Variable(np.array(2.0))
    y = x**4 - 2 * x**2
    y.backward(create_graph=True)
    assert float(x.grad) == 24.0
    gx = x.grad
    x.cleargrad()
    gx.backward()
    assert float(x.grad) == 44.0


def test_higher_derivatives_of_sin():
    x = Variable(np.array(1.0))
    y = F.sin(x)
    y.backward(create_graph=True)
    want = [np.cos(1.0), -np.sin(1.0), -np.cos(1.0), np.sin(1.0), np.cos(1.0)]
    for k in range(5):
        np.testing.assert_allclose(x.grad.data, want[k], rtol=1e-13)
        gx = x.grad
        x.cleargrad()
        gx.backward(create_graph=True)


def test_newtons_method(dezero):
    found = []
    for kind in (Variable, dezero.Variable):
        x = kind(np.array(2.0))
        for _ in range(10):
            y = x**4 - 2 * x**2
            x.cleargrad()
            y.backward(create_graph=True)
            gx = x.grad
            x.cleargrad()
            gx.backward()
            x.data -= gx.data / x.grad.data
        found.append(float(x.data))
    assert found[0] == pytest.approx(found[1], rel=1e-14) == pytest.approx(1.0)


def test_double_backward_through_a_gradient_in_the_loss():
    x, y = Variable(np.array(2.0)), Variable(np.array(3.0))
    z = x**2 * y
    z.backward(create_graph=True)
    gx = x.grad
    x.cleargrad()
    y.cleargrad()
    (gx**3 + y).backward()
    assert float(x.grad) == 3 * (2 * 2 * 3) ** 2 * 2 * 3
    assert float(y.grad) == 3 * (2 * 2 * 3) ** 2 * 2 * 2 + 1


def test_gradients_have_no_history_unless_asked():
    x = Variable(np.array(2.0))
    (x * x).backward()
    assert x.grad.creator is None
    x.cleargrad()
    y = x * x
    y.backward(create_graph=True)
    assert x.grad.creator is not None


def test_no_grad():
    x = Variable(np.array(2.0))
    with no_grad():
        y = x * x
    assert y.creator is None
    (y * x).backward()
    assert float(x.grad) == 4.0


def test_backward_of_something_pending_without_history():
    with no_grad():
        y = Variable(np.array(2.0)) * 3
    y.backward()
    assert float(y.grad) == 1.0


def test_a_result_of_no_grad_is_a_beginning():
    x = Variable(np.array(2.0))
    with no_grad():
        y = x * x
    (y * 3).backward()
    assert x.grad is None and float(y.grad) == 3.0


def test_using_config_comes_back():
    with pytest.raises(ZeroDivisionError), using_config("enable_backprop", False):
        raise ZeroDivisionError
    assert tracer.Config.enable_backprop
    with pytest.raises(tracer.ArgumentError), using_config("enable", False):
        pass
    with tracer.test_mode():
        assert not tracer.Config.train


def test_unchain():
    x = Variable(np.array(2.0))
    y = x * x
    z = y * 3
    y.unchain()
    z.backward()
    assert x.grad is None and float(y.grad) == 3.0


def test_unchain_backward_like_dezero(dezero):
    got = []
    for kind in (Variable, dezero.Variable):
        x = kind(np.array(2.0))
        h = kind(np.array(1.0))
        for k in range(6):
            h = h * x
            if k == 3:
                h.unchain_backward()
        h.backward()
        got.append(float(x.grad.data))
    assert got[0] == got[1]


def test_truncated_backpropagation_through_time():
    W, h = Variable(np.array(0.5)), Variable(np.array(1.0))
    loss, grads, a, da = 0, [], 1.0, 0.0
    want = []
    for k in range(1, 13):
        h = F.tanh(h * W)
        a, da = np.tanh(a * 0.5), (1 - np.tanh(a * 0.5) ** 2) * (a + 0.5 * da)
        loss = loss + h
        grads.append(da)
        if k % 3 == 0:
            W.cleargrad()
            loss.backward()
            want.append(sum(grads))
            assert float(W.grad) == pytest.approx(want[-1], rel=1e-13)
            loss.unchain_backward()
            h.unchain()
            loss, grads, da = 0, [], 0.0


def test_the_data_in_between_can_be_released():
    x, W = Variable(np.ones((4, 3))), Variable(np.ones((3, 2)))
    b = Variable(np.zeros(2))
    t = F.matmul(x, W)
    y = t + b
    t.data = None
    assert t.data is None
    y.backward()
    assert y.data.tolist() == [[3.0, 3.0]] * 4 and W.grad.data.tolist() == [[4.0, 4.0]] * 3 and b.grad.data.tolist() == [4.0, 4.0]


def test_complex_gradients_follow_the_conjugate_convention():
    x = Variable(np.array([1.0 + 2.0j, 3.0 - 1.0j]))
    y = (x * np.conj(x)).sum()
    y.backward()
    np.testing.assert_allclose(x.grad.data, 2 * x.data)


def test_gradients_keep_the_dtype():
    x, w = Variable(np.ones(3, np.float32)), Variable(np.ones(3))
    (x * w).sum().backward()
    assert (x.grad.dtype, w.grad.dtype) == (np.float32, np.float64)


def test_copies_have_data_name_and_gradient():
    x = Parameter(np.array([1.0, 2.0]), name="x")
    x.note = "here"
    (x * x).backward()
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert (type(twin), twin.name, twin.note, twin.creator) == (Parameter, "x", "here", None)
        assert twin.data.tolist() == [1.0, 2.0] and twin.grad.data.tolist() == [2.0, 4.0] and twin.data is not x.data


# ---- inside a trace
def test_variables_in_a_trace_hold_traced_arrays():
    W = Variable(np.ones((3, 2)))
    seen = []

    def f(x):
        y = F.matmul(x, W)
        seen.append((type(y), y.shape, type(y.data).__name__, type(W.data).__name__))
        return y

    graph = tracer.trace(f, np.ones((4, 3)))
    assert seen == [(Variable, (4, 2), "TracedArray", "TracedArray")]
    assert [v.shape for v in graph.outputs] == [(4, 2)]


def test_backward_inside_a_compiled_function():
    W = Variable(np.array([1.0, 2.0]))

    @tracer.compile
    def f(x):
        W.cleargrad()
        F.sum(W * W * x).backward()
        return W.grad

    for scale in (1.0, 2.0):
        got = f(np.full(2, scale))
        np.testing.assert_array_equal(got.data, 2 * W.data * scale)
    W.data = np.array([3.0, 4.0])
    np.testing.assert_array_equal(f(np.ones(2)).data, [6.0, 8.0])


def test_training_inside_a_compiled_function_stops_at_the_new_values():
    W = Variable(np.array(2.0))
    V = Variable(np.array(3.0))

    def two_steps():
        for _ in range(2):
            loss = W * W * V
            W.cleargrad()
            V.cleargrad()
            loss.backward()
            W.data -= 0.1 * W.grad.data
            V.data -= 0.1 * V.grad.data
        return loss

    tracer.compile(two_steps)()
    w, v = 2.0, 3.0
    for _ in range(2):
        gw, gv = 2 * w * v, w * w
        w, v = w - 0.1 * gw, v - 0.1 * gv
    assert (float(W.data), float(V.data)) == pytest.approx((w, v), rel=1e-14)


def test_a_variable_of_another_variables_data_starts_anew_in_a_trace():
    x = Variable(np.array(2.0))

    @tracer.compile
    def f():
        x.cleargrad()
        y = x * x
        z = Variable(y.data) * x
        z.backward()
        return x.grad

    assert float(f().data) == 4.0


def test_second_derivatives_inside_a_trace():
    x = Variable(np.array(2.0))

    @tracer.compile
    def f():
        x.cleargrad()
        (x**4).backward(create_graph=True)
        gx = x.grad
        x.cleargrad()
        gx.backward()
        return x.grad

    assert float(f().data) == 48.0


def test_unchain_and_no_grad_inside_a_trace():
    x = Variable(np.array(2.0))

    @tracer.compile
    def f():
        x.cleargrad()
        y = x * x
        y.unchain()
        with no_grad():
            z = x * 5
        (y * x + z).backward()
        return x.grad

    assert float(f().data) == 4.0
