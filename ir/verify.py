"""What must hold of a graph, checked from scratch: it trusts neither the methods that built the graph nor the specs they wrote down.

In: a graph. Out: nothing, or a VerifyError that says in one sentence what is wrong, shows the node among its neighbours as text, and
names the user's line. Passes are valid in, valid out, and free in the middle.
"""
from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np

from ir.errors import Error, VerifyError
from ir.graph import INPUT, Graph, Node, Value
from ir.spec import WEAK, Spec
from ir.text import node_text, rule_names, value_names

KINDS = ("argument", "captured", "state")
_NEIGHBOURS = 4


def verify(graph: Graph) -> None:
    """Raises VerifyError for the first thing that does not hold.

    >>> graph = Graph()
    >>> graph.outputs = [graph.input(Spec((3,)))]
    >>> verify(graph)
    """
    for node in graph.nx:
        _check_operands(graph, node)
        _check_edges(graph, node)
    _check_acyclic(graph)
    for node in graph.nx:
        _check_attrs(graph, node)
        _check_specs(graph, node)
        _check_again(graph, node)
    _check_inputs(graph)
    _check_results(graph)
    _check_order(graph)


def looked_at(graph: Graph) -> tuple[list[Any], ...]:
    """All that `verify` looks at, to be compared: what is equal before and after has been verified already.

    >>> graph = Graph()
    >>> before = looked_at(graph)
    >>> x = graph.input(Spec((3,)))
    >>> looked_at(graph) == before
    False
    """
    nodes = [
        (n, n.graph, n.op, n.operands, n.outputs, n.attrs.copy(), n.recompute_of, [(v.node, v.index, v.spec) for v in n.outputs])
        for n in graph.nx._node
    ]
    edges = [[(source, at, edge.get("index")) for source, keyed in into.items() for at, edge in keyed.items()]
             for into in graph.nx._pred.values()]  # fmt: skip
    return nodes, edges, graph.inputs[:], graph.outputs[:], graph.updates[:], graph.order()[:]


def fail(graph: Graph, node: Node, cause: str) -> VerifyError:
    """The error about a node: the sentence, then the node (`>`) with those that feed and use it."""
    operands = zip(node.op.names(len(node.operands)), [v.spec for v in node.operands])
    around = "".join([f"\n    {line}" for line in _neighbourhood(graph, node)])
    return VerifyError(cause + around).at(op=node.op.name, operands=operands, line=node.line)


def _neighbourhood(graph: Graph, node: Node) -> list[str]:
    graph._order = None  # it may be what is wrong
    names, rules = value_names(graph), rule_names(graph)
    before = dict.fromkeys([v.node for v in node.operands if v.node is not node])
    after = [n for n in (graph.nx.succ[node] if node in graph.nx else ()) if n is not node and n not in before]
    shown = [(" ", n) for n in list(before)[:_NEIGHBOURS]] + [(">", node)] + [(" ", n) for n in after[:_NEIGHBOURS]]
    return [f"{mark} {node_text(n, names | _named(n, names), rules)}" for mark, n in shown]


def _named(node: Node, names: dict[Value, str]) -> dict[Value, str]:
    return {v: "%?" for v in node.outputs if v not in names}


def _check_operands(graph: Graph, node: Node) -> None:
    if node.graph is not graph:
        raise fail(graph, node, "the node says that it belongs to another graph")
    for position, operand in enumerate(node.operands):
        if operand.node not in graph.nx:
            raise fail(graph, node, f"operand {position} is not in the graph")
        if not (0 <= operand.index < len(operand.node.outputs) and operand.node.outputs[operand.index] is operand):
            raise fail(graph, node, f"operand {position} is no output of its own node")
    for k, value in enumerate(node.outputs):
        if value.node is not node or value.index != k:
            raise fail(graph, node, f"output {k} says that it is output {value.index} of {value.node.op.name}")


def _check_edges(graph: Graph, node: Node) -> None:
    """The edges into the node are its operands, one for one."""
    into = graph.nx._pred[node]  # `nx.pred` wraps every level in a view
    edges = {(source, position): data.get("index") for source, keyed in into.items() for position, data in keyed.items()}
    for position, operand in enumerate(node.operands):
        index = edges.pop((operand.node, position), None)
        if index != operand.index:
            raise fail(graph, node, f"operand {position} has no edge of its own in graph.nx")
    if edges:
        source, position = next(iter(edges))
        raise fail(graph, node, f"graph.nx has an edge from {source.op.name} as operand {position}, which the node does not have")


def _check_acyclic(graph: Graph) -> None:
    if not nx.is_directed_acyclic_graph(graph.nx):
        cycle = [edge[0] for edge in nx.find_cycle(graph.nx)]
        raise fail(graph, cycle[0], f"the node depends on itself, through {' -> '.join([n.op.name for n in [*cycle, cycle[0]]][:10])}")


def _check_attrs(graph: Graph, node: Node) -> None:
    for name, value in node.attrs.items():
        try:
            hash(value)
        except TypeError:
            raise fail(graph, node, f"attribute {name} is a {type(value).__name__}, which can't be hashed") from None


def _check_specs(graph: Graph, node: Node) -> None:
    """Every spec is what the operation's rule says (asked anew, past its cache) and is one that we take."""
    try:
        found: Any = node.op.spec(*[v.spec for v in node.operands], **node.attrs)
    except Error as error:
        raise fail(graph, node, f"the rule does not take these operands: {error.cause}") from error
    except TypeError as error:
        raise fail(graph, node, f"the rule does not take these operands or attributes: {error}") from error
    expected = found if isinstance(found, tuple) else (found,)
    if expected != node.specs:
        said, ruled = ", ".join(map(str, node.specs)), ", ".join(map(str, expected))
        raise fail(graph, node, f"the node says {said} but the rule gives {ruled}")
    for spec in node.specs:
        problem = _spec_problem(spec)
        if problem:
            raise fail(graph, node, problem)


def _check_again(graph: Graph, node: Node) -> None:
    """What is computed again is the same operation, where it is still in the graph."""
    first = node.recompute_of
    if first is None or first not in graph.nx:
        return
    if first is node or first.recompute_of is not None:
        raise fail(graph, node, "the node computes again what is itself computed again")
    if first.op is not node.op or first.attrs != node.attrs or first.specs != node.specs:
        raise fail(graph, node, f"the node says that it computes {first.op.name} again, which is another operation")


def _spec_problem(spec: Spec) -> str | None:
    if spec.dtype.kind not in "biufc" or not spec.dtype.isnative:
        return f"dtype {spec.dtype} is none that a graph holds"
    if any(n < 0 for n in spec.shape):
        return f"shape {spec.shape} has a negative size"
    if spec.weak is not None and spec.weak not in WEAK:
        return f"{spec.weak!r} is no weak kind: they are {', '.join(WEAK)}"
    if spec.weak is not None and (spec.shape != () or spec.dtype != np.dtype(WEAK[spec.weak])):
        return f"a weak {spec.weak} has shape () and dtype {np.dtype(WEAK[spec.weak])}, not {spec.shape} and {spec.dtype}"
    return None


def _check_inputs(graph: Graph) -> None:
    listed = [v.node for v in graph.inputs]
    known = set(listed)
    for value in graph.inputs:
        if value.node.op is not INPUT:
            raise fail(graph, value.node, "graph.inputs lists a value that is no input")
        if value.node not in graph.nx:
            raise fail(graph, value.node, "graph.inputs lists an input that is not in the graph")
        if value.node.attrs.get("kind") not in KINDS:
            raise fail(graph, value.node, f"an input is one of {', '.join(KINDS)}")
    if len(known) < len(listed):
        raise fail(graph, next(n for n in listed if listed.count(n) > 1), "graph.inputs lists an input twice")
    for node in graph.nx:
        if node.op is INPUT and node not in known:
            raise fail(graph, node, "an input is missing in graph.inputs")


def _check_results(graph: Graph) -> None:
    for position, value in enumerate(graph.outputs):
        _check_result(graph, value, f"output {position}")
    states: set[Value] = set()
    for state, new in graph.updates:
        _check_result(graph, state, "a state")
        _check_result(graph, new, "the new value of a state")
        if state.node.op is not INPUT or state.node.attrs["kind"] != "state":
            raise fail(graph, state.node, "an update replaces what is no state input")
        if state in states:
            raise fail(graph, state.node, "a state is updated twice")
        if state.spec != new.spec:
            raise fail(graph, new.node, f"an update replaces a state of {state.spec} by {new.spec}")
        states.add(state)


def _check_result(graph: Graph, value: Value, what: str) -> None:
    if value.node not in graph.nx:
        raise fail(graph, value.node, f"{what} is not in the graph")
    if not (0 <= value.index < len(value.node.outputs) and value.node.outputs[value.index] is value):
        raise fail(graph, value.node, f"{what} is no output of its own node")


def _check_order(graph: Graph) -> None:
    """The order that is kept is the one that a fresh walk finds: nothing changed the graph behind its back."""
    kept, graph._order = graph._order, None
    fresh = graph.order()
    if kept is not None and kept != fresh:
        differing = next((b for a, b in zip(kept, fresh) if a is not b), fresh[-1] if len(fresh) > len(kept) else kept[-1])
        raise fail(graph, differing, "the graph was changed without its methods: the order it keeps is out of date")
