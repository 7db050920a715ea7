"""Traps of replayed programs, continued: objects that a function gets or reaches, and results that can't be made anew."""
from __future__ import annotations

import functools

import numpy as np
import pytest

import tracer
from tests.tracer.test_replay import same


# ---- what hangs on objects, near and far
class Layer:
    scale = 1.0

    def __init__(self):
        self.w = np.ones(3)


class Slotted:
    __slots__ = ("k",)


def test_a_model_as_an_argument():
    model = Layer()
    fast = tracer.compile(lambda m, x: x * m.w * m.scale)
    fast(model, np.ones(3))
    model.w[:], model.scale = 3.0, 5.0
    np.testing.assert_array_equal(fast(model, np.ones(3)), np.full(3, 15.0))


def test_a_layer_deep_inside():
    net = {"layers": [{"first": Layer()}]}
    fast = tracer.compile(lambda x: x * net["layers"][0]["first"].w)
    fast(np.ones(3))
    net["layers"][0]["first"].w = np.full(3, 7.0)
    np.testing.assert_array_equal(fast(np.ones(3)), np.full(3, 7.0))


def test_an_attribute_of_a_class(monkeypatch):
    fast = tracer.compile(lambda x: x * Layer.scale)
    fast(np.ones(3))
    monkeypatch.setattr(Layer, "scale", 4.0)
    np.testing.assert_array_equal(fast(np.ones(3)), np.full(3, 4.0))


def test_a_slot():
    holder = Slotted()
    holder.k = 2.0
    fast = tracer.compile(lambda x: x * holder.k)
    fast(np.ones(3))
    holder.k = 3.0
    np.testing.assert_array_equal(fast(np.ones(3)), np.full(3, 3.0))


def test_a_partial_written_into():
    part = functools.partial(lambda a, x: a * x, np.ones(3))
    fast = tracer.compile(part)
    fast(np.ones(3))
    part.args[0][:] = 5.0
    np.testing.assert_array_equal(fast(np.ones(3)), np.full(3, 5.0))


def test_a_dtype_and_a_slice_exchanged():
    dtype, part = np.float32, slice(0, 1)
    fast = tracer.compile(lambda x: x[part].astype(dtype))
    assert fast(np.ones(3)).dtype == np.float32
    dtype, part = np.float64, slice(0, 2)
    got = fast(np.ones(3))
    assert got.dtype == np.float64 and got.shape == (2,)


def test_numbers_put_into_a_plain_array_are_those_of_the_call():
    fast = tracer.compile(lambda s: np.full(2, s))
    same(fast(2.0), [2, 2])
    same(fast(3.0), [3, 3])


def test_a_returned_set_is_refused():
    with pytest.raises(tracer.TraceError, match="type set"):
        tracer.compile(lambda x: {1, 2})(np.ones(3))
