"""Arrays of other libraries: refused as arguments, with the mend; within reach their numbers count, written into or replaced."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracer


class Foreign:
    """What such an array is to NumPy; `gone` stands for one on another device."""

    def __init__(self, *numbers: float, gone: bool = False):
        self._held, self._gone, self._version = np.array(numbers), gone, 0

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self._held.__dlpack__(**kwargs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self._gone:
            raise TypeError("it is on another device")
        return self._held

    def tolist(self) -> list[float]:
        return self._held.tolist()

    def fill(self, number: float) -> None:
        self._held.fill(number)
        self._version += 1


X = np.arange(3.0)


def made(library: str) -> Any:
    """An array of ones of a library."""
    if library == "foreign":
        return Foreign(1.0, 1.0, 1.0)
    found = pytest.importorskip("torch" if library == "torch" else "jax.numpy", reason="its arrays are met where it is installed")
    return found.ones(3)


@pytest.mark.parametrize("library", ["foreign", "torch", "jax"])
def test_an_argument_is_refused_with_its_name_and_the_mend(library):
    y = made(library)
    for run in (tracer.compile(lambda x, y: x * 2), lambda x, y: tracer.trace(lambda x, y: x * 2, x, y)):
        with pytest.raises(tracer.TraceError, match="argument y: it is of type .*, an array of another library") as caught:
            run(X, y)
        assert "np.asarray(y)" in str(caught.value.mend)
    assert (tracer.compile(lambda x, y: x * y)(X, np.asarray(y)) == X).all()


@pytest.mark.parametrize("library", ["foreign", "torch"])
@pytest.mark.parametrize("read", [lambda x, t: x + t, lambda x, t: x + np.asarray(t), lambda x, t: x + t.tolist()[0]])
def test_numbers_written_into_one_within_reach_are_seen(library, read):
    t = made(library)
    f = tracer.compile(lambda x: read(x, t))
    assert (f(X) == X + 1).all() and (f(X) == X + 1).all() and f.explain().traces == 1
    (t.fill_ if library == "torch" else t.fill)(5.0)
    assert (f(X) == X + 5).all()


def test_another_one_in_its_place_is_seen():
    jnp = pytest.importorskip("jax.numpy", reason="its arrays never change, only which one a name stands for")
    held = {"t": jnp.ones(3)}
    f = tracer.compile(lambda x: x + np.asarray(held["t"]))
    assert (f(X) == X + 1).all()
    held["t"] = held["t"] + 4
    assert (f(X) == X + 5).all()


def test_where_numpy_cant_read_it_its_count_of_writes_counts():
    t = Foreign(1.0, gone=True)
    f = tracer.compile(lambda x: x + t.tolist()[0])
    assert (f(X) == X + 1).all()
    t.fill(2.0)
    assert (f(X) == X + 2).all()


def test_none_and_elements_of_variables_say_what_to_write():
    with pytest.raises(tracer.Error, match="ask with `x is None`"):
        tracer.compile(lambda x: 1 if x == None else x)(X)  # noqa: E711
    assert (tracer.compile(lambda x: 1 if x is None else x)(X) == X).all()
    v = tracer.Variable(X.copy())
    with pytest.raises(TypeError, match=r"v.data\[key\] = value"):
        v[0] = 5.0
    v.data[0] = 5.0
    assert (v.data == [5, 1, 2]).all()
