"""Records to graphs: gathering what a value or gradient needs, the key under which equal work is found again, building the graph.

A key is a tuple over the records in the order in which they were made: entry, the number of each operand, facts about each result.
Results are numbered from 0 up in that order; what comes from outside the gathered records is a leaf, numbered -1, -2, ... as met.
Nothing here computes a value.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable
from operator import attrgetter
from typing import Any

from ir.errors import Error
from ir.gradient import append_gradient
from ir.graph import Graph, Value
from ir.source import line_at
from ir.spec import Spec
from tracer.eager.records import Application, Entry, Input, Part, Place, Record, places

_serial = attrgetter("serial")


def pending(roots: Iterable[Place]) -> list[Application]:
    """The records to run for `roots`: theirs and all that they need and that is not done, in the order they were made."""
    stack: list[Application] = [root.record for root in roots]
    found = set(stack)
    while stack:
        for x in stack.pop().inputs:
            if (type(x) is Record or type(x) is Part) and not x.done:
                record = x if type(x) is Record else x.record
                if record not in found:
                    found.add(record)
                    stack.append(record)
    return sorted(found, key=_serial)


def history(root: Place) -> list[Application]:
    """The records that a gradient from `root` passes through, in the order they were made."""
    stack: list[Application] = [root.record]
    found = set(stack)
    while stack:
        for x in stack.pop().inputs:
            if (type(x) is Record or type(x) is Part) and not x.cut:
                record = x if type(x) is Record else x.record
                if record not in found:
                    found.add(record)
                    stack.append(record)
    return sorted(found, key=_serial)


class Wiring:
    """The numbering of a list of records: `key` their part of the fingerprint, `outs` and `leaves` by number.

    A result that nobody can ask for any more is None in `outs`.
    """

    __slots__ = ("records", "key", "outs", "leaves")

    def __init__(self, records: list[Application]):
        self.records = records
        self.key: list[Any] = []
        self.outs: list[Place | None] = []
        self.leaves: list[Input] = []
        key, outs, leaves = self.key.append, self.outs, self.leaves
        number: dict[Any, int] = {}
        for record in records:
            key(record.entry)
            for x in record.inputs:
                n = number.get(x)
                if n is None:
                    leaves.append(x)
                    n = number[x] = -len(leaves)
                key(n)
            if type(record) is Record:
                number[record] = len(outs)
                outs.append(record)
            else:
                for part in places(record):
                    if part is not None:
                        number[part] = len(outs)
                    outs.append(part)

    def operand_numbers(self) -> list[tuple[Application, list[int]]]:
        """Each record with the numbers of its operands."""
        found, at = [], 0
        for record in self.records:
            found.append((record, self.key[at + 1 : at + 1 + len(record.inputs)]))
            at += 1 + len(record.inputs)
        return found

    def build(self, graph: Graph, stops: Collection[int] = ()) -> tuple[list[Value], list[Value]]:
        """Adds the records to a graph; gives the Values of leaves (inputs) and of results.

        Who reads a result whose number is in `stops` reads an input instead, which takes its place in the second list.
        """
        leaves = [graph.input(spec) for spec in self.leaf_specs()]
        values: list[Value] = []
        for record, operands in self.operand_numbers():
            with graph.at(line_at(record.spot) if record.spot is not None else None):
                made = record.entry.build(graph, [leaves[~n] if n < 0 else values[n] for n in operands])
            for value in made:
                values.append(graph.input(value.spec) if len(values) in stops else value)
        return leaves, values

    def leaf_specs(self) -> list[Spec]:
        """The spec under which each leaf is read."""
        specs: list[Spec | None] = [None] * len(self.leaves)
        for record, operands in self.operand_numbers():
            for n, spec in zip(operands, record.entry.specs):
                if n < 0:
                    specs[~n] = spec
        return specs  # type: ignore[return-value]


def extract(outputs: list[Value], boundary: dict[Value, Any]) -> tuple[Graph, list[Any], dict[Value, Value]]:
    """What `outputs` need beyond `boundary`, as a graph of its own; and the map from Values to its Values.

    Its inputs stand for the Values of `boundary` that it reads; the list gives what `boundary` says of each.
    """
    graph, tags = Graph(), []
    mapped: dict[Value, Value] = {}
    for output in outputs:
        stack = [output]
        while stack:
            value = stack[-1]
            if value in mapped:
                stack.pop()
            elif value in boundary:
                mapped[value] = graph.input(value.spec)
                tags.append(boundary[value])
                stack.pop()
            elif missing := [v for v in value.node.operands if v not in mapped]:
                stack += reversed(missing)
            else:
                node = value.node
                made = graph.apply(node.op, [mapped[v] for v in node.operands], node.attrs, node.line)
                mapped.update(zip(node.outputs, made if type(made) is tuple else (made,)))
                stack.pop()
        graph.outputs.append(mapped[output])
    return graph, tags, mapped


def needs(entry: Entry) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
    """Which inputs, and which outputs, a gradient through such a record reads."""
    if entry.needs is None:
        graph = Graph()
        inputs = [graph.input(spec) for spec in entry.specs]
        outs = entry.build(graph, inputs)
        wrt = [v for v in inputs if v.dtype.kind in "fc" and v.spec.weak is None]
        roots = [v for v in outs if v.dtype.kind in "fc"]
        read: set[Value] = set()
        seeds = [graph.input(v.spec) for v in roots]
        try:
            grads = append_gradient(graph, roots, seeds, wrt)
        except Error:  # an operation without gradient: backward() will say so; there is nothing to keep for it
            grads = []
        except Exception:  # a rule of the user's that fails: it is backward() that must show it, so all that it might read is kept
            grads = [*inputs, *outs]
        read.update(extract(grads, {v: v for v in [*inputs, *seeds, *outs]})[1])
        entry.needs = tuple([v in read for v in inputs]), tuple([v in read for v in outs])
    return entry.needs
