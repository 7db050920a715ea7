"""Where values live: sources and views get their places here, and new values the order of axes that NumPy would give them.

A view operation costs no step; a reshape that NumPy could not do without moving elements is a Copy step.
"""
from __future__ import annotations

from ir.errors import ArgumentError
from ir.graph import Node
from ir.op import Trait
from ir.plan import Place, View
from ir.planning.draft import Draft
from ir.planning.strides import (
    Ints,
    c_strides,
    f_strides,
    k_strides,
    permuted_strides,
    viewed,
)
from ir.spec import Spec


def place_inputs(draft: Draft) -> tuple[Place, ...]:
    """Gives every input that is no Python number its place; returns those of the states."""
    states = []
    for index, value in enumerate(draft.graph.inputs):
        if value.spec.weak is None:
            kind = "state" if value.node.attrs["kind"] == "state" else "input"
            strides = _input_strides(value.spec, draft.layouts.get(index, "C"))
            place = Place(draft.buffer(kind, value.spec.nbytes, index), 0, value.shape, strides, value.dtype)
            draft.put(value, place)
            if kind == "state":
                states.append(place)
    return tuple(states)


def _input_strides(spec: Spec, layout: str) -> Ints | None:
    if layout == "C" or spec.ndim == 0:
        return c_strides(spec.shape, spec.dtype.itemsize)
    if layout == "F":
        return f_strides(spec.shape, spec.dtype.itemsize)
    if layout == "any":
        return None
    raise ArgumentError(f"unknown layout {layout!r} of an input", mend='use "C", "F" or "any"')


def place_constant(draft: Draft, node: Node) -> None:
    """An array constant gets a buffer with its data; a Python number has none until a kernel asks for it as a dtype."""
    value = node.outputs[0]
    if value.spec.weak is None:
        data = node.attrs["value"].array()
        draft.put(value, Place(draft.buffer("const", value.spec.nbytes, data=data), 0, value.shape, data.strides, value.dtype))


def place_view(draft: Draft, node: Node) -> None:
    """A view of its operand's place, or a Copy to C order and a view of that."""
    operand, value = node.operands[node.op.view_of or 0], node.outputs[0]
    source = draft.slot(operand, value.dtype, node.line) if operand.spec.weak else draft.places[operand]
    if source.strides is None and node.op.name == "reshape":
        source = draft.copied(source, "reshape", node.line)
    if source.strides is None:
        place = Place(source.buffer, 0, value.shape, None, value.dtype)
    else:
        found = viewed(node, source.shape, source.strides, source.dtype)
        if found is None:
            source = draft.copied(source, "reshape", node.line)
            found = 0, c_strides(value.shape, value.dtype.itemsize)
        place = Place(source.buffer, source.offset + found[0], value.shape, found[1], value.dtype)
    draft.views.append(View(place, source, node))
    draft.put(value, place)
    draft.use(node)


def new_strides(node: Node, spec: Spec, reads: tuple[Place, ...]) -> Ints:
    """The strides of a new output of `node`: NumPy's, by the order that the operation states ("C", or "K": as the operands)."""
    size = spec.dtype.itemsize
    known = [p for p in reads if p.strides is not None and p.shape]
    if node.op.order != "K" or spec.ndim < 2 or all(p.contiguous() for p in known):
        return c_strides(spec.shape, size)
    if node.op.has(Trait.ELEMENTWISE):
        return k_strides(spec.shape, size, tuple([(p.shape, p.strides) for p in known if p.strides is not None]))
    axis = node.attrs.get("axis")
    if isinstance(axis, tuple):
        return _reduced_strides(spec, reads[0], axis, bool(node.attrs.get("keepdims")))
    read = reads[0]
    strides = read.strides if read.shape == spec.shape else None
    return c_strides(spec.shape, size) if strides is None else k_strides(spec.shape, size, ((read.shape, strides),))


def _reduced_strides(spec: Spec, read: Place, axis: Ints, keepdims: bool) -> Ints:
    """A reduction keeps the order of the axes that it leaves."""
    size, strides = spec.dtype.itemsize, read.strides
    if strides is None:
        return c_strides(spec.shape, size)
    left = [k for k in range(len(read.shape)) if k not in axis]
    shape = tuple([read.shape[k] for k in left])
    kept = k_strides(shape, size, ((shape, tuple([strides[k] for k in left])),))
    if not keepdims:
        return kept
    slow_first = sorted(range(len(left)), key=lambda k: (-kept[k], k))
    return permuted_strides(spec.shape, size, (*axis, *[left[k] for k in slow_first]))
