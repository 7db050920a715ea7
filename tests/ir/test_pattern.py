"""Patterns, rules and the rewrite driver, apart from the rules that passes are made of."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ir import Graph, Spec, Value
from ir.ops import TABLE as T
from ir.pattern import bind, equal_number, fill, parse
from ir.rewrite import Rewriter, rewrite
from ir.rules import Condition, Rule, Rules, always, kind, never, one_use, rank, same, same_dtype, single, unused


@pytest.fixture
def graph() -> Graph:
    return Graph()


def found(pattern: str, value: Value) -> list[dict[str, Any]]:
    return list(bind(parse(pattern)[0], value.node, {}, {}))


# ---- matching
def test_names_and_operations_are_bound(graph: Graph) -> None:
    x, W, b = graph.input(Spec((2, 3))), graph.input(Spec((3, 4))), graph.input(Spec((4,)))
    product = T["dot"](x, W)
    y = T["add"](product, b)
    assert found("add(dot(x, W), b)", y) == [{"x": x, "W": W, "b": b, "dot": product, "add": y}]
    assert found("add(matmul(x, W), b)", y) == [] and found("subtract(dot(x, W), b)", y) == []


def test_a_name_twice_is_one_value(graph: Graph) -> None:
    x, y = graph.input(Spec((3,))), graph.input(Spec((3,)))
    assert found("multiply(x, x)", T["multiply"](x, x)) and not found("multiply(x, x)", T["multiply"](x, y))


def test_operands_that_commute_are_tried_both_ways(graph: Graph) -> None:
    x, y = graph.input(Spec((3,))), graph.input(Spec((3,)))
    e, z = T["exp"](x), T["negative"](y)
    for value in (T["add"](e, z), T["add"](z, e)):
        assert [(m["a"], m["b"]) for m in found("add(exp(a), negative(b))", value)] == [(x, y)]
    assert [(m["a"], m["b"]) for m in found("add(a, b)", T["add"](e, z))] == [(e, z), (z, e)]
    assert len(found("subtract(a, b)", T["subtract"](e, z))) == 1
    nested = T["multiply"](T["multiply"](2.0, x), T["add"](y, 1.0))
    assert len(found("multiply(add(a, 1), multiply(b, 2))", nested)) == 1
    assert not found("multiply(add(a, 1), multiply(a, 2))", nested)


def test_attributes(graph: Graph) -> None:
    x = graph.input(Spec((2, 3)))
    y = T["sum"](x, axis=(0,), keepdims=False)
    assert found("sum(x, axis=(0,))", y) and not found("sum(x, axis=(1,))", y) and not found("sum(x, dtype=d)", y)
    assert found("sum(x, axis=a, keepdims=k)", y) == [{"x": x, "a": (0,), "k": False, "sum": y}]
    turned = T["transpose"](T["transpose"](x, axes=(1, 0)), axes=(1, 0))
    assert found("transpose(transpose(x, axes=a), axes=a)", turned)


def test_traits_and_any(graph: Graph) -> None:
    x = graph.input(Spec((2, 3)))
    y = T["multiply"](x, 2.0)
    assert found("ELEMENTWISE(*xs)", y)[0]["xs"] == y.node.operands and found("ANY(*xs)", y)
    assert not found("ELEMENTWISE(*xs)", T["sum"](x, axis=(0,), keepdims=False)) and not found("ANY(*xs)", x)


def test_numbers(graph: Graph) -> None:
    x = graph.input(Spec((2, 3)))
    for one in (1, 1.0, np.float32(1), np.ones((2, 3)), np.ones((1, 3), int)):
        assert found("multiply(x, 1)", T["multiply"](x, one))
    assert found("multiply(x, 1)", T["multiply"](T["broadcast_to"](graph.constant(np.ones(())), shape=(2, 3)), x))
    for other in (2, -1.0, np.array([1.0, 1.0, 2.0]), np.nan):
        assert not found("multiply(x, 1)", T["multiply"](x, other))


@pytest.mark.parametrize(
    ("number", "literal", "equal"),
    [
        (0.0, 0, True), (0.0, -0.0, False), (-0.0, -0.0, True), (-0.0, 0, False), (0, 0, True),
        (np.float16(-0.0), -0.0, True), (True, 1, True),
        (1 + 0j, 1, True), (0j, 0, True), (complex(0, -0.0), 0, False), (complex(-0.0, 0.0), -0.0, True),
        (np.nan, np.nan, False), (None, 0, False),
    ],
)
def test_equal_numbers(number: Any, literal: Any, equal: bool) -> None:
    assert equal_number(number, literal) is equal


def test_what_fills_a_constant(graph: Graph) -> None:
    assert fill(graph.constant(2)) == 2 and fill(graph.constant(np.full((2, 2), -0.5))) == -0.5
    assert fill(graph.constant(np.array([0.0, -0.0]))) is None and fill(graph.constant(np.zeros(0))) is None
    assert fill(T["reshape"](T["broadcast_to"](graph.constant(np.float32(3)), shape=(2, 3)), shape=(6,))) == 3
    assert fill(graph.input(Spec(()))) is None


# ---- conditions
def test_conditions(graph: Graph) -> None:
    x, f = graph.input(Spec((2, 3))), graph.input(Spec((2, 3), "f4"))
    y = T["add"](T["exp"](x), x)
    graph.outputs = [y, T["exp"](f)]
    match = next(Rewriter(graph, Rules(rule := Rule("", "add(exp(a), a)", to="a")))._matches(rule, y.node))
    assert always(match) and not never(match) and (never | always)(match) and not (never & always)(match) and (~never)(match)
    assert one_use("exp")(match) and not one_use("a")(match) and same("a", "exp")(match) and same_dtype("a")(match)
    assert rank("a", 1, 2)(match) and kind("f")(match) and not kind("iu")(match) and not single("a")(match) and not unused(0)(match)
    assert match.root is y and match.graph is graph and match["a"] is x


# ---- the driver
def test_rules_apply_until_none_does(graph: Graph) -> None:
    x = graph.input(Spec((3,)))
    y = x
    for _ in range(7):
        y = T["negative"](y)
    graph.outputs = [T["exp"](y)]
    assert rewrite(graph, Rules(Rule("", "negative(negative(x))", to="x"))) == 3
    assert [n.op.name for n in graph.order()] == ["input", "negative", "exp"]


def test_what_nothing_needs_goes_and_frees_others(graph: Graph) -> None:
    """`exp(x)` has two uses until the copy is gone; then the rule that asks for one use applies."""
    x = graph.input(Spec((3,)))
    e = T["exp"](x)
    graph.outputs = [T["tanh"](T["abs"](e)), T["tanh"](T["copy"](T["negative"](e)))]
    rules = Rules(
        Rule("", "abs(exp(x))", where=one_use("exp"), to="square(x)"),
        Rule("", "tanh(copy(negative(exp(x))))", to="sin(x)"),
    )
    assert rewrite(graph, rules) == 2
    assert [n.op.name for n in graph.order()] == ["input", "square", "tanh", "sin"]


def test_a_replacement_of_another_spec_is_refused(graph: Graph) -> None:
    x = graph.input(Spec((3,), "f4"))
    graph.outputs = [T["exp"](T["multiply"](x, 1.0))]
    size = len(graph)
    assert rewrite(graph, Rules(Rule("", "multiply(x, 1)", to="sum(x, axis=(0,), keepdims=False)"))) == 0
    assert rewrite(graph, Rules(Rule("", "multiply(x, 1)", to="reshape(x, shape=(7,))"))) == 0
    assert rewrite(graph, Rules(Rule("", "multiply(x, 1)", to=lambda m: None))) == 0
    assert len(graph) == size
    graph.verify()


def test_exactness_of_a_rule(graph: Graph) -> None:
    x = graph.input(Spec((3,)))
    graph.outputs = [T["exp"](T["sin"](x))]
    rules = [Rule("", "sin(x)", to="cos(x)", exact=exact) for exact in (True, False, always, never)]
    assert [rewrite(graph.copy()[0], Rules(rule), exact=True) for rule in rules] == [1, 0, 1, 0]
    assert [rewrite(graph.copy()[0], Rules(rule)) for rule in rules] == [1, 1, 1, 1]


def test_several_roots_become_several_outputs(graph: Graph) -> None:
    x = graph.input(Spec((2, 3)))
    g = graph.input(Spec((2, 4)))
    graph.outputs = [T["sum"](g, axis=(0,), keepdims=False), T["dot"](T["transpose"](x, axes=(1, 0)), g)]
    pair = "{sum(g, axis=(0,)), dot(transpose(x, axes=(1, 0)), g)}"
    to = Rule("", pair, to=lambda m: tuple(reversed(T["linear_vjp"](m["x"], m["g"]))))
    assert rewrite(graph, Rules(to)) == 1
    assert [(v.node.op.name, v.index) for v in graph.outputs] == [("linear_vjp", 1), ("linear_vjp", 0)]


def test_a_pattern_that_asks_more_than_the_operations(graph: Graph) -> None:
    asked = []
    rule = Rule("", "exp(x)", to="x", needs=lambda ops: asked.append(ops) or False)
    rules = Rules(rule)
    x = graph.input(Spec((3,)))
    graph.outputs = [T["exp"](T["exp"](T["exp"](x)))]
    assert rewrite(graph, rules) == 0 and len(asked) == 2, "once for each combination of operations"


def test_rules_that_undo_each_other_come_to_an_end(graph: Graph) -> None:
    x = graph.input(Spec((3,)))
    graph.outputs = [T["exp"](T["sin"](x))]
    assert rewrite(graph, Rules(Rule("", "sin(x)", to="cos(x)"), Rule("", "cos(x)", to="sin(x)"))) > 1000
    graph.verify()


def test_opaque_operations_are_never_matched(graph: Graph) -> None:
    x = graph.input(Spec((3,)))
    graph.outputs = [T["opaque"](x, specs=(Spec((3,)),))]
    assert rewrite(graph, Rules(Rule("", "opaque(x)", to="x"), Rule("", "ANY(*xs)", to=lambda m: m["xs"][0]))) == 0


def test_conditions_may_ask_what_depends_on_what(graph: Graph) -> None:
    x, y = graph.input(Spec((3,))), graph.input(Spec((3,)))
    graph.outputs = [T["add"](T["exp"](x), T["sin"](T["exp"](y)))]
    apart = Condition(lambda m: not m.facts.depends([m["b"]], on=[m["a"].node]))
    assert rewrite(graph, Rules(Rule("", "add(a, sin(b))", where=apart, to="add(b, sin(a))"))) >= 1
    graph.verify()
