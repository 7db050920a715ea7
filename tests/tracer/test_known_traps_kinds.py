"""More kinds of wrong values that systems of this kind have given without a word, as a table of small programs, run as those of
`test_known_traps_values`: plain and compiled, three calls, bits, dtypes, kinds and the arguments afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.tracer.test_known_traps_values import INF, NAN, as_numpy, set_

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def seq(x, *fs):
    for f in fs:
        f(x)
    return x


def iter_rows(x):
    for row in x:
        row *= 2
    return x


def unbound(x):
    a, b = x
    c = b[1:]
    c[...] = 7
    a += b
    return x, c


def reader_before(x):
    y = x[:2] * 2
    x[:2] = 5
    z = x[:2] * 2
    return y, z, x


def idx_add(y, k):
    k = k % 4
    y[k] += y[k]
    return y


def div0(x, y):
    q = x / y
    q[y == 0] = -1
    return q


def last_wins(x, y):
    x[[1, 1, 2]] = y[:3]
    return x


TABLE: dict[str, tuple[Callable[..., Any], str]] = {
    "a row rolled into itself": (lambda x: (set_(x, 0, np.roll(x[0], 2)), set_(x, 0, x[0] ** 2)), "f8[2,5]"),
    "complex over mixed": (
        lambda x, y, z: (lambda c, d, e: np.concatenate([c / d, c * x / d, c * x / d, (c - e) / d]))(
            y * z, y * z + y * x + z * x, (z - y) * x
        ),
        "c16+[2] f8+[2] f8+[2]",
    ),
    "picked by constants": (lambda x: (x[np.full(4, 1)] - 1, x[np.full(4, 1)] - 1 - np.zeros(4), (x[[1, 1]] - 1) * x[[0, 0]]), "i8[3]"),
    "of one": (
        lambda x: (
            np.cumsum(x),
            x.cumprod(),
            np.sort(x),
            np.diff(x),
            x.argmax(),
            np.roll(x, 3),
            x.std(),
            x @ x,
            np.outer(x, x),
            x.prod(),
            x.any(),
        ),
        "f8[1]",
    ),
    "nan constants": (
        lambda x: (
            np.exp(x * NAN),
            x * NAN,
            np.maximum(x, NAN),
            np.minimum(NAN, x),
            x > NAN,
            np.where(x > NAN, 1.0, x),
            x + INF,
            x - INF,
            x * INF,
            x * -INF,
            INF / x,
            x / INF,
            x**INF,
            x // INF,
            x % INF,
        ),
        "f8[9]",
    ),
    "complex with numbers": (lambda x: (x + 1.5, x * 2, x + 1j, x * np.float64(2), x**2, x + np.float32(1)), "c8[5]"),
    "scalars of a dtype": (
        lambda x: (x / np.float32(3) ** 2, x * np.int64(2), x + np.float64(1), np.exp(x / np.float32(2)), x * np.float16(2)),
        "f4[5]",
    ),
    "added by what it holds": (idx_add, "f8[4,3] i8[5]"),
    "added by what it holds ints": (idx_add, "i1[4] i8[7]"),
    "rows that are views": (iter_rows, "f8[3,2]"),
    "unpacked views": (unbound, "f8[2,3]"),
    "read before and after": (reader_before, "f8[4]"),
    "halves shifted": (lambda b, n: np.concatenate([b[2:], n]), "f8[4] f8[2]"),
    "same added and taken": (
        lambda a, b, c: ((a + c) - (b + c), (a * c) / (b * c), (a - c) - (a - c), (a + b) - b, a - (a - b)),
        "f8[15] f8[15] f8[15]",
    ),
    "constants that wrap": (
        lambda x: (
            x + np.uint8(250) + np.uint8(250),
            np.uint8(250) + x,
            (x + 250) + 250,
            x * np.uint8(16) * np.uint8(16),
            x - np.uint8(255) - np.uint8(1),
        ),
        "u1[9]",
    ),
    "drawn by weights": (lambda w, u: (np.cumsum(w) / np.sum(w) <= u[:, None]).sum(1), "f8+[8] f8+[5]"),
    "times a choice": (
        lambda x, y: (
            x * np.where(y > 0, y, 0),
            x / np.where(y > 0, y, 1),
            np.where(y > 0, x, 0) * np.where(y > 0, 0, x),
            np.where(x > 0, 1, 0) * y,
            x * np.where(y > 0, np.float32(1), 0),
        ),
        "f4[9] f4[9]",
    ),
    "times a choice ints": (
        lambda x, y: (x * np.where(y > 0, y, 0), np.where(y > 0, 1, 0) * x, np.where(y > 0, x, 0) // np.where(y > 0, 2, 1)),
        "i1[9] f8[9]",
    ),
    "sum of scalars": (
        lambda x: (
            np.stack([x[0], x[1], x[2]]).sum(),
            sum([x[0], x[1], x[2]]),
            x[0] + x[1] + x[2],
            sum([v * 0 for v in x]),
            max(0, 1) * x,
        ),
        "f4[3]",
    ),
    "logs of exponents": (
        lambda x: (
            np.exp(np.log(x)),
            np.log(np.exp(x)),
            np.exp(np.log1p(x)),
            np.log1p(np.exp(x)),
            np.exp(np.log(np.abs(x)) * 2),
            np.expm1(np.log1p(x)),
            np.log(np.exp(x) - 1),
            np.exp(np.log1p(np.exp(x))),
        ),
        "f8[15]",
    ),
    "powers of few": (lambda x, y: (x**3, y**3, x**-3, (x * y) ** 3, y**5, x**10, y**-2), "f8[1] f8[5]"),
    "small constant plus scalar": (
        lambda x: (np.full(4, -0.1) + x.sum(), np.full((4,), -0.1) + x[:1], x[0] - np.full(3, 0.1), -np.full(3, 0.1) + x[0]),
        "f8[3]",
    ),
    "ones of another shape": (
        lambda x, y: (
            np.ones(y.shape) * x,
            np.ones_like(y) * x,
            np.zeros(y.shape) + x,
            x * np.ones((3, 1)),
            np.full_like(y, 2) * x,
            np.ones((1, 2)) * y,
        ),
        "f8[1,2] f8[3,2]",
    ),
    "axes of one turned": (
        lambda x: (
            x[:, 0:1].T,
            x.T[0:1],
            x[None, :, 1].T,
            x[:, None, 0:1].squeeze(),
            x[0:1, 0:1].T * x,
            np.swapaxes(x[:, :1], 0, 1) + x[:, :1],
        ),
        "f8[3,2]",
    ),
    "zeros of a quotient written": (div0, "f8[15] f8[15]"),
    "the last of equals wins": (last_wins, "f8[4] f8[4]"),
    "many halves": (
        lambda x: (
            np.mean(np.abs(np.broadcast_to(x[:1], (20000,)) * 0 + 4)),
            np.mean(np.full_like(x, 4, shape=(20000,))),
            np.var(np.full_like(x, 300, shape=(3000,))),
            np.full_like(x, 30, shape=(3000,)).sum(),
        ),
        "f2[3]",
    ),
    "complex in place": (lambda x, y: (x.__imul__(y) is x, x.__itruediv__(y + 2) is x, x), "c16+[4] c16+[4]"),
    "narrow complex in place": (lambda x, y: (x.__iadd__(y) is x, x.__imul__(2) is x, x), "c8+[4] f8+[4]"),
    "sliced in place twice": (lambda x: (x[:3].__imul__(10).sum(), x[1:].__iadd__(x[:-1]).sum(), x), "f8[5]"),
    "steps and negative": (lambda x: (x[::-1][::2], x[-1:0:-2], x[3:1], x[-2:], x[:-1][::-1], x[10:], x[-10:2]), "f8[7]"),
    "bits of bools": (
        lambda x, y: (x & y, x | y, x ^ y, ~x, x == y, x < y, x + y, x * y, x > y, np.maximum(x, y), np.logical_xor(x, y), x - 0),
        "b1[5] b1[5]",
    ),
    "abs of the lowest": (lambda x: (np.abs(x), abs(x) - 1, -x, x // -1, np.abs(x) * 2, np.sign(x), x * -1, np.negative(x) > 0), "i1[9]"),
    "mod of negatives": (
        lambda x: (x % 3, x % -3, x // 3, x // -3, np.fmod(x, 3), x % 2.5, divmod(x, 4), (-x) % 4, x % 1, x % -1),
        "i8![9]",
    ),
    "mod of floats": (
        lambda x: (x % 3, x % -3, x // 3, np.fmod(x, -3), x % 0.1, x % INF, (-x) % INF, x % -INF, x // INF, x % 1),
        "f8[15]",
    ),
    "shift of wide": (lambda x: (x << 3, x >> 62, x >> 1, x << 63, (x >> 1) << 1, x >> 63), "i8![9]"),
    "unsigned minus": (lambda x, y: (x - y, (x - y) > 0, x - y < x, np.where(x > y, x - y, y - x), -x, abs(x - y)), "u4[9] u4[9]"),
    "cast chains": (
        lambda x: (
            x.astype("i1").astype("f4"),
            x.astype("u1").astype("i1").astype("i8"),
            x.astype(bool).astype("f8"),
            x.astype("f2").astype("i4") if False else x.astype("i4").astype("i2"),
            x.astype("f4").astype("f8") - x,
        ),
        "i8[9]",
    ),
    "float to narrow": (
        lambda x: (x.astype("f4") * x.astype("f4"), x.astype("f2") + 1, (x.astype("f4") + 1).astype("f8"), x.astype("f4") == x),
        "f8[15]",
    ),
    "dot of one row": (
        lambda x, y: (x @ y, x[0] @ y, x @ y[:, 0], x[:1] @ y[:, :1], np.dot(x, y) * 2, (x @ y).T, (x @ y).sum(0)),
        "i8[2,3] i8[3,2]",
    ),
    "argmax after mask": (
        lambda x: (
            np.where(x > 0, x, -INF).argmax(1),
            np.argmax(np.where(np.isnan(x), -INF, x), 0),
            np.argmin(np.abs(x), 1),
            (x == x.max()).argmax(),
        ),
        "f8[3,5]",
    ),
    "any of none": (
        lambda x: (
            np.any(x[:0]),
            np.all(x[:0]),
            np.sum(x[:0]),
            np.prod(x[:0]),
            np.cumsum(x[:0]),
            x[:0].reshape(0, 2),
            np.concatenate([x[:0], x]),
        ),
        "f8[4]",
    ),
    "clip swapped": (
        lambda x, y: (np.clip(x, y, -y), np.minimum(np.maximum(x, y), -y), np.clip(x, -1, y), np.clip(y, x, x)),
        "f8[15] f8[15]",
    ),
    "where of where": (
        lambda x, y: (
            np.where(x > 0, np.where(y > 0, 1, 2), np.where(y > 0, 3, 4)),
            np.where(x > 0, x, np.where(x > 0, y, -y)),
            np.where(~(x > 0), y, x),
            np.where(x > 0, np.where(x > 0, x, y), y),
        ),
        "f8[15] f8[15]",
    ),
    "not of compare": (
        lambda x, y: (~(x < y), ~(x == y) & (x <= y), (x < y) | (x >= y), np.logical_not(x > y) | (x > y), (x == x) & (y == y)),
        "f8[15] f8[15]",
    ),
    "sum of transposed": (
        lambda x: (
            x.T.sum(0),
            x.T.sum(-1),
            x.transpose(2, 0, 1).sum((0, 2)),
            x[::-1].sum(1),
            x[:, ::-1].cumsum(1),
            x.T.reshape(-1).sum(),
            x.swapaxes(0, 2).max(1),
        ),
        "i8[2,3,4]",
    ),
    "reshape of sliced": (
        lambda x: (x[:, ::2].reshape(-1), x[::-1].reshape(3, -1), x.T.reshape(2, -1), x[:, 1:3].T.ravel(), x[1:].reshape(-1, 2)),
        "i8[2,6]",
    ),
    "take of take": (
        lambda x: (x[[2, 0, 1]][[1, 1, 0]], x[::-1][[0, 1]], x[1:][[0, -1]], x[[0, 2]][::-1], x[[2, 0]][1], x[1:][1:][0]),
        "i8[4,2]",
    ),
    "put of parts": (
        lambda x, y: seq(
            x, lambda x: x[1:].__setitem__(0, 9), lambda x: x[::2].__setitem__(slice(None), y[:2]), lambda x: x[::-1][:1].__setitem__(0, 3)
        ),
        "f8[4] f8[4]",
    ),
    "mean of ints": (lambda x: (x.mean(), x.mean(0), np.average(x, axis=1), x.mean(dtype="f4"), x.var(), np.std(x, 0)), "i8![2,3]"),
    "equal zeros": (
        lambda x: (
            x == 0,
            x == -0.0,
            1 / x == 1 / -x,
            np.signbit(x * 0),
            np.maximum(x, -0.0) == 0,
            x**0 == 1,
            np.sqrt(x) == 0,
            np.abs(x) == 0,
        ),
        "f8[15]",
    ),
    "number first": (
        lambda x: (2 - x, 2 / x, 2**x, 2 // x, 2 % x, 1 - (1 - x), 0 - x, -(0 - x), 1 / (1 / x), 2 - x - 2, True + x, 2.0 * x / 2.0),
        "f8[15]",
    ),
    "number first ints": (
        lambda x: (2 - x, 2 // (x | 1), 5 % (x | 1), 1 - (1 - x), 0 - x, 200 - 100 - x, True * x, -1 - x, 3 * x - 2 * x, x + x - x * 2),
        "i1[9]",
    ),
    "nan sums": (
        lambda x: (
            np.nansum(x * NAN),
            np.nansum(x, 0) - np.sum(np.nan_to_num(x, posinf=INF, neginf=-INF), 0),
            np.nanmean(x, 1),
            np.nancumsum(x, 1),
        ),
        "f8[3,5]",
    ),
    "trig of large": (
        lambda x: (
            np.sin(x * 1e22),
            np.cos(x * 1e10),
            np.tan(x * 1e5),
            np.arctan2(x, -x),
            np.arctan2(0.0, x),
            np.arctan2(-0.0, x),
            np.hypot(x, INF),
        ),
        "f8+[8]",
    ),
    "f4 far": (
        lambda x: (
            x * 1e38,
            x * 1e38 * 10,
            x * 1e-44,
            x / 1e-44,
            np.exp(x * 100),
            np.square(x * 1e20),
            np.sqrt(np.square(x * 1e-30)),
            x * 1e39,
        ),
        "f4+[8]",
    ),
    "chained compare": (lambda x: ((x > -1) & (x < 1), (x > -1) * (x < 1), np.sum((x > 0) & (x < 2)), ((x > 0) + (x > 1))), "f8[15]"),
}


@pytest.mark.parametrize("name", TABLE)
def test_values(name: str) -> None:
    as_numpy(*TABLE[name])
