"""Threads: results are right and nobody else's, parameters are those of whole iterations, a trace in one thread is felt in no other."""
from __future__ import annotations

import gc
import multiprocessing
import random
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest

import tracer
import tracer.functions as F
from ir.plan import Region
from tracer import Parameter, Variable, optimizers


@pytest.fixture(autouse=True)
def _hasty():
    """Threads change places often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def together(*works):
    """Runs each in a thread of its own, begun at the same time; the first exception comes out here."""
    failed = []
    start = threading.Barrier(len(works))

    def run(work):
        start.wait()
        try:
            work()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


@contextmanager
def meanwhile(work):
    """Another thread does `work` again and again."""
    stop, begun = threading.Event(), threading.Event()

    def run():
        while not stop.is_set():
            work()
            begun.set()

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        stop.set()
        thread.join()


# ---- one compiled function
def test_one_plan_in_sixteen_threads():
    fast = tracer.compile(lambda x, k: (np.tanh(x) * k, x.sum()))
    fast(np.ones(100), 1.0)
    kept = []

    def work(k):
        for i in range(100):
            x = np.full(100, k + i / 100)
            y, total = fast(x, float(k))
            np.testing.assert_array_equal(y, np.tanh(x) * k)
            np.testing.assert_allclose(total, x.sum(), rtol=1e-14)
            if i % 25 == 0:
                kept.append((y, np.tanh(x) * k))

    together(*[lambda k=k: work(k) for k in range(16)])
    for y, want in kept:  # nobody wrote into them later
        np.testing.assert_array_equal(y, want)
    assert not any(np.shares_memory(a, b) for i, (a, _) in enumerate(kept) for b, _ in kept[:i])
    assert (fast.explain().calls, fast.explain().traces) == (1601, 1)


def test_the_first_call_comes_from_all_threads_at_once():
    traced = []

    @tracer.compile
    def fast(x):
        traced.append(1)
        return np.exp(x) @ x

    together(*[lambda k=k: np.testing.assert_allclose(fast(np.full(5, k)), np.exp(k) * k * 5, rtol=1e-14) for k in (0.0, 1.0, 2.0) * 3])
    assert len(traced) == fast.explain().traces == 1


def test_kinds_of_arguments_come_from_many_threads():
    fast = tracer.compile(lambda x: x * x)
    same = np.testing.assert_array_equal
    together(*[lambda n=n: [same(fast(np.full(m, 3.0)), np.full(m, 9.0)) for m in (n, 9 - n)] for n in range(1, 9)])
    assert fast.explain().traces == 8


def test_numbers_that_python_reads_from_many_threads():
    fast = tracer.compile(lambda x, n: sum([x] * n))
    same = np.testing.assert_array_equal
    together(*[lambda n=n: [same(fast(np.ones(3), n), np.full(3, float(n))) for _ in range(5)] for n in range(1, 9)])


# ---- training
def test_steps_from_many_threads_lose_no_update():
    W, b = Parameter(np.zeros(50_000)), Parameter(np.zeros(50_000))
    x = np.ones(50_000)
    step = tracer.train_step(lambda x: F.sum(W * x + b * x), optimizers.SGD(lr=1.0), [W, b])
    together(*[lambda: [step(x) for _ in range(10)]] * 8)
    assert set(W.data) == set(b.data) == {-80.0} and step.iteration == 80


def test_two_steps_that_share_a_parameter_lose_no_update():
    A, B, C = (Parameter(np.zeros(50_000)) for _ in range(3))
    first = tracer.train_step(lambda: F.sum(A + B), optimizers.SGD(lr=1.0), [A, B])
    second = tracer.train_step(lambda: F.sum(B + C), optimizers.SGD(lr=1.0), [B, C])
    third = tracer.train_step(lambda: F.sum(C + A), optimizers.SGD(lr=1.0), [C, A])
    together(*[lambda step=step: [step() for _ in range(10)] for step in (first, second, third) * 2])
    assert set(A.data) == set(B.data) == set(C.data) == {-40.0}


@pytest.mark.parametrize("read", ["arrays", "Variables", "one operation"])
def test_what_is_read_beside_a_training_thread_is_of_one_iteration(read):
    W, b = Parameter(np.zeros(100_000)), Parameter(np.zeros(100_000))
    step = tracer.train_step(lambda: F.sum(W + b), optimizers.SGD(lr=1.0), [W, b])
    step()
    predict = tracer.compile(lambda: (W.data * 1.0, b.data * 1.0) if read == "arrays" else (W * 1.0, b * 1.0))

    def look():
        if read == "one operation":
            W_now, b_now = (W * 1.0).data, None
        else:
            W_now, b_now = predict()
            W_now, b_now = getattr(W_now, "data", W_now), getattr(b_now, "data", b_now)
        seen = set(np.unique(np.asarray(W_now)))
        assert len(seen) == 1 and (b_now is None or seen == set(np.unique(np.asarray(b_now))))

    with meanwhile(step):
        for _ in range(40):
            look()


# ---- a trace beside other code
def test_draws_of_another_thread_are_not_the_functions():
    with meanwhile(lambda: (np.random.rand(), random.random())):
        for k in range(10):
            np.testing.assert_array_equal(tracer.compile(lambda x, k=k: np.sin(x) * k)(np.ones(3)), np.sin(np.ones(3)) * k)


DRAWS = [random.gauss]
HIDDEN = {"by name": lambda x: x + np.random.rand(), "by another name": lambda x: x + DRAWS[0](0, 1)}


@pytest.mark.parametrize("how", HIDDEN)
def test_the_functions_own_draws_are_refused_beside_other_threads(how):
    wait = threading.Event()
    other = threading.Thread(target=wait.wait)
    other.start()
    try:
        with pytest.raises(tracer.TraceError, match="drawn from"):
            tracer.compile(HIDDEN[how])(np.ones(3))
    finally:
        wait.set()
        other.join()


def test_the_random_state_of_other_threads_is_left_alone():
    """Putting it back would have them draw the same numbers again."""
    drawn = []
    with meanwhile(lambda: drawn.append(np.random.rand())):
        for _ in range(5):
            with pytest.raises(tracer.TraceError):
                tracer.compile(lambda x: x + np.random.rand())(np.ones(3))
    assert len(set(drawn)) == len(drawn)


def test_floating_point_settings_are_each_threads_own():
    def strict():
        with np.errstate(divide="raise"):
            for _ in range(300):
                with pytest.raises(FloatingPointError):
                    np.ones(3) / np.zeros(3)

    def trace():
        for k in range(20):
            with np.errstate(all="ignore"):
                tracer.compile(lambda x, k=k: k / (1 + np.exp(-x)))(np.full(3, -800.0))

    together(strict, trace, strict, trace)


def test_the_garbage_collector_runs_again_after_traces_side_by_side():
    together(*[lambda: [tracer.compile(lambda x: x * 2)(np.ones(3)) for _ in range(5)]] * 8)
    assert gc.isenabled()


def test_switches_and_traces_are_each_threads_own():
    inside, go_on = threading.Event(), threading.Event()

    @tracer.compile
    def slow(x):
        with tracer.no_grad():
            inside.set()
            go_on.wait()
        return np.sin(x)

    def plain():
        inside.wait()
        try:
            assert tracer.Config.enable_backprop
            assert type(np.sin(np.ones(3))) is np.ndarray
            x = Variable(np.ones(3))
            (x * x).backward()
            assert x.grad.data.tolist() == [2.0] * 3
        finally:
            go_on.set()

    together(lambda: slow(np.ones(3)), plain)


# ---- Variables
def test_threads_record_and_look_at_the_same_variable():
    x = Variable(np.ones(4))

    def work(k):
        for i in range(50):
            np.testing.assert_allclose((F.exp(x * k) + i).data, np.exp(np.ones(4) * k) + i, rtol=1e-14)

    together(*[lambda k=k: work(float(k)) for k in range(8)])


def test_what_one_thread_recorded_another_looks_at():
    x = Variable(np.arange(3.0))
    made = []
    together(lambda: made.extend([x * k for k in range(200)]))
    together(*[lambda: [np.testing.assert_array_equal(y.data, np.arange(3.0) * k) for k, y in enumerate(made)]] * 4)


def test_gradients_in_threads_of_their_own():
    def work(seed):
        W = Variable(np.random.default_rng(seed).normal(size=(4, 4)))
        for _ in range(30):
            a = W.data.copy()
            W.cleargrad()
            F.sum(F.tanh(F.matmul(W, W))).backward()
            t = 1 - np.tanh(a @ a) ** 2
            np.testing.assert_allclose(W.grad.data, t @ a.T + a.T @ t, rtol=1e-9, atol=1e-12)
            W.data -= 0.01 * W.grad.data

    together(*[lambda k=k: work(k) for k in range(4)])


def test_data_is_replaced_beside_calls():
    """A call sees the old array or the new one, not some of each."""
    W = Variable(np.zeros(1000))
    fast = tracer.compile(lambda: W.data + 0.0)
    fast()
    numbers = iter(range(10**9))

    def replace():
        W.data = np.full(1000, float(next(numbers)))

    with meanwhile(replace):
        for _ in range(200):
            assert len(np.unique(fast())) == 1


# ---- a process that forks
def test_a_child_forked_in_the_middle_of_a_trace_can_trace():
    inside, go_on = threading.Event(), threading.Event()

    @tracer.compile
    def slow(x):
        inside.set()
        go_on.wait()
        return x + 1

    tracing = threading.Thread(target=lambda: slow(np.ones(2)))
    tracing.start()
    inside.wait()
    context = multiprocessing.get_context("fork")
    found = context.SimpleQueue()

    def child():
        go_on.set()
        found.put((slow(np.ones(2)).tolist(), (Variable(np.ones(2)) * 2).data.tolist()))

    process = context.Process(target=child)
    process.start()
    go_on.set()
    tracing.join()
    process.join(60)
    assert process.exitcode == 0 and found.get() == ([2.0, 2.0], [2.0, 2.0])


@pytest.mark.parametrize(("width", "forks"), [(32, True), (700, False)])
def test_products_outside_keep_blas_s_threads_where_they_take_longer_than_what_forks(width, forks):
    def loss(x, W, b):
        return np.mean(np.tanh(np.tanh(x) * 2 + 1)) + np.mean(np.matmul(x[:, :width], W) + b)

    x, W, b = np.random.default_rng(0).standard_normal((900, 900)), np.full((width, 1100), 0.1), np.ones(1100)
    found = []
    for count in (1, 2, 8):
        tracer.set_threads(count)
        try:
            fast = tracer.compile(loss)
            found.append(np.asarray(fast(x, W, b)).tobytes())
            regions = [step for step in fast.plan(x, W, b).steps if isinstance(step, Region)]
        finally:
            tracer.set_threads(None)
        forked = [step for step in regions if step.blas_threads is not None]
        assert regions and bool(forked) == forks and all(step.workers == 1 for step in regions if step not in forked)
    assert len(set(found)) == 1 and np.allclose(np.frombuffer(found[0]), loss(x, W, b))
