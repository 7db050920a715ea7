"""Code of the user's that no graph can hold, as one opaque operation: `host(*xs, gives=..., fn=fn)` calls `fn` with arrays.

`fn(*arrays)` gives an array or a tuple of arrays of exactly the declared specs, `gives`, and depends on its operands alone, or on
chance. It is called once at each run, with copies that it may keep or write. There is no gradient through it: a `custom` node around
it has one.
"""
from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ir.errors import DTypeError, ShapeError
from ir.op import NoVjp, Op, Trait, no_flops, whole_axes
from ir.source import Line
from ir.spec import Spec, spec_of


class Code(Protocol):
    """What `host` asks of its `fn`. Codes compare by identity; `name` stands in texts."""

    name: str
    line: Line | None

    def __call__(self, *arrays: np.ndarray) -> Any: ...


def called(fn: Code, arrays: tuple[Any, ...], specs: tuple[Spec, ...]) -> tuple[np.ndarray, ...]:
    """The results of a call, checked against what was declared."""
    given = fn(*[np.array(x) for x in arrays])
    results = tuple([np.asarray(y) for y in (given if isinstance(given, tuple) else (given,))])
    if len(results) != len(specs):
        raise ShapeError(f"{fn.name} gave {len(results)} results and declared {len(specs)}", op="host", line=fn.line)
    for k, (y, spec) in enumerate(zip(results, specs)):
        kind = ShapeError if y.shape != spec.shape else DTypeError if y.dtype.newbyteorder("=") != spec.dtype else None
        if kind is not None:
            cause = f"result {k} of {fn.name} is {spec_of(y)}, declared {spec}"
            raise kind(cause, op="host", line=fn.line, mend="its spec says what it gives")
    return results


def _meaning(*arrays: Any, gives: tuple[Spec, ...], fn: Code) -> Any:
    results = tuple([np.asarray(y, order="C") for y in called(fn, arrays, gives)])
    return results if len(gives) > 1 else results[0]


host = Op(
    "host", "custom", ("*xs",), spec=lambda *xs, gives, fn: gives, meaning=_meaning, vjp=NoVjp("what it does is not in the graph"),
    axes=whole_axes, flops=no_flops, traits=Trait.OPAQUE | Trait.HOLDS | Trait.ARRAY,
)
