"""Tracing: a function runs once on traced arguments; out comes a `Trace`: the graph and all that a call must do around it.

What enters: arrays, NumPy scalars, Specs and Variables as inputs, Python numbers as weak inputs, all else as itself. What leaves: the
returned tree, whose traced leaves are outputs of the graph, and the final values of arguments that the function wrote into. A trace
that fails leaves nothing behind: no trace is running, no random state is spent, no Variable holds a traced array.
"""

from __future__ import annotations

import enum
import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from ir.errors import Error, TraceError
from ir.graph import Graph, Value
from ir.source import Line, user_line
from ir.spec import WEAK, Spec, check_dtype, weak_spec
from tracer import trees
from tracer.arrays import aliases
from tracer.arrays.scalar import TracedScalar
from tracer.arrays.storage import Storage, stand_in
from tracer.arrays.traced import TracedArray
from tracer.arrays.truth import TracedTruth
from tracer.captures.changes import line_of_change
from tracer.captures.draws import Drawn, no_draws
from tracer.captures.holds import Guard, guards_of
from tracer.captures.paths import now
from tracer.captures.seen import PLAIN, comparable, fingerprint
from tracer.operands.refusal import in_our_words, refuse, remembered, swallowed, where_raised
from tracer.operands.stack import Operand, current
from tracer.tracing.context import Capture, Tracing, check_array, entered, native
from tracer.tracing.leftovers import no_gradients_left, no_plain_writes, nothing_left


@dataclass(frozen=True)
class LeafIn:
    """A leaf of the arguments. `kind`: "array", "variable", "number" (an input of the graph) or "static" (part of the key)."""

    kind: str
    name: str
    input: int | None = None


@dataclass(frozen=True)
class LeafOut:
    """A leaf of the result. `kind`: "array", "scalar" (a 0-d result is a NumPy scalar), "number" (a Python number), "truth" (a Python bool
    from an array), "variable", each with `output`, its place among the graph's outputs; or "static", `value` being what the function gave.
    """

    kind: str
    output: int | None = None
    value: Any = None


@dataclass
class Trace:
    """What `run_trace` gives. `writes` maps an input (by position) to the output that is its content after the call."""

    graph: Graph
    in_tree: trees.Structure
    out_tree: trees.Structure
    leaves: list[LeafIn]
    outs: list[LeafOut]
    captured: list[Capture] = field(default_factory=list)
    writes: dict[int, int] = field(default_factory=dict)
    guards: list[Guard] = field(default_factory=list)
    baked: list[tuple[str, Line | None]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cost: str | None = None  # what the guards cost, where that deserves a warning
    numbers: bool = True  # whether captured numbers are inputs
    clocks: bool = False  # whether the function names a clock
    gate: int | None = None  # the output without which nothing is updated
    impure: list[tuple[str, Line | None]] = field(default_factory=list)  # what the function changed in captured things, and where


def trace(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Graph:
    """Runs `fn` once on traced stand-ins of the arguments and gives the graph of what it did.

    Arguments are arrays, `Spec(shape, dtype)`s, Python numbers, Variables, and trees of them; other leaves are passed as they are. The
    graph's inputs are the array and number leaves in order, then what the function captured; its outputs are the array leaves of the
    result in order, then the new content of arguments that were written into.

    >>> import numpy as np
    >>> graph = trace(lambda x: np.sum(x * 2.0), np.ones(3))
    >>> [str(v.spec) for v in graph.outputs]
    ['f64[]']

    Raises TraceError where the function needs a value, draws random numbers, or uses what is not traced; ShapeError and DTypeError
    as the operations do. Each names the user's line.
    """
    return run_trace(fn, args, kwargs, exact=None).graph


def run_trace(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], captures_of: Callable[..., Any] | None = None,
    exact: bool | None = False, numbers: bool = True,
) -> Trace:
    """Traces one call. `captures_of` is the function whose closure counts, where `fn` is a wrapper around it. `exact`: what is composed
    in another way than in NumPy is refused; None, where the graph is all that is wanted: what is compiled exactly is exact in it.

    With `numbers` captured Python numbers are inputs, unless the function does with them what their stand-ins don't take: then it is
    traced again with the numbers themselves, as guards.
    """
    tracing = Tracing(captures_of or fn, exact=exact, numbers=numbers)
    try:
        return _run(tracing, fn, args, kwargs)
    except Drawn:
        raise
    except Exception as error:
        if not tracing.numbers.stood_in:
            if isinstance(error, TraceError):
                remembered(error, current())  # of the trace around this one
            raise
    finally:
        tracing.forget()
    return run_trace(fn, args, kwargs, captures_of, exact, numbers=False)


def _run(tracing: Tracing, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Trace:
    leaves, in_tree = trees.flatten((args, kwargs))
    described = _enter(tracing, fn, args, leaves, in_tree)
    aliases.link(tracing.memory)
    tracing.objects += [(leaf.name, thing) for thing, leaf in described if leaf.kind == "static" and not isinstance(thing, Operand)]
    if tracing.reach.asks_is:
        described = _one_for_each(tracing, leaves, described)
    before = [(found, fingerprint(found.thing)) for found in tracing.reach.found if comparable(found.thing)]
    with no_draws(tracing.fn or fn, tracing.reach.found, tracing.objects), entered(tracing):
        try:
            args, kwargs = trees.unflatten(in_tree, [new for new, _ in described])
            result = tracing.numbers.twin(fn)(*args, **kwargs)
            if tracing.refused is not None:
                raise swallowed(tracing.refused)
            tracing.numbers.settle()
            _same_containers((args, kwargs), in_tree, described)
            traced = Trace(
                tracing.graph, in_tree, trees.flatten(None)[1], [leaf for _, leaf in described], [], tracing.captured,
                numbers=tracing.numbers.enabled, clocks=tracing.reach.clocks,
            )
            _leave(tracing, traced, result, described)
            no_gradients_left(tracing)
        except Error as error:
            if tracing.refused is not None and not isinstance(error, TraceError):
                raise swallowed(tracing.refused) from error
            line, op = where_raised(error)
            raise error.at(op=op, line=line or user_line())
        except Exception as error:
            found = hidden(error)
            if found is not None:
                raise found from None
            if tracing.refused is not None:
                raise swallowed(tracing.refused) from error
            ours = in_our_words(error)
            if ours is None:
                raise
            raise ours from error
        finally:
            tracing.closed = True
            tracing.memory.clear()
            _restore(tracing)
    nothing_left(tracing, before)
    traced.guards += guards_of(tracing, traced, leaves, before)
    traced.baked, traced.notes = tracing.baked, tracing.notes
    changed = [f for f, seen in before if fingerprint(now(f.fetch)) != seen]
    if changed:
        traced.impure = [(f.name, line_of_change(f.name, tracing.fn or fn, tracing.reach.found)) for f in changed]
    no_plain_writes(tracing, traced.impure, before)
    return traced


# ---- in
def _enter(
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


def _one_for_each(tracing: Tracing, leaves: list[Any], described: list[tuple[Any, LeafIn]]) -> list[tuple[Any, LeafIn]]:
    """An array given twice is one array to a function that asks by `is`. TraceError for one that it closes over as well."""
    new: dict[int, Any] = {}
    for leaf, (seen, how) in zip(leaves, described):
        if how.kind in ("array", "variable"):
            found = tracing.reach.path_to(leaf)
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
        tracing.given.append(leaf)
        traced = _array(tracing, Spec(leaf.shape, native(leaf.dtype)), line, position, memory=leaf.memory())  # type: ignore[attr-defined]
        held: Any = type(leaf)(traced, leaf.name)  # type: ignore[call-arg,attr-defined]
        if leaf.grad is not None:  # type: ignore[attr-defined]
            held.grad = _Gradient()
        return held, LeafIn("variable", name, position)
    if isinstance(leaf, (np.ndarray, np.generic)):
        check_array(leaf, f"argument {name}")
        spec = Spec(leaf.shape, native(leaf.dtype))
        if isinstance(leaf, np.generic):
            return _array(tracing, spec, line, position, scalar=True), LeafIn("array", name, position)
        strides = stand_in(spec, leaf.strides) if not leaf.flags.c_contiguous else None
        return _array(tracing, spec, line, position, strides, memory=leaf), LeafIn("array", name, position)
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
    tracing.arguments.append(storage)
    if memory is not None:
        storage.swapped = not memory.dtype.isnative
        tracing.memory.append((storage, memory))
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


# ---- out
def _same_containers(given: Any, tree: trees.Structure, described: list[tuple[Any, LeafIn]]) -> None:
    """TraceError where the function put something into a container among its arguments, or took it out: later calls would not."""
    after, now = trees.flatten(given)
    before = [thing for thing, _ in described]
    if now == tree and all(a is b for a, b in zip(after, before)):
        return
    if now == tree:
        where = next(leaf.name for a, (b, leaf) in zip(after, described) if a is not b)
        what = f"{where} is replaced inside a container that is an argument"
    else:
        what = f"a container among the arguments is changed: its tree is {now}, it was {tree}"
    raise refuse(
        f"{what}; a later call would not do it", "return the new value, or write into the array that is there: d['w'][...] = new",
        op="argument",
    )


def _leave(tracing: Tracing, traced: Trace, result: Any, described: list[tuple[Any, LeafIn]]) -> None:
    """The result's leaves and the written arguments become outputs."""
    leaves, traced.out_tree = trees.flatten(result)
    for key in {step for path in traced.out_tree.paths for step in path if type(step) is str}:
        _no_text_of_traced(key)
    outputs = tracing.graph.outputs
    for leaf in leaves:
        traced.outs.append(_leave_leaf(tracing, leaf, outputs))
    captured = {c.input: c for c in tracing.captured}
    updated = {state for state, _ in tracing.graph.updates}
    for storage in tracing.entered_storages():
        if not storage.version or storage.source is None:
            continue
        state = tracing.graph.inputs[storage.source]
        if storage.source in captured and captured[storage.source].kind == "variable":
            if state not in updated and storage.value is not state:
                tracing.graph.updates.append((state, storage.value))
        elif storage.value is not state and storage.source not in captured:  # what is captured only mirrors an argument
            traced.writes[storage.source] = len(outputs)
            outputs.append(storage.value)
    if tracing.gate is not None:
        traced.gate = len(outputs)
        outputs.append(tracing.gate)


def _leave_leaf(tracing: Tracing, leaf: Any, outputs: list[Value]) -> LeafOut:
    kind = type(leaf)
    if kind is TracedArray:
        outputs.append(tracing.value_of(leaf))
        return LeafOut("scalar" if leaf.scalar else "array", len(outputs) - 1)
    if kind is TracedScalar:
        outputs.append(tracing.value_of(leaf))
        return LeafOut("number", len(outputs) - 1)
    if kind is TracedTruth:
        outputs.append(tracing.value_of(leaf))
        return LeafOut("truth", len(outputs) - 1)
    if isinstance(leaf, Operand):
        held = leaf.data  # type: ignore[attr-defined]
        if held is None:
            return LeafOut("static", None, leaf)
        outputs.append(tracing.value_of(held))
        return LeafOut("variable", len(outputs) - 1)
    if isinstance(leaf, np.ndarray) and leaf.dtype.kind not in "biufc":
        raise refuse(
            f"the function returns a plain array of dtype {leaf.dtype}, which may hold traced values",
            "make arrays of traced numbers with np.stack, or np.full_like(x, number) of a traced array x",
        )
    if isinstance(leaf, np.ndarray):
        tracing.bake("a plain array is returned", None)
        tracing.plain_result = True
        return LeafOut("static", None, leaf.copy())
    if kind is str:
        _no_text_of_traced(leaf)
    if isinstance(leaf, (np.generic, int, float, complex)) and not isinstance(leaf, bool):
        tracing.plain_result = True  # it may have been computed from an array
    if not isinstance(leaf, _RETURNED) and all(leaf is not thing for _, thing in tracing.objects):
        raise refuse(
            f"the function returns something of type {kind.__name__}, which can't be made anew at each call",
            "return arrays, numbers, strings, None, and lists, tuples, dicts or named tuples of them",
        )
    return LeafOut("static", None, leaf)


def _no_text_of_traced(text: str) -> None:
    """TraceError for a text that describes a traced array, where with values it would hold them."""
    if "<traced " in text:
        raise refuse(
            f"the function returns the text {text!r:.60}, in which a value stands that is not known while tracing",
            "return the array, and make the text of the result", op="str",
        )  # fmt: skip


_RETURNED = (*PLAIN, np.generic, np.dtype, type, enum.Enum, slice, range, types.FunctionType, types.EllipsisType)


def hidden(error: Exception) -> TraceError | None:
    """The TraceError that NumPy hid behind an error of its own."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, TraceError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _restore(tracing: Tracing) -> None:
    """Takes traced gradients off the Variables from outside."""
    for variable, before in tracing.grads:
        if getattr(variable, "grad", None) is not before:
            variable.grad = before
