"""How the arguments of a call enter a trace: leaf by leaf, what the function sees in the place of each."""
from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

import backends
from ir.errors import Error, TraceError
from ir.source import Line, module_of
from ir.spec import WEAK, Spec, check_dtype, weak_spec
from tracer import trees
from tracer.arrays.scalar import TracedScalar
from tracer.arrays.storage import Storage, has_gaps, stand_in
from tracer.arrays.traced import TracedArray
from tracer.captures.seen import is_foreign
from tracer.operands.refusal import refuse
from tracer.operands.stack import Operand
from tracer.tracing.context import Tracing
from tracer.tracing.outcome import LeafIn
from tracer.tracing.outside import check_array, native


def enter(
    tracing: Tracing, fn: Callable[..., Any], args: tuple[Any, ...], leaves: list[Any], tree: trees.Structure
) -> list[tuple[Any, LeafIn]]:
    """For each leaf what the function sees in its place, and how it enters."""
    names = _names(fn, len(args), tree)
    code = getattr(inspect.unwrap(fn), "__code__", None)
    found = []
    for leaf, name in zip(leaves, names):
        line = Line(code.co_filename, code.co_firstlineno, code.co_name, text=name) if code else None
        try:
            found.append(_enter_leaf(tracing, leaf, name, line))
        except Error as error:
            raise error.at(op=f"argument {name}", line=line)
    return found


def one_for_each(tracing: Tracing, leaves: list[Any], described: list[tuple[Any, LeafIn]]) -> list[tuple[Any, LeafIn]]:
    """An array given twice is one array to a function that asks by `is`. TraceError for one that it closes over as well."""
    new: dict[int, Any] = {}
    for leaf, (seen, how) in zip(leaves, described):
        if how.kind in ("array", "variable"):
            found = tracing.outside.reach.path_to(leaf)
            if found is not None and found.name:
                raise TraceError(
                    f"{how.name} is also {found.name}, which the function closes over, and it asks by `is` which things are one",
                    mend=f"pass a copy as {how.name}, or leave the argument out", op="is",
                )
            new.setdefault(id(leaf), seen)
    return [(new.get(id(leaf), seen), how) for leaf, (seen, how) in zip(leaves, described)]


def _enter_leaf(tracing: Tracing, leaf: Any, name: str, line: Line | None) -> tuple[Any, LeafIn]:
    position = len(tracing.graph.inputs)
    if type(leaf) in WEAK.values():
        value = tracing.graph.input(weak_spec(type(leaf).__name__), "argument", line)
        return TracedScalar(value, leaf), LeafIn("number", name, position)
    if type(leaf) is TracedScalar:
        value = tracing.graph.input(leaf.value.spec, "argument", line)
        return TracedScalar(value, leaf.concrete, leaf.differentiated), LeafIn("number", name, position)
    if isinstance(leaf, Spec):
        if leaf.weak:
            return TracedScalar(tracing.graph.input(leaf, "argument", line), None), LeafIn("number", name, position)
        return _array(tracing, Spec(leaf.shape, check_dtype(leaf.dtype)), line, position), LeafIn("array", name, position)
    if type(leaf) is TracedArray:
        return _array(tracing, leaf.spec, line, position, leaf.stand_in(), scalar=leaf.scalar, writeable=leaf.writeable), LeafIn(
            "array", name, position
        )
    if isinstance(leaf, Operand):
        if leaf.absent:  # type: ignore[attr-defined]
            return type(leaf)(None, leaf.name), LeafIn("static", name)  # type: ignore[call-arg,attr-defined]
        tracing.outside.given.append(leaf)
        traced = _array(tracing, Spec(leaf.shape, native(leaf.dtype)), line, position, memory=leaf.memory())  # type: ignore[attr-defined]
        held: Any = type(leaf)(traced, leaf.name)  # type: ignore[call-arg,attr-defined]
        if leaf.grad is not None:  # type: ignore[attr-defined]
            held.grad = _Gradient()
        return held, LeafIn("variable", name, position)
    if backends.owner(leaf) is not None:
        leaf = backends.memory_of(leaf)
    if isinstance(leaf, (np.ndarray, np.generic)):
        check_array(leaf, f"argument {name}")
        spec = Spec(leaf.shape, native(leaf.dtype))
        if isinstance(leaf, np.generic):
            return _array(tracing, spec, line, position, scalar=True), LeafIn("array", name, position)
        strides = stand_in(spec, leaf.strides) if not leaf.flags.c_contiguous else None
        return _array(tracing, spec, line, position, strides, memory=leaf), LeafIn("array", name, position)
    if is_foreign(leaf):
        kind = type(leaf)
        raise refuse(
            f"it is of type {module_of(kind).partition('.')[0]}.{kind.__name__}, an array of another library",
            f"give it as NumPy's: np.asarray({name})",
        )
    return leaf, LeafIn("static", name)


class _Gradient(Operand):
    """Stands for the gradient that a Variable among the arguments has already: it is there, and no input of the trace."""

    rank = 5

    @classmethod
    def record(cls, op: Any, operands: Any, attrs: Any) -> NoReturn:
        mend = "v.cleargrad() first, or pass v.grad as an argument as well"
        raise refuse("the gradient of a Variable among the arguments is used", mend, op="grad")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.record(name, (), {})

    def _refuse(self, *_: Any) -> NoReturn:
        self.record(None, (), {})

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __pow__ = __neg__ = __array__ = _refuse


def _array(
    tracing: Tracing,
    spec: Spec,
    line: Line | None,
    position: int,
    strides: np.ndarray | None = None,
    *,
    scalar: bool = False,
    writeable: bool = True,
    memory: np.ndarray | None = None,
) -> TracedArray:
    writeable = writeable if memory is None else memory.flags.writeable
    storage = Storage(tracing, tracing.graph.input(spec, "argument", line), writeable=writeable, source=position)
    tracing.outside.arguments.append(storage)
    storage.gaps = has_gaps(memory if memory is not None else strides)
    if memory is not None:
        storage.swapped = not memory.dtype.isnative
        tracing.outside.memory.append((storage, memory))
    return TracedArray(storage, (), spec, None if strides is None or strides.flags.c_contiguous else strides, scalar=scalar)


def _names(fn: Callable[..., Any], count: int, tree: trees.Structure) -> list[str]:
    """How the user would write each leaf of (args, kwargs)."""
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "args")
    heads = [*positional, *[f"{rest}[{k}]" for k in range(count - len(positional))]]
    found = []
    for path in tree.paths:
        head = heads[path[1]] if path[0] == 0 else str(path[1])
        found.append(head + "".join([f"[{step!r}]" for step in path[2:]]))
    return found
