"""Writes through `.real`, `.imag`, `.flat`, `ufunc.at`, `np.put` and diagonals: as NumPy on arrays of every layout, or refused."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import tracer
from tests.tracer.twins import same

A = np.arange(1.0, 13.0).reshape(3, 4)
LAYOUTS: dict[str, Any] = {
    "C": lambda a: a.copy(),
    "F": lambda a: np.asfortranarray(a),
    "turned": lambda a: a[::-1].copy()[::-1],
    "gaps": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
}


def check(fn: Any, *args: Any) -> None:
    """Two calls of the compiled function against NumPy: results and arguments."""
    fast = tracer.compile(fn)
    for k in (1, 2):
        mine, due = [(args[0] * np.array(k, args[0].dtype), *[a.copy() for a in args[1:]]) for _ in range(2)]
        same(fast(*mine), fn(*due), 1e-13, "result")
        same(mine, due, 1e-13, "arguments")
    assert fast.explain().traces == 1


def strided(fn: Any, a: np.ndarray) -> None:
    """As `check` of one argument in each layout."""
    for name, lay in LAYOUTS.items():
        mine, due = lay(a), lay(a)
        got, want = tracer.compile(fn)(mine), fn(due)
        same(got, want, 1e-13, name)
        same(mine, due, 1e-13, name)


# ---- complex parts
def test_real_and_imaginary_parts() -> None:
    def fn(z: Any) -> Any:
        r, i = z.real, z.imag
        z.real = 3
        z.imag[0] = 7
        z.real[1:] *= 2
        z.imag += z.real
        r[::2, 1] -= i[::2, 1]
        np.real(z)[..., -1] = np.arange(3)
        np.add(i, 1, out=r)
        z.T.imag[0] = z[:, 1].real
        return r, i, z * 1

    strided(fn, A + 1j * A[::-1])
    strided(fn, (A - 2j).astype("F"))


def test_python_numbers_as_parts() -> None:
    def fn(z: Any, k: Any, n: Any) -> None:
        z.real = k
        z.imag[1:] = n
        z.imag[0] += k * n

    fast = tracer.compile(fn)
    for k, n in ((0.5, 3), (-1.5, 4)):
        mine, due = A + 1j, A + 1j
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fast(mine, k, n)
        fn(due, k, n)
        same(mine, due, 0, "argument")


def test_parts_of_real_arrays() -> None:
    def fn(x: Any) -> Any:
        x.real = x.real * 2
        x.real[0] += 1
        return x.imag + 0

    strided(fn, A)

    def imaginary(x: Any) -> None:
        x.imag = 1

    with pytest.raises(TypeError):
        imaginary(A.copy())
    with pytest.raises(tracer.DTypeError, match="imaginary part"):
        tracer.compile(imaginary)(A.copy())

    def zeros(x: Any) -> None:
        x.imag[0] = 1

    with pytest.raises(tracer.TraceError, match="read-only"):
        tracer.compile(zeros)(A.copy())


# ---- flat
def test_flat() -> None:
    def fn(x: Any) -> Any:
        seen = [x.flat[5], x.flat[1:4], x.flat[[0, 11]], len(x.flat)]
        x.flat[2:5] = [7, 8, 9]
        x.flat[-1] += 1
        x.flat[::5] = [1, 2]
        x.flat[np.array([3, 3])] = [5, 6]
        total = 0.0
        for v in x.flat:
            total = total + v * v
        x.flat[1:3] = []
        return seen, total

    strided(fn, A)


def test_flat_as_a_whole() -> None:
    def fn(x: Any) -> None:
        x.flat = np.arange(5)
        x[1:].flat = x[:2] * 2
        x[:, :2].flat = -1

    strided(fn, A)


def test_flat_from_itself_is_refused() -> None:
    def fn(x: Any) -> None:
        x.flat[1:] = x.flat.base[0, :-1]  # NumPy reads what it has just written

    with pytest.raises(tracer.TraceError, match="copy"):
        tracer.compile(fn)(A.copy())


# ---- ufunc.at
@pytest.mark.parametrize("ufunc", [np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum, np.power, np.hypot])
def test_ufunc_at(ufunc: np.ufunc) -> None:
    def fn(x: Any, y: Any, i: Any, v: Any) -> None:
        ufunc.at(x, (i, [0, 1, 1]), v)
        ufunc.at(x, i, v[:, None])
        ufunc.at(x, (slice(None), i), 1.5)
        ufunc.at(x, [0, 0], 2)
        ufunc.at(y, i, v)
        ufunc.at(y[::2], [1, 1], 3)
        ufunc.at(y, slice(1, 3), v[:2])
        ufunc.at(y, 0, 0.5)

    check(fn, A / 4, np.arange(1.0, 4.0), np.array([0, 1, 0]), np.array([0.5, 1.5, 2.0]))


def test_ufunc_at_of_integers() -> None:
    def fn(n: Any, i: Any) -> None:
        np.add.at(n, i, 1)
        np.subtract.at(n, i, 2)
        np.bitwise_or.at(n, i, 8)
        np.left_shift.at(n, i, 1)
        np.bitwise_xor.at(n, i, 5)

    check(fn, np.arange(6), np.array([1, 1, 3]))
    check(fn, np.arange(6, dtype=np.uint8), np.array([1, 1, 3]))


def test_ufuncs_that_are_not_traced_say_so() -> None:
    def fn(x: Any) -> None:
        np.negative.at(x, [0, 0])

    with pytest.raises(tracer.TraceError, match="np.negative.at is not traced"):
        tracer.compile(fn)(A.copy())


# ---- put, diagonals
def test_put_in_every_layout() -> None:
    def fn(x: Any) -> None:
        np.put(x, [0, 1, 0], [1.0, 2.0, 3.0])
        x.put([5, -1], 9)
        np.put(x, [[20, 1], [2, 3]], [8, 9], mode="wrap")
        np.put(x, [20, 1, -5], [8, 9], mode="clip")
        np.put(x, [4], [])

    strided(fn, A)


def test_diagonals() -> None:
    def fn(x: Any, y: Any) -> None:
        np.fill_diagonal(x, 0)
        np.fill_diagonal(x, [1.0, 2.0, 3.0], wrap=True)
        np.fill_diagonal(x[1:, :3], [7, 8])
        np.fill_diagonal(y, 5)

    check(fn, np.arange(15.0).reshape(5, 3), np.arange(27.0).reshape(3, 3, 3))
    with pytest.raises(tracer.ShapeError, match="no diagonal"):
        tracer.compile(lambda x: np.fill_diagonal(x, 1))(np.zeros(3))


# ---- what NumPy takes as a value
@pytest.mark.parametrize("value", [1j, [1j, 2], None, "3", True, [1, 2, 3, 4], [[3]], [3], np.array([[3.0]]), np.float32(0.1), (1, 2, 3)])
@pytest.mark.parametrize("key", [0, (0, 1), slice(1, None), ..., [0, 2]])
def test_values_of_an_assignment(key: Any, value: Any) -> None:
    def fn(x: Any) -> None:
        x[key] = value

    due, mine = A.copy(), A.copy()
    try:
        fn(due)
    except (TypeError, ValueError):
        if isinstance(value, np.ndarray):
            return  # an array of one element for a single place: NumPy's releases differ
        with pytest.raises((tracer.Error, TypeError, ValueError)):
            tracer.compile(fn)(mine)
        same(mine, A, 0, "argument")
        return
    tracer.compile(fn)(mine)
    same(mine, due, 0, "argument")


def test_fill_takes_one_value() -> None:
    with pytest.raises(tracer.ShapeError, match="one value"):
        tracer.compile(lambda x: x.fill([1.0, 2.0]))(np.zeros(2))
    check(lambda x: x.fill(3), A)


def test_flags() -> None:
    def fn(x: Any) -> Any:
        return (x.flags.c_contiguous, x.T.flags["F_CONTIGUOUS"], x[:, ::2].flags.contiguous, x.flags.writeable,
                np.broadcast_to(x, (2, 3, 4)).flags.writeable)

    assert tracer.compile(fn)(A) == fn(A)

    def sets(x: Any) -> None:
        x.flags.writeable = False

    with pytest.raises(tracer.TraceError, match="flags.writeable is set"):
        tracer.compile(sets)(A)


def test_a_view_of_the_same_dtype() -> None:
    def fn(x: Any) -> Any:
        v = x.view()
        v[0] = 5
        return v

    check(fn, A)
    with pytest.raises(tracer.TraceError, match="view"):
        tracer.compile(lambda x: x.view(np.int64))(A)
