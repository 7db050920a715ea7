"""exact=True: every result has NumPy's bits and order of axes, however the arguments lie; gradients those of their formulas."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer
from ir.errors import ArgumentError, TraceError
from ir.evaluate import evaluate
from tests.tracer.bits import LAYOUTS, bits, exactly, same_bits
from tracer import Variable, optimizers
from tracer import functions as F
from tracer.tracing.trace import run_trace

rng = np.random.default_rng(0)
X, Y, Z = rng.standard_normal((37, 45)), rng.standard_normal((37, 45)), rng.standard_normal((5, 37, 45))
I = np.arange(45)  # noqa: E741


def words(text: str) -> list[str]:
    return text.split()


# long enough that the order of a sum shows in its bits
CASES: dict[str, Callable[..., Any]] = {
    "sums": lambda x, y, z: (
        x.sum(), x.sum(0), x.sum(1), x.T.sum(0), x.mean(), x.mean(0), np.mean(x, 1, keepdims=True), x.sum(dtype=np.float32),
        x.astype("f4").sum(dtype="f8"), z.sum((0, 1)), z.sum((0, 2)), z.sum((1, 2)), z.transpose(2, 0, 1).sum((0, 2)), x.prod(0),
        x.cumsum(), x.cumsum(0), np.nansum(x, 1), np.average(x, axis=0, weights=y), np.trace(x), np.ptp(x, 0),
    ),
    "spread": lambda x, y, z: (x.var(), x.std(), x.var(0), x.std(1), z.var((0, 2)), np.var(x, ddof=1), x.T.var(1)),
    "norms": lambda x, y, z: tuple(
        np.linalg.norm(x, ord=ord, axis=axis) for axis in (0, 1) for ord in (None, 0, 1, 3, np.inf)
    ) + (np.linalg.norm(x), np.linalg.norm(z), np.linalg.norm(z, axis=(0, 2)), np.linalg.norm(x, ord=1), np.linalg.norm(x, "fro")),
    "dot": lambda x, y, z: (
        np.dot(x, y.T), np.dot(x.T, y), np.dot(x, y[0]), np.dot(x[:, 0], y), np.dot(x[0], y[0]), np.dot(z, y.T), np.dot(x[::2], y.T),
        np.dot(x[:, ::2], y.T[::2]), np.tensordot(z, y, ((1, 2), (0, 1))), np.inner(z, y), np.vdot(x, y), np.outer(x[0], y[0]),
    ),
    "matmul": lambda x, y, z: (
        x @ y.T, x.T @ y, x @ y[0], x[0] @ y.T, x[:, 0] @ y, x[0] @ y[0], z @ y.T, z @ z.transpose(0, 2, 1), z[:, :, ::2] @ x[:23],
        z.transpose(2, 0, 1) @ x[0][:37], np.linalg.matrix_power(x[:, :37], 3), np.linalg.matrix_power(x[:, :37], 5),
    ),
    "products of several dtypes": lambda x, y, z: (
        np.dot(x, y.T.astype("f4")), np.dot(x.T, y.astype(int)), x @ y.T.astype("f4"), x.astype(int) @ y.T,
        x.astype(int) @ y.T.astype(int), np.dot(x.astype("f2"), y.T.astype("f2")), (x + 1j * y) @ y.T, np.dot(x + 1j * y, y.T),
    ),
    "functions": lambda x, y, z: tuple(
        getattr(np, f)(x) for f in words("exp exp2 expm1 sin cos tan arctan sinh cosh tanh cbrt square reciprocal sign rint fabs degrees")
    ) + tuple(getattr(np, f)(abs(x)) for f in words("log log2 log10 log1p sqrt")),
    "complex functions": lambda x, y, z: tuple(
        getattr(np, f)(x + 1j * y)
        for f in words("exp expm1 log log10 log1p sin cos tan arctan sinh cosh tanh sqrt square reciprocal sign arcsin abs conj angle")
    ) + ((x + 1j * y).real.sum(0), (x + 1j * y).imag.sum(1), (x + 1j * y).sum(), (x + 1j * y).var(0), (x + 1j * y) ** 2),
    "two operands": lambda x, y, z: tuple(
        getattr(np, f)(x, y)
        for f in words("add subtract multiply divide floor_divide remainder hypot arctan2 logaddexp maximum minimum fmax fmin copysign")
    ),
    "powers": lambda x, y, z: (
        abs(x) ** y, x**2, x**3, x**4, x**-1, abs(x) ** 0.5, x**0, x**1, x**2.0, x**-2, x**3.0, np.power(x, 2), np.power(x, 0.5),
        np.power(x, -1), x ** np.float64(2), abs(x) ** np.float64(0.5), 2.0**x, np.square(x) ** 0.5,
    ),
    "several dtypes": lambda x, y, z: (
        x.astype("f4") * y, x.astype("f2") + y.astype("f4"), x.astype("f2") / 3, x.astype("f4") + np.float64(1), x.T.astype("f2").sum(0),
        x.astype("f2").mean(0), x.astype("f2").var(), x.astype("f4").sum(0), x.astype("g").sum(0), x.astype("g") @ y.T.astype("g"),
        (x * 10).astype("i4").mean(), (x * 10).astype("i2").std(0), np.exp((x * 3).astype("i1")), (x > 0).mean(0), (x > 0).sum(),
    ),
    "gathers": lambda x, y, z: (
        x[:, I[::3]].sum(1), x[I[:9]].sum(0), z[:, I[:7]].sum((0, 2)), z[:, :, I[:9]].sum(1), x.T[I[:9]].sum(1), z[:, I[:5], I[:5]].sum(0),
        np.take(x.T, I[:5], axis=1).sum(0), x[:, I[:3]], z[:, I[:3]], z.T[:, :, I[:2]], np.delete(x, [3, 5], axis=1),
    ),
    "joins": lambda x, y, z: (
        np.concatenate([x.T, y.T]), np.concatenate([x.T, y.T], 1), np.concatenate([x.T, y.T]).sum(0), np.stack([x.T, y.T]).sum((0, 2)),
        np.concatenate([x, y]).sum(0), np.hstack([x.T, y.T]).sum(0), np.stack([x, y], -1).sum(0), np.concatenate([x, y.T.copy().T], 1),
    ),
    "order": lambda x, y, z: (np.sort(x.T).sum(0), np.sort(x, 0).sum(1), np.sort(x.T, 0) * x.T, np.argsort(x, 0), np.argmax(x, 0)),
    "views": lambda x, y, z: (
        x[::-1].sum(0), x[:, ::-1].sum(), x[::2, ::3].sum(), np.flip(x).mean(0), z[1:4, ::2].T.sum(0), np.roll(x, 3).sum(0),
        np.rot90(x).sum(1), np.broadcast_to(x[0], (9, 45)).sum(0), np.moveaxis(z, 0, -1).sum(0), x.T.reshape(9, 185).sum(0),
        z.swapaxes(0, 2).reshape(45, -1).sum(0), np.tile(x, (2, 1)).sum(0), np.repeat(x, 2, 1).sum(1), x.T * 1.0, z.T + 1,
    ),
    "choices": lambda x, y, z: (
        np.diff(x).sum(0), np.tril(x).sum(), np.pad(x, 2).sum(0), np.pad(x, 1, mode="edge").sum(0), np.round(x, 2), np.modf(x),
        np.select([x > 0, y > 0], [x, y], 0.0).sum(0), np.where(x > 0, x, y).sum(0), np.clip(x, 0, 1).sum(0), np.divmod(x, y),
    ),
    "new arrays": lambda x, y, z: (
        x.copy().sum(0), np.copy(x).sum(0), x.copy("F"), np.copy(x, order="F").sum(0), x.T.astype("f4", order="C"), x.flatten().sum(),
        np.add(x, 1, order="F"), np.zeros_like(x.T) + y.T, np.ones_like(z.T, order="C"), np.full((3, 4), 2.0, order="F", like=x) * 3,
    ),
    "writes": lambda x, y, z: (written(np.zeros_like(x), x), written(x.copy(), x), written(x.T * 1.0, x.T), written(x * 2, y)),
}


def written(b: Any, x: Any) -> Any:
    b[2:5] = x[2:5] * 2
    b[:, 3] += x[:, 0]
    b[I[:5]] = 1.5
    np.add.at(b, (I[:3], I[:3]), 0.5)
    return b, b.sum(0), b.sum(1)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", CASES)
def test_bits_and_order_of_axes(name: str, layout: str) -> None:
    lay = LAYOUTS[layout]
    exactly(CASES[name], lay(X), lay(Y), lay(Z), what=f"{name} {layout}")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_functions_of_ours_are_their_formulas(layout: str) -> None:
    x, y, z = [LAYOUTS[layout](a) for a in (X, Y, Z)]
    fast = tracer.compile(lambda x, y, z: (F.sigmoid(x), F.linear(x, y.T, y[:, 0]), F.sum_to(z, (37, 1))), exact=True)
    same_bits(fast(x, y, z), (np.tanh(x * 0.5) * 0.5 + 0.5, np.dot(x, y.T) + y[:, 0], z.sum((0, 2)).reshape(37, 1)), orders=False)


def test_one_argument_lies_otherwise() -> None:
    exactly(lambda x, y: (x * y, x + y.sum(0), (x - y).sum(1), np.where(x > 0, y, x), np.concatenate([x, y])), X, np.asfortranarray(Y))


def test_strides_are_part_of_the_key() -> None:
    fast = exactly(lambda x: x.sum(0), X)
    for lay in LAYOUTS.values():
        x = lay(X)
        same_bits(fast(x), x.sum(0))
    assert fast.explain().traces == 5  # F and "middle axis fastest" are one of two axes
    same_bits(fast(LAYOUTS["gaps"](Y)), LAYOUTS["gaps"](Y).sum(0))
    assert fast.explain().traces == 5


TABLE = np.asfortranarray(Y)


def test_captured_arrays_lie_as_they_lie() -> None:
    global TABLE
    fast = tracer.compile(lambda x: (x * TABLE, (x + TABLE).sum(0), TABLE.sum(1)), exact=True)
    for lay in ("F", "C", "gaps", "reversed"):
        TABLE = LAYOUTS[lay](Y)
        same_bits(fast(X), (X * TABLE, (X + TABLE).sum(0), TABLE.sum(1)), lay)


REFUSED: list[tuple[str, Callable[..., Any], str]] = [
    ("sum where", lambda x: np.sum(x, where=x > 0), "where="),
    ("sum initial", lambda x: np.sum(x, initial=2.0), "initial="),
    ("nanmean", lambda x: np.nanmean(x), "np.mean"),
    ("vdot", lambda x: np.vdot(x + 1j, x), "np.vdot of complex"),
    ("round", lambda x: np.round(x + 1j, 2), "np.round of complex"),
    ("vecdot", lambda x: np.vecdot(x, x), "np.vecdot"),
    ("square", lambda x: np.square(x[0, 0] + 1j), "np.square of a complex NumPy scalar"),
]


@pytest.mark.parametrize(("name", "fn", "word"), REFUSED, ids=[r[0] for r in REFUSED])
def test_what_is_rounded_otherwise_is_refused(name: str, fn: Any, word: str) -> None:
    with pytest.raises(TraceError, match=r"exact=True keeps every bit[\s\S]*test_exact.py:[\s\S]*mend:") as caught:
        tracer.compile(fn, exact=True)(X)
    assert word in str(caught.value)
    tracer.compile(fn)(X)


def test_what_has_no_exact_form_is_refused() -> None:
    with pytest.raises(ArgumentError, match="byte-swapped"):
        tracer.compile(lambda x: x + 1, exact=True)(X.astype(">f8"))
    with pytest.raises(ArgumentError, match="returns a Variable"):
        tracer.compile(lambda v: F.exp(v), exact=True)(Variable(X))
    same_bits(tracer.compile(lambda v: F.exp(v).data, exact=True)(Variable(np.asfortranarray(X))), np.asfortranarray(np.exp(X)))


def loss(W: Any, b: Any, x: Any, y: Any) -> Any:
    h = np.tanh(np.dot(x, W) + b)
    return np.mean((h @ W.T - y) ** 2) + np.sum(W**2) * 0.5 + np.sum(np.where(h > 0, h, 0.1 * h).sum(0) ** 3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_are_those_of_the_formulas(layout: str) -> None:
    lay = LAYOUTS[layout]
    args = lay(rng.standard_normal((9, 17))), rng.standard_normal(17), lay(rng.standard_normal((33, 9))), lay(rng.standard_normal((33, 9)))
    both = tracer.value_and_grad(loss, argnums=(0, 1, 2))
    traced = run_trace(both, args, {})
    want, _ = evaluate(traced.graph, args)
    got, grads = tracer.compile(both, exact=True)(*args)
    same_bits([got, *grads], [loss(*args), *want[1:]])
    got, grads = tracer.compile(both)(*args)
    np.testing.assert_allclose(got, loss(*args))


@pytest.mark.parametrize("layout", ["C", "F"])
def test_a_training_step(layout: str) -> None:
    lay = LAYOUTS[layout]
    W, b = Variable(lay(rng.standard_normal((9, 17)))), Variable(rng.standard_normal(17))
    x, y = lay(rng.standard_normal((33, 9))), lay(rng.standard_normal((33, 9)))
    step = tracer.train_step(lambda x, y: loss(W.data, b.data, x, y), optimizers.SGD(lr=0.01), [W, b], exact=True)
    both = tracer.value_and_grad(loss, argnums=(0, 1))
    for _ in range(3):
        args = W.data.copy("K"), b.data.copy(), x, y
        (value, dW, db), _ = evaluate(run_trace(both, args, {}).graph, args)
        assert bits(step(x, y)) == bits(value) == bits(loss(*args))
        assert bits(W.data) == bits(args[0] - 0.01 * dW) and bits(b.data) == bits(args[1] - 0.01 * db)
    assert W.data.flags[f"{layout}_CONTIGUOUS"]
    assert "exact" in str(step.plan(x, y)).splitlines()[0]
    before = W.data.copy("K"), b.data.copy()
    one_by_one = [step(x, y) for _ in range(3)]
    W.data, b.data = before
    assert bits(step.run(x, y, steps=3)) == bits(np.array(one_by_one))


def test_the_plan_says_that_it_is_exact() -> None:
    fast = tracer.compile(lambda x: (x @ x.T).sum(0), exact=True)
    assert str(fast.plan(X)).startswith("plan for numpy, exact")
    assert {step.kernel.exact for step in fast.plan(X).steps} == {True}
    assert "matmul" in fast.source(X)  # as the user wrote it, not by dot


@pytest.mark.parametrize("layout", LAYOUTS)
def test_constants_lie_as_they_lie(layout: str) -> None:
    """An array that NumPy computes while tracing, and that no path leads to: views of it are computed anew."""
    lay = LAYOUTS[layout]
    plain, deep = lay(Y), lay(Z)

    def fn(x: Any) -> Any:
        a, one = x[0, 0], x[:, 0]
        views = [
            plain.T, plain[:, ::3], plain[1:, 2:-2], plain[::-1], plain[:, 0], np.broadcast_to(plain[0], (3, 45)), plain.T[:, ::-1],
            deep[1:].transpose(2, 0, 1), deep[:, :, 3], deep[:, ::2], deep.swapaxes(0, 1), np.broadcast_to(deep[:, :1], (5, 4, 45)),
        ]
        sums = [(np.add(v, a), np.add(v, a).sum(0), np.square(v - a).sum(), np.cumsum(v - a)) for v in views]
        products = x @ plain.T, x.T @ plain, one @ plain, x[0] @ plain.T, plain[:, 1] @ one, plain[::-1] @ x[0], deep @ x.T, x @ deep[1].T
        return sums, products

    exactly(fn, X)
    same_bits(tracer.compile(lambda x: (x, plain.T * 1.0), exact=True)(X)[1], plain.T * 1.0)


# ---- exact inside not exact
@tracer.compile(exact=True)
def exact_loss(x: Any) -> Any:
    return np.sum(np.tanh(x @ x.T) ** 2)


class Holder:
    @tracer.compile(exact=True)
    def loss(self, x: Any) -> Any:
        return exact_loss(x)


@pytest.mark.parametrize(
    "outer",
    [
        tracer.compile(lambda x: exact_loss(x)), tracer.compile(exact_loss), tracer.compile(tracer.grad(exact_loss)),
        tracer.compile(lambda x: Holder().loss(x)), tracer.grad(lambda x: exact_loss(x) * 2),
        tracer.value_and_grad(lambda x: exact_loss(x)),
        lambda x: tracer.train_step(exact_loss, optimizers.SGD(lr=0.1), x)(),
        lambda x: tracer.train_step(lambda p, x: exact_loss(p), optimizers.SGD(lr=0.1), x)(x),
    ],
)
def test_exact_inside_not_exact_is_refused(outer: Any) -> None:
    with pytest.raises(TraceError, match=r"loss, which is compiled with exact=True, is called inside .*[\s\S]*mend: compile .* exact=True"):
        outer(X)


def test_exact_inside_exact_and_inside_what_has_no_plan() -> None:
    exactly(lambda x: exact_loss(x) + 1, X)
    exactly(lambda x: exact_loss.__wrapped__(x), X)
    same_bits(tracer.train_step(exact_loss, optimizers.SGD(lr=0.1), X, exact=True)(), exact_loss.__wrapped__(X))
    assert len(tracer.trace(lambda x: exact_loss(x) * 2, X)) == len(tracer.trace(lambda x: exact_loss.__wrapped__(x) * 2, X))
    with pytest.raises(TraceError, match="keeps every bit"):  # it is exact there too
        tracer.trace(lambda x: tracer.compile(lambda x: np.nanmean(x), exact=True)(x), X)
    tracer.trace(lambda x: (exact_loss(x), np.nanmean(x)), X)
    for fn in (exact_loss, Holder().loss):
        want = evaluate(tracer.trace(tracer.grad(exact_loss.__wrapped__), X), [X])[0][0]
        same_bits([tracer.grad(fn)(X), tracer.value_and_grad(fn)(X)[1], tracer.compile(tracer.grad(fn), exact=True)(X)], [want] * 3)
