"""A traced array that has to become a plain one: the error says which use of it asked, and the mend of that use works."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer

TABLE = np.arange(20.0).reshape(5, 4)
X = np.linspace(-1, 1, 6).reshape(2, 3)


def written(x: Any) -> Any:
    out = np.zeros((2, 3))
    out[0] = x[0]
    return out


def written_number(x: Any) -> Any:
    out = np.zeros(2)
    out[1] = x[0, 0]
    return out


def written_right(x: Any) -> Any:
    out = np.zeros(2, like=x)
    out[1] = x[0, 0]
    return out


def written_rows(x: Any) -> Any:
    out = np.zeros_like(x)
    out[0] = x[0]
    return out


def listed(x: Any) -> Any:
    return np.array(
        [row.sum() for row in x]
    )


def stacked(x: Any) -> Any:
    return np.stack([row.sum() for row in x])


def looked_up(x: Any) -> Any:
    return np.asarray(TABLE, like=x)[np.argsort(x[0])]


def from_a_list(x: Any) -> Any:
    return np.array([10, 20, 30], like=x)[np.argmax(x[0])] + x


USES: dict[str, tuple[Callable[..., Any], str, str, Callable[..., Any]]] = {
    "a row written": (written, "plain[i] = x", "np.zeros_like(x)", written_rows),
    "a number written": (written_number, "plain[i] = x", "np.zeros(shape, like=x)", written_right),
    "several": (listed, "np.array of a list", "np.stack([a, b])", stacked),
    "an array": (lambda x: np.asarray(x) * 2, "np.array", "drop the call", lambda x: x * 2),
    "a scalar": (lambda x: np.float32(x[0, 0]) * 2, "a NumPy scalar", "x.astype(dtype)", lambda x: x[0, 0].astype(np.float32) * 2),
    "looked up": (lambda x: TABLE[np.argsort(x[0])], "plain[x]", "np.asarray(plain, like=x)[x]", looked_up),
    "taken": (lambda x: np.take(TABLE, np.argsort(x[0]), axis=0), "np.take(plain, x)", "np.asarray(plain, like=x)[x]", looked_up),
    "a list": (lambda x: [10, 20, 30][np.argmax(x[0])] + x, "a list's [x]", "np.array(list, like=x)[x]", from_a_list),
    "np.r_": (lambda x: np.r_[x[0], x[1]], "np.r_", "np.concatenate([a, b])", lambda x: np.concatenate([x[0], x[1]])),
    "np.c_": (lambda x: np.c_[x[0], x[1]], "np.c_", "np.stack([a, b], axis=1)", lambda x: np.stack([x[0], x[1]], axis=1)),
    "np.full": (lambda x: np.full((2, 3), x[0, 0]), "np.full", "np.full_like(x, value)", lambda x: np.full_like(x, x[0, 0])),
    "a method": (lambda x: TABLE[0, :3].dot(x[0]), "a plain array", "x is an array already", lambda x: np.dot(TABLE[0, :3], x[0])),
    "float": (lambda x: x * float(x[0, 0]), "float()", "keep the 0-d array", lambda x: x * x[0, 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", USES)
def test_the_use_is_named_and_its_mend_works(name: str) -> None:
    wrong, what, mend, right = USES[name]
    for _ in range(3):  # instructions that ran before lie otherwise
        with pytest.raises(tracer.TraceError) as caught:
            tracer.compile(wrong)(X)
    assert what in caught.value.cause and mend in str(caught.value.mend)
    assert caught.value.line is not None and caught.value.line.file == __file__
    assert np.array_equal(tracer.compile(right)(X), wrong(X))


def test_code_without_text_says_all() -> None:
    space: dict[str, Any] = {"np": np}
    exec("def f(x):\n    return np.asarray(x)\ndef g(x):\n    out = np.zeros(6)\n    out[0] = x[0, 0]\n", space)
    with pytest.raises(tracer.TraceError, match="turning it into a plain array"):
        tracer.compile(space["f"])(X)
    with pytest.raises(tracer.TraceError, match="writing it into a plain array"):
        tracer.compile(space["g"])(X)


def test_a_function_that_is_not_traced_has_a_mend_for_variables() -> None:
    with pytest.raises(tracer.TraceError) as caught:
        np.save("nowhere", tracer.Variable(X))
    assert "np.save of x.data" in str(caught.value.mend)
    with pytest.raises(tracer.TraceError, match="logaddexp.reduce is not traced") as caught:
        tracer.compile(lambda x: np.logaddexp.reduce(x, axis=1))(X)
    mended = tracer.compile(lambda x: (m := np.max(x, 1, keepdims=True)) + np.log(np.sum(np.exp(x - m), 1, keepdims=True)))
    assert "np.log(np.sum(np.exp(x - m)" in str(caught.value.mend) and np.allclose(mended(X)[:, 0], np.logaddexp.reduce(X, axis=1))
    cov = tracer.compile(lambda x: (d := x - x.mean(0, keepdims=True)).T @ d / (len(x) - 1))
    assert np.allclose(cov(X), np.cov(X, rowvar=False))


def test_a_loss_that_does_not_take_what_it_gets_says_how_it_is_called() -> None:
    sgd = tracer.optimizers.SGD(lr=0.1)
    with pytest.raises(tracer.ArgumentError, match=r"it is called as loss\(params, \*batch\), here with a batch of 1") as caught:
        tracer.train_step(lambda x: np.sum(x), sgd, [np.ones((3, 1))])(X)  # arrays where Variables were meant
    assert "Variables" in str(caught.value.mend) and caught.value.line is not None
    with pytest.raises(tracer.ArgumentError, match=r"it is called as loss\(\*batch\), here with a batch of 1"):
        tracer.train_step(lambda p, x: np.sum(x @ p), sgd)(X)
