"""The verifier: each way to break a graph behind its methods' backs is seen, said in a sentence, and shown with its line."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ir import Graph, Line, Spec, Value
from ir.errors import VerifyError
from ir.graph import INPUT, Node
from ir.ops import elementwise as e
from ir.ops.opaque import opaque


def example() -> tuple[Graph, Value, Value, Value]:
    """`return tanh(x) * w`, and w's new value; the graph, x, tanh(x) and the product."""
    graph = Graph()
    x = graph.input(Spec((2, 3)))
    w = graph.input(Spec((3,)), "state")
    with graph.at(Line("model.py", 12, "f", text="return tanh(x) * w")):
        y = e.tanh(x)
        z = e.multiply(y, w)
    graph.outputs, graph.updates = [z], [(w, e.negative(w))]
    graph.order()
    return graph, x, y, z


def test_a_good_graph_passes() -> None:
    graph, *_ = example()
    graph.verify()
    Graph().verify()


def wrong_spec(graph: Graph, x: Value, y: Value, z: Value) -> None:
    y.spec = Spec((2, 4))


def wrong_dtype(graph: Graph, x: Value, y: Value, z: Value) -> None:
    z.spec = Spec((2, 3), np.float32)


def weak_result(graph: Graph, x: Value, y: Value, z: Value) -> None:
    z.node.outputs[0].spec = Spec((2, 3), np.float64, "float")


def weak_input(graph: Graph, x: Value, y: Value, z: Value) -> None:
    graph.input(Spec((2,), np.float64, "float"))


def unknown_weak_kind(graph: Graph, x: Value, y: Value, z: Value) -> None:
    graph.input(Spec((), np.float64, "double"))


def foreign_dtype(graph: Graph, x: Value, y: Value, z: Value) -> None:
    graph.input(Spec((3,), ">f8"))


def operand_swapped(graph: Graph, x: Value, y: Value, z: Value) -> None:
    z.node.operands = (x, z.node.operands[1])


def edge_missing(graph: Graph, x: Value, y: Value, z: Value) -> None:
    graph.nx.remove_edge(y.node, z.node, key=0)


def edge_too_many(graph: Graph, x: Value, y: Value, z: Value) -> None:
    graph.nx.add_edge(x.node, z.node, key=7, index=0)


def edge_of_another_output(graph: Graph, x: Value, y: Value, z: Value) -> None:
    graph.nx.edges[y.node, z.node, 0]["index"] = 1


def operand_removed(graph: Graph, x: Value, y: Value, z: Value) -> None:
    graph.nx.remove_node(y.node)


def operand_of_another_graph(graph: Graph, x: Value, y: Value, z: Value) -> None:
    z.node.operands = (example()[2], z.node.operands[1])


def stray_value(graph: Graph, x: Value, y: Value, z: Value) -> None:
    z.node.operands = (Value(y.node, 0, y.spec), z.node.operands[1])


def other_graph(graph: Graph, x: Value, y: Value, z: Value) -> None:
    y.node.graph = Graph()


def cycle(graph: Graph, x: Value, y: Value, z: Value) -> None:
    graph.rewire(y.node, 0, z)


def unhashable(graph: Graph, x: Value, y: Value, z: Value) -> None:
    z.node.attrs["axis"] = [1]


def unknown_attribute(graph: Graph, x: Value, y: Value, z: Value) -> None:
    z.node.attrs["axis"] = 1


def rule_refuses(graph: Graph, x: Value, y: Value, z: Value) -> None:
    graph.rewire(z.node, 1, graph.constant(np.zeros(4)))


def input_not_listed(graph: Graph, x: Value, y: Value, z: Value) -> None:
    del graph.inputs[0]


def input_twice(graph: Graph, x: Value, y: Value, z: Value) -> None:
    graph.inputs.append(x)


def input_is_none(graph: Graph, x: Value, y: Value, z: Value) -> None:
    graph.inputs.append(y)


def input_kind(graph: Graph, x: Value, y: Value, z: Value) -> None:
    graph.input(Spec(()), "parameter")


def output_gone(graph: Graph, x: Value, y: Value, z: Value) -> None:
    graph.outputs = [example()[3]]


def update_of_an_argument(graph: Graph, x: Value, y: Value, z: Value) -> None:
    graph.updates.append((x, y))


def update_twice(graph: Graph, x: Value, y: Value, z: Value) -> None:
    graph.updates *= 2


def update_of_another_spec(graph: Graph, x: Value, y: Value, z: Value) -> None:
    graph.updates = [(graph.updates[0][0], z)]


def order_out_of_date(graph: Graph, x: Value, y: Value, z: Value) -> None:
    y.node.operands, z.node.operands = (z.node.operands[1],), (x, z.node.operands[1])
    y.spec = Spec((3,))
    for node in (y.node, z.node):
        graph.nx.remove_edges_from(list(graph.nx.in_edges(node, keys=True)))
        for position, operand in enumerate(node.operands):
            graph.nx.add_edge(operand.node, node, key=position, index=0)


BROKEN: list[tuple[Callable[..., None], str]] = [
    (wrong_spec, "the node says f64[2,4] but the rule gives f64[2,3]"),
    (wrong_dtype, "the node says f32[2,3] but the rule gives f64[2,3]"),
    (weak_result, "the node says float but the rule gives f64[2,3]"),
    (weak_input, "a weak float has shape () and dtype float64, not (2,) and float64"),
    (unknown_weak_kind, "'double' is no weak kind"),
    (foreign_dtype, "dtype >f8 is none that a graph holds"),
    (operand_swapped, "operand 0 has no edge of its own in graph.nx"),
    (edge_missing, "operand 0 has no edge of its own in graph.nx"),
    (edge_too_many, "graph.nx has an edge from input as operand 7"),
    (edge_of_another_output, "operand 0 has no edge of its own in graph.nx"),
    (operand_removed, "operand 0 is not in the graph"),
    (operand_of_another_graph, "operand 0 is not in the graph"),
    (stray_value, "operand 0 is no output of its own node"),
    (other_graph, "the node says that it belongs to another graph"),
    (cycle, "the node depends on itself, through"),
    (unhashable, "attribute axis is a list, which can't be hashed"),
    (unknown_attribute, "the rule does not take these operands or attributes"),
    (rule_refuses, "the rule does not take these operands: shapes (2, 3) and (4,) do not broadcast"),
    (input_not_listed, "an input is missing in graph.inputs"),
    (input_twice, "graph.inputs lists an input twice"),
    (input_is_none, "graph.inputs lists a value that is no input"),
    (input_kind, "an input is one of argument, captured, state"),
    (output_gone, "output 0 is not in the graph"),
    (update_of_an_argument, "an update replaces what is no state input"),
    (update_twice, "a state is updated twice"),
    (update_of_another_spec, "an update replaces a state of f64[3] by f64[2,3]"),
    (order_out_of_date, "the graph was changed without its methods"),
]


@pytest.mark.parametrize("breaks, cause", BROKEN, ids=[f.__name__ for f, _ in BROKEN])
def test_each_fault_is_seen(breaks: Callable[..., None], cause: str) -> None:
    graph, x, y, z = example()
    breaks(graph, x, y, z)
    with pytest.raises(VerifyError) as caught:
        graph.verify()
    assert cause in caught.value.cause
    assert "\n    > " in caught.value.cause


def test_the_error_shows_node_neighbours_and_line() -> None:
    graph, x, y, z = example()
    z.spec = Spec((2, 3), np.float32)
    with pytest.raises(VerifyError) as caught:
        graph.verify()
    assert str(caught.value) == """multiply: the node says f32[2,3] but the rule gives f64[2,3]
      %2 = tanh(%0) : f64[2,3]
      %1 = input() {kind="state"} : f64[3]
    > %3 = multiply(%2, %1) : f32[2,3]
  model.py:12 in f   return tanh(x) * w      x: f64[2,3]   y: f64[3]"""
    assert (caught.value.op, [n for n, _ in caught.value.operands]) == ("multiply", ["x", "y"])


def test_several_outputs() -> None:
    graph = Graph()
    x = graph.input(Spec((2,)))
    a, b = opaque(x, specs=(Spec((2,)), Spec((3,))))
    graph.outputs = [b, a]
    graph.verify()
    b.index = 0
    with pytest.raises(VerifyError, match="output 1 says that it is output 0"):
        graph.verify()


def test_a_deep_graph() -> None:
    graph = Graph()
    y = graph.input(Spec(()))
    with graph.at(Line("a.py", 1)):
        for _ in range(20_000):
            y = -y
    graph.outputs = [y]
    graph.verify()


def test_inputs_are_known_by_their_operation() -> None:
    graph = Graph()
    Node(graph, INPUT, (), {"kind": "argument", "spec": Spec(())}, (Spec(()),), None)
    graph.verify()
