"""What a compiled function closes over is read anew at each call; methods, decorators, nesting."""
from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

import tracer
from tests.tracer.test_compile import A, traces, why
from tracer import Variable


# ---- what the function closes over
def test_captured_array_written_and_rebound():
    table = np.arange(3.0)
    fast = tracer.compile(lambda x: x + table)
    np.testing.assert_array_equal(fast(A), A + [0, 1, 2])
    table[1] = 10
    np.testing.assert_array_equal(fast(A), A + [0, 10, 2])
    table = np.array([5.0, 5.0, 5.0])
    np.testing.assert_array_equal(fast(A), A + 5)
    assert traces(fast) == 1
    table = np.ones((2, 3))
    assert fast(A).shape == (2, 3) and traces(fast) == 2


def test_captured_numbers_of_every_kind_rebound():
    table = np.arange(3.0)
    fast = tracer.compile(lambda x: x + table)
    for table in (np.float32(1), np.float32(2), np.float64(2), 2.0, 3.0, 3, True, np.array(4.0), np.array(5.0), A):
        got, due = fast(A), A + table
        np.testing.assert_array_equal(got, due)


GLOBAL_TABLE = np.arange(3.0)


def test_captured_global_deleted_gives_pythons_own_error():
    global GLOBAL_TABLE
    fast = tracer.compile(lambda x: x + GLOBAL_TABLE)
    np.testing.assert_array_equal(fast(A), A + [0, 1, 2])
    kept = GLOBAL_TABLE
    del GLOBAL_TABLE
    try:
        with pytest.raises(NameError):
            fast(A)
    finally:
        GLOBAL_TABLE = kept
    np.testing.assert_array_equal(fast(A), A + [0, 1, 2])


def test_what_numpy_computed_from_a_captured_array_traces_again():
    table = np.arange(3.0)
    fast = tracer.compile(lambda x: x + table.sum())
    np.testing.assert_array_equal(fast(A), A + 3)
    table[0] = 100
    np.testing.assert_array_equal(fast(A), A + 103)
    assert traces(fast) == 2 and "table" in why(fast)


def test_captured_numbers_containers_and_attributes():
    class Config:
        scale = 1.0

    config, settings = Config(), {"shift": [A, 2.0]}
    config.scale = 2.0
    fast = tracer.compile(lambda x: x * config.scale + settings["shift"][0] * settings["shift"][1])
    np.testing.assert_array_equal(fast(A), A * 2 + A * 2)
    config.scale = 3.0
    np.testing.assert_array_equal(fast(A), A * 3 + A * 2)
    settings["shift"][1] = 4.0
    np.testing.assert_array_equal(fast(A), A * 3 + A * 4)
    settings["shift"] = [2 * A, 4.0]
    np.testing.assert_array_equal(fast(A), A * 3 + A * 8)
    assert "config.scale" in str(fast.explain())


def test_captured_variables_are_read_anew():
    W = Variable(np.ones(3))
    fast = tracer.compile(lambda x: x * W)
    np.testing.assert_array_equal(fast(A).data, A)
    W.data[...] = 2
    np.testing.assert_array_equal(fast(A).data, 2 * A)
    W.data = np.full(3, 3.0)
    np.testing.assert_array_equal(fast(A).data, 3 * A)
    W = Variable(np.full(3, 4.0))
    np.testing.assert_array_equal(fast(A).data, 4 * A)
    W.data = np.ones((3, 1))
    assert fast(A).shape == (3, 3)


def test_helper_functions_are_followed():
    table = np.ones(3)

    def helper(x):
        return x + table

    fast = tracer.compile(lambda x: helper(x) * 2)
    np.testing.assert_array_equal(fast(A), (A + 1) * 2)
    table[:] = 5
    np.testing.assert_array_equal(fast(A), (A + 5) * 2)
    table = np.zeros(3)
    np.testing.assert_array_equal(fast(A), A * 2)


# ---- methods, decorators, nesting
class Model:
    def __init__(self, k):
        self.W, self.count = np.full(3, float(k)), 0

    @tracer.compile
    def predict(self, x):
        return x * self.W

    @tracer.compile(backend="numpy")
    def shifted(self, x, by=1.0):
        return self.predict(x) + by


def test_methods():
    one, two = Model(1), Model(2)
    np.testing.assert_array_equal(one.predict(A), A)
    np.testing.assert_array_equal(two.predict(A), 2 * A)
    np.testing.assert_array_equal(two.shifted(A, by=2.0), 2 * A + 2)
    one.W[:] = 7
    np.testing.assert_array_equal(one.predict(A), 7 * A)
    one.W = np.zeros(3)
    np.testing.assert_array_equal(one.predict(A), 0 * A)
    assert traces(one.predict) == 1
    assert one.predict.__name__ == "predict" and "def " in one.predict.source(A)
    alone = Model(5).predict
    np.testing.assert_array_equal(alone(A), 5 * A)


def test_methods_of_objects_that_are_neither_hashable_nor_weakly_referable():
    @dataclass
    class Scale:
        k: np.ndarray

        @tracer.compile
        def __call__(self, x):
            return x * self.k

    class Shift(namedtuple("Shift", "by")):
        __slots__ = ()

        @tracer.compile
        def add(self, x):
            return x + self.by

    for k in range(3):
        np.testing.assert_array_equal(Scale(np.full(3, k))(A), A * k)
        np.testing.assert_array_equal(Shift(np.full(3, k)).add(A), A + k)


def test_a_callable_object():
    class Scale:
        def __init__(self, k):
            self.k = k

        def __call__(self, x):
            return x * self.k

    scale = Scale(np.full(3, 2.0))
    fast = tracer.compile(scale)
    np.testing.assert_array_equal(fast(A), 2 * A)
    scale.k = np.full(3, 3.0)
    np.testing.assert_array_equal(fast(A), 3 * A)


def test_nested_compile_is_inlined():
    inner = tracer.compile(lambda x: x + 1)
    outer = tracer.compile(lambda x: inner(x) * 2)
    np.testing.assert_array_equal(outer(A), (A + 1) * 2)
    assert traces(inner) == 0 and traces(outer) == 1
    np.testing.assert_array_equal(tracer.compile(outer)(A), (A + 1) * 2)


def test_the_name_and_doc_of_the_function_stay():
    @tracer.compile
    def predict(x):
        """Predicts."""
        return x

    assert predict.__name__ == "predict" and predict.__doc__ == "Predicts."
