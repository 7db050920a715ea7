"""Things that a function meets besides its arguments and that somebody changes: what may die, classes, records, lists of layers, arrays.

Each kind is a story of a few calls with a change between them, told once plain and once compiled."""
from __future__ import annotations

import collections
import dataclasses
import gc
import operator
import types
import typing
import weakref
from typing import Any

import numpy as np
import pytest

from tests.tracer.stories import A, Stories
from tracer import Variable

STORIES = Stories()
same = STORIES.same


# ---- what may die
class Thing:
    k = 2.0


@same
def weak_keys(c):
    things = [Thing(), Thing()]
    table = weakref.WeakKeyDictionary({things[0]: 1.0, things[1]: 2.0})
    f = c(lambda x: x * sum(table.values()))
    yield f(A)
    things.pop()
    gc.collect()
    yield f(A)
    table[things[0]] = 9.0
    yield f(A)


@same
def weak_values(c):
    things = [Thing(), Thing()]
    table = weakref.WeakValueDictionary(enumerate(things))
    f = c(lambda x: x * len(table))
    yield f(A)
    things.pop()
    gc.collect()
    yield f(A)


@same
def a_weak_set(c):
    things = [Thing(), Thing()]
    held = weakref.WeakSet(things)
    f = c(lambda x: x * len(held))
    yield f(A)
    things.pop()
    gc.collect()
    yield f(A)
    held.add(Thing)
    yield f(A)


@same
def a_weak_proxy(c):
    thing = Thing()
    proxy = weakref.proxy(thing)
    f = c(lambda x: x * proxy.k)
    yield f(A)
    thing.k = 5.0
    yield f(A)
    del thing.k
    yield f(A)


# ---- classes
@same
def other_bases(c):
    class One:
        def m(self, x):
            return x * 2

    class Two:
        def m(self, x):
            return x * 3

    class Layer(One):
        pass

    o = Layer()
    f = c(lambda x: o.m(x))
    yield f(A)
    Layer.__bases__ = (Two,)
    yield f(A)
    Two.m = lambda self, x: x
    yield f(A)
    o.__class__ = One
    yield f(A)


@same
def a_property_of_a_class(c):
    class Meta(type):
        k = 2.0

        @property
        def rate(cls):
            return cls.k

    class Layer(metaclass=Meta):
        pass

    f = c(lambda x: x * Layer.rate)
    yield f(A)
    Meta.k = 5.0
    yield f(A)
    Layer.k = 7.0
    yield f(A)


@same
def a_descriptor_and_a_hook(c):
    class Scaled:
        k = 2.0

        def __get__(self, o, kind=None):
            return self.k * o.n

    class Layer:
        k, n = Scaled(), 3.0

        def __getattr__(self, name):
            return {"bias": 1.0}[name]

    o = Layer()
    f = c(lambda x: x * o.k + o.bias)
    yield f(A)
    vars(Layer)["k"].k = 5.0
    yield f(A)
    o.n = 1.0
    yield f(A)
    o.bias = 10.0
    yield f(A)


@same
def super_and_what_it_calls(c):
    class Base:
        k = 2.0

        def m(self, x):
            return x * self.k

    class Layer(Base):
        def m(self, x):
            return super().m(x) + 1

    f = c(Layer().m)
    yield f(A)
    Base.k = 4.0
    yield f(A)
    Base.m = lambda self, x: x * 9
    yield f(A)


# ---- records
@dataclasses.dataclass
class Config:
    w: Any
    k: float = 1.0
    n: int = 2


class Pair(typing.NamedTuple):
    w: Any
    k: float


@same
def a_dataclass(c):
    d = Config(A.copy())
    held, given = c(lambda x: d.w * x * d.k**d.n), c(lambda d, x: d.w * x * d.k**d.n)
    for change in (lambda: None, lambda: setattr(d, "k", 3.0), lambda: d.w.put(1, 3.0), lambda: setattr(d, "n", 0)):
        change()
        yield held(A), given(d, A), given(dataclasses.replace(d, k=0.5), A)


@same
def a_named_tuple(c):
    box = [Pair(A.copy(), 2.0)]
    held, given = c(lambda x: x * box[0].k + box[0].w), c(lambda p: Pair(p.w * p.k, p.k + 1))
    yield held(A), given(box[0])
    box[0] = box[0]._replace(k=5.0)
    yield held(A), given(box[0])
    box[0].w[0] = 8.0
    yield held(A), given(box[0])


# ---- lists of layers, views of dicts, callbacks
@same
def layers_that_come_and_go(c):
    class Layer:
        def __init__(self, w):
            self.w = w

        def __call__(self, x):
            return x * self.w

    net = [Layer(2.0), Layer(np.ones(3))]

    def fn(x):
        for layer in net:
            x = layer(x)
        return x

    f = c(fn)
    yield f(A)
    for change in (
        lambda: net.append(Layer(5.0)), lambda: net.pop(0), lambda: net.__setitem__(0, Layer(7.0)), lambda: net.reverse(),
        lambda: setattr(net[0], "w", 3.0), lambda: net.insert(0, lambda x: x + 1), lambda: net.clear(),
    ):  # fmt: skip
        change()
        yield f(A)


@same
def the_order_of_a_dict(c):
    d = collections.OrderedDict(a=1.0, b=2.0)

    def fn(x):
        for v in d.values():
            x = x * 2 + v
        return x

    f = c(fn)
    yield f(A)
    d.move_to_end("a")
    yield f(A)
    d.popitem(last=False)
    yield f(A)


@same
def layered_maps(c):
    first, second = {}, {"k": 2.0}
    both, shown = collections.ChainMap(first, second), types.MappingProxyType(second)
    f = c(lambda x: x * both["k"] + shown["k"])
    yield f(A)
    first["k"] = 4.0
    yield f(A)
    first.clear()
    second["k"] = 1.0
    yield f(A)


@same
def getters_made_by_operator(c):
    n = types.SimpleNamespace(k=2.0, t={"k": 1.0})
    k, t = operator.attrgetter("k"), operator.itemgetter("k")
    f = c(lambda x: x * k(n) + t(n.t))
    yield f(A)
    n.k = 5.0
    yield f(A)
    n.t = {"k": 3.0}
    yield f(A)


@same
def the_code_of_a_helper(c):
    def helper(x):
        return x * 2

    def other(x):
        return x * 7

    f = c(lambda x: helper(x) + 1)
    yield f(A)
    helper.__code__ = other.__code__
    yield f(A)


@same
def an_error_that_chooses_the_way(c):
    table = {"a": 1.0}

    def fn(x, key):
        try:
            return x * table[key]
        except KeyError:
            return x - 1

    f = c(fn)
    yield f(A, "a"), f(A, "b")
    table["b"] = 3.0
    del table["a"]
    yield f(A, "a"), f(A, "b")


# ---- arrays
@same
def how_a_captured_array_lies(c):
    box = [np.ones((3, 3))]
    f = c(lambda x: x * 2 if box[0].flags.c_contiguous else x)
    yield f(A)
    box[0] = np.ones((3, 3), order="F")
    yield f(A)


@same
def a_captured_array_that_grows(c):
    box = [np.arange(3.0)]
    f = c(lambda x: x.sum() * box[0])
    for n in (3, 5, 2):
        box[0].resize(n, refcheck=False)
        yield f(A)


@same
def memory_seen_by_another_name(c):
    base = np.arange(6.0)
    every_second, frozen, spread = base[::2], base[:3], np.broadcast_to(base[:1], (3,))
    frozen.flags.writeable = False
    f = c(lambda x: (x * every_second, x * frozen, x * spread))
    yield f(A)
    base[0] = 9.0
    yield f(A)
    base[:] = base[::-1].copy()
    yield f(A)


@same
def the_name_of_a_variable(c):
    v = Variable(np.ones(3), name="a")
    f = c(lambda x: x * 2 if v.name == "a" else x)
    yield f(A)
    v.name = "b"
    yield f(A)


@pytest.mark.parametrize("name", STORIES.alike)
def test_the_story_is_the_same(name: str) -> None:
    STORIES.compare(name)
