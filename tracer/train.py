"""`train_step`: loss, gradient and the update of the parameters as one graph and one plan.

The parameters and what the optimizer keeps for them are Variables (`train_state.py`): states of the plan, read and written in place. The
optimizer's numbers are read anew at each step, so a new learning rate never traces again. `train_trace.py` is what is traced; `run` is a
Loop step over the step's own plan.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import length_hint
from typing import Any

import numpy as np

from ir import Graph, Plan
from ir.errors import ArgumentError, NotFiniteError
from ir.source import Line, user_line
from tracer.calls.shortcut import MISSED
from tracer.compile import Compiled
from tracer.optimizers import Optimizer
from tracer.training.train_state import Trained
from tracer.training.train_trace import StepFunction, numbers_of

MOST = 1 << 62  # iterations


def train_step(
    loss_fn: Callable[..., Any], optimizer: Optimizer, params: Any = None, *, has_aux: bool = False, on_nan: str | None = None,
    backend: str = "numpy", check: bool = False, audit: bool = False, exact: bool = False, memory_limit: int | str | None = None,
    mode: str | None = None,
) -> TrainStep:
    """A callable `step(*batch) -> loss` that updates the parameters in place; the loss is the one before the update.

    `params` is a list or tree of Variables that `loss_fn(*batch)` closes over (their `.data` sees the updates), or a tree of float
    arrays, copied once, which `loss_fn(params, *batch)` gets first. None: the Parameters that the loss uses, or, if there are none,
    all Variables it closes over. `loss_fn` returns a 0-d float; with `has_aux` (loss, aux), and so does the step. `exact` as of
    `compile`: the loss has NumPy's bits, the new parameters those of gradient and update run line by line.

    >>> import numpy as np, tracer
    >>> step = tracer.train_step(lambda p, x: np.sum((p - x) ** 2), tracer.optimizers.SGD(lr=0.25), np.zeros(2))
    >>> step(np.ones(2)), step.params
    (np.float64(2.0), array([0.5, 0.5]))

    `on_nan="raise"`: where the loss or a gradient is NaN or infinite, NotFiniteError names the iteration, and nothing is updated.
    `check` and `audit` are those of `compile`: a step that fails its check has changed no parameter. An interrupt or an error in the
    middle of a step leaves parameters, state and iteration as they were, or as they are after it. `memory_limit` is that of `compile`, for
    a step and for `run`. `backend` and `mode` too: on a GPU the parameters move there once, the loss is a 0-d array of the device's, which
    nothing waits for, and `run` and `fit` give NumPy's losses.

    Raises ArgumentError for parameters that are neither form, GradientError where there is no gradient to take.
    """
    options: dict[str, Any] = {"check": check, "audit": audit, "exact": exact, "memory_limit": memory_limit, "mode": mode}
    return TrainStep(loss_fn, optimizer, params, has_aux, on_nan, backend, user_line("update"), **options)


class TrainStep:
    """What `train_step` gives. `params`, `state`, `iteration` and `optimizer.lr` can be read and set between calls.

    It can't be pickled or copied, since its loss function may close over anything: keep `params`, `state` and `iteration`, and set them on
    a new train step.
    """

    def __init__(
        self, loss_fn: Callable[..., Any], optimizer: Optimizer, params: Any, has_aux: bool, on_nan: str | None, backend: str,
        line: Line | None, **options: Any,
    ):  # fmt: skip
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(
                f"{optimizer!r} is not an optimizer", op="train_step", mend="pass one, for example tracer.optimizers.SGD(lr=0.1)"
            ).at(line=line)
        if on_nan not in (None, "raise"):
            raise ArgumentError(f"on_nan is {on_nan!r}", op="train_step", mend='give "raise", or None to go on').at(line=line)
        self.loss_fn, self.optimizer, self._has_aux, self._line = loss_fn, optimizer, has_aux, line
        self._trained = Trained(optimizer, params, line)
        self._ticks = iter(range(MOST))  # the programs take the next with each write of the parameters: what is left tells how many
        self._end = MOST  # the iteration is this less what is left
        self._done = 0  # the iteration as well, for the next call: asking the iterator takes 0.2 us
        step = StepFunction(loss_fn, optimizer, self._trained, has_aux, on_nan is not None, line)
        self._compiled = Compiled(step, backend=backend, captures_of=loss_fn, ticks=self._ticks, **options)

    # ---- what the user calls
    def __call__(self, *batch: Any) -> Any:
        try:
            args = (*self.optimizer.numbers(self._done), *batch)
            result = self._compiled.again(args)
            if result is MISSED:
                result = self._compiled.anew(args, {})
        except BaseException as error:
            raise self._stopped(error)
        self._done += 1
        return result

    def run(self, *batch: Any, steps: int) -> np.ndarray:
        """`steps` iterations on one batch in one call; the losses as an array of shape (steps,). With aux: (losses, stacked aux).

        The same as so many calls, to the bit: what the optimizer derives from the iteration is computed for each before the first.
        """
        if not isinstance(steps, (int, np.integer)) or isinstance(steps, bool) or steps < 0:
            raise ArgumentError(f"steps is {steps!r}", op="run", mend="give a whole number, 0 or greater")
        start, changing = numbers_of(self.optimizer, self._done, int(steps))
        try:
            result = self._compiled.loop(int(steps), changing, *start, *batch)
        except BaseException as error:
            raise self._stopped(error)
        self._done += int(steps)
        return self._compiled.on_host(result)

    def fit(self, batches: Iterable[Any]) -> np.ndarray:
        """One step for each batch (a tuple of arguments, or one argument); the losses as an array. A new shape traces once."""
        losses = []
        for batch in batches:
            result = self(*batch) if isinstance(batch, tuple) else self(batch)
            losses.append(result[0] if self._has_aux else result)
        return np.array(self._compiled.on_host(losses))

    # ---- what is kept
    @property
    def params(self) -> Any:
        """The parameters in the form in which they were given: Variables, or arrays (copies of their present values).

        Setting copies a tree of arrays or Variables of that form into them. With params=None: a list, empty before the first step.
        """
        return self._trained.params()

    @params.setter
    def params(self, tree: Any) -> None:
        self._trained.set_params(tree)

    @property
    def state(self) -> dict[str, Any]:
        """What the optimizer keeps, by name, each a tree of the form of `params`, of copies: `step.state["m"]`. Setting copies in.

        Raises ArgumentError when set to other names, another form, or arrays of another shape or dtype; nothing is written then.
        """
        return self._trained.state()

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._trained.set_state(state)

    @property
    def iteration(self) -> int:
        """The number of iterations done, from which schedules and bias corrections are computed; it can be set."""
        return self._end - length_hint(self._ticks)

    @iteration.setter
    def iteration(self, iteration: int) -> None:
        if not isinstance(iteration, (int, np.integer)) or isinstance(iteration, bool) or iteration < 0:
            raise ArgumentError(f"iteration is {iteration!r}", op="train_step", mend="give a whole number, 0 or greater")
        self._end, self._done = int(iteration) + length_hint(self._ticks), int(iteration)

    def __reduce__(self) -> Any:
        raise ArgumentError(
            "a train step can't be pickled or copied", op="train_step",
            mend="keep step.params, step.state and step.iteration, and set them on a new train step",
        )

    # ---- what is seen
    def graph(self, *batch: Any) -> Graph:
        """The graph of the step after all passes: loss, gradient and update."""
        return self._compiled.graph(*self._numbers(), *batch)

    def plan(self, *batch: Any) -> Plan:
        """The plan of the step."""
        return self._compiled.plan(*self._numbers(), *batch)

    def source(self, *batch: Any) -> str:
        """The program of the step as Python text."""
        return self._compiled.source(*self._numbers(), *batch)

    def explain(self) -> Any:
        """What was traced and when, what is trained, and what each pass did."""
        return self._compiled.explain()

    def _numbers(self) -> list[float]:
        return list(self.optimizer.numbers(self.iteration))

    def _stopped(self, error: BaseException) -> BaseException:
        """The error to be raised; that of a loss which is not finite with the iteration: those before it were made."""
        self._done = self.iteration
        if isinstance(error, NotFiniteError):
            error.cause = error.cause.replace("the loss or a gradient", f"the loss or a gradient of iteration {self._done}")
            error.at(op="train_step", line=self._line)
        return error
