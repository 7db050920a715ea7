"""Gradients of Variables from outside: against differences and DeZero, accumulated, seeded, retained, cut, and their refusals."""
from __future__ import annotations

import importlib

import numpy as np
import pytest

import tracer
import tracer.functions as F
from tracer import Variable, no_grad, using_config


def slope(f, x, e=1e-6):
    """The gradient of a function of arrays to numbers, by differences."""
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += e
        down[i] -= e
        g[i] = (f(up) - f(down)) / (2 * e)
    return g


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


# ---- seeds and refusals
def test_a_starting_gradient_may_be_an_array_or_of_another_float_type():
    for given in (np.array([10.0, 100.0]), Variable(np.array([10.0, 100.0], np.float32))):
        x = Variable(np.array([1.0, 2.0]))
        y = x * x
        y.grad = given
        y.backward()
        assert x.grad.dtype == np.float64 and x.grad.data.tolist() == [20.0, 400.0]


@pytest.mark.parametrize("given", [np.ones(2), np.ones((3, 1)), np.ones(()), np.ones(3, complex)])
def test_a_starting_gradient_that_does_not_fit_names_both(given):
    x = Variable(np.ones(3))
    y = x * 2
    y.name, y.grad = "y", Variable(given)
    with pytest.raises(tracer.GradientError, match=r"given to y f64\[3\] is .*\[") as caught:
        y.backward()
    assert "test_variable_gradients.py" in str(caught.value) and tracer.Config.enable_backprop
    y.cleargrad()
    y.backward()
    assert x.grad.data.tolist() == [2.0] * 3


def test_backward_of_nothing():
    with pytest.raises(tracer.GradientError, match="without data"):
        Variable(None).backward()


# ---- data written between the operation and backward()
@pytest.mark.parametrize("look", ["never", "operand", "result"])
@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("written", ["leaf", "between"])
def test_a_gradient_reads_the_data_there_is_as_dezero_does(look, held, written, dezero):
    """Whether somebody holds the array, so that the recording had to copy it, makes no difference."""
    got = []
    for kind in (Variable, dezero.Variable):
        x = kind(np.array([1.0, 2.0]))
        y = x * 2
        w = {"leaf": x, "between": y}[written]
        if look == "operand":
            w.data.sum()
        alias = w.data if held else None
        z = w * w
        if look == "result":
            z.data.sum()
        if held:
            alias[:] = [10.0, 100.0]
        else:
            w.data[:] = [10.0, 100.0]
        z.backward()
        got.append((z.data.tolist(), x.grad.data.tolist()))
    assert got[0] == got[1]
