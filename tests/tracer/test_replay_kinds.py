"""Objects of other people's classes, and of the user's own that are like Python's: what hangs on them is looked at again in each call.

Each kind is a story of a few calls with a change between them, told once plain and once compiled."""
from __future__ import annotations

import argparse
import collections
import concurrent.futures
import configparser
import ctypes
import dataclasses
import enum
import functools
import multiprocessing
import threading
import types
import typing

import numpy as np
import pytest

from tests.tracer.stories import A, Stories

STORIES = Stories()
same = STORIES.same


# ---- Python's and NumPy's own
@same
def parsed_options(c):
    options = argparse.Namespace(lr=2.0, w=np.ones(3))
    f = c(lambda x: x * options.lr * options.w)
    yield f(A)
    options.lr = 5.0
    yield f(A)
    options.w = options.w * 3
    yield f(A)
    options.w[0] = 9.0
    yield f(A)


@same
def a_parsed_file(c):
    settings = configparser.ConfigParser()
    settings.read_string("[model]\nlr = 2\n")
    f = c(lambda x: x * settings.getfloat("model", "lr"))
    yield f(A)
    settings["model"]["lr"] = "5"
    yield f(A)


@same
def memory_of_c(c):
    number, numbers, shared = ctypes.c_double(2.0), (ctypes.c_double * 3)(1, 2, 3), multiprocessing.Value("d", 2.0)
    f = c(lambda x: x * number.value + np.ctypeslib.as_array(numbers) * shared.value)
    yield f(A)
    number.value = 5.0
    yield f(A)
    numbers[0] = 7.0
    yield f(A)
    shared.value = 3.0
    yield f(A)


@same
def what_threads_wait_for(c):
    event, future = threading.Event(), concurrent.futures.Future()
    f = c(lambda x: (x * 2 if event.is_set() else x) * (future.result() if future.done() else 1.0))
    yield f(A)
    event.set()
    yield f(A)
    future.set_result(4.0)
    yield f(A)
    event.clear()
    yield f(A)


@same
def a_polynomial_and_a_vectorized_function(c):
    p, k = np.polynomial.Polynomial([1.0, 2.0]), [2.0]
    v = np.vectorize(lambda a: a * k[0])
    f = c(lambda x: x * p.coef[0] + v(np.ones(3)))
    yield f(A)
    p.coef[0] = 5.0
    yield f(A)
    k[0] = 3.0
    yield f(A)


# ---- classes like Python's
@same
def a_dict_that_answers_otherwise(c):
    class Scaled(dict):
        k = 10.0

        def __getitem__(self, key):
            return dict.__getitem__(self, key) * self.k

        def __missing__(self, key):
            return 3.0

    d = Scaled(a=1.0)
    f = c(lambda x: x * d["a"] + d.get("b", 0.0))
    yield f(A)
    d["a"] = 2.0
    yield f(A)
    d["b"] = 5.0
    yield f(A)
    Scaled.k = 1.0
    yield f(A)


@same
def keys_as_attributes(c):
    class Config(dict):
        __getattr__ = dict.__getitem__
        __setattr__ = dict.__setitem__

    config = Config(k=2.0, sub=Config(j=1.0))
    f = c(lambda x: x * config.k + config.sub.j)
    yield f(A)
    config.k = 5.0
    yield f(A)
    config.sub.j = 9.0
    yield f(A)


@same
def a_list_that_answers_otherwise(c):
    class Tens(list):
        extra = 1.0

        def __getitem__(self, k):
            return list.__getitem__(self, k) * 10

    numbers = Tens([1.0, 2.0])
    f = c(lambda x: x * numbers[0] + numbers.extra)
    yield f(A)
    numbers[0] = 2.0
    yield f(A)
    numbers.extra = 4.0
    yield f(A)
    del numbers.extra
    Tens.extra = 9.0
    yield f(A)


@same
def sets_and_queues_with_attributes(c):
    class Group(set):
        k = 2.0

    class Line(collections.deque):
        k = 2.0

    group, line = Group([1]), Line([3.0])
    f = c(lambda x: x * group.k * len(group) + line.k * line[0])
    yield f(A)
    group.k = 5.0
    yield f(A)
    Line.k = 1.0
    yield f(A)
    line[0] = 4.0
    group.add(7)
    yield f(A)


@same
def methods_of_tuples_numbers_and_enums(c):
    k = [2.0]

    class Pair(typing.NamedTuple):
        w: float

        def scaled(self, x):
            return x * self.w * k[0]

    class Count(int):
        def scaled(self, x):
            return x * int(self) * k[0]

    class Mode(enum.Enum):
        FAST = 3.0

        def scaled(self, x):
            return x * self.value * k[0]

    box = [Pair(1.0), Count(3)]
    f = c(lambda x: box[0].scaled(x) + box[1].scaled(x) + Mode.FAST.scaled(x))
    yield f(A)
    k[0] = 5.0
    yield f(A)
    Pair.scaled = lambda self, x: x
    yield f(A)
    box[1] = Count(4)
    yield f(A)


@same
def a_dataclass_with_slots(c):
    @dataclasses.dataclass(slots=True)
    class Config:
        k: float
        w: np.ndarray

    config = Config(2.0, np.ones(3))
    f = c(lambda x: x * config.k * config.w)
    yield f(A)
    config.k = 5.0
    yield f(A)
    config.w = config.w * 2
    yield f(A)


# ---- which one it is
@same
def which_of_two_equals(c):
    first, second = [1.0], [1.0]
    held = [first]
    f = c(lambda x: x * 2 if held[0] is first else x * 3)
    for held[0] in (first, second, first, second):
        yield f(A)


@same
def an_argument_that_is_captured_too(c):
    numbers = [1.0, 2.0, 3.0]
    f = c(lambda given, x: x + numbers[-1] * 10 + given[-1])
    yield f(numbers, A)
    yield f([3.0, 2.0, 1.0], A)
    numbers.append(7.0)
    yield f(numbers, A)
    yield f([1.0, 2.0], A)


@same
def the_order_of_an_argument(c):
    def fn(d):
        out = 0.0
        for v in d.values():
            out = out * 2 + v
        return out

    f, d = c(fn), collections.OrderedDict(a=A, b=A + 1)
    yield f(d)
    d.move_to_end("a")
    yield f(d), f(collections.OrderedDict(b=A + 1, a=A)), list(d)
    d.move_to_end("a", last=False)
    yield f({"deep": [d]}["deep"][0])


@same
def names_like_those_inside(c):
    f = c(lambda inf, found, run, args, missed, c0, p0, ndarray, self_: inf + found * run - args * missed + c0 * p0 - ndarray * self_)
    for k in range(3):
        yield f(*[A * (i + k) for i in range(9)])


# ---- what happens while the function runs
@same
def written_while_it_is_iterated_over(c):
    def fn(x):
        x = x * 1
        doubled = (v * 2 for v in x)
        next(doubled)
        x[1] = 10.0
        return sum(doubled), list(x), *x

    f = c(fn)
    for k in range(3):
        yield f(A * k)


@same
def results_that_go_in_again(c):
    f, b = c(lambda b, n: (np.concatenate([b[1:], n]), b[:1] * 1.0)), A
    for k in range(4):
        b, first = f(b, np.array([float(k)]))
        yield b, first


@same
def the_first_call_is_another(c):
    state = {"first": True}

    def fn(x):
        if state["first"]:
            state["first"] = False
            return x * 0
        return x * 3

    f = c(fn)
    yield f(A), f(A), f(A)
    state["first"] = True
    yield f(A), f(A), f(A)


@same
def parameters_made_when_first_needed(c):
    class Layer:
        w = None

        def __call__(self, x):
            if self.w is None:
                self.w = np.full(x.shape[-1], 2.0)
            return x * self.w

    layer = Layer()
    f = c(layer)
    yield f(A)
    layer.w[:] = 5.0
    yield f(A)
    layer.w = None
    yield f(A)
    layer.w = np.zeros(3)
    yield f(A)


@same
def a_table_for_each_shape(c):
    tables = {}

    def fn(x):
        if x.shape not in tables:
            tables[x.shape] = np.arange(x.size) * 1.0
        return x * tables[x.shape]

    f = c(fn)
    yield f(A), f(A[:2]), f(A)
    tables[(3,)][:] = 5.0
    yield f(A), f(A[:2])
    tables.clear()
    yield f(A)


@same
def an_object_given_counts_once_a_trace(c):
    o = types.SimpleNamespace(k=1)

    def fn(o, x):
        o.k = o.k + 1
        return x * 2

    f = c(fn)
    yield f(o, A)
    yield o.k


@same
def wrapped_again_and_again(c):
    k = [2.0]
    fn = functools.partial(functools.partial(lambda a, b, x: a * b * x * k[0], 3.0), 2.0)
    f = c(lambda x: fn(x))
    yield f(A)
    k[0] = 5.0
    yield f(A)


@pytest.mark.parametrize("name", STORIES.alike)
def test_the_story_is_the_same(name: str) -> None:
    STORIES.compare(name)
