"""Drawn graphs run with and without the passes: with `exact` to the bit and the stride, else the same values where nothing is rounded.

The values are few and simple (halves, signed zeros, infinities, NaN), so that sums and products of them are exact: any difference is
a fault of a rule and not a rounding.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ir import Graph, Spec, Value, evaluate
from ir.errors import Error
from ir.ops import TABLE
from ir.passes import before_gradient, optimize

VALUES = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0, np.inf, -np.inf, np.nan]
NUMBERS: list[Any] = [0, 1, -1, 2, 0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 4.0, True]
SHAPES = [(), (3,), (2, 3), (3, 2), (1, 3), (2, 1), (3, 3), (2, 1, 3), (0, 3)]
DTYPES = ["f8", "f8", "f8", "f4", "i4", "?", "c16"]
LARGE = 1e6


def draw_input(draw: Any, rng: np.random.Generator) -> np.ndarray:
    """An array in some layout: C, F, reversed or every second element of a larger one."""
    shape, dtype = draw(st.sampled_from(SHAPES)), np.dtype(draw(st.sampled_from(DTYPES)))
    layout = draw(st.sampled_from("CCFRS"))
    larger = tuple(2 * n for n in shape) if layout == "S" else shape
    values = rng.choice(VALUES[:7] if dtype.kind in "i?" else VALUES, larger)
    array = np.asarray(values, dtype=dtype) if dtype.kind != "c" else np.asarray(values + 1j * rng.choice(VALUES[:4], larger))
    if layout == "S":
        return array[tuple([slice(None, None, 2)] * len(shape))]
    return np.asfortranarray(array).reshape(shape, order="A") if layout == "F" else np.flip(array) if layout == "R" else np.array(array)


def draw_constant(draw: Any, graph: Graph, like: Value) -> Value:
    number = draw(st.sampled_from(NUMBERS))
    match draw(st.sampled_from(["weak", "scalar", "filled", "array"])):
        case "weak":
            return graph.constant(number if type(number) is not bool else 1)
        case "scalar":
            return graph.constant(np.asarray(number, like.dtype)[()])
        case "filled":
            return graph.constant(np.full(like.shape, number, like.dtype))
    return TABLE["broadcast_to"](graph.constant(np.asarray(number, like.dtype)), shape=like.shape)


def draw_axes(draw: Any, ndim: int) -> tuple[int, ...]:
    return tuple(sorted(draw(st.sets(st.integers(0, ndim - 1))))) if ndim else ()


def draw_node(draw: Any, graph: Graph, values: list[Value]) -> Any:
    """One more operation on values drawn from the last few; raises an Error where it doesn't fit."""
    x, y, z = [draw(st.sampled_from(values[-6:])) for _ in range(3)]
    name = draw(st.sampled_from(NAMES))
    op = TABLE[name]
    match name:
        case "add" | "subtract" | "multiply" | "maximum" | "equal":
            operands = [x, draw(st.sampled_from([y, draw_constant(draw, graph, x)]))]
            return op(*(reversed(operands) if draw(st.booleans()) else operands))
        case "divide":
            return op(x, draw(st.sampled_from([1, 2, 0.5, -4.0, np.asarray(2, x.dtype)[()]])))
        case "power":
            return op(x, draw(st.sampled_from([1, 2, 1.0, 2.0, np.asarray(2, x.dtype)[()]])))
        case "where":
            return op(draw(st.sampled_from([TABLE["greater"](x, 0), graph.constant(np.bool_(True)), graph.constant(np.zeros(x.shape, bool))])), y, z)
        case "cast":
            return op(x, dtype=np.dtype(draw(st.sampled_from(["f8", "f4", "c16", "i8"] if x.dtype.kind in "i?b" else ["f8", "f4"]))))
        case "transpose":
            return op(x, axes=tuple(draw(st.permutations(range(x.ndim)))))
        case "reshape":
            return op(x, shape=draw(st.sampled_from([s for s in [*SHAPES, (6,), (1, 6)] if np.prod(s) == x.spec.size] or [x.shape])))
        case "broadcast_to":
            return op(x, shape=draw(st.sampled_from([x.shape, (2, *x.shape), (1, *x.shape), (3, 3), (2, 3)])))
        case "expand_dims":
            return op(x, axis=(draw(st.integers(0, x.ndim)),))
        case "squeeze":
            return op(x, axis=tuple(k for k in draw_axes(draw, x.ndim) if x.shape[k] == 1))
        case "sum" | "mean":
            extra = draw(st.sampled_from([{}, {"dtype": None}, {"dtype": np.dtype("f8")}]))
            return op(x, axis=draw_axes(draw, x.ndim), keepdims=draw(st.booleans()), **extra)
        case "slice":
            return op(x, index=tuple(draw(st.sampled_from([(0, n, 1), (0, n, 1), (0, (n + 1) // 2, 1)])) for n in x.shape))
        case "set_slice":
            return op(x, y, index=tuple((0, n, 1) for n in x.shape))
        case "dot" | "matmul":
            return op(x, y)
        case "layer":
            return TABLE["add"](TABLE["dot"](x, y), z)
    return op(x)


NAMES = (
    ["add", "subtract", "multiply"] * 4 + ["divide", "power", "where", "maximum", "equal", "negative", "negative", "square", "abs", "conj", "copy"]
    + ["positive", "real", "cast", "transpose", "reshape", "broadcast_to", "expand_dims", "squeeze", "sum", "mean", "slice", "set_slice", "dot", "matmul"]
)


@st.composite
def programs(draw: Any) -> tuple[Graph, list[np.ndarray]]:
    """A graph of up to 16 operations, and its inputs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    graph, arrays = Graph(), [draw_input(draw, rng) for _ in range(draw(st.integers(1, 3)))]
    values = [graph.input(Spec(a.shape, a.dtype)) for a in arrays]
    for _ in range(draw(st.integers(1, 16))):
        try:
            values.append(draw_node(draw, graph, values))
        except Error:
            continue
    graph.outputs = draw(st.lists(st.sampled_from(values[-4:]), min_size=1, max_size=3))
    return graph, arrays


def run(graph: Graph, arrays: list[np.ndarray]) -> list[Any]:
    with np.errstate(all="ignore"):
        return evaluate(graph, arrays)[0]


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
@given(programs())
def test_exact_passes_keep_bits_and_layout(program: tuple[Graph, list[np.ndarray]]) -> None:
    graph, arrays = program
    before, expected = str(graph), run(graph, arrays)
    optimize(graph, exact=True)
    for x, y in zip(expected, run(graph, arrays), strict=True):
        assert same_bits(x, y), f"{x}\n{y}\n{before}\n{graph}"
        assert strides(x) == strides(y), f"{x.strides} {y.strides}\n{before}\n{graph}"


@settings(max_examples=400)
@given(programs())
def test_passes_keep_values(program: tuple[Graph, list[np.ndarray]]) -> None:
    graph, arrays = program
    twin, _ = graph.copy()
    everything = [v for node in twin.order() for v in node.outputs]
    twin.outputs = everything
    with np.errstate(all="ignore"):
        if not moderate(run(twin, arrays)):
            return
    before, expected = str(graph), run(graph, arrays)
    optimize(graph)
    for x, y in zip(expected, run(graph, arrays), strict=True):
        assert close(x, y), f"{x}\n{y}\n{before}\n{graph}"


def close(x: Any, y: Any) -> bool:
    if type(x) is not type(y) or np.shape(x) != np.shape(y) or np.asarray(x).dtype != np.asarray(y).dtype:
        return False
    return same_bits(x, y) or bool(np.allclose(x, y, rtol=1e-5, atol=0, equal_nan=True))


@given(programs())
def test_before_the_gradient_nothing_moves(program: tuple[Graph, list[np.ndarray]]) -> None:
    graph, arrays = program
    expected = run(graph, arrays)
    before_gradient(graph)
    assert all(map(same_bits, expected, run(graph, arrays)))


@given(programs())
def test_a_second_run_finds_nothing(program: tuple[Graph, list[np.ndarray]]) -> None:
    graph, _ = program
    optimize(graph)
    text, log = graph.text(lines=False), []
    optimize(graph, log=log)
    assert graph.text(lines=False) == text and not sum(r.rewrites for r in log)


@pytest.mark.parametrize("exact", [False, True])
@given(program=programs())
def test_values_that_leave_are_not_merged(exact: bool, program: tuple[Graph, list[np.ndarray]]) -> None:
    graph, _ = program
    apart = len(set(graph.outputs))
    optimize(graph, exact=exact)
    assert len(set(graph.outputs)) == apart
