"""Writes into arguments: what the caller's arrays hold after a call, also where they share memory, are read-only or not native."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracer
from tracer import Variable


# ---- arrays that share memory
def _adds(x: Any, y: Any) -> Any:
    x += y
    y *= 2
    return x.sum(), y * 1


def _turns(x: Any, y: Any) -> Any:
    x[...] = y[::-1] if x.shape == y.shape else y.sum()
    return y + 0


def _to_and_fro(x: Any, y: Any) -> Any:
    for _ in range(3):
        x[:1] += y[-1:]
        y[:1] *= x[-1:]
    return x * 1, y * 1


def _first(x: Any, y: Any) -> Any:
    y += 1
    x[0] = y.sum()
    return x - y.sum()


VIEWS: dict[str, Any] = {
    "the same": lambda m: (m, m),
    "shifted": lambda m: (m.ravel()[:-3], m.ravel()[3:]),
    "even and odd": lambda m: (m.ravel()[::2], m.ravel()[1::2]),
    "even and half": lambda m: (m.ravel()[::2], m.ravel()[:6]),
    "reversed": lambda m: (m, m[::-1]),
    "transposed": lambda m: (m[:, :3], m[:, :3].T),
    "rows": lambda m: (m[1:], m[:-1]),
    "columns": lambda m: (m[:, 1:], m[:, :-1]),
    "a row": lambda m: (m, m[1]),
    "a column and a row": lambda m: (m[:3, 1], m[1, :3]),
    "the diagonal": lambda m: (m[:, :3], np.einsum("ii->i", m[:, :3])),
    "an element": lambda m: (m, m[1, 1:2].reshape(())),
    "apart": lambda m: (m[:1], m[2:]),
}


def _legal(fn: Any, pair: Any) -> bool:
    try:
        fn(*pair(np.arange(1.0, 13.0).reshape(3, 4)))
    except (ValueError, IndexError):
        return False
    return True


@pytest.mark.parametrize("fn", [_adds, _turns, _to_and_fro, _first])
def test_arguments_that_share_memory(fn: Any) -> None:
    """One compiled function, called with every pair of views of one array, twice over: each as NumPy leaves it."""
    fast = tracer.compile(fn)
    pairs = {name: pair for name, pair in VIEWS.items() if _legal(fn, pair)}
    assert len(pairs) > 8
    for name, pair in [*pairs.items(), *reversed(pairs.items())]:
        mine, due = np.arange(1.0, 13.0).reshape(3, 4), np.arange(1.0, 13.0).reshape(3, 4)
        got, want = fast(*pair(mine)), fn(*pair(due))
        np.testing.assert_array_equal(mine, due, err_msg=name)
        for g, w in zip(got if isinstance(got, tuple) else (got,), want if isinstance(want, tuple) else (want,), strict=True):
            np.testing.assert_array_equal(g, w, err_msg=name)
    assert fast.explain().traces <= len(pairs)


def test_three_arguments_over_one_array() -> None:
    def fn(x: Any, y: Any, z: Any) -> Any:
        x += 1
        y *= 3
        z[...] = x[:2] + y[:2]
        x[0] -= z[1]
        return x.sum() + 2 * y.sum() + 3 * z.sum()

    fast = tracer.compile(fn)
    for k in (1.0, 2.0, 3.0):
        mine, due = np.arange(6.0) * k, np.arange(6.0) * k
        assert fast(mine[:4], mine[2:], mine[1:3]) == fn(due[:4], due[2:], due[1:3])
        np.testing.assert_array_equal(mine, due)


def test_arrays_that_share_memory_may_be_read() -> None:
    fast = tracer.compile(lambda x, y: x * y)
    a = np.arange(4.0)
    np.testing.assert_array_equal(fast(a, a), a * a)
    np.testing.assert_array_equal(fast(a[1:], a[:-1]), a[1:] * a[:-1])
    assert fast.explain().traces == 2  # by shape alone


def test_a_written_argument_that_the_function_closes_over() -> None:
    g = np.arange(4.0)

    def fn(x: Any) -> Any:
        x += 1
        return x * g

    fast = tracer.compile(fn)
    for k in range(1, 4):
        np.testing.assert_array_equal(fast(g), (np.arange(4.0) + k) ** 2)
    np.testing.assert_array_equal(fast(np.zeros(4)), g)
    tail = g[::-1]
    np.testing.assert_array_equal(fast(tail), [28.0, 30.0, 30.0, 28.0])
    np.testing.assert_array_equal(g, [4.0, 5.0, 6.0, 7.0])


def test_parts_of_elements_in_common_are_refused() -> None:
    def fn(x: Any, y: Any) -> None:
        x += 1

    x = np.ones(4)
    assert tracer.compile(lambda x, y: x.sum() + y.size)(x, x.view(np.float32)) == 12
    with pytest.raises(tracer.TraceError, match="shares memory with another in parts of elements"):
        tracer.compile(fn)(x, x.view(np.float32))
    np.testing.assert_array_equal(x, np.ones(4))


def test_an_argument_that_is_a_variables_data() -> None:
    W = Variable(np.arange(3.0))

    def fn(x: Any) -> Any:
        x += 1
        return x * W.data

    fast = tracer.compile(fn)
    np.testing.assert_array_equal(fast(np.ones(3)), [0.0, 2.0, 4.0])
    with pytest.raises(tracer.TraceError, match="x and W share memory.*\n.*\n.*W.data.copy"):
        fast(W.data)
    np.testing.assert_array_equal(W.data, [0.0, 1.0, 2.0])


# ---- arrays of other kinds
def test_what_is_not_native_is_written_too() -> None:
    def fn(x: Any) -> Any:
        x += 1
        x[0] = 7
        return x * 2

    fast = tracer.compile(fn)
    for dtype in (">f8", "<f8", ">i2", ">c16"):
        x, due = np.arange(3).astype(dtype), np.arange(3).astype(dtype)
        got, want = fast(x), fn(due)
        np.testing.assert_array_equal(x, due)
        np.testing.assert_array_equal(got, want)
        assert x.dtype == dtype and got.dtype.isnative


def test_a_memory_map_is_written(tmp_path: Any) -> None:
    def fn(x: Any) -> None:
        x *= 3

    there = np.memmap(tmp_path / "a", np.float64, "w+", shape=(4,))
    there[:] = np.arange(4.0)
    tracer.compile(fn)(there)
    np.testing.assert_array_equal(np.asarray(there), 3 * np.arange(4.0))


def test_strided_and_fortran_arrays_are_written() -> None:
    def fn(x: Any) -> Any:
        x[1:] += x[:-1]
        return x.ravel() * 2

    fast = tracer.compile(fn)
    for make in (lambda: np.arange(24.0).reshape(4, 6)[:, ::2], lambda: np.asfortranarray(np.arange(12.0).reshape(4, 3)),
                 lambda: np.arange(12.0).reshape(3, 4).T, lambda: np.arange(12.0).reshape(4, 3)[::-1]):
        x, due = make(), make()
        np.testing.assert_array_equal(fast(x), fn(due))
        np.testing.assert_array_equal(x, due)


def test_a_variable_argument_is_written() -> None:
    def fn(v: Any) -> None:
        v.data[...] = v.data * 2
        v.data[0] = 9

    fast = tracer.compile(fn)
    for data in (np.arange(3.0), np.arange(6.0)[::2], np.arange(3.0)[::-1]):
        v, due = Variable(data), data.copy()
        fast(v)
        due[...] = due * 2
        due[0] = 9
        np.testing.assert_array_equal(v.data, due)
        assert np.shares_memory(v.data, data)


# ---- all or nothing
def test_a_read_only_array_is_refused_before_anything_is_written() -> None:
    def fn(x: Any, y: Any) -> None:
        y[0] = 1
        x[0] = 1

    fast = tracer.compile(fn)
    fast(np.zeros(2), np.zeros(2))
    locked, y = np.zeros(2), np.zeros(2)
    locked.flags.writeable = False
    with pytest.raises(tracer.TraceError, match="read-only"):
        fast(locked, y)
    assert not y.any() and not locked.any()
    fast(np.zeros(2), y)
    assert y[0] == 1


def test_an_error_after_a_write_leaves_the_arguments() -> None:
    """Plain NumPy leaves x half done here; a compiled function commits at the end."""

    def fn(x: Any, i: Any) -> Any:
        x += 1
        return x[i]

    fast = tracer.compile(fn)
    x = np.zeros(3)
    fast(x, np.array([0, 1]))
    with pytest.raises(IndexError):
        fast(x, np.array([0, 9]))
    np.testing.assert_array_equal(x, [1.0, 1.0, 1.0])

    def raises(x: Any) -> None:
        x += 1
        raise KeyError("mine")

    with pytest.raises(KeyError):
        tracer.compile(raises)(x)
    np.testing.assert_array_equal(x, [1.0, 1.0, 1.0])


def test_errors_of_arithmetic_leave_the_arguments() -> None:
    def fn(x: Any, y: Any) -> None:
        x[0] = 5
        y /= x

    fast = tracer.compile(fn)
    x, y = np.array([1.0, 2.0]), np.ones(2)
    fast(x, y)
    x[1] = 0
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        fast(x, y)
    np.testing.assert_array_equal(x, [5.0, 0.0])
    np.testing.assert_array_equal(y, [0.2, 0.5])


# ---- containers among the arguments
@pytest.mark.parametrize("change", [
    lambda d: d.__setitem__("c", d["a"] * 2),
    lambda d: d.__setitem__("a", d["a"] * 2),
    lambda d: d.pop("a"),
    lambda d: d["b"].append(d["a"]),
    lambda d: d["b"].__setitem__(0, 3.0),
    lambda d: d["b"].reverse(),
])  # fmt: skip
def test_a_container_that_is_changed_is_refused(change: Any) -> None:
    def fn(d: Any) -> Any:
        change(d)

    with pytest.raises(tracer.TraceError, match="container"):
        tracer.compile(fn)({"a": np.ones(2), "b": [np.zeros(1), np.ones(1)]})


def test_arrays_in_containers_are_written() -> None:
    def fn(d: Any) -> None:
        d["a"] += 1
        d["b"][0][...] = d["a"][:1]

    fast = tracer.compile(fn)
    for _ in range(2):
        d = {"a": np.ones(2), "b": [np.zeros(1)]}
        fast(d)
        np.testing.assert_array_equal(d["a"], [2.0, 2.0])
        np.testing.assert_array_equal(d["b"][0], [2.0])
