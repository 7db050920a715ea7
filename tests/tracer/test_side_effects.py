"""What a function changes itself: no fault where nothing hangs on it, an error where each call would have to give something else."""
from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer
from tracer import Parameter, Variable, optimizers

X = np.ones(3)


class Counted:
    total = 0

    def __init__(self) -> None:
        self.n, self.held, self.queue, self.table = 0, [1.0, 2.0, 3.0], collections.deque([1, 2, 3]), {"t": 0}

    def attribute(self, x: Any) -> Any:
        self.n += 1
        return x * self.n

    def attribute_of_the_class(self, x: Any) -> Any:
        Counted.total += 1
        return x * Counted.total

    def hidden_attribute(self, x: Any) -> Any:
        self.total += 1
        return x * self.total

    def item(self, x: Any) -> Any:
        self.table["t"] += 1
        return x / self.table["t"]

    def popped(self, x: Any) -> Any:
        return x * self.held.pop()

    def length(self, x: Any) -> Any:
        self.held.append(1.0)
        return x * len(self.held)

    def rotated(self, x: Any) -> Any:
        self.queue.rotate(1)
        return x * self.queue[0]

    def branch(self, x: Any) -> Any:
        self.n += 1
        return x if self.n % 2 else -x

    def returned(self, x: Any) -> Any:
        self.n += 1
        return x, self.n

    def state(self) -> Any:
        return self.n, [*self.held], [*self.queue], {**self.table}, Counted.total, vars(self).get("total")


class Corrected:
    """A moment of one's own, as an object that is called."""

    def __init__(self) -> None:
        self.t = 0

    def __call__(self, g: Any) -> Any:
        self.t += 1
        return g / (1 - 0.9**self.t)


def test_a_count_of_a_called_object_is_an_error_too() -> None:
    held = Corrected()
    for fn in (held, lambda g: held(g) * 2):
        with pytest.raises(tracer.TraceError, match="the function changes") as caught:
            tracer.compile(fn)(X)
        assert caught.value.line is not None and caught.value.line.code == "return g / (1 - 0.9**self.t)"
    assert held.t == 2  # once for each call, as in NumPy


class Slots:
    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0

    def attribute(self, x: Any) -> Any:
        self.n += 1
        return x * self.n


COUNTED = [name for name, held in vars(Counted).items() if callable(held) and name not in ("__init__", "state")]


@pytest.mark.parametrize("name", COUNTED)
def test_a_count_that_goes_into_the_result_is_an_error(name: str) -> None:
    Counted.total = 0
    once = Counted()
    first, second = getattr(once, name)(X), getattr(once, name)(X)
    assert repr(first) != repr(second)  # so a replay would be wrong
    Counted.total = 0
    held, plain = Counted(), Counted()
    with pytest.raises(tracer.TraceError, match="the function changes .*later calls would not change it again") as caught:
        tracer.compile(getattr(held, name))(X)
    assert caught.value.line is not None and caught.value.line.file == __file__ and "Variable" in str(caught.value.mend)
    after, Counted.total = held.state(), 0
    getattr(plain, name)(X)
    assert after == plain.state()  # as after one call, not after three


def test_slots_are_put_back() -> None:
    held = Slots()
    with pytest.raises(tracer.TraceError, match="the function changes"):
        tracer.compile(held.attribute)(X)
    assert held.n == 1


def test_a_count_that_a_training_step_uses_is_an_error() -> None:
    held, W = Counted(), Parameter(np.ones(3))
    step = tracer.train_step(lambda x: (held.attribute(x) * W.data).sum(), optimizers.SGD(lr=0.1), [W])
    with pytest.raises(tracer.TraceError, match="the function changes held.n"):
        step(X)


def lazy() -> Callable[[Any], Any]:
    made: dict[str, Any] = {}
    calls: list[int] = []

    def fn(x: Any) -> Any:
        calls.append(len(x))
        if "table" not in made:
            made["table"], made["W"], made["n"] = np.arange(3.0), Parameter(np.full(3, 2.0)), 4
        return x * made["table"] * made["W"].data + made["n"]

    return fn


def test_what_only_the_first_call_sets_up_is_no_fault() -> None:
    fast = tracer.compile(lazy())
    for k in range(3):
        assert (fast(X + k) == lazy()(X + k)).all()


def test_a_count_in_a_variable_goes_on() -> None:
    t, m = Variable(np.array(0.0)), Variable(np.zeros(3))

    @tracer.compile
    def corrected(g: Any) -> Any:
        t.data = t.data + 1
        m.data = 0.9 * m.data + 0.1 * g
        return m.data / (1 - 0.9**t.data)

    plain = np.zeros(3)
    for k in range(1, 4):
        plain = 0.9 * plain + 0.1 * X * k
        assert np.allclose(corrected(X * k), plain / (1 - 0.9**k))
    assert corrected.explain().traces == 1


class Norm:
    shared = np.zeros(3)

    def __init__(self) -> None:
        self.mean, self.last, self.table, self.listed = np.zeros(3), None, {"mean": np.zeros(3)}, [np.zeros(3)]

    def attribute(self, x: Any) -> Any:
        self.mean = 0.9 * self.mean + 0.1 * x
        return x - self.mean

    def nothing(self, x: Any) -> Any:
        self.last = x * 2
        return x

    def item(self, x: Any) -> Any:
        self.table["mean"] = self.table["mean"] + x
        return x

    def element(self, x: Any) -> Any:
        self.listed[0] = self.listed[0] + x
        return x

    def of_the_class(self, x: Any) -> Any:
        Norm.shared = Norm.shared + x
        return x


@pytest.mark.parametrize("name", ["attribute", "nothing", "item", "element", "of_the_class"])
def test_a_traced_value_left_behind_is_an_error_with_its_line(name: str) -> None:
    norm = Norm()
    before = repr(vars(norm)), repr(Norm.shared)
    with pytest.raises(tracer.TraceError, match="leaves a traced value as .*; a later call would not\n") as caught:
        tracer.compile(getattr(norm, name))(X)
    line = caught.value.line
    assert line is not None and line.function == name and " = " in line.code
    assert (repr(vars(norm)), repr(Norm.shared)) == before


def test_a_traced_value_left_in_a_variable_around_is_an_error() -> None:
    mean = np.zeros(3)

    def running(x: Any) -> Any:
        nonlocal mean
        mean = 0.9 * mean + 0.1 * x
        return x - mean

    with pytest.raises(tracer.TraceError, match="leaves a traced value as mean"):
        tracer.compile(running)(X)
    assert mean.tolist() == [0, 0, 0]
