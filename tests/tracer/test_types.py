"""Every dtype in every family of operations, against NumPy: the value, the dtype, the kind (scalar or array), and the errors."""
from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer
from tracer import trees

DTYPES = ["?", "i1", "i4", "i8", "u1", "u8", "f2", "f4", "f8", "g", "F", "D", ">i4", ">f8"]


def array(dtype: str, seed: int) -> np.ndarray:
    rng, kind = np.random.default_rng(seed), np.dtype(dtype)
    values = rng.integers(0, 2, (3, 4)) if kind.kind == "b" else rng.integers(-5, 6, (3, 4))
    values = abs(values) if kind.kind == "u" else values / 4 if kind.kind in "fc" else values
    return (values + 1j * rng.integers(-3, 4, (3, 4)) if kind.kind == "c" else values).astype(kind)


def each(*names: str) -> Callable[..., Any]:
    return lambda x, y: tuple([getattr(np, name)(x) for name in names])


FAMILIES: dict[str, list[Callable[..., Any]]] = {
    "arithmetic": [
        lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x / y, lambda x, y: x // y, lambda x, y: x % y,
        lambda x, y: x ** abs(y), lambda x, y: -x, lambda x, y: +x, lambda x, y: abs(x), lambda x, y: x**y, lambda x, y: divmod(x, y),
    ],
    "bits": [
        lambda x, y: x & y, lambda x, y: x | y, lambda x, y: x ^ y, lambda x, y: x << abs(y), lambda x, y: x >> abs(y), lambda x, y: ~x,
        lambda x, y: x << 70,
    ],
    "comparison": [lambda x, y: (x < y, x <= y, x == y, x != y, x > y, x >= y), lambda x, y: (x < 3, x == 300, x > -1, x <= 2.5, x != -1)],
    "Python numbers": [
        lambda x, y: x + 2, lambda x, y: x + 300, lambda x, y: x + (-1), lambda x, y: x * 2.5, lambda x, y: x + 1j, lambda x, y: x + True,
        lambda x, y: (2 - x, 2.5 / x), lambda x, y: x**2, lambda x, y: x**3, lambda x, y: x**0.5, lambda x, y: x**-1,
        lambda x, y: 2 ** abs(x),
        lambda x, y: (x**0, x**1, x**2.0), lambda x, y: 200 - x, lambda x, y: np.where(x > y, x, 300), lambda x, y: x * 70000,
    ],
    "NumPy's numbers": [
        lambda x, y: x + np.float32(1.5), lambda x, y: x * np.int64(3), lambda x, y: x + np.uint8(3), lambda x, y: x + np.True_,
        lambda x, y: np.complex64(1j) * x, lambda x, y: x + np.longdouble(1), lambda x, y: x + np.array(2),
        lambda x, y: x + np.array(2.5, "f2"),
    ],
    "sums": [
        lambda x, y: (x.sum(), x.sum(0), x.sum(axis=1, keepdims=True)), lambda x, y: x.sum(dtype=np.float32),
        lambda x, y: (x.prod(), x.prod(1)),
        lambda x, y: (x.mean(), x.mean(0)), lambda x, y: (x.var(), x.std(1)), lambda x, y: np.var(x, ddof=1), lambda x, y: x.cumsum(0),
        lambda x, y: (np.sum(x, initial=2), np.prod(x, initial=2)), lambda x, y: (np.sum(x, where=y > 0), np.mean(x, where=y == y)),
        lambda x, y: (x.any(), x.all(0)), lambda x, y: np.count_nonzero(x), lambda x, y: (np.linalg.norm(x), np.linalg.norm(x, axis=0)),
    ],
    "extremes": [
        lambda x, y: (x.max(), x.min(0)), lambda x, y: (np.max(x, initial=0), np.min(x, axis=0, initial=1)), lambda x, y: x.argmax(),
        lambda x, y: np.ptp(x, 0), lambda x, y: (np.maximum(x, y), np.fmin(x, y)), lambda x, y: (np.clip(x, 0, 2), x.clip(1)),
        lambda x, y: np.clip(x, -0.5, 1.5), lambda x, y: (np.sort(x), np.argsort(x, kind="stable")),
    ],
    "products": [
        lambda x, y: (np.dot(x, y.T), x @ y.T, x[0] @ y[0], x @ y[0]), lambda x, y: np.inner(x, y), lambda x, y: np.vdot(x, y),
        lambda x, y: np.outer(x, y), lambda x, y: x @ y.T.astype("f4"),
    ],
    "functions": [
        each("exp", "sin", "tanh", "square"), each("sign"), each("floor", "ceil", "trunc", "rint"), each("isnan", "isfinite", "isinf"),
        lambda x, y: tuple([getattr(np, f)(abs(x)) for f in ("sqrt", "log1p", "exp2", "expm1")]), each("cbrt"), each("reciprocal"),
        lambda x, y: (np.arctan2(x, y), np.hypot(x, y)), lambda x, y: np.signbit(x), lambda x, y: np.copysign(x, y),
        lambda x, y: (np.logical_and(x, y), np.logical_not(x), np.logical_xor(x, y)), lambda x, y: np.logaddexp(x, y),
        lambda x, y: (x.real, x.imag, x.conj(), np.angle(x)), lambda x, y: np.isclose(x, y), lambda x, y: np.round(x),
        lambda x, y: np.diff(x),        lambda x, y: np.round(x, 1),
    ],
    "moves": [
        lambda x, y: (np.where(x > y, x, y), np.where(x, 1, 2.5), np.where(x > y, x, 0)), lambda x, y: (x[[0, 2]], x[0, 1], x[-1], x.T),
        lambda x, y: (np.concatenate([x, y]), np.stack([x, y]), np.hstack([x, y.astype("f4")])), lambda x, y: np.take(x, [1], 1),
        lambda x, y: (np.zeros_like(x), np.full_like(x, 3), np.ones_like(x, dtype=bool)), lambda x, y: x.copy(),
        lambda x, y: tuple([x.astype(t) for t in ("?", "i1", "u8", "f2", "f4", "D")]),
    ],
    "writes": [
        lambda x, y: wrote(x.copy(), 0, 7), lambda x, y: wrote(x.copy(), 1, y[2]), lambda x, y: wrote(x.copy(), 0, 2.75),
        lambda x, y: x.copy().__iadd__(y), lambda x, y: x.copy().__itruediv__(y), lambda x, y: x.copy().__iadd__(1.5),
        lambda x, y: wrote(x.copy(), 0, 300), lambda x, y: wrote(x.copy(), 0, y[0].astype("D")),
    ],
    "kinds": [
        lambda x, y: (x[0, 1] + y[0, 1] if x.dtype != bool else x[0, 1], x[0, 1] * 2, x[0, 0] + x, x.sum() + 1, x[0, 1] / 3),
        lambda x, y: (x[0, 0, ...], x.sum().reshape(()), x[0, 0].T, x.sum().squeeze(), x[0, 0, ...].T, x.sum()[()], x.sum().reshape(1)),
        lambda x, y: (x.sum().max(), x[0, 0].copy(), x[0, 0].astype("f4"), x[0, 0, ...].reshape(()), np.transpose(x.sum())),
        lambda x, y: (x.sum()[...], x[0, 0][None], np.broadcast_to(x.sum(), ()), np.expand_dims(x.sum(), 0), np.squeeze(x.sum())),
    ],
}


def wrote(x: Any, key: Any, value: Any) -> Any:
    x[key] = value
    return x


def outcome(fn: Callable[..., Any], args: Any) -> Any:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return fn(*copy.deepcopy(args))
        except (TypeError, ValueError, OverflowError, IndexError) as error:
            return error


def same(got: Any, want: Any, what: str) -> None:
    if isinstance(want, Exception):
        assert isinstance(got, Exception), f"{what}: {got!r} for {want!r}"
        kind = next(k for k in (OverflowError, IndexError, ValueError, TypeError) if isinstance(want, k))
        assert isinstance(got, kind), f"{what}: {got!r} for {want!r}"
        where = str(got) if isinstance(got, tracer.Error) else "".join(got.__notes__)
        assert "test_types.py:" in where, f"{what}: {got!r} names no line"
        return
    assert not isinstance(got, Exception), f"{what}: {got!r} for {want!r}"
    gots, wants = trees.flatten(got)[0], trees.flatten(want)[0]
    assert len(gots) == len(wants)
    for g, w in zip(gots, wants):
        assert type(g) is type(w), f"{what}: {type(g)} for {type(w)}"
        native = w.dtype.newbyteorder("=")  # where NumPy keeps another order (copies, views), ours are native
        assert (g.dtype, g.shape) == (native, w.shape), f"{what}: {g.dtype}{g.shape} for {w.dtype}{w.shape}"
        if native.kind in "fc":
            np.testing.assert_allclose(g, w, rtol=4 * float(np.finfo(native).eps), atol=float(np.finfo(native).eps), err_msg=what)
        else:
            np.testing.assert_array_equal(g, w, err_msg=what)


@pytest.mark.parametrize("name", FAMILIES)
def test_family(name: str) -> None:
    for k, fn in enumerate(FAMILIES[name]):
        for dtype in DTYPES:
            args = array(dtype, 0), array(dtype, 1)
            same(outcome(tracer.compile(fn), args), outcome(fn, args), f"{name} {k} {dtype}")


WHOLE = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]
WIDE = {d: np.array([np.iinfo(d).min, -1 if d[0] == "i" else 1, 0, 1, np.iinfo(d).max], d) for d in WHOLE}


@pytest.mark.parametrize("dtype", WIDE)
def test_whole_numbers_wrap_and_divide_as_numpys(dtype: str) -> None:
    x = WIDE[dtype]

    def fn(x: Any, y: Any) -> Any:
        return x + y, x - y, x * y, x // y, x % y, -x, abs(x), x << 1, x >> 1, x**2, x + 1, x.sum(), x.prod(), np.cumsum(x), x / y, ~x

    for y in (x, x[::-1].copy(), np.zeros_like(x)):
        same(outcome(tracer.compile(fn), (x, y)), outcome(fn, (x, y)), dtype)


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i4", "u8", "f2", "f4", "g", "F"])
@pytest.mark.parametrize("number", [3, 2.5, 1j, True, np.float32(2), np.int8(3), np.uint64(3), np.float64(0.1)], ids=repr)
def test_numbers_as_arguments_promote_as_numpys(dtype: str, number: Any) -> None:
    x = array(dtype, 0)

    def fn(x: Any, k: Any) -> Any:
        return x * k, k + x, x.sum() * k, np.maximum(x, k) if not isinstance(k, complex) else x, np.where(x == x, x, k), x == k

    same(outcome(tracer.compile(fn), (x, number)), outcome(fn, (x, number)), f"{dtype} {number!r}")


@pytest.mark.parametrize(("number", "add"), [(300, lambda x: x + 300), (-1, lambda x: x + (-1)), (2**40, lambda x: 1 + x + 2**40)])
def test_a_number_that_the_dtype_can_t_hold_is_an_overflow_error(number: int, add: Any) -> None:
    x = np.ones(3, np.uint8)
    with pytest.raises(tracer.NumberRangeError, match=r"out of bounds for uint8[\s\S]*test_types.py:[\s\S]*mend:") as caught:
        tracer.compile(add)(x)
    assert isinstance(caught.value, OverflowError) and caught.value.op == "add"
    fast = tracer.compile(lambda x, k: x + k)
    with pytest.raises(OverflowError, match="out of bounds for uint8") as raw:  # known at the call alone
        fast(x, number)
    assert "test_types.py:" in "".join(raw.value.__notes__)
    np.testing.assert_array_equal(fast(x, 7), x + 7)


FOREIGN = {
    "object": np.array([1, None], object), "strings": np.array(["a"]), "bytes": np.array([b"a"]), "datetime": np.array(["2020"], "M8[Y]"),
    "timedelta": np.array([1], "m8[s]"), "structured": np.zeros(2, [("a", "f8")]), "void": np.zeros(2, "V4"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_dtypes_are_refused(name: str) -> None:
    held = FOREIGN[name]
    for fn, args in ((lambda x: x, (held,)), (lambda x: x + held, (np.ones(1),))):
        with pytest.raises(tracer.DTypeError, match=r"is not supported[\s\S]*test_types.py:[\s\S]*mend:"):
            tracer.compile(fn)(*args)


SUBCLASSES = {
    "matrix": np.matrix([[1.0, 2.0]]), "masked": np.ma.masked_array([1.0, 2.0], [True, False]),
    "recarray": np.rec.array([(1.0, 2)], "f8,i4"),
    "own": np.ones(2).view(type("Own", (np.ndarray,), {})), "chararray": np.char.array(["a"]),
}


@pytest.mark.filterwarnings("ignore:.*chararray:DeprecationWarning")
@pytest.mark.parametrize("name", SUBCLASSES)
def test_subclasses_are_refused(name: str) -> None:
    held = SUBCLASSES[name]
    with pytest.raises(tracer.TraceError, match=r"arrays are not traced[\s\S]*mend: use np.asarray"):
        tracer.compile(lambda x: x * 2)(held)
    with pytest.raises(tracer.TraceError, match=r"arrays are not traced[\s\S]*test_types.py:[\s\S]*mend: use np.asarray"):
        tracer.compile(lambda x: x * held)(np.ones(2))


def test_a_memmap_is_an_array(tmp_path: Any) -> None:
    held = np.memmap(tmp_path / "x", dtype="f8", mode="w+", shape=(3, 4))
    held[...] = array("f8", 0)
    got = tracer.compile(lambda x: (x * 2, x.sum(0)))(held)
    assert type(got[0]) is np.ndarray
    np.testing.assert_array_equal(got[0], np.asarray(held) * 2)


def test_lists_are_trees_of_numbers() -> None:
    fast = tracer.compile(lambda xs: [x * 2 for x in xs])
    assert fast([1, 2.5, 3]) == [2, 5.0, 6]
    with pytest.raises(TypeError):
        tracer.compile(lambda xs: xs * 2.0)([1.0, 2.0])
