"""Drawn graphs run with and without the passes: with `exact` to the bit and the stride, else the same values where nothing is rounded.

The values are few and simple (halves, signed zeros, infinities, NaN), so that sums and products of them are exact: any difference is
a fault of a rule and not a rounding.
"""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ir import Graph, Spec, Value, evaluate
from ir.errors import Error
from ir.ops import TABLE
from ir.passes import optimize

VALUES = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0, np.inf, -np.inf, np.nan]
NUMBERS: list[Any] = [0, 1, -1, 2, 0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 4.0, True]
SHAPES = [(), (3,), (2, 3), (3, 2), (1, 3), (2, 1), (3, 3), (2, 1, 3), (0, 3)]
DTYPES = ["f8", "f8", "f8", "f4", "i4", "?", "c16"]
LARGE = 1e6


class Drawer:
    """Draws a graph, one operation at a time, from one random generator."""

    def __init__(self, seed: int):
        self.rng, self.graph = np.random.default_rng(seed), Graph()
        self.arrays = [self.array() for _ in range(self.rng.integers(1, 4))]
        self.values = [self.graph.input(Spec(a.shape, a.dtype)) for a in self.arrays]

    def pick(self, items: Any) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def program(self, count: int) -> tuple[Graph, list[np.ndarray]]:
        while count:
            try:
                self.values.append(self.node())
                count -= 1
            except Error:
                count -= self.rng.random() < 0.2
        self.graph.outputs = [self.pick(self.values[-4:]) for _ in range(self.rng.integers(1, 4))]
        return self.graph, self.arrays

    def array(self) -> np.ndarray:
        """An array in some layout: C, F, reversed or every second element of a larger one."""
        shape, dtype, layout = self.pick(SHAPES), np.dtype(self.pick(DTYPES)), self.pick("CCFRS")
        larger = tuple(2 * n for n in shape) if layout == "S" else shape
        values = self.rng.choice(VALUES[:7] if dtype.kind in "ib" else VALUES, larger)
        array = np.asarray(values + 1j * self.rng.choice(VALUES[:4], larger)) if dtype.kind == "c" else np.asarray(values, dtype)
        if layout == "S":
            return array[(*[slice(None, None, 2)] * len(shape), ...)]
        return np.asarray(array, order="F") if layout == "F" else np.flip(array) if layout == "R" else array

    def constant(self, like: Value) -> Value:
        number = self.pick(NUMBERS)
        match self.pick(["weak", "weak", "scalar", "filled", "broadcast"]):
            case "weak":
                return self.graph.constant(1 if number is True else number)
            case "scalar":
                return self.graph.constant(np.asarray(number, like.dtype)[()])
            case "filled":
                return self.graph.constant(np.full(like.shape, number, like.dtype))
        return T["broadcast_to"](self.graph.constant(np.asarray(number, like.dtype)), shape=like.shape)

    def axes(self, ndim: int) -> tuple[int, ...]:
        return tuple(k for k in range(ndim) if self.rng.random() < 0.5)

    def two(self, x: Value) -> list[Value]:
        """`x` and a constant or another value, in either order."""
        both = [x, self.constant(x) if self.rng.random() < 0.6 else self.pick(self.values[-6:])]
        return both[::-1] if self.rng.random() < 0.3 else both

    def view(self, x: Value) -> Any:
        match self.pick(["transpose", "reshape", "broadcast_to", "expand_dims", "squeeze"]):
            case "transpose":
                return T["transpose"](x, axes=tuple(self.rng.permutation(x.ndim).tolist()))
            case "reshape":
                fitting = [s for s in [*SHAPES, (6,), (1, 6), (1, 1)] if np.prod(s) == x.spec.size]
                return T["reshape"](x, shape=self.pick(fitting or [x.shape]))
            case "broadcast_to":
                return T["broadcast_to"](x, shape=self.pick([x.shape, (2, *x.shape), (1, *x.shape), (3, 3), (2, 3)]))
            case "expand_dims":
                return T["expand_dims"](x, axis=(int(self.rng.integers(x.ndim + 1)),))
        return T["squeeze"](x, axis=tuple(k for k in self.axes(x.ndim) if x.shape[k] == 1))

    def node(self) -> Any:
        """One more operation on some of the last values; an Error where it doesn't fit them."""
        x, y, z = [self.pick(self.values[-6:]) for _ in range(3)]
        name = self.pick(NAMES)
        match name:
            case "add" | "subtract" | "multiply" | "maximum" | "equal":
                return T[name](*self.two(x))
            case "divide":
                return T[name](x, self.pick([1, 2, 0.5, -4.0, np.asarray(2, x.dtype)[()]]))
            case "power":
                return T[name](x, self.pick([1, 2, 1.0, 2.0, np.asarray(2, x.dtype)[()], np.full(x.shape, 2.0)]))
            case "where":
                masks = [T["greater"](x, 0), self.graph.constant(np.bool_(True)), self.graph.constant(np.zeros(x.shape, bool))]
                return T[name](self.pick(masks), y, z)
            case "cast":
                wholes, floats = ["f8", "f4", "f2", "i8", "c16"], ["f8", "f4", "c16"]
                return T[name](x, dtype=np.dtype(self.pick(wholes if x.dtype.kind in "ib" else floats)))
            case "view":
                return self.view(x)
            case "sum" | "mean":
                dtype = self.pick([{}, {"dtype": None}, {"dtype": np.dtype("f8")}])
                return T[name](x, axis=self.axes(x.ndim), keepdims=bool(self.rng.integers(2)), **dtype)
            case "slice":
                return T[name](x, index=tuple(self.pick([(0, n, 1), (0, n, 1), (0, (n + 1) // 2, 1)]) for n in x.shape))
            case "set_slice":
                y = y if x.dtype.kind in "fc" else x  # NaN has no place among integers
                return T[name](x, y, index=tuple((0, n, 1) for n in x.shape))
            case "dot" | "matmul" | "layer":
                x = self.pick([v for v in self.values if v.ndim == 2] or [x])
                y = self.pick([v for v in self.values if v.ndim == 2 and v.shape[0] == x.shape[-1] and v.dtype == x.dtype] or [y])
                if name != "layer":
                    return T[name](x, y)
                bias = self.graph.constant(np.ones(self.pick([y.shape[-1:], (1, *y.shape[-1:])]), x.dtype))
                if bias.ndim == 1 and self.rng.random() < 0.3:
                    return T["linear"](x, y, bias)
                return T["add"](*self.pick([(T["dot"](x, y), bias), (bias, T["matmul"](x, y))]))
            case "gradients":
                g = T["add"](x, x)
                both = T["dot"](T["transpose"](x, axes=(1, 0)), g), T["sum"](g, axis=(0,), keepdims=bool(self.rng.integers(2)))
                return T["add"](*both) if self.rng.random() < 0.6 else self.pick(T["linear_vjp"](x, g))
            case "scaled":
                for _ in range(2):
                    x = self.pick([T["multiply"], T["divide"]])(x, self.pick([0.25, -2.0, 0.5, 4, np.asarray(-0.5, x.dtype)[()]]))
                return T["negative"](x) if self.rng.random() < 0.3 else x
            case "views":
                for _ in range(2):
                    x = self.view(x)
                return x
            case "sigmoid":
                return T["add"](T["multiply"](0.5, T["tanh"](T["multiply"](x, 0.5))), 0.5)
        return T[name](x)


T = TABLE
NAMES = (
    ["add", "subtract", "multiply", "divide", "negative", "scaled", "view", "views", "views"] * 2
    + ["multiply", "power", "where", "maximum", "equal", "square", "abs", "conj", "copy", "positive", "real", "cast", "cast"]
    + ["sum", "sum", "mean", "slice", "set_slice", "dot", "matmul", "layer", "gradients", "sigmoid"]
)
programs = st.builds(lambda seed, count: Drawer(seed).program(count), st.integers(0, 2**32 - 1), st.integers(1, 16))


def run(graph: Graph, arrays: list[np.ndarray], views: list[bool]) -> list[Any]:
    """The results; a 0-d one as an array where the output is a view, of which NumPy makes an array or a number as its operand was."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = evaluate(graph, arrays)[0]
    return [np.asarray(r) if view else r for r, view in zip(found, views, strict=True)]


def views(graph: Graph) -> list[bool]:
    return [v.node.op.view_of is not None for v in graph.outputs]


def same_bits(x: Any, y: Any) -> bool:
    """Equal in kind, dtype, shape and bits, every NaN taken for the same."""
    a, b = np.asarray(x), np.asarray(y)
    if type(x) is not type(y) or a.dtype != b.dtype or a.shape != b.shape:
        return False
    parts = [(a.real, b.real), (a.imag, b.imag)] if a.dtype.kind == "c" else [(a, b)]
    return all(np.array_equal(p, q, equal_nan=p.dtype.kind == "f") and (p.dtype.kind != "f" or signs_agree(p, q)) for p, q in parts)


def signs_agree(p: np.ndarray, q: np.ndarray) -> bool:
    return bool(np.all((np.signbit(p) == np.signbit(q)) | np.isnan(p)))


def strides(x: Any) -> tuple[int, ...]:
    """Strides along axes where there is something to step over."""
    return tuple(s for s, n in zip(x.strides, x.shape) if n > 1) if isinstance(x, np.ndarray) and x.size else ()


def moderate(results: list[Any]) -> bool:
    """No finite value so large that sums and products were rounded."""
    with np.errstate(all="ignore"):
        return all(np.all((np.abs(np.asarray(r)) < LARGE) | ~np.isfinite(r)) for r in results)


@settings(max_examples=400)
@given(programs)
def test_exact_passes_keep_bits_and_layout(program: tuple[Graph, list[np.ndarray]]) -> None:
    graph, arrays = program
    before, seen, expected = str(graph), views(graph), run(graph, arrays, views(graph))
    optimize(graph, exact=True)
    for x, y in zip(expected, run(graph, arrays, seen), strict=True):
        assert same_bits(x, y), f"{x}\n{y}\n{before}\n{graph}"
        assert strides(x) == strides(y), f"{x.strides} {y.strides}\n{before}\n{graph}"


@settings(max_examples=400)
@given(programs)
def test_passes_keep_values(program: tuple[Graph, list[np.ndarray]]) -> None:
    graph, arrays = program
    twin, _ = graph.copy()
    everything = [v for node in twin.order() for v in node.outputs]
    twin.outputs = everything
    if not moderate(run(twin, arrays, views(twin))):
        return
    before, seen, expected = str(graph), views(graph), run(graph, arrays, views(graph))
    optimize(graph)
    for x, y in zip(expected, run(graph, arrays, seen), strict=True):
        assert close(x, y), f"{x}\n{y}\n{before}\n{graph}"


def close(x: Any, y: Any) -> bool:
    if type(x) is not type(y) or np.shape(x) != np.shape(y) or np.asarray(x).dtype != np.asarray(y).dtype:
        return False
    return same_bits(x, y) or bool(np.allclose(x, y, rtol=1e-5, atol=0, equal_nan=True))


@given(programs)
def test_a_second_run_finds_nothing(program: tuple[Graph, list[np.ndarray]]) -> None:
    graph, _ = program
    optimize(graph)
    text, log = graph.text(lines=False), []
    optimize(graph, log=log)
    assert graph.text(lines=False) == text and not sum(r.rewrites for r in log)


@pytest.mark.parametrize("exact", [False, True])
@given(program=programs)
def test_values_that_leave_are_not_merged(exact: bool, program: tuple[Graph, list[np.ndarray]]) -> None:
    graph, _ = program
    apart = len(set(graph.outputs))
    optimize(graph, exact=exact)
    assert len(set(graph.outputs)) == apart
