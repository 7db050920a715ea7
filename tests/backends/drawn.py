"""Programs drawn from the operation table: graphs of a few dozen nodes with states, views, updates and several results.

A graph is grown: each step takes an operation, looks for Values among those there are that it accepts, and adds it; what raises is
left out. Deterministic in the seed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ir import Graph, Spec
from ir.errors import Error
from ir.graph import Value
from ir.ops import TABLE
from ir.ops import elementwise as e
from ir.plan import Copy, Fill, Plan
from ir.spec import weak_spec

SHAPES = ((6, 4), (4,), (6, 1), (6, 6), (4, 6), (), (2, 6, 4))
UNARY = ("negative", "exp", "tanh", "sigmoid", "sqrt", "square", "sin", "abs", "copy", "sign", "floor")
BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "hypot", "power", "greater", "arctan2")
OTHERS = (
    "sum",
    "mean",
    "max",
    "min",
    "var",
    "std",
    "any",
    "argmax",
    "cumsum",
    "cumprod",
    "dot",
    "matmul",
    "linear",
    "linear_vjp",
    "transpose",
    "reshape",
    "expand_dims",
    "broadcast_to",
    "slice",
    "concatenate",
    "take",
    "gather",
    "sort",
    "argsort",
    "set_slice",
    "add_slice",
    "set_at",
    "add_at",
    "where",
    "cast",
    "norm",
)


def draw_program(seed: int) -> tuple[Graph, list[Any]]:
    """A graph and inputs for it; float64 and float32, and two Python numbers."""
    rng = np.random.default_rng(seed)
    graph, inputs, values = Graph(), list[Any](), list[Value]()
    for k in range(5):
        spec = Spec(SHAPES[rng.integers(len(SHAPES))], "f" if rng.random() < 0.2 else "d")
        values.append(graph.input(spec, "state" if k > 2 else "argument"))
        inputs.append(np.asarray(rng.uniform(0.1, 0.9, spec.shape), spec.dtype))
    states = values[3:]
    numbers = [graph.input(weak_spec("float")), TABLE["python"](graph.input(weak_spec("float")), 2.0, fn="mul")]
    inputs += [0.5, 0.25]
    for _ in range(int(rng.integers(5, 40))):
        made = _grow(rng, values, numbers)
        values += [v for v in made if v.spec.size <= 1000]
    graph.outputs = [values[rng.integers(len(values))] for _ in range(int(rng.integers(1, 4)))]
    if rng.random() < 0.3:
        graph.outputs.append(numbers[1])
    for state in states:
        fitting = [v for v in values[5:] if v.spec == state.spec]
        if fitting and rng.random() < 0.7:
            graph.updates.append((state, fitting[rng.integers(len(fitting))]))
        elif rng.random() < 0.5:
            graph.updates.append((state, e.subtract(state, e.multiply(numbers[1], state))))
    return graph, inputs


def _grow(rng: np.random.Generator, values: list[Value], numbers: list[Value]) -> list[Value]:
    """The Values of one more node; none where the draw does not fit."""

    def pick() -> Value:
        return values[-1 - int(min(rng.geometric(0.25) - 1, len(values) - 1))]

    kind = rng.random()
    try:
        if kind < 0.25:
            made = TABLE[UNARY[rng.integers(len(UNARY))]](pick())
        elif kind < 0.55:
            other: Any = [pick(), numbers[rng.integers(2)], 2.0][int(rng.choice(3, p=(0.6, 0.3, 0.1)))]
            made = TABLE[BINARY[rng.integers(len(BINARY))]](pick(), other)
        else:
            made = _other(rng, OTHERS[rng.integers(len(OTHERS))], pick)
    except Error:
        return []
    return [made] if isinstance(made, Value) else list(made)


def _other(rng: np.random.Generator, name: str, pick: Any) -> Any:
    x = pick()
    axes = tuple([k for k in range(x.ndim) if rng.random() < 0.6])
    axis = int(rng.integers(max(x.ndim, 1)))
    index = tuple([(int(rng.integers(0, n)), n, 1) for n in x.shape])
    match name:
        case "sum" | "mean" | "max" | "min" | "any":
            return TABLE[name](x, axis=axes, keepdims=bool(rng.random() < 0.5))
        case "var" | "std":
            return TABLE[name](x, axis=axes, keepdims=bool(rng.random() < 0.5), ddof=0)
        case "norm":
            return TABLE[name](x, axis=axes, keepdims=False, ord=None)
        case "argmax":
            return TABLE[name](x, axis=axis, keepdims=False)
        case "cumsum" | "cumprod":
            return TABLE[name](x, axis=axis)
        case "dot" | "matmul" | "linear_vjp":
            return TABLE[name](x, pick())
        case "linear":
            return TABLE[name](x, pick(), pick())
        case "transpose":
            return TABLE[name](x, axes=tuple([int(k) for k in rng.permutation(x.ndim)]))
        case "reshape":
            return TABLE[name](x, shape=(x.spec.size,) if rng.random() < 0.5 else x.shape[::-1])
        case "expand_dims":
            return TABLE[name](x, axis=(axis,))
        case "broadcast_to":
            return TABLE[name](x, shape=(2, *x.shape))
        case "slice":
            return TABLE[name](x, index=index)
        case "concatenate":
            return TABLE[name](x, pick(), axis=axis)
        case "take":
            return TABLE[name](x, np.array([0, -1, 0]), axis=axis, mode=("raise", "wrap", "clip")[rng.integers(3)])
        case "gather":
            return TABLE[name](x, np.array([0, -1, 0]), axes=(axis,))
        case "sort" | "argsort":
            return TABLE[name](x, axis=axis, kind=None)
        case "set_slice" | "add_slice":
            return TABLE[name](x, pick(), index=index)
        case "set_at" | "add_at":
            return TABLE[name](x, pick(), np.array([0, -1, 0]), axes=(axis,))
        case "where":
            return TABLE[name](e.greater(x, pick()), x, pick() if rng.random() < 0.5 else 0.0)
        case _:
            return TABLE[name](x, dtype=np.dtype("f" if rng.random() < 0.5 else "d"))


def spoil(instance: Any, made: Plan, garbage: int) -> None:
    """Writes over an Instance's arena, but for what stands there from one run to the next: slots, and copies that are made once."""
    arena = instance.memory.arena
    places = [s.write for s in made.steps if isinstance(s, Fill) or (isinstance(s, Copy) and s.when)]
    spans = [(p.buffer.offset + p.span()[0], p.buffer.offset + p.span()[1]) for p in places if p.buffer.offset is not None]
    stands = [arena[a:b].copy() for a, b in spans]
    if len(arena):
        arena[...] = garbage
    for (a, b), held in zip(spans, stands):
        arena[a:b] = held
