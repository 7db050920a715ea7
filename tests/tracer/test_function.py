"""Functions of the user's own: their forward is the value and their backward the gradient, eager and traced, once and again."""
from __future__ import annotations

import numpy as np
import pytest

import tracer
import tracer.functions as F
from tracer import Function, Variable, cuda, sum_to
from tracer.custom import forward
from tracer.functions import matmul


class Linear(Function):
    def forward(self, x, W, b):
        y = x.dot(W)
        if b is not None:
            y += b
        return y

    def backward(self, gy):
        x, W, b = self.inputs
        gb = None if b.data is None else sum_to(gy, b.shape)
        gx = matmul(gy, W.T)
        gW = matmul(x.T, gy)
        return gx, gW, gb


class Sigmoid(Function):
    def forward(self, x):
        xp = cuda.get_array_module(x)
        y = xp.tanh(x * 0.5) * 0.5 + 0.5
        return y

    def backward(self, gy):
        y = self.outputs[0]()
        gx = gy * y * (1 - y)
        return gx


class MeanSquaredError(Function):
    def forward(self, x0, x1):
        diff = x0 - x1
        return (diff**2).sum() / len(diff)

    def backward(self, gy):
        x0, x1 = self.inputs
        diff = x0 - x1
        gx0 = gy * diff * (2.0 / len(diff))
        return gx0, -gx0


class Wrong(Function):
    """Its gradient is not that of its forward: 10 x, where the slope is 2 x."""

    def forward(self, x):
        return x**2

    def backward(self, gy):
        (x,) = self.inputs
        return gy * 10 * x


def compiled_gradient(fn, x):
    return tracer.compile(tracer.grad(fn))(x)


def test_the_seeds_functions():
    rng = np.random.default_rng(0)
    x, W, b = rng.normal(size=(5, 3)), Variable(rng.normal(size=(3, 2))), Variable(rng.normal(size=2))
    t = rng.normal(size=(5, 2))
    loss = MeanSquaredError()(t, Sigmoid()(Linear()(x, W, b)))
    loss.backward()
    got = [W.grad.data, b.grad.data]
    W.cleargrad()
    b.cleargrad()
    same = F.mean_squared_error(t, F.sigmoid(F.linear(x, W, b)))
    same.backward()
    np.testing.assert_allclose(loss.data, same.data, rtol=1e-14)
    for g, v in zip(got, (W, b)):
        np.testing.assert_allclose(g, v.grad.data, rtol=1e-13)


def test_an_operand_that_is_none():
    x, W = Variable(np.ones((4, 3))), Variable(np.ones((3, 2)))
    y = Linear()(x, W, None)
    y.backward()
    assert y.data.tolist() == [[3.0, 3.0]] * 4 and W.grad.data.tolist() == [[4.0, 4.0]] * 3
    graph = tracer.trace(lambda x: Linear()(x, W, None), np.ones((4, 3)))
    assert graph.outputs[0].shape == (4, 2)


def test_a_wrong_rule_shows_eagerly():
    x = Variable(np.array([1.0, 2.0]))
    y = Wrong()(x)
    y.backward()
    assert y.data.tolist() == [1.0, 4.0] and x.grad.data.tolist() == [10.0, 20.0]


def test_a_wrong_rule_shows_after_the_value_was_looked_at():
    x = Variable(np.array([1.0, 2.0]))
    y = Wrong()(x)
    assert repr(y) == "variable([1. 4.])"
    y.backward()
    assert x.grad.data.tolist() == [10.0, 20.0]


def test_a_wrong_rule_shows_traced():
    def loss(x):
        return F.sum(Wrong()(x))

    x = np.array([1.0, 2.0])
    got = compiled_gradient(loss, x)
    np.testing.assert_array_equal(getattr(got, "data", got) if isinstance(got, Variable) else got, [10.0, 20.0])


def test_a_wrong_rule_shows_in_the_second_gradient():
    x = Variable(np.array([1.0, 2.0]))
    y = F.sum(Wrong()(x) * x)  # first: x**2 + 10 x * x = 11 x**2; second: 2 * Wrong again where x**2 was the forward value
    y.backward(create_graph=True)
    assert x.grad.data.tolist() == [11.0, 44.0]
    gx = x.grad
    x.cleargrad()
    gx.backward()
    # gx = w(x) + 10 x * x with w the function itself, whose gradient is the rule's 10 x
    np.testing.assert_allclose(x.grad.data, 10 * x.data + 20 * x.data)


def test_a_wrong_rule_shows_in_the_second_gradient_traced():
    x = Variable(np.array([1.0, 2.0]))

    @tracer.compile
    def f():
        x.cleargrad()
        F.sum(Wrong()(x) * x).backward(create_graph=True)
        gx = x.grad
        x.cleargrad()
        gx.backward()
        return x.grad

    np.testing.assert_allclose(f().data, [30.0, 60.0])


def test_second_gradient_of_sigmoid():
    a = np.array([-1.0, 0.3, 2.0])
    x = Variable(a)
    Sigmoid()(x).backward(create_graph=True)
    gx = x.grad
    x.cleargrad()
    gx.backward()
    s = 1 / (1 + np.exp(-a))
    np.testing.assert_allclose(gx.data, s * (1 - s), rtol=1e-13)
    np.testing.assert_allclose(x.grad.data, s * (1 - s) * (1 - 2 * s), rtol=1e-12)


class MinMax(Function):
    def forward(self, x, y):
        self.x_shape = x.shape
        self.mask = x > y
        xp = cuda.get_array_module(x)
        return xp.where(self.mask, y, x), xp.where(self.mask, x, y)

    def backward(self, glow, ghigh):
        assert self.x_shape == glow.shape
        xp = cuda.get_array_module(glow)
        return xp.where(self.mask, ghigh, glow), xp.where(self.mask, glow, ghigh)


def test_several_results_and_attributes_of_forward():
    x, y = Variable(np.array([1.0, 5.0])), Variable(np.array([3.0, 2.0]))
    low, high = MinMax()(x, y)
    assert low.data.tolist() == [1.0, 2.0] and high.data.tolist() == [3.0, 5.0]
    (low + 10 * high).backward()
    assert x.grad.data.tolist() == [1.0, 10.0] and y.grad.data.tolist() == [10.0, 1.0]


def test_a_result_that_nothing_uses():
    x, y = Variable(np.array([1.0, 5.0])), Variable(np.array([3.0, 2.0]))
    low, _ = MinMax()(x, y)
    low.backward()
    assert x.grad.data.tolist() == [1.0, 0.0] and y.grad.data.tolist() == [0.0, 1.0]


def test_several_results_traced():
    x, y = Variable(np.array([1.0, 5.0])), Variable(np.array([3.0, 2.0]))

    @tracer.compile
    def f():
        x.cleargrad()
        low, high = MinMax()(x, y)
        (low + 10 * high).backward()
        return x.grad

    for _ in range(2):
        assert f().data.tolist() == [1.0, 10.0]
    x.data = np.array([9.0, 1.0])
    assert f().data.tolist() == [10.0, 1.0]


class Scale(Function):
    def __init__(self, factor, offset=None):
        self.factor, self.offset = factor, offset

    def forward(self, x):
        y = x * self.factor
        return y if self.offset is None else y + self.offset

    def backward(self, gy):
        return gy * self.factor


def test_attributes_that_are_numbers_and_arrays():
    x = Variable(np.array([1.0, 2.0]))
    for factor in (2.0, 3.0, -0.0):
        for offset in (None, np.array([1.0, -1.0]), np.array([5.0, 6.0])):
            x.cleargrad()
            y = Scale(factor, offset)(x)
            y.backward()
            np.testing.assert_array_equal(y.data, x.data * factor + (0.0 if offset is None else offset))
            np.testing.assert_array_equal(x.grad.data, [factor, factor])


def test_an_array_attribute_that_changes_is_seen():
    offset = np.array([1.0, 1.0])
    f = Scale(2.0, offset)
    x = Variable(np.array([1.0, 2.0]))
    y = f(x)
    offset += 10
    z = f(x)
    assert y.data.tolist() == [3.0, 5.0] and z.data.tolist() == [13.0, 15.0]


class Weighted(Function):
    def __init__(self, weights):
        self.weights = weights

    def forward(self, x):
        return x * self.weights[0] + self.weights[1]

    def backward(self, gy):
        return gy * self.weights[0]


def test_arrays_in_a_list_on_the_object():
    x = Variable(np.array([1.0, 2.0]))
    for k in (1.0, 2.0):
        weights = [np.array([k, k]), np.array([0.0, 1.0])]
        f = Weighted(weights)
        assert f(x).data.tolist() == [k, 2 * k + 1]
        weights[0] *= 10
        assert f(x).data.tolist() == [10 * k, 20 * k + 1]


def test_an_object_called_twice_keeps_both_states():
    f = MinMax()
    x, y = Variable(np.array([1.0, 5.0])), Variable(np.array([3.0, 2.0]))
    low, _ = f(x, y)
    f(y * 2, x)
    low.backward()
    assert x.grad.data.tolist() == [1.0, 0.0]


LEVEL = 2.0
TABLE = np.array([1.0, 2.0])


class Global(Function):
    def forward(self, x):
        return x * LEVEL + TABLE

    def backward(self, gy):
        return gy * LEVEL


def test_what_forward_reads_from_outside_is_read_anew():
    global LEVEL
    x = Variable(np.array([1.0, 1.0]))
    assert Global()(x).data.tolist() == [3.0, 4.0]
    LEVEL = 3.0
    TABLE[0] = 10.0
    assert Global()(x).data.tolist() == [13.0, 5.0]
    LEVEL = 2.0
    TABLE[0] = 1.0
    assert Global()(x).data.tolist() == [3.0, 4.0]


def test_forward_is_traced_once_for_equal_calls(monkeypatch):
    seen = []
    traced = forward._trace_forward
    monkeypatch.setattr(forward, "_trace_forward", lambda *given: seen.append(1) or traced(*given))

    class Twice(Function):
        def forward(self, x):
            return x * 2

        def backward(self, gy):
            return gy * 2

    x = Variable(np.ones(3))
    for _ in range(5):
        assert Twice()(x).data.tolist() == [2.0] * 3
    assert len(seen) == 1


def test_a_call_under_no_grad_does_not_spoil_the_next():
    class Twice(Function):
        def forward(self, x):
            return x * 2

        def backward(self, gy):
            return gy * 7

    x = Variable(np.ones(3))
    with tracer.no_grad():
        assert Twice()(x).creator is None
    Twice()(x).backward()
    assert x.grad.data.tolist() == [7.0] * 3


def test_inputs_and_outputs_can_be_read_after_the_call():
    f = Sigmoid()
    x = Variable(np.zeros(2))
    y = f(x)
    assert f.inputs[0] is x and f.outputs[0]() is y


@pytest.mark.parametrize("traced", [False, True])
def test_a_wrong_number_of_gradients(traced):
    class Short(Function):
        def forward(self, x, y):
            return x + y

        def backward(self, gy):
            return gy

    x = Variable(np.ones(3))

    def run():
        Short()(x, x).backward()

    with pytest.raises(tracer.ArgumentError, match="1 gradients for 2 operands"):
        tracer.compile(run)() if traced else run()


def test_forward_or_backward_left_out():
    x = Variable(np.ones(3))
    with pytest.raises(tracer.ArgumentError, match="no forward"):
        Function()(x)


def test_a_function_inside_a_compiled_function_given_variables():
    W = Variable(np.array([1.0, 2.0]))
    fast = tracer.compile(lambda x: Wrong()(x * W))
    F.sum(fast(Variable(np.array([1.0, 1.0])))).backward()
    np.testing.assert_array_equal(W.grad.data, [10.0, 20.0])


def test_gradients_that_broadcast_are_brought_back():
    class Add(Function):
        def forward(self, x, y):
            return x + y

        def backward(self, gy):
            return gy, gy

    x, y = Variable(np.ones((2, 3))), Variable(np.ones(3))
    Add()(x, y).backward()
    assert y.grad.data.tolist() == [2.0] * 3


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (lambda gy: gy.sum(), r"gradient of shape \(\) for operand 0 of shape \(3,\)"),
        (lambda gy: gy.reshape(3, 1), r"gradient of shape \(3, 1\) for operand 0 of shape \(3,\)"),
        (lambda gy: "x", "gave a str for operand 0"),
        (lambda gy: [gy, gy], "gave 2 gradients for 1 operands"),
    ],
)
@pytest.mark.parametrize("traced", [False, True])
def test_what_backward_gives_is_checked_by_name(given, says, traced):
    class Odd(Function):
        def forward(self, x):
            return x * 2

        def backward(self, gy):
            return given(gy)

    with pytest.raises(tracer.Error, match=rf"backward of Odd {says}" if "gave" in says else rf"backward of Odd gave a {says}") as caught:
        if traced:
            tracer.grad(lambda x: F.sum(Odd()(x)))(np.ones(3))
        else:
            Odd()(Variable(np.ones(3))).backward()
    assert "test_function.py" in str(caught.value)
