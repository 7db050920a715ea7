"""The reference evaluator: NumPy's own kinds of results, errors that name operation and line, promises of specs held."""
from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ir import Graph, Line, Op, Spec, evaluate
from ir.errors import ArgumentError, ShapeError, VerifyError
from ir.ops import elementwise as e
from ir.ops import index
from ir.ops.opaque import opaque
from ir.ops.scalar import python
from tests.ir.networks import two_layers


def test_operators_are_numpys() -> None:
    graph = Graph()
    x, y = graph.input(Spec((2, 2))), graph.input(Spec((2, 2)))
    cases = {
        "+": x + y, "-": x - y, "*": x * y, "/": x / y, "//": x // y, "%": x % y, "**": x**y, "@": x @ y,
        "<": x < y, "<=": x <= y, ">": x > y, ">=": x >= y,
    }
    reflected = [2 + x, 2 - x, 2 * x, 2 / x, 2 // x, 2 % x, 2**x, np.eye(2) @ x, 2 < x, np.ones(2) - x, -x, +x, abs(x)]  # noqa: SIM300
    graph.outputs = [*cases.values(), *reflected]
    graph.verify()
    a, b = np.array([[1.5, -2.0], [3.0, 4.0]]), np.array([[2.0, 2.0], [3.0, 1.0]])
    given, _ = evaluate(graph, [a, b])
    wanted = [eval(f"a {symbol} b", {"a": a, "b": b}) for symbol in cases]
    wanted += [2 + a, 2 - a, 2 * a, 2 / a, 2 // a, 2 % a, 2**a, np.eye(2) @ a, a > 2, np.ones(2) - a, -a, +a, abs(a)]
    for one, other in zip(given, wanted, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


def test_values_are_keys() -> None:
    graph = Graph()
    x, y = graph.input(Spec(())), graph.input(Spec(()))
    assert (x == y) is False
    assert {x: 1, y: 2}[x] == 1


def test_results_are_of_numpys_kind() -> None:
    graph = Graph()
    x, n = graph.input(Spec((), np.float32)), graph.input(Spec((), int, "int"))
    graph.outputs = [e.negative(x), python(n, n, fn="add"), x * n]
    first, second, third = evaluate(graph, [np.float32(2), 3])[0]
    assert (type(first), type(second), type(third)) == (np.float32, int, np.float32)
    assert (first, second, third) == (-2, 6, 6)


def test_updates_come_beside_the_outputs() -> None:
    graph = two_layers()
    rng = np.random.default_rng(0)
    inputs = [rng.random(v.shape) for v in graph.inputs]
    (loss,), updates = evaluate(graph, inputs)
    x, y, w1, b1, w2, b2 = inputs
    hidden = 1 / (1 + np.exp(-(x @ w1 + b1)))
    np.testing.assert_allclose(loss, ((hidden @ w2 + b2 - y) ** 2).sum() / 100, rtol=1e-14)
    gradient = 2 * (hidden @ w2 + b2 - y) / 100
    np.testing.assert_allclose(updates[2], w2 - 0.2 * hidden.T @ gradient, rtol=1e-13)
    np.testing.assert_allclose(updates[3], b2 - 0.2 * gradient.sum(0), rtol=1e-13)


def test_wrong_inputs_are_told() -> None:
    graph = Graph()
    graph.outputs = [e.negative(graph.input(Spec((2,), np.float32))), graph.input(Spec((), float, "float"))]
    good = np.zeros(2, np.float32)
    assert evaluate(graph, [good, 1])[0][1] == 1.0
    for inputs, error in (([good], ArgumentError), ([good[:1], 1.0], ShapeError), ([good.astype(float), 1.0], ArgumentError),
                          ([good, good], ArgumentError), ([good, 1j], ArgumentError)):
        with pytest.raises(error):
            evaluate(graph, inputs)


def test_errors_name_operation_and_line() -> None:
    graph = Graph()
    x = graph.input(Spec((2,)))
    with graph.at(Line("model.py", 7, "f", text="y = opaque(x)")):
        graph.outputs = [opaque(x, specs=(Spec((2,)),))]
    with pytest.raises(VerifyError) as caught:
        evaluate(graph, [np.zeros(2)])
    assert "opaque: " in str(caught.value) and "model.py:7 in f   y = opaque(x)" in str(caught.value)


def test_other_errors_keep_their_type_and_get_a_note() -> None:
    graph = Graph()
    n = graph.input(Spec((), int, "int"))
    with graph.at(Line("model.py", 7, "f", text="1 / n")):
        graph.outputs = [python(graph.constant(1), n, fn="truediv")]
    with pytest.raises(ZeroDivisionError) as caught:
        evaluate(graph, [0])
    assert caught.value.__notes__ == ["while evaluating python(int, int) at model.py:7 in f   1 / n"]


@pytest.mark.parametrize("meaning", [lambda x: x[:1], lambda x: x.astype(np.float32), lambda x: 1.0])
def test_a_meaning_that_breaks_its_spec_is_seen(meaning: object) -> None:
    liar: Op = dataclasses.replace(e.negative, meaning=meaning)  # type: ignore[arg-type]
    graph = Graph()
    graph.outputs = [graph.apply(liar, [graph.input(Spec((2,)))])]
    with pytest.raises(VerifyError, match="the spec says"):
        evaluate(graph, [np.zeros(2)])


def test_inputs_are_not_written() -> None:
    graph = Graph()
    x = graph.input(Spec((4,)))
    graph.outputs = [index.slice(x, index=((0, 2, 1),)) * 2]
    given = np.arange(4.0)
    given.flags.writeable = False
    assert evaluate(graph, [given])[0][0].tolist() == [0.0, 2.0]
