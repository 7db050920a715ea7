"""`where` on the bits of elements: what NumPy gives, for all that numbers can be, and never by a masked copy where many are chosen."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer

N = 20_000
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324])
FORMS: dict[str, Callable[..., Any]] = {
    "both live on": lambda c, x, y: (np.where(c, x, y), x + y),
    "over x": lambda c, x, y: np.where(c, x + y, y),
    "over y": lambda c, x, y: np.where(c, x, x + y),
    "over either": lambda c, x, y: np.where(c, x + y, x - y),
    "x or zero": lambda c, x, y: np.where(c, x + y, x.dtype.type(0)),
    "zero or y": lambda c, x, y: np.where(c, x.dtype.type(0), y),
    "x or three": lambda c, x, y: np.where(c, x + y, x.dtype.type(3)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "u2"])
def test_where_gives_the_bits_that_numpy_gives(form: str, dtype: str) -> None:
    rng, fn = np.random.default_rng(0), FORMS[form]
    x, y = [(rng.normal(size=N) * 100).astype(dtype) for _ in range(2)]
    if dtype[0] == "f":
        x[:6], y[3:9] = SPECIAL.astype(dtype), SPECIAL.astype(dtype)
    fast = tracer.compile(fn)
    with np.errstate(all="ignore"):
        for part in (0.0, 0.5, 1.0):
            c = rng.uniform(size=N) < part
            got, want = [made if isinstance(made, tuple) else (made,) for made in (fast(c, x, y), fn(c, x, y))]
            for a, b in zip(got, want, strict=True):
                assert a.dtype == b.dtype and a.tobytes() == b.tobytes(), part
    kernels = fast.plan(c, x, y).text(lines=False)
    assert "where.bits" in kernels or "where.zero" in kernels


def test_what_does_not_lie_alike() -> None:
    """Strided operands, a condition that broadcasts, operands of two dtypes, a condition of numbers."""
    rng = np.random.default_rng(0)
    x, y, c = rng.normal(size=(200, 200)), rng.normal(size=(200, 200)), rng.uniform(size=(200, 200)) < 0.5
    fast = tracer.compile(lambda c, x, y: np.where(c, x, y))
    for args in ((c.T, x, y), (c, x[:, ::-1], y), (c[:1], x, y), (c, x, y[0]), (c, x, y.astype("f4")), (c[0, 0], x, y), (c * 2, x, y)):
        np.testing.assert_array_equal(fast(*args), np.where(*args))
