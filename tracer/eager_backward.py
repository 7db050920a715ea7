"""`backward()` of an eager Variable: the history it hangs on becomes a gradient graph, which is recorded like any operation.

The gradient graph is found by the fingerprint of the history; it reads forward values by their place in the history, so values that
are still pending are computed in one program with the gradient, values that are known are used as they are, and with `create_graph`
the gradient's own history leads on through them. A long history is differentiated piece by piece, from its end.
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
from tracer.config import using_config
from tracer.fingerprint import Wiring, extract, gather, is_differentiable
from tracer.lazy import record, record_graph
from tracer.pending import PHASE, PIECE, flush, settle
from tracer.records import Held, Input, Out, Raw, Record

GRADIENTS = 1024  # gradient graphs kept
SEED, GIVEN, WANTED, STOP = 1, 2, 4, 8
_gradients: dict[tuple[Any, ...], tuple[Graph, list[int], list[int]]] = {}


def backward(kind: type[Held], root: Held, retain_grad: bool, create_graph: bool) -> None:
    """Adds the gradients of `root` to the `grad` of every Variable that it depends on and that has no history of its own.

    The starting gradient is `root.grad`, ones where there is none. `retain_grad` gives intermediate Variables theirs too.
    """
    out = root._out
    if out is None or out.cut:
        return
    if out.spec.dtype.kind not in "fc":
        raise GradientError(f"backward() starts at a value of dtype {out.spec.dtype}", mend="cast to a float dtype first", line=user_line())
    history = gather([out], is_differentiable)
    seeds: dict[Out, Any] = {out: root.grad}
    for record_ in history:
        for other in record_.outs:
            held = other.holder()
            if other is not out and held is not None and held.grad is not None and not other.cut:
                seeds[other] = held.grad
    with using_config("enable_backprop", create_graph):
        for piece in reversed(_pieces(history)):
            _differentiate(kind, piece, seeds, retain_grad, not create_graph)
    for record_ in history:
        for other in record_.outs:
            held = other.holder()
            if held is not None and not other.cut:
                if not retain_grad:
                    held.grad = None
    if not create_graph:
        flush()


def _pieces(history: list[Record]) -> list[list[Record]]:
    """The history cut into pieces of PIECE at the most; pieces of a loop end at like places of it."""
    pieces = []
    end = len(history)
    entries = [record.entry for record in history]
    while end > PIECE:
        start = end - PIECE
        tail = entries[end - PHASE : end]
        for k in range(start, end - PIECE // 2):
            if entries[k - 1] is tail[-1] and entries[max(k - PHASE, 0) : k] == tail:
                start = k
                break
        pieces.append(history[start:end])
        end = start
    pieces.append(history[:end])
    return pieces[::-1]


def _differentiate(kind: type[Held], piece: list[Record], seeds: dict[Out, Any], retain: bool, cut: bool) -> None:
    """One piece: hands gradients to Variables, and to the results of earlier pieces by way of `seeds`."""
    wiring = Wiring(piece)
    key: list[Any] = wiring.key
    given: list[Any] = []
    for out in wiring.outs:
        fact = STOP if out.cut else 0
        if out in seeds:
            seed = seeds[out]
            fact |= SEED if seed is None else GIVEN
            if seed is not None:
                given.append(seed)
        if (retain or out.cut) and out.holder() is not None and out.spec.dtype.kind in "fc":
            fact |= WANTED
        key.append(fact)
    for leaf in wiring.leaves:
        key.append(WANTED if _takes_gradient(leaf) else 0)
    found = _gradients.get(fingerprint := tuple(key))
    if found is None:
        facts = key[len(key) - len(wiring.outs) - len(wiring.leaves) :]
        found = _gradient_graph(wiring, facts[: len(wiring.outs)], facts[len(wiring.outs) :])
        if len(_gradients) >= GRADIENTS:
            del _gradients[next(iter(_gradients))]
        _gradients[fingerprint] = found
    graph, reads, targets = found
    outs, leaves, count = wiring.outs, wiring.leaves, len(wiring.outs)
    operands = [leaves[~n] if n < 0 else outs[n] if n < count else given[n - count] for n in reads]
    for n, grad in zip(targets, record_graph(kind, graph, operands, cut)):
        target = leaves[~n] if n < 0 else outs[n]
        if type(target) is Out and n < 0 and not target.cut:
            seed = seeds.get(target)
            seeds[target] = grad if seed is None else _plus(kind, seed, grad)
            continue
        held = target.holder() if type(target) is Out else target.of if type(target) is Raw else target
        if held is not None:
            whole = n >= 0 and not target.cut  # type: ignore[union-attr]  # a retained gradient has its seed in it already
            held.grad = grad if held.grad is None or whole else _plus(kind, held.grad, grad)


def _plus(kind: type[Held], x: Any, y: Any) -> Any:
    return record(kind, TABLE["add"], (x, y), {})


def _takes_gradient(leaf: Input) -> bool:
    """Whether somebody can see the gradient of a leaf, or an earlier piece needs it."""
    if type(leaf) is Out:
        return leaf.spec.dtype.kind in "fc" and (not leaf.cut or leaf.holder() is not None)
    if type(leaf) is Raw:
        return leaf.of is not None and leaf.spec.dtype.kind in "fc"
    return leaf._value.dtype.kind in "fc"  # type: ignore[union-attr]


def _gradient_graph(wiring: Wiring, facts: Sequence[int], leaf_facts: Sequence[int]) -> tuple[Graph, list[int], list[int]]:
    """The graph from forward values and given seeds to gradients; the numbers of its operands (given seeds after the results); and
    the numbers of what each gradient belongs to."""
    graph = Graph()
    stops = {id(out) for out, fact in zip(wiring.outs, facts) if fact & STOP}
    leaves, values = wiring.build(graph, lambda out: id(out) in stops)
    known: dict[Value, int] = {value: ~k for k, value in enumerate(leaves)}
    known.update((value, n) for n, value in enumerate(values))
    roots, cotangents, given = [], [], 0
    for value, fact in zip(values, facts):
        if fact & (SEED | GIVEN):
            roots.append(value)
            if fact & GIVEN:
                seed = graph.input(value.spec)
                known[seed] = len(values) + given
                given += 1
            else:
                seed = TABLE["broadcast_to"](graph.constant(np.ones((), value.dtype)), shape=value.shape)
            cotangents.append(seed)
    targets = [~k for k, fact in enumerate(leaf_facts) if fact & WANTED] + [n for n, fact in enumerate(facts) if fact & WANTED]
    wrt = [leaves[~n] if n < 0 else values[n] for n in targets]
    grads = append_gradient(graph, roots, cotangents, wrt)
    part, reads, _ = extract(grads, known)
    return part, reads, targets


def unchain(held: Held) -> None:
    """Cuts the history at a Variable."""
    out = held._out
    if out is not None:
        out.cut = True
        settle(out.record)


def unchain_backward(held: Held) -> None:
    """Cuts every operand in the history of a Variable."""
    out = held._out
    if out is None or out.cut:
        return
    seen, stack = {out.record}, [out.record]
    while stack:
        for x in stack.pop().inputs:
            if type(x) is Out and not x.cut:
                x.cut = True
                if x.record not in seen:
                    seen.add(x.record)
                    stack.append(x.record)
    for record_ in seen:
        settle(record_)
