"""Life: nothing is kept alive that nobody can ask for, caches are bounded, and long loops do not grow. Mostly without the collector."""
from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from contextlib import contextmanager

import numpy as np
import pytest

import tracer
import tracer.functions as F
from tracer import Function, Parameter, Variable, no_grad, optimizers
from tracer.custom import forward
from tracer.eager import eager_backward, lazy, pending


@contextmanager
def without_collection():
    """What dies inside dies because nothing refers to it, not because cycles were looked for."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def dead(*things):
    return [ref() is None for ref in things]


def grown(work, times=3, warm=2):
    """By how many objects and bytes `work` grows, from one time to the next."""
    found = []
    for k in range(warm + times):
        work()
        gc.collect()
        if k == warm - 1:
            tracemalloc.start()
        found.append((len(gc.get_objects()), tracemalloc.get_traced_memory()[0] if k >= warm else 0))
    tracemalloc.stop()
    (objects, _), (_, early), (last, late) = found[warm - 1], found[warm], found[-1]
    return last - objects, late - early


# ---- what a call leaves
def test_arguments_and_results_of_past_calls():
    fast = tracer.compile(lambda x, y: (x @ y, x + 1, x))
    with without_collection():
        for _ in range(3):
            x = np.ones((3, 3))
            results = fast(x, x)
            refs = [weakref.ref(x), *map(weakref.ref, results)]
            del x, results
            assert dead(*refs) == [True] * 4


@pytest.mark.parametrize("kind", ["compile", "grad", "train_step", "Variable", "tree", "keyword"])
def test_arguments_of_every_kind_of_function(kind):
    W = Parameter(np.ones(3))
    fast = {
        "compile": tracer.compile(lambda x: x[::2] * 2), "grad": tracer.grad(lambda x: np.sum(x * x)),
        "train_step": tracer.train_step(lambda x: F.sum(W * x), optimizers.SGD(lr=0.1), [W]), "Variable": tracer.compile(lambda v: v * v),
        "tree": tracer.compile(lambda t: t["a"][0] + 1), "keyword": tracer.compile(lambda *, x: x + 1),
    }[kind]  # fmt: skip
    with without_collection():
        for _ in range(3):
            x = Variable(np.ones(3)) if kind == "Variable" else np.ones(3)
            got = fast({"a": [x]}) if kind == "tree" else fast(x=x) if kind == "keyword" else fast(x)
            if kind == "Variable":
                got.backward()
            ref = weakref.ref(x)
            del x, got
            assert dead(ref) == [True]


def test_what_was_written_into():
    def fill(x):
        x[...] = 3.0

    fast = tracer.compile(fill)
    with without_collection():
        x = np.ones(3)
        fast(x)
        ref = weakref.ref(x)
        del x
        assert dead(ref) == [True]


def test_a_compiled_function_and_all_that_it_closed_over():
    def make():
        table, W = np.ones(10), Variable(np.ones(10))
        fast = tracer.compile(lambda x, k: x * table + W.data * k)
        fast(np.ones(10), 2.0)
        return [weakref.ref(thing) for thing in (fast, fast.__wrapped__, table, W)]

    with without_collection():
        assert dead(*make()) == [True] * 4


def test_an_object_with_a_compiled_method():
    class Model:
        def __init__(self):
            self.w = np.ones(2)

        @tracer.compile
        def scaled(self, x):
            return x * self.w

    with without_collection():
        model = Model()
        model.scaled(np.ones(2))
        refs = weakref.ref(model), weakref.ref(model.w)
        del model
        assert dead(*refs) == [True] * 2
    assert not Model.scaled._methods


def test_a_captured_array_that_was_replaced():
    held = [np.ones(3)]
    fast = tracer.compile(lambda x: x + held[0])
    fast(np.ones(3))
    ref = weakref.ref(held[0])
    held[0] = np.zeros(3)
    fast(np.ones(3))
    assert dead(ref) == [True]


def test_a_train_step():
    def make():
        W = Parameter(np.ones(3))
        step = tracer.train_step(lambda x: F.sum(W * x), optimizers.SGD(lr=0.1), [W])
        step(np.ones(3))
        return weakref.ref(step), weakref.ref(W)

    refs = make()
    gc.collect()
    assert dead(*refs) == [True] * 2


@pytest.mark.parametrize("how", ["trace", "call", "eager"])
def test_what_an_exception_met(how):
    def fail(x):
        raise ValueError(x.shape)

    def failing():
        x = np.ones(3)
        with pytest.raises((ValueError, tracer.Error)):
            if how == "trace":
                tracer.compile(lambda x: x + np.ones(4))(x)
            elif how == "call":
                tracer.compile(fail)(x)
            else:
                Variable(x) + np.ones(4)
        return weakref.ref(x)

    ref = failing()
    gc.collect()
    assert dead(ref) == [True]


def test_traced_arrays_and_the_graphs_of_traces():
    kept = []

    def f(x):
        y = x + 1
        kept.append(weakref.ref(y))
        return y

    graph = weakref.ref(tracer.trace(f, np.ones(3)))
    gc.collect()
    assert dead(*kept, graph) == [True] * 2


# ---- Variables
def test_variables_after_use():
    with without_collection():
        x = Variable(np.ones(3))
        y = F.exp(x)
        z = F.sum(y * y)
        z.backward()
        refs = [weakref.ref(v) for v in (x, y, z, x.grad)] + [weakref.ref(y.creator)]
        del y, z
        assert dead(*refs) == [False, True, True, False, True]
        del x
        assert dead(*refs) == [True] * 5


def test_recordings_of_dead_variables():
    with without_collection():
        x = Variable(np.ones(3))
        y = F.exp(x)
        ref, record = weakref.ref(y), weakref.ref(y.creator)
        del y
        assert dead(ref, record) == [True] * 2


def test_functions_of_the_users_own():
    class Twice(Function):
        def forward(self, x):
            self.kept = x * 1.0
            return x * 2

        def backward(self, gy):
            return gy * 2

    with without_collection():
        for _ in range(4):
            f, x = Twice(), Variable(np.ones(3))
            y = f(x)
            y.backward()
            refs = [weakref.ref(thing) for thing in (f, x, y, f.inputs[0])]
            del f, x, y
            assert dead(*refs) == [True] * 4


# ---- loops
def test_thousands_of_eager_iterations():
    W = Variable(np.ones(3))

    def loop():
        for _ in range(1000):
            loss = F.sum(W * W)
            W.cleargrad()
            loss.backward()
            W.data -= 0.001 * W.grad.data

    objects, size = grown(loop)
    assert objects < 50 and size < 50_000


def test_an_eager_loop_that_never_looks():
    x = Variable(np.ones(3))

    def loop():
        total = Variable(np.zeros(()))
        with no_grad():
            for _ in range(2000):
                total = total + F.sum(x)

    objects, size = grown(loop)
    assert objects < 50 and size < 50_000


def test_tens_of_thousands_of_compiled_calls():
    fast, x = tracer.compile(lambda x, k: x * k + 1), np.ones(3)

    def loop():
        for k in range(10_000):
            fast(x, float(k))

    objects, size = grown(loop)
    assert objects < 50 and size < 50_000


def test_steps():
    W = Parameter(np.ones(3))
    step = tracer.train_step(lambda x: F.sum(W * x), optimizers.SGD(lr=0.1), [W])

    def loop():
        for _ in range(1000):
            step(np.ones(3))

    objects, size = grown(loop)
    assert objects < 50 and size < 50_000


def test_functions_made_and_forgotten():
    def loop():
        for k in range(5):
            tracer.compile(lambda x, k=k: np.sin(x) * k)(np.ones(3))
            tracer.grad(lambda x: np.sum(x * x))(np.ones(3))

    objects, size = grown(loop)
    assert objects < 50 and size < 100_000


# ---- bounds
@pytest.mark.filterwarnings("ignore:.*was traced again")
def test_traces_kept_by_one_function_are_bounded(monkeypatch):
    monkeypatch.setattr(sys.modules["tracer.compile"], "LIMIT", 8)
    fast = tracer.compile(lambda x: x + 1)
    for n in range(1, 30):
        np.testing.assert_array_equal(fast(np.ones(n)), np.full(n, 2.0))
    assert sum(len(held) for held in fast._entries.values()) <= 8


@pytest.mark.parametrize("name", ["programs", "entries", "forwards"])
def test_caches_of_eager_code_are_bounded(name, monkeypatch):
    module, limit, cache = {
        "programs": (pending, "PROGRAMS", "_programs"), "entries": (lazy, "ENTRIES", "_entries"),
        "forwards": (forward, "FORWARDS", "_forwards"),
    }[name]  # fmt: skip
    monkeypatch.setattr(module, limit, 8)
    monkeypatch.setattr(module, cache, {})
    for held in ("_joint", "_gradients"):
        monkeypatch.setattr(eager_backward, held, {})

    class Scaled(Function):
        def __init__(self, k):
            self.k = k

        def forward(self, x):
            return x * self.k

        def backward(self, gy):
            return gy * self.k

    for k in range(1, 30):
        x = Variable(np.ones(k))
        y = Scaled(k)(x) + 1
        y.backward()
        assert y.data.tolist() == [k + 1.0] * k and x.grad.data.tolist() == [float(k)] * k
        assert len(getattr(module, cache)) <= 8
