"""NumPy functions that are not traced: each is refused with what to write instead, and what is written so gives what NumPy gives."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer
from tracer.numpy_api import refused

X = np.array([1.5, -0.5, 2.25, 0.5, -3.0, 2.25])
Y = np.array([[2.0, -1.0, 4.0, 0.5], [1.0, np.nan, -2.0, 3.0], [0.25, 5.0, 1.0, -6.0]])
K = np.array([2, 0, 1, 2, 5, 3])
EDGES, VALUES = np.array([-3.0, -1.0, 0.5, 1.0, 2.5]), np.array([0.5, 2.25, 7.0])
HIGH, LOW = np.array([0.0, 1.0, 2.0, 4.0]), np.array([0.0, 10.0, -5.0, 3.0])


def first_of_equals(x: Any) -> Any:
    s = np.sort(x)
    return np.sum(np.where(np.diff(s, prepend=-np.inf) != 0, s, 0.0))


def counted(k: Any) -> Any:
    n = np.zeros(6, np.intp, like=k)
    np.add.at(n, k, 1)
    return n


def binned(x: Any) -> Any:
    n = np.zeros(4, np.intp, like=x)
    np.add.at(n, np.sum(x[:, None] >= EDGES[1:-1], axis=1), 1)
    return n


def between(x: Any) -> Any:
    k = np.sum(x[:, None] >= HIGH[1:-1], axis=1)
    high, low, slope = [np.asarray(table, like=x) for table in (HIGH, LOW, np.diff(LOW) / np.diff(HIGH))]
    return low[k] + (np.clip(x, HIGH[0], HIGH[-1]) - high[k]) * slope[k]


def middle(x: Any) -> Any:
    s = np.sort(x)
    return (s[2] + s[3]) / 2


def middle_of_numbers(x: Any) -> Any:
    s, n = np.sort(x.ravel()), np.sum(~np.isnan(x))
    return (s[(n - 1) // 2] + s[n // 2]) / 2


def correlated(x: Any) -> Any:
    d = x[::2] - x[::2].mean(1, keepdims=True)
    c = d @ d.T
    s = np.sqrt(np.diag(c))
    return c / s / s[:, None]


def ends_apart(x: Any) -> Any:
    return np.concatenate([x[1:2] - x[:1], (x[2:] - x[:-2]) / 2, x[-1:] - x[-2:-1]])


def unwrapped(x: Any) -> Any:
    d = np.diff(x * 3)
    return np.concatenate([x[:1] * 3, x[0] * 3 + np.cumsum((d + np.pi) % (2 * np.pi) - np.pi)])


def euclid(k: Any) -> Any:
    a, b = k * 0 + 12, k + 6
    for _ in range(6):
        a, b = np.where(b == 0, a, b), np.where(b == 0, 0, a % np.where(b == 0, 1, b))
    return a


def parts(x: Any) -> Any:
    e = np.where(x == 0, 0, np.floor(np.log2(np.abs(x))) + 1)
    return x / 2.0**e, e.astype(np.int32)


def running(ufunc: np.ufunc) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        y = x.copy()
        for i in range(1, len(y)):
            y[i] = ufunc(y[i], y[i - 1])
        return y

    return run


def logsum(x: Any) -> Any:
    m = np.max(x, 0, keepdims=True)
    return (m + np.log(np.sum(np.exp(x - m), 0, keepdims=True)))[0]


def horner(x: Any) -> Any:
    y = x * 0
    for c in (2.0, -1.0, 0.5):
        y = y * x + c
    return y


def product(p: Any) -> Any:
    q, out = p[::-1], np.zeros(11, like=p)
    for k in range(6):
        out[k : k + 6] += p[k] * q
    return out


def window(x: Any) -> Any:
    i = np.arange(4)
    return x[i[:, None] + np.arange(3)]


def rounded(x: Any) -> Any:
    return np.round(x[0] * 10)


# name: what is refused, a part of its mend, what is written instead, what it is given
TABLE: dict[str, tuple[Callable[..., Any], str, Callable[..., Any], np.ndarray]] = {
    # the length would hang on the data
    "where": (lambda x: (x * 0)[np.where(x > 0)].sum(), "np.where(c, a, b)", lambda x: np.where(x > 0, x * 0, 0.0).sum(), X),
    "nonzero": (lambda x: x[np.nonzero(x > 0)].sum(), "np.where(c, a, b)", lambda x: np.where(x > 0, x, 0.0).sum(), X),
    "flatnonzero": (
        lambda x: np.flatnonzero(x > 0)[:3], "np.argsort(~c, kind='stable')", lambda x: np.argsort(~(x > 0), kind="stable")[:3], X,
    ),
    "unique": (lambda x: np.unique(x).sum(), "np.diff(s, prepend=-np.inf) != 0", first_of_equals, X),
    "intersect1d": (
        lambda x: np.intersect1d(x[:3], VALUES).sum(), "np.any(x[:, None] == y", lambda x: np.sum(np.where(np.any(x[:3, None] == VALUES,
        axis=1), x[:3], 0.0)), X,
    ),
    "repeat": (lambda k: np.repeat(k[:3], k[:3])[:3], "np.take(x, index)", lambda k: np.take(k, [0, 0, 2]), K),
    # what is looked for among values
    "median": (np.median, "np.sort(x, axis)", middle, X),
    "quantile": (lambda x: np.quantile(x, 0.5), "np.sort(x, axis)", middle, X),
    "nanmedian": (np.nanmedian, "s[(n - 1) // 2]", middle_of_numbers, Y),
    "nanargmax": (lambda y: np.nanargmax(y, 1), "-np.inf, x)", lambda y: np.argmax(np.where(np.isnan(y), -np.inf, y), 1), Y),
    "nanargmin": (np.nanargmin, "np.inf, x)", lambda y: np.argmin(np.where(np.isnan(y), np.inf, y)), Y),
    "nanvar": (np.nanvar, "np.nanmean(np.abs(x - np.nanmean(x)) ** 2)", lambda y: np.nanmean(np.abs(y - np.nanmean(y)) ** 2), Y),
    "nanstd": (np.nanstd, "np.sqrt(np.nanmean(", lambda y: np.sqrt(np.nanmean(np.abs(y - np.nanmean(y)) ** 2)), Y),
    "digitize": (lambda x: np.digitize(x, EDGES), "v[:, None] >= edges", lambda x: np.sum(x[:, None] >= EDGES, axis=1), X),
    "searchsorted": (lambda x: np.searchsorted(EDGES, x), "v[:, None] > edges", lambda x: np.sum(x[:, None] > EDGES, axis=1), X),
    "interp": (lambda x: np.interp(x, HIGH, LOW), "np.sum(x[:, None] >= xp[1:-1]", between, X),
    "isin": (lambda x: np.isin(x, VALUES), "np.any(x[:, None] == values", lambda x: np.any(x[:, None] == VALUES, axis=1), X),
    "bincount": (lambda k: np.bincount(k, minlength=6), "np.add.at(n, k, 1)", counted, K),
    "histogram": (lambda x: np.histogram(x, EDGES)[0], "np.add.at(n, np.sum(", binned, X),
    "partition": (lambda x: np.partition(x, 2)[2], "np.sort", lambda x: np.sort(x)[2], X),
    "argpartition": (lambda x: np.argpartition(x, 0)[0], "np.argsort", lambda x: np.argsort(x)[0], X),
    "choose": (lambda k: np.choose(k, [k, -k, k * 2, k, k, k]), "mode='clip'", lambda k: np.choose(k, [k, -k, k * 2, k, k, k],
     mode="clip"), K),
    "piecewise": (lambda x: np.piecewise(x, [x > 1, x < 0], [lambda v: v * v, 7]), "np.select([a, b]", lambda x: np.select([x > 1, x < 0],
     [x * x, 7]), X),
    # products, differences, polynomials
    "einsum": (lambda y: np.einsum("ij,kj->ik", y, y), "np.matmul or @", lambda y: y @ y.T, Y),
    "convolve": (lambda x: np.convolve(x, [1.0, 2.0], "valid"), "shifted slices", lambda x: x[1:] + 2 * x[:-1], X),
    "correlate": (lambda x: np.correlate(x, x[:2]), "x[k : k + len(y)] * y", lambda x: np.stack([np.sum(x[k : k + 2] * x[:2])
     for k in range(5)]), X),
    "gradient": (np.gradient, "(x[2:] - x[:-2]) / 2", ends_apart, X),
    "trapezoid": (np.trapezoid, "(y[1:] + y[:-1]) / 2", lambda x: np.sum((x[1:] + x[:-1]) / 2), X),
    "ediff1d": (np.ediff1d, "np.diff(x.ravel())", lambda y: np.diff(y.ravel()), Y),
    "unwrap": (lambda x: np.unwrap(x * 3), "% (2 * np.pi) - np.pi", unwrapped, X),
    "cov": (lambda x: np.cov(x[:, None] * VALUES, rowvar=False), "d.T @ d / (len(x) - 1)", lambda x: (d := x[:, None] * VALUES -
     (x[:, None] * VALUES).mean(0, keepdims=True)).T @ d / (len(x) - 1), X),
    "corrcoef": (lambda y: np.corrcoef(y[::2]), "c / s / s[:, None]", correlated, Y),
    "polyval": (lambda x: np.polyval([2.0, -1.0, 0.5], x), "y * x + c", horner, X),
    "polymul": (lambda x: np.polymul(x, x[::-1]), "each shifted by k", product, X),
    "polyder": (np.polyder, "np.arange(len(p) - 1, 0, -1)", lambda x: x[:-1] * np.arange(len(x) - 1, 0, -1), X),
    "vander": (lambda x: np.vander(x, 3), "x[:, None] ** np.arange(n - 1, -1, -1)", lambda x: x[:, None] ** np.arange(2, -1, -1), X),
    # numbers in their parts
    "round": (lambda x: round(x[0] * 10), "np.round(x)", rounded, X),
    "frexp": (np.frexp, "np.floor(np.log2(np.abs(x))) + 1", parts, X),
    "ldexp": (lambda k: np.ldexp(VALUES[0], k), "x * 2.0 ** k", lambda k: VALUES[0] * 2.0**k, K),
    "gcd": (lambda k: np.gcd(12, k + 6), "Euclid's steps", euclid, K),
    "lcm": (lambda k: np.lcm(12, k + 6), "a * b // gcd", lambda k: 12 * (k + 6) // euclid(k), K),
    "bitwise_count": (lambda k: np.bitwise_count(k), "(x >> k) & 1", lambda k: sum([((k >> b) & 1).astype("u1") for b in range(8)],
     np.zeros(6, "u1")), K),
    "nextafter": (lambda x: np.nextafter(x, np.inf), "np.finfo(x.dtype).eps", lambda x: x + np.finfo(x.dtype).eps * np.abs(x), X),
    "spacing": (lambda x: np.spacing(x) + 1, "np.finfo(x.dtype).eps", lambda x: np.finfo(x.dtype).eps * np.abs(x) + 1, X),
    # shapes and indices
    "ravel in order K": (lambda y: y.ravel("K"), "order='C', 'F' or 'A'", lambda y: y.ravel("A"), Y),
    "unravel_index": (lambda k: np.unravel_index(k, (2, 3)), "k // n, k % n", lambda k: (k // 3, k % 3), K),
    "ravel_multi_index": (lambda k: np.ravel_multi_index((k, k), (6, 6)), "i * n + j", lambda k: k * 6 + k, K),
    "ix_": (lambda k: k[:, None] * k[np.ix_(k)], "x[i[:, None], j]", lambda k: k[:, None] * k[k], K),
    "sliding_window_view": (lambda x: np.lib.stride_tricks.sliding_window_view(x, 3), "np.arange(n)]", window, X),
    "apply_along_axis": (lambda y: np.apply_along_axis(np.sum, 0, y), "np.stack([f(row)", lambda y: np.stack([np.sum(c) for c in y.T]), Y),
    "apply_over_axes": (lambda y: np.apply_over_axes(np.sum, y, [1]), "keepdims=True", lambda y: np.sum(y, axis=1, keepdims=True), Y),
    "linspace": (lambda x: np.linspace(x[0], x[1], 4), "np.linspace(0, 1, n)", lambda x: x[0] + (x[1] - x[0]) * np.linspace(0, 1, 4), X),
    "an array of elements": (lambda x: np.array([x[0], x[2]]), "np.stack([a, b])", lambda x: np.stack([x[0], x[2]]), X),
    "sum of a list": (lambda x: np.sum([x[0], x[2]]), "np.stack([a, b])", lambda x: np.sum(np.stack([x[0], x[2]])), X),
    "array_equiv": (lambda x: np.array_equiv(x, x[0]) * 1.0, "np.all(x == y)", lambda x: np.all(x == x[0]) * 1.0, X),
    # methods of ufuncs
    "maximum.accumulate": (np.maximum.accumulate, "y[i] = np.maximum(y[i], y[i - 1])", running(np.maximum), X),
    "minimum.accumulate": (np.minimum.accumulate, "y[i] = np.minimum(y[i], y[i - 1])", running(np.minimum), X),
    "logaddexp.reduce": (np.logaddexp.reduce, "np.log(np.sum(np.exp(x - m)", logsum, X[:, None]),
    "hypot.reduce": (np.hypot.reduce, "np.linalg.norm(x, axis=axis)", lambda x: np.linalg.norm(x, axis=0), X),
    "fmax.reduce": (lambda y: np.fmax.reduce(y, 1), "np.nanmax(x, axis)", lambda y: np.nanmax(y, 1), Y),
    "add.reduceat": (lambda x: np.add.reduceat(x, [0, 2]), "np.stack of sums over slices", lambda x: np.stack([x[:2].sum(), x[2:].sum()]),
     X),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_the_mend_says_what_to_write(name: str) -> None:
    wrong, mend, right, x = TABLE[name]
    with pytest.raises(tracer.TraceError) as caught:
        tracer.compile(wrong)(x.copy())
    assert mend in str(caught.value.mend) and caught.value.line is not None and caught.value.line.file == __file__
    got, due = tracer.compile(right)(x.copy()), wrong(x.copy())
    for mine, plain in zip(got, due, strict=True) if isinstance(due, tuple) else [(got, due)]:
        np.testing.assert_allclose(mine, plain, rtol=1e-14, atol=1e-15)


def test_every_refused_name_is_one_of_numpys_and_not_traced() -> None:
    from_numpy = {getattr(home, name, None) for name in refused.MENDS for home in (np, np.linalg, np.lib.stride_tricks)}
    assert all(any(hasattr(home, name) for home in (np, np.linalg, np.lib.stride_tricks)) for name in refused.MENDS)
    assert not (from_numpy - {None}) & set(tracer.numpy_api.TABLE)
