"""The kind of a power of Python numbers hangs on their values: `2**-1` is a float, `(-4.0)**0.5` complex. A trace holds for one kind.

In: a power that was recorded, and how its numbers are found at a call. Out: a check that the call's numbers give the same kind. It is
made of steps of its own, since passes rewrite the graph that the power stands in.
"""
from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ir.graph import CONSTANT, INPUT, Value

Getter = Callable[[list[Any]], Any]


def kind_holds(power: Value, getters: dict[int, Getter]) -> Callable[[list[Any]], bool] | None:
    """`getters`: for each graph input how the leaves of a call give its number. None where a number comes from elsewhere."""
    steps: list[tuple[Any, Any]] = []  # (a getter or operator's name, the places of its operands)
    place: dict[Value, int] = {}
    stack = [power]
    while stack:
        value = stack[-1]
        node = value.node
        missing = [v for v in node.operands if v not in place]
        if value in place or missing:
            stack = stack[:-1] if value in place else [*stack, *missing]
            continue
        if node.op is CONSTANT:
            steps.append((_always(node.attrs["value"].value), None))
        elif node.op is INPUT:
            get = getters.get(node.graph.inputs.index(value))
            if get is None:
                return None
            steps.append((get, None))
        else:
            steps.append((getattr(operator, node.attrs["fn"]), [place[v] for v in node.operands]))
        place[value] = len(steps) - 1
        stack.pop()
    weak = power.spec.weak

    def check(leaves: list[Any]) -> bool:
        found: list[Any] = []
        try:
            for do, operands in steps:
                found.append(do(leaves) if operands is None else do(*[found[k] for k in operands]))
        except (ArithmeticError, TypeError, ValueError):
            return True  # the program says it with the line
        return type(found[-1]).__name__ == weak

    return check


def _always(number: Any) -> Getter:
    return lambda leaves: number
