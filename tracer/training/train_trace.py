"""What a train step traces: the loss, its gradient and the optimizer's update, in one graph.

In: the loss function, the optimizer, and what is trained. Out: a function of the optimizer's numbers and the batch that can be traced;
it appends the backward nodes to the graph of the loss, and an update of each parameter and of what the optimizer keeps for it.
"""
from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ir import Graph, Value, gradient
from ir.errors import ArgumentError, GradientError
from ir.ops import elementwise
from ir.source import Line
from tracer import trees
from tracer.arrays.traced import TracedArray
from tracer.operands.stack import running
from tracer.optimizers import Optimizer
from tracer.tracing.context import called, current
from tracer.training.train_state import Trained
from tracer.variable import Parameter, Variable


class StepFunction:
    """Called inside a trace only: `(*numbers, *batch) -> loss`, or (loss, aux)."""

    def __init__(
        self, loss_fn: Callable[..., Any], optimizer: Optimizer, trained: Trained, has_aux: bool, refuse_nan: bool, line: Line | None
    ):
        self._loss_fn, self._optimizer, self._trained, self._has_aux, self._line = loss_fn, optimizer, trained, has_aux, line
        self._refuse_nan = refuse_nan
        self._names = tuple(optimizer.scalars(0))
        self.__name__ = f"train_step({getattr(loss_fn, '__name__', type(loss_fn).__name__)})"
        signature = self._signature()
        if signature is not None:
            self.__signature__, self.__wrapped__ = signature, loss_fn  # the line that the arguments are shown with is the loss function's

    def _signature(self) -> inspect.Signature | None:
        """The names of the numbers and of the batch, where they can be known and do not meet."""
        try:
            parameters = list(inspect.signature(self._loss_fn).parameters.values())[0 if self._trained.closed_over else 1 :]
        except (TypeError, ValueError):
            return None
        kind = inspect.Parameter.POSITIONAL_ONLY
        positional = [p.replace(kind=kind) if p.kind is p.POSITIONAL_OR_KEYWORD else p for p in parameters if p.kind is not p.KEYWORD_ONLY]
        taken = [p.name for p in positional]
        if any(name in taken for name in self._names):
            return None
        return inspect.Signature([*[inspect.Parameter(name, kind) for name in self._names], *positional])

    def _check_count(self, batch: int) -> None:
        """ArgumentError where the loss function does not take the parameters, if it is to get them, and a batch of so many."""
        closed_over = self._trained.closed_over
        try:
            inspect.signature(self._loss_fn).bind(*[None] * (batch + (not closed_over)))
        except ValueError:  # it has no signature
            return
        except TypeError as error:
            called = "loss(*batch)" if closed_over else "loss(params, *batch)"
            why = "no params were given, or Variables" if closed_over else "params were given that are arrays"
            mend = "arrays as params make it loss(params, *batch)" if closed_over else "give Variables as params, or none, for loss(*batch)"
            raise ArgumentError(
                f"{error}: it is called as {called}, here with a batch of {batch}, since {why}", line=self._line, op="train_step", mend=mend
            ) from None

    def __call__(self, *numbers_and_batch: Any) -> Any:
        tracing = current()
        assert tracing is not None, "a loss runs in a trace"
        if len(running()) > 1 or tracing.outside.fn is not self._loss_fn:
            raise ArgumentError(
                "a train step is called inside a traced function: its parameters and its count of iterations change at each call",
                op="train_step", mend="call the step outside; inside, compute the loss and take tracer.grad of it",
            )  # fmt: skip
        names, trained = self._names, self._trained
        scalars, batch = dict(zip(names, numbers_and_batch)), numbers_and_batch[len(names) :]
        self._check_count(len(batch))
        if trained.closed_over:
            result = called(self._loss_fn)(*batch)
        else:
            result = called(self._loss_fn)(trained.tree([tracing.outside.lift(v) for v in trained.holders]), *batch)
        loss, aux = self._parts(result)
        value = _loss_value(loss, self._line)
        holders = trained.holders if trained.given else self._found(tracing)
        states = [tracing.outside.state(v) for v in holders]
        graph: Graph = tracing.graph
        weight, start = self._weighted(tracing, value, states, scalars)
        grads = gradient.append_gradient(graph, [value], [start], states)
        with graph.at(self._line):
            given = [TracedArray.of(g) for g in grads]
            if self._refuse_nan:
                finite: list[Any] = [np.isfinite(TracedArray.of(value)), *[np.all(np.isfinite(g)) for g in given]]
                tracing.gate = tracing.value_of(functools.reduce(lambda x, y: np.logical_and(x, y), finite))
            prepared = self._optimizer.prepare(given if weight is None else [g * weight for g in given], scalars)
            for holder, state, grad in zip(holders, states, prepared):
                self._update(tracing, holder, state, grad, scalars)
        shown = tracing.wrap(value) if isinstance(loss, Variable) else loss
        return (shown, _plain(aux)) if self._has_aux else shown

    def _weighted(self, tracing: Any, loss: Value, states: list[Value], scalars: dict[str, Any]) -> tuple[Any, Value]:
        """(what is left to multiply the gradients by, or None; what the loss's own gradient is). In half precision a small weight would
        get lost on the way through the backward pass: there it comes last, as it does where every bit counts.
        """
        weight = self._optimizer.weight(scalars)
        graph: Graph = tracing.graph
        with graph.at(loss.node.line.during("backward") if loss.node.line else None):
            if type(weight) is int and weight == 1:
                return None, graph.constant(np.ones((), loss.dtype))
            if tracing.exact or any(v.dtype.itemsize < 4 for v in (loss, *states)):
                return weight, graph.constant(np.ones((), loss.dtype))
            return None, elementwise.cast(tracing.value_of(weight), dtype=loss.dtype)

    def _parts(self, result: Any) -> tuple[Any, Any]:
        if not self._has_aux:
            return result, None
        if not isinstance(result, tuple) or len(result) != 2:
            raise GradientError(
                f"with has_aux=True the loss function returned {type(result).__name__}", mend="return (loss, aux), or leave has_aux out"
            ).at(op="train_step", line=self._line)
        return result[0], result[1]

    def _found(self, tracing: Any) -> list[Variable]:
        """The Variables to train where none were given: the float Parameters met, else all float Variables met that are no arguments."""
        met = [v for v in tracing.outside.variables() if v.dtype.kind in "fc" and all(v is not given for given in tracing.outside.given)]
        parameters: list[Variable] = [v for v in met if isinstance(v, Parameter)]
        found = parameters or met
        if not found:
            raise GradientError(
                "the loss uses no float Variable to train", mend="close over tracer.Parameter(array), or give params"
            ).at(op="train_step", line=self._line)
        names = {id(c.holder): c.name for c in tracing.outside.captured if c.kind == "variable"}
        which = "the Parameters that the loss uses" if parameters else "all float Variables that it closes over, none being a Parameter"
        tracing.noted.remarks.append(f"trains {', '.join([names[id(v)] or 'a Variable without a name' for v in found])}: {which}")
        self._trained.add(found)
        return found

    def _update(self, tracing: Any, holder: Variable, state: Any, grad: Any, scalars: dict[str, Any]) -> None:
        optimizer = self._optimizer
        if state.dtype.kind == "c" and not optimizer.complex_parameters:
            raise ArgumentError(
                f"{optimizer!r} takes no complex parameters, and one is {state.spec}", op="train_step",
                mend="train its real and its imaginary part as two parameters, or use SGD",
            ).at(line=self._line)
        kept = self._trained.kept(holder)
        whose = next((c.name for c in tracing.outside.captured if c.holder is holder), "")
        for name, v in kept.items():
            v.name = v.name or (f"{whose}_{name}" if whose else None)  # as the step's texts show it
        held = {name: TracedArray.of(tracing.outside.state(v)) for name, v in kept.items()}
        new, news = optimizer.update(TracedArray.of(state), grad, held, scalars)
        if sorted(news) != sorted(kept):
            raise ArgumentError(
                f"update gave new values of {sorted(news)}, and state keeps {sorted(kept)}", op=type(optimizer).__name__,
                mend="give update's second result the names that state has",
            ).at(line=self._line)
        for place, value in [(state, new), *[(tracing.outside.state(v), news[name]) for name, v in kept.items()]]:
            tracing.update(place, gradient.fit(tracing.value_of(value), place))


def _plain(tree: Any) -> Any:
    """The tree with the data of Variables in their place: a step gives arrays."""
    leaves, structure = trees.flatten(tree)
    return trees.unflatten(structure, [leaf.data if isinstance(leaf, Variable) else leaf for leaf in leaves])


def _loss_value(loss: Any, line: Line | None) -> Any:
    held = loss.data if isinstance(loss, Variable) else loss
    if not isinstance(held, TracedArray):
        raise GradientError(
            f"the loss function returned {type(loss).__name__}, not a value computed from its arguments",
            mend="return the loss, a 0-d float; with has_aux=True return (loss, aux)",
        ).at(op="train_step", line=line)
    value = held.value
    if value.shape != () or value.dtype.kind != "f":
        raise GradientError(f"the loss is {value.spec}: a 0-d float is due", mend="reduce it with np.sum or np.mean").at(
            op="train_step", line=value.node.line
        )
    return value


def numbers_of(optimizer: Optimizer, first: int, steps: int) -> tuple[list[Any], dict[int, Sequence[Any]]]:
    """The optimizer's numbers for `steps` iterations from `first` on: those of the first, and by position those that change.

    Raises ArgumentError where a number changes its kind.
    """
    start = list(optimizer.numbers(first))
    if optimizer.steady or steps < 2:
        return start, {}
    rows = [start, *[optimizer.numbers(first + k) for k in range(1, steps)]]
    changing: dict[int, Sequence[Any]] = {}
    for position, column in enumerate(zip(*rows)):
        if any(type(x) is not type(column[0]) for x in column):
            raise ArgumentError(
                f"{list(optimizer.scalars(first))[position]} changes its kind between iterations", op=repr(optimizer),
                mend="let scalars give a float at every iteration",
            )
        if any(x != column[0] for x in column):
            changing[position] = column
    return start, changing
