"""The ends of a plan: outputs become results of the caller's, updates become writes of states.

A result is a fresh array: the buffer that holds the output alone, turned into one, or a copy. What NumPy gives as a scalar needs none:
the scalar is made anew from where the value lies. A state is written when all that can fail is over: where `commit.py` finds that its new
value can be computed in place, otherwise by a Copy at the very end.
"""
from __future__ import annotations

from ir.graph import Value
from ir.op import Trait
from ir.place import Place
from ir.plan import Copy
from ir.planning.draft import Draft
from ir.planning.strides import c_strides, is_dense, k_strides
from ir.spec import Spec


def place_results(draft: Draft) -> tuple[Place | None, ...]:
    """A result buffer for each output, None for a Python number; to be called before any state is written."""
    return tuple([None if v.spec.weak else _result(draft, k, v) for k, v in enumerate(draft.graph.outputs)])


def is_scalar(value: Value) -> bool:
    """Whether NumPy gives a scalar here, not a 0-d array."""
    return not value.shape and not value.node.op.has(Trait.ARRAY)


def _result(draft: Draft, index: int, value: Value) -> Place:
    place = draft.places[value]
    if is_scalar(value) and place.buffer.kind != "state":
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


def place_blocks(draft: Draft, wholes: tuple[Spec, ...]) -> tuple[Place | None, ...]:
    """As `place_results` for the body of a region: output k is the block of an array of spec `wholes[k]`, whose axes will lie in memory
    in the order in which the block's do; or it lies where the draft says that it is to.
    """
    found = []
    for index, (value, whole) in enumerate(zip(draft.graph.outputs, wholes)):
        place = draft.places[value]
        if index in draft.homes:
            found.append(draft.homes[index])
            continue
        lies = place.strides or c_strides(place.shape, place.dtype.itemsize)
        strides = k_strides(whole.shape, whole.dtype.itemsize, ((place.shape, lies),))
        if place.buffer.kind == "arena" and fills(place) and _alike(place.shape, lies, strides):
            place.buffer.kind, place.buffer.index = "result", index
            found.append(place)
        else:
            block = Place(draft.buffer("result", value.spec.nbytes, index), 0, place.shape, strides, place.dtype)
            draft.steps.append(Copy(place, block, "the block of a result", value.node.line))
            found.append(block)
    for index, home in draft.homes.items():  # now nothing reads what lay there
        value = draft.graph.outputs[index]
        if not same(draft.places[value], home):
            draft.steps.append(Copy(draft.places[value], home, "the block of a result", value.node.line))
    return tuple(found)


def alike(a: Place, b: Place) -> bool:
    """Whether they are read and written alike: places of one shape and dtype, with the same strides."""
    same_kind = a.shape == b.shape and a.dtype == b.dtype
    return same_kind and a.strides is not None and b.strides is not None and _alike(a.shape, a.strides, b.strides)


def _alike(shape: tuple[int, ...], a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether these strides lead to the same elements."""
    return all(n == 1 or p == q for n, p, q in zip(shape, a, b))


def fills(place: Place) -> bool:
    """Whether the place is all of its buffer, each byte once."""
    if place.strides is None or place.offset:
        return False
    size = place.dtype.itemsize
    count = 1
    for n in place.shape:
        count *= n
    return count * size == place.buffer.bytes and is_dense(place.shape, place.strides, size)


def same(a: Place, b: Place) -> bool:
    """Whether two places are the same elements."""
    return a.buffer is b.buffer and a.offset == b.offset and a.strides == b.strides


def set_aside(draft: Draft) -> dict[Value, Place]:
    """Copies of the new values that lie in a state already (another's old value), by state: to be made before any is written."""
    found: dict[Value, Place] = {}
    for state, new in draft.graph.updates:
        place = draft.places.get(new)
        if place is not None and new is not state and place.buffer.kind == "state":
            found[state] = draft.copied(place, "set aside: its state is written", new.node.line)
    return found


def write_states(draft: Draft, aside: dict[Value, Place]) -> None:
    """Copies the new values that are not in their states yet."""
    for state, new in draft.graph.updates:
        home, place = draft.places[state], aside.get(state, draft.places[new])
        if not same(place, home) and state is not new:
            draft.steps.append(Copy(place, home, "the state's new value", new.node.line))
