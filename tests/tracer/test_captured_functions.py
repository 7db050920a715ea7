"""Functions that a function reaches, its own code included: after each change the next call gives what NumPy gives."""
# ruff: noqa: E731, F841, B007  (cases rebind what their functions close over)
from __future__ import annotations

import functools

import numpy as np
import pytest

from tests.tracer.changes import X, check

CASES = {}


def case(fn):
    CASES[fn.__name__] = fn
    return fn


@case
def closures_in_a_list():
    def scaled_by(k):
        return lambda x: x * k

    fs = [lambda x, k=1.0: x * k, scaled_by(2.0)]
    fn = lambda x: sum(f(x) for f in fs)
    yield fn
    fs.append(lambda x: x * 100)
    yield fn
    fs[0] = lambda x: -x
    yield fn
    fs[1].__closure__[0].cell_contents = 5.0
    yield fn
    fs[2].__defaults__ = (7.0,)
    yield fn


@case
def a_helper_rebound_to_anything():
    helper = lambda x: x * 2.0
    middle = lambda x: helper(x)
    fn = lambda x: middle(x)
    yield fn
    helper = lambda x: x * 3.0
    yield fn
    helper.__code__ = (lambda x: x + 50.0).__code__
    yield fn
    middle = lambda x: -x
    yield fn
    middle = np.sin
    yield fn
    middle = abs
    yield fn
    middle = None
    yield fn


@case
def attributes_of_functions():
    def helper(x):
        return x * helper.k + helper.w

    helper.k, helper.w = 2.0, np.ones(3)
    fn = lambda x: helper(x)
    yield fn
    helper.k = 3.0
    yield fn
    helper.w[0] = 9.0
    yield fn
    helper.w = X.copy()
    yield fn


@case
def bound_methods_and_partials():
    class Model:
        def __init__(self, k):
            self.k = k

        def f(self, x):
            return x * self.k

    model = Model(2.0)
    f, p = model.f, functools.partial(np.multiply, 2.0)
    fn = lambda x: f(x) + p(x)
    yield fn
    model.k = 3.0
    yield fn
    f = Model(9.0).f
    yield fn
    p = functools.partial(np.multiply, X.copy())
    yield fn
    p.args[0][:] = 8.0
    yield fn
    p = functools.partial(np.add, X)
    yield fn


@case
def the_code_of_the_function_itself():
    fn = lambda x: x * 2
    yield fn
    fn.__code__ = (lambda x: x * 3).__code__
    yield fn


@pytest.mark.parametrize("name", CASES)
def test_every_change_is_seen(name):
    check(CASES[name])
