"""Kinds of wrong values that systems of this kind have given without a word, as a table of small programs. Each is run plain and compiled
on three calls with other data of the same specs; values (bits, the sign of zero, NaN's places), dtypes, shapes and types must be the same,
and so must the arguments afterwards. The comment says what went wrong elsewhere."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
NAN, INF, TINY = np.nan, np.inf, 5e-324
FLOATS = [1.5, -0.0, NAN, -2.5, INF, 0.0, 0.5, -INF, 2.0, -1.0, 3.5, -1e-310, 1e300, TINY, -7.0]
INTS = [3, -1, 0, 7, -128, 127, 2, -2, 5, -3, 1, 64, -64, 100, 0]
WIDE = [0, 2**63 - 1, -(2**63), 1, -1, 2**53 + 1, -(2**53) - 1, 2**62, 3, -7, 10**18 + 1, 2**32, -(2**31), 12, 5]


def data(spec: str, call: int) -> np.ndarray:
    """An array of such a spec, as `f8[2,3]`; its values are other ones at each call: `i8!` holds the far ends,
     `f8+` only tame numbers."""
    kind, _, shape = spec.partition("[")
    dims = tuple(int(n) for n in shape[:-1].split(",") if n)
    size = int(np.prod(dims))
    dtype = np.dtype(kind.rstrip("!+"))
    if dtype.kind == "c":
        pool = [complex(a, b) for a, b in zip(FLOATS, FLOATS[3:] + FLOATS[:3])]
    elif kind.endswith("+"):
        pool = [0.1, 2.25, -0.7, 3.0, 1.9, -1.1, 0.3, 8.5]
    else:
        pool = {"f": FLOATS, "b": [True, False, False, True, True]}.get(dtype.kind, WIDE if kind.endswith("!") else INTS)
    values = [pool[(i + 4 * call) % len(pool)] for i in range(size)]
    return np.array(values).astype(dtype).reshape(dims) if values else np.empty(dims, dtype)


def alike(got: Any, due: Any) -> None:
    assert type(got) is type(due), (type(got), type(due))
    if isinstance(due, (tuple, list)):
        assert len(got) == len(due)
        for a, b in zip(got, due):
            alike(a, b)
    elif isinstance(due, (np.ndarray, np.generic)):
        assert (got.dtype, got.shape) == (due.dtype, due.shape), (got.dtype, got.shape, due.dtype, due.shape)
        np.testing.assert_array_equal(got, due)
        if due.dtype.kind in "fc":
            for a, b in zip((got.real, got.imag), (due.real, due.imag)) if due.dtype.kind == "c" else [(got, due)]:
                known = ~np.isnan(b)
                np.testing.assert_array_equal(np.signbit(a)[known], np.signbit(b)[known])
    else:
        assert got == due


def written(x, *steps: Callable[[Any], Any]):
    for step in steps:
        step(x)
    return x


def as_numpy(fn: Callable[..., Any], specs: str) -> None:
    """Three calls with other data, compiled and plain: the same results, and the same arguments afterwards."""
    fast = tracer.compile(fn)
    for call in range(3):
        mine, plain = ([data(spec, call + 3 * i) for i, spec in enumerate(specs.split())] for _ in range(2))
        due = fn(*plain)
        alike(fast(*mine), due)
        alike(mine, plain)


def set_(x, at, value):
    x[at] = value
    return x


def add_(x, at, value):
    x[at] += value
    return x


def out_add(x, y):
    np.add(x[:-1], y[1:], out=x[1:])
    return x


def out_chain(x, y):
    np.multiply(x, y, out=x)
    np.subtract(y, x, out=y)
    return x, y


def swapped(x):
    x[:2], x[2:4] = x[2:4].copy(), x[:2].copy()
    return x


def swapped_views(x):
    x[[0, 1]] = x[[1, 0]]
    x[0], x[2] = x[2], x[0]
    return x


def where_write(x, y):
    np.sqrt(y, out=x, where=y > 0)
    return x


def masked_write(x, y):
    x[x > 0] = y[x > 0]
    return x


def running(x):
    for i in range(1, len(x)):
        x[i] = x[i] + x[i - 1]
    return x


def in_narrow(x, y):
    x += y
    x *= 2
    return x


def flat_write(x):
    x.ravel()[1] = 9
    x.T.ravel()[0] = 7
    x.reshape(-1)[2] = 5
    return x


TABLE: dict[str, tuple[Any, str]] = {
    # ---- integers: wrapping, division, powers, shifts
    # sums, products of the ends wrap round in the dtype of the operands
    "wrap": (lambda x, y: (x + y, x - y, x * y, -x, abs(x)), "i1[7] i1[7]"),
    "wrap wide": (lambda x, y: (x + y, x - y, x * y, -x, np.abs(x), np.square(x)), "i8![9] i8![9]"),
    "wrap unsigned": (lambda x, y: (x - y, -x, x * y, ~x, np.negative(x)), "u1[8] u1[8]"),
    # x + c - c, x * c // c, (x + 100) + 100 with numbers in the program: regrouping must wrap the same
    "regrouped": (lambda x: ((x + 100) + 100, (x + 100) - 100, (x * 7) // 7, (x - 1) < x, x * 2 / 2, (x + 1) > x), "i1[9]"),
    "regrouped unsigned": (lambda x: ((x - 1) + 1, (x - 1) >= 0, (x - 200) < 10, (x * 3) // 3, 0 - (-x)), "u1[9]"),
    # floor and remainder take the divisor's sign; by zero 0; the lowest by -1 wraps
    "floor division": (lambda x, y: (x // y, x % y, np.fmod(x, y), *divmod(x, y)), "i1[9] i1[9]"),
    "floor division wide": (lambda x, y: (x // y, x % y, np.fmod(x, y), np.floor_divide(x, y)), "i8![9] i8![9]"),
    "floor division of floats": (lambda x, y: (x // y, x % y, np.fmod(x, y), *divmod(y, x)), "f8[15] f8[15]"),
    "divided by numbers": (lambda x: (x // -1, x % -3, x // 2, x % 4, -x // 8, 7 // x, 7 % x, x / 4), "i8![9]"),
    "unsigned by numbers": (lambda x: (x // 3, x % 8, 200 - x, 255 // x, x / 2), "u1[9]"),
    # division of integers is done in floats, and not by the reciprocal
    "true division": (lambda x, y: (x / y, x / 3, 1 / x, x / np.int64(49), np.reciprocal(x.astype("f8"))), "i8![9] i8[9]"),
    # a power is repeated multiplication that wraps, x ** 2 in the dtype of x, bool ** 2 a small int
    "power": (lambda x: (x**2, x**3, x**0, x**7, np.power(x, 2), 2 ** abs(x % 8)), "i1[9]"),
    "power of floats": (lambda x: (x**2, x**-1, x**0.5, x**0, x**1, x**3, 2**x, np.float_power(x, 2), (-x) ** 2.0), "f8[15]"),
    "power of halves": (lambda x: (x**2, x**0.5, x**3, x**-2), "f2[12]"),
    "power by an array": (lambda x, y: (x ** (y & 7), np.power(x, y.astype("u1") & 3)), "i1[9] i1[9]"),
    # shifts by the width and beyond, arithmetic to the right
    "shifts": (lambda x, y: (x << (y & 15), x >> (y & 15), x << 1, x >> 7, x >> 9, 1 << (y & 7)), "i1[9] i1[9]"),
    "bits": (lambda x, y: (x & y, x | y, x ^ y, ~x, x & 0, x | -1, x ^ x, ~(~x)), "i8![9] i1[9]"),
    # ---- promotion
    # int64 with uint64 is float64, compared exactly; uint8 with int8 int16; int64 with float32 float64
    "mixed signs": (lambda x, y: (x + y, x < y, x == y, np.maximum(x, y), x // y), "i8![9] u8![9]"),
    "mixed widths": (lambda x, y: (x + y, x * y, x - y, np.where(x > y, x, y), x == y), "u1[9] i1[9]"),
    "mixed kinds": (lambda x, y: (x + y, x * y, np.minimum(x, y), np.hypot(x, y)), "i4[9] f4[9]"),
    "half and short": (lambda x, y: (x + y, x * y, x / y, x > y), "i2[9] f2[9]"),
    # Python's numbers are weak, NumPy's are not; True is an int beside an int, not beside a bool
    "weak and strong": (lambda x: (x + 1.5, x + np.float64(1.5), x * True, x + 1j, x + np.int8(1), x > 1e300), "f4[9]"),
    "weak on ints": (lambda x: (x + 1.5, x + 1, x + True, x * np.float32(2), x > 0.5, x == 3.0, x < 1000, x != -1000), "i1[9]"),
    "weak on bools": (lambda x: (x + 1, x + True, x * 2.5, x + x, x * x, -(x + 0), x ^ True, x & False, x < 1, x // True), "b1[5]"),
    "weak in where": (lambda x: (np.where(x > 0, x, 0), np.where(x > 0, 1, 0.5), np.where(x > 0, 1, 0), np.where(x > 0, x,
     np.float64(0))), "f4[9]"),
    "weak in where of ints": (lambda x: (np.where(x > 0, x, 0), np.where(x > 0, x, 0.5), np.where(x, 1, x), np.clip(x, 0, 5)), "i1[9]"),
    # comparisons with numbers that the dtype does not hold are exact
    "compared far out": (lambda x: (x < 300, x > -1, x == 256, x != 2**60, x >= 0, x <= 254.5), "u1[9]"),
    "compared beyond 53 bits": (lambda x: (x == 2**53 + 1, x > 2**53, x == float(2**53), x < 9.3e18, x.astype("f8")), "i8![12]"),
    # concatenation promotes all of its parts
    "concatenated": (lambda x, y: (np.concatenate([x, y]), np.stack([x, y]), np.hstack([x, y, x > 0])), "i1[5] f4[5]"),
    "stacked scalars": (lambda x: (np.stack([x[0], x[1]]), np.hstack([x[0], x])), "f4[4]"),
    "concatenated to a dtype": (lambda x: (np.concatenate([x, x], dtype="f4"), np.concatenate([x, x > 0], axis=None)), "i2[5]"),
    # ---- casts
    "to bool": (lambda x: (x.astype(bool), ~(x != 0), np.logical_not(x), x.astype(bool).sum(), np.any(x), np.all(x)), "f8[15]"),
    "there and back": (lambda x: (x.astype("i1").astype("i8"), x.astype("f4").astype("i8") == x, x.astype("u4").astype("i4"),
     x.astype("f8")), "i8![4]"),
    "floats through halves": (lambda x: (x.astype("f2").astype("f8"), x.astype("f4").astype("f8"), x.astype("f4").astype("f4")),
     "f8[15]"),
    "rounded to ints": (lambda x: (x.astype("i8"), np.trunc(x).astype("i4"), np.rint(x).astype("i1"), (x + 0.5).astype("i8")), "f8+[8]"),
    # ---- zeros, signs, infinities
    # x + 0, x - 0, 0 - x, x * 0, x - x, x / x are not x, -x, 0, 1 for -0.0, NaN and infinities
    "zeros stay signed": (lambda x: (x + 0, x - 0, 0 - x, x * 0, x - x, x / x, -x, x + 0.0, x - 0.0, x * 1, 0.0 + x, x + -0.0), "f8[15]"),
    "doubled and halved": (lambda x: (x * 2 / 2, x / 2 * 2, x + x, x * -1, x / -1, (x * 0.1) * 10, x / 3, x / 10), "f8[15]"),
    # a factor that overflows and one that brings it back are two steps: so is one that loses bits below the smallest normal number
    "far out and back": (lambda x: (x * 1e38 / 1e38, x / 1e38 * 1e30, x * 1e-40 / 1e-10, x * 0.001 * 1e38, x / 3 * 1.5), "f4+[8]"),
    "signs": (lambda x: (np.sign(x), np.abs(x), np.signbit(x), np.copysign(1, x), np.copysign(x, -0.0), -np.abs(x), np.fabs(x)),
     "f8[15]"),
    "roots": (lambda x: (np.sqrt(x), np.cbrt(x), np.sqrt(x * x), np.sqrt(x) ** 2, 1 / np.sqrt(x)), "f8[15]"),
    "roundings": (lambda x: (np.floor(x), np.ceil(x), np.rint(x), np.round(x), np.trunc(x), np.round(x, 1)), "f8[15]"),
    "roundings of ints": (lambda x: (np.floor(x), np.round(x), np.round(x, -1), np.ceil(x), np.trunc(x), np.rint(x)), "i1[9]"),
    # NaN goes through maximum, not through fmax; compares false; max of +0 and -0
    "nan in maximum": (lambda x, y: (np.maximum(x, y), np.minimum(y, x), np.fmax(x, y), np.fmin(x, y), np.maximum(x, 0), np.maximum(0,
     x)), "f8[15] f8[15]"),
    "not less is not greater": (lambda x, y: (~(x < y), x >= y, ~(x == y), x != y, ~(x > y), x <= y, x != x, ~(x != x)), "f8[15] f8[15]"),
    "clipped": (lambda x: (np.clip(x, 0, None), np.clip(x, None, 1), np.clip(x, 1, -1), np.clip(x, -0.0, 0.0), np.clip(x, NAN, 1),
     x.clip(0)), "f8[15]"),
    "clipped by arrays": (lambda x, y: (np.clip(x, y, y + 1), np.clip(x, y, 0), x.clip(max=y)), "f8[15] f8[15]"),
    "clipped unsigned": (lambda x: (np.clip(x, 5, 250), np.clip(x, 0, 255), np.clip(x, None, 3)), "u1[9]"),
    "where of a branch not taken": (lambda x: (np.where(x > 0, np.log(x), 0.0), np.where(x == 0, 1, 1 / x), np.where(np.isnan(x), 0,
     x)), "f8[15]"),
    "nans replaced": (lambda x: (np.nan_to_num(x), np.nan_to_num(x, nan=1, posinf=2, neginf=3), np.isfinite(x), np.isinf(x),
     np.isneginf(x)), "f8[15]"),
    "exponents": (lambda x: (np.exp(x), np.expm1(x), np.log1p(x), np.exp2(x), np.log(np.exp(x)), np.exp(-x)), "f8[15]"),
    "sums of exponents": (lambda x, y: (np.logaddexp(x, y), np.logaddexp2(x, y), np.log(np.exp(x) + np.exp(y))), "f8[15] f8[15]"),
    "lengths": (lambda x, y: (np.hypot(x, y), np.hypot(x * 1e-170, y * 1e-170), np.arctan2(x, y), np.sqrt(x * x + y * y)),
     "f8[15] f8[15]"),
    "far angles": (lambda x: (np.sin(x), np.cos(x), np.tan(x), np.tanh(x), np.arctan(x), np.sinh(x)), "f8[15]"),
    "unit steps": (lambda x, y: (np.heaviside(x, 0.5), np.heaviside(x, y), np.heaviside(x > 0, 0.5), np.heaviside(0.0, y)),
     "f8[15] f8[15]"),
    "unit steps of ints": (lambda x, y: (np.heaviside(x, 0.5), np.heaviside(y, np.float32(0.5)), np.heaviside(y, 1)), "i1[9] f4[9]"),
    "rounded elements": (lambda x, y: (round(x[0], 1), round(x[2], 0), round(y[1], -1), round(y.sum(), 2), round(x.mean(), 3)),
     "f8+[4] i2[4]"),
    "steps": (lambda x, y: (np.deg2rad(x), np.isclose(x, y)), "f8[15] f8[15]"),
    # ---- reductions
    # small ints add up in int64, bools count, halves in halves; mean of ints is float64
    "sums of narrow": (lambda x: (x.sum(), x.sum(0), x.prod(), x.mean(), x.mean(1), x.cumsum(), x.max(), x.std(), x.var(0)), "i1[3,5]"),
    "sums of unsigned": (lambda x: (x.sum(), x.prod(0), x.mean(), x.cumsum(1), x.sum(dtype="u1"), x.min(1), np.ptp(x)), "u1[3,5]"),
    "sums of bools": (lambda x: (x.sum(), x.mean(), x.prod(), x.any(0), x.all(1), x.max(), x.cumsum(), x.sum(dtype=bool),
     np.count_nonzero(x)), "b1[3,5]"),
    "sums of halves": (lambda x: (x.sum(), x.mean(), x.sum(0), x.var(), x.max(1), x.mean(dtype="f8"), x.sum(dtype="f4")), "f2[3,5]"),
    "sums in a dtype": (lambda x: (x.sum(dtype="i1"), x.sum(dtype="f4"), x.prod(dtype="i2"), np.add.reduce(x, dtype="i1"),
     x.cumsum(dtype="i1")), "i8[9]"),
    "wide sums": (lambda x: (x.sum(), x.mean(), x.prod(), x.cumsum(), x.sum(initial=5), x.max(initial=9)), "i8![9]"),
    "products with zeros": (lambda x: (x.prod(), x.prod(0), np.cumprod(x), x.prod(1, initial=2), np.prod(x, axis=(0, 1))), "f8[3,5]"),
    # sums over nothing, axes of nothing, and a size of 1 that is not broadcast to 0
    "nothing": (lambda x: (x.sum(), x.prod(), x.sum(0), x.sum(1), x.mean(0), x.any(), x.all(1), x.cumsum(), x.max(1), x + x[:1]),
     "f8[0,3]"),
    "nothing broadcast": (lambda x, y: (x + y, x * 2, (x + y).sum(0), np.concatenate([x, y]), x @ y.T), "f8[0,1] f8[1,1]"),
    "products over nothing": (lambda x, y: (x @ y, np.dot(x, y), np.tensordot(x, y, 1)), "f8[2,0] f8[0,3]"),
    # axes negative, several, none of them, kept
    "axes": (lambda x: (x.sum((0, -1)), x.sum(()), x.max((-1, 0), keepdims=True), x.mean(-2), x.sum(axis=None, keepdims=True),
     x.any((1, 2))), "f8[2,3,2]"),
    "axes of one": (lambda x: (x.sum(0), x.mean(0, keepdims=True), x.prod((0, 2)), x.max(2), x.argmax(0), x.cumsum(2), x.sum(())),
     "f8[1,3,1]"),
    "only some": (lambda x: (x.sum(where=x > 0), x.max(where=x < 9, initial=-1), x.mean(where=x > 0), x.prod(1, where=x != 0),
     x.any(where=x > 5)), "f8[3,5]"),
    "spread": (lambda x: (x.var(), x.var(ddof=1), x.std(0, ddof=2), x.var(1, keepdims=True), np.std(x, ddof=3)), "f8+[3,4]"),
    "spread of nans": (lambda x: (np.nansum(x), np.nanmean(x), np.nansum(x, 1), x.max(0), x.min()), "f8[3,5]"),
    "spread of nans, more": (lambda x: (np.nanmax(x), np.nanmin(x, 1), np.nanmax(x, 0, keepdims=True), np.nanprod(x), np.nanprod(x, 1)),
     "f8[3,5]"),
    "cumulated nans": (lambda x: (np.nancumsum(x), np.nancumprod(x, 0), np.cumulative_sum(x[0]), np.cumulative_prod(x, axis=1)), "f8[3,5]"),
    "nothing but nans": (lambda x: (np.nanmax(x * NAN, 0), np.nanmin(np.where(x > 9, x, NAN)), np.nansum(x * NAN), np.nanprod(x * NAN)),
     "f8[3,5]"),
    "spread of ints": (lambda x: (np.nanmax(x), np.nanmin(x, 0), np.nanprod(x, 1), np.nancumsum(x), np.cumulative_sum(x, axis=0)),
     "i1[3,5]"),
    # the first of equals, and the first NaN
    "first of equals": (lambda x: (x.argmax(), x.argmin(0), np.argmax(x == x, 1), x.argmax(1), np.argmax(x * 0), np.argmin(-x),
     x.argmax(0, keepdims=True)), "f8[3,5]"),
    "first of equal ints": (lambda x: (x.argmax(), (~x).argmax(), x.argmin(), (x > 0).argmax(), (x // 64).argmax()), "i1[9]"),
    "first where": (lambda x: (np.argmax(x > 2), np.argmin(x > 2), np.argmax(x > 1e308), np.count_nonzero(x, 0), np.diff(x > 0)),
     "f8[3,5]"),
    "accumulated": (lambda x: (np.cumsum(x, -1), np.cumprod(x, 0), np.add.accumulate(x, 1), np.diff(x), np.diff(x, 2, 0)), "f8[3,5]"),
    "accumulated of 0-d": (lambda x: (np.cumsum(x), x.cumprod(), x.ravel(), x.reshape(1, 1), x.T, x.sum(), x.argmax(), x[()], x[None],
     x.flatten()), "f8[]"),
    "differences of unsigned": (lambda x: (np.diff(x), x[1:] - x[:-1], np.ptp(x), np.abs(x[1:] - x[:-1]), np.diff(x, prepend=0)),
     "u1[9]"),
    # ---- order
    "sorted": (lambda x: (np.sort(x), np.argsort(x, kind="stable"), np.sort(x)[::-1], np.sort(-x)), "f8[15]"),
    "sorted axes": (lambda x: (np.sort(x, 0), np.sort(x, None), np.argsort(x, 0, kind="stable"), np.flip(np.sort(x, 1), 1)), "i1[3,5]"),
    "stable": (lambda x: (np.argsort(x // 64, kind="stable"), np.argsort(-x, kind="stable"), np.take_along_axis(x, np.argsort(x,
     kind="stable"), 0)), "i1[14]"),
    # ---- products
    "of one dimension": (lambda x, y: (x @ y, np.dot(x, y), np.inner(x, y), np.outer(x, y), np.vdot(x, y), np.matmul(x[None], y)),
     "i1[5] i1[5]"),
    "of many dimensions": (lambda x, y: (x @ y, np.tensordot(x, y, ([2], [0])), np.tensordot(x, y, 1), np.inner(x, y.T),
     np.tensordot(x, x, 3)), "i8[2,3,2] i8[2,2]"),
    "of bools": (lambda x, y: (x @ y, np.dot(x, y), np.tensordot(x, y, 1), x.T @ x, np.outer(x, y)), "b1[2,2] b1[2,2]"),
    "of narrow ints": (lambda x, y: (x @ y, np.trace(x), np.kron(x, y), x.T @ x), "i1[3,3] i1[3,3]"),
    "of nans and zeros": (lambda x, y: (x @ np.zeros((5, 2)), x * 0 @ y, np.zeros((2, 3)) @ x), "f8[3,5] f8[5,3]"),
    # ---- shapes and layouts
    "orders": (lambda x: (x.ravel("F"), x.reshape(3, 2, order="F"), x.T.ravel(), x.flatten("A"), x.T.reshape(-1), x.T.flatten("A")),
     "f8[2,3]"),
    "turned": (lambda x: (x[::-1], x[:, ::-2], x[::-1].ravel(), np.rot90(x), np.roll(x, -2), np.roll(x, 1, 0), np.flip(x),
     x[-1:-4:-1]), "f8[2,3]"),
    "moved": (lambda x: (x.transpose(2, 0, 1), np.moveaxis(x, 0, -1), np.swapaxes(x, -1, 0), x.T, np.rollaxis(x, 2), x.transpose(-1,
     -3, -2)), "i1[2,3,2]"),
    "pieces": (lambda x: (*np.split(x, 3), *np.array_split(x, 4), *np.split(x, [2, 5, 12]), np.tile(x, 2), np.repeat(x, 2)), "f4[9]"),
    "resized": (lambda x: (np.resize(x, 7), np.resize(x, (2, 2)), np.resize(x, 0), np.resize(x[:0], 2), np.resize(x[0], (2, 3))), "i2[3]"),
    "repeated": (lambda x: (np.repeat(x, [0, 2, 1]), np.repeat(x[None], 2, 0), np.tile(x, (2, 2)), np.tile(x, 0)), "i2[3]"),
    "broadcast": (lambda x, y: (np.broadcast_to(x, (2, 3)), x + y, np.broadcast_arrays(x, y)[1], np.meshgrid(x[0], y[:, 0])[1],
     np.atleast_2d(x[0])), "f8[1,3] f8[2,1]"),
    "padded": (lambda x: (np.pad(x, 1), np.pad(x, (0, 2), "edge"), np.pad(x, 2, "wrap"), np.pad(x, 2, "reflect"), np.pad(x, 1,
     constant_values=-1)), "i1[5]"),
    "triangles": (lambda x: (np.tril(x), np.triu(x, 1), np.diag(x), np.diagonal(x, -1), np.diag(x[0]), np.trace(x, 1), np.tri(3) * x),
     "f8[3,3]"),
    # ---- reading by index
    "taken": (lambda x: (np.take(x, [-1, 0, 2]), np.take(x, [7, -9, 3], mode="wrap"), np.take(x, [7, -9, 3], mode="clip"), x[[-1, -5]],
     x[-2]), "f8[5]"),
    "taken by what is computed": (lambda x, y: (x[y % 5], x[np.abs(y) % 5], np.take(x, y, mode="wrap"), np.take(x, y, mode="clip"),
     x[-(y % 5)]), "f8[5] i1[7]"),
    "taken by narrow": (lambda x, y: (x[y], x[y + 200], x[-1 - y.astype("i8")]), "f8[256] u1[7]"),
    "index with gaps": (lambda x: (x[[0, 1], :, [1, 0]], x[:, [0, 1]], x[0, :, [1, 0]], x[..., 0], x[None, 0, ..., None], x[[[0], [1]],
     [0, 1]]), "f8[2,3,2]"),
    "chosen": (lambda x, y: (np.select([x > 0, x < 0], [x, -x], 7), np.take_along_axis(x, y % 5, 0)), "f8[5] i8[5]"),
    "chosen first": (lambda x: (np.select([x > 0, x > -100], [1, x], 0.5)), "f8[15]"),
    # ---- writing
    "repeated writes": (lambda x, y: (set_(x.copy(), [0, 0, 1], y[:3]), add_(x.copy(), [0, 0, 1], y[:3]), written(x,
     lambda x: np.add.at(x, [0, 0, 1], y[:3]))), "f8[5] f8[5]"),
    "negative writes": (lambda x, y: (set_(x.copy(), [-1, 4, -5], y[:3]), add_(x, slice(None, None, -1), y), set_(y, -1, 5)),
     "i1[5] i1[5]"),
    "mask writes": (masked_write, "f8[9] f8[9]"),
    "mask writes of numbers": (lambda x: (set_(x.copy(), x > 0, -1), set_(x.copy(), x != x, 0), set_(x, np.abs(x) > 1, 1.0)), "f4[9]"),
    "out over itself": (out_add, "f8[5] f8[5]"),
    "out both": (out_chain, "f8[9] f8[9]"),
    "out where": (where_write, "f8[9] f8[9]"),
    "swapped": (swapped, "f8[5]"),
    "swapped views": (swapped_views, "f8[3,2]"),
    "running": (running, "f8[9]"),
    "narrow in place": (in_narrow, "i1[9] i1[9]"),
    "narrow in place of floats": (in_narrow, "f4[9] f8[9]"),
    "cast on writing": (lambda x, y: (set_(x, slice(0, 3), y[:3]), set_(x.copy(), [3, 4], y[3:5]), set_(x.copy(), 0, 2.9)),
     "i1[5] f8+[5]"),
    "written through copies and views": (flat_write, "f8[2,3]"),
    "overlapping": (lambda x: set_(x, slice(1, None), x[:-1]), "f8[9]"),
    "overlapping turned": (lambda x: (set_(x, slice(None), x[::-1]), add_(x, slice(1, None), x[:-1])), "f8[9]"),
    "filled": (lambda x, y: (x.fill(3) or x * 1, np.copyto(y, 2.5, where=y > 0) or y, np.full_like(x, 2.9), np.zeros_like(y, "i1")),
     "i1[5] f8[5]"),
    "put": (lambda x, y: (np.put(x, [0, -1], y[:2]) or x, np.putmask(y, y > 0, [1.0, 2.0]) or y), "f8[5] f8[5]"),
    "placed": (lambda x, y: (np.place(x, x > 0, y[:2]) or x), "f8[5] f8[5]"),
    # ---- complex numbers
    "complex parts": (lambda x: (x.real, x.imag, x.conj(), np.abs(x), np.angle(x), x * 1j, -x, x.real * 0 + x), "c16[12]"),
    "complex products": (lambda x, y: (x * y, x + y, x - y, x * x.conj(), x**2, x + 0, x * 2.0), "c16[12] c16[12]"),
    "complex compared": (lambda x, y: (x == y, x != x, np.isnan(x), np.isfinite(x), x.astype(bool), np.sign(x), x.sum(), x.mean()),
     "c16[12] c16[12]"),
    "complex narrow": (lambda x, y: (x + y, x * y, x * 1.5, x + 1j, np.abs(x), x.real + y), "c8[9] f8[9]"),
    "reals made complex": (lambda x: (x + 0j, x.astype("c16"), x * 1j, np.real(x), np.imag(x), np.conj(x), np.angle(x),
     np.iscomplex(x)), "f8[12]"),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_values(name: str) -> None:
    as_numpy(*TABLE[name])
