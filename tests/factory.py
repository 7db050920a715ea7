"""The factory of operation tests: one line an operation in, its tests out.

    test_operation = make([Case("exp", e.exp, np.exp, broadcasting((-3, 3))), ...])

A case gives the operation, its NumPy twin and how to draw its operands. Out come, for each case, tests of

    forward   values, shape and dtype against the twin, over drawn shapes; what NumPy refuses is refused when the graph is built
    edges     the same for 0-d and empty operands
    dtypes    every combination of dtypes and Python numbers: the dtype NumPy gives, or a DTypeError where NumPy has none
    gradient  the vjp along a drawn direction against differences of the twin in long double
    second    the vjp of the vjp against differences of the vjp
    complex   the vjp of complex operands, in the conjugate convention

`run(graph, arrays) -> outputs` is the reference evaluator unless a test file gives another, say a compiled backend. Nothing here uses
rules of the operation under test: the twin is plain NumPy, and its slope is measured.
"""
from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ir import Graph, Spec, evaluate
from ir.errors import DTypeError, Error, ShapeError
from ir.gradient import append_gradient
from ir.spec import spec_of

DTYPES = "?bhilBHILefdgFDG"
FEW_DTYPES = "?iBefD"  # for three operands and more
NUMBERS = (2, 1.5, 1 + 0.5j)
EDGES = ((), (0,), (2, 0), (1,), (1, 1))

Shape = tuple[int, ...]
Run = Callable[[Graph, Sequence[Any]], Sequence[Any]]
Draw = Callable[[Callable[..., Any], np.random.Generator, Shape], tuple[list[Any], dict[str, Any]]]


@dataclass(frozen=True)
class Case:
    """An operation under test. `build(*values, **attrs)` adds it to a graph, `twin(*arrays, **attrs)` is the same in NumPy.

    `draw(draw, rng, shape)` gives operands (float64 arrays are differentiated, others held) and attributes for a drawn shape.
    `gradient`, `second`, `complex`, `dtypes` switch those tests on and off. `dtypes` may be the dtypes to test, as type characters.
    `rtol`: of values, in units of the dtype's eps.
    """

    name: str
    build: Callable[..., Any]
    twin: Callable[..., Any]
    draw: Draw
    gradient: bool = True
    second: bool = True
    complex: bool = False
    dtypes: bool | str = True
    examples: int = 6
    rtol: float = 64.0


# ---- how operands are drawn
def broadcasting(*bounds: tuple[float, float]) -> Draw:
    """Operands uniform between their bounds, whose shapes broadcast to the drawn one."""

    def draw_operands(draw: Callable[..., Any], rng: np.random.Generator, shape: Shape) -> tuple[list[Any], dict[str, Any]]:
        full = draw(st.integers(0, len(bounds) - 1)) if len(bounds) > 1 else 0
        shapes = [shape if k == full else draw(_broadcastable(shape)) for k in range(len(bounds))]
        return [rng.uniform(*b, size=s) for b, s in zip(bounds, shapes)], {}

    return draw_operands


@st.composite
def _broadcastable(draw: Callable[..., Any], shape: Shape) -> Shape:
    lead = draw(st.integers(0, len(shape)))
    return tuple([draw(st.sampled_from([n, 1])) for n in shape[lead:]])


def reducing(bounds: tuple[float, float], **options: st.SearchStrategy[Any]) -> Draw:
    """One operand of the drawn shape and `axis` (a tuple), `keepdims` and further attributes drawn from `options`."""

    def draw_operands(draw: Callable[..., Any], rng: np.random.Generator, shape: Shape) -> tuple[list[Any], dict[str, Any]]:
        axis = tuple([k for k in range(len(shape)) if draw(st.booleans())])
        attrs = {name: draw(strategy) for name, strategy in options.items()}
        return [rng.uniform(*bounds, size=shape)], {"axis": axis, "keepdims": draw(st.booleans()), **attrs}

    return draw_operands


def along_axis(bounds: tuple[float, float], **options: st.SearchStrategy[Any]) -> Draw:
    """One operand with an axis at least, and `axis`, an int."""

    def draw_operands(draw: Callable[..., Any], rng: np.random.Generator, shape: Shape) -> tuple[list[Any], dict[str, Any]]:
        shape = shape or (3,)
        attrs = {name: draw(strategy) for name, strategy in options.items()}
        return [rng.uniform(*bounds, size=shape)], {"axis": draw(st.integers(0, len(shape) - 1)), **attrs}

    return draw_operands


SHAPES = st.lists(st.integers(1, 4), max_size=3).map(tuple)
SHAPES_OR_EMPTY = st.lists(st.integers(0, 4), max_size=3).map(tuple)


# ---- the tests
def make(cases: Sequence[Case], run: Run | None = None) -> Callable[..., None]:
    """A test function over all cases and the tests that apply to each."""
    pairs = [
        pytest.param(case, check, id=f"{case.name}-{name}")
        for case in cases
        for name, check in CHECKS.items()
        if name in ("forward", "edges") or getattr(case, name)
    ]

    @pytest.mark.parametrize(("case", "check"), pairs)
    def test_operation(case: Case, check: Callable[[Case, Run], None]) -> None:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check(case, run or reference)

    return test_operation


def reference(graph: Graph, arrays: Sequence[Any]) -> Sequence[Any]:
    """The outputs by the reference evaluator."""
    return evaluate(graph, arrays)[0]


def _drawn(case: Case, shapes: st.SearchStrategy[Shape], body: Callable[..., None], examples: int | None = None) -> None:
    """Runs body(operands, attrs, rng) on drawn operands."""

    @settings(max_examples=examples or case.examples, database=None, derandomize=True, deadline=None, phases=[Phase.generate])
    @given(st.data(), shapes, st.integers(0, 2**32 - 1))
    def drawn(data: Any, shape: Shape, seed: int) -> None:
        rng = np.random.default_rng(seed)
        operands, attrs = case.draw(data.draw, rng, shape)
        body(operands, attrs, rng)

    drawn()


def check_forward(case: Case, run: Run) -> None:
    _drawn(case, SHAPES_OR_EMPTY, lambda operands, attrs, rng: compare(case, run, operands, attrs))


def check_edges(case: Case, run: Run) -> None:
    for shape in EDGES:
        _drawn(case, st.just(shape), lambda operands, attrs, rng: compare(case, run, operands, attrs), examples=2)


def check_dtypes(case: Case, run: Run) -> None:
    def body(operands: list[Any], attrs: dict[str, Any], rng: np.random.Generator) -> None:
        free = [k for k, x in enumerate(operands) if np.asarray(x).dtype == np.float64]
        chars = case.dtypes if isinstance(case.dtypes, str) else DTYPES if len(free) < 3 else FEW_DTYPES
        numbers = NUMBERS if len(free) > 1 else ()
        for kinds in itertools.product((*chars, *numbers), repeat=len(free)):
            if len(free) > 1 and not any(isinstance(kind, str) for kind in kinds):
                continue
            asked = list(operands)
            for k, kind in zip(free, kinds):
                asked[k] = np.abs(operands[k]).astype(kind) if isinstance(kind, str) else kind
            compare(case, run, asked, attrs)

    _drawn(case, st.just((2, 1)), body, examples=1)


def check_gradient(case: Case, run: Run) -> None:
    def body(operands: list[Any], attrs: dict[str, Any], rng: np.random.Generator) -> None:
        want, weights, directions = measured(case, operands, attrs, rng)
        gradients = run(gradient_graph(case, operands, attrs)[0], [*operands, *weights])
        check_kinds(operands, gradients)
        close(along(gradients, directions), want, 1e-7)

    _drawn(case, SHAPES, body)


def check_complex(case: Case, run: Run) -> None:
    def body(operands: list[Any], attrs: dict[str, Any], rng: np.random.Generator) -> None:
        operands = [x + 1j * rng.uniform(0.1, 0.5, size=x.shape) if is_free(x) else x for x in operands]
        want, weights, directions = measured(case, operands, attrs, rng)
        gradients = run(gradient_graph(case, operands, attrs)[0], [*operands, *weights])
        check_kinds(operands, gradients)
        close(along(gradients, directions), want, 1e-7)

    _drawn(case, SHAPES, body)


def check_second(case: Case, run: Run) -> None:
    def body(operands: list[Any], attrs: dict[str, Any], rng: np.random.Generator) -> None:
        graph, weights = gradient_graph(case, operands, attrs)
        values = [*operands, *[rng.uniform(0.5, 1.5, size=s.shape) for s in weights]]
        free = [k for k, x in enumerate(values) if is_free(x)]
        turned = [rng.normal(size=v.shape) for v in graph.outputs]
        inputs = [graph.inputs[k] for k in free]
        seconds = append_gradient(graph, graph.outputs, [graph.constant(np.asarray(t)) for t in turned], inputs)
        first, graph.outputs = graph.outputs, seconds
        found = run(graph, values)
        directions = [rng.normal(size=np.shape(values[k])) for k in free]
        graph.outputs = first

        def moved(step: float) -> float:
            at = list(values)
            for k, d in zip(free, directions):
                at[k] = np.asarray(values[k] + step * d)
            return along(run(graph, at), turned)

        close(along(found, directions), slope(moved, 1e-3), 1e-5)

    _drawn(case, SHAPES, body, examples=max(2, case.examples // 2))


CHECKS: dict[str, Callable[[Case, Run], None]] = {
    "forward": check_forward, "edges": check_edges, "dtypes": check_dtypes, "gradient": check_gradient, "second": check_second,
    "complex": check_complex,
}


# ---- parts
def build(case: Case, operands: Sequence[Any], attrs: dict[str, Any]) -> Graph:
    """The graph of the operation alone, an input for each operand."""
    graph = Graph()
    found = case.build(*[graph.input(spec_of(x)) for x in operands], **attrs)
    graph.outputs = list(found) if isinstance(found, tuple) else [found]
    return graph


def compare(case: Case, run: Run, operands: Sequence[Any], attrs: dict[str, Any]) -> None:
    """The operation gives what the twin gives, and fails where it fails: when built, unless the values decide."""
    before = [np.array(x) for x in operands]
    try:
        want = case.twin(*operands, **attrs)
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        refused = DTypeError if isinstance(error, TypeError) else ShapeError
        with pytest.raises((refused, type(error))):
            run(build(case, operands, attrs), operands)
        return
    wants = want if isinstance(want, tuple) else (want,)
    graph = build(case, operands, attrs)
    for value, want, got in zip(graph.outputs, wants, run(graph, operands), strict=True):
        where = f"{case.name} of {', '.join(str(spec_of(x)) for x in operands)} {attrs}"
        assert value.spec == Spec(np.shape(want), np.asarray(want).dtype), f"{where}: {value.spec}, NumPy {np.asarray(want).dtype}"
        assert (np.shape(got), np.asarray(got).dtype) == (np.shape(want), np.asarray(want).dtype), where
        exact = np.asarray(want).dtype.kind not in "fc"
        np.testing.assert_allclose(got, want, rtol=0 if exact else case.rtol * np.finfo(np.asarray(want).dtype).eps, err_msg=where)
    for x, old in zip(operands, before):
        np.testing.assert_array_equal(np.asarray(x), old, err_msg=f"{case.name} wrote into an operand")


def is_free(x: Any) -> bool:
    return np.asarray(x).dtype.kind in "fc"


def gradient_graph(case: Case, operands: Sequence[Any], attrs: dict[str, Any]) -> tuple[Graph, list[Spec]]:
    """The vjp: inputs are the operands and a cotangent for each output, outputs the cotangents of the free operands."""
    graph = build(case, operands, attrs)
    wrt = [v for v, x in zip(graph.inputs, operands) if is_free(x)]
    specs = [v.spec for v in graph.outputs]
    weights = [graph.input(s) for s in specs]
    graph.outputs = append_gradient(graph, graph.outputs, weights, wrt)
    return graph, specs


def measured(case: Case, operands: Sequence[Any], attrs: dict[str, Any], rng: np.random.Generator) -> tuple[float, list[Any], list[Any]]:
    """The slope of Re(sum(conj(weights) * twin)) along directions, by differences in long double; the weights and the directions."""
    free = [k for k, x in enumerate(operands) if is_free(x)]
    outputs = case.twin(*operands, **attrs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    weights = [_normal(rng, y) for y in outputs]
    directions = [_normal(rng, operands[k]) for k in free]
    wide = [_wide(x) if is_free(x) else x for x in operands]

    def moved(step: float) -> Any:
        at = list(wide)
        for k, d in zip(free, directions):
            at[k] = wide[k] + np.longdouble(step) * _wide(d)
        found = case.twin(*at, **attrs)
        found = found if isinstance(found, tuple) else (found,)
        return sum([np.sum(np.conj(_wide(w)) * y).real for w, y in zip(weights, found)])

    return slope(moved, 1e-4), weights, directions


def slope(function: Callable[[float], Any], step: float) -> float:
    """f'(0) by central differences, the error of order step**4."""
    near, far = function(step) - function(-step), function(2 * step) - function(-2 * step)
    return float((8 * near - far) / (12 * step))


def along(gradients: Sequence[Any], directions: Sequence[Any]) -> float:
    """The slope that gradients predict along directions."""
    return float(sum([np.sum(np.conj(g) * d).real for g, d in zip(gradients, directions, strict=True)]))


def check_kinds(operands: Sequence[Any], gradients: Sequence[Any]) -> None:
    """A gradient has shape and dtype of what it belongs to."""
    for x, g in zip([x for x in operands if is_free(x)], gradients, strict=True):
        assert (np.shape(g), np.asarray(g).dtype) == (np.shape(x), np.asarray(x).dtype)


def close(got: float, want: float, tolerance: float) -> None:
    assert np.isfinite(got), f"the gradient is {got}"
    assert abs(got - want) <= tolerance * max(1.0, abs(want)), f"the rule says {got}, the slope is {want}"


def refuses(error: type[Error], build_it: Callable[[], Any]) -> Error:
    """The error of that kind that building raises; it must say cause and mend."""
    with pytest.raises(error) as caught:
        build_it()
    assert caught.value.cause and caught.value.mend
    return caught.value


def _wide(x: Any) -> Any:
    return np.asarray(x, np.clongdouble if np.asarray(x).dtype.kind == "c" else np.longdouble)


def _normal(rng: np.random.Generator, like: Any) -> np.ndarray:
    shape = np.shape(like)
    drawn = rng.normal(size=shape)
    return np.asarray(drawn + 1j * rng.normal(size=shape) if np.asarray(like).dtype.kind == "c" else drawn)
