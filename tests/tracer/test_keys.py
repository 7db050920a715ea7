"""The key of a call: what makes another trace, what does not, and which arguments are one."""
from __future__ import annotations

import collections
import dataclasses
import enum
import types

import numpy as np
import pytest

import tracer
from tests.tracer.test_compile import A, traces
from tracer import Variable
from tracer import functions as F


def same(got, due):
    np.testing.assert_array_equal(got, due)


# ---- trees and plain values
def test_the_order_of_dicts_and_the_kinds_of_containers():
    fast = tracer.compile(lambda p: list(p.values())[0] * 1.0)
    same(fast({"a": A, "b": -A}), A)
    same(fast({"b": -A, "a": A}), -A)
    One, Two = collections.namedtuple("One", "a b"), collections.namedtuple("Two", "b a")
    fast = tracer.compile(lambda p: p.a - p.b)
    same(fast(One(A, 2 * A)), -A)
    same(fast(Two(A, 2 * A)), A)
    fast = tracer.compile(lambda p: p[0] + len(p) if isinstance(p, list) else p[0])
    same(fast([A]), A + 1)
    same(fast((A,)), A)


@pytest.mark.parametrize(
    "values",
    [
        (True, 1, 1.0, 1 + 0j, np.bool_(True), np.int64(1), np.float32(1), np.float64(1), np.array(1.0)),
        ("a", "aa", b"a", None),
        (slice(0, 2), slice(1, 2), slice(0, 2, -1)),
        (range(3), range(4), frozenset({1}), frozenset({1.0}), frozenset({True})),
        (np.dtype("f4"), np.dtype("f8"), np.dtype(">f8"), np.float32, int),
        enum.Enum("Mode", "A B"),
    ],
)
def test_plain_values_each_have_a_trace(values):
    def fn(x, value):
        if isinstance(value, slice):
            return x[value]
        if isinstance(value, (str, bytes, type(None), range, frozenset, np.dtype, type, enum.Enum)):
            return x * (len(repr(value)) + 2 * isinstance(value, str))
        return x * value

    fast, values = tracer.compile(fn), list(values)
    for _ in range(2):
        for value in values:
            got, due = fast(A.astype(np.float32), value), fn(A.astype(np.float32), value)
            same(got, due)
            assert got.dtype == due.dtype
    assert traces(fast) == len(values)


def test_layouts_and_byte_orders():
    fast = tracer.compile(lambda x: x * 2 + x.sum())
    grid = np.arange(12.0).reshape(3, 4)
    forms = [grid, np.asfortranarray(grid), grid.astype(">f8"), np.repeat(grid, 2, 0)[::2], grid[:, ::-1], np.broadcast_to(grid[0], (3, 4))]
    for x in forms * 2:
        np.testing.assert_allclose(fast(x), x * 2 + x.sum(), rtol=1e-15)
    assert traces(fast) <= len(forms)


# ---- objects
def test_equal_objects_are_told_apart():
    class Model:
        def __init__(self, name, w):
            self.name, self.w = name, w

        def __eq__(self, other):
            return self.name == other.name

        def __hash__(self):
            return hash(self.name)

    fast = tracer.compile(lambda m, x: x * m.w)
    one, two = Model("m", np.ones(3)), Model("m", 2 * A)
    for model in (one, two, one):
        same(fast(model, A), A * model.w)
    one.w[:] = 5.0
    two.w = np.zeros(3)
    for model in (one, two):
        same(fast(model, A), A * model.w)
    assert traces(fast) == 2


def test_objects_that_are_neither_hashable_nor_weakly_referable():
    @dataclasses.dataclass
    class Open:
        k: float
        w: np.ndarray

    @dataclasses.dataclass(slots=True)
    class Slotted:
        k: float
        w: np.ndarray

    fast = tracer.compile(lambda m, x: x * m.w * m.k)
    for model in (Open(2.0, np.ones(3)), Slotted(3.0, np.ones(3))):
        same(fast(model, A), A * model.k)
        model.k = 5.0
        same(fast(model, A), A * 5)
        model.w[0] = 9.0
        same(fast(model, A), A * model.w * 5)
        model.w = A.copy()
        same(fast(model, A), A * A * 5)


# ---- which arguments are one
def test_the_same_array_twice_where_the_function_asks():
    def fn(a, b):
        a[0] = 9.0
        if a is b:
            b[1] = 7.0
        return a + b

    fast = tracer.compile(fn)
    for _ in range(2):
        one, two = A.copy(), A.copy()
        same(fast(one, one), fn(two, two))
        same(one, two)
        one, two, other, another = A.copy(), A.copy(), A.copy(), A.copy()
        same(fast(one, other), fn(two, another))
        same(one, two)
        same(other, another)
    assert traces(fast) == 2


@pytest.mark.parametrize("ask", ["is", "id"])
def test_each_array_once(ask):
    def by_is(xs):
        kept = []
        for x in xs:
            if not any(x is y for y in kept):
                kept.append(x)
        return sum(kept)

    fast = tracer.compile(by_is if ask == "is" else lambda xs: sum({id(x): x for x in xs}.values()))
    for _ in range(2):
        same(fast([A, A, A]), A)
        same(fast([A, A.copy(), A]), 2 * A)


def test_one_variable_twice():
    fast = tracer.compile(lambda a, b: F.sum(a) if a is b else F.sum(a * b))
    v = Variable(A.copy())
    same(fast(v, v).data, 6.0)
    same(fast(v, Variable(A.copy())).data, 14.0)
    same(fast(v, v).data, 6.0)


def test_an_argument_that_is_captured_as_well():
    table = A.copy()
    fast = tracer.compile(lambda x: x * 2 if x is table else -x)
    same(fast(A), -A)
    with pytest.raises(tracer.TraceError, match="x is also table"):
        fast(table)
    same(fast(A), -A)


class Mode(enum.Enum):
    DOUBLE = 2
    NEGATE = -1


@pytest.mark.parametrize("by", ["enum", "enum first", "cell", "attribute"])
def test_asking_which_of_several_names_is_meant_is_no_question_about_arrays(by):
    sentinel, held, table = object(), types.SimpleNamespace(first=object()), A.copy()
    ways = {
        "enum": (lambda x, mode: x * table if mode is Mode.DOUBLE else -x, [Mode.DOUBLE, Mode.NEGATE, Mode.DOUBLE]),
        "enum first": (lambda x, mode: x * table if Mode.DOUBLE is mode else -x, [Mode.NEGATE, Mode.DOUBLE, Mode.NEGATE]),
        "cell": (lambda x, mode: x * table if mode is not sentinel else -x, [sentinel, None, sentinel]),
        "attribute": (lambda x, mode: x * table if mode is held.first else -x, [None, held.first, None]),
    }
    fn, modes = ways[by]
    fast = tracer.compile(fn)
    for k, mode in enumerate(modes):
        table[0] = k
        same(fast(table, mode), fn(table, mode))  # the array is captured as well
    sentinel = held.first = table  # an array now: it is asked for
    if by in ("cell", "attribute"):
        with pytest.raises(tracer.TraceError, match="x is also"):
            fast(table, modes[1])


def test_an_argument_that_hangs_on_a_captured_object_too():
    @dataclasses.dataclass
    class Model:
        w: np.ndarray

    model = Model(A.copy())
    fast = tracer.compile(lambda x: x * model.w)
    same(fast(model.w), A * A)
    same(fast(2 * A), 2 * A * A)
    model.w[:] = 3.0
    same(fast(model.w), np.full(3, 9.0))
    assert traces(fast) == 1


def test_asking_for_none_costs_no_guard():
    fast = tracer.compile(lambda x, b=None: x if b is None else x + b)
    same(fast(A), A)
    same(fast(A, A), 2 * A)
    assert not any("one array" in text for text in fast.explain().guards)
