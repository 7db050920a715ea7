"""Python bools that NumPy computes from arrays: `np.allclose` and `np.array_equal` give bools, and count as bools or are refused."""
from __future__ import annotations

import numpy as np
import pytest

import tracer
from tracer import Variable

X = np.array([1.0, 2.0, 3.0])
CALLS = [(X, X.copy()), (X, X + 1), (X, X + 1e-12)]
GIVES = {
    "close": lambda x, y: np.allclose(x, y), "equal": lambda x, y: np.array_equal(x, y), "shapes": lambda x, y: np.array_equal(x, y[:2]),
    "logic": lambda x, y: (np.allclose(x, y) & np.array_equal(x, y)) | (np.allclose(y, x) ^ True),
    "both": lambda x, y: True & np.allclose(x, y),
    "the same": lambda x, y: np.allclose(x, y) == np.array_equal(x, y), "other": lambda x, y: np.allclose(x, y) != True,  # noqa: E712
    "with an array": lambda x, y: (np.allclose(x, y) * x, x + np.allclose(x, y), np.array_equal(x, y) - x, np.allclose(x, y) & (x > 1)),
    "with int8": lambda x, y: np.allclose(x, y) * x.astype("i1"), "with a scalar": lambda x, y: np.allclose(x, y) * x[0],
    "chosen": lambda x, y: np.where(np.allclose(x, y), x, -y), "ufuncs": lambda x, y: np.logical_not(np.allclose(x, y)),
    "in lists": lambda x, y: np.stack([np.allclose(x, y), np.array_equal(x, y)]), "is it": lambda x, y: isinstance(np.allclose(x, y), bool),
    "nested": lambda x, y: {"a": [np.allclose(x, y)], "b": x}, "nan": lambda x, y: np.array_equal(x * np.nan, y * np.nan, equal_nan=True),
}  # fmt: skip
COUNTS = {
    "sum": lambda x, y: np.allclose(x, y) + np.allclose(x, y), "number": lambda x, y: 1 - np.allclose(x, y),
    "minus": lambda x, y: -np.allclose(x, y), "invert": lambda x, y: ~np.allclose(x, y), "less": lambda x, y: np.allclose(x, y) < 1,
    "branch": lambda x, y: x if np.allclose(x, y) else y, "not": lambda x, y: not np.allclose(x, y),
    "int": lambda x, y: int(np.allclose(x, y)),
    "text": lambda x, y: len(str(np.allclose(x, y))), "index": lambda x, y: [x, y][np.allclose(x, y)],
}  # fmt: skip


def same(got, want):
    assert type(got) is type(want)
    if isinstance(want, (list, tuple)):
        for one, other in zip(got, want, strict=True):
            same(one, other)
    elif isinstance(want, dict):
        same(list(got.values()), list(want.values()))
    else:
        assert np.asarray(got).dtype == np.asarray(want).dtype
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", GIVES)
def test_what_is_like_numpys(name):
    fast = tracer.compile(GIVES[name])
    for x, y in CALLS:
        same(fast(x, y), GIVES[name](x, y))
    assert fast.explain().traces == 1


@pytest.mark.parametrize("name", COUNTS)
def test_what_needs_the_value_or_would_count_otherwise(name):
    with pytest.raises(tracer.TraceError) as caught:
        tracer.compile(COUNTS[name])(*CALLS[0])
    assert caught.value.line.file == __file__ and caught.value.mend


def test_variables():
    v, w = Variable(X.copy()), Variable(X + 1)
    assert np.allclose(v, w) is False and np.allclose(v, v + 0.0) is True and np.array_equal(v, X) is True
    fast = tracer.compile(lambda x: np.allclose(v, x))
    assert [fast(X), fast(X + 1)] == [True, False] and type(fast(X)) is bool
