"""`compile`: when a trace is used again and when not, what a call gives and keeps, what enters and what leaves."""
from __future__ import annotations

import gc
import sys
import weakref
from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

import tracer
from tracer import Parameter, Spec, Variable, stack
from tracer import functions as F

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
    [(np.ones(4), "float64[4]"), (np.ones(3, np.float32), "float32[3]"), (np.ones((3, 1)), "float64[3, 1]"), (2.0, "Python float"),
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
    assert traces(fast) == 2 and "n is 2" in why(fast)
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


# ---- what the function closes over
def test_captured_array_written_and_rebound():
    table = np.arange(3.0)
    fast = tracer.compile(lambda x: x + table)
    np.testing.assert_array_equal(fast(A), A + [0, 1, 2])
    table[1] = 10
    np.testing.assert_array_equal(fast(A), A + [0, 10, 2])
    table = np.array([5.0, 5.0, 5.0])
    np.testing.assert_array_equal(fast(A), A + 5)
    assert traces(fast) == 1
    table = np.ones((2, 3))
    assert fast(A).shape == (2, 3) and traces(fast) == 2


def test_captured_numbers_of_every_kind_rebound():
    table = np.arange(3.0)
    fast = tracer.compile(lambda x: x + table)
    for table in (np.float32(1), np.float32(2), np.float64(2), 2.0, 3.0, 3, True, np.array(4.0), np.array(5.0), A):
        got, due = fast(A), A + table
        np.testing.assert_array_equal(got, due)


GLOBAL_TABLE = np.arange(3.0)


def test_captured_global_deleted_gives_pythons_own_error():
    global GLOBAL_TABLE
    fast = tracer.compile(lambda x: x + GLOBAL_TABLE)
    np.testing.assert_array_equal(fast(A), A + [0, 1, 2])
    kept = GLOBAL_TABLE
    del GLOBAL_TABLE
    try:
        with pytest.raises(NameError):
            fast(A)
    finally:
        GLOBAL_TABLE = kept
    np.testing.assert_array_equal(fast(A), A + [0, 1, 2])


def test_what_numpy_computed_from_a_captured_array_traces_again():
    table = np.arange(3.0)
    fast = tracer.compile(lambda x: x + table.sum())
    np.testing.assert_array_equal(fast(A), A + 3)
    table[0] = 100
    np.testing.assert_array_equal(fast(A), A + 103)
    assert traces(fast) == 2 and "table" in why(fast)


def test_captured_numbers_containers_and_attributes():
    class Config:
        scale = 1.0

    config, settings = Config(), {"shift": [A, 2.0]}
    config.scale = 2.0
    fast = tracer.compile(lambda x: x * config.scale + settings["shift"][0] * settings["shift"][1])
    np.testing.assert_array_equal(fast(A), A * 2 + A * 2)
    config.scale = 3.0
    np.testing.assert_array_equal(fast(A), A * 3 + A * 2)
    settings["shift"][1] = 4.0
    np.testing.assert_array_equal(fast(A), A * 3 + A * 4)
    settings["shift"] = [2 * A, 4.0]
    np.testing.assert_array_equal(fast(A), A * 3 + A * 8)
    assert "config.scale" in str(fast.explain())


def test_captured_variables_are_read_anew():
    W = Variable(np.ones(3))
    fast = tracer.compile(lambda x: x * W)
    np.testing.assert_array_equal(fast(A).data, A)
    W.data[...] = 2
    np.testing.assert_array_equal(fast(A).data, 2 * A)
    W.data = np.full(3, 3.0)
    np.testing.assert_array_equal(fast(A).data, 3 * A)
    W = Variable(np.full(3, 4.0))
    np.testing.assert_array_equal(fast(A).data, 4 * A)
    W.data = np.ones((3, 1))
    assert fast(A).shape == (3, 3)


def test_helper_functions_are_followed():
    table = np.ones(3)

    def helper(x):
        return x + table

    fast = tracer.compile(lambda x: helper(x) * 2)
    np.testing.assert_array_equal(fast(A), (A + 1) * 2)
    table[:] = 5
    np.testing.assert_array_equal(fast(A), (A + 5) * 2)
    table = np.zeros(3)
    np.testing.assert_array_equal(fast(A), A * 2)


# ---- methods, decorators, nesting
class Model:
    def __init__(self, k):
        self.W, self.count = np.full(3, float(k)), 0

    @tracer.compile
    def predict(self, x):
        return x * self.W

    @tracer.compile(backend="numpy")
    def shifted(self, x, by=1.0):
        return self.predict(x) + by


def test_methods():
    one, two = Model(1), Model(2)
    np.testing.assert_array_equal(one.predict(A), A)
    np.testing.assert_array_equal(two.predict(A), 2 * A)
    np.testing.assert_array_equal(two.shifted(A, by=2.0), 2 * A + 2)
    one.W[:] = 7
    np.testing.assert_array_equal(one.predict(A), 7 * A)
    one.W = np.zeros(3)
    np.testing.assert_array_equal(one.predict(A), 0 * A)
    assert traces(one.predict) == 1
    assert one.predict.__name__ == "predict" and "def " in one.predict.source(A)
    alone = Model(5).predict
    np.testing.assert_array_equal(alone(A), 5 * A)


def test_methods_of_objects_that_are_neither_hashable_nor_weakly_referable():
    @dataclass
    class Scale:
        k: np.ndarray

        @tracer.compile
        def __call__(self, x):
            return x * self.k

    class Shift(namedtuple("Shift", "by")):
        __slots__ = ()

        @tracer.compile
        def add(self, x):
            return x + self.by

    for k in range(3):
        np.testing.assert_array_equal(Scale(np.full(3, k))(A), A * k)
        np.testing.assert_array_equal(Shift(np.full(3, k)).add(A), A + k)


def test_a_callable_object():
    class Scale:
        def __init__(self, k):
            self.k = k

        def __call__(self, x):
            return x * self.k

    scale = Scale(np.full(3, 2.0))
    fast = tracer.compile(scale)
    np.testing.assert_array_equal(fast(A), 2 * A)
    scale.k = np.full(3, 3.0)
    np.testing.assert_array_equal(fast(A), 3 * A)


def test_nested_compile_is_inlined():
    inner = tracer.compile(lambda x: x + 1)
    outer = tracer.compile(lambda x: inner(x) * 2)
    np.testing.assert_array_equal(outer(A), (A + 1) * 2)
    assert traces(inner) == 0 and traces(outer) == 1
    np.testing.assert_array_equal(tracer.compile(outer)(A), (A + 1) * 2)


def test_the_name_and_doc_of_the_function_stay():
    @tracer.compile
    def predict(x):
        """Predicts."""
        return x

    assert predict.__name__ == "predict" and predict.__doc__ == "Predicts."


# ---- results and arguments
def test_results_belong_to_the_caller():
    fast = tracer.compile(lambda x: (x + 1, x, x[1:], np.sum(x)))
    first = fast(A)
    copies = [np.copy(r) for r in first]
    fast(A * 100)
    for got, due in zip(first, copies):
        np.testing.assert_array_equal(got, due)
    first[1][:] = -1
    first[2][:] = -1
    np.testing.assert_array_equal(A, [1.0, 2.0, 3.0])


def test_one_value_returned_twice_is_two_arrays():
    def fn(x):
        y = x * 2
        return y, y, y.reshape(1, 3)

    one, two, three = tracer.compile(fn)(A)
    one[:] = 0
    np.testing.assert_array_equal(two, 2 * A)
    np.testing.assert_array_equal(three, [2 * A])


def test_a_constant_result_is_fresh_each_time():
    fast = tracer.compile(lambda x: np.zeros(2))
    fast(A)[:] = 5
    np.testing.assert_array_equal(fast(A), [0, 0])


def test_zero_dimensional_results_are_what_numpy_gives():
    def fn(x, s):
        return np.sum(x), x[0], x.reshape(3, 1)[1, 0], np.add(s, 1), s, np.reshape(x[:1], ()), x[0] * 2.0, x.max(), np.exp(s)

    s = np.array(2.0)
    for got, due in zip(tracer.compile(fn)(A, s), fn(A, s), strict=True):
        assert type(got) is type(due), (got, due)
        np.testing.assert_array_equal(got, due)


def test_python_numbers_come_back_as_python_numbers():
    fast = tracer.compile(lambda x, n, k: (n + 1, k * 2.0, n // 2, x))
    got = fast(A, 7, 0.5)
    assert got[:3] == (8, 1.0, 3) and [type(g) for g in got[:3]] == [int, float, int]
    big = 10**40
    assert fast(A, big, 0.5)[0] == big + 1


def test_written_arguments_are_written():
    def fn(x, y):
        x += y
        x[0] = 9
        y[1:] = x[:-1]
        return x.sum()

    fast = tracer.compile(fn)
    for k in (1, 2):
        x, y = A * k, A.copy()
        xs, ys = x.copy(), y.copy()
        got, due = fast(x, y), fn(xs, ys)
        assert got == due
        np.testing.assert_array_equal(x, xs)
        np.testing.assert_array_equal(y, ys)
    assert traces(fast) == 1


def test_writing_into_what_cannot_be_written():
    def fn(x):
        x[0] = 1
        return x

    fast = tracer.compile(fn)
    frozen = A.copy()
    frozen.flags.writeable = False
    with pytest.raises((tracer.Error, ValueError), match="read-only"):
        fast(frozen)
    fast(A.copy())
    with pytest.raises((tracer.Error, ValueError), match="read-only"):
        fast(frozen)
    np.testing.assert_array_equal(frozen, A)


def test_overlapping_arguments_where_one_is_written():
    def fn(x, y):
        x[:] = y + 1
        return x + y

    fast = tracer.compile(fn)
    fast(A.copy(), A.copy())
    both = np.arange(4.0)
    with pytest.raises(tracer.Error, match="shares memory"):
        fast(both[1:], both[:-1])
    with pytest.raises(tracer.Error, match="shares memory"):
        fast(both, both)
    np.testing.assert_array_equal(both, np.arange(4.0))


def test_written_strided_argument():
    def fn(x):
        x *= 2
        return x + 0

    fast = tracer.compile(fn)
    big = np.arange(6.0)
    for _ in range(2):
        fast(big[::2])
    np.testing.assert_array_equal(big, [0, 1, 8, 3, 16, 5])


def test_traced_data_into_a_plain_array_is_refused():
    log = np.zeros(3)

    def fn(x):
        log[:] = x * 2
        return x

    with pytest.raises(tracer.TraceError, match="plain") as error:
        tracer.compile(fn)(A)
    assert "log[:] = x * 2" in str(error.value) and "mend" in str(error.value)
    np.testing.assert_array_equal(log, 0)


# ---- Variables
def test_variables_as_arguments_results_and_gradients():
    W = Parameter(np.full((3, 1), 0.5))
    fast = tracer.compile(lambda x: F.matmul(x, W))
    x, y = np.arange(6.0).reshape(2, 3), np.ones((2, 1))
    for _ in range(2):
        W.cleargrad()
        out = fast(x)
        assert isinstance(out, Variable)
        F.mean_squared_error(y, out).backward()
        np.testing.assert_allclose(W.grad.data, x.T @ (2 * (x @ W.data - y)) / 2)
        W.data -= 0.01 * W.grad.data
    assert traces(fast) == 1

    v = Variable(x)
    out = fast(v)
    F.sum(out * out).backward()
    np.testing.assert_allclose(v.grad.data, 2 * (x @ W.data) @ W.data.T)


def test_variables_in_trees_and_arrays_beside_them():
    fast = tracer.compile(lambda d: {"v": d["v"] * 2, "sum": np.sum(d["x"])})
    v = Variable(A)
    out = fast({"v": v, "x": A})
    assert isinstance(out["v"], Variable) and type(out["sum"]) is np.float64 and out["sum"] == 6
    out["v"].backward()
    np.testing.assert_array_equal(v.grad.data, [2, 2, 2])


def test_a_variable_without_data():
    fast = tracer.compile(lambda x, b: x * 2 if b.data is None else x * 2 + b)
    np.testing.assert_array_equal(np.asarray(fast(A, Variable(None))), 2 * A)
    np.testing.assert_array_equal(fast(A, Variable(A)).data, 3 * A)


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


# ---- errors leave nothing
def test_an_exception_in_the_middle_leaves_no_state():
    W, fail = Variable(A.copy()), [True]

    def fn(x):
        y = x * W
        y += 1
        if fail:
            raise KeyError("mine")
        return y

    fast = tracer.compile(fn)
    for _ in range(2):
        with pytest.raises(KeyError, match="mine"):
            fast(A)
    assert traces(fast) == 0 and stack.current() is None
    np.testing.assert_array_equal(W.data, A)
    fail.clear()
    np.testing.assert_array_equal(fast(A).data, A * A + 1)
    np.testing.assert_array_equal((W * 2).data, 2 * A)


def test_a_leaked_traced_array_is_refused():
    kept = []
    fast = tracer.compile(lambda x: kept.append(x) or x + 1)
    fast(A)
    with pytest.raises(tracer.TraceError):
        tracer.compile(lambda x: x)(kept[0])
    with pytest.raises(tracer.TraceError):
        kept[0] + 1


def test_an_error_at_run_time_is_numpys():
    fast = tracer.compile(lambda x, i: x[i])
    assert fast(A, np.array([0, 2])).tolist() == [1.0, 3.0]
    with pytest.raises(IndexError):
        fast(A, np.array([0, 5]))
    assert fast(A, np.array([1, 1])).tolist() == [2.0, 2.0]


def test_floating_point_warnings_are_the_callers():
    fast = tracer.compile(lambda x: 1.0 / x)
    zero = np.zeros(2)
    with np.errstate(divide="ignore"):
        assert np.isinf(fast(zero)).all()
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        fast(zero)
    assert fast(np.ones(2)).tolist() == [1.0, 1.0]


# ---- memory
def test_the_cache_is_bounded(monkeypatch):
    monkeypatch.setattr(sys.modules["tracer.compile"], "LIMIT", 3)
    fast = tracer.compile(lambda x: x + 1)
    with pytest.warns(UserWarning, match="traced again at each"):
        for n in range(1, 20):
            np.testing.assert_array_equal(fast(np.zeros(n)), np.ones(n))
    assert len(fast._entries) == 3
    before = traces(fast)
    fast(np.zeros(19))
    assert traces(fast) == before
    fast(np.zeros(1))
    assert traces(fast) == before + 1 and "argument x is float64[1], it was float64[19]" in why(fast)


def test_guards_too_are_bounded(monkeypatch):
    monkeypatch.setattr(sys.modules["tracer.compile"], "LIMIT", 3)
    fast = tracer.compile(lambda x, n: x + n if n else x)
    with pytest.warns(UserWarning, match="no longer holds"):
        for n in range(1, 20):
            np.testing.assert_array_equal(fast(A, n), A + n)
    assert sum(len(held) for held in fast._entries.values()) <= 3


def alive(make) -> bool:
    """Whether the thing that `make` gives is still alive once nobody here holds it."""
    held = weakref.ref(make())
    gc.collect()
    return held() is not None


def test_arguments_and_results_are_not_kept():
    fast = tracer.compile(lambda x, y: (x * 2, x @ y, np.sum(y)))
    assert not alive(lambda: fast(np.ones((4, 4)), np.ones((4, 4)))[0])

    def argument():
        x = np.ones((4, 4))
        fast(x, x)
        return x

    assert not alive(argument)
    view = tracer.compile(lambda x: x[1:])

    def viewed():
        x = np.ones((4, 4))
        view(x)
        return x

    assert not alive(viewed)


def test_arguments_are_not_kept_by_an_error():
    def fn(x):
        raise ValueError("mine")

    fast = tracer.compile(fn)

    def argument():
        x = np.ones(3)
        with pytest.raises(ValueError):
            fast(x)
        return x

    assert not alive(argument)


def test_variables_as_arguments_are_not_kept():
    fast = tracer.compile(lambda v: v * 2)

    def argument():
        v = Variable(np.ones(3))
        fast(v).data  # noqa: B018
        return v

    assert not alive(argument)
    assert not alive(lambda: fast(Variable(np.ones(3))))


def test_dead_functions_and_objects_are_not_kept():
    def function():
        def fn(x):
            return x + 1

        fast = tracer.compile(fn)
        fast(A)
        return fn

    assert not alive(function)

    def compiled():
        fast = tracer.compile(lambda x: x * 2)
        fast(A)
        return fast

    assert not alive(compiled)

    def model():
        m = Model(3)
        m.predict(A)
        return m

    assert not alive(model)

    def parameter():
        W = Parameter(np.ones(3))
        tracer.compile(lambda x: x * W)(A).data  # noqa: B018
        return W

    assert not alive(parameter)


def test_a_static_argument_that_died_is_not_mistaken_for_another():
    class Mode:
        def __init__(self, k):
            self.k = k

    fast = tracer.compile(lambda x, mode: x * mode.k)
    for k in range(5):
        np.testing.assert_array_equal(fast(A, Mode(k)), A * k)


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
