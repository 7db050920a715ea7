"""More ways in which gradients have gone wrong in systems of this kind: the wanted values are mathematics, by hand or by a series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.tracer.test_known_gradients import INF, array, second, slope
from tracer import functions as F

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
SMALL = array(1e-6, 1e-10, -1e-16, 1e-200, 0.0, 1e-3, 0.009, 0.0096, -0.02)


def weighed(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The result times 1, 2, 3, ..., so that a gradient tells its elements apart."""
    return lambda *args: (lambda y: y * np.arange(1.0, y.size + 1).reshape(y.shape))(fn(*args))


def written(x, key, value):
    y = x * 1.0
    y[key] = value
    return y


def added(x, key, value):
    y = x * 1.0
    y[key] += value
    return y


def column_added(x):
    y = x * 1.0
    y[:, 0] += np.abs(x[:, 2])
    return y


def own_column_added(x):
    y = x * 1.0
    y[:, 0] += np.abs(y[:, 2])
    return y


def rows_doubled(x):
    y = x * 1.0
    for row in y:
        row *= 2
    return y


def out_where(x):
    out = np.zeros_like(x)
    np.log(x, out=out, where=x > 0)
    return out


POINTS: dict[str, tuple[Callable[..., Any], list[Any], list[Any]]] = {
    "root of some": (lambda a: np.sqrt(array(4.0, 0.0) + a * array(9.0, 0.0))[0], [array(0.0)], [2.25]),
    "power minus one of some": (lambda x: (1 / x)[1], [array(0.0, 2.0)], [[0, -0.25]]),
    "log of some": (lambda x: np.log(x)[1:], [array(0.0, 2.0)], [[0, 0.5]]),
    "norm of rows, some": (lambda x: np.linalg.norm(x, axis=1)[1], [np.array([[0.0, 0], [3, 4]])], [[[0, 0], [0.6, 0.8]]]),
    "mask times inf": (lambda x: np.where(np.isinf(x), 0.0, x) * 1.0 / 1.0, [array(INF, 1.0)], [[0, 1]]),
    "loss over zero, masked": (
        lambda W: (lambda e: np.where(np.isnan(e) | np.isinf(e), 0.0, e))(np.sum((array(1.0, 1.0) @ W - 1) ** 2) / 0),
        [np.ones((2, 2))],
        [np.zeros((2, 2))],
    ),
    "nan-safe std": (
        lambda x: np.sqrt(np.nanmean(np.abs(x - np.nanmean(x)) ** 2)),
        [array(np.nan, 1.0, 2.0, 3.0)],
        [[0, -1 / (3 * np.sqrt(2 / 3)), 0, 1 / (3 * np.sqrt(2 / 3))]],
    ),
    "max with nan-free gradient": (lambda x: np.max(x * array(1.0, 2.0, 3.0)), [array(1.0, 1.0, -1.0)], [[0, 2, 0]]),
    "boolean write": (lambda x: written(x, x > 1, 0.0), [array(0.5, 2.0, 1.0)], [[1, 0, 1]]),
    "the last write wins": (
        lambda x, y: written(x, np.array([1, 1, 2]), y) * array(1.0, 10.0, 100.0, 1000.0),
        [array(1.0, 2, 3, 4), array(5.0, 6, 7)],
        [[1, 0, 0, 1000], [0, 10, 100]],
    ),
    "added repeatedly": (
        lambda x, y: added(x, np.array([1, 1, 2]), y) * array(1.0, 10.0, 100.0, 1000.0),
        [array(1.0, 2, 3, 4), array(5.0, 6, 7)],
        [[1, 10, 100, 1000], [0, 10, 100]],
    ),
    "index with gaps": (
        lambda x: weighed(lambda x: x[[0, 1], :, [1, 0]])(x),
        [np.ones((2, 3, 2))],
        [np.array([[[0, 1], [0, 2], [0, 3]], [[4, 0], [5, 0], [6, 0]]])],
    ),
    "broadcast_to": (weighed(lambda x: np.broadcast_to(x, (2, 3))), [array(1.0, 2, 3)], [[5, 7, 9]]),
    "tensordot with a complex constant": (
        lambda x: np.abs(np.tensordot(x, array(1.0, 1j, dtype=complex), axes=([0], [0]))) ** 2,
        [array(1.0, 1.0)],
        [[2, 2]],
    ),
    "sum with a complex constant": (lambda x: np.abs(np.sum(x * array(1.0, 1j, dtype=complex))) ** 2, [array(1.0, 1.0)], [[2, 2]]),
    "pad": (weighed(lambda x: np.pad(x, 2, "wrap")), [array(1.0, 2, 3)], [[3 + 6.0, 1 + 4 + 7, 2 + 5]]),
    "pad reflect": (weighed(lambda x: np.pad(x, 2, "reflect")), [array(1.0, 2, 3)], [[3 + 7.0, 2 + 4 + 6, 1 + 5]]),
    "exponential used twice and broadcast": (
        lambda z: np.sum(np.exp(z) - 0) + np.sum(np.exp(z) - np.zeros(1000)),
        [array(1.0)],
        [[np.e * 1001]],
    ),
    "column added in place": (column_added, [np.array([[1.0, 2, -3], [4, 5, 6]])], [[[1, 1, 1 - 1], [1, 1, 2]]]),
    "view of itself added": (own_column_added, [np.array([[1.0, 2, -3], [4, 5, 6]])], [[[1, 1, 0], [1, 1, 2]]]),
    "rows doubled in place": (rows_doubled, [np.ones((2, 2))], [2 * np.ones((2, 2))]),
    "zero to a positive power": (lambda x: 0.0**x, [array(2.0, 0.5)], [[0, 0]]),
    "cube of negative": (lambda x: x**3 + x**-1 + x**0, [array(-2.0)], [[12 - 0.25]]),
    "abs and sign at zero": (lambda x: np.abs(x) + x * np.sign(x), [array(0.0, -2.0)], [[0, -2]]),
    "cross entropy of a sure thing": (lambda x: -(1 * np.log(F.sigmoid(x)) + 0 * np.log(1 - F.sigmoid(x))), [array(0.0)], [[-0.5]]),
    "where of equal branches": (lambda x: np.where(x > 0, x, x), [array(1.0, -1.0)], [[1, 1]]),
    "clip at its bounds": (lambda x: np.clip(x, 0.0, 1.0), [array(-1.0, 0.5, 2.0)], [[0, 1, 0]]),
    "min of a product": (lambda x: np.minimum(x * 2, x * 3), [array(1.0, -1.0)], [[2, 3]]),
    "sorted": (weighed(np.sort), [array(3.0, 1.0, 2.0)], [[3, 1, 2]]),
    "sorted equals": (weighed(np.sort), [array(1.0, 1.0)], [[1.0, 2]]),
    "var of one": (lambda x: np.var(x, axis=0), [array([5.0, 7.0])], [[[0, 0]]]),
    "mean of many halves": (lambda x: np.mean(np.abs(x - 4)), [np.zeros(20000, np.float16)], [np.full(20000, -np.float16(1 / 20000))]),
    "repeat and tile": (
        weighed(lambda x: np.concatenate([np.repeat(x, 2), np.tile(x, 2)])),
        [array(1.0, 2)],
        [[1 + 2 + 5 + 7.0, 3 + 4 + 6 + 8]],
    ),
    "roll": (weighed(lambda x: np.roll(x, 2)), [array(1.0, 2, 3)], [[3.0, 1, 2]]),
    "flip slices": (weighed(lambda x: x[::-2]), [array(1.0, 2, 3, 4)], [[0, 2.0, 0, 1]]),
    "take clip": (weighed(lambda x: np.take(x, [5, -7, 1], mode="clip")), [array(1.0, 2, 3)], [[2.0, 3, 1]]),
    "take wrap": (weighed(lambda x: np.take(x, [5, -7, 1], mode="wrap")), [array(1.0, 2, 3)], [[0, 3, 3.0]]),
    "outer of itself": (lambda x: np.outer(x, x), [array(1.0, 2)], [[6.0, 6]]),
    "trace of a product": (lambda x: np.trace(x @ x.T), [np.array([[1.0, 2], [3, 4]])], [[[2.0, 4], [6, 8]]]),
    "diag both ways": (lambda x: np.diag(np.diag(x)) * array([1.0, 2], [3, 4]), [np.ones((2, 2))], [[[1.0, 0], [0, 4]]]),
    "logaddexp2 equals": (np.logaddexp2, [array(1.0), array(1.0)], [[0.5], [0.5]]),
    "fmax with nan": (np.fmax, [array(np.nan, 1.0), array(2.0, np.nan)], [[0, 1], [1, 0]]),
    "float_power negative": (lambda x: np.float_power(x, 2), [array(-3.0)], [[-6.0]]),
    "remainder": (lambda x, y: x % y, [array(5.0, -5.0), array(3.0, 3.0)], [[1, 1], [-1.0, 2]]),
    "expm1 log1p small": (lambda x: np.log1p(np.expm1(x)), [array(1e-20, 0.0)], [[1, 1]]),
    "tanh far": (np.tanh, [array(400.0, -400.0, 0.0)], [[0, 0, 1]]),
    "arctan2 at origin, masked": (
        lambda y, x: np.where(x == 0, 0.0, np.arctan2(y, x)),
        [array(0.0, 1.0), array(0.0, 1.0)],
        [[0, 0.5], [0, -0.5]],
    ),
    "sqrt of square": (lambda x: np.sqrt(x * x), [array(-2.0, 3.0)], [[-1, 1]]),
    "x over norm": (
        lambda x: (x / np.linalg.norm(x)) * array(1.0, 2),
        [array(3.0, 4)],
        [[(16 * 1 - 12 * 2) / 125, (9 * 2 - 12 * 1) / 125]],
    ),
    "nested where nan": (lambda x: np.where(x > 0, np.where(x < 1, np.sqrt(1 - x), 0.0), 0.0), [array(2.0, 0.75, -1.0)], [[0, -1, 0]]),
    "divide masked after": (lambda x, y: np.where(y != 0, x / y, 0.0), [array(1.0, 1), array(0.0, 2)], [[0, 0.5], [0, -0.25]]),
    "sum where": (lambda x: np.sum(np.log(x), where=x > 0), [array(0.0, 2.0)], [[0, 0.5]]),
    "mean where": (lambda x: np.mean(np.sqrt(x), where=x > 0), [array(0.0, 4.0)], [[0, 0.25]]),
    "max where": (lambda x: np.max(np.sqrt(x), where=x > 0, initial=0.0), [array(0.0, 4.0)], [[0, 0.25]]),
    "out where": (out_where, [array(0.0, 2.0)], [[0, 0.5]]),
    "prod of rows with zeros": (lambda x: np.prod(x, axis=1), [np.array([[0.0, 2, 3], [0, 0, 5]])], [[[6, 0, 0], [0, 0, 0]]]),
}


@pytest.mark.parametrize("name", POINTS)
def test_gradient(name: str) -> None:
    fn, args, want = POINTS[name]
    found = slope(fn, *args)
    for got, due in zip(found if isinstance(found, tuple) else (found,), want, strict=True):
        np.testing.assert_allclose(np.ravel(got), np.ravel(due), rtol=1e-12, atol=1e-30)


def test_sinc_next_to_zero() -> None:
    # sin(y) / y has the slope (cos(y) - sin(y) / y) / y, of which nothing is left next to 0
    y = np.pi * SMALL.astype(np.longdouble)
    due = np.pi * (-y / 3 * (1 - y**2 / 10 * (1 - y**2 / 28 * (1 - y**2 / 54))))
    np.testing.assert_allclose(slope(np.sinc, SMALL), due.astype(float), rtol=1e-12)
    twice = np.pi**2 * (-1 / np.longdouble(3) + y**2 / 10 - y**4 / 168 + y**6 / 6480)
    np.testing.assert_allclose(second(np.sinc, SMALL), twice.astype(float), rtol=1e-9)


def test_second_derivatives_at_kinks_are_numbers() -> None:
    assert np.isfinite(second(lambda x: np.maximum(x, 0) ** 2, array(0.0, 1.0))).all()
    apart = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    far = lambda x: np.where(np.eye(3) == 1, 0.0, 1 / np.linalg.norm(x[:, None] - x, axis=-1)) * np.arange(9.0).reshape(3, 3)  # noqa: E731
    assert np.isfinite(second(far, apart)).all() and np.abs(slope(far, apart)).max() > 1
