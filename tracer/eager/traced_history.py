"""Gradients inside a trace: the graph is the history, so `backward()` appends the gradient to it and wraps what comes out.

Kept beside the graph, for each trace: the Variables made in it, weakly, and which of them have no history. A place where no gradient
passes is a `custom` node without inputs: the identity, whose rule has nobody to give to.
"""
from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from ir.errors import GradientError
from ir.gradient import append_gradient
from ir.graph import Value
from ir.ops import TABLE
from ir.source import user_line
from tracer.arrays.traced import TracedArray
from tracer.config import using_config
from tracer.eager.fingerprint import extract
from tracer.eager.records import Held
from tracer.tracing.context import Tracing, current


class Stop:
    """The rule of a node where gradients end."""

    name = "stop"

    def vjp(self, g: tuple[Value | None, ...], outs: tuple[Value, ...], ins: tuple[Value, ...]) -> tuple[Value | None, ...]:
        return ()


STOP = Stop()


def stopped(value: Value) -> Value:
    """The same value; no gradient passes."""
    return TABLE["custom"](value, outs=1, rule=STOP)


class History:
    """The Variables of running traces, and the Values at which their histories begin."""

    def __init__(self) -> None:
        self._made: weakref.WeakKeyDictionary[Any, dict[weakref.ref[Held], bool]] = weakref.WeakKeyDictionary()
        self._begins: weakref.WeakKeyDictionary[Any, list[Value]] = weakref.WeakKeyDictionary()

    def leaf(self, held: Held, array: TracedArray) -> None:
        """A Variable made from a traced array: its history begins with it, whether or not it is still there when gradients are asked."""
        self._made.setdefault(array.tracing, {})[weakref.ref(held)] = True
        self._begins.setdefault(array.tracing, []).append(array.value)

    def result(self, held: Held, differentiable: bool) -> None:
        """A Variable that an operation gave."""
        if differentiable:
            self._made.setdefault(held._value.tracing, {})[weakref.ref(held)] = False
        else:
            self.stop(held)

    def stop(self, held: Held) -> None:
        """Cuts the history at a Variable made in the trace."""
        array = held._value
        if type(array) is TracedArray:
            held._value = array.tracing.wrap(stopped(array.value), array=not array.scalar)
            self.leaf(held, held._value)

    def rebind(self, held: Any, new: Any) -> None:
        """`held.data = new` inside a trace. A Variable from outside is written; what the new value came from is not its history."""
        tracing = current()
        assert tracing is not None, "there is no running trace"
        if held._value is not None and type(held._value) is not TracedArray and new is not held._value:
            tracing.outside.assign(held, new)
        elif new is not held._value or type(new) is not TracedArray:
            held._value = new if new is None or type(new) is TracedArray else tracing.wrap(tracing.value_of(new), array=True)
            if new is not None:
                self.leaf(held, held._value)

    def variables(self, tracing: Tracing) -> list[tuple[Any, bool]]:
        """The living Variables of a trace, captured ones first, and whether each has no history."""
        captured = [(c.holder, True) for c in tracing.outside.captured if c.kind == "variable"]
        made = [(held, leaf) for ref, leaf in self._made.get(tracing, {}).items() if (held := ref()) is not None]
        return [(held, leaf) for held, leaf in captured + made if held._value is not None]

    def begins(self, tracing: Tracing) -> list[Value]:
        """The Values at which histories begin."""
        return self._begins.get(tracing, [])


HISTORY = History()


def traced_backward(kind: type[Held], root: Any, tracing: Tracing, retain_grad: bool, create_graph: bool) -> None:
    """`root.backward()` inside a trace. Gradients are Values of the same graph; with `create_graph` their history is their making."""
    start = root.data.value
    if start.dtype.kind not in "fc":
        raise GradientError(f"backward() starts at a value of dtype {start.dtype}", mend="cast to a float dtype first", line=user_line())
    known = HISTORY.variables(tracing)
    if root.grad is None:
        ones = TABLE["broadcast_to"](tracing.graph.constant(np.ones((), start.dtype), user_line()), shape=start.shape)
        root.grad = _variable(kind, tracing.wrap(ones, array=True), True)
    if any(leaf for held, leaf in known if held is root):
        return
    seeded = [root, *[held for held, leaf in known if not leaf and held is not root and held.grad is not None]]
    targets = [(held, leaf) for held, leaf in known if (leaf or retain_grad) and held is not root and held.dtype.kind in "fc"]
    grads = _gradients(
        tracing, [held.data.value for held in seeded], [held.grad.data.value for held in seeded],
        [held.data.value for held, _ in targets], {held.data.value for held, leaf in known if leaf},
    )
    with using_config("enable_backprop", create_graph):
        for (held, leaf), grad in zip(targets, grads):
            if grad is not None:
                given = _variable(kind, tracing.wrap(grad, array=True), not create_graph)
                held.grad = given if held.grad is None or not leaf else held.grad + given
    if not retain_grad:
        for held, leaf in known:
            if not leaf:
                held.grad = None


def _variable(kind: type[Held], array: TracedArray, leaf: bool) -> Held:
    held = kind.__new__(kind)
    held.name, held.grad, held._out, held._read, held._value = None, None, None, 0, array
    if leaf:
        HISTORY.leaf(held, array)
    else:
        HISTORY.result(held, True)
    return held


def _gradients(tracing: Tracing, roots: list[Value], seeds: list[Value], wrt: list[Value], leaves: set[Value]) -> list[Value | None]:
    """The gradient by each of `wrt`, None where the roots do not depend on it. Histories begin at `leaves` and go no further back.

    The part between leaves and roots is differentiated in a graph of its own; the trace's graph gets the gradient's nodes alone.
    """
    boundary = {value: value for value in [*HISTORY.begins(tracing), *leaves]}
    part, _, mapped = extract(roots, boundary)
    back = {ours: theirs for theirs, ours in mapped.items()}
    given = [part.input(seed.spec) for seed in seeds]
    back.update(zip(given, seeds))
    reached = [value for value in wrt if value in mapped]
    grads = append_gradient(part, [mapped[v] for v in roots], given, [mapped[v] for v in reached])
    only, reads, _ = extract(grads, back)
    inlined = tracing.graph.inline(only, reads)
    found = dict(zip(reached, [inlined[v] for v in only.outputs]))
    return [found.get(value) for value in wrt]
