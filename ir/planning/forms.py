"""Nodes of one form: the same operation with the same attributes on operands of the same specs. What such facts decide is asked once.

A network of many layers has thousands of nodes and some tens of forms. Sources, nodes whose axes also hang on what constants hold
(index arrays that count, see `lockstep.py`), and those whose operation holds an object of the user's have forms of their own.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from ir.graph import Node
from ir.op import Trait

T = TypeVar("T")


def forms(nodes: Iterable[Node]) -> dict[Node, int]:
    """A number for each node, the same for nodes of one form."""
    numbers: dict[Any, int] = {}
    found = {}
    for node in nodes:
        op, attrs = node.op, node.attrs
        alone = not node.operands or op.has(Trait.HOLDS) or (op.family in ("index", "update") and "axes" in attrs)
        key = node if alone else (op, tuple(attrs.items()), tuple([v.spec for v in node.operands]), node.specs)
        found[node] = numbers.setdefault(key, len(numbers))
    return found


def of_forms(form: Mapping[Node, int], nodes: Iterable[Node], ask: Callable[[Node], T]) -> dict[Node, T]:
    """What `ask` says of each node, asked once for each form."""
    known: dict[int, T] = {}
    found = {}
    for node in nodes:
        number = form[node]
        if number not in known:
            known[number] = ask(node)
        found[node] = known[number]
    return found
