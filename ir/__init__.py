"""The compiler: graphs of array operations, their texts and pictures, passes, gradients and plans. Here are its public names.

Methods that need files further up than `graph.py` and `plan.py` are attached here: `Graph.text` and `str(graph)`, `Graph.rules`,
`verify`, `to_dot` and `render`, those of a Plan, and Value's Python operators, so that rules and rewrites read like mathematics
(`g * y * (1 - y)`).
"""
from __future__ import annotations

from functools import cached_property
from typing import Any

from ir import errors, plan_dot, plan_text
from ir.constant import Constant
from ir.dot import render, to_dot
from ir.errors import Error
from ir.evaluate import evaluate
from ir.graph import CONSTANT, INPUT, Graph, Node, Value
from ir.op import NoVjp, Op, Trait
from ir.ops import TABLE
from ir.parse import parse
from ir.plan import Plan
from ir.planning.floor import floor_bytes
from ir.source import Line
from ir.spec import Spec
from ir.text import rule_names, to_text
from ir.verify import verify

__all__ = [
    "CONSTANT", "INPUT", "Constant", "Error", "Graph", "Line", "NoVjp", "Node", "Op", "Plan", "Spec", "Trait", "Value",
    "errors", "evaluate", "parse", "to_text",
]

_BINARY = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide", "mod": "remainder",
    "pow": "power", "matmul": "matmul",
}
_COMPARE = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
_UNARY = {"neg": "negative", "pos": "positive", "abs": "abs"}


def _attach_operators() -> None:
    """Python's operators on Values. `==` stays identity, so that Values are keys."""

    for python, name in _BINARY.items():
        setattr(Value, f"__{python}__", lambda x, y, op=TABLE[name]: op(x, y))
        setattr(Value, f"__r{python}__", lambda x, y, op=TABLE[name]: op(y, x))
    for python, name in _COMPARE.items():
        setattr(Value, f"__{python}__", lambda x, y, op=TABLE[name]: op(x, y))
    for python, name in _UNARY.items():
        setattr(Value, f"__{python}__", lambda x, op=TABLE[name]: op(x))
    setattr(Value, "__array_ufunc__", None)  # noqa: B010  (NumPy then leaves `array * value` to `Value.__rmul__`)


def _attach_methods() -> None:
    def rules(graph: Graph) -> dict[str, Any]:
        """The user's rules by their names in the text, as `ir.parse(text, rules=...)` takes them."""
        return {name: rule for rule, name in rule_names(graph).items()}

    def copied(graph: Graph, memo: Any = None) -> Graph:
        """A copy of its own; what the graph holds can't change, so a deep copy is the same."""
        return graph.copy()[0]

    def reduced(graph: Graph) -> tuple[Any, ...]:
        """Pickled as its text, with what a text can't hold beside it."""
        return _restored, (to_text(graph), graph.constants, graph.rules)

    methods: dict[str, Any] = {
        "text": to_text,
        "__str__": to_text,
        "__copy__": copied,
        "__deepcopy__": copied,
        "__reduce__": reduced,
        "verify": verify,
        "to_dot": to_dot,
        "render": render,
        "rules": property(rules),
    }
    for name, method in methods.items():
        setattr(Graph, name, method)
    for name, method in {"text": plan_text.text, "__str__": plan_text.text, "to_dot": plan_dot.to_dot, "render": plan_dot.render}.items():
        setattr(Plan, name, method)
    floor = cached_property(floor_bytes)
    floor.__set_name__(Plan, "floor_bytes")
    setattr(Plan, "floor_bytes", floor)  # noqa: B010


def _restored(text: str, constants: dict[str, Any], rules: dict[str, Any]) -> Graph:
    return parse(text, constants=constants, rules=rules)


_attach_operators()
_attach_methods()
