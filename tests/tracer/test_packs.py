"""Small parameters that a step lays one behind the other: their Variables, other steps and readers notice nothing but the memory."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import tracer
from backends.numpy import NumpyBackend
from backends.numpy.support import lie_adjacent
from backends.numpy.target import TARGET
from tracer import Variable, optimizers
from tracer import functions as F

X, Y = np.random.default_rng(0).normal(size=(2, 20, 3))


def variables(count: int = 3) -> list[Variable]:
    rng = np.random.default_rng(1)
    return [Variable(rng.normal(size=shape)) for shape in ((3, 4), (4,), (4, 3), (3,))[:count]]


def network(params: list[Variable]):
    def loss(x, y):
        h = F.sigmoid(F.linear(x, params[0], params[1]))
        return F.mean_squared_error(y, F.linear(h, params[2], params[3] if len(params) > 3 else None))

    return loss


def step_of(params: list[Variable], optimizer=None, **options):
    return tracer.train_step(network(params), optimizer or optimizers.SGD(lr=0.1), params, **options)


def packed(params: list[Variable]) -> bool:
    return lie_adjacent([p.data for p in params])


def aim(monkeypatch, **changes):
    """Plans are made for NumPy's Target with these changes."""
    monkeypatch.setattr(NumpyBackend, "target", lambda self, exact=False: replace(TARGET, **changes))


OPTIMIZERS = [optimizers.SGD(lr=0.1), optimizers.SGD(lr=0.1, momentum=0.9), optimizers.Adam(0.01), optimizers.AdamW(0.01),
              optimizers.RMSprop(0.01)]  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_one_by_one_they_come_to_the_same_bits(optimizer, monkeypatch):
    aim(monkeypatch, row_ns=0.0)
    params = variables(4)
    step = step_of(params, optimizer)
    losses = step.run(X, Y, steps=20)
    assert packed(params) and len(step.plan(X, Y).packs) == 1 + len(step.state)
    aim(monkeypatch, row_ns=0.0, pack_bytes=0)
    others = variables(4)
    apart = step_of(others, optimizer)
    np.testing.assert_array_equal(apart.run(X, Y, steps=20), losses)
    assert not packed(others) and apart.plan(X, Y).packs == []
    for one, other in zip(params, others):
        np.testing.assert_array_equal(one.data, other.data)


def operations(step, *batch) -> list[str]:
    return [node.op.name for node in step.plan(*batch).graph.order()]


@pytest.mark.parametrize("rows, width, left", [(60, 3, 1), (60, 900, 2)])
@pytest.mark.parametrize("dtype, rtol", [("f8", 1e-11), ("f4", 1e-3)])
def test_a_bias_inside_the_product_gives_the_same(rows, width, left, dtype, rtol, monkeypatch):
    """The bias is in the product and its gradient in the weight's, where the layer's input is not large; not in the last layer, whose
    output is read as one axis."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(rows, width)).astype(dtype), rng.normal(size=(rows, 2)).astype(dtype)
    start = [rng.normal(size=shape).astype(dtype) / max(shape) for shape in ((width, 5), (5,), (5, 7), (7,), (7, 2), (2,))]

    def make(**options):
        params = [Variable(a.copy()) for a in start]

        def loss(x, y):
            h = F.tanh(F.linear(F.sigmoid(F.linear(x, params[0], params[1])), params[2], params[3]))
            d = F.linear(h, params[4], params[5]) - y
            return F.sum(d * d) / rows

        return params, tracer.train_step(loss, optimizers.SGD(lr=0.01), params, **options)

    params, step = make()
    losses = step.run(x, y, steps=10)
    assert operations(step, x, y).count("linear") == left
    checked = make(check=True)[1]
    checked(x, y)
    aim(monkeypatch, row_ns=0.0)
    others, plain = make()
    np.testing.assert_allclose(losses, plain.run(x, y, steps=10), rtol=rtol)
    assert operations(plain, x, y).count("linear") == 3
    for p, other in zip(params, others):
        np.testing.assert_allclose(p.data, other.data, rtol=rtol, atol=rtol / 10)


def test_what_is_written_into_data_or_assigned_is_seen():
    params, twins = variables(), variables()
    step, plain = step_of(params), step_of(twins, check=True)
    for k in range(6):
        for given in (params, twins):
            if k == 2:
                given[1].data[...] = 0.5
            if k == 3:
                given[0].data = np.full((3, 4), 0.25)
            if k == 4:
                given[2].data = np.asfortranarray(np.ones((4, 3)))
        np.testing.assert_allclose(step(X, Y), plain(X, Y), rtol=1e-12)
        assert packed(params)


def test_the_array_that_was_assigned_is_not_written():
    params = variables()
    step = step_of(params)
    step(X, Y)
    mine = np.ones((3, 4))
    params[0].data = mine
    step(X, Y)
    assert (mine == 1).all() and not (params[0].data == 1).all() and packed(params)


def test_a_second_step_takes_them_as_they_lie():
    params = variables(4)
    first, second = step_of(params), step_of(params[:3] + params[3:])
    reader = tracer.compile(lambda: [p.data for p in params])
    first(X, Y)
    arrays = [p.data for p in params]
    second(X, Y)
    other = tracer.train_step(network(params), optimizers.SGD(lr=0.1), [params[2], params[0]])
    other(X, Y)
    first(X[:5], Y[:5])
    assert all(p.data is a for p, a in zip(params, arrays)), "laid once"
    assert other.plan(X, Y).packs == [] and len(second.plan(X, Y).packs) == 1
    for read, p in zip(reader(), params):
        np.testing.assert_array_equal(read, p.data)


def test_two_steps_that_lay_them_differently_stay_right():
    """Both are planned before either runs."""
    params, twins = variables(4), variables(4)
    steps = [tracer.train_step(network(params), optimizers.SGD(lr=0.1), chosen) for chosen in (params[:2], params[1:3])]
    for step in steps:
        assert step.plan(X, Y).packs
    plain = [tracer.train_step(network(twins), optimizers.SGD(lr=0.1), chosen, check=True) for chosen in (twins[:2], twins[1:3])]
    for _ in range(3):
        for step, other in zip(steps, plain):
            np.testing.assert_allclose(step(X, Y), other(X, Y), rtol=1e-12)
    for p, twin in zip(params, twins):
        np.testing.assert_allclose(p.data, twin.data, rtol=1e-12)


def test_exact_steps_and_large_parameters_stay_where_they_are():
    params = variables()
    arrays = [p.data for p in params]
    step_of(params, exact=True)(X, Y)
    assert all(p.data is a for p, a in zip(params, arrays))
    large = [Variable(np.ones(20_000)), Variable(np.ones(30_000))]
    step = tracer.train_step(lambda: F.sum(large[0] * large[0]) + F.sum(large[1] * large[1]), optimizers.SGD(lr=0.1), large)
    step()
    assert step.plan().packs == []


def test_a_loss_that_is_not_finite_changes_none_of_them():
    params = variables()
    step = step_of(params, on_nan="raise")
    step(X, Y)
    before = [p.data.copy() for p in params]
    with pytest.raises(tracer.NotFiniteError):
        step(X * np.nan, Y)
    for p, b in zip(params, before):
        np.testing.assert_array_equal(p.data, b)


def test_the_picture_names_all_that_lies_in_a_pack():
    W, b, V, c = variables(4)
    step = tracer.train_step(lambda x, y: F.mean_squared_error(y, F.linear(F.sigmoid(F.linear(x, W, b)), V, c)), optimizers.SGD(lr=0.1))
    assert ": 248 B," in step.plan(X, Y).to_dot() and "</B> W, b, V, c: 248 B," in step.plan(X, Y).to_dot()
