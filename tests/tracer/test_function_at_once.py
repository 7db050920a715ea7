"""Functions of the user's own whose forward no graph can hold: outside a trace it runs as define-by-run would run it, at each call."""
from __future__ import annotations

import math
import random

import numpy as np
import pytest

import tracer
import tracer.functions as F
from tracer import Function, Spec, Variable, no_grad
from tracer.eager import eager_backward, pending


class Steep(Function):
    """A branch on a value."""

    def forward(self, x):
        self.sign = 1.0 if float(x[0]) > 0 else -1.0
        return x * self.sign

    def backward(self, gy):
        return gy * self.sign


class Gamma(Function):
    """An element at a time, by a function that is not NumPy's; its derivative by another."""

    def forward(self, x):
        return np.array([math.lgamma(v) for v in x.tolist()])

    def backward(self, gy):
        (x,) = self.inputs
        return gy * Digamma()(x)


class Digamma(Function):
    def spec(self, x):
        return x

    def forward(self, x):
        h = 1e-5
        return np.array([(math.lgamma(v + h) - math.lgamma(v - h)) / (2 * h) for v in np.asarray(x)])

    def backward(self, gy):
        raise AssertionError("not asked for")


class Dropout(Function):
    def __init__(self, generator=None):
        self.generator = generator

    def forward(self, x):
        draw = np.random.rand(*x.shape) if self.generator is None else self.generator.random(x.shape)
        self.mask = (draw > 0.5) * 2.0
        return x * self.mask

    def backward(self, gy):
        return gy * self.mask


class Split(Function):
    """Two results, one operand left out, a state in a list."""

    def forward(self, x, b):
        assert b is None
        self.kept = [np.asarray(x) > 0, {"scale": 3.0}]
        return np.where(self.kept[0], x, 0.0), np.where(self.kept[0], 0.0, x)

    def backward(self, up, down):
        mask, scale = self.kept[0], self.kept[1]["scale"]
        return np.where(mask, up, down) * (scale / 3.0), None


# ---- values
def test_a_branch_on_a_value_is_taken_anew():
    for first in (2.0, -2.0, 3.0, -3.0):
        x = Variable(np.array([first, 1.0]))
        y = Steep()(x)
        y.backward()
        assert y.data.tolist() == [abs(first), math.copysign(1.0, first)] and x.grad.data.tolist() == [math.copysign(1.0, first)] * 2


def test_an_object_called_twice_keeps_both_states():
    f = Steep()
    x, y = Variable(np.array([2.0])), Variable(np.array([-2.0]))
    (f(x) + f(y)).backward()
    assert (x.grad.data.tolist(), y.grad.data.tolist()) == ([1.0], [-1.0])


def test_code_that_is_not_numpys():
    for k in range(3):
        x = Variable(np.array([1.5, 2.5, 4.0 + k]))
        y = F.sum(Gamma()(x * 2) * 0.5)
        y.backward()
        np.testing.assert_allclose(float(y), 0.5 * sum(math.lgamma(2 * v) for v in x.data), rtol=1e-14)
        up, down = ([math.lgamma(2 * v + e) for v in x.data] for e in (1e-5, -1e-5))
        np.testing.assert_allclose(x.grad.data, (np.array(up) - down) / 2e-5, rtol=1e-6)


def test_several_results_absent_operands_and_state_in_containers():
    for a in (np.array([1.0, -2.0, 3.0]), np.array([-1.0, 5.0, -6.0])):
        x = Variable(a)
        up, down = Split()(x, None)
        F.sum(up * 10 + down).backward()
        np.testing.assert_array_equal(up.data + down.data, a)
        np.testing.assert_array_equal(x.grad.data, np.where(a > 0, 10.0, 1.0))


def test_second_gradients_go_through_the_rule():
    class Cube(Function):
        def forward(self, x):
            return np.array([v**3 for v in x.tolist()])

        def backward(self, gy):
            (x,) = self.inputs
            return gy * 3 * x**2

    x = Variable(np.array([1.0, 2.0]))
    F.sum(Cube()(x)).backward(create_graph=True)
    gx = x.grad
    x.cleargrad()
    F.sum(gx).backward()
    assert x.grad.data.tolist() == [6.0, 12.0]


def test_without_history():
    x = Variable(np.array([2.0]))
    with no_grad():
        y = Steep()(x)
    (y * 3).backward()
    assert x.grad is None


def test_operands_are_as_they_were_when_called():
    x = Variable(np.array([2.0, 3.0]))
    y = Gamma()(x)
    x.data[0] = 100.0
    np.testing.assert_allclose(y.data, [math.lgamma(2.0), math.lgamma(3.0)])


def test_pending_operands_are_computed_first():
    x = Variable(np.array([2.0]))
    assert Steep()(x * -1).data.tolist() == [2.0]


# ---- chance and memory
@pytest.mark.parametrize("own", [False, True])
def test_masks_are_drawn_at_each_call_and_used_in_its_gradient(own):
    generator = np.random.default_rng(0) if own else None
    x, masks = Variable(np.ones(20)), []
    for _ in range(6):
        x.cleargrad()
        y = Dropout(generator)(x)
        y.backward()
        np.testing.assert_array_equal(y.data, x.grad.data)
        masks.append(y.data.tobytes())
    assert len(set(masks)) == 6


def test_draws_are_those_of_define_by_run():
    np.random.seed(3)
    got = [Dropout()(Variable(np.ones(5))).data for _ in range(4)]
    np.random.seed(3)
    for y in got:
        np.testing.assert_array_equal(y, (np.random.rand(5) > 0.5) * 2.0)


def test_pythons_draws():
    class Jitter(Function):
        def forward(self, x):
            return x + random.random()

        def backward(self, gy):
            return gy

    assert len({float(Jitter()(Variable(np.array(0.0)))) for _ in range(5)}) == 5


def test_a_forward_that_counts_or_collects_does_so_at_each_call():
    seen = []

    class Counting(Function):
        total = 0

        def __init__(self):
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            Counting.total += 1
            seen.append(x.shape)
            return x * self.calls

        def backward(self, gy):
            return gy * self.calls

    f = Counting()
    assert [float(f(Variable(np.array(1.0)))) for _ in range(4)] == [1.0, 2.0, 3.0, 4.0]
    assert (f.calls, Counting.total, seen) == (4, 4, [()] * 4)


# ---- cost, and inside a trace
def test_equal_calls_compile_nothing_anew(monkeypatch):
    made = []
    compiled = pending.compiled
    for module in (pending, eager_backward):
        monkeypatch.setattr(module, "compiled", lambda graph, layouts: made.append(1) or compiled(graph, layouts))
    x = Variable(np.linspace(1, 2, 7))
    for _ in range(20):
        x.cleargrad()
        F.sum(Dropout()(x) * Gamma()(x)).backward()
        x.data = x.data + 0.01
    assert len(made) <= 6


def test_inside_a_trace_it_is_refused_with_the_line_and_the_way_out():
    with pytest.raises(tracer.TraceError, match=r"float\(\) needs a value(.|\n)*Steep\.spec\(self, \*specs\)") as caught:
        tracer.compile(lambda x: Steep()(x))(np.ones(2))
    assert "float(x[0])" in str(caught.value)
    with pytest.raises(tracer.TraceError, match="drawn from np.random"):
        tracer.compile(lambda x: Dropout()(x))(np.ones(2))


class Declared(Function):
    """Two results of its operands, a number and an array on the object."""

    def __init__(self, k, table):
        self.k, self.table = k, table

    def spec(self, x, y):
        return Spec(x.shape, np.float64), Spec((), np.int64)

    def forward(self, x, y):
        assert type(x) is np.ndarray and y is None
        return np.array([self.k * v + w for v, w in zip(x.tolist(), self.table.tolist())]), np.array(len(x.tolist()))

    def backward(self, gy, gn):
        return gy * self.k, None


def test_what_is_declared_is_called_at_each_run():
    table = np.arange(3.0)
    declared = Declared(2.0, table)

    @tracer.compile
    def fast(x):
        y, n = declared(np.sin(x), None)
        return y.data * n.data + 1.0

    for x in (np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])):
        np.testing.assert_allclose(fast(x), (2.0 * np.sin(x) + table) * 3 + 1.0, rtol=1e-15)
    table[0] = 100.0
    np.testing.assert_allclose(fast(x), (2.0 * np.sin(x) + table) * 3 + 1.0, rtol=1e-15)
    declared.k = 5.0
    np.testing.assert_allclose(fast(x), (5.0 * np.sin(x) + table) * 3 + 1.0, rtol=1e-15)
    np.testing.assert_allclose(tracer.grad(lambda x: F.sum(declared(np.sin(x), None)[0]))(x), 5.0 * np.cos(x), rtol=1e-15)


def test_what_is_declared_is_drawn_at_each_run():
    class Noise(Function):
        def spec(self, x):
            return x

        def forward(self, x):
            return x + np.random.rand(*x.shape)

        def backward(self, gy):
            return gy

    fast = tracer.compile(lambda x: Noise()(x).data - Noise()(x).data)
    assert len({fast(np.zeros(3)).tobytes() for _ in range(4)}) == 4


def test_in_a_training_step():
    W = Variable(np.array([1.0, 2.0, 3.0]))
    declared = Declared(2.0, np.zeros(3))
    step = tracer.train_step(lambda x: F.sum(declared(W * x, None)[0]), tracer.optimizers.SGD(lr=0.1), [W])
    for _ in range(3):
        step(np.ones(3))
    np.testing.assert_allclose(W.data, np.array([1.0, 2.0, 3.0]) - 3 * 0.1 * 2.0, rtol=1e-14)


def test_what_it_gets_it_may_keep_and_write():
    kept = []

    class Writing(Function):
        def spec(self, x):
            return x

        def forward(self, x):
            kept.append(x)
            x[0] = -1.0
            return x

        def backward(self, gy):
            return gy

    x = np.arange(3.0)
    fast = tracer.compile(lambda x: (Writing()(x + 1).data, x + 1))
    for _ in range(2):
        got, other = fast(x)
        assert got.tolist() == [-1.0, 2.0, 3.0] and other.tolist() == [1.0, 2.0, 3.0]
    assert not np.shares_memory(kept[0], kept[1]) and not np.shares_memory(kept[1], got)


@pytest.mark.parametrize(
    ("declared", "error"),
    [(Spec((2,)), tracer.ShapeError), (Spec((3,), np.float32), tracer.DTypeError), ((Spec((3,)),) * 2, tracer.ShapeError)],
)
def test_what_was_declared_otherwise_is_an_error(declared, error):
    class Lying(Function):
        def spec(self, x):
            return declared

        def forward(self, x):
            return np.asarray(x) * 1.0

        def backward(self, *gys):
            return gys[0]

    def f(x):
        made = Lying()(x)
        return [y.data for y in made] if isinstance(made, list) else made.data

    with pytest.raises(error, match="of Lying is|Lying gave 1 results") as caught:
        tracer.compile(f)(np.ones(3))
    assert "test_function_at_once.py" in str(caught.value)


def test_its_own_exceptions_come_out_and_the_next_call_is_right():
    class Failing(Function):
        def spec(self, x):
            return x

        def forward(self, x):
            if x[0] < 0:
                raise KeyError("negative")
            return np.sqrt(x)

        def backward(self, gy):
            return gy

    fast = tracer.compile(lambda x: Failing()(x).data)
    for _ in range(2):
        with pytest.raises(KeyError, match="negative"):
            fast(np.array([-1.0, 4.0]))
        assert fast(np.array([9.0, 4.0])).tolist() == [3.0, 2.0]
