"""Where values live: sources and views get their places here, and new values the order of axes that NumPy would give them.

A view operation costs no step; a reshape that NumPy could not do without moving elements is a Copy step.
"""
from __future__ import annotations

from ir.errors import ArgumentError
from ir.graph import Node, Value
from ir.place import Place
from ir.plan import View
from ir.planning.draft import Draft
from ir.planning.orders import result_strides
from ir.planning.strides import Ints, c_strides, f_strides, viewed
from ir.spec import Spec


def place_inputs(draft: Draft) -> tuple[Place, ...]:
    """Gives every input that is no Python number its place; returns those of the states."""
    states = []
    for index, value in enumerate(draft.graph.inputs):
        if value.spec.weak is None:
            kind = "state" if value.node.attrs["kind"] == "state" else "input"
            strides = _input_strides(value.spec, draft.layouts.get(index, "C"))
            place = _packed(draft, value, index)
            if place is None:
                place = Place(draft.buffer(kind, value.spec.nbytes, index), 0, value.shape, strides, value.dtype)
            draft.put(value, place)
            if kind == "state":
                states.append(place)
    return tuple(states)


def _packed(draft: Draft, state: Value, index: int) -> Place | None:
    """The place of a state in its pack, whose buffer comes with the first of its states."""
    join = draft.packs.joined.get(state)
    if join is None:
        return None
    known = [draft.places[s].buffer for s in draft.packs.members[join] if s in draft.places]
    buffer = known[0] if known else draft.buffer("state", join.spec.nbytes, index)
    return Place(buffer, draft.packs.offsets[state], state.shape, c_strides(state.shape, state.dtype.itemsize), state.dtype)


def _input_strides(spec: Spec, layout: str | Ints) -> Ints | None:
    if isinstance(layout, tuple) and len(layout) == spec.ndim:
        return layout
    if layout == "C" or spec.ndim == 0:
        return c_strides(spec.shape, spec.dtype.itemsize)
    if layout == "F":
        return f_strides(spec.shape, spec.dtype.itemsize)
    if layout in ("any", "gaps"):
        return None
    raise ArgumentError(f"unknown layout {layout!r} of an input", mend='use "C", "F", "any", "gaps", or its strides')


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


def new_strides(node: Node, spec: Spec, reads: tuple[Place, ...], index: int = 0) -> Ints:
    """The strides of a new output of `node`: NumPy's. What lies as only the call will tell counts as C-ordered."""
    lies = [(p.shape, c_strides(p.shape, p.dtype.itemsize) if p.strides is None else p.strides, p.dtype) for p in reads]
    return result_strides(node.op, node.attrs, lies, spec, index)


def sliced(place: Place, index: tuple[tuple[int | None, int | None, int | None], ...]) -> Place:
    """The place that `array[slice(*index[0]), ...]` shows."""
    assert place.strides is not None
    offset, shape, strides = place.offset, [], []
    for triple, n, stride in zip(index, place.shape, place.strides):
        start, stop, step = slice(*triple).indices(n)
        count = len(range(start, stop, step))
        offset += start * stride
        shape.append(count)
        strides.append(stride * step)
    return Place(place.buffer, place.offset if 0 in shape else offset, tuple(shape), tuple(strides), place.dtype)
