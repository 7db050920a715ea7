"""Which states stay in Fortran's order: a graph and how its inputs lie in, the states that are updated where they lie out.

A state that is written lies in C order, into which it is copied once where it does not. In Fortran's it stays where that makes everything
alike: all that its new value is made of element by element, states and arguments of its shape, lies in Fortran's order too. So Adam over
matrices that lie so, with gradients that are given so, goes through memory straight; where a gradient comes out of a product, in C order,
the states follow it.
"""
from __future__ import annotations

from collections.abc import Mapping

from ir.graph import CONSTANT, INPUT, Graph, Value
from ir.op import Trait
from ir.target import Target


def kept_in_fortran_order(graph: Graph, layouts: Mapping[int, object], target: Target) -> set[int]:
    """The indices of the inputs that are such states. `layouts`: how each input lies now. Those that may come to lie in a pack are none.

    >>> from ir.ops.elementwise import add
    >>> from ir.spec import Spec
    >>> graph, shape = Graph(), Spec((4, 3))
    >>> state, x = graph.input(shape, "state"), graph.input(shape)
    >>> graph.updates = [(state, add(state, x))]
    >>> [kept_in_fortran_order(graph, {0: "F", 1: lies}, Target("toy", {})) for lies in "FC"]
    [{0}, set()]
    """
    lies = {value: layouts.get(k, "C") for k, value in enumerate(graph.inputs)}
    made_of = {s: _made_of(s, new) for s, new in graph.updates if lies[s] == "F" and s.spec.nbytes > target.pack_bytes}
    states, kept = {state for state, _ in graph.updates}, set(made_of)
    while gone := {s for s in kept if not all(v in kept if v in states else lies.get(v) == "F" for v in made_of[s])}:
        kept -= gone
    return {k for k, value in enumerate(graph.inputs) if value in kept}


def _made_of(state: Value, new: Value) -> set[Value]:
    """The values of the state's shape that elementwise operations lead from to the new one."""
    found, seen, stack = set[Value](), {new}, [new]
    while stack:
        value = stack.pop()
        if not value.node.op.has(Trait.ELEMENTWISE) or value.node.op in (INPUT, CONSTANT):
            found.add(value)
            continue
        for operand in value.node.operands:
            if operand.shape == state.shape and operand not in seen:
                seen.add(operand)
                stack.append(operand)
    return found
