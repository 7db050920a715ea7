"""What stands for the library on NumPy's side: its functions and custom functions, written with NumPy alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np


class Function:
    """A custom function that only computes."""

    def __call__(self, *xs: Any) -> Any:
        return np.asarray(self.forward(*[np.asarray(x) for x in xs]))

    def forward(self, *xs: Any) -> Any:
        raise NotImplementedError


def _sum_to(x: Any, shape: tuple[int, ...]) -> Any:
    lead = x.ndim - len(shape)
    axes = (*range(lead), *[k + lead for k, n in enumerate(shape) if n == 1])
    return np.sum(x, axis=axes, keepdims=True).reshape(shape)


def _mean_squared_error(x: Any, y: Any) -> Any:
    d = np.subtract(x, y)
    return (d**2).sum() / len(d)


F = SimpleNamespace(
    exp=np.exp, tanh=np.tanh, sin=np.sin, cos=np.cos, sqrt=np.sqrt, square=np.square, neg=np.negative, add=np.add, maximum=np.maximum,
    sigmoid=lambda x: np.tanh(x * 0.5) * 0.5 + 0.5, relu=lambda x: np.maximum(x, 0.0), sum=np.sum, clip=np.clip, where=np.where,
    reshape=np.reshape, transpose=np.transpose, max=np.max, average=np.mean, broadcast_to=np.broadcast_to, get_item=lambda x, k: x[k],
    pow=lambda x, c: x**c, sum_to=_sum_to, matmul=np.dot, linear=lambda x, W: np.dot(x, W), mean_squared_error=_mean_squared_error,
)  # fmt: skip
LIBRARY = {"F": F, "Function": Function, "data": lambda x: np.atleast_1d(x) * 1}
