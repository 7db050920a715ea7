"""Optimizers: the update of a parameter as graph operations, so that it is planned and run with the gradient.

An optimizer is a small record: numbers that are read anew at each step (`scalars`: changing `lr` never traces again; what hangs on the
iteration, as a schedule or a bias correction, is computed there, once a call, on the host), arrays that persist for each parameter
(`state`), and the update of both written on traced arrays. Parameters keep their dtype, and state has that of its parameter. Complex
parameters are refused by all but SGD.
"""
from __future__ import annotations

import functools
import inspect
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.errors import ArgumentError
from tracer.schedules import Cosine, Rate, StepDecay, Warmup, rate_of

__all__ = ["SGD", "Adam", "AdamW", "Cosine", "Optimizer", "RMSprop", "StepDecay", "Warmup"]


class _Number:
    """A hyperparameter: a finite number, `low <= number` and `number < high`. It can be set between steps; a `term` that is 0 or None
    when the optimizer is made has no part in the traced update, so it stays so, and one that isn't stays there.
    """

    def __init__(self, low: float = 0.0, high: float = math.inf, *, term: bool = False, above: bool = False):
        self.low, self.high, self.term, self.above = low, high, term, above

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, holder: Any, owner: type | None = None) -> Any:
        return self if holder is None else holder.__dict__[self.name]

    def __set__(self, holder: Any, number: Any) -> None:
        absent = number is None and self.term
        if not absent and not _is_number(number):
            raise self._refuse(holder, number)
        if not absent and not ((self.low < number if self.above else self.low <= number) and number < self.high):
            raise self._refuse(holder, number)
        held = holder.__dict__
        if self.term and self.name in held and bool(held[self.name]) != bool(number):
            raise ArgumentError(
                f"{self.name} was {held[self.name]!r} when the optimizer was made and can't become {number!r}", op=type(holder).__name__,
                mend=f"make a new optimizer with {self.name}={number!r}, and a train step with it",
            )
        held[self.name] = None if absent else float(number)

    def _refuse(self, holder: Any, number: Any) -> ArgumentError:
        bounds = f"{'greater than' if self.above else 'at least'} {self.low:g}" + (f" and less than {self.high:g}" * (self.high < math.inf))
        return ArgumentError(f"{self.name} is {number!r}", op=type(holder).__name__, mend=f"give a finite number, {bounds}")


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float, np.integer, np.floating)) and not isinstance(x, bool) and bool(np.isfinite(x))


class Optimizer:
    """What `train_step` asks of an optimizer; derive from it for one of your own.

    `clip_norm`: where the norm of all gradients together exceeds it, they are scaled down to it, before anything else is done with them.

    >>> class Sign(Optimizer):
    ...     def update(self, parameter, gradient, state, scalars):
    ...         return parameter - scalars["lr"] * np.sign(gradient), {}
    >>> Sign(lr=0.5).scalars(0)
    {'lr': 0.5}
    """

    complex_parameters = False
    clip_norm = _Number(term=True, above=True)

    def __init__(self, lr: Rate = 0.01, *, clip_norm: float | None = None):
        self.lr, self.clip_norm = lr, clip_norm

    @property
    def lr(self) -> Rate:
        """The learning rate: a number, or a function of the number of iterations done. It can be set between steps."""
        return self._lr

    @lr.setter
    def lr(self, lr: Rate) -> None:
        if not callable(lr) and not (_is_number(lr) and lr >= 0) or isinstance(lr, type):
            raise ArgumentError(
                f"lr is {lr!r}", op=type(self).__name__, mend="give a finite number, 0 or greater, or a function of the iteration"
            )
        self._lr: Rate = lr if callable(lr) else float(lr)

    @property
    def steady(self) -> bool:
        """Whether `scalars` gives the same at every iteration, so that a `run` of many need not ask each time. False is always right."""
        return False

    def scalars(self, iteration: int) -> dict[str, float]:
        """The Python numbers of a step, by name, `iteration` being the number of those before it: inputs of every step."""
        lr = self._lr
        found = {"lr": lr if type(lr) is float else rate_of(lr, iteration)}
        for name in self._terms:
            found[name] = getattr(self, name)
        return found

    def numbers(self, iteration: int) -> tuple[float, ...]:
        """The numbers of `scalars`, in less time where there is but a steady learning rate."""
        lr = self._lr
        return (lr,) if self._rate_alone and type(lr) is float else tuple(self.scalars(iteration).values())

    @functools.cached_property
    def _rate_alone(self) -> bool:
        return not self._terms and type(self).scalars is Optimizer.scalars

    @functools.cached_property
    def _terms(self) -> tuple[str, ...]:
        """The names of the terms that the update has."""
        numbers = {name: held for kind in reversed(type(self).__mro__) for name, held in vars(kind).items() if isinstance(held, _Number)}
        return tuple([name for name, held in numbers.items() if held.term and getattr(self, name)])

    def state(self, parameter: np.ndarray) -> dict[str, np.ndarray]:
        """Fresh arrays to keep for this parameter, by name."""
        return {}

    def weight(self, scalars: dict[str, Any]) -> Any:
        """What the loss is multiplied by before its gradient is taken: 1, unless the update is nothing but a multiple of the gradient.

        The multiple is then one number at the start of the backward pass, and not a pass over each parameter at its end.
        """
        return 1

    def prepare(self, gradients: Sequence[Any], scalars: dict[str, Any]) -> Sequence[Any]:
        """The gradients of all parameters as the updates will see them: clipped, where that is wanted. All are traced."""
        return clipped(gradients, scalars["clip_norm"]) if self.clip_norm is not None else gradients

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], scalars: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The new value of the parameter and of its state. All are traced arrays, the scalars traced Python floats."""
        raise NotImplementedError(f"{type(self).__name__}.update")

    def __repr__(self) -> str:
        options = inspect.signature(type(self).__init__).parameters.values()
        held = [(p.name, getattr(self, p.name), p.default) for p in options if hasattr(self, p.name)]
        return f"{type(self).__name__}({', '.join([f'{name}={now!r}' for name, now, usual in held if name == 'lr' or now != usual])})"


def clipped(gradients: Sequence[Any], limit: Any) -> list[Any]:
    """Each gradient times `limit / norm` where the norm of all of them together exceeds the limit, else times exactly 1.

    As `torch.nn.utils.clip_grad_norm_` without its 1e-6. A norm too large for the dtype is infinite: such gradients become zero.
    """
    squares = [np.sum(np.square(np.abs(g) if g.dtype.kind == "c" else g)) for g in gradients]
    factor = limit / np.maximum(np.sqrt(functools.reduce(operator.add, squares)), limit)
    return [g * factor.astype(np.finfo(g.dtype).dtype) for g in gradients]


class SGD(Optimizer):
    """Gradient descent, with momentum and weight decay where these are not 0 (formulas: `torch.optim.SGD`, dampening 0).

        gradient += weight_decay * parameter        # an L2 penalty, part of the momentum
        velocity  = momentum * velocity + gradient
        gradient  = gradient + momentum * velocity if nesterov else velocity
        parameter -= lr * gradient

    >>> SGD(lr=0.1, momentum=0.9)
    SGD(lr=0.1, momentum=0.9)

    Raises ArgumentError for a number that is not finite or out of range, and for Nesterov's momentum without momentum.
    """

    complex_parameters = True
    momentum = _Number(term=True)
    weight_decay = _Number(term=True)

    def __init__(
        self, lr: Rate = 0.01, momentum: float = 0.0, *, nesterov: bool = False, weight_decay: float = 0.0, clip_norm: float | None = None
    ):
        super().__init__(lr, clip_norm=clip_norm)
        self.momentum, self.weight_decay, self._nesterov = momentum, weight_decay, bool(nesterov)
        if nesterov and not momentum:
            raise ArgumentError("nesterov without momentum", op="SGD", mend="give momentum as well, for example 0.9")

    @property
    def nesterov(self) -> bool:
        """Whether the momentum looks ahead; fixed when the optimizer is made."""
        return self._nesterov

    @property
    def steady(self) -> bool:
        return type(self._lr) is float and type(self).scalars is Optimizer.scalars

    @property
    def _plain(self) -> bool:
        """Whether the update is `lr` times the gradient."""
        own = type(self).update is SGD.update and type(self).prepare is Optimizer.prepare
        return own and not self.momentum and not self.weight_decay and self.clip_norm is None

    def weight(self, scalars: dict[str, Any]) -> Any:
        return scalars["lr"] if self._plain else 1

    def state(self, parameter: np.ndarray) -> dict[str, np.ndarray]:
        return {"velocity": np.zeros_like(parameter)} if self.momentum else {}

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], scalars: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if self._plain:
            return parameter - gradient, {}  # it has its weight
        if self.weight_decay:
            gradient = gradient + scalars["weight_decay"] * parameter
        if not self.momentum:
            return parameter - scalars["lr"] * gradient, {}
        velocity = scalars["momentum"] * state["velocity"] + gradient
        gradient = gradient + scalars["momentum"] * velocity if self._nesterov else velocity
        return parameter - scalars["lr"] * gradient, {"velocity": velocity}


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1; as `torch.optim.Adam`), weight decay an L2 penalty in the gradient.

        gradient += weight_decay * parameter
        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient**2
        parameter -= lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)      # t = 1, 2, ...

    The corrections of m and v are made in lr and eps, once a call (section 2 of the paper, the end): rounding apart, the same.

    >>> Adam()
    Adam(lr=0.001)

    Raises ArgumentError for a number that is not finite or out of range.
    """

    beta1 = _Number(high=1.0)
    beta2 = _Number(high=1.0)
    eps = _Number()
    weight_decay = _Number(term=True)

    def __init__(
        self, lr: Rate = 0.001, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, *, weight_decay: float = 0.0,
        clip_norm: float | None = None,
    ):  # fmt: skip
        super().__init__(lr, clip_norm=clip_norm)
        self.betas = betas
        self.eps, self.weight_decay = eps, weight_decay

    @property
    def betas(self) -> tuple[float, float]:
        """(beta1, beta2): how much of m and of v is kept at each step."""
        return self.beta1, self.beta2

    @betas.setter
    def betas(self, betas: tuple[float, float]) -> None:
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ArgumentError(f"betas is {betas!r}", op=type(self).__name__, mend="give two numbers, for example (0.9, 0.999)")
        self.beta1, self.beta2 = betas

    def scalars(self, iteration: int) -> dict[str, float]:
        found = super().scalars(iteration)
        found |= {"beta1": self.beta1, "beta2": self.beta2}
        root = math.sqrt(1 - self.beta2 ** (iteration + 1))
        found["rate"] = found["lr"] * root / (1 - self.beta1 ** (iteration + 1))
        found["eps"] = self.eps * root
        return found

    def state(self, parameter: np.ndarray) -> dict[str, np.ndarray]:
        return {"m": np.zeros_like(parameter), "v": np.zeros_like(parameter)}

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], scalars: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if self.weight_decay:
            gradient, parameter = self.decayed(parameter, gradient, scalars)
        m = scalars["beta1"] * state["m"] + (1 - scalars["beta1"]) * gradient
        v = scalars["beta2"] * state["v"] + (1 - scalars["beta2"]) * gradient * gradient
        return parameter - scalars["rate"] * (m / (np.sqrt(v) + scalars["eps"])), {"m": m, "v": v}

    def decayed(self, parameter: Any, gradient: Any, scalars: dict[str, Any]) -> tuple[Any, Any]:
        """(gradient, parameter) with the weight decay: here in the gradient."""
        return gradient + scalars["weight_decay"] * parameter, parameter


class AdamW(Adam):
    """Adam with the weight decay taken from the parameter itself, not through the moments (Loshchilov and Hutter 2019; as
    `torch.optim.AdamW`): `parameter *= 1 - lr * weight_decay` comes first, the rest as in Adam.

    >>> AdamW(lr=0.01).weight_decay
    0.01
    """

    def __init__(
        self, lr: Rate = 0.001, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, *, weight_decay: float = 0.01,
        clip_norm: float | None = None,
    ):  # fmt: skip
        super().__init__(lr, betas, eps, weight_decay=weight_decay, clip_norm=clip_norm)

    def decayed(self, parameter: Any, gradient: Any, scalars: dict[str, Any]) -> tuple[Any, Any]:
        return gradient, (1 - scalars["lr"] * scalars["weight_decay"]) * parameter


class RMSprop(Optimizer):
    """RMSprop (Hinton's lecture 6e; as `torch.optim.RMSprop`, whose `alpha` Keras calls rho), weight decay an L2 penalty.

        gradient += weight_decay * parameter
        square = alpha * square + (1 - alpha) * gradient**2
        mean   = alpha * mean + (1 - alpha) * gradient                       # where centered: square - mean**2 for square below
        scaled = gradient / (sqrt(square) + eps)
        velocity = momentum * velocity + scaled                              # where momentum is not 0: velocity for scaled below
        parameter -= lr * scaled

    >>> RMSprop(momentum=0.9).state(np.zeros(1))
    {'square': array([0.]), 'velocity': array([0.])}
    """

    alpha = _Number(high=1.0)
    eps = _Number()
    momentum = _Number(term=True)
    weight_decay = _Number(term=True)

    def __init__(
        self, lr: Rate = 0.01, alpha: float = 0.99, eps: float = 1e-8, *, momentum: float = 0.0, centered: bool = False,
        weight_decay: float = 0.0, clip_norm: float | None = None,
    ):  # fmt: skip
        super().__init__(lr, clip_norm=clip_norm)
        self.alpha, self.eps, self.momentum, self.weight_decay, self._centered = alpha, eps, momentum, weight_decay, bool(centered)

    @property
    def centered(self) -> bool:
        """Whether the variance is taken in place of the mean square; fixed when the optimizer is made."""
        return self._centered

    @property
    def steady(self) -> bool:
        return type(self._lr) is float and type(self).scalars is RMSprop.scalars

    def scalars(self, iteration: int) -> dict[str, float]:
        found = super().scalars(iteration)
        return found | {"alpha": self.alpha, "eps": self.eps}

    def state(self, parameter: np.ndarray) -> dict[str, np.ndarray]:
        names = ["square", *(["mean"] if self._centered else []), *(["velocity"] if self.momentum else [])]
        return {name: np.zeros_like(parameter) for name in names}

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], scalars: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if self.weight_decay:
            gradient = gradient + scalars["weight_decay"] * parameter
        alpha, new = scalars["alpha"], {}
        square = new["square"] = alpha * state["square"] + (1 - alpha) * gradient * gradient
        if self._centered:
            mean = new["mean"] = alpha * state["mean"] + (1 - alpha) * gradient
            square = square - mean * mean
        scaled = gradient / (np.sqrt(square) + scalars["eps"])
        if self.momentum:
            scaled = new["velocity"] = scalars["momentum"] * state["velocity"] + scaled
        return parameter - scalars["lr"] * scaled, new
