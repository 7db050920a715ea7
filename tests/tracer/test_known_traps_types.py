"""Ways in which traced programs have gone another way than plain ones without a word: what code asks of an object's type."""
from __future__ import annotations

import collections.abc
import functools
import numbers

import numpy as np
import pytest

import tracer
from tests.tracer.test_known_traps import XS, A, agree, alike


# ---- which type an object has
def by_is(x, n):
    return x * 2 if type(x) is np.ndarray else x


def by_name(x, n):
    return x * 2 if type(x).__name__ == "ndarray" else x


def by_membership(x, n):
    return x * 2 if type(x) in (np.ndarray, list) else x


def by_table(x, n):
    return {np.ndarray: lambda v: v * 2, int: lambda v: v}.get(type(x), lambda v: v * 0)(x)


def by_subclass(x, n):
    return x * 2 if issubclass(type(x), np.ndarray) else x


def by_each_other(x, n):
    return x * 2 if type(x) is type(np.ones(1)) and type(x) == type(x * 2) else x  # noqa: E721


def of_a_number(x, n):
    return x * 2 if type(n) is int else x * type(n)(3.7)


def of_a_scalar(x, n):
    return x * 2 if type(x.sum()) is np.float64 and type(x[0]) is not type(x) else x


def through_a_helper(x, n):
    return by_is(x, n) + of_a_number(x, n)


def by_class(x, n):
    return x * 2 if x.__class__ is np.ndarray and isinstance(x, np.ndarray) and isinstance(x[0], float) else x


def by_pattern(x, n):
    match n, x:
        case int(), np.ndarray():
            return x * 2
        case float(), _:
            return x * 3
    return x


@functools.singledispatch
def dispatched(x):
    return x * 0


@dispatched.register
def _(x: np.ndarray):
    return x * 2


def by_dispatch(x, n):
    return dispatched(x)


ASKING = [by_is, by_name, by_membership, by_table, by_subclass, by_each_other, of_a_number, of_a_scalar, through_a_helper, by_class,
          by_pattern, by_dispatch]  # fmt: skip


@pytest.mark.parametrize("fn", ASKING)
def test_the_type_of_what_is_traced(fn):
    agree(fn, (A, 2), (A, 2.5), (XS[1], 2), (XS[1], True))


def test_the_type_of_a_captured_number():
    n = 2
    fast = tracer.compile(lambda x: x * n if type(n) is int else x * (n + 1))
    for n in (2, 3, 2.5, 4):
        alike(fast(A), A * (n if type(n) is int else n + 1))


def test_abstract_classes():
    kinds = (collections.abc.Iterable, collections.abc.Sized, collections.abc.Sequence, numbers.Number, list, tuple)
    agree(lambda x: [isinstance(x, k) for k in kinds])
    agree(lambda x: [isinstance(x.sum(), k) for k in (numbers.Number, numbers.Real, float, np.floating, np.generic, int)])
