"""Writes and reads through a traced mask, whose length depends on the data: as NumPy, without a warning of its own, or refused."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import tracer
from tests.tracer.twins import same

X = np.array([3.0, -1.0, 4.0, -1.5, 5.0, 0.0])
M = np.array([True, False, True, True, False, False])
W = np.arange(12.0).reshape(3, 4) - 3


def _scaled(x: Any, y: Any, m: Any) -> None:
    x[x > 2] *= 2
    x[m] += 5
    x[~m] = -1


def _rows(x: Any, y: Any, m: Any) -> None:
    x[m] = y[m]
    x[m] = y[m] * x[m] + 1
    x[m] += y[m] - 2 * x[m]


def _written_twice(x: Any, y: Any, m: Any) -> None:
    x[x > 0] = np.log(x[x > 0])
    x[(x > 0) & m] = np.sqrt(x[(x > 0) & m]) / y[(x > 0) & m]


def _copy_first(x: Any, y: Any, m: Any) -> Any:
    kept = x[m]
    x[m] = 7
    also = kept
    also *= 2
    y[m] = kept
    return kept.sum(), np.sum(also), np.mean(y[m]), (y[m] > 0).any(), np.all(y[m] > 3), y[m].prod()


def _at(x: Any, y: Any, m: Any) -> None:
    np.add.at(x, m, 2.0)
    np.multiply.at(x, m, y[m])
    np.maximum.at(x, y > 0, 0.5)


def _operators(x: Any, y: Any, m: Any) -> Any:
    s = abs(x[m]) + 1
    s -= 2 / s
    x[m] = (1 - s) * 2 + s**2 // 3 - s % 2 + s**0.5
    x[m] = np.where(x[m] > y[m], -x[m], np.minimum(+x[m], np.abs(y[m])))
    y[m] = np.clip(y[m], 2, 8) * (y[m] > 3) + (x[m] == 1)
    s **= 2
    return np.sum(s), (s != 0).all(), s.astype(np.float32).sum(), s.copy().mean()


def _put(x: Any, y: Any, m: Any) -> None:
    np.putmask(x, m, y * 2)
    np.place(y, m, [1.0, 2.0])
    np.copyto(x, 9.0, where=~m)
    np.add(x, y, out=x, where=m)
    x.flat[m] = 3.0


def _views(x: Any, y: Any, m: Any) -> None:
    x[::-1][m] = 1.0
    x[1:][x[1:] > 3] = 0
    x.reshape(2, 3)[:, m[:3]] -= 1
    x.reshape(2, 3).T[m[3:]] *= 4
    x.reshape(3, 2)[..., 0][m[:3]] = -7


@pytest.mark.parametrize("fn", [_scaled, _rows, _written_twice, _copy_first, _at, _operators, _put, _views])
@pytest.mark.parametrize("dtype", ["d", "f"])
def test_as_numpy(fn: Any, dtype: str) -> None:
    """One trace serves masks of any count, none and all included; nothing warns where NumPy does not."""
    fast = tracer.compile(fn)
    for mask in (M, ~M, np.zeros(6, bool), np.ones(6, bool)):
        for turn in (1, -1):
            mine, due = (X[::turn].astype(dtype), X.astype(dtype) + 7, mask), (X[::turn].astype(dtype), X.astype(dtype) + 7, mask)
            with warnings.catch_warnings(record=True) as theirs:
                warnings.simplefilter("always")
                want = fn(*due)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore" if theirs else "error")
                got = fast(*mine)
            same(got, want, 1e-6, "result")
            same(mine, due, 1e-6, "arguments")
    assert fast.explain().traces == 1


def test_rows_and_columns_of_a_matrix() -> None:
    def fn(x: Any, rows: Any, columns: Any, all_: Any) -> Any:
        x[rows] = np.array([1.0, 2.0, 3.0, 4.0])
        x[rows] *= 2.0
        x[rows] += x[rows] * np.arange(4.0)
        x[:, columns] = -1
        x[1:, columns] *= 3
        x[..., columns] += 0.5
        x[0, columns] = 9
        x[all_] = 0
        x[all_ & (x[:, :1] > -2)] -= 1
        return x[rows].sum(axis=0), x[:, columns].sum(), x[all_].mean()

    fast = tracer.compile(fn)
    for k in range(3):
        rows, columns = np.arange(3) % 2 == k % 2, np.arange(4) > k
        mine, due = W * 1, W * 1
        same(fast(mine, rows, columns, mine > k), fn(due, rows, columns, due > k), 1e-12, "result")
        same(mine, due, 1e-12, "argument")


def test_integers_and_bools() -> None:
    def fn(n: Any, b: Any, m: Any) -> Any:
        n[m] *= 3
        n[m] = n[m] // 2 + 7 % n[m]
        n[n % 2 == 0] += 1
        b[m] ^= True
        b[n > 5] = False
        return n[m].sum(), b[m].any()

    n, b, m = np.arange(1, 7), np.arange(6) > 2, M.copy()
    mine, due = (n.copy(), b.copy(), m), (n.copy(), b.copy(), m)
    same(tracer.compile(fn)(*mine), fn(*due), 0, "result")
    same(mine, due, 0, "arguments")

    def casts(n: Any, m: Any) -> None:
        n[m] *= 1.5

    with pytest.raises(TypeError):
        casts(np.arange(6), m)
    with pytest.raises(tracer.Error, match="Cannot cast|cannot cast"):
        tracer.compile(casts)(np.arange(6), m)


@pytest.mark.parametrize("fn", [
    lambda x, y, m: x[m],
    lambda x, y, m: x[m][0],
    lambda x, y, m: x[m].shape,
    lambda x, y, m: len(x[m]),
    lambda x, y, m: bool(x[m]),
    lambda x, y, m: list(x[m]),
    lambda x, y, m: np.sort(x[m]),
    lambda x, y, m: x[m].max(),
    lambda x, y, m: np.cumsum(x[m]),
    lambda x, y, m: np.asarray(x[m]),
    lambda x, y, m: x[m] + y,
    lambda x, y, m: (x[m] + y[~m]).sum(),
    lambda x, y, m: y.__setitem__(m, x[~m]),
    lambda x, y, m: y.__setitem__(m, np.arange(3.0)),
    lambda x, y, m: y.__setitem__(slice(None), x[m]),
    lambda x, y, m: x[m].__setitem__(0, 1.0),
    lambda x, y, m: x[m, np.array([0])],
    lambda x, y, m: np.add.at(x, m, np.arange(3.0)),
    lambda x, y, m: np.concatenate([x[m], y]),
    lambda x, y, m: np.add(x[m], 1.0, out=y),
    lambda x, y, m: np.stack([x[m], y[m]]),
    lambda x, y, m: x.flat[m],
])  # fmt: skip
def test_what_needs_the_length_is_refused(fn: Any) -> None:
    with pytest.raises(tracer.Error) as caught:
        tracer.compile(fn)(X.copy(), X.copy(), M)
    assert "test_writes_masks.py" in str(caught.value) and "mend" in str(caught.value)


def test_a_mask_written_between_is_another_mask() -> None:
    def fn(x: Any, m: Any) -> None:
        chosen = x[m]
        m[0] = False
        x[m] = chosen

    with pytest.raises(tracer.TraceError, match="masks differ"):
        tracer.compile(fn)(X.copy(), M.copy())
