"""Optimizers: the update of one parameter as graph operations, so that it is planned and run with the gradient.

An optimizer names its hyperparameters (read anew at each step: changing `optimizer.lr` never traces again) and its slots (arrays that
persist for each parameter), and gives the new value of a parameter and of its slots.
"""
from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from ir.errors import ArgumentError


@runtime_checkable
class Optimizer(Protocol):
    """What `train_step` asks of an optimizer. All values are traced arrays; hyperparameters are traced Python floats."""

    def hyper(self) -> dict[str, float]:
        """The hyperparameters as they are now, by name: inputs of every step."""

    def slots(self, param: np.ndarray) -> dict[str, np.ndarray]:
        """Fresh arrays to keep for this parameter, by name."""

    def update(self, param: Any, grad: Any, slots: dict[str, Any], hyper: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The new value of the parameter and of its slots."""


class SGD:
    """Gradient descent: `param -= lr * grad`. `lr` can be changed between steps.

    >>> SGD(lr=0.1).lr
    0.1

    Raises ArgumentError for a learning rate that is not a finite number >= 0.
    """

    def __init__(self, lr: float = 0.01):
        self.lr = lr

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return self._lr

    @lr.setter
    def lr(self, lr: float) -> None:
        if not (isinstance(lr, (int, float, np.integer, np.floating)) and np.isfinite(lr) and lr >= 0):
            raise ArgumentError(f"lr is {lr!r}", op="SGD", mend="give a finite number, 0 or greater")
        self._lr = float(lr)

    def hyper(self) -> dict[str, float]:
        return {"lr": self._lr}

    def slots(self, param: np.ndarray) -> dict[str, np.ndarray]:
        return {}

    def update(self, param: Any, grad: Any, slots: dict[str, Any], hyper: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return param - hyper["lr"] * grad, {}

    def __repr__(self) -> str:
        return f"SGD(lr={self._lr!r})"
