"""How the axes of an operation's operands go with those of its result, where a block of the one is a block of the other.

In: a node. Out: for each axis of an operand that can be followed a `Way` to the axis of the result that goes with it: index by index, with
those some indices away (a slice reads, a write into a slice stands there), or a run of indices with one (axes merged or split).

A slice is followed along an axis of which it leaves out little at either end: there a block needs a few rows before or after it (a halo),
and only the first and the last block are cut short.
"""
from __future__ import annotations

from typing import NamedTuple

from ir.graph import Node
from ir.op import Mixed, Op, Part, Same, Shift, Trait
from ir.planning.lockstep import Lockstep, lockstep
from ir.spec import Spec

LITTLE = 8  # a slice leaves out at most one part in so many at either end


class Way(NamedTuple):
    """Index i of the result's `axis` goes with index i + `start` of the operand's; or, if it `runs`, axes are merged or split there."""

    axis: int
    start: int = 0
    runs: bool = False


def shows(op: Op) -> bool:
    """Views: no step computes them."""
    return op.view_of == 0 and not op.has(Trait.HOLDS)


def reads_slice(node: Node) -> bool:
    """`x[a:b]`."""
    return shows(node.op) and "index" in node.attrs


def writes_slice(node: Node) -> bool:
    """`x[a:b] = y`, `x[a:b] += y`."""
    return node.op.family == "update" and "index" in node.attrs


def followed(node: Node) -> dict[tuple[int, int], Way]:
    """(operand, its axis) -> the way from the result's."""
    found: dict[tuple[int, int], Way] = {}
    shape = node.outputs[0].shape
    rules = node.op.axes(node.specs, tuple([v.spec for v in node.operands]), **node.attrs)
    for position, (value, axes) in enumerate(zip(node.operands, rules)):
        for axis, how in enumerate(axes):
            way, size = _way(how), value.shape[axis]
            if way is None or way.runs and how in axes[:axis]:  # the first axis of those that are merged or split leads
                continue
            if _goes(way, how, size, shape[way.axis]):
                found[position, axis] = way
    return _in_lockstep(node, found, lockstep(node))


def _way(how: object) -> Way | None:
    if isinstance(how, Same):
        return Way(how.axis)
    if isinstance(how, Shift) and how.step == 1:
        return Way(how.axis, how.start)
    if isinstance(how, Part) and how.step == 1:
        return Way(how.axis, -how.start)
    if isinstance(how, Mixed) and how.axes:
        return Way(how.axes[0], runs=True)
    return None


def _goes(way: Way, how: object, size: int, result: int) -> bool:
    """Whether the sizes of the axis allow it."""
    if way.runs:
        long, short = max(size, result), min(size, result)
        return short > 1 and long % short == 0
    if isinstance(how, Same):
        return size == result > 1
    if isinstance(how, Part):
        return size > 1 and _little(-way.start, size, result)
    return result > 1 and _little(way.start, result, size)


def _little(start: int, size: int, whole: int) -> bool:
    return max(start, whole - size - start) * LITTLE <= whole


def _in_lockstep(node: Node, found: dict[tuple[int, int], Way], step: Lockstep | None) -> dict[tuple[int, int], Way]:
    if step is None:
        return found
    if node.op.family == "update":  # what another index array points at may lie in any block
        found = {at: way for at, way in found.items() if way.axis not in node.attrs["axes"]}
    return found | dict.fromkeys(step.same, Way(step.axis))


def written_span(node: Node, axis: int) -> tuple[int, int]:
    """The indices along `axis` that a write into a slice writes, where they lie close together; (0, 0) where they do not."""
    start, stop, step = slice(*node.attrs["index"][axis]).indices(node.outputs[0].shape[axis])
    return (start, stop) if step == 1 and start < stop else (0, 0)


def writes_nearly_all(node: Node, axis: int) -> bool:
    """Whether what is written is all along `axis` but for little at the ends, so that each block between them is written alike."""
    start, stop = written_span(node, axis)
    return start < stop and _little(start, stop - start, node.outputs[0].shape[axis])


def with_length(spec: Spec, axis: int, length: int) -> Spec:
    """The spec with so many indices along the axis."""
    return Spec((*spec.shape[:axis], length, *spec.shape[axis + 1 :]), spec.dtype)
