"""What is a copy and what a view: after writing into an array, or into what a function made of it, both hold what NumPy leaves in them.

A line is an expression of x. Arrays of one element and of axes of size 1 are among the shapes: there a reshape or a broadcast can be a
view where the function makes a copy.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracer

SHAPES = ((1,), (1, 1), (2, 3), (1, 3), (3, 1))
EXPRESSIONS = [
    "np.tile(x, 1)", "np.tile(x, 2)", "np.tile(x, (1, 1))", "np.tile(x, (2, 1, 1))", "np.repeat(x, 1)", "np.repeat(x, 1, axis=0)",
    "np.repeat(x, [1]*x.shape[0], axis=0)", "np.repeat(x, 2)", "np.roll(x, 0)", "np.roll(x, 0, axis=0)", "np.roll(x, 1)",
    "np.pad(x, 0)", "np.concatenate([x])", "np.stack([x])", "np.hstack([x])", "np.vstack([x])", "np.dstack([x])",
    "np.column_stack([x])", "np.flip(x)", "np.flip(x, 0)", "np.sort(x)", "np.take(x, [0], axis=0)", "np.copy(x)", "x.astype(x.dtype)",
    "x.astype(x.dtype, copy=False)", "x.flatten()", "np.ravel(x)",
    "x.ravel('F')", "np.append(x, x[:0])", "np.diff(x, n=0)", "np.split(x, 1)[0]", "np.array_split(x, 1)[0]", "np.tril(x)",
    "np.nan_to_num(x)", "np.clip(x, None, None)", "np.clip(x, -9, 9)", "np.round(x)", "np.real(x)", "np.conj(x)", "+x",
    "np.positive(x)", "x.T", "np.transpose(x)", "np.swapaxes(x, 0, -1)", "np.moveaxis(x, 0, -1)", "np.squeeze(x)",
    "np.expand_dims(x, 0)", "np.atleast_1d(x)", "np.atleast_2d(x)", "np.atleast_3d(x)", "np.broadcast_to(x, x.shape).copy()",
    "np.rot90(x, 0)", "np.rot90(x, 4)", "np.rot90(x)", "np.diag(np.ravel(x))", "np.meshgrid(np.ravel(x), np.ravel(x))[0]",
    "np.meshgrid(np.ravel(x))[0]", "np.meshgrid(np.ravel(x), copy=False)[0]", "np.insert(x, 0, 0)", "np.delete(x, [])",
    "np.fix(x)", "np.rint(x)", "np.where(True, x, x)", "np.where(x>-9, x, 0)", "np.maximum(x, x)", "x[...]",
    "x[:]", "x[()]", "x[[0]]", "x.reshape(-1)", "np.reshape(x, -1, order='F')", "x.reshape(x.shape[::-1])", "np.triu(x)",
    "np.fmax(x, -9)", "np.cumsum(x, axis=0)", "np.unstack(x)[0]", "np.hsplit(x, 1)[0]", "np.vsplit(x, 1)[0]", "np.block([x])",
    "np.concat([x])", "np.permute_dims(x)", "np.matrix_transpose(x)", "np.select([x>-99], [x], 0)",
    "np.sum(x, axis=())", "np.max(x, axis=())", "np.mean(x, axis=())", "np.prod(x, axis=())",
    "x.sum(axis=0, keepdims=True)", "np.squeeze(np.sum(x, 0, keepdims=True))",
    "np.take_along_axis(x, np.argsort(x, 0), 0)", "x.copy()", "x.view()", "np.absolute(x)",
    "np.sign(x)", "np.astype(x, x.dtype)",
]


def outcome(fn: Any, x: np.ndarray) -> Any:
    """The result and x afterwards; the error where the shape is none for the function, or the write is refused."""
    try:
        return fn(x), x
    except (ValueError, IndexError, TypeError, tracer.Error) as error:
        return error


@pytest.mark.parametrize("text", EXPRESSIONS)
@pytest.mark.parametrize("write", ["x[...] = 7.0", "y[...] = 7.0"])
def test_what_a_write_reaches(text: str, write: str) -> None:
    names: dict[str, Any] = {"np": np}
    exec(f"def fn(x):\n    y = {text}\n    {write}\n    return y\n", names)
    compared = 0
    for shape in SHAPES:
        x = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
        want, got = outcome(names["fn"], x.copy()), outcome(tracer.compile(names["fn"]), x.copy())
        if isinstance(want, Exception):
            assert isinstance(got, Exception), shape
        elif isinstance(got, Exception):
            assert isinstance(got, tracer.Error), shape
        else:
            compared += 1
            np.testing.assert_array_equal(got[0], want[0])
            np.testing.assert_array_equal(got[1], want[1])
    assert compared or write.startswith("y"), "refused for every shape"
