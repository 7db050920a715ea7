"""Bad input: wherever Python or NumPy would raise an error of its own, ours has its class and names line, operation and mend."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer
from tracer import Variable
from tracer import functions as F

X = np.arange(12.0).reshape(3, 4)

CASES: dict[str, Callable[..., Any]] = {
    "index array": lambda x: x[np.array([0, 5])],
    "index list": lambda x: x[[0, 9]],
    "index": lambda x: x[3],
    "too many": lambda x: x[0, 0, 0],
    "string": lambda x: x["a"],
    "float": lambda x: x[1.0],
    "float array": lambda x: x[np.array([1.0])],
    "mask": lambda x: x[np.array([True, False])],
    "two ellipses": lambda x: x[..., ...],
    "slice of floats": lambda x: x[1.0:],
    "step 0": lambda x: x[::0],
    "set": lambda x: x.__setitem__(9, 1.0),
    "set at": lambda x: x.__setitem__(np.array([0, 9]), 1.0),
    "set string": lambda x: x.__setitem__(0, "a"),
    "set shape": lambda x: x.__setitem__(0, np.ones(3)),
    "add.at": lambda x: np.add.at(x, [9], 1.0),
    "take": lambda x: np.take(x, [0, 99]),
    "take method": lambda x: x.take([7], axis=1),
    "take_along_axis": lambda x: np.take_along_axis(x, np.array([[9]]), 1),
    "put": lambda x: np.put(x, [99], 1.0),
    "put_along_axis": lambda x: np.put_along_axis(x, np.array([[9]]), 0.0, 1),
    "delete": lambda x: np.delete(x, 99, axis=0),
    "insert": lambda x: np.insert(x, 99, 1.0, axis=0),
    "axis 1.7": lambda x: x.sum(axis=1.7),
    "axis 5": lambda x: x.sum(axis=5),
    "axis string": lambda x: x.sum(axis="a"),
    "axis twice": lambda x: np.mean(x, axis=(0, 0)),
    "argmax axis": lambda x: x.argmax(axis=1.5),
    "reshape": lambda x: x.reshape(5, -1),
    "reshape 2.5": lambda x: x.reshape(2.5, 2),
    "reshape string": lambda x: x.reshape("a"),
    "transpose": lambda x: x.transpose(0, 0),
    "concatenate": lambda x: np.concatenate([x, x], axis=7),
    "concatenate axis": lambda x: np.concatenate([x, x], axis="q"),
    "split": lambda x: np.split(x, 5),
    "split 0": lambda x: np.array_split(x, 0),
    "tile": lambda x: np.tile(x, -1),
    "pad": lambda x: np.pad(x, "a"),
    "astype": lambda x: x.astype("zzz"),
    "sum dtype": lambda x: x.sum(dtype="foo"),
    "zeros_like dtype": lambda x: np.zeros_like(x, dtype="foo"),
    "norm axis": lambda x: np.linalg.norm(x, axis=7),
    "add string": lambda x: x + "a",
    "add None": lambda x: x + None,
    "product": lambda x: x @ x,
    "product with number": lambda x: x @ 2.0,
    "shift": lambda x: x << 1,
    "tensordot": lambda x: np.tensordot(x, x, 5),
    "select": lambda x: np.select([x > 0], [x, x]),
    "ddof": lambda x: np.var(x, ddof="a"),
    "decimals": lambda x: np.round(x, "a"),
    "tril": lambda x: np.tril(x, "a"),
    "len": lambda x: len(x[0, 0]),
    "iteration": lambda x: list(x[0, 0]),
    "max of nothing": lambda x: np.max(x[:0]),
    "diff": lambda x: np.diff(x, n=-1),
}


@pytest.mark.parametrize("name", CASES)
def test_the_error_is_numpys_with_line_and_mend(name: str) -> None:
    fn = CASES[name]
    with pytest.raises((TypeError, ValueError, IndexError)) as theirs:
        fn(X.copy())
    with pytest.raises(tracer.Error) as ours:
        tracer.compile(fn)(X.copy())
    kind = next(k for k in (IndexError, ValueError, TypeError) if isinstance(theirs.value, k))
    assert isinstance(ours.value, kind), f"{type(ours.value)} for {theirs.value!r}"
    error = ours.value
    assert error.line is not None and error.line.file == __file__ and error.line.number == fn.__code__.co_firstlineno
    assert error.cause and error.op and error.mend, error


def test_what_only_the_call_can_see_names_the_line() -> None:
    fast = tracer.compile(lambda x, i: np.sqrt(x)[i] * 2.0)
    np.testing.assert_array_equal(fast(X, np.array([0])), np.sqrt(X)[[0]] * 2.0)
    with pytest.raises(IndexError, match="out of bounds") as caught:
        fast(X, np.array([7]))
    assert f"test_bad_input.py:{fast._fn.__code__.co_firstlineno}" in "".join(caught.value.__notes__)
    np.testing.assert_array_equal(fast(X, np.array([2])), np.sqrt(X)[[2]] * 2.0)


def test_errors_of_the_users_own_stay_their_own() -> None:
    def raises(x: Any) -> Any:
        return x.sum(axis=int("one"))

    with pytest.raises(ValueError, match="invalid literal") as caught:
        tracer.compile(raises)(X)
    assert not isinstance(caught.value, tracer.Error)

    def catches(x: Any) -> Any:
        try:
            return x[np.array([7])]
        except IndexError:
            return x[0]

    np.testing.assert_array_equal(tracer.compile(catches)(X), X[0])


def test_outside_a_trace_the_line_is_named_too() -> None:
    v = Variable(X)
    for fn in (lambda: F.sum(v, axis=5), lambda: v + Variable(np.ones(3)), lambda: F.matmul(v, v), lambda: F.reshape(v, (5, 5))):
        with pytest.raises(tracer.ShapeError) as caught:
            fn()
        assert f"test_bad_input.py:{fn.__code__.co_firstlineno}" in str(caught.value) and caught.value.op
