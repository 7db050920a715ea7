"""`train_step`: loss, gradient and the update of the parameters as one graph and one plan.

The parameters and the optimizer's slots are Variables: states of the plan, read and written in place. Hyperparameters are read anew at
each step and enter as numbers, so a new learning rate never traces again. `run` is a Loop step over the step's own plan.
"""
from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ir import Graph, Plan, gradient
from ir.errors import ArgumentError, GradientError
from ir.source import Line, user_line
from tracer import context, trees
from tracer.compile import Compiled
from tracer.optimizers import Optimizer
from tracer.traced import TracedArray, TracedScalar
from tracer.variable import Parameter, Variable


def train_step(
    loss_fn: Callable[..., Any], optimizer: Optimizer, params: Any = None, *, has_aux: bool = False, backend: str = "numpy",
    check: bool = False,
) -> TrainStep:
    """A callable `step(*batch) -> loss` that updates the parameters in place; the loss is the one before the update.

    `params` is a list or tree of Variables that `loss_fn(*batch)` closes over (their `.data` sees the updates), or a tree of float
    arrays, copied once, which `loss_fn(params, *batch)` gets first. None: the Parameters that the loss uses, or, if there are none,
    all Variables it closes over. `loss_fn` returns a 0-d float; with `has_aux` (loss, aux), and so does the step.

    >>> import numpy as np, tracer
    >>> step = tracer.train_step(lambda p, x: np.sum((p - x) ** 2), tracer.optimizers.SGD(lr=0.25), np.zeros(2))
    >>> step(np.ones(2)), step.params
    (np.float64(2.0), array([0.5, 0.5]))

    `check` is that of `compile`: a step that fails its check has changed no parameter.

    Raises ArgumentError for parameters that are neither form, GradientError where there is no gradient to take.
    """
    return TrainStep(loss_fn, optimizer, params, has_aux, backend, user_line("update"), check=check)


class TrainStep:
    """What `train_step` gives. `params`, `iteration` and `optimizer` can be read between calls."""

    def __init__(
        self, loss_fn: Callable[..., Any], optimizer: Optimizer, params: Any, has_aux: bool, backend: str, line: Line | None, **options: Any
    ):
        if not isinstance(optimizer, Optimizer) or isinstance(optimizer, type):
            raise ArgumentError(
                f"{optimizer!r} is not an optimizer", op="train_step", mend="pass one, for example tracer.optimizers.SGD(lr=0.1)"
            ).at(line=line)
        self.loss_fn, self.optimizer, self.iteration = loss_fn, optimizer, 0
        self._has_aux, self._line = has_aux, line
        self._given = params is not None
        leaves, self._tree = trees.flatten(params if self._given else ())
        self._holders = [_own(leaf, name, line) for leaf, name in zip(leaves, trees.names(self._tree, "params"))]
        self._closed_over = all(isinstance(leaf, Variable) for leaf in leaves)
        if not self._closed_over and any(isinstance(leaf, Variable) for leaf in leaves):
            raise ArgumentError(
                "params mixes Variables and arrays", op="train_step", mend="give Variables only, or arrays only"
            ).at(line=line)
        if self._given and not leaves:
            raise ArgumentError("params is empty", op="train_step", mend="give the parameters, or None to find them").at(line=line)
        self._slots: dict[int, dict[str, Variable]] = {}
        self._compiled = Compiled(self._named_step(), backend=backend, captures_of=loss_fn, **options)

    # ---- what the user calls
    def __call__(self, *batch: Any) -> Any:
        result = self._compiled(*self.optimizer.hyper().values(), *batch)
        self.iteration += 1
        return result

    def run(self, *batch: Any, steps: int) -> np.ndarray:
        """`steps` iterations on one batch in one call; the losses as an array of shape (steps,). With aux: (losses, stacked aux)."""
        if not isinstance(steps, (int, np.integer)) or isinstance(steps, bool) or steps < 0:
            raise ArgumentError(f"steps is {steps!r}", op="run", mend="give a whole number, 0 or greater")
        result = self._compiled.loop(int(steps), *self._hyper(), *batch)
        self.iteration += int(steps)
        return result

    def fit(self, batches: Iterable[Any]) -> np.ndarray:
        """One step for each batch (a tuple of arguments, or one argument); the losses as an array. A new shape traces once."""
        losses = []
        for batch in batches:
            result = self(*batch) if isinstance(batch, tuple) else self(batch)
            losses.append(result[0] if self._has_aux else result)
        return np.array(losses)

    @property
    def params(self) -> Any:
        """The parameters in the form in which they were given: Variables, or arrays (copies of their present values)."""
        if not self._given:
            return list(self._holders)
        return trees.unflatten(self._tree, self._holders if self._closed_over else [v.data.copy() for v in self._holders])

    def graph(self, *batch: Any) -> Graph:
        """The graph of the step after all passes: loss, gradient and update."""
        return self._compiled.graph(*self._hyper(), *batch)

    def plan(self, *batch: Any) -> Plan:
        """The plan of the step."""
        return self._compiled.plan(*self._hyper(), *batch)

    def source(self, *batch: Any) -> str:
        """The program of the step as Python text."""
        return self._compiled.source(*self._hyper(), *batch)

    def explain(self) -> Any:
        """What was traced and when, and what each pass did."""
        return self._compiled.explain()

    def _hyper(self) -> list[float]:
        return list(self.optimizer.hyper().values())

    # ---- what is traced
    def _named_step(self) -> Callable[..., Any]:
        """`_step` under the loss function's name, with the names of the hyperparameters and of the batch as parameters."""

        def step(*numbers_and_batch: Any) -> Any:
            return self._step(*numbers_and_batch)

        step.__name__ = f"train_step({getattr(self.loss_fn, '__name__', type(self.loss_fn).__name__)})"
        try:
            parameters = list(inspect.signature(self.loss_fn).parameters.values())[0 if self._closed_over else 1 :]
        except (TypeError, ValueError):
            return step
        kind = inspect.Parameter.POSITIONAL_ONLY
        positional = [p.replace(kind=kind) if p.kind is p.POSITIONAL_OR_KEYWORD else p for p in parameters if p.kind is not p.KEYWORD_ONLY]
        numbers = [inspect.Parameter(name, kind) for name in self.optimizer.hyper() if name not in [p.name for p in positional]]
        if len(numbers) == len(self.optimizer.hyper()):
            step.__signature__ = inspect.Signature(numbers + positional)  # type: ignore[attr-defined]
            step.__wrapped__ = self.loss_fn  # type: ignore[attr-defined]  # whose line the arguments are shown with
        return step

    def _step(self, *numbers_and_batch: Any) -> Any:
        tracing = context.current()
        assert tracing is not None
        names = list(self.optimizer.hyper())
        hyper, batch = dict(zip(names, numbers_and_batch)), numbers_and_batch[len(names) :]
        if self._closed_over:
            result = self.loss_fn(*batch)
        else:
            result = self.loss_fn(trees.unflatten(self._tree, [tracing.lift(v) for v in self._holders]), *batch)
        loss, aux = (result[0], result[1]) if self._has_aux else (result, None)
        value = _loss_value(loss, self._line)
        holders = self._trained(tracing)
        params = [tracing.state(v) for v in holders]
        graph: Graph = tracing.graph
        with graph.at(value.node.line.during("backward") if value.node.line else None):
            one = graph.constant(np.ones((), value.dtype))
        grads = gradient.append_gradient(graph, [value], [one], params)
        with graph.at(self._line):
            for holder, param, grad in zip(holders, params, grads):
                self._update(tracing, holder, param, grad, hyper)
        return (_plain(loss), _plain(aux)) if self._has_aux else _plain(loss)

    def _trained(self, tracing: Any) -> list[Variable]:
        """The Variables to train: as given, else the Parameters met, else all Variables met."""
        if not self._given:
            met = tracing.variables()
            self._holders = [v for v in met if isinstance(v, Parameter)] or met
            if not any(v.data.dtype.kind in "fc" for v in self._holders):
                raise GradientError(
                    "the loss uses no float Variable to train", mend="close over tracer.Parameter(array), or give params"
                ).at(op="train_step", line=self._line)
        return self._holders

    def _update(self, tracing: Any, holder: Variable, param: Any, grad: Any, hyper: dict[str, TracedScalar]) -> None:
        slots = self._slots.get(id(holder))
        if slots is None:
            raw = np.zeros(param.shape, param.dtype)
            slots = self._slots[id(holder)] = {name: Variable(a) for name, a in self.optimizer.slots(raw).items()}
        held = {name: TracedArray.of(tracing.state(v)) for name, v in slots.items()}
        new, new_slots = self.optimizer.update(TracedArray.of(param), TracedArray.of(grad), held, hyper)
        tracing.update(param, gradient.fit(new.value, param))
        for name, variable in slots.items():
            state = tracing.state(variable)
            tracing.update(state, gradient.fit(new_slots[name].value, state))


def _own(leaf: Any, name: str, line: Line | None) -> Variable:
    """A parameter as a Variable: the one given, or one with our own copy of an array."""
    if isinstance(leaf, Variable) and not leaf.absent and leaf.dtype.kind in "fc":
        return leaf
    if isinstance(leaf, (np.ndarray, np.generic, float)) and np.asarray(leaf).dtype.kind in "fc":
        return Variable(np.array(leaf, order="C"), name=name)
    absent = isinstance(leaf, Variable) and leaf.absent
    of_dtype = f" of dtype {leaf.dtype}" if isinstance(leaf, (np.ndarray, np.generic, Variable)) and not absent else ""
    raise ArgumentError(
        f"a parameter is {type(leaf).__name__}{of_dtype}" + (" without data" if absent else ""),
        op="train_step", mend="parameters are float arrays or Variables of them",
    ).at(line=line)


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


