"""Whole iterations: whatever comes in between, and however a step is run, parameters and state are those of the optimizer's rules."""
from __future__ import annotations

import signal
import threading

import numpy as np
import pytest

import tracer
from tests.tracer.test_train_state import X, Y, loss, same, start
from tracer import Parameter, Variable
from tracer import functions as F
from tracer.optimizers import SGD, Adam, RMSprop


# ---- whole iterations
@pytest.mark.parametrize("how", ["step", "run"])
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
def test_interrupts_leave_whole_iterations(how):
    """Every parameter and moment is a known function of the number of iterations, and so must all be after Ctrl-C at any moment."""
    params = [np.zeros(1000) for _ in range(8)]
    step = tracer.train_step(lambda p: sum(np.sum(x) for x in p), SGD(1.0, 0.5), params)
    step()
    step.run(steps=100)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for k in range(25):
            with pytest.raises(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, 0.004 + 0.0003 * k)
                while True:
                    step.run(steps=100) if how == "run" else step()
            n, velocity, value = step.iteration, step.state["velocity"], step.params
            assert len({v[0] for v in velocity} | {v[-1] for v in velocity}) == 1
            assert len({v[0] for v in value} | {v[-1] for v in value}) == 1
            assert velocity[0][0] == pytest.approx(2 - 2 * 0.5**n) and value[0][0] == pytest.approx(-2 * n + 2 - 2 * 0.5**n, rel=1e-9)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert step.iteration > 101


def test_a_float_error_in_an_update_leaves_a_whole_iteration():
    step = tracer.train_step(lambda p: np.sum(p["a"]) + np.sum(p["b"] * 1e300), SGD(1e10, 0.5), {"a": np.zeros(2), "b": np.zeros(2)})
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        step()
    params, velocity = step.params, step.state["velocity"]
    if step.iteration:
        assert (velocity["a"] == 1).all() and (params["a"] == -1e10).all() and np.isinf(params["b"]).all()
    else:
        assert not any(a.any() for a in (*params.values(), *velocity.values()))


def test_an_error_before_the_update_leaves_all_as_it_was():
    step = tracer.train_step(lambda p, i: np.sum(p[i] ** 2), Adam(0.1), np.ones(4))
    step(np.array([0, 1]))
    before = step.params, step.state, step.iteration
    with pytest.raises(IndexError):
        step(np.array([0, 9]))
    same(before[0], step.params)
    same(before[1], step.state)
    assert step.iteration == before[2] == 1


def test_threads_count_every_iteration():
    step = tracer.train_step(lambda p: np.sum(p), SGD(1.0, 0.5), np.zeros(100))
    step()
    threads = [threading.Thread(target=lambda: [step() for _ in range(200)]) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert step.iteration == 801
    np.testing.assert_allclose(step.params, -2 * 801 + 2, rtol=1e-12)


def test_what_is_read_while_another_thread_trains_is_of_one_iteration():
    step = tracer.train_step(lambda p: sum(np.sum(x) for x in p), SGD(1.0, 0.5), [np.zeros(5000) for _ in range(4)])
    step()
    done = threading.Event()
    thread = threading.Thread(target=lambda: [step() for _ in range(300)] and done.set())
    thread.start()
    while not done.is_set():
        for arrays in (step.params, step.state["velocity"]):
            assert len({a[0] for a in arrays} | {a[-1] for a in arrays}) == 1
    thread.join()
    assert step.iteration == 301


def test_read_only_parameters_can_be_set():
    data = np.ones(3)
    data.flags.writeable = False
    W = Variable(data)
    step = tracer.train_step(lambda: F.sum(W * W), SGD(0.25), [W])
    step.params = [np.full(3, 2.0)]
    assert step() == 12 and (data == 1).all()
    np.testing.assert_array_equal(W.data, 1)


# ---- as the rules say, whatever the way
def eagerly(optimizer, params, batches):
    """The optimizer's own rules on plain arrays, with gradients by hand."""
    kept = {name: optimizer.state(p) for name, p in params.items()}
    for k, (x, y) in enumerate(batches):
        scalars = optimizer.scalars(k)
        z = np.tanh(x @ params["W"])
        d = 2 * (z + params["c"] - y) / y.size
        grads = {"W": x.T @ (d * (1 - z**2)), "c": d.sum(0)}
        weighted = [g * optimizer.weight(scalars) for g in grads.values()]
        grads = dict(zip(grads, optimizer.prepare(weighted, scalars)))
        for name, g in grads.items():
            params[name], kept[name] = optimizer.update(params[name], g, kept[name], scalars)
    return params


OPTIMIZERS = [
    SGD(0.1), SGD(0.1, 0.9, nesterov=True, weight_decay=0.1, clip_norm=0.3), Adam(0.01), RMSprop(0.01, momentum=0.3, centered=True)
]  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"exact": True}, {"check": True}, {"audit": True}, {"on_nan": "raise"}], ids=str)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_every_mode_does_what_the_rules_say(optimizer, options):
    batches = [(X, Y), (X[:3], Y[:3]), (X, Y)]
    step = tracer.train_step(loss, optimizer, start(), **options)
    step.fit(batches)
    for name, due in eagerly(optimizer, start(), batches).items():
        np.testing.assert_allclose(step.params[name], due, rtol=1e-10)


LAID = {"F": np.asfortranarray, "swapped": lambda a: a.astype(">f8"), "strided": lambda a: np.repeat(a[..., None], 2, -1)[..., 0]}


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("laid", LAID.values(), ids=LAID)
def test_parameters_that_lie_otherwise(optimizer, laid):
    held = {name: Variable(laid(a)) for name, a in start().items()}
    step = tracer.train_step(lambda x, y: loss({name: v.data for name, v in held.items()}, x, y), optimizer, held)
    step.fit([(X, Y)] * 2)
    for v in held.values():
        v.data = laid(v.data)  # and once more between steps
    step(X, Y)
    for name, due in eagerly(optimizer, start(), [(X, Y)] * 3).items():
        np.testing.assert_allclose(held[name].data, due, rtol=1e-10)


def test_what_a_loss_writes_is_written_with_the_parameters_or_not_at_all():
    running, W = Variable(np.zeros(2)), Parameter(np.ones((3, 2)))

    def error(x, y):
        z = x @ W.data
        running.data[...] = 0.9 * running.data + 0.1 * z.mean(0)
        return np.mean((z - y) ** 2)

    step = tracer.train_step(error, Adam(0.1), [W], on_nan="raise")
    step(X, Y)
    np.testing.assert_allclose(running.data, 0.1 * (X @ np.ones((3, 2))).mean(0))
    before = running.data.copy(), W.data.copy()
    with pytest.raises(tracer.NotFiniteError):
        step(X * np.nan, Y)
    same((running.data, W.data)[0], before[0])
    same(W.data, before[1])


# ---- NaN
@pytest.mark.parametrize("how", ["step", "run"])
def test_nan_is_refused_before_anything_is_written(how):
    step = tracer.train_step(lambda p, x: np.sum(np.sqrt(p * x)), Adam(0.25), np.full(2, 0.9), on_nan="raise")
    with np.errstate(all="ignore"), pytest.raises(tracer.NotFiniteError, match="iteration 4") as error:
        if how == "run":
            step.run(np.ones(2), steps=10)
        else:
            for _ in range(10):
                step(np.ones(2))
    assert isinstance(error.value, FloatingPointError) and "mend" in str(error.value) and "test_train_whole.py" in str(error.value)
    plain = tracer.train_step(lambda p, x: np.sum(np.sqrt(p * x)), Adam(0.25), np.full(2, 0.9))
    plain.run(np.ones(2), steps=4)
    same(step.params, plain.params)
    same(step.state, plain.state)
    assert step.iteration == 4
    step.params = np.full(2, 0.9)
    assert step(np.ones(2)) == pytest.approx(2 * np.sqrt(0.9))  # it goes on


def test_an_infinite_gradient_under_a_finite_loss():
    step = tracer.train_step(lambda p: np.sum(np.sqrt(p)), SGD(0.1, 0.9), np.zeros(2), on_nan="raise")
    with np.errstate(all="ignore"), pytest.raises(tracer.NotFiniteError, match="iteration 0"):
        step()
    same(step.params, np.zeros(2))
    free = tracer.train_step(lambda p: np.sum(np.sqrt(p)), SGD(0.1, 0.9), np.zeros(2))
    with np.errstate(all="ignore"):
        free()
    assert np.isinf(free.params).all()


def test_what_does_not_overflow_is_not_refused():
    big = np.full(3, 1e308)
    step = tracer.train_step(lambda p: np.sum(p * big) * 0 + np.sum(p * big), SGD(1e-308), np.zeros(3), on_nan="raise")
    step()  # the sum of the gradient overflows, no gradient does
    np.testing.assert_allclose(step.params, -1)


def test_on_nan_with_aux_and_options():
    step = tracer.train_step(lambda p: (np.sum(p), {"p": p}), SGD(0.5), np.ones(2), has_aux=True, on_nan="raise")
    value, aux = step()
    assert value == 2 and (aux["p"] == 1).all()
    losses, stacked = step.run(steps=2)
    np.testing.assert_array_equal(losses, [1, 0])
    assert stacked["p"].shape == (2, 2) and "on if true" in str(step.plan())
    with pytest.raises(tracer.ArgumentError, match="on_nan"):
        tracer.train_step(loss, SGD(), start(), on_nan="warn")
