"""Reductions with `initial=`, `where=` and `dtype=`: NumPy's value, dtype and kind of result, over three calls with other data."""
from __future__ import annotations

import numpy as np
import pytest

import tracer

BASE = np.array([[1.5, -2.0, 0.25], [3.0, 0.5, 2.0]])
ARRAYS = {
    "float64": BASE, "float32": BASE.astype("f4"), "int64": BASE.astype(int), "int8": BASE.astype("i1"), "bool": BASE > 0.4,
    "complex": BASE + 1j, "empty": np.zeros((0, 3), "f4"), "scalar": np.float32(2.5),
}  # fmt: skip
INITIAL = [2.5, 3, True, np.float64(2.5), np.float32(1.5), np.int64(7), np.array(2.5)]
DTYPES = [None, "u1", "i8", "f4", "f8", "?", "c8"]


def same(fn, *calls):
    """`fn` compiled gives what it gives, in each call; where NumPy raises, so does it."""
    fast = tracer.compile(fn)
    for x in calls:
        try:
            want = fn(x)
        except (TypeError, ValueError, OverflowError) as error:
            with pytest.raises((type(error), tracer.Error)):
                fast(x)
            continue
        got = fast(x)
        assert type(got) is type(want) and got.dtype == want.dtype and got.shape == want.shape, (x, got, want)
        assert np.allclose(got.astype(complex), want.astype(complex), equal_nan=True), (x, got, want)


def three(x):
    return [x, x[::-1] if np.ndim(x) else x, x + x if np.asarray(x).dtype != bool else ~x]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ARRAYS)
def test_initial_and_dtype_do_not_change_the_dtype_of_the_result(kind):
    x = ARRAYS[kind]
    for name in ("sum", "prod"):
        for initial in INITIAL:
            for dtype in DTYPES if initial is INITIAL[0] else DTYPES[:2]:
                same(lambda x: getattr(np, name)(x, dtype=dtype, initial=initial), x)  # noqa: B023
        same(lambda x: getattr(np, name)(x, axis=-1 if np.ndim(x) else None, dtype="u1", initial=2.5), *three(x))  # noqa: B023
    for name in ("max", "min"):
        for initial in INITIAL:
            same(lambda x: getattr(np, name)(x, initial=initial), *three(x))  # noqa: B023


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ARRAYS)
def test_means_and_cumulated_sums_in_a_dtype(kind):
    x = ARRAYS[kind]
    for dtype in DTYPES:
        same(lambda x: np.mean(x, dtype=dtype, where=np.real(x) > 0), *three(x))  # noqa: B023
        same(lambda x: np.nanmean(x, dtype=dtype, where=np.real(x) > 0), *three(x))  # noqa: B023
        same(lambda x: np.cumsum(x, dtype=dtype), *three(x))  # noqa: B023
        same(lambda x: np.cumprod(x, dtype=dtype), *three(x))  # noqa: B023


def test_a_variance_in_a_dtype_is_numpys_or_refused():
    for dtype in ("f4", "f8"):
        same(lambda x: np.var(x, axis=0, dtype=dtype), *three(BASE))  # noqa: B023
    for x, dtype in ((BASE, int), (BASE, "c8"), (BASE + 1j, "f8"), (BASE > 0, "?")):
        with pytest.raises(tracer.Error, match="dtype="):
            tracer.compile(lambda x: np.std(x, dtype=dtype))(x)  # noqa: B023


def test_an_initial_value_that_is_an_argument():
    fast = tracer.compile(lambda x, k: np.sum(x, initial=k) + np.max(x, initial=k))
    for k in (0.5, 2.0, 7.0):
        assert fast(BASE, k) == np.sum(BASE, initial=k) + np.max(BASE, initial=k)
    assert fast.explain().traces == 1
    whole = tracer.compile(lambda x, k: np.sum(x, initial=k))
    for k in (0.5, 2.9, -7.2):  # cut off for integers, as NumPy does
        got, want = whole(BASE.astype(int), k), np.sum(BASE.astype(int), initial=k)
        assert got == want and type(got) is type(want)
    grad = tracer.grad(lambda k, x: np.sum(x, initial=k) ** 2)
    assert grad(2.0, BASE) == pytest.approx(2 * (BASE.sum() + 2.0))
