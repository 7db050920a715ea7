"""Programs whose texts and bits must be the same in each process; run as a module it prints a digest of each.

Graph, plan and program as text (user's lines included), and the bytes of the results, of parameters and of optimizer states.
"""
from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tracer
from tests.tracer.bits import bits
from tracer import Function, Parameter, Variable, optimizers, trees
from tracer import functions as F

TABLE, SCALE = np.linspace(0, 1, 12).reshape(3, 4), 1.5
SETTINGS = {"b": np.full(4, 0.25), "a": np.full(4, 0.5), "names": {"x", "y", "z"}}
X = np.random.default_rng(0).standard_normal((3, 4))


class Cube(Function):
    def forward(self, x: Any) -> Any:
        self.seen = x
        return x**3

    def backward(self, gy: Any) -> Any:
        return gy * 3 * self.seen**2


def captured(x: Any) -> Any:
    return x * TABLE * SCALE + SETTINGS["a"] - SETTINGS["b"].sum() + (TABLE.T @ x).sum(0)


def tree(d: Any) -> Any:
    return {name: np.tanh(d[name]) @ d["w"].T for name in sorted(d)}, {"mean": d["x"].mean(0), "all": [d["w"].sum(), len(d)]}


def written(x: Any) -> Any:
    y = np.zeros_like(x)
    y[1:] += x[:-1] ** 2
    y[:, [0, 2]] = x[:, [1, 3]]
    np.add.at(y, np.array([0, 0, 1]), x)
    return y, y.T.reshape(-1), np.concatenate([y, x])


def loss(p: Any, x: Any) -> Any:
    h = F.sigmoid(F.linear(x, p["W"], p["b"]))
    return F.mean_squared_error(Cube()(h) if isinstance(h, Variable) else h**3, x[:, :2]) + np.sum(np.where(h > 0.5, h, 0) ** 2)


def network() -> Iterator[Any]:
    """A step with its texts: parameters closed over, Adam, three iterations."""
    rng = np.random.default_rng(1)
    parameters = [Parameter(rng.standard_normal(shape)) for shape in ((4, 5), (5,), (5, 2), (2,))]

    def objective(x: Any) -> Any:
        h = np.tanh(x @ parameters[0] + parameters[1])
        return F.mean_squared_error(Cube()(F.linear(h, parameters[2], parameters[3])), x[:, :2])

    step = tracer.train_step(objective, optimizers.Adam(lr=0.01))
    yield from [step(X) for _ in range(3)]
    yield from [step.run(X, steps=4), [p.data for p in parameters], str(step.graph(X)), str(step.plan(X)), step.source(X)]


def compiled(fn: Callable[..., Any], *args: Any, **options: Any) -> Iterator[Any]:
    fast = tracer.compile(fn, **options)
    yield from [fast(*args), fast(*args), str(fast.graph(*args)), str(fast.plan(*args)), fast.source(*args)]


def eager() -> Iterator[Any]:
    v, w = Variable(X), Variable(TABLE)
    y = F.sum(F.exp(v * w) + Cube()(v) / 2)
    y.backward()
    yield from [y.data, v.grad.data, w.grad.data]


def programs() -> dict[str, Iterator[Any]]:
    weights = {"x": X, "w": X[:2], "z": X * 2}
    params = {"b": np.zeros(2), "W": np.full((4, 2), 0.1)}
    both = tracer.value_and_grad(loss)
    return {
        "captured": compiled(captured, X), "captured, exact": compiled(captured, np.asfortranarray(X), exact=True),
        "tree": compiled(tree, weights), "written": compiled(written, X), "gradients": compiled(both, params, X),
        "gradients, exact": compiled(both, params, X, exact=True), "step": network(), "eager": eager(),
    }


def digest(found: Iterator[Any]) -> str:
    whole = hashlib.sha256()
    for part in found:
        for leaf in trees.flatten(part)[0]:
            whole.update(leaf.encode() if isinstance(leaf, str) else bits(leaf) if not isinstance(leaf, set) else b"")
    return whole.hexdigest()


if __name__ == "__main__":
    asked = sys.argv[1:]
    for name, found in programs().items():
        if not asked or name in asked:
            print(name, digest(found))
