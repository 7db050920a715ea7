"""`compile`: when a trace is used again and when not, and what a call would run."""
from __future__ import annotations

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import tracer
from tracer import Spec

A = np.array([1.0, 2.0, 3.0])


def traces(fast) -> int:
    return fast.explain().traces


def why(fast) -> str:
    """The reason of the last trace."""
    return [line for line in str(fast.explain()).splitlines() if line.startswith("trace ")][-1]


# ---- the key
def test_equal_specs_trace_once():
    fast = tracer.compile(lambda x, y: x + y)
    for k in range(5):
        np.testing.assert_array_equal(fast(A + k, A), A + k + A)
    assert traces(fast) == 1 and fast.explain().calls == 5


def test_order_of_dicts_is_part_of_the_key():
    fast = tracer.compile(lambda d: list(d.values())[0] - list(d.values())[1])
    np.testing.assert_array_equal(fast({"a": A, "b": 3 * A}), -2 * A)
    np.testing.assert_array_equal(fast({"b": A, "a": 3 * A}), -2 * A)
    assert traces(fast) == 2 and "tree of the arguments" in why(fast)
    np.testing.assert_array_equal(fast({"a": A, "b": 5 * A}), -4 * A)
    assert traces(fast) == 2


def test_containers_come_back_as_they_are():
    Pair = namedtuple("Pair", "left right")

    def fn(t):
        return Pair(t["b"] + 1, [t["a"], None, "text", 3]), OrderedDict(z=t["a"] * 2, y=()), {"k": True}

    pair, ordered, plain = tracer.compile(fn)({"b": A, "a": A})
    assert type(pair) is Pair and type(ordered) is OrderedDict and list(ordered) == ["z", "y"] and plain == {"k": True}
    np.testing.assert_array_equal(pair.left, A + 1)
    assert pair.right[1:] == [None, "text", 3] and ordered["y"] == ()


def test_list_and_tuple_are_different_trees():
    fast = tracer.compile(lambda t: t + t if isinstance(t, list) else t[0] + t[1])
    assert len(fast([A, A])) == 4
    np.testing.assert_array_equal(fast((A, A)), 2 * A)
    assert traces(fast) == 2


@pytest.mark.parametrize(
    "second, reason",
    [(np.ones(4), "f64[4]"), (np.ones(3, np.float32), "f32[3]"), (np.ones((3, 1)), "f64[3,1]"), (2.0, "Python float"),
     (np.float64(2.0), "NumPy float64"), (np.ones(6)[::2], "gaps"), (True, "True"), (2, "Python int"), (1j, "Python complex")],
)  # fmt: skip
def test_another_kind_of_argument_is_another_trace(second, reason):
    fast = tracer.compile(lambda x: x * 2)
    fast(A)
    np.testing.assert_array_equal(fast(second), second * 2)
    assert traces(fast) == 2 and reason in why(fast), str(fast.explain())
    fast(A)
    fast(second)
    assert traces(fast) == 2


def test_weak_kinds_decide_dtypes_as_numpy_does():
    fast = tracer.compile(lambda x, k: x * k)
    x = np.ones(2, np.float32)
    for k in (2, 2.0, 2j, np.float64(2), np.float32(2), np.int8(2), True):
        due = x * k
        got = fast(x, k)
        assert got.dtype == due.dtype
        np.testing.assert_array_equal(got, due)
    assert traces(fast) == 7


def test_layouts():
    fast = tracer.compile(lambda x: x * 2 + 1)
    C = np.arange(6.0).reshape(2, 3)
    for x in (C, np.asfortranarray(C), C.T, np.arange(24.0).reshape(4, 6)[::2, ::2], C[::-1], np.broadcast_to(A, (2, 3))):
        got = fast(x)
        np.testing.assert_array_equal(got, x * 2 + 1)
        assert got.flags.c_contiguous == (x * 2 + 1).flags.c_contiguous
    assert traces(fast) <= 5


def test_strided_inputs_of_one_layout_class_are_told_apart_where_it_matters():
    fast = tracer.compile(lambda x: x.sum(axis=0) + 1)
    big = np.arange(96.0).reshape(8, 12)
    for x in (big[::2, ::2], big[::4, ::3], big[1::2, 1::2], big[::-2, ::-2]):
        np.testing.assert_array_equal(fast(x), x.sum(axis=0) + 1)


def test_foreign_byte_order_and_read_only_arguments():
    fast = tracer.compile(lambda x: x + 1)
    swapped = A.astype(">f8")
    got = fast(swapped)
    np.testing.assert_array_equal(got, A + 1)
    assert got.dtype == np.dtype("f8") and got.dtype.isnative
    frozen = A.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(fast(frozen), A + 1)
    buffer = np.zeros(8 * 3 + 1, np.uint8)[1:].view(np.float64)  # not aligned
    buffer[:] = A
    np.testing.assert_array_equal(fast(buffer), A + 1)


def test_memmap_argument(tmp_path):
    held = np.memmap(tmp_path / "a", dtype=np.float64, mode="w+", shape=(3,))
    held[:] = A
    fast = tracer.compile(lambda x: x + 1)
    got = fast(held)
    np.testing.assert_array_equal(got, A + 1)
    assert type(got) is np.ndarray


def test_kwargs_and_defaults():
    @tracer.compile
    def fn(x, *, scale=2.0, shift=None):
        return x * scale if shift is None else x * scale + shift

    np.testing.assert_array_equal(fn(A), 2 * A)
    np.testing.assert_array_equal(fn(A, scale=3.0), 3 * A)
    np.testing.assert_array_equal(fn(A, scale=4.0), 4 * A)
    np.testing.assert_array_equal(fn(A, scale=4.0, shift=A), 5 * A)
    np.testing.assert_array_equal(fn(x=A), 2 * A)
    assert traces(fn) == 4


# ---- scalars and guards
def test_a_number_that_nobody_looks_at_never_traces_again():
    fast = tracer.compile(lambda x, k: x * k + (k + 1))
    for k in (1.0, -0.5, 1e300, float("inf"), 0.0):
        np.testing.assert_array_equal(fast(A, k), A * k + (k + 1))
    assert traces(fast) == 1


def test_a_branch_on_a_number_is_a_guard():
    fast = tracer.compile(lambda x, n: x + n if n > 0 else x - n)
    np.testing.assert_array_equal(fast(A, 2), A + 2)
    np.testing.assert_array_equal(fast(A, -2), A + 2)
    assert traces(fast) == 2 and "argument n: 2 -> -2" in why(fast)
    np.testing.assert_array_equal(fast(A, 2), A + 2)
    assert traces(fast) == 2
    assert any("n is 2" in g for g in fast.explain().guards)


def test_signs_of_zero_and_nan_in_guards():
    fast = tracer.compile(lambda x, k: x * (1.0 if str(k) == "-0.0" else 2.0))
    np.testing.assert_array_equal(fast(A, 0.0), 2 * A)
    np.testing.assert_array_equal(fast(A, -0.0), A)
    np.testing.assert_array_equal(fast(A, float("nan")), 2 * A)
    np.testing.assert_array_equal(fast(A, float("nan")), 2 * A)
    assert traces(fast) == 3


def test_strings_none_and_types_are_part_of_the_key():
    fast = tracer.compile(lambda x, how, dtype: (x + 1 if how == "one" else x + 2).astype(dtype))
    assert fast(A, "one", np.float32).dtype == np.float32
    np.testing.assert_array_equal(fast(A, "two", np.float32), (A + 2).astype(np.float32))
    assert fast(A, None, np.float64).dtype == np.float64
    assert traces(fast) == 3


# ---- what a call would run
def test_specs_in_place_of_arrays():
    fast = tracer.compile(lambda x, k: np.tanh(x) * k)
    graph = fast.graph(Spec((3,), np.float64), 2.0)
    assert [str(v.spec) for v in graph.outputs] == ["f64[3]"]
    assert fast.plan(Spec((3,), np.float64), 2.0).peak_bytes > 0
    assert "tanh" in fast.source(Spec((3,), np.float64), 2.0)
    np.testing.assert_array_equal(fast(A, 3.0), np.tanh(A) * 3.0)
    assert traces(fast) == 1
    with pytest.raises(tracer.ArgumentError, match="Spec"):
        fast(Spec((3,), np.float64), 2.0)


def test_unknown_backend_names_the_known():
    with pytest.raises(tracer.Error, match="numpy"):
        tracer.compile(lambda x: x, backend="abacus")


@pytest.mark.parametrize("thing", [3, "fn", np.ones(3)], ids=str)
def test_what_is_no_function(thing):
    with pytest.raises(tracer.ArgumentError, match="no function"):
        tracer.compile(thing)


REFUSED = [np.ma.array([1.0]), np.array([None]), np.array(["a"]), np.zeros(2, "M8[s]"), {1, 2}]


@pytest.mark.parametrize("leaf", REFUSED, ids=["masked", "objects", "strings", "dates", "set"])
def test_arguments_that_are_refused(leaf):
    with pytest.raises(tracer.Error) as error:
        tracer.compile(lambda x: x)(leaf)
    assert "mend" in str(error.value)
    if isinstance(leaf, np.ma.MaskedArray):
        assert "MaskedArray arrays are not traced" in str(error.value)


# ---- the source
def test_the_source_runs_by_itself():
    def fn(x, W, k):
        return np.tanh(x @ W) * k, np.sum(x)

    x, W = np.arange(12.0).reshape(3, 4), np.ones((4, 2))
    fast = tracer.compile(fn)
    source = fast.source(x, W, 2.0)
    assert "test_compile.py" in source and "in fn" in source
    names: dict = {}
    exec(compile(source, "<source>", "exec"), names)
    run = names["bind"](np.empty(fast.plan(x, W, 2.0).peak_bytes, np.uint8), (), (), None)
    for got, due in zip(run([x, W, 2.0]), fast(x, W, 2.0), strict=True):
        np.testing.assert_array_equal(got, due)
