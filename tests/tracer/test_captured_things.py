"""Whatever a function reaches besides its arguments: after each change the next call gives what NumPy gives, or fails as it does."""
# ruff: noqa: E731, F841, B007  (cases rebind what their functions close over)
from __future__ import annotations

import collections
import contextvars
import datetime
import enum
import fractions
import itertools
import os
import sys
import types
import weakref
from array import array

import numpy as np
import pytest

import tracer
from tests.tracer.changes import X, check
from tracer import Variable

CASES = {}

settings = types.ModuleType("settings_of_test_captured_things")
sys.modules[settings.__name__] = settings
exec(
    "import numpy as np\nscale, mode, table, layers = 2.0, 'a', np.ones(3), [1.0, 2.0]\ndef act(x): return x * scale\n"
    "class Net:\n    k = 3.0\n    def __call__(self, x): return x * self.k\nnet = Net()\n",
    vars(settings),
)


def case(fn):
    CASES[fn.__name__] = fn
    return fn


# ---- containers
@case
def views_of_a_dict():
    held = {"a": np.ones(3), "b": X.copy()}
    values, items = held.values(), held.items()
    fn = lambda x: sum(x * w for w in values) + sum(len(k) * w for k, w in items)
    yield fn
    held["a"][:] = 5.0
    yield fn
    held["long"] = X
    yield fn
    held["a"] = 3 * X
    yield fn
    del held["b"]
    yield fn


@case
def odd_keys_and_containers():
    plain = {"k": 3.0}
    chain = collections.ChainMap({}, plain)
    held = {(0, 1): 2.0, enum: 3.0, 1.5: np.ones(3)}
    queue, space = collections.deque([np.ones(3), 2.0]), types.SimpleNamespace(k=2.0, w=np.ones(3))
    other, late = collections.UserDict(k=2.0), collections.defaultdict(lambda: 2.0)

    def fn(x):
        y = x * held[0, 1] * held[enum] * held[1.5] * queue[0] * queue[1]
        return y * space.k * space.w * other["k"] * chain["k"] * late["b"]

    yield fn
    held[0, 1], held[enum] = 5.0, 7.0
    yield fn
    held[1.5] = 2 * X
    queue[1] = 4.0
    yield fn
    queue.appendleft(X)
    queue[1] = 3.0
    yield fn
    space.k, space.w = 3.0, X
    yield fn
    other["k"] = 4.0
    yield fn
    plain["k"] = 6.0
    yield fn
    chain["k"] = 7.0
    yield fn
    late["b"] = 8.0
    yield fn


@case
def sets():
    class Layer:
        def __init__(self, w):
            self.w = w

    one, two = Variable(np.ones(3)), Layer(X.copy())
    pairs, held = {(1, 2.0), (3, 4.0)}, {one, two}

    def fn(x):
        y = x * sum(a * b for a, b in sorted(pairs))
        for thing in sorted(held, key=lambda thing: type(thing).__name__):
            y = y * (thing.data if isinstance(thing, Variable) else thing.w)
        return y

    yield fn
    pairs.add((5, 6.0))
    yield fn
    one.data[:] = 7.0
    yield fn
    two.w[0] = 9.0
    yield fn
    two.w = 4.0
    yield fn
    held.discard(one)
    yield fn
    pairs = frozenset([(1, 1.0)])
    yield fn


@case
def long_lists():
    plain, mixed = [1.0] * 5000, [1.0] * 500 + [np.ones(3)]
    fn = lambda x: x * plain[3000] * mixed[400] * mixed[-1]
    yield fn
    plain[3000] = 5.0
    yield fn
    plain[3000] = 5
    yield fn
    mixed[400] = 6.0
    yield fn
    mixed[-1] = X
    yield fn


# ---- one thing by two ways
@case
def one_thing_by_two_ways():
    class Config:
        def __init__(self, k):
            self.k = k

    table = also_table = X.copy()
    config = also_config = Config(2.0)
    held = also_held = [1.0]
    helper = also_helper = lambda x: x * 2

    def fn(x):
        y = (x * table + also_table) * config.k * also_config.k
        return helper(y) + also_helper(y) + held[0] + also_held[0]

    yield fn
    also_table = np.zeros(3)
    yield fn
    table = np.zeros(3)
    yield fn
    also_config = Config(7.0)
    yield fn
    also_held = [50.0]
    yield fn
    also_helper = lambda x: x * 100
    yield fn


@case
def one_class_by_two_objects():
    class Twice:
        def __call__(self, x):
            return x * 2

    class Negative:
        def __call__(self, x):
            return -x

    layers = [Twice(), Twice()]
    fn = lambda x: layers[0](layers[1](x))
    yield fn
    layers[1] = Negative()
    yield fn
    layers[1] = layers[0]
    yield fn
    layers[1] = Negative()
    yield fn


@case
def whether_two_things_are_one():
    table = X.copy()
    other = table
    fn = lambda x: x * table if table is other else -x
    yield fn
    other = X.copy()
    yield fn
    table = other
    yield fn


# ---- what is no array and no object of the user's
@case
def things_of_pythons_own():
    class Model:
        k = 1.0

    model, numbers, raw = Model(), array("d", [1.0, 2.0]), bytearray(b"abc")
    day, half, steps, ref = datetime.date(2020, 1, 2), fractions.Fraction(1, 2), range(3), weakref.ref(model)
    seen, context = np.ones(3), contextvars.ContextVar("context", default=2.0)
    view = memoryview(seen)

    def fn(x):
        y = x * numbers[1] * raw[0] * day.day * float(half) * sum(steps) * ref().k * context.get() * view[1]
        return y * float(os.environ.get("OF_TEST_CAPTURED_THINGS", 1))

    yield fn
    numbers[1] = 5.0
    yield fn
    raw[0] = 1
    yield fn
    day = datetime.date(2020, 1, 5)
    yield fn
    half = fractions.Fraction(1, 4)
    yield fn
    steps = range(5)
    yield fn
    model.k = 3.0
    yield fn
    context.set(4.0)
    yield fn
    seen[1] = 6.0
    yield fn
    os.environ["OF_TEST_CAPTURED_THINGS"] = "2"
    yield fn
    del os.environ["OF_TEST_CAPTURED_THINGS"]
    yield fn


@case
def a_users_module():
    def fn(x):
        from settings_of_test_captured_things import scale

        y = settings.act(x) * settings.scale + settings.table + settings.layers[0] + scale
        return (y + settings.net(x)) * (1 if settings.mode == "a" else 2)

    yield fn
    settings.scale = 5.0
    yield fn
    settings.table[:] = 8.0
    yield fn
    settings.table = 2 * X
    yield fn
    settings.layers[0], settings.mode = 9.0, "b"
    yield fn
    settings.net.k = 4.0
    yield fn
    settings.net = lambda x: -x
    yield fn
    settings.act = lambda x: x + 100
    yield fn


@case
def names_not_there_yet():
    def fn(x):
        try:
            return abs(x) * LATER
        except NameError:
            return abs(x)

    yield fn
    globals()["LATER"] = 5.0
    yield fn
    globals()["LATER"] = X
    yield fn
    del globals()["LATER"]
    yield fn
    globals()["abs"] = lambda x: x * 7
    yield fn
    del globals()["abs"]
    yield fn


@case
def a_cell_not_filled_yet():
    def fn(x):
        try:
            return x * later
        except NameError:
            return x

    yield fn
    later = 5.0
    yield fn
    later = X
    yield fn


@pytest.mark.parametrize("name", CASES)
def test_every_change_is_seen(name):
    check(CASES[name])


@pytest.mark.parametrize(
    "made", [itertools.count, lambda: iter([1, 2, 3]), lambda: (k for k in range(9)), lambda: map(abs, [1, 2]), lambda: zip("ab", "cd")]
)
def test_an_iterator_is_not_frozen(made):
    numbers = made()
    fast = tracer.compile(lambda x: x * len(str(next(numbers))))
    with pytest.raises(tracer.TraceError, match=r"taken from the iterator numbers"):
        fast(X)


def test_too_much_within_reach_is_said():
    many = [[k] for k in range(30_000)]
    fast = tracer.compile(lambda x: x * len(many))
    with pytest.warns(UserWarning, match="more than 20000 things"):
        fast(X)


SEEN_BY_EVAL = 2.0


def test_names_in_evaluated_text_are_seen():
    global SEEN_BY_EVAL
    SEEN_BY_EVAL = 2.0
    fast = tracer.compile(lambda x: eval("x * SEEN_BY_EVAL"))
    np.testing.assert_array_equal(fast(X), X * 2)
    SEEN_BY_EVAL = 5.0
    np.testing.assert_array_equal(fast(X), X * 5)


def test_a_list_of_numbers_is_an_index():
    fast = tracer.compile(lambda x, k: x[k])
    for k in ([0, 2], [1, 1, -1], [[0], [1]]):
        np.testing.assert_array_equal(fast(X, k), X[k])
    assert fast.explain().traces == 3
