"""The ends of a plan: outputs become results of the caller's, updates become writes of states.

A result is a fresh array: the buffer that holds the output alone, turned into one, or a copy. What NumPy gives as a scalar needs none:
the scalar is made anew from where the value lies. A state is written when all that can fail is over: by a last elementwise kernel
straight in place, where nothing else reads what it writes, otherwise by a Copy.
"""
from __future__ import annotations

from ir.graph import Node, Value
from ir.op import Trait
from ir.plan import Call, Copy, Place
from ir.planning.draft import Draft
from ir.planning.reuse import fits
from ir.planning.select import choose
from ir.planning.strides import is_dense


def place_results(draft: Draft) -> tuple[Place | None, ...]:
    """A result buffer for each output, None for a Python number; to be called before any state is written."""
    return tuple([None if v.spec.weak else _result(draft, k, v) for k, v in enumerate(draft.graph.outputs)])


def is_scalar(value: Value) -> bool:
    """Whether NumPy gives a scalar here, not a 0-d array."""
    return not value.shape and not value.node.op.has(Trait.ARRAY)


def _result(draft: Draft, index: int, value: Value) -> Place:
    place = draft.places[value]
    if is_scalar(value):
        draft.kept.append(place.buffer)
        return place
    if place.buffer.kind == "arena" and fills(place):
        place.buffer.kind, place.buffer.index = "result", index
        return place
    return draft.copied(place, "a result of its own", value.node.line, order="K", kind="result", index=index)


def place_rows(draft: Draft) -> tuple[Place | None, ...]:
    """As `place_results` for the body of a loop, which copies the outputs away: they stay where they are, but not in a state."""
    found: list[Place | None] = []
    for value in draft.graph.outputs:
        place = None if value.spec.weak else draft.places[value]
        if place is not None and place.buffer.kind == "state":
            place = draft.copied(place, "read before the state is written", value.node.line)
        if place is not None:
            draft.kept.append(place.buffer)
        found.append(place)
    return tuple(found)


def fills(place: Place) -> bool:
    """Whether the place is all of its buffer, each byte once."""
    if place.strides is None or place.offset:
        return False
    size = place.dtype.itemsize
    count = 1
    for n in place.shape:
        count *= n
    return count * size == place.buffer.bytes and is_dense(place.shape, place.strides, size)


def write_straight(draft: Draft, node: Node, state: Value) -> bool:
    """Tries to let `node`, whose output is the new value of `state` and nothing else, write into it, as a step of the tail."""
    home = draft.places[state]
    kernel, reads, writes = choose(draft, node)
    at = [k for k in kernel.overwrites if reads[k].buffer is home.buffer and reads[k].offset == 0 and fits(home, writes[0])]
    written = {step.writes[0].buffer if isinstance(step, Call) else step.write.buffer for step in draft.tail}
    same = all(
        p.buffer is not home.buffer or (p.offset == 0 and p.shape == home.shape and p.strides == home.strides and p.dtype == home.dtype)
            for p in reads
    )
    if not at or not same or len(writes) > 1 or any(p.buffer in written for p in reads):
        return False
    # its uses stay ahead: what is still to be placed runs before it and must leave its operands alone
    draft.tail.append(Call(kernel, node, reads, (home,), draft.temps(kernel, node)))
    draft.put(node.outputs[0], home)
    return True


def may_write_straight(draft: Draft, node: Node) -> bool:
    """Whether a node that gives a state's new value can neither fail half-way nor has another reader."""
    safe = node.op.has(Trait.ELEMENTWISE) or (node.op.family == "update" and len(node.operands) == 2)
    return safe and len(node.outputs) == 1 and draft.uses(node.outputs[0]) == 1


def write_states(draft: Draft) -> None:
    """Copies the new values that are not in their states yet; those that lie in a state are set aside first."""
    copies = []
    for state, new in draft.graph.updates:
        home, place = draft.places[state], draft.places[new]
        if place is home or state is new:
            continue
        if place.buffer.kind == "state":
            place = draft.copied(place, "set aside: its state is written", new.node.line)
        copies.append(Copy(place, home, "the state's new value", new.node.line))
    draft.tail += copies
