"""The loop form's meaning: a kernel and its params' arrays in, the arrays written as the kernel says. It is slow and obvious.

Each dim is an axis of NumPy's, so that a statement runs at once for all iterations of the loops around it, in the order of the statements.
Printers are tested against this; it shares nothing with them.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.affine import Bound, Dim, Held, Index, Quotient
from ir.errors import VerifyError
from ir.kernel import Load, LoopForm, Operand, Position, Reduce, Scalar, Store, Test, dims_of, statement_text


def _sigmoid(x: np.ndarray) -> np.ndarray:
    half = x.dtype.type(0.5)
    return np.tanh(x * half) * half + half


MEANINGS: dict[str, Any] = {"sigmoid": _sigmoid, "cast": np.asarray}


@dataclass(frozen=True)
class _Value:
    """An array with one axis for each of `dims`."""

    array: np.ndarray
    dims: tuple[Dim, ...]


def run(form: LoopForm, arrays: Mapping[str, np.ndarray]) -> None:
    """Runs the kernel on one-dimensional arrays of its params' dtypes, by name, each of which begins with the param's element `low`.

    Raises VerifyError for a read or write outside a param, and where two iterations write the same element.
    """
    low = {param.name: param.low for param in form.params}
    held: dict[str, _Value] = {}
    for loops, statement in form.statements():
        nest = _Nest(dims_of(loops), held)
        live = nest.all([bound for loop in loops for bound in loop.when])
        made: np.ndarray | None = None
        dims = nest.dims
        with np.errstate(all="ignore"):
            match statement:
                case Load():
                    mask = live & nest.all(statement.when)
                    at = nest.index(statement.at) - low[statement.param]
                    array = arrays[statement.param]
                    _check(str(statement_text(statement)), at, mask, array)
                    made = np.zeros(np.broadcast_shapes(at.shape, mask.shape), statement.dtype)
                    at, mask = np.broadcast_arrays(at, mask)
                    made[mask] = array[at[mask]]
                case Scalar():
                    meaning = MEANINGS.get(statement.op) or getattr(np, statement.op)
                    values = [nest.value(v) for v in statement.operands]
                    made = values[0].astype(statement.dtype) if statement.op == "cast" else np.asarray(meaning(*values))
                    _same(statement_text(statement), made.dtype, statement.dtype)
                case Test():
                    made = nest.all(statement.when)
                case Position():
                    made = nest.index(statement.at).astype(statement.dtype)
                case Reduce():
                    made, dims = nest.reduced(statement, live)
                case Store():
                    mask = live & nest.all(statement.when)
                    at = nest.index(statement.at) - low[statement.param]
                    array = arrays[statement.param]
                    _check(statement_text(statement), at, mask, array)
                    at, value, mask = np.broadcast_arrays(at, nest.value(statement.operand), mask & nest.ones)
                    if len(np.unique(at[mask])) < mask.sum():
                        raise VerifyError(f"{statement_text(statement)}: two iterations write the same element")
                    array[at[mask]] = value[mask]
        if made is not None:
            shape = [dim.size for dim in dims]
            held[statement.name] = _Value(np.broadcast_to(made, shape), dims)  # type: ignore[union-attr]


class _Nest:
    """The loops around a statement, as axes."""

    def __init__(self, dims: tuple[Dim, ...], held: Mapping[str, _Value]):
        self.dims, self.held = dims, held
        self.ones = np.ones([dim.size for dim in dims], bool)

    def value(self, operand: Operand) -> np.ndarray:
        """An operand with an axis for each dim of the nest, of size 1 where it does not vary."""
        if not isinstance(operand, str):
            return np.asarray(operand.value)
        held = self.held[operand]
        if any(dim not in self.dims for dim in held.dims):
            raise VerifyError(f"{operand} varies along dims that are not around its use")
        shown = held.array.transpose([held.dims.index(dim) for dim in self.dims if dim in held.dims])
        return shown[tuple([slice(None) if dim in held.dims else np.newaxis for dim in self.dims])]

    def index(self, at: Index) -> np.ndarray:
        found = np.asarray(at.constant, np.int64)
        for atom, factor in at.terms:
            if isinstance(atom, Dim):
                axis = self.dims.index(atom)
                value = np.arange(atom.size).reshape([-1 if k == axis else 1 for k in range(len(self.dims))])
            elif isinstance(atom, Held):
                value = self.value(str(atom.key)).astype(np.int64)
            else:
                value = (np.floor_divide if isinstance(atom, Quotient) else np.remainder)(self.index(atom.of), atom.by)
            found = found + factor * value
        return found

    def all(self, bounds: Sequence[Bound]) -> np.ndarray:
        found = np.asarray(True)
        for bound in bounds:
            at = self.index(bound.at)
            found = found & (bound.low <= at) & (at < bound.high)
        return found

    def reduced(self, statement: Reduce, live: np.ndarray) -> tuple[np.ndarray, tuple[Dim, ...]]:
        """The result, with the dims that are left."""
        start = np.asarray(statement.identity.value)
        value, mask, _ = np.broadcast_arrays(self.value(statement.operand), live, self.ones)
        _same(statement_text(statement), value.dtype, start.dtype)
        axes = tuple([k for k, dim in enumerate(self.dims) if dim in statement.over])
        if len(axes) != len(statement.over):
            raise VerifyError(f"{statement_text(statement)}: it reduces dims that are not around it")
        made = getattr(np, statement.combine).reduce(np.where(mask, value, start), axis=axes, initial=start, dtype=start.dtype)
        return made, tuple([dim for dim in self.dims if dim not in statement.over])


def _check(what: str, at: np.ndarray, mask: np.ndarray, array: np.ndarray) -> None:
    wrong = mask & ((at < 0) | (at >= array.size))
    if wrong.any():
        first = np.broadcast_to(at, wrong.shape)[wrong][0]
        raise VerifyError(f"{what}: element {first} of {array.size} is outside the array")


def _same(what: str, made: np.dtype, said: np.dtype) -> None:
    if made != said:
        raise VerifyError(f"{what}: it is {made}, not {said}")
