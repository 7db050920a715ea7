"""Floating-point warnings and errors: none that the user's code would not give, under whatever setting holds at the call."""
from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer
from ir.evaluate import evaluate
from tracer import Variable, optimizers
from tracer import functions as F
from tracer.tracing.trace import run_trace


def kinds(fn: Callable[..., Any], *args: Any) -> set[str]:
    """The kinds of floating-point events of a call, underflow included."""
    seen: set[str] = set()
    before = np.seterrcall(lambda kind, flag: seen.add(kind))
    try:
        with np.errstate(all="call"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fn(*args)
    finally:
        np.seterrcall(before)
    return seen


def nasty(dtype: str) -> np.ndarray:
    info = np.finfo(dtype)
    large, small = float(info.max), float(info.tiny)
    values = [0, -0.0, 1, -1, 0.5, 3, large, -large, small, small / 4, large / 3, large**0.5 * 2, np.inf, -np.inf, np.nan, -88, 710]
    with np.errstate(all="ignore"):
        return np.array(values).astype(dtype)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sigmoid by exp": lambda x: 1 / (1 + np.exp(-x)), "sigmoid by tanh": lambda x: np.tanh(x * 0.5) * 0.5 + 0.5,
    "norm": lambda x: np.linalg.norm(x), "norm of zeros": lambda x: np.linalg.norm(np.zeros_like(x)), "half": lambda x: x / 2,
    "eighth": lambda x: x / 8.0, "scaled": lambda x: x * 3.0 / 7.0, "scaled twice": lambda x: x * 0.25 / 0.5,
    "small": lambda x: x * 1e-3 * 1e-3,
    "square": lambda x: x**2, "cube": lambda x: x**3, "fourth": lambda x: x**4, "root": lambda x: abs(x) ** 0.5,
    "reciprocal": lambda x: x**-1,
    "sum": lambda x: x.sum(), "mean": lambda x: x.mean(), "means": lambda x: np.stack([x, x]).mean(0),
    "rows": lambda x: np.stack([x, x]).mean(1),
    "var": lambda x: x.var(), "std": lambda x: x.std(), "repeated": lambda x: np.broadcast_to(x, (5, len(x))).sum(0),
    "log": lambda x: np.log(x),
    "guarded": lambda x: np.where(x > 0, np.log(np.where(x > 0, x, 1)), 0), "greatest": lambda x: np.maximum(x, 0), "less": lambda x: x < 1,
    "cast": lambda x: x.astype("f4"), "back": lambda x: -x + x, "minus": lambda x: -(x * 3.0), "both": lambda x: (-x) * (-x),
    "softmax": lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum(), "hypot": lambda x: np.hypot(x, x), "modf": lambda x: np.modf(x),
    "sinc": lambda x: np.sinc(x), "nan_to_num": lambda x: np.nan_to_num(x), "round": lambda x: np.round(x, 1),
    "powers": lambda x: abs(x) ** x,
    "floor": lambda x: x // 3.0, "remainder": lambda x: x % 3.0, "logaddexp": lambda x: np.logaddexp(x, x),
    "degrees": lambda x: np.degrees(x),
}


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_is_added(name: str, dtype: str) -> None:
    fn, values = FUNCTIONS[name], nasty(dtype)
    for fast in (tracer.compile(fn), tracer.compile(fn, exact=True)):
        whole = [values, values[:12]] if name != "rows" else []  # added up in another order, they may overflow on the way
        for x in (*[values[k : k + 2] for k in range(len(values) - 1)], *whole):
            added = kinds(fast, x) - kinds(fn, x)
            assert not added, f"{added} for {x}"


def test_the_sigmoid_is_as_quiet_as_its_formula() -> None:
    x = np.array([-800.0, 0.0, 800.0])
    fast = tracer.compile(lambda x: F.sigmoid(x))
    assert "exp" in fast.source(x)
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(fast(x), [0.0, 0.5, 1.0])


LOSSES: dict[str, Callable[..., Any]] = {
    "sigmoid": lambda x: F.sigmoid(x).sum(), "norm": lambda x: np.linalg.norm(x), "std": lambda x: x.std(), "max": lambda x: x.max(),
    "guarded": lambda x: np.where(x > 0, np.log(np.where(x > 0, x, 1)), 0).sum(),
    "softmax": lambda x: np.log(np.exp(x - x.max()).sum()),
    "squares": lambda x: np.mean((x * 2.0) ** 2) / 4.0,
    "layer": lambda x: np.tanh(np.dot(x[None], np.ones((len(x), 2))) + np.ones(2)).sum(),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_add_nothing_to_their_formulas(name: str) -> None:
    both = tracer.value_and_grad(LOSSES[name])
    fast = tracer.compile(both)
    for x in (np.zeros(2), np.array([-800.0, 800.0]), np.array([1e-320, 1e300]), np.array([np.inf, 1.0]), np.array([2.0, 3.0])):
        graph = run_trace(both, (x,), {}).graph
        added = kinds(fast, x) - kinds(lambda x, graph=graph: evaluate(graph, [x]), x)
        assert not added, f"{added} for {x}"


def test_the_callers_setting_holds() -> None:
    fast, x = tracer.compile(lambda x: (np.exp(x) * 2, np.log(x))), np.array([1000.0, 0.0])
    fast(np.ones(2))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        fast(x)
    with np.errstate(all="raise"), pytest.raises(FloatingPointError, match=r"encountered in (exp|log)") as caught:
        fast(x)
    assert "test_warnings.py:" in "".join(caught.value.__notes__)
    with np.errstate(divide="ignore"), pytest.warns(RuntimeWarning, match="overflow encountered in exp"):
        fast(x)
    assert kinds(fast, x) == {"overflow", "divide by zero"}
    before = np.seterr(over="raise")
    try:
        with pytest.raises(FloatingPointError, match="overflow"):
            fast(x)
    finally:
        np.seterr(**before)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            fast(x)


def test_each_thread_has_its_own_setting() -> None:
    fast, x = tracer.compile(lambda x: np.exp(F.sigmoid(x) * x)), np.array([1000.0])
    with np.errstate(all="ignore"):
        fast(x)
    outcome: dict[str, Any] = {}
    gate = threading.Barrier(2)

    def run(mode: Any) -> None:
        found = set()
        with np.errstate(all=mode):
            gate.wait()
            for _ in range(200):
                try:
                    found.add(float(fast(x)[0]))
                except FloatingPointError as error:
                    found.add(str(error))
        outcome[mode] = found

    threads = [threading.Thread(target=run, args=(mode,)) for mode in ("ignore", "raise")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcome == {"ignore": {np.inf}, "raise": {"overflow encountered in exp"}}


def test_an_error_halfway_leaves_nothing_behind() -> None:
    def fn(x: Any, buffer: Any) -> Any:
        buffer[0] = x.sum()
        y = F.sigmoid(x) * 2
        return np.log(y - 1) + buffer.sum()

    fast, x, buffer = tracer.compile(fn), np.array([1.0, 2.0]), np.zeros(3)
    want = fast(x, buffer)
    before = buffer.copy()
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        fast(np.array([0.0, 5.0]), buffer)
    np.testing.assert_array_equal(buffer, before)
    np.testing.assert_array_equal(fast(x, buffer), want)
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(fast(x, buffer), want)  # the setting of before is there again


def test_a_step_that_fails_has_changed_nothing() -> None:
    W = Variable(np.ones(3))
    step = tracer.train_step(lambda x: F.sum(F.log(x * W.data)), optimizers.SGD(lr=0.1), [W])
    step(np.ones(3))
    before, count = W.data.copy(), step.iteration
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        step(np.zeros(3))
    np.testing.assert_array_equal(W.data, before)
    assert step.iteration == count
    step(np.ones(3))
    np.testing.assert_allclose(W.data, before - 0.1 / before)


def test_a_block_of_errstate_inside_the_function_holds_for_its_lines() -> None:
    def fn(x: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            y = np.where(x > 0, np.log(x) / x, 0)
        return y + 1 / (1 + x)

    fast, x = tracer.compile(fn), np.array([0.0, 1.0])
    for setting in ("raise", "ignore", "warn"):  # traced under any of them
        one = tracer.compile(fn)
        with np.errstate(all=setting):
            one(np.ones(2))
        with np.errstate(all="raise", under="ignore"):
            np.testing.assert_array_equal(one(x), fn(x))
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(fast(x), fn(x))
        with pytest.raises(FloatingPointError) as caught:
            fast(np.array([-1.0, 1.0]))  # outside of the block
    assert "1 / (1 + x)" in "".join(caught.value.__notes__)

    @np.errstate(all="ignore")
    def decorated(x: Any) -> Any:
        return 1 / x

    with np.errstate(all="raise"):
        np.testing.assert_array_equal(tracer.compile(decorated)(x), [np.inf, 1.0])


def test_a_block_that_raises_inside_the_function() -> None:
    def careful(x: Any) -> Any:
        with np.errstate(divide="raise"):
            return 1 / x

    fast = tracer.compile(careful)
    fast(np.ones(2))
    with pytest.raises(FloatingPointError, match="divide by zero"):
        fast(np.zeros(2))


def test_constants_warn_at_the_call_and_not_before() -> None:
    def fn(x: Any) -> Any:
        return x + np.zeros_like(x) / np.full_like(x, 0.0)

    x = np.ones(2)
    with np.errstate(all="raise"):
        fast = tracer.compile(fn)
        assert len(fast.graph(x)) > 1
        with pytest.raises(FloatingPointError):
            fast(x)
    with pytest.warns(RuntimeWarning, match="invalid value"):
        fast(x)
