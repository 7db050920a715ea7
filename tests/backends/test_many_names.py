"""Programs with very many names: the same results, the names taken from one tuple."""
from __future__ import annotations

import numpy as np
import pytest

import tracer
from backends.straight import writer


@pytest.mark.parametrize("most", [0, 10_000])
def test_same_results(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(writer, "MANY", most)
    table = np.arange(6.0).reshape(2, 3)

    def f(x, y):
        a = np.sin(x) @ (table * np.exp(table.T).T)
        return a.T + y, np.tanh(a).sum(0)

    x, y = np.linspace(0, 1, 10).reshape(5, 2), 2.0
    compiled = tracer.compile(f)
    assert ("held" in compiled.source(x, y)) == (most == 0)
    for _ in range(2):
        for mine, numpys in zip(compiled(x, y), f(x, y)):
            np.testing.assert_array_equal(mine, numpys)


def test_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MANY", 0)
    w = tracer.Variable(np.ones((3, 1)))
    step = tracer.train_step(lambda x: (x @ w).sum(), tracer.optimizers.SGD(lr=0.5), [w])
    for _ in range(2):
        step(np.ones((2, 3)))
    np.testing.assert_array_equal(w.data, np.full((3, 1), -1.0))
