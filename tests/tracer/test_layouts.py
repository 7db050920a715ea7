"""How results lie in memory: as NumPy's, since a later ravel or reshape is a view or a copy by it, and a write shows which.

A line is an expression of an array `a`, which is C-ordered, F-ordered, reversed or strided.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracer

LAYOUTS = {
    "C": lambda: np.arange(6.0).reshape(3, 2),
    "F": lambda: np.asfortranarray(np.arange(6.0).reshape(3, 2)),
    "reversed": lambda: np.arange(6.0).reshape(3, 2)[::-1],
    "strided": lambda: np.arange(24.0).reshape(6, 4)[::2, ::2],
}
EXPRESSIONS = [
    "np.choose((a>9)*1, [a, a], mode='clip')", "np.select([a>1], [a], 0)", "np.where(a>0, a, a)", "np.clip(a, 0, 1)",
    "np.take(a, [0, 1], 0)", "np.take_along_axis(a, np.zeros((3, 2), int), 0)", "np.sort(a)", "np.sort(a, 0)", "np.cumsum(a, 0)",
    "np.cumsum(a, 1)", "np.diff(a, axis=0)", "np.diff(a, axis=1)", "np.roll(a, 1)", "np.roll(a, 1, 0)", "np.repeat(a, 2, 0)",
    "np.repeat(a, 2, 1)", "np.tile(a, 2)", "np.tile(a, (1, 1))", "np.pad(a, 1)", "np.pad(a, 1, mode='edge')", "np.tril(a)",
    "np.nan_to_num(a)", "np.round(a)", "np.round(a, 2)", "np.kron(a, a)", "np.concatenate([a, a])", "np.concatenate([a, a], 1)",
    "np.concatenate([a, a.T.copy().T])", "np.stack([a, a])", "np.stack([a, a], -1)", "np.append(a, a, 0)", "np.argsort(a, 0)",
    "np.mean(a[None], 0)", "np.std(a[None], 0)", "np.var(a[None], 0)", "np.max(a[None], 0)", "np.any(a[None], 0)",
    "np.count_nonzero(a[None], 0)", "np.average(a[None], 0)", "np.nanmean(a[None], 0)", "np.nansum(a[None], 0)",
    "np.linalg.norm(a[None], axis=0)", "np.block([a, a])", "np.copy(a)", "a.copy()", "a.copy('K')", "a.astype('f4')", "a.astype('f8')",
    "np.angle(a)", "np.sinc(a)", "np.isclose(a, 0)", "np.float_power(a, 2)", "np.ptp(a[None], 0)", "np.cumprod(a, 0)",
    "np.fmod(a, 2)", "np.divmod(a, 2)[0]", "np.modf(a)[0]", "a@a.T", "np.dot(a, a.T)", "np.outer(a, a)", "a+a.T.copy().T", "a*2", "-a",
    "a[[0, 1]]", "a[:, [0, 1]]", "a[[0, 1], :][:, [1, 0]]", "a[np.array([[0, 1], [1, 0]])]", "a[..., None]*1", "a.T*1", "np.exp(a)",
    "np.linalg.multi_dot([a, a.T])", "np.hstack([a, a])", "np.vstack([a, a])", "np.dstack([a, a])",
    "np.column_stack([a, a])", "np.delete(a, 0, 0)", "np.zeros_like(a)", "np.ones_like(a)", "np.full_like(a, 2)", "np.empty_like(a)*0",
    "np.array(a, like=a)", "np.asarray(a, like=a)", "np.flip(a)*1", "np.rot90(a)*1", "np.swapaxes(a, 0, 1)*1", "np.sum(a[None], 0)",
    "np.prod(a[None], 0)", "np.argmax(np.stack([a, a]), 0)", "np.sum(np.stack([a, a], -1), -1)", "np.sum(np.stack([a, a], 0), 1)",
    "np.logical_not(a)", "np.isnan(a)", "np.abs(a)", "np.conj(a)", "np.real(a)*1", "np.unstack(a)[0]",
    "np.broadcast_to(a, (2, )+a.shape).copy()", "np.meshgrid(a[0], a[:, 0])[0]", "np.triu(a)", "np.diag(a[0])",
    "np.cross(a[:, :1]*np.ones((1, 3)), np.ones(3))", "np.vecdot(a, a)", "np.squeeze(a[None]*1)", "np.ravel(a)", "a.ravel('F')",
    "a.reshape(-1)", "a.flatten()", "a.reshape(a.shape[::-1])", "np.reshape(a, -1, order='F')", "np.copysign(a, -1)", "np.sign(a)",
    "np.square(a)", "a**2", "a//2", "a%2", "a>1", "(a>1)&(a<3)", "np.hypot(a, a)", "np.arctan2(a, 1)", "np.trunc(a)", "np.cbrt(a)",
    "np.linalg.matrix_power(a@a.T, 2)",
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("text", EXPRESSIONS)
def test_a_write_into_what_was_flattened_reaches_the_same(text: str) -> None:
    names: dict[str, Any] = {"np": np}
    exec(f"def fn(a):\n    y = {text}\n    z = y.reshape(-1)\n    z[:1] = z.dtype.type(1)\n    return y, z\n", names)
    fast = tracer.compile(names["fn"])
    for make in LAYOUTS.values():
        mine, theirs = make(), make()
        got, want = fast(mine), names["fn"](theirs)
        for one, other in zip((*got, mine), (*want, theirs)):
            np.testing.assert_array_equal(one, other)
