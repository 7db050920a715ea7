"""Deep and many: tens of thousands of operations in a row, 2**50 paths through fifty; by loops, in linear time."""
from __future__ import annotations

import copy
import gc
import sys

import numpy as np
import pytest

import ir
import tracer
import tracer.functions as F
from ir import passes
from tracer import Variable

PATHS = 50


def chain(x, n):
    for k in range(n):
        x = np.sin(x) if k % 2 else x * 1.01
    return x


def doubled(x):
    for _ in range(50):
        x = x + x
    return x


@pytest.fixture
def low():
    """A low limit, above which nothing here recurses."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(300)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize("n", [2_000, pytest.param(20_000, marks=pytest.mark.long)])
def test_a_long_graph(n, low, monkeypatch):
    monkeypatch.setattr(passes, "VERIFY", False)
    x = np.array([0.5, 0.6])
    graph = tracer.trace(chain, x, n)
    text = str(graph)
    assert str(ir.parse(text)) == text and len(graph.to_dot()) > n
    for twin in (graph.copy()[0], copy.deepcopy(graph)):
        assert len(twin) == len(graph)
    np.testing.assert_array_equal(ir.evaluate(graph, [x, n])[0][0], chain(x, n))
    del graph, twin
    gc.collect()


@pytest.mark.parametrize("n", [2_000, pytest.param(20_000, marks=pytest.mark.long)])
def test_a_long_function_and_its_gradient(n, monkeypatch):
    monkeypatch.setattr(passes, "VERIFY", False)
    x = np.array([0.5, 0.6])
    fast = tracer.compile(lambda x: chain(x, n))
    np.testing.assert_allclose(fast(x), chain(x, n), rtol=1e-12)
    got = tracer.grad(lambda x: np.sum(chain(x, n)))(x)
    v, slope = x, np.ones(2)
    for k in range(n):
        slope, v = (slope * np.cos(v), np.sin(v)) if k % 2 else (slope * 1.01, v * 1.01)
    np.testing.assert_allclose(got, slope, rtol=1e-9)
    del fast
    gc.collect()


def test_many_paths():
    x = np.array([1.0, 3.0])
    graph = tracer.trace(doubled, x)
    assert len(graph) == PATHS + 1 and str(ir.parse(str(graph))) == str(graph) == str(copy.deepcopy(graph))
    assert len(graph.to_dot()) < 100_000
    fast = tracer.compile(doubled)
    np.testing.assert_array_equal(fast(x), x * 2.0**PATHS)
    assert fast.plan(x).peak_bytes < 1000 and fast.source(x).count("add(") == PATHS


@pytest.mark.parametrize("how", ["grad", "grad of grad", "eager", "eager twice"])
def test_gradients_along_many_paths(how):
    x = np.array([1.0, 3.0])
    if how == "grad":
        got = tracer.grad(lambda x: np.sum(doubled(x)))(x)
    elif how == "grad of grad":
        got = tracer.grad(lambda x: np.sum(tracer.grad(lambda x: np.sum(doubled(x) * x))(x)))(x) / 2
    else:
        v = Variable(x)
        F.sum(doubled(v) * v if how == "eager twice" else doubled(v)).backward(create_graph=how == "eager twice")
        if how == "eager twice":
            first = v.grad
            v.cleargrad()
            F.sum(first).backward()
        got = v.grad.data / (2 if how == "eager twice" else 1)
    np.testing.assert_array_equal(got, np.full(2, 2.0**PATHS))


def test_deep_trees_of_arguments():
    tree = np.ones(2)
    for _ in range(100):
        tree = [tree]
    def f(t):
        while isinstance(t, list):
            t = t[0]
        return t * 2

    np.testing.assert_array_equal(tracer.compile(f)(tree), [2.0, 2.0])
