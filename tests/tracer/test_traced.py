"""Operators, methods and NumPy functions on traced arrays: a line each, against plain NumPy on the same arguments."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ir.spec import Spec
from tests.tracer.twins import agree
from tracer.tracing.trace import trace

X = np.random.default_rng(0).uniform(0.2, 0.9, (3, 4))
Y = np.random.default_rng(1).uniform(0.2, 0.9, (3, 4))
T = np.random.default_rng(2).uniform(0.2, 0.9, (2, 3, 4))
N = np.arange(1, 13).reshape(3, 4)
I = np.array([2, 0, 2])  # noqa: E741

EXACT: dict[str, Callable[..., Any]] = {
    "arithmetic": lambda x, y: (x + y, x - y, x * y, x / y, x // y, x % y, x**y, -x, +x, abs(x), divmod(x, y)),
    "reflected": lambda x, y: (2 + x, 2 - x, 2 * x, 2 / x, 2 // x, 2 % x, 2**x, divmod(2, x), np.float64(3) * x, np.ones(4) - x),
    "comparisons": lambda x, y: (x < y, x <= y, x > y, x >= y, x == y, x != y, x > 0.5, np.float64(0.5) >= x),
    "integers": lambda x, y: ((n := (x * 10).astype(int)), n & 3, n | 4, n ^ 1, n << 2, n >> 1, ~n, 7 & n, 1 << n, n // 3, n % 3),
    "matmul": lambda x, y: (x @ y.T, x[0] @ y.T, x @ y[0], x[0] @ y[0], np.ones((2, 3)) @ x, np.matmul(x, y.T)),
    "attributes": lambda x, y: (x.shape, x.ndim, x.size, x.dtype, x.itemsize, x.nbytes, len(x), x.T, x.real, x.imag, x.mT),
    "kinds of results": lambda x, y: (
        x.sum(),
        x[0, 0],
        x[0, 0, ...],
        x[0, 0] + 1,
        np.zeros_like(x[0, 0]),
        x.sum().reshape(1),
        x.reshape(12)[3],
    ),
    "iteration": lambda x, y: ([row.sum() for row in x], list(x[0]), [a for a, b in zip(x, y)], sum(x)),
    "unpacking": lambda x, y: (lambda a, b, c: (c, a, b))(*x),
    "isinstance": lambda x, y: (
        isinstance(x, np.ndarray),
        isinstance(x.sum(), np.float64),
        isinstance(x.sum(), float),
        isinstance(x.sum(), np.ndarray),
    ),
    "copies": lambda x, y: (x.copy(), copy.copy(x), copy.deepcopy(y), np.copy(x), x.flatten(), np.array(x, like=x)),
    "casts": lambda x, y: (x.astype(np.float32), x.astype(int), x.astype(bool), np.astype(x, complex), x.astype(float, copy=False)),
    "reductions": lambda x, y: (
        x.sum(),
        x.sum(0),
        x.mean(axis=1, keepdims=True),
        x.prod(-1),
        x.max((0, 1)),
        x.min(axis=0),
        x.any(),
        x.all(1),
    ),
    "spread": lambda x, y: (x.var(), x.std(axis=0), np.var(x, ddof=1), np.std(x, 1, ddof=1, keepdims=True), np.ptp(x, axis=0)),
    "reduction options": lambda x, y: (
        np.sum(x, dtype=np.float32),
        np.sum(x, axis=1, initial=3.0),
        np.max(x, where=x < 0.5, initial=0.0),
        np.max(x[:, :0], axis=1, initial=2.0),
        np.sum(x, axis=()),
        np.count_nonzero(x > 0.5, axis=0),
    ),
    "positions": lambda x, y: (
        x.argmax(),
        x.argmin(0),
        np.argmax(x, axis=-1),
        np.argmin(x, axis=1, keepdims=True),
        np.argmax(x, keepdims=True),
    ),
    "order": lambda x, y: (
        np.sort(x),
        np.sort(x, axis=None),
        np.argsort(x, axis=0),
        x.argsort(kind="stable"),
        np.cumsum(x),
        np.cumprod(x, axis=0),
        x.cumprod(),
        np.multiply.accumulate(x),
        x.cumsum(axis=1),
    ),
    "shapes": lambda x, y: (
        x.reshape(4, 3),
        x.reshape((2, -1)),
        np.reshape(x, -1),
        x.ravel(),
        np.ravel(x, "F"),
        x.T.ravel(),
        x.transpose(),
        x.transpose(1, 0),
        x.swapaxes(0, 1),
        np.expand_dims(x, (0, 2)),
        np.squeeze(x[None]),
        np.broadcast_to(x[0], (2, 4)),
        x.reshape(4, 3, order="F"),
        np.atleast_3d(x),
        np.atleast_1d(x.sum(), y),
        np.moveaxis(x[None], 0, -1),
        np.rollaxis(x, 1),
        np.broadcast_arrays(x, y[0]),
    ),
    "turns": lambda x, y: (
        np.flip(x),
        np.flip(x, 0),
        np.fliplr(x),
        np.flipud(x),
        np.roll(x, 1),
        np.roll(x, (1, -1), (0, 1)),
        *[np.rot90(x, k) for k in range(5)],
    ),
    "joins": lambda x, y: (
        np.concatenate([x, y]),
        np.concatenate((x, y), axis=1),
        np.concatenate([x, y], axis=None),
        np.stack([x, y]),
        np.stack([x, y], axis=-1),
        np.vstack([x, y[0]]),
        np.hstack([x, y]),
        np.hstack([x[0], y[0]]),
        np.dstack([x, y]),
        np.column_stack([x[:, 0], y]),
        np.append(x, 1.0),
        np.block([[x, y], [y, x]]),
        np.insert(x, 1, 5.0, axis=0),
        np.delete(x, [0, 2], axis=1),
        np.stack(x),
    ),
    "splits": lambda x, y: (
        np.split(x, 2, axis=1),
        np.array_split(x, 2),
        np.hsplit(x, [1, 3]),
        np.vsplit(x, 3),
        np.unstack(x),
        np.diff(x),
        np.diff(x, 2, 0),
    ),
    "repeats": lambda x, y: (np.tile(x, 2), np.tile(x, (2, 1, 2)), np.repeat(x, 2), np.repeat(x, [1, 0, 2], axis=0), x.repeat(2, axis=1)),
    "pads": lambda x, y: (
        np.pad(x, 1),
        np.pad(x, ((1, 0), (0, 2)), constant_values=9.0),
        np.pad(x, 1, "edge"),
        np.pad(x, 2, "reflect"),
        np.pad(x, 1, mode="wrap"),
    ),
    "triangles": lambda x, y: (
        np.tril(x),
        np.triu(x, 1),
        np.diag(x),
        np.diag(x[0], 1),
        np.diagonal(x, -1),
        np.trace(x),
        x.trace(1),
        x.diagonal(),
    ),
    "choices": lambda x, y: (
        np.where(x > 0.5, x, y),
        np.where(x > 0.5, 1, 0.0),
        np.clip(x, 0.3, 0.6),
        x.clip(max=0.5),
        np.clip(x, y, None),
        np.select([x > 0.7, x > 0.4], [x, y], 9.0),
        np.maximum(x, y),
        np.fmin(x, 0.5),
        np.nan_to_num(x / 0.0),
        np.isclose(x, y),
        np.isnan(x),
        np.sign(x - 0.5),
    ),
    "rounding": lambda x, y: (
        np.round(x),
        np.round(x * 10, 1),
        x.round(2),
        np.floor(x),
        np.ceil(x),
        np.rint(x),
        np.trunc(x),
        np.fix(x),
        np.modf(x * 5),
    ),
    "indices": lambda x, y: (
        x[1],
        x[-1, ::2],
        x[..., None],
        x[[2, 0]],
        x[[0, 1], [1, 3]],
        x[np.ix_([0, 2], [1, 3])],
        x[:, [1, 1]],
        x[np.array([True, False, True])],
        np.take(x, [0, 5]),
        x.take([1, 2], axis=1),
        np.take(x, 9, mode="wrap", axis=0),
        np.take_along_axis(x, np.argsort(x, axis=1), axis=1),
    ),
    "likes": lambda x, y: (
        np.zeros_like(x),
        np.ones_like(x, dtype=int),
        np.full_like(x, 7),
        np.empty_like(x) * 0,
        np.zeros(3, like=x),
        np.full(2, x.sum(), like=x),
        np.array([x[0], y[0]], like=x),
        np.arange(4, like=x),
        np.eye(2, like=x),
        np.array([[x[0, 0], 1.0]], like=x),
    ),
    "products": lambda x, y: (
        np.dot(x, y.T),
        x.dot(y[0]),
        np.outer(x[0], y[1]),
        np.vdot(x, y),
        np.inner(x, y),
        np.tensordot(x, y, ([1], [1])),
        np.kron(x, y),
    ),
    "norms": lambda x, y: (
        np.linalg.norm(x),
        np.linalg.norm(x, axis=1),
        np.linalg.norm(x, np.inf, axis=0),
        np.linalg.norm(x, 1),
        np.linalg.norm(x[0], 3),
    ),
    "ufunc methods": lambda x, y: (
        np.add.reduce(x),
        np.multiply.reduce(x, axis=1),
        np.maximum.reduce(x),
        np.add.accumulate(x, axis=1),
        np.subtract.outer(x[0], y[1]),
    ),
    "ufunc options": lambda x, y: (
        np.add(x, y, dtype=np.float32),
        np.add(x, y, out=np.empty_like(x)),
        np.exp(x, out=x.copy(), where=x > 0.5),
        np.multiply([1.0, 2.0, 3.0, 4.0], x),
    ),
    "questions": lambda x, y: (
        np.shape(x),
        np.ndim(x),
        np.size(x, 1),
        np.result_type(x, np.float32),
        np.can_cast(x, np.float32),
        np.iscomplexobj(x),
        np.isfortran(x.T),
    ),
    "meshes": lambda x, y: (np.meshgrid(x[0], y[:, 0]), np.meshgrid(x[0], y[0], indexing="ij", sparse=True)),
    "averages": lambda x, y: (
        np.average(x),
        np.average(x, axis=0, weights=y),
        np.average(x, axis=1, weights=y[0]),
        np.nansum(x),
        np.nanmean(x, axis=0),
    ),
    "weak numbers": lambda x, y: (
        x.astype(np.float32) * 2.5,
        x.astype(np.int8) + 1,
        x.astype(bool) + 1.0,
        x.astype(np.float16) * np.float64(2),
        x * True,
        x * 1j,
    ),
    "complex": lambda x, y: ((z := x + 1j * y), z.real, z.imag, z.conj(), np.conjugate(z), abs(z), z.T @ z, np.angle(z), z.real.sum()),
}

CLOSE: dict[str, Callable[..., Any]] = {
    "functions": lambda x, y: tuple(
        getattr(np, f)(x)
        for f in [
            "exp",
            "exp2",
            "expm1",
            "log",
            "log2",
            "log10",
            "log1p",
            "sin",
            "cos",
            "tan",
            "arcsin",
            "arccos",
            "arctan",
            "sinh",
            "cosh",
            "tanh",
            "sqrt",
            "cbrt",
            "square",
            "reciprocal",
            "arcsinh",
            "arctanh",
            "deg2rad",
            "degrees",
            "fabs",
            "sinc",
        ]
    ),
    "two operands": lambda x, y: (
        np.hypot(x, y),
        np.arctan2(x, y),
        np.logaddexp(x, y),
        np.logaddexp2(x, y),
        np.float_power(x, y),
        np.copysign(x, -y),
    ),
    "masked sums": lambda x, y: (
        np.sum(x, where=x > 0.5),
        np.mean(x, where=x > 0.5),
        np.mean(x, axis=1, where=x > 0.3),
        np.prod(x, where=x > 0.5),
    ),
    "arccosh": lambda x, y: np.arccosh(x + 1),
    "powers": lambda x, y: (
        np.linalg.matrix_power(x @ y.T, 3),
        np.linalg.multi_dot([x, y.T, x]),
        np.cross(x[:, :3], y[:, :3]),
        np.vecdot(x, y),
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_to_the_bit(name: str) -> None:
    agree(EXACT[name], X, Y)


@pytest.mark.parametrize("name", CLOSE)
def test_close(name: str) -> None:
    agree(CLOSE[name], X, Y, rtol=1e-12)


@pytest.mark.parametrize(
    "dtype", [bool, np.int8, np.uint16, np.int64, np.float16, np.float32, np.longdouble, np.complex64, ">f8", ">i4"], ids=str
)
def test_dtypes(dtype: Any) -> None:
    x = (X * 10).astype(dtype)
    agree(
        lambda x: (x + x, x * 2, x / 3, x**2, x.sum(), x.mean(0), x[0] + np.float32(1), x.T @ x, x == 3, x.copy(), np.concatenate([x, x])),
        x,
        rtol=1e-2,
    )


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1, 1), (2, 1, 3)], ids=str)
def test_shapes(shape: tuple[int, ...]) -> None:
    agree(
        lambda x: (
            x * 2,
            x + np.ones(1),
            x.sum(),
            np.sum(x, axis=-1) if x.ndim else x,
            x.reshape(-1),
            x.T,
            np.exp(x),
            x[...],
            x[None],
            x.ravel() + 1,
            x.copy(),
        ),
        np.arange(np.prod(shape), dtype=float).reshape(shape),
    )


def test_numpy_scalars_and_memory_maps(tmp_path: Any) -> None:
    agree(lambda s, x: (s + 1, s * x, x[0] * s, s.reshape(1), s.astype(int)), np.float32(2.5), X)
    mapped = np.memmap(tmp_path / "x.bin", dtype=float, mode="w+", shape=(3,))
    mapped[:] = [1, 2, 3]
    assert str(trace(lambda x: x * 2, mapped).outputs[0].spec) == "f64[3]"


def test_views_of_parts_see_later_writes() -> None:
    def fn(z: Any, x: Any) -> Any:
        real, line = z.real, np.diagonal(x)
        z[0] = 0
        x[1] = 9
        return real, line, z.real.copy()

    agree(fn, X + 1j * Y, X)


def test_tracing_is_cheap_in_nodes() -> None:
    """A write through an index is one node, and reading it back what the reader needs."""

    def fn(x: Any) -> Any:
        x[1:] += 1.0
        return x * 2

    graph = trace(fn, np.ones(4))
    assert [n.op.name for n in graph.order()] == ["input", "slice", "constant", "add", "set_slice", "constant", "multiply"]


def test_specs_stand_for_arrays() -> None:
    graph = trace(lambda x, n: x.sum(axis=1) * n, Spec((3, 4), np.float32), Spec((), np.int64, "int"))
    assert [str(v.spec) for v in (*graph.inputs, *graph.outputs)] == ["f32[3,4]", "int", "f32[3]"]
