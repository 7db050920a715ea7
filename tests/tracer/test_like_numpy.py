"""What drawn programs found: kinds, dtypes, warnings and memory that were not NumPy's. Each line or story is one of them, made small."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest

import tracer
from tracer import Variable
from tracer import functions as F

X = np.arange(3.0)
ZERO = X[:1].reshape(())  # of no axes, and no scalar


def both(fn: Any, *args: Any) -> None:
    """Compiled as by NumPy: result, kind, dtype and arguments; twice."""
    fast = tracer.compile(fn)
    for _ in range(2):
        mine, theirs = copy.deepcopy(args), copy.deepcopy(args)
        got, want = fast(*mine), fn(*theirs)
        assert type(got) is type(want)
        assert np.asarray(got).dtype == np.asarray(want).dtype and np.shape(got) == np.shape(want)
        np.testing.assert_array_equal(got, want)
        for a, b in zip(mine, theirs):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("text", [
    "x.sum().reshape(())", "x.sum().T", "np.squeeze(x.sum())", "np.broadcast_to(x.sum(), ())", "x.sum()[...]", "np.sinc(x.sum())",
    "np.sinc(z)", "np.select([x.sum() > 1], [x[0]], 0)", "np.nan_to_num(x.sum())", "np.nan_to_num(z)", "np.vecdot(x, x)",
    "np.vecdot(x[:0], x[:0])", "np.matvec(x[:, None] * x, x)", "np.vecmat(x, x[:, None] + x)", "np.imag(x.sum())", "np.imag(z)",
    "np.unstack(x)[0]", "np.block(x.sum())", "np.block(z)", "np.block(x)", "np.rot90(x[:, None] * x, 2.5)", "np.rot90(x[:, None], -1)",
    "np.deg2rad(x.astype('f2') + 200)", "np.degrees(x.astype('u1'))", "np.average(x, returned=True)[1]", "np.isreal(x + 1j)",
    "np.min_scalar_type(x)", "np.min_scalar_type(x > 1)",
    "np.choose(0, [x[0], x[1]], mode='clip')", "np.round(z > 0)", "np.round(x > 1)", "np.round(z.astype(int))", "np.flip(z)",
    "np.round(x[0].astype(int))", "np.triu(x)", "np.tril(x, -1)", "np.angle(x > 1)", "np.angle(x.astype(int))",
    "np.float_power(x, True)", "np.array(x[0], like=x)", "np.asarray(x.sum(), like=x)",
])  # fmt: skip
def test_kinds_and_dtypes(text: str) -> None:
    both(eval(f"lambda x, z: {text}", {"np": np}), X + 0.0, ZERO)


@pytest.mark.parametrize("dtype", "dfelb?")
@pytest.mark.parametrize("name", ["arcsinh", "sinc", "arctanh", "arccosh"])
def test_no_warning_of_our_own(name: str, dtype: str) -> None:
    values = {"arctanh": [0, 0, 0], "arccosh": [1, 1, 60000]}.get(name, [0, 1, -200])
    x = np.array(values).astype(dtype)
    fn = tracer.compile(lambda x: getattr(np, name)(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(fn(x), getattr(np, name)(x))


def test_bounds_that_no_element_can_pass() -> None:
    both(lambda x: np.clip(x, -2, 300), np.arange(3, dtype=np.uint8))
    both(lambda x: np.clip(x, -2, 1), np.arange(3, dtype=np.uint8))


def test_numbers_in_plain_arrays_are_those_of_the_call() -> None:
    fast = tracer.compile(lambda x, k: np.cosh(np.asarray(k)) * x + np.full((), k))
    for k in (0.5, 2.0):
        np.testing.assert_array_equal(fast(X, k), np.cosh(k) * X + k)


def test_complex_numbers_do_not_go_into_real_places() -> None:
    def story(x: Any, k: Any) -> Any:
        x[[0]] = k

    with pytest.raises(TypeError):
        story(X.copy(), 1j)
    with pytest.raises(tracer.Error, match="complex"):
        tracer.compile(story)(X.copy(), 1j)


def test_views_of_nothing_turned_round() -> None:
    def story(x: Any) -> Any:
        y = x[:, None, ::2].astype(np.int8).T[::-1]
        y *= 2
        return y

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both(story, np.zeros((0, 3), "F"))


def test_nothing_is_put_under_a_mask() -> None:
    both(lambda x, v: np.putmask(x, x > 0, v), X.copy(), X[:0])


# ---- values read too early or kept too long
def test_a_plain_array_is_written_after_it_was_used() -> None:
    def story(x: Any) -> Any:
        v = np.ones(3)
        y = F.sum(v)
        v += 1.0
        return y.data + x * v

    both(story, X.copy())


def test_a_plain_array_is_written_and_returned() -> None:
    def story(x: Any) -> Any:
        v = np.ones(3)
        y = v + x
        v += 1.0
        return y * v, v

    fast = tracer.compile(story)
    for _ in range(2):
        np.testing.assert_array_equal(fast(X), story(X))


def test_variables_made_of_captured_arrays() -> None:
    table = np.ones(3)

    def story(x: Any) -> Any:
        return F.sum(Variable(table * 2) * x + Variable(table)).data

    fast = tracer.compile(story)
    for new in (np.ones(3), np.full(3, 5.0), None):
        if new is None:
            table[0] = 7.0
        else:
            table = new
        assert fast(X) == story(X) and type(fast(X)) is np.ndarray


def test_numbers_computed_from_captured_arrays() -> None:
    level = np.array(2.5)

    def story(x: Any) -> Any:
        return x - level, np.clip(level, 0, 9), int(level), float(level)

    fast = tracer.compile(story)
    for value in (2.5, 7.0):
        level[...] = value
        assert fast(X)[1:] == story(X)[1:] == (value, int(value), value)


def test_gradients_by_variables_made_inside() -> None:
    def story(x: Any) -> Any:
        w = Variable(np.ones(3))
        F.sum(w * w * x).backward()
        return w.grad.data

    both(story, X.copy())


def test_gradients_where_a_reshape_copies() -> None:
    def story(x: Any) -> Any:
        y = x.reshape(-1)
        y += 1.0
        return np.sum(np.sin(x)) + np.sum(y * y)

    for make in (
        lambda: np.arange(6.0).reshape(2, 3),
        lambda: np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        lambda: np.arange(12.0).reshape(2, 6)[:, :3],
    ):
        x, written = make(), make()
        here, grad = tracer.value_and_grad(story)(written)
        shown = x + 1 if x.flags.c_contiguous else x  # of other arrays the reshape is a copy
        np.testing.assert_allclose(here, np.sum(np.sin(shown)) + np.sum((x + 1) ** 2))
        np.testing.assert_allclose(grad, np.cos(shown) + 2 * (x + 1))
        np.testing.assert_array_equal(written, shown)


def test_a_captured_array_of_any_layout_is_flattened() -> None:
    for table in (np.asfortranarray(np.ones((3, 4))), np.ones((3, 8))[:, ::2], np.ones((3, 4))[::-1]):
        fast = tracer.compile(lambda x: np.outer(table, x))  # noqa: B023
        np.testing.assert_array_equal(fast(X), np.outer(table, X))


def test_padding_nothing() -> None:
    both(lambda x: np.pad(x.sum(), 1, mode="edge"), X.copy())


def test_an_array_of_another_byte_order_is_no_view() -> None:
    both(lambda x: x.astype(">f8").__iadd__(1.0) * x, X.copy())
    with pytest.raises(tracer.Error, match="byte order"):
        tracer.compile(lambda x: np.asarray(x, dtype=">f8", like=x))(X)


LEVEL = -0.0


def test_signs_of_complex_zeros() -> None:
    fast = tracer.compile(lambda x: np.full_like(x, LEVEL))
    assert np.signbit(fast(np.zeros(2, complex)).real).all() and not np.signbit(fast(np.zeros(2, complex)).imag).any()


# ---- in the long run
@pytest.mark.parametrize("dtypes", ["f??", "???", "dll"])
def test_a_chain_of_products_is_multiplied_in_numpys_order(dtypes: str) -> None:
    rng = np.random.default_rng(0)
    for sizes in ((3, 3, 3, 3), (2, 5, 1, 4), (4, 1, 5, 2), (2, 2, 2, 2, 2), (5, 1, 4, 2, 3)):
        pairs = zip(sizes, sizes[1:])
        both(lambda *xs: np.linalg.multi_dot(xs), *[rng.integers(0, 2, s).astype(dtypes[k % 3]) for k, s in enumerate(pairs)])
    both(lambda *xs: np.linalg.multi_dot(xs), np.ones(3), np.ones((3, 2)), np.ones(2))


def test_products_of_bools_are_bools() -> None:
    x = np.ones((3, 3), bool)
    both(lambda x: np.vecdot(x, x), x)
    both(lambda x: np.vecmat(x[0], x), x)


def test_an_argument_of_another_byte_order_is_cast_by_a_copy() -> None:
    for make in (lambda x: np.asarray(x, dtype=float, like=x), lambda x: x.astype(float, copy=False), lambda x: np.asarray(x, like=x)):

        def fn(x):
            y = make(x)  # noqa: B023
            y[...] = 3.0
            return y, x + 1

        for dtype in (">f8", "<f8"):
            mine, theirs = np.ones(3, dtype), np.ones(3, dtype)
            np.testing.assert_array_equal(tracer.compile(fn)(mine), fn(theirs))
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("put", [np.putmask, np.place])
def test_values_that_a_dtype_does_not_hold_are_not_put(put: Any) -> None:
    def fn(x, v):
        put(x, x > 0, v)

    with pytest.raises(TypeError):
        fn(np.ones(3, np.float32), np.ones(3))
    with pytest.raises(tracer.DTypeError, match="safely"):
        tracer.compile(fn)(np.ones(3, np.float32), np.ones(3))
    x = np.ones(3, np.float32)
    tracer.compile(fn)(x, 2.0)
    assert x.tolist() == [2, 2, 2]


def test_complex_sums_with_infinities() -> None:
    x = np.array([[-np.inf, 1.0], [2.0, np.inf]], complex)
    both(lambda x: x.sum(), x)
    both(lambda x: x.sum(0), x)
    both(lambda x: x.mean(1), x)


def test_a_bool_scalar_squared() -> None:
    both(lambda x: np.any(x) ** 2, X)
    both(lambda x: (x > 1) ** 2, X)


def test_what_is_broadcast_to_nothing_does_not_warn() -> None:
    def fn(x, k):
        y = np.zeros_like(x)
        y[...] = k
        return y % k

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        both(fn, np.zeros((0, 3), np.uint8), np.uint8(0))


def test_what_numpy_makes_of_numbers() -> None:
    for k in (2, 2.5, 300):
        both(lambda k: np.imag(k), k)
        both(lambda k: np.block(k), k)
        both(lambda k: np.isreal(k), k)
        both(lambda k: np.iscomplex(k), k)
        both(lambda k: np.min_scalar_type(k).itemsize, k)
    with pytest.raises(tracer.TraceError, match="min_scalar_type"):
        tracer.compile(lambda x: np.min_scalar_type(x.sum()))(X)


@pytest.mark.parametrize("name", ["argmax", "argmin", "argsort", "cumsum", "cumprod"])
def test_an_axis_that_a_scalar_does_not_have(name: str) -> None:
    fn = getattr(np, name)
    both(lambda x: fn(x.sum(), axis=-1), X)
    both(lambda x: fn(x, 0), X)
    with pytest.raises(tracer.Error, match="axis"):
        tracer.compile(lambda x: fn(x.sum(), axis=1))(X)


def test_infinities_of_complex_numbers_have_no_sign() -> None:
    both(np.isposinf, np.array([np.inf, -np.inf, 0.0, np.nan]))
    with pytest.raises(tracer.DTypeError):
        tracer.compile(np.isneginf)(X + 1j)
    assert np.isreal(Variable(X)).all() and not np.iscomplex(Variable(X)).any()
