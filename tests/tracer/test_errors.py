"""What can't be traced: each error is one of ours, names the line that is at fault, says why and how to mend it."""

from __future__ import annotations

import copy
import math
import pickle
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ir.errors import DTypeError, Error, IndexRangeError, ShapeError, TraceError
from tracer.operands.stack import current
from tracer.tracing.trace import run_trace, trace

TABLE = np.arange(3.0)


def x34() -> np.ndarray:
    return np.arange(12.0).reshape(3, 4)


# (name, the function, the class of the error, a word of the mend)
CASES: list[tuple[str, Callable[..., Any], type[Error], str]] = [
    ("if", lambda x: 1.0 if x[0, 0] else 2.0, TraceError, "np.where"),
    ("and", lambda x: x[0, 0] and x[0, 1], TraceError, "np.where"),
    ("chained comparison", lambda x: 0 < x < 1, TraceError, "(a < x) & (x < c)"),
    ("float", lambda x: float(x[0, 0]), TraceError, "0-d array"),
    ("int", lambda x: int(x[0, 0]), TraceError, "astype"),
    ("complex", lambda x: complex(x[0, 0]), TraceError, "astype"),
    ("range", lambda x: list(range(x[0, 0])), TraceError, "Python int"),
    ("list index", lambda x: [1, 2][x[0, 0]], TraceError, "np.take"),
    ("item", lambda x: x[0, 0].item(), TraceError, "0-d array"),
    ("tolist", lambda x: x.tolist(), TraceError, "return x"),
    ("tobytes", lambda x: x.tobytes(), TraceError, "return x"),
    ("format", lambda x: f"{x[0, 0]:.3f}", TraceError, "return x"),
    ("math", lambda x: math.exp(x[0, 0]), TraceError, "np.exp"),
    ("round", lambda x: round(x[0, 0]), TraceError, "np.round"),
    ("in", lambda x: 3.0 in x, TraceError, "np.any"),
    ("builtin max", lambda x: max(x[0]), TraceError, "np.where"),
    ("hash", lambda x: {x: 1}, TraceError, "key"),
    ("pickle", lambda x: pickle.dumps(x), TraceError, "return x"),
    ("np.asarray", lambda x: np.asarray(x), TraceError, "drop the call"),
    ("np.array of a list", lambda x: np.array([x[0], x[1]]), TraceError, "np.stack"),
    ("np.float32", lambda x: np.float32(x), TraceError, "astype"),
    ("plain[i] = traced", lambda x: np.zeros(3).__setitem__(0, x[0, 0]), TraceError, "np.zeros_like"),
    ("plain[:] = traced", lambda x: np.zeros(4).__setitem__(slice(None), x[0]), TraceError, "np.zeros_like"),
    ("plain[traced]", lambda x: TABLE[x.astype(int)], TraceError, "np.take"),
    ("plain += traced", lambda x: np.zeros(4).__iadd__(x[0]), TraceError, "np.zeros_like"),
    ("out=plain", lambda x: np.add(x, 1, out=np.zeros((3, 4))), TraceError, "np.empty_like"),
    ("copyto a plain array", lambda x: np.copyto(np.zeros((3, 4)), x), TraceError, "np.zeros_like"),
    ("add.at on a plain array", lambda x: np.add.at(np.zeros(4), [0], x[0, 0]), TraceError, "np.zeros_like"),
    ("x[mask]", lambda x: x[x > 1], TraceError, "np.where"),
    ("x[mask] = array", lambda x: x.__setitem__(x > 1, np.ones(3)), TraceError, "np.where"),
    ("traced slice bounds", lambda x: x[: x[0, 0].astype(int)], TraceError, "np.take"),
    ("float index", lambda x: x[x[0].astype(float)], IndexRangeError, "astype"),
    ("np.where(c)", lambda x: np.where(x > 1), TraceError, "mask itself"),
    ("np.nonzero", lambda x: np.nonzero(x), TraceError, "mask itself"),
    ("np.unique", lambda x: np.unique(x), TraceError, "np.sort"),
    ("np.linalg.inv", lambda x: np.linalg.inv(x), TraceError, "outside"),
    ("np.einsum", lambda x: np.einsum("ij->i", x), TraceError, "np.sum"),
    ("np.sum of a list", lambda x: np.sum([x[0, 0], x[0, 1]]), TraceError, "np.stack"),
    ("np.vectorize", lambda x: np.vectorize(lambda v: v)(x), TraceError, "drop the call"),
    ("frompyfunc", lambda x: np.frompyfunc(lambda v: v, 1, 1)(x), TraceError, "compose"),
    ("np.maximum.reduceat", lambda x: np.maximum.reduceat(x, [0]), TraceError, "slices"),
    ("where= without out=", lambda x: np.add(x, 1, where=x > 1), TraceError, "np.where"),
    ("np.random", lambda x: x + np.random.rand(), TraceError, "draw outside"),
    ("random", lambda x: x + random.random(), TraceError, "draw outside"),
    ("x.view", lambda x: x.view(np.int64), TraceError, "astype"),
    ("x.shape = ", lambda x: setattr(x, "shape", (12,)), TraceError, "reshape"),
    ("broadcast view written", lambda x: np.broadcast_to(x[0], (3, 4)).__setitem__(0, 1.0), TraceError, "copy"),
    ("imaginary part of reals written", lambda x: x.imag.__setitem__(0, 1.0), TraceError, "copy"),
    ("diagonal written", lambda x: np.diagonal(x).__setitem__(0, 1.0), TraceError, "copy"),
    ("add of shapes", lambda x: x + np.ones(3), ShapeError, "reshape"),
    ("matmul of shapes", lambda x: x @ x, ShapeError, "y.T"),
    ("concatenate of shapes", lambda x: np.concatenate([x, np.ones((2, 3))]), ShapeError, "axis 0"),
    ("stack of shapes", lambda x: np.stack([x[0], x[:, 0]]), ShapeError, "same shape"),
    ("reshape", lambda x: x.reshape(5, 2), ShapeError, "product"),
    ("axis", lambda x: x.sum(axis=2), ShapeError, "axes"),
    ("index out of range", lambda x: x[3], ShapeError, "-3 to 2"),
    ("too many indices", lambda x: x[0, 0, 0], ShapeError, "2 at most"),
    ("mask of another shape", lambda x: x[np.array([True, False])], ShapeError, "shape of what it masks"),
    ("x += wider", lambda x: x[0].__iadd__(x), ShapeError, "new array"),
    ("x[i] = wider", lambda x: x.__setitem__(0, np.ones(3)), ShapeError, "or 1"),
    ("int += float", lambda x: x.astype(int).__iadd__(0.5), DTypeError, "astype"),
    ("bitwise of floats", lambda x: x & 1, DTypeError, "astype"),
    ("astype(object)", lambda x: x.astype(object), DTypeError, "integers"),
    ("a matrix", lambda x: x @ np.matrix(np.ones((4, 1))), TraceError, "plain arrays"),
]


@pytest.mark.parametrize(("fn", "kind", "mend"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_errors_name_line_cause_and_mend(fn: Any, kind: type[Error], mend: str) -> None:
    with pytest.raises(kind) as caught:
        trace(fn, x34())
    error = caught.value
    assert error.line is not None and error.line.file == __file__, error
    assert error.line.number == fn.__code__.co_firstlineno, error
    assert error.cause and error.op, error
    assert error.mend and mend in str(error), error
    assert current() is None


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (np.array(["a"]), DTypeError),
        (np.array([1, None]), DTypeError),
        (np.array(["2020-01-01"], "M8[D]"), DTypeError),
        (np.zeros(2, [("a", float)]), DTypeError),
        (np.matrix([[1.0]]), TraceError),
        (np.ma.array([1.0]), TraceError),
    ],
    ids=["str", "object", "datetime", "structured", "matrix", "masked"],
)
def test_arrays_that_are_not_taken(bad: Any, kind: type[Error]) -> None:
    with pytest.raises(kind) as caught:
        trace(lambda weights: weights, bad)
    assert caught.value.line is not None and caught.value.line.file == __file__
    assert caught.value.mend and "argument weights" in str(caught.value)


def test_a_leaked_value_names_where_it_came_from() -> None:
    shelf: list[Any] = []

    def keeps(x: Any) -> Any:
        shelf.append(x * 2.0)
        return x

    trace(keeps, np.ones(2))
    made = keeps.__code__.co_firstlineno + 1
    uses: list[Callable[[Any], Any]] = [
        lambda v: v + 1.0,
        lambda v: np.ones(2) * v,
        np.sum,
        lambda v: v[0],
        lambda v: v.__setitem__(0, 1.0),
        copy.copy,
        lambda v: trace(lambda x: x + v, np.zeros(2)),
    ]
    for use in uses:
        with pytest.raises(TraceError, match=rf"test_errors.py:{made} in keeps"):
            use(shelf[0])
    assert repr(shelf[0]) == "<traced f64[2]>"


def test_a_failed_trace_leaves_nothing_behind() -> None:
    np.random.seed(3)
    before = np.random.get_state()[1].copy()

    def draws(x: Any) -> Any:
        return x + np.random.rand(2)

    x = np.ones(2)
    with pytest.raises(TraceError) as caught:
        trace(draws, x)
    assert caught.value.line is not None and caught.value.line.number == draws.__code__.co_firstlineno + 1
    assert current() is None
    assert (np.random.get_state()[1] == before).all()

    def breaks(x: Any) -> Any:
        x += 1
        raise KeyError("of the user's")

    with pytest.raises(KeyError):
        trace(breaks, x)
    assert current() is None and (x == 1).all()
    assert trace(lambda x: x * 2, x).outputs[0].shape == (2,)


def test_a_generator_within_reach_is_watched() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(TraceError, match="drawn from rng"):
        trace(lambda x: x + rng.random(), np.ones(2))
    assert rng.random() == np.random.default_rng(0).random()


def test_a_number_given_as_a_spec_has_no_value() -> None:
    from_spec = run_trace(lambda x, h: x * h, (np.ones(2), 2.0), {})
    assert [str(v.spec) for v in from_spec.graph.inputs] == ["f64[2]", "float"]


def test_writing_into_a_read_only_argument() -> None:
    x = np.ones(3)
    x.flags.writeable = False
    with pytest.raises(TraceError, match="read-only"):
        trace(lambda x: x.__iadd__(1.0), x)
