"""`backward()` of an eager Variable: from the history that it hangs on to the gradients of what it was made from.

The usual case, everything pending and no graph of the gradient asked for, is one joint program of forward and backward pass. In all
others the gradient becomes a graph of its own that is recorded like an operation: it reads forward values at their places, known or
pending, and with `create_graph` its results lead on through them. A long history is differentiated piece by piece, from its end.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.errors import GradientError
from ir.gradient import append_gradient
from ir.graph import Graph, Value
from ir.ops import TABLE
from ir.source import user_line
from tracer.config import SWITCHES
from tracer.eager.fingerprint import Wiring, extract, history
from tracer.eager.lazy import record, record_graph
from tracer.eager.pending import (
    LARGEST,
    PHASE,
    PIECE,
    WANTED,
    Deliver,
    awaited,
    compiled,
    flush,
    hand_out,
    operands,
    ran,
    remember,
    settle,
    taken,
    to_deliver,
    weight,
)
from tracer.eager.records import DEVICES, PENDING, TAPE, Application, Held, Input, Part, Place, Raw, Record, array_spec, places

ONES, GIVEN, ASKED, STOP = 16, 32, 64, 128  # facts about results, beside those in pending.py
_joint: dict[tuple[Any, ...], tuple[Any, Deliver, list[int]]] = {}
_gradients: dict[tuple[Any, ...], tuple[Graph, list[int], list[int]]] = {}


def backward(kind: type[Held], root: Held, retain_grad: bool, create_graph: bool) -> None:
    """Adds the gradients of `root` to the `grad` of every Variable that it depends on and that has no history of its own.

    The starting gradient is `root.grad`, ones where there is none. `retain_grad` gives intermediate Variables theirs too.
    """
    with TAPE.lock:
        _backward(kind, root, retain_grad, create_graph)


def _backward(kind: type[Held], root: Held, retain_grad: bool, create_graph: bool) -> None:
    place = root._out
    if place is None or place.cut:
        if root._value is None:
            raise GradientError("backward() of a Variable without data", mend="there is nothing to differentiate", line=user_line())
        if root.grad is None:
            spec = array_spec(root._value) if place is None else place.spec
            root.grad = _held(kind, np.ones(spec.shape, spec.dtype))
        return
    if place.spec.dtype.kind not in "fc":
        raise GradientError(f"backward() starts at {place.spec}", mend="cast to a float dtype first", line=user_line())
    records = history(place)
    passed = [p for r in records for p in places(r) if p is not None and not p.cut]
    seeds: dict[Place, Any] = {p: _seed(p, held) for p in passed if (held := p.holder()) is not None and held.grad is not None}
    before, SWITCHES.enable_backprop = SWITCHES.enable_backprop, create_graph
    try:
        if create_graph or seeds or len(records) > PIECE or weight(records) > LARGEST or not _jointly(kind, place, records, retain_grad):
            seeds.setdefault(place, None)
            for piece in reversed(_pieces(records)):
                _differentiate(kind, piece, seeds, retain_grad, not create_graph)
            if not create_graph:
                flush()
    finally:
        SWITCHES.enable_backprop = before
    if not retain_grad:
        for p in passed:
            held = p.holder()
            if held is not None:
                held.grad = None


def _seed(place: Place, held: Held) -> Any:
    """The gradient that a Variable has already, as one of its shape and dtype; GradientError where it is none."""
    given = held.grad.data if isinstance(held.grad, Held) else np.asarray(held.grad)  # type: ignore[attr-defined]
    spec = place.spec
    if given is None or given.shape != spec.shape or not np.can_cast(given.dtype, spec.dtype, "same_kind"):
        raise GradientError(
            f"the gradient given to {held.name or 'a Variable'} {spec} is {'absent' if given is None else array_spec(given)}",
            mend="y.grad has the shape and kind of y; y.cleargrad() forgets it", line=user_line(),
        )
    return held.grad if given.dtype == spec.dtype else given.astype(spec.dtype)


# ---- forward and backward in one program
def _jointly(kind: type[Held], root: Place, records: list[Application], retain: bool) -> bool:
    """Runs forward and backward pass as one program, if nothing of the history is done and nothing else is pending."""
    wiring = Wiring(records)
    outs, leaves = wiring.outs, wiring.leaves
    facts = []
    for out in outs:
        if out is None or out.done or out.cut:
            return False
        held = out.holder()
        fact = ONES if out is root else 0
        if held is not None:
            if held._value is PENDING:
                fact |= WANTED
            if retain and out.spec.dtype.kind in "fc":
                fact |= ASKED
        facts.append(fact)
    if any(_changed(x) for x in leaves):
        return False  # the forward pass reads what was recorded, the gradient what there is now
    inside = set(outs)
    if any((type(x) is Record or type(x) is Part) and not x.done for x in leaves) or not inside.issuperset(awaited(TAPE.waiting)):
        return False
    with taken():
        values, layouts = operands(leaves)
        asked = [_takes_gradient(x) for x in leaves]
        found = _joint.get(key := (*wiring.key, *facts, *asked, *layouts))
        if found is None:
            found = remember(_joint, key, _joint_program(wiring, facts, asked, layouts))
        program, deliver, targets = found
        results = ran(program, values, wiring)
        hand_out(wiring, deliver, results)
        for n, grad in zip(targets, results[len(deliver) :]):
            _give(kind, leaves[~n] if n < 0 else outs[n], n >= 0, _held(kind, grad))
    return True


def _joint_program(wiring: Wiring, facts: list[int], asked: list[bool], layouts: list[int]) -> tuple[Any, Deliver, list[int]]:
    """The program, which results it gives, and to whom each gradient behind them goes: a leaf or a result."""
    graph = Graph()
    deliver = to_deliver(wiring, facts)
    leaves, values = wiring.build(graph)
    targets = [~k for k, ask in enumerate(asked) if ask] + [n for n, fact in enumerate(facts) if fact & ASKED]
    roots = [value for value, fact in zip(values, facts) if fact & ONES]
    grads = append_gradient(graph, roots, [_ones(graph, roots[0])], [leaves[~n] if n < 0 else values[n] for n in targets])
    graph.outputs = [values[n] for n, _ in deliver] + grads
    return compiled(graph, layouts), deliver, targets


# ---- the gradient as a recorded graph
def _pieces(records: list[Application]) -> list[list[Application]]:
    """The history cut into pieces of PIECE at the most; pieces of a loop end at like places of it."""
    pieces = []
    end = len(records)
    entries = [record.entry for record in records]
    while end > PIECE:
        start = end - PIECE
        tail = entries[end - PHASE : end]
        for k in range(start, end - PIECE // 2):
            if entries[k - 1] is tail[-1] and entries[max(k - PHASE, 0) : k] == tail:
                start = k
                break
        pieces.append(records[start:end])
        end = start
    pieces.append(records[:end])
    return pieces[::-1]


def _differentiate(kind: type[Held], piece: list[Application], seeds: dict[Place, Any], retain: bool, cut: bool) -> None:
    """One piece: hands gradients to Variables, and to the results of earlier pieces by way of `seeds`."""
    wiring = Wiring(piece)
    outs, leaves, count = wiring.outs, wiring.leaves, len(wiring.outs)
    given: list[Any] = []
    facts: list[int] = []
    for out in outs:
        fact = 0
        if out is not None:
            fact = STOP if out.cut else 0
            if out in seeds:
                seed = seeds[out]
                fact |= ONES if seed is None else GIVEN
                if seed is not None:
                    given.append(seed)
            if (retain or out.cut) and out.holder() is not None and out.spec.dtype.kind in "fc":
                fact |= ASKED
        facts.append(fact)
    asked = [_takes_gradient(x) for x in leaves]
    found = _gradients.get(key := (*wiring.key, *facts, *asked))
    if found is None:
        found = remember(_gradients, key, _gradient_graph(wiring, facts, asked))
    graph, reads, targets = found
    read = [_present(leaves[~n]) if n < 0 else _present(outs[n]) if n < count else given[n - count] for n in reads]
    grads = record_graph(kind, graph, read, cut)
    for n, grad in zip(targets, grads):
        target = leaves[~n] if n < 0 else outs[n]
        if n < 0 and (type(target) is Record or type(target) is Part) and not target.cut:
            seed = seeds.get(target)
            seeds[target] = grad if seed is None else _plus(kind, seed, grad)
        else:
            _give(kind, target, n >= 0, grad)


def _gradient_graph(wiring: Wiring, facts: Sequence[int], asked: Sequence[bool]) -> tuple[Graph, list[int], list[int]]:
    """The graph from forward values and given seeds to gradients; the numbers of its operands (given seeds after the results); and
    the numbers of what each gradient belongs to."""
    graph = Graph()
    leaves, values = wiring.build(graph, {n for n, fact in enumerate(facts) if fact & STOP})
    known: dict[Value, int] = {value: ~k for k, value in enumerate(leaves)}
    known.update((value, n) for n, value in enumerate(values))
    roots, cotangents, given = [], [], 0
    for value, fact in zip(values, facts):
        if fact & (ONES | GIVEN):
            roots.append(value)
            if fact & GIVEN:
                cotangents.append(graph.input(value.spec))
                known[cotangents[-1]] = len(values) + given
                given += 1
            else:
                cotangents.append(_ones(graph, value))
    targets = [~k for k, ask in enumerate(asked) if ask] + [n for n, fact in enumerate(facts) if fact & ASKED]
    grads = append_gradient(graph, roots, cotangents, [leaves[~n] if n < 0 else values[n] for n in targets])
    part, reads, _ = extract(grads, known)
    return part, reads, targets


# ---- what both share
def _ones(graph: Graph, like: Value) -> Value:
    return TABLE["broadcast_to"](graph.constant(np.ones((), like.dtype)), shape=like.shape)


def _present(x: Any) -> Any:
    """What a gradient reads in place of an operand or result: as in define-by-run the Variable as it is now, where it still lives.

    So it does not matter whether a record has its data itself or a copy, because somebody else had hold of it.
    """
    if type(x) is Raw:
        held = x.of
    elif (type(x) is Record or type(x) is Part) and x.done:
        held = x.holder()
    else:
        return x
    if held is None or (type(held._value) is not np.ndarray and type(held._value) not in DEVICES):
        return x
    if array_spec(held._value) is not x.spec:
        return x
    return held


def _changed(x: Any) -> bool:
    """Whether what a gradient reads in place of `x` holds other numbers, or may do so: what is on a device is not looked at."""
    now = _present(x)
    return now is not x and (type(now._value) in DEVICES or not np.array_equal(now._value, x.value))


def _takes_gradient(leaf: Input) -> bool:
    """Whether somebody can see the gradient of a leaf, or an earlier piece needs it."""
    if isinstance(leaf, Held):
        return leaf._value.dtype.kind in "fc"
    if type(leaf) is Raw:
        return leaf.of is not None and leaf.spec.dtype.kind in "fc"
    return leaf.spec.dtype.kind in "fc" and (not leaf.cut or leaf.holder() is not None)  # type: ignore[union-attr]


def _give(kind: type[Held], target: Any, inside: bool, grad: Held) -> None:
    """Adds a gradient to a Variable's. One asked for inside the history is whole already: what was there was its seed."""
    held = target if isinstance(target, Held) else target.of if type(target) is Raw else target.holder()
    if held is not None:
        held.grad = grad if held.grad is None or (inside and not target.cut) else _plus(kind, held.grad, grad)


def _plus(kind: type[Held], x: Any, y: Any) -> Any:
    return record(kind, TABLE["add"], (x, y), {})


def _held(kind: type[Held], value: Any) -> Held:
    held = kind.__new__(kind)
    held._value = value if type(value) is np.ndarray or type(value) in DEVICES else np.asarray(value)
    held._out, held._read, held.name, held.grad = None, 0, None, None
    return held


def unchain(held: Held) -> None:
    """Cuts the history at a Variable."""
    place = held._out
    if place is not None:
        place.cut = True
        settle(place)


def unchain_backward(held: Held) -> None:
    """Cuts every operand in the history of a Variable."""
    root = held._out
    if root is None or root.cut:
        return
    cut: list[Place] = []
    seen, stack = {root.record}, [root.record]
    while stack:
        for x in stack.pop().inputs:
            if (type(x) is Record or type(x) is Part) and not x.cut:
                x.cut = True
                cut.append(x)
                if x.record not in seen:
                    seen.add(x.record)
                    stack.append(x.record)
    for place in cut:
        settle(place)
