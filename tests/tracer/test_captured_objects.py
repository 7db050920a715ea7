"""Objects and classes that a function reaches: after each change the next call gives what NumPy gives, or fails as it does."""
# ruff: noqa: E731, F841, B007  (cases rebind what their functions close over)
from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import types

import numpy as np
import pytest

from tests.tracer.changes import X, check

CASES = {}

settings = types.ModuleType("settings_of_test_captured_objects")


def case(fn):
    CASES[fn.__name__] = fn
    return fn


@case
def properties():
    class Model:
        def __init__(self):
            self._k, self._w = 2.0, np.ones(3)

        @property
        def k(self):
            return self._k * FACTOR

        @functools.cached_property
        def w(self):
            return self._w * self.k

    global FACTOR
    FACTOR, model = 1.0, Model()
    fn = lambda x: x * model.k + model.w
    yield fn
    model._k = 3.0
    yield fn
    model.w[:] = 4.0
    yield fn
    FACTOR = 2.0
    yield fn
    model.w = X.copy()
    yield fn
    del model.w
    yield fn
    Model.k = property(lambda self: 11.0)
    yield fn


@case
def a_proxy_that_names_another_module():
    class Proxy:
        k = 2.0

        @property
        def __module__(self):
            return "elsewhere"

    proxy = Proxy()
    fn = lambda x: x * proxy.k if proxy is not None else x * Proxy.k
    yield fn
    proxy.k = 3.0
    yield fn
    Proxy.k = 4.0
    del proxy.k
    yield fn
    yield functools.partial(lambda held, x: x * held.k, proxy)


@case
def dynamic_attributes():
    class Model:
        def __init__(self):
            self.held = {"w": np.ones(3), "k": 2.0}

        def __getattr__(self, name):
            try:
                return self.__dict__["held"][name]
            except KeyError:
                raise AttributeError(name) from None

    model = Model()
    fn = lambda x: x * model.w * model.k
    yield fn
    model.held["k"] = 5.0
    yield fn
    model.held["w"][0] = 77.0
    yield fn
    model.held["w"] = X.copy()
    yield fn
    model.k = 9.0
    yield fn
    del model.held["w"]
    yield fn


@case
def class_attributes_shadowed_and_back():
    class Base:
        w, k = np.ones(3), 2.0

    class Model(Base):
        pass

    model = Model()
    fn = lambda x: x * model.w * model.k
    yield fn
    model.w = 2 * X
    yield fn
    model.k = 3.0
    yield fn
    del model.w
    yield fn
    Model.w = np.full(3, 8.0)
    yield fn
    Base.k = 100.0
    del model.k
    yield fn
    Model.k = 12.0
    yield fn


@case
def a_class_as_a_namespace():
    class Config:
        mode, w, ks = "a", np.ones(3), [1.0, 2.0]

    fn = lambda x: (x * Config.w if Config.mode == "a" else -x) * Config.ks[1]
    yield fn
    Config.mode = "b"
    yield fn
    Config.ks[1] = 6.0
    yield fn
    Config.mode, Config.w = "a", 2 * X
    yield fn
    Config.w[:] = 3.0
    yield fn
    Config.ks = [1.0, 9.0]
    yield fn


@case
def methods_their_globals_and_their_exchange():
    class Base:
        def f(self, x):
            return x * FACTOR

    class Model(Base):
        def f(self, x):
            return super().f(x) + self.by(x) + self.shift(x)

        @staticmethod
        def by(x):
            return x + FACTOR

        @classmethod
        def shift(cls, x):
            return x - FACTOR * cls.k

        k = 1.0

    global FACTOR
    FACTOR, model = 1.0, Model()
    fn = lambda x: model.f(x)
    yield fn
    FACTOR = 2.0
    yield fn
    Base.f = lambda self, x: -x
    yield fn
    Model.k = 3.0
    yield fn
    model.by = lambda x: x * 50
    yield fn
    Model.f = lambda self, x: x * 7
    yield fn
    model.__class__ = Base
    yield fn


@case
def objects_of_another_class_with_the_same_attributes():
    class Twice:
        def __call__(self, x):
            return x * 2

    class Negative:
        def __call__(self, x):
            return -x

    act = Twice()
    fn = lambda x: act(x)
    yield fn
    act = Negative()
    yield fn


@case
def objects_with_operators_of_their_own():
    class Scale:
        __array_ufunc__ = None  # NumPy leaves the operator to the object

        def __init__(self, k):
            self.k = k

        def __rmul__(self, x):
            return x * self.k * FACTOR

    global FACTOR
    FACTOR, scale = 1.0, Scale(2.0)
    fn = lambda x: x * scale
    yield fn
    scale.k = 3.0
    yield fn
    FACTOR = 4.0
    yield fn


@case
def objects_made_inside():
    class Scale:
        k = 2.0

        def __init__(self, by):
            self.by = by * FACTOR

        def __call__(self, x):
            return x * self.by * self.k

    global FACTOR
    FACTOR = 1.0
    fn = lambda x: Scale(3.0)(x)
    yield fn
    FACTOR = 2.0
    yield fn
    Scale.k = 7.0
    yield fn
    Scale.__call__ = lambda self, x: -x
    yield fn


@case
def hasattr_turning_true():
    class Layer:
        __slots__ = ("w", "b")

    class Model:
        pass

    layer, model = Layer(), Model()
    layer.w = np.ones(3)

    def fn(x):
        y = x * layer.w
        y = y + layer.b if hasattr(layer, "b") else y
        y = y + getattr(model, "b", 1.0)
        return y * settings.more if hasattr(settings, "more") else y

    yield fn
    layer.b = 2 * X
    yield fn
    model.b = X
    yield fn
    del model.b
    yield fn
    Model.b = 5.0
    yield fn
    settings.more = 3.0
    yield fn
    del layer.b, settings.more
    yield fn


@case
def dataclasses_and_named_tuples():
    Pair = collections.namedtuple("Pair", "w k")

    @dataclasses.dataclass(frozen=True)
    class Inner:
        k: float

    @dataclasses.dataclass(slots=True)
    class Outer:
        w: np.ndarray
        inner: Inner

    pair, held = Pair(np.ones(3), 2.0), Outer(np.ones(3), Inner(3.0))
    fn = lambda x: x * pair.w * pair.k * held.w * held.inner.k
    yield fn
    pair = pair._replace(k=4.0)
    yield fn
    pair.w[:] = 5.0
    yield fn
    held.inner = Inner(7.0)
    yield fn
    held.w[0] = 50.0
    yield fn
    held = dataclasses.replace(held, w=2 * X)
    yield fn


@case
def enums():
    class Mode(enum.Enum):
        ONE, TWO = 1, 2

    class Count(enum.IntEnum):
        ONE, TWO = 1, 2

    mode, count = Mode.ONE, Count.ONE
    fn = lambda x: (x * 2 if mode is Mode.ONE else x * mode.value * 10) * count
    yield fn
    mode = Mode.TWO
    yield fn
    count = Count.TWO
    yield fn
    count = 2
    yield fn


@case
def far_away():
    class Node:
        def __init__(self, next):
            self.next, self.k, self.w = next, 1.0, np.ones(3)

    root = leaf = Node(None)
    for _ in range(20):
        root = Node(root)

    def fn(x):
        node = root
        while node.next is not None:
            node = node.next
        return x * node.k * node.w

    yield fn
    leaf.k = 5.0
    yield fn
    leaf.w[0] = 3.0
    yield fn
    leaf.w = 2 * X
    yield fn


@pytest.mark.parametrize("name", CASES)
def test_every_change_is_seen(name):
    check(CASES[name])
