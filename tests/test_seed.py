"""The training job that this project began with: its losses, by every way of running it, and what must hold of its graphs and plans."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import tracer
from tracer import Function, Variable, cuda, optimizers
from tracer import functions as F

LOSSES = {
    0: 0.8473695850105871, 1000: 0.2514286285183606, 2000: 0.24759485466749873, 3000: 0.23786120447054823, 4000: 0.2122223133310295,
    5000: 0.16742181117834204, 6000: 0.09681932619992688, 7000: 0.07849528290602337, 8000: 0.07749729552991157, 9000: 0.07722132399559316,
}  # fmt: skip
LR = 0.2


@dataclass
class Job:
    """The data, the parameters, and `predict` over them; `linear` and `sigmoid` can be exchanged."""

    x: np.ndarray
    y: np.ndarray
    params: list[Variable]
    linear: Any = staticmethod(F.linear)
    sigmoid: Any = staticmethod(F.sigmoid)

    def predict(self, x: Any) -> Any:
        W1, b1, W2, b2 = self.params
        return self.linear(self.sigmoid(self.linear(x, W1, b1)), W2, b2)

    def loss(self, x: Any, y: Any) -> Any:
        return F.mean_squared_error(y, self.predict(x))

    def eager_step(self) -> Variable:
        loss = self.loss(self.x, self.y)
        for p in self.params:
            p.cleargrad()
        loss.backward()
        for p in self.params:
            p.data -= LR * p.grad.data
        return loss


def job(**parts: Any) -> Job:
    np.random.seed(0)
    x = np.random.rand(100, 1)
    y = np.sin(2 * np.pi * x) + np.random.rand(100, 1)
    params = [Variable(a) for a in (0.01 * np.random.randn(1, 10), np.zeros(10), 0.01 * np.random.randn(10, 1), np.zeros(1))]
    return Job(x, y, params, **parts)


def same(losses: dict[int, float], last: int = 10_000) -> None:
    for iteration, due in LOSSES.items():
        if iteration < last:
            assert losses[iteration] == pytest.approx(due, rel=1e-12, abs=0), iteration


def by_hand(job: Job, t: np.ndarray) -> np.ndarray:
    """The prediction in plain NumPy."""
    W1, b1, W2, b2 = (p.data for p in job.params)
    return (np.tanh((t @ W1 + b1) * 0.5) * 0.5 + 0.5) @ W2 + b2


# ---- the table of losses
def test_eager():
    it = job()
    losses = {}
    for i in range(10_000):
        loss = it.eager_step()
        if i % 1000 == 0:
            losses[i] = float(loss.data)
    same(losses)


def test_step_called_and_run():
    called, ran = job(), job()
    step = tracer.train_step(called.loss, optimizers.SGD(lr=LR), called.params)
    losses = [step(called.x, called.y) for _ in range(10_000)]
    same(dict(enumerate(map(float, losses))))
    assert step.iteration == 10_000 and step.explain().traces == 1

    step = tracer.train_step(ran.loss, optimizers.SGD(lr=LR), ran.params)
    chunks = [step.run(ran.x, ran.y, steps=1000) for _ in range(10)]
    assert all(chunk.shape == (1000,) and chunk.dtype == np.float64 for chunk in chunks)
    same(dict(enumerate(np.concatenate(chunks).tolist())))
    assert step.explain().traces == 1
    for one, two in zip(called.params, ran.params):
        np.testing.assert_array_equal(one.data, two.data)

    # any batch size, eager and compiled, after training
    fast = tracer.compile(ran.predict)
    for rows in (100, 1, 7, 0, 1000):
        t = np.linspace(0, 1, rows)[:, np.newaxis]
        due = by_hand(ran, t)
        np.testing.assert_allclose(ran.predict(t).data, due, rtol=1e-12)
        np.testing.assert_allclose(fast(t).data, due, rtol=1e-12)


def test_params_as_arrays():
    it = job()
    before = [p.data.copy() for p in it.params]

    def loss(params, x, y):
        W1, b1, W2, b2 = params
        return F.mean_squared_error(y, F.linear(F.sigmoid(F.linear(x, W1, b1)), W2, b2))

    arrays = [p.data for p in it.params]
    step = tracer.train_step(loss, optimizers.SGD(lr=LR), arrays)
    same(dict(enumerate(np.concatenate([step.run(it.x, it.y, steps=500) for _ in range(5)]).tolist())), 2500)
    for array, old in zip(arrays, before):
        np.testing.assert_array_equal(array, old)


# ---- one trace
def test_two_calls_of_equal_specs_trace_once():
    count = 0
    it = job()

    def loss(x, y):
        nonlocal count
        count += 1
        return it.loss(x, y)

    step = tracer.train_step(loss, optimizers.SGD(lr=LR), it.params)
    for lr in (0.2, 0.1, 0.1, 1, 0):
        step.optimizer.lr = lr
        before, at = [p.data.copy() for p in it.params], by_hand(it, it.x)
        assert step(it.x, it.y) == pytest.approx(float(((at - it.y) ** 2).sum() / 100), rel=1e-12)
        moved = max(abs(p.data - old).max() for p, old in zip(it.params, before))
        assert (moved > 0) == (lr > 0)
        step.run(it.x, it.y, steps=2)
    assert count == 1 and step.explain().traces == 1 and step.explain().calls == 10


# ---- three spellings
def with_linear(x, W, b):
    return F.linear(x, W, b)


def with_linear_simple(t, A, c):
    return F.linear_simple(t, A, c)


def with_operators(left, right, bias):
    product = left @ right
    return product + bias


SPELLINGS = [with_linear, with_linear_simple, with_operators]
ARRAYS = (np.linspace(-1, 1, 300).reshape(100, 3), np.linspace(0, 1, 30).reshape(3, 10), np.linspace(2, 3, 10))


def one(texts: list[str]) -> str:
    assert texts[0] == texts[1] == texts[2]
    return texts[0]


def test_spellings_forward():
    fasts = [tracer.compile(fn) for fn in SPELLINGS]
    text = one([fast.graph(*ARRAYS).text(lines=False) for fast in fasts])
    assert "linear(" in text and "matmul" not in text and "add" not in text
    one([fast.plan(*ARRAYS).text(lines=False) for fast in fasts])
    for fast in fasts:
        out = fast(*ARRAYS)
        np.testing.assert_allclose(out.data if isinstance(out, Variable) else out, ARRAYS[0] @ ARRAYS[1] + ARRAYS[2], rtol=1e-12)


def test_spellings_with_gradient():
    fasts = []
    for fn in SPELLINGS:
        whole = tracer.value_and_grad(lambda x, W, b, fn=fn: F.sum(fn(x, W, b) ** 2), argnums=(0, 1, 2))
        fasts.append(tracer.compile(whole))
    text = one([fast.graph(*ARRAYS).text(lines=False) for fast in fasts])
    assert text.count("linear(") == 1 and "linear_vjp(" in text
    plan_text = one([fast.plan(*ARRAYS).text(lines=False) for fast in fasts])
    assert plan_text
    y = ARRAYS[0] @ ARRAYS[1] + ARRAYS[2]
    for fast in fasts:
        loss, (gx, gW, gb) = fast(*ARRAYS)
        np.testing.assert_allclose(np.asarray(loss.data if isinstance(loss, Variable) else loss), (y**2).sum())
        np.testing.assert_allclose(gx, 2 * y @ ARRAYS[1].T)
        np.testing.assert_allclose(gW, ARRAYS[0].T @ (2 * y))
        np.testing.assert_allclose(gb, 2 * y.sum(0))


@pytest.mark.parametrize("fn", SPELLINGS)
def test_no_buffer_of_the_product(fn):
    plan = tracer.compile(fn).plan(*ARRAYS)
    size = 100 * 10 * 8
    assert [b.kind for b in plan.buffers if b.bytes >= size and b.kind not in ("input", "state", "const")] == ["result"]
    assert plan.peak_bytes - size < size


def test_spellings_in_the_training_step():
    texts, plans = [], []
    for linear in (F.linear, F.linear_simple, with_operators):
        it = job(linear=linear)
        step = tracer.train_step(it.loss, optimizers.SGD(lr=LR), it.params)
        texts.append(step.graph(it.x, it.y).text(lines=False))
        plans.append(step.plan(it.x, it.y).text(lines=False))
    one(texts)
    one(plans)


# ---- operations of the user's own, in the form of the course
class Linear(Function):
    def forward(self, x, W, b):
        y = x.dot(W)
        if b is not None:
            y += b
        return y

    def backward(self, gy):
        x, W, b = self.inputs
        gb = None if b.data is None else tracer.sum_to(gy, b.shape)
        return F.matmul(gy, W.T), F.matmul(x.T, gy), gb


class Sigmoid(Function):
    def forward(self, x):
        xp = cuda.get_array_module(x)
        return xp.tanh(x * 0.5) * 0.5 + 0.5

    def backward(self, gy):
        y = self.outputs[0]()
        return gy * y * (1 - y)


def own() -> Job:
    return job(linear=lambda x, W, b=None: Linear()(x, W, b), sigmoid=lambda x: Sigmoid()(x))


def test_functions_of_the_user_eager():
    it = own()
    losses = {i: float(it.eager_step().data) for i in range(1001)}
    same(losses, 1001)


def test_functions_of_the_user_compiled():
    it = own()
    step = tracer.train_step(it.loss, optimizers.SGD(lr=LR), it.params)
    same(dict(enumerate(np.append(step.run(it.x, it.y, steps=1000), step(it.x, it.y)))), 1001)


def test_functions_of_the_user_without_bias():
    x, W = Variable(ARRAYS[0]), Variable(ARRAYS[1])
    F.sum(Linear()(x, W, None)).backward()
    np.testing.assert_allclose(W.grad.data, ARRAYS[0].T @ np.ones((100, 10)))
    gW = tracer.grad(lambda W: F.sum(Linear()(ARRAYS[0], W, None)))(ARRAYS[1])
    np.testing.assert_allclose(gW, ARRAYS[0].T @ np.ones((100, 10)))


# ---- what the script's user sees
def test_prints_as_the_course_prints():
    it = job()
    assert repr(it.eager_step()) == "variable(0.8473695850105871)"
