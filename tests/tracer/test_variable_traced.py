"""Variables inside a trace hold traced arrays; their gradients are nodes of the graph."""
from __future__ import annotations

import numpy as np
import pytest

import tracer
import tracer.functions as F
from tracer import Variable, no_grad


# ---- inside a trace
def test_variables_in_a_trace_hold_traced_arrays():
    W = Variable(np.ones((3, 2)))
    seen = []

    def f(x):
        y = F.matmul(x, W)
        seen.append((type(y), y.shape, type(y.data).__name__, type(W.data).__name__))
        return y

    graph = tracer.trace(f, np.ones((4, 3)))
    assert seen == [(Variable, (4, 2), "ndarray", "ndarray")]
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
