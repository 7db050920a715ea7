"""The text of a graph: what each thing looks like, and that equal graphs have equal texts."""
from __future__ import annotations

import numpy as np
import pytest

from ir import Constant, Graph, Line, Spec  # noqa: F401  (Constant: in the cases below)
from ir.ops import elementwise as e
from ir.ops.custom import custom
from ir.ops.opaque import opaque
from ir.text import attr_text


class Doubling:
    """A rule of a user's."""

    def __init__(self, name: str):
        self.name = name

    def vjp(self, g, outs, ins):
        return g


def test_the_whole_form() -> None:
    graph = Graph()
    x = graph.input(Spec((100, 3)), line=Line("/home/me/model.py", 10, "predict", text="x"))
    b = graph.input(Spec((3,), np.float32), "state", line=Line("/home/me/model.py", 10, "predict", text="b"))
    with graph.at(Line("/home/me/model.py", 12, "predict", text="y = 2 * x + b  # twice")):
        y = 2 * x + b
    with graph.at(Line("/home/me/model.py", 12, "predict", "backward", text="y = 2 * x + b  # twice")):
        new, flag = opaque(y, b, specs=(Spec((3,), "f4"), Spec((), "?")))
    graph.outputs, graph.updates = [y, flag], [(b, new)]
    assert str(graph) == '''graph {
  %0 = input() {kind="argument"} : f64[100,3]   # model.py:10 in predict  x
  %1 = input() {kind="state"} : f32[3]   # model.py:10 in predict  b
  %2 = const(2) : int   # model.py:12 in predict  y = 2 * x + b  # twice
  %3 = multiply(%2, %0) : f64[100,3]   # model.py:12 in predict  y = 2 * x + b  # twice
  %4 = add(%3, %1) : f64[100,3]   # model.py:12 in predict  y = 2 * x + b  # twice
  %5, %6 = opaque(%4, %1) {specs=(f32[3], bool[])} : f32[3], bool[]   # model.py:12 in predict (backward)  y = 2 * x + b  # twice
  return %4, %6
  update %1 <- %5
}'''
    assert "#" not in graph.text(lines=False)


def test_a_graph_without_anything() -> None:
    assert str(Graph()) == "graph {\n  return\n}"


ATTRIBUTES = """
None                                | None
True                                | True
np.True_                            | True
3                                   | 3
np.int64(3)                         | 3
-1                                  | -1
2**70                               | 1180591620717411303424
0.1                                 | 0.1
-0.0                                | -0.0
1e300                               | 1e+300
np.float64(2.5)                     | 2.5
float('inf')                        | inf
float('-inf')                       | -inf
float('nan')                        | nan
-float('nan')                       | bits(0xfff8000000000000)
1j                                  | complex(0.0, 1.0)
complex(-0.0, 1)                    | complex(-0.0, 1.0)
'raise'                             | "raise"
'a "b" \\n'                         | "a \\"b\\" \\n"
'\\u00e9'                           | "\\u00e9"
()                                  | ()
(1,)                                | (1,)
((0, None, 2), (1, 2))              | ((0, None, 2), (1, 2))
slice(1, None, -1)                  | slice(1, None, -1)
np.dtype('float32')                 | f32
np.dtype('>i2')                     | i16
np.dtype(bool)                      | bool
np.complex64                        | c64
Spec(())                            | f64[]
Spec((3, 5), 'u1')                  | u8[3,5]
Spec((), float, 'float')            | float
Constant(1.5)                       | const(float: 1.5)
Constant(np.float32(0.1))           | const(f32[]: 0.1)
Constant(np.array([[1, 2]]))        | const(i64[1,2]: 1, 2)
Constant(np.zeros((0, 2)))          | const(f64[0,2]: )
Doubling('Twice')                   | @Twice
Doubling('a rule')                  | @"a rule"
"""


@pytest.mark.parametrize("case", ATTRIBUTES.strip().split("\n"))
def test_attributes(case: str) -> None:
    value, text = [part.strip() for part in case.rsplit(" | ", 1)]
    assert attr_text(eval(value)) == text


def test_an_attribute_without_a_form_still_prints() -> None:
    assert attr_text(frozenset([1])) == "<frozenset({1})>"


def test_attributes_are_sorted_by_name() -> None:
    graph = Graph()
    x = graph.input(Spec((2,)))
    graph.outputs = [custom(x, x, rule=Doubling("Twice"), outs=1)]
    other = Graph()
    x = other.input(Spec((2,)))
    other.outputs = [custom(x, x, outs=1, rule=Doubling("Twice"))]
    assert graph.text(lines=False) == other.text(lines=False)
    assert "{outs=1, rule=@Twice}" in str(graph)


def test_rules_with_one_name_are_told_apart() -> None:
    graph = Graph()
    x = graph.input(Spec((2,)))
    first, second = Doubling("Twice"), Doubling("Twice")
    y = custom(x, x, outs=1, rule=first)
    graph.outputs = [custom(y, y, outs=1, rule=second), custom(y, x, outs=1, rule=first)]
    assert graph.rules == {"Twice": first, "Twice.2": second}
    shown = [word for word in graph.text(lines=False).split() if word.startswith("rule=")]
    assert shown == ["rule=@Twice}", "rule=@Twice.2}", "rule=@Twice}"]


@pytest.mark.parametrize("count, inline", [(16, True), (17, False)])
def test_constants_past_sixteen_elements_are_checksums(count: int, inline: bool) -> None:
    graph = Graph()
    graph.outputs = [graph.constant(np.arange(count))]
    assert ("sha256:" not in str(graph)) == inline
    assert len(graph.constants) == 1


def test_the_order_in_which_a_graph_was_built_does_not_show() -> None:
    texts = []
    for swap in (False, True):
        graph = Graph()
        x = graph.input(Spec((2,)))
        if swap:
            right, left = e.negative(x), e.tanh(x)
        else:
            left, right = e.tanh(x), e.negative(x)
        graph.outputs = [e.multiply(left, right)]
        texts.append(graph.text(lines=False))
    assert texts[0] == texts[1]


def test_a_line_of_many_lines_stays_one_comment() -> None:
    graph = Graph()
    graph.outputs = [graph.input(Spec(()), line=Line("a.py", 1, text="x = (\r1\n+ 2)"))]
    assert str(graph).split("\n")[1].endswith("# a.py:1  x = ( 1 + 2)")


def test_a_deep_graph_prints() -> None:
    graph = Graph()
    y = graph.input(Spec(()))
    with graph.at(Line("a.py", 1, text="y = -y")):
        for _ in range(20_000):
            y = -y
    graph.outputs = [y]
    assert str(graph).count("\n") == 20_003
