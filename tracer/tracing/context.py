"""A running trace: the graph under construction, what entered it from outside and how, and what was decided on values.

Operands of every kind become Values here: a traced array by reading its view, a Variable through its data, a plain array as a
captured input where the function can reach it by a path (else as a constant), a Python number as a weak constant.
Invariant: a thing from outside enters once; all its uses share one storage, so that a write is seen by all of them.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ir.errors import DTypeError, NumberRangeError, TraceError
from ir.graph import Graph, Node, Value
from ir.op import Op, Trait
from ir.planning.orders import Lie, result_strides
from ir.planning.select import slot_dtype
from ir.planning.strides import c_strides
from ir.source import Line, user_line
from ir.spec import Spec, check_dtype
from tracer.arrays import aliases
from tracer.arrays.scalar import TracedScalar
from tracer.arrays.storage import Step, Storage, stand_in
from tracer.arrays.traced import TracedArray, leaked
from tracer.captures.capture import Reach
from tracer.captures.paths import Found
from tracer.captures.seen import fingerprint
from tracer.operands import stack
from tracer.operands.refusal import refuse
from tracer.operands.stack import current, entered
from tracer.tracing.errstate import Errstate
from tracer.tracing.numbers import Numbers

VIEWS = frozenset(["reshape", "transpose", "broadcast_to", "expand_dims", "squeeze", "slice", "real", "imag"])

__all__ = ["Capture", "Tracing", "current", "entered", "resume"]


@dataclass(frozen=True)
class Capture:
    """An input that is no argument. `kind` is "variable", "array", "number" or "traced" (of an outer trace); `fetch()` gives it at a call.

    `name` is how the function reaches it (`W1`, `self.table`), `holder` the Variable itself for kind "variable".
    """

    input: int
    kind: str
    name: str
    fetch: Callable[[], Any]
    spec: Spec
    holder: Any = None

    def fits(self, thing: Any) -> bool:
        """Whether what `fetch` gave at a call can stand for what it gave while tracing: same kind, shape and dtype."""
        if self.kind == "array" and not isinstance(thing, np.ndarray) or self.kind == "variable" and type(thing) is not type(self.holder):
            return False
        return thing.shape == self.spec.shape and native(thing.dtype) == self.spec.dtype


class Tracing:
    """One run of a function on traced arrays. `closed` once the run is over: its arrays then refuse every use."""

    def __init__(
        self, fn: Callable[..., Any] | None = None, graph: Graph | None = None, exact: bool | None = False, numbers: bool = True
    ):
        self.fn, self.exact = fn, exact
        self.errstate = Errstate()  # of the code around the function
        self.numbers = Numbers(self, numbers and fn is not None)  # `numbers`: whether captured ones are inputs
        self.graph = Graph() if graph is None else graph
        self.resumed = graph is not None
        self.closed = False
        self.refused: TraceError | None = None  # the first error that there would not be with values
        self.pathless: list[tuple[weakref.ref[np.ndarray], Any]] = []  # arrays that became constants, and what they held
        self.objects: list[tuple[str, Any]] = []  # arguments that are no data: what hangs on them is within reach
        self.captured: list[Capture] = []
        self.arguments: list[Storage] = []
        self.memory: list[tuple[Storage, np.ndarray]] = []  # the caller's arrays among what entered, while the function runs
        self.plain_result = False
        self.powers: list[Value] = []  # powers of Python numbers, whose kind hangs on the values
        self.pinned: dict[int, tuple[Line | None, str]] = {}  # number input -> where Python needed its value, and what for
        self.unknown: Line | None = None  # where an array of unknown origin was met: computed from something out of sight
        self.grads: list[tuple[Any, Any]] = []  # Variables met, and their gradients before the trace
        self.baked: list[tuple[str, Line | None]] = []
        self.given: list[Any] = []  # Variables among the arguments
        self.gate: Value | None = None  # a bool without which nothing is updated
        self.notes: list[str] = []  # what else `explain` should say of this trace
        self.made: dict[int, Any] = {}  # Variables made of plain arrays while the function runs
        self._lifted: dict[int, tuple[Any, TracedArray]] = {}  # id -> (the thing itself, kept alive; its traced array)
        self._numbers: dict[tuple[type, Any], Value] = {}  # one constant for each Python number
        self._reach: Reach | None = None

    @property
    def reach(self) -> Reach:
        """What the function can reach, looked up when first asked."""
        if self._reach is None:
            self._reach = Reach(self.fn, self.objects)
        return self._reach

    def forget(self) -> None:
        """The run is over: lets go of all that came from outside, without waiting for the garbage collector."""
        self.closed = True
        self.fn, self._reach, self.captured = None, None, []
        for held in (self.powers, self.pathless, self.objects, self.arguments, self.memory, self.grads, self.given, self.made):
            held.clear()
        for known in (self._lifted, self._numbers):
            known.clear()
        self.numbers.forget()

    # ---- recording
    def record(self, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """Adds a node and wraps what it gives. A view operation on a traced array gives a view instead."""
        if op.name in VIEWS and type(operands[0]) is TracedArray and (op.view_of == 0 or operands[0].dtype.kind == "c"):
            return self.adopt(operands[0]).viewed(op, attrs, [self.value_of(x) for x in operands[1:]])
        now = self.errstate.changed()
        line = replace(user_line() or Line("", 0), errstate=now) if now else None
        out = self.graph.apply(op, [x if type(x) is float else self.value_of(x) for x in operands], attrs, line)
        if type(out) is tuple:
            return tuple([self.wrap(v) for v in out])
        if op.ufunc is not None:
            for position, x in enumerate(operands):
                if type(x) is int and not -1 < x < 128:
                    _check_number(out.node, position, x)
        return self.wrap(out, self._strides(op, operands, attrs, out.spec), array=op.has(Trait.ARRAY))

    def wrap(self, value: Value, strides: np.ndarray | None = None, *, array: bool = False) -> TracedArray:
        """A traced array on a storage of its own. A 0-d one is a NumPy scalar unless `array`."""
        return TracedArray(Storage(self, value), (), value.spec.strong(), strides, scalar=not value.shape and not array)

    def value_of(self, operand: Any) -> Value:
        """The Value of an operand of any kind."""
        kind = type(operand)
        if kind is TracedArray:
            return self.adopt(operand).value
        if kind is TracedScalar:
            return operand.value if operand.value.graph is self.graph else self._adopt_scalar(operand)
        if isinstance(operand, np.ndarray):
            return self.lift_array(operand)
        if kind is Value:
            return operand
        if isinstance(operand, stack.Operand):  # before the numbers: one of them says that it is a bool
            return self.value_of(operand.data)  # type: ignore[attr-defined]
        if isinstance(operand, (int, float, complex, np.generic)):
            return self.lift_number(operand)
        raise refuse(
            f"a {kind.__name__} can't be an operand of a traced operation",
            "give arrays or numbers; of a list of arrays make one with np.stack",
        )

    def _strides(self, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any], out: Spec) -> np.ndarray | None:
        """The stand-in of a new result, as NumPy lays it out; None for C order."""
        if out.ndim < 2 or op.order != "gather" and all(x.strides_ is None if type(x) is TracedArray else _is_plain(x) for x in operands):
            return None
        if op.view_of is not None and isinstance(operands[0], np.ndarray) and type(operands[0]) is not TracedArray:
            made = Step(op, tuple(attrs.items())).stand_in(operands[0])  # of a plain array: a view, or None for a copy
            return None if made is None or made.flags.c_contiguous else stand_in(out, made.strides)
        strides = result_strides(op, attrs, [_lie(x) for x in operands], out)
        made = stand_in(out, strides)
        return None if made.flags.c_contiguous else made

    # ---- what comes from outside
    def adopt(self, array: TracedArray) -> TracedArray:
        """The array as this trace sees it: itself, or a captured input where it belongs to a trace around this one."""
        owner = array.storage.tracing
        if owner is self or (owner.graph is self.graph and not owner.closed):
            return array
        if owner.closed or owner not in stack.running():
            raise leaked(array)
        base = self._enter(
            array.storage,
            lambda: TracedArray(array.storage, (), array.storage.value.spec.strong(), None),
            "traced",
            array.storage.value.spec,
            None,
        )
        for step in array.path:
            indices = [self.value_of(owner.wrap(v)) for v in step.indices]
            base = base.viewed(step.op, dict(step.attrs), indices)
        return base

    def lift(self, variable: Any) -> TracedArray:
        """The traced array of a Variable that came in from outside: one input of kind "state", however often it is met."""
        known = self._lifted.get(id(variable))
        if known is not None:
            return known[1]
        found = self.reach.path_to(variable)
        name = found.name if found else (getattr(variable, "name", None) or "")
        spec = Spec(variable.shape, native(variable.dtype))
        fetch = found.fetch if found else (lambda: variable)
        self.grads.append((variable, getattr(variable, "grad", None)))
        return self._enter(variable, fetch, "variable", spec, name)

    def is_own(self, variable: Any) -> bool:
        """Whether a Variable of a plain array was made by the function and is not kept where the next call finds it."""
        if self.made.pop(id(variable), None) is None:
            return False
        return Reach(self.fn, self.objects).path_to(variable) is None

    def state(self, variable: Any) -> Value:
        """The graph input that stands for a Variable from outside, as it was when the trace began."""
        source = self.lift(variable).storage.source
        assert source is not None
        return self.graph.inputs[source]

    def variables(self) -> list[Any]:
        """The Variables from outside met so far, in the order in which they were met."""
        return [c.holder for c in self.captured if c.kind == "variable"]

    def update(self, state: Value, new: Value) -> None:
        """`new` replaces the content of the state when a run is over."""
        self.graph.updates.append((state, new))

    def bind(self, thing: Any, array: TracedArray) -> None:
        """From now on `thing` (a Variable, an array) is `array` in this trace."""
        self._lifted[id(thing)] = (thing, array)

    def assign(self, variable: Any, new: Any) -> None:
        """`variable.data = new` for a Variable from outside: a write of its whole content."""
        old = self.lift(variable)
        if type(new) is TracedArray and new.storage is old.storage and new.path == old.path:
            return
        shape, dtype = getattr(new, "shape", ()), getattr(new, "dtype", None)
        if shape != old.shape or dtype != old.dtype:
            raise refuse(
                f"the data of a Variable {old.spec} is replaced by something of shape {shape} and dtype {dtype}",
                "inside a traced function a Variable from outside keeps its shape and dtype: make a new Variable",
            )
        old[...] = new

    def lift_array(self, array: np.ndarray) -> Value:
        """The Value of a plain array: a captured input where the function reaches it by a path, otherwise a constant."""
        known = self._lifted.get(id(array))
        if known is not None:
            return known[1].value
        check_array(array)
        found = self.reach.path_to(array) if array.ndim or array.size else None
        if found is None:
            self.unknown = self.unknown or user_line()
            self.pathless.append((weakref.ref(array), fingerprint(array)))
            return self.graph.constant(array, user_line())
        spec = Spec(array.shape, native(array.dtype))
        return self._enter(array, found.fetch, "array", spec, found.name, array).value

    def lift_number(self, number: Any) -> Value:
        """The Value of a Python number or NumPy scalar."""
        if isinstance(number, np.generic):
            check_array(number)
            self.unknown = self.unknown or user_line()
            return self.graph.constant(number, user_line())
        key = (type(number), number if number and type(number) is not complex else repr(number))  # zeros have signs
        known = self._numbers.get(key)
        if known is None:
            if isinstance(number, int) and not isinstance(number, bool) and not -(2**63) <= number < 2**64:
                raise NumberRangeError(
                    f"the integer {number} does not fit any dtype", mend="use a float, or scale it", op="number", line=user_line()
                )
            known = self._numbers[key] = self.graph.constant(number, user_line())
        return known

    def pin(self, inputs: frozenset[int], what: str) -> None:
        """Python needed the value of a number that came from these inputs: the trace holds for their present values alone."""
        line = user_line()
        for k in sorted(inputs):
            self.pinned.setdefault(k, (line, what))

    def bake(self, what: str, line: Line | None) -> None:
        """Plain data was read while tracing, out of sight of the graph."""
        self.baked.append((what, line))
        self.unknown = self.unknown or line

    def enter_number(self, found: Found, spec: Spec) -> tuple[Value, int]:
        """A captured Python number as an input, and its place among the inputs."""
        line, index = user_line(), len(self.graph.inputs)
        value = self.graph.input(spec, "captured", Line(line.file, line.number, line.function, text=found.name) if line else None)
        self.captured.append(Capture(index, "number", found.name, found.fetch, spec))
        return value, index

    def _adopt_scalar(self, scalar: TracedScalar) -> Value:
        """A number of a trace around this one, as a captured input."""
        if scalar.known and scalar.value.graph not in [t.graph for t in stack.running()]:
            return self.lift_number(scalar.concrete)
        if all(t.graph is not scalar.value.graph for t in stack.running()):
            raise scalar.leaked()
        return self._enter(scalar, lambda: scalar, "traced", scalar.value.spec, None).storage.value

    def entered_ids(self) -> set[int]:
        """The ids of the things from outside that are inputs of their own."""
        return set(self._lifted)

    def entered_storages(self) -> list[Storage]:
        """The storages of arguments and captured things, in the order of their inputs."""
        found = [*self.arguments, *[array.storage for _, array in self._lifted.values()]]
        return sorted({id(s): s for s in found if s.source is not None}.values(), key=lambda s: s.source or 0)

    def _enter(
        self, thing: Any, fetch: Callable[[], Any], kind: str, spec: Spec, name: str | None, array: np.ndarray | None = None
    ) -> TracedArray:
        known = self._lifted.get(id(thing))
        if known is not None:
            return known[1]
        if self.resumed:
            raise refuse(
                f"a backward rule reads {name or 'something'} that is no operand of its function",
                "pass it to the function as an input, or keep it from forward on self",
            )
        line = user_line()
        index = len(self.graph.inputs)
        value = self.graph.input(
            spec,
            {"variable": "state"}.get(kind, "captured"),
            Line(line.file, line.number, line.function, text=name or "") if line else None,
        )
        storage = Storage(self, value, source=index, writeable=kind != "array")
        if array is not None:
            storage.swapped = not array.dtype.isnative
            self.memory.append((storage, array))
            aliases.link(self.memory, len(self.memory) - 1)
        strided = stand_in(spec, array.strides) if array is not None and not array.flags.c_contiguous else None
        traced = TracedArray(storage, (), spec, strided, scalar=False)
        self._lifted[id(thing)] = (thing, traced)
        self.captured.append(Capture(index, kind, name or "", fetch, spec, thing if kind == "variable" else None))
        return traced


def _check_number(node: Node, position: int, number: int) -> None:
    """NumberRangeError, as NumPy's OverflowError, where the operation takes this Python integer in a dtype that can't hold it."""
    dtype = slot_dtype(node, position)
    if dtype.kind in "iu" and not np.iinfo(dtype).min <= number <= np.iinfo(dtype).max:
        operands = zip(node.op.names(len(node.operands)), [v.spec for v in node.operands])
        raise NumberRangeError(
            f"Python integer {number} out of bounds for {dtype}", op=node.op.name, operands=operands, line=node.line,
            mend="cast the array to a larger dtype with astype, or use a NumPy number such as np.int64(n)",
        )


def _is_plain(operand: Any) -> bool:
    """Whether an operand that is no traced array lies in C order."""
    if isinstance(operand, np.ndarray):
        return operand.flags.c_contiguous
    return not isinstance(operand, stack.Operand) or type(operand).rank < 2


def _lie(operand: Any) -> Lie:
    """Shape, strides and dtype of an operand of any kind."""
    if isinstance(operand, stack.Operand) and type(operand).rank == 3:
        operand = operand.data  # type: ignore[attr-defined]
    if type(operand) is TracedArray:
        operand = operand.stand_in()
    if isinstance(operand, np.ndarray):
        return operand.shape, operand.strides, native(operand.dtype)
    spec = operand.spec if type(operand) is Value else Spec((), np.asarray(operand).dtype if isinstance(operand, np.generic) else float)
    return spec.shape, c_strides(spec.shape, spec.dtype.itemsize), spec.dtype


def native(dtype: np.dtype) -> np.dtype:
    """The dtype in native byte order."""
    return dtype.newbyteorder("=")


def check_array(array: Any, what: str = "array") -> None:
    """DTypeError or TraceError for arrays that the project does not take: foreign dtypes, subclasses other than memmap."""
    if isinstance(array, np.ndarray) and type(array) is not np.ndarray and not isinstance(array, np.memmap):
        raise refuse(
            f"{type(array).__name__} arrays are not traced",
            "use np.asarray(a): plain arrays, @ for products, np.where with a mask for masked ones",
            op=what,
        )
    try:
        check_dtype(array.dtype)
    except DTypeError as error:
        raise error.at(op=what, line=user_line())


@contextmanager
def resume(graph: Graph) -> Iterator[Tracing]:
    """Records onto an existing graph: `tracing.wrap(value)` makes traced arrays of its Values. For gradient rules of the user's."""
    around = current()
    with entered(Tracing(graph=graph, exact=around is not None and around.graph is graph and around.exact)) as tracing:
        try:
            yield tracing
        finally:
            tracing.forget()
