"""linear, its parameters' gradients, sigmoid; and the operations that hold no arithmetic: python, custom, opaque."""
from __future__ import annotations

import gc
import warnings
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ir import errors
from ir.evaluate import evaluate
from ir.gradient import append_gradient
from ir.graph import Graph
from ir.ops import elementwise as e
from ir.ops import nn
from ir.ops.custom import custom
from ir.ops.opaque import opaque
from ir.ops.scalar import python
from ir.spec import Spec, weak_spec
from tests.factory import Case, broadcasting, make
from tests.ir.checks import against, gradients, run, same_bits
from tests.ir.test_matmul import DTYPES, array

SIZE = st.integers(0, 4)


# ---- linear
@given(SIZE, SIZE, SIZE, st.sampled_from([float, complex]))
def test_linear(n: int, i: int, o: int, dtype: Any) -> None:
    x, W, b = array((n, i), 1, dtype), array((i, o), 2), array((o,), 3, dtype)
    against(nn.linear, lambda x, W, b: x.dot(W) + b, [x, W, b])
    gradients(nn.linear, [x, W, b], [0, 1, 2], orders=3)


@given(SIZE, SIZE, SIZE, st.sampled_from([float, complex]))
def test_linear_vjp(n: int, i: int, o: int, dtype: Any) -> None:
    x, gy = array((n, i), 1), array((n, o), 2, dtype)
    for found, wanted in zip(run(nn.linear_vjp, [x, gy]), (x.T @ gy, gy.sum(0)), strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted)
    gradients(nn.linear_vjp, [x, gy], [0, 1], orders=3)
    for k in (0, 1):  # one output used, the other not
        gradients(lambda x, gy, k=k: nn.linear_vjp(x, gy)[k], [x, gy], [0, 1])


@pytest.mark.parametrize("b", DTYPES)
@pytest.mark.parametrize("x", DTYPES)
def test_linear_dtypes(x: str, b: str) -> None:
    against(nn.linear, lambda x, W, b: x.dot(W) + b, [array((2, 3), 1, x), array((3, 2), 2, "float32"), array((2,), 3, b)])
    found = run(nn.linear_vjp, [array((2, 3), 1, x), array((2, 2), 2, b)])
    same_bits(found[1], array((2, 2), 2, b).sum(0))


def test_the_gradient_of_linear_uses_linear_vjp() -> None:
    graph = Graph()
    x, W, b = graph.input(Spec((4, 3))), graph.input(Spec((3, 2))), graph.input(Spec((2,)))
    y = nn.linear(x, W, b)
    graph.outputs = append_gradient(graph, [y], [graph.input(y.spec)], [x, W, b])
    assert [v.node.op.name for v in graph.outputs] == ["dot", "linear_vjp", "linear_vjp"]
    assert graph.outputs[1].node is graph.outputs[2].node


LINEAR_ERRORS = [
    ((100, 3), (4, 10), (10,), "x has 3 columns but W has 4 rows", "W should be (3, 10)"),
    ((100, 3), (3, 10), (3,), "W has 10 columns but b has 3 elements", "b should be (10,)"),
    ((100, 3), (3, 10), (1, 10), "b has 2 axes: (1, 10)", "b should be (10,)"),
    ((100,), (3, 10), (10,), "x has 1 axes: (100,)", "x must have two"),
]


@pytest.mark.parametrize(("x", "W", "b", "says", "mend"), LINEAR_ERRORS)
def test_linear_errors(x: Any, W: Any, b: Any, says: str, mend: str) -> None:
    graph = Graph()
    with pytest.raises(errors.ShapeError) as caught:
        nn.linear(*[graph.input(Spec(s)) for s in (x, W, b)])
    assert f"linear: {says}" in str(caught.value) and mend in (caught.value.mend or "")


def test_linear_vjp_error() -> None:
    graph = Graph()
    with pytest.raises(errors.ShapeError, match="x has 4 rows but gy has 5"):
        nn.linear_vjp(graph.input(Spec((4, 3))), graph.input(Spec((5, 2))))


# ---- sigmoid
@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid(dtype: str) -> None:
    for shape in ((3, 4), (0, 2), ()):
        against(nn.sigmoid, lambda x: np.tanh(x * 0.5) * 0.5 + 0.5, [array(shape, 1, dtype)])
    if dtype in ("float64", "complex128"):
        gradients(nn.sigmoid, [array((3,), 1, dtype)], [0], orders=3, tolerance=1e-5)


test_operation = make([Case("sigmoid", nn.sigmoid, lambda x: np.tanh(x * 0.5) * 0.5 + 0.5, broadcasting((-4, 4)), complex=True)])


def test_sigmoid_far_out_is_silent_and_finite() -> None:
    x = np.array([-np.inf, -800.0, 0.0, 800.0, np.inf])
    graph = Graph()
    v = graph.input(Spec((5,)))
    y = nn.sigmoid(v)
    graph.outputs = [y, *append_gradient(graph, [y], [graph.input(y.spec)], [v])]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y_, gx = evaluate(graph, [x, np.ones(5)])[0]
    assert y_.tolist() == [0, 0, 0.5, 1, 1] and gx.tolist() == [0, 0, 0.25, 0, 0]


# ---- relu
test_relu_operation = make([Case("relu", nn.relu, lambda x: np.maximum(x, 0), broadcasting((-4, 4)), dtypes="efdglbB?")])


def test_relu_at_0_and_nan_and_its_gradient_needs_no_operand() -> None:
    x = np.array([-1.0, -0.0, 0.0, 2.0, np.nan, np.inf])
    graph = Graph()
    v = graph.input(Spec((6,)))
    y = nn.relu(v)
    gradient = append_gradient(graph, [y], [graph.input(y.spec)], [v])
    graph.outputs = [y, *gradient]
    found, gx = evaluate(graph, [x, np.full(6, np.inf)])[0]
    same_bits(found, np.maximum(x, 0))
    assert gx.tolist() == [0, 0, 0, np.inf, 0, np.inf]
    assert [n.op.name for n in graph.order() if v in n.operands] == ["relu"]


def test_relu_refuses_complex() -> None:
    with pytest.raises(errors.DTypeError, match="relu of"):
        nn.relu(Graph().input(Spec((2,), "complex128")))


# ---- Python numbers
@pytest.mark.parametrize(("fn", "numbers", "found"), [
    ("add", (2, 3), 5), ("mul", (2**70, 2), 2**71), ("truediv", (1, 2), 0.5), ("floordiv", (7, 2), 3), ("mod", (-7, 3), 2),
    ("pow", (2, 10), 1024), ("sub", (1, 2.5), -1.5), ("neg", (1j,), -1j), ("abs", (3 + 4j,), 5.0), ("invert", (5,), -6),
    ("lshift", (1, 4), 16),
])  # fmt: skip
def test_python_numbers(fn: str, numbers: tuple[Any, ...], found: Any) -> None:
    graph = Graph()
    graph.outputs = [python(*[graph.input(weak_spec(type(n).__name__)) for n in numbers], fn=fn)]
    assert graph.outputs[0].spec.weak == type(found).__name__
    result = evaluate(graph, numbers)[0][0]
    assert result == found and type(result) is type(found)


@pytest.mark.parametrize("fn", ["add", "sub", "mul", "truediv", "pow", "mod"])
def test_python_numbers_have_gradients(fn: str) -> None:
    gradients(lambda x, y: python(x, y, fn=fn), [2.75, 1.25], [0, 1], tolerance=1e-5)
    if fn == "add":
        for one in ("neg", "pos", "abs"):
            gradients(lambda x, one=one: python(x, fn=one), [-2.5], [0])


def test_python_errors() -> None:
    graph = Graph()
    n, x, z = graph.input(weak_spec("int")), graph.input(Spec(())), graph.input(weak_spec("complex"))
    for operands, fn, kind, says in (
        ((n, x), "add", errors.DTypeError, "not arrays"),
        ((n,), "add", errors.ShapeError, "takes 2 numbers, not 1"),
        ((n, n), "exec", errors.ArgumentError, "unknown function 'exec'"),
        ((z, n), "floordiv", errors.DTypeError, "does not take complex and int"),
    ):
        with pytest.raises(kind, match=says) as caught:
            python(*operands, fn=fn)
        assert caught.value.mend
    graph.outputs = [python(n, n, fn="truediv")]
    with pytest.raises(ZeroDivisionError):
        evaluate(graph, [0, 1.0, 1j])
    graph.outputs = [python(n, graph.constant(-1), fn="pow")]
    with pytest.raises(errors.ArgumentError, match="is a float, where the trace took it for a int"):
        evaluate(graph, [2, 1.0, 1j])


# ---- custom rules
class Doubled:
    """A gradient that is not the true one, so that a test sees which was used."""

    name = "Doubled"

    def vjp(self, g: Any, outs: Any, ins: Any) -> tuple[Any, ...]:
        return tuple([2 * g[0] * v for v in ins[:1]]) + (None,) * (len(ins) - 1)


def test_custom_gives_its_first_operands_and_the_rules_gradient() -> None:
    graph = Graph()
    x, n = graph.input(Spec((2,))), graph.input(Spec((2,)))
    y = custom(e.exp(x), x, n, outs=1, rule=Doubled())
    graph.outputs = [y, *append_gradient(graph, [y], [graph.input(y.spec)], [x, n])]
    found = evaluate(graph, [np.array([0.0, 1.0]), np.ones(2), np.ones(2)])[0]
    assert found[0].tolist() == [1.0, np.e] and found[1].tolist() == [0.0, 2.0] and found[2].tolist() == [0.0, 0.0]


def test_custom_with_several_results() -> None:
    class Sum:
        name = "Sum"

        def vjp(self, g: Any, outs: Any, ins: Any) -> tuple[Any, ...]:
            assert len(g) == len(outs) == 2 and g[1] is None
            return (3 * g[0],)

    graph = Graph()
    x = graph.input(Spec((2,)))
    first, second = custom(e.exp(x), e.tanh(x), x, outs=2, rule=Sum())
    graph.outputs = [first, second, *append_gradient(graph, [first], [graph.input(x.spec)], [x])]
    found = evaluate(graph, [np.zeros(2), np.ones(2)])[0]
    assert [f.tolist() for f in found] == [[1, 1], [0, 0], [3, 3]]


def test_a_rule_with_a_wrong_count_is_told() -> None:
    class Wrong:
        name = "Wrong"

        def vjp(self, g: Any, outs: Any, ins: Any) -> tuple[Any, ...]:
            return ()

    graph = Graph()
    x = graph.input(Spec((2,)))
    y = custom(e.exp(x), x, outs=1, rule=Wrong())
    with pytest.raises(errors.ArgumentError, match="Wrong gave 0 gradients for 1 inputs"):
        append_gradient(graph, [y], [graph.input(y.spec)], [x])
    with pytest.raises(errors.ShapeError, match="3 results but 1 operands"):
        custom(x, outs=3, rule=Wrong())


def test_no_cache_keeps_a_rule_alive() -> None:
    rule = Doubled()
    kept = weakref.ref(rule)
    graph = Graph()
    custom(graph.input(Spec((2,))), outs=1, rule=rule)
    del rule, graph
    gc.collect()
    assert kept() is None


# ---- opaque
def test_opaque_has_specs_and_nothing_else() -> None:
    graph = Graph()
    x = graph.input(Spec((2,)))
    a, b = opaque(x, specs=(Spec((3,)), Spec((), np.int8)))
    assert (str(a.spec), str(b.spec)) == ("f64[3]", "i8[]")
    with pytest.raises(errors.GradientError, match="opaque has no gradient"):
        append_gradient(graph, [a], [graph.input(a.spec)], [x])
    graph.outputs = [a]
    with pytest.raises(errors.VerifyError, match="no meaning"):
        evaluate(graph, [np.zeros(2), np.zeros(3)])
