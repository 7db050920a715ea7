"""Where NumPy's bits hang on how memory lies: with exact=True they are NumPy's, or the line is refused, and the mend gives them."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer
from ir.errors import TraceError

Make = Callable[[], tuple[Any, ...]]


def numbers(*shape: int, dtype: str = "f8") -> np.ndarray:
    drawn = np.random.default_rng(0).standard_normal((2, *shape))
    return (drawn[0] + 1j * drawn[1]).astype(dtype) if np.dtype(dtype).kind == "c" else drawn[0].astype(dtype)


TABLE = numbers(6, 4, dtype="f4")


def doubled(x: Any) -> Any:
    x *= 2
    return x


def gaps() -> np.ndarray:
    return numbers(74)[::2]


def matrix() -> np.ndarray:
    return np.asfortranarray(numbers(37, 6, dtype="f4"))


REFUSED: list[tuple[str, Callable[..., Any], Callable[..., Any], Make]] = [
    ("real parts", lambda z: z.real @ z.imag, lambda z: z.real.copy() @ z.imag.copy(), lambda: (numbers(37, dtype="c16"),)),
    ("rows of them", lambda z: z.imag @ z[0].real, lambda z: z.imag.copy() @ z[0].real.copy(), lambda: (numbers(4, 6, dtype="c16"),)),
    ("written", lambda x, y: np.dot(doubled(x), y), lambda x, y: np.dot(doubled(x).copy(), y), lambda: (gaps(), numbers(37))),
    ("reversed", lambda x: doubled(x) @ x, lambda x: doubled(x).copy() @ x.copy(), lambda: (numbers(37)[::-1],)),
    ("columns", lambda x, y: doubled(x) @ y, lambda x, y: doubled(x).copy() @ y, lambda: (numbers(8, 12)[:, ::2], numbers(6))),
    ("cast matrix", lambda x, y: x @ y, lambda x, y: x @ y.astype("float64"), lambda: (numbers(37), matrix())),
    ("captured", lambda x: x @ TABLE.T, lambda x: x @ TABLE.T.astype("complex128"), lambda: (numbers(4, dtype="c16"),)),
    ("one row", lambda x, y: np.dot(x[:1], y), lambda x, y: np.dot(x[:1], y.astype("float64")), lambda: (numbers(2, 37), matrix())),
    ("one element", lambda x: x[::-1] * x, lambda x: x[::-1].copy() * x, lambda: (numbers(1, dtype="c8"),)),
    ("one of many", lambda x: np.square(x[::-1][2:3]), lambda x: np.square(x[::-1][2:3].copy()), lambda: (numbers(5, dtype="c8"),)),
]


@pytest.mark.parametrize(("name", "fn", "mended", "make"), REFUSED, ids=[r[0] for r in REFUSED])
def test_refused_and_mended(name: str, fn: Any, mended: Any, make: Make) -> None:
    with pytest.raises(TraceError, match=r"exact=True keeps every bit[\s\S]*test_exact_layouts.py:[\s\S]*mend:"):
        tracer.compile(fn, exact=True)(*make())
    tracer.compile(fn)(*make())
    assert tracer.compile(mended, exact=True)(*make()).tobytes() == mended(*make()).tobytes()


HELD: list[tuple[str, Callable[..., Any], Make]] = [
    ("gaps", lambda x, y: np.dot(x, y), lambda: (gaps(), numbers(37))),
    ("gaps of what was written inside", lambda x, y: np.dot(doubled(x * 1.0)[::2], y), lambda: (numbers(74), numbers(37))),
    ("a written matrix in F order", lambda x, y: doubled(x) @ y, lambda: (np.asfortranarray(numbers(8, 12)), numbers(12))),
    ("matrices of two dtypes", lambda x, y: x.T @ y, lambda: (numbers(37, 5), matrix())),
    ("sums of real parts", lambda z: z.real.sum(0), lambda: (numbers(37, 3, dtype="c16"),)),
    ("one element forwards", lambda x: x[2:3] * x[3:4], lambda: (numbers(5, dtype="c8"),)),
    ("more elements backwards", lambda x: x[::-1] * x, lambda: (numbers(5, dtype="c8"),)),
    ("traces of many", lambda x: np.trace(x * 2, axis1=1, axis2=2), lambda: (numbers(64, 70, 70),)),
    ("diagonals of reversed columns", lambda x: np.diagonal(x[..., ::-1], 1, 2, 0).sum(0), lambda: (numbers(70, 64, 70),)),
    ("diagonals in F order", lambda x: np.diagonal(x, -1, 0, 2).sum(1), lambda: (np.asfortranarray(numbers(70, 64, 70)),)),
]


@pytest.mark.parametrize(("name", "fn", "make"), HELD, ids=[r[0] for r in HELD])
def test_has_the_bits(name: str, fn: Any, make: Make) -> None:
    assert tracer.compile(fn, exact=True)(*make()).tobytes() == fn(*make()).tobytes()


def test_a_gradient_s_argument_lies_as_it_lies() -> None:
    by = tracer.value_and_grad(tracer.compile(lambda x: np.tensordot(x, x, 1), exact=True))
    for seed in range(8):
        x = np.random.default_rng(seed).standard_normal(10)[::2]
        value, gradient = by(x)
        assert value.tobytes() == np.tensordot(x, x, 1).tobytes() and np.allclose(gradient, 2 * x)
