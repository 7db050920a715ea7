"""What comes into a trace from outside: Variables, arrays, numbers, and traced arrays of a trace around it.

A plain array is a captured input where the function reaches it by a path, else a constant; a Python number a weak constant, or an input
where a stand-in was made for it. Invariant: a thing from outside enters once; all its uses share one storage, so that a write is seen
by all of them.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import backends
from ir.errors import DTypeError, NumberRangeError
from ir.graph import Value
from ir.source import Line, user_line
from ir.spec import Spec, check_dtype
from tracer.arrays import aliases
from tracer.arrays.lying import constant_as_it_lies
from tracer.arrays.scalar import TracedScalar
from tracer.arrays.storage import Storage, has_gaps, stand_in
from tracer.arrays.traced import TracedArray, leaked
from tracer.captures.capture import Reach
from tracer.captures.paths import Found
from tracer.captures.seen import fingerprint
from tracer.operands.refusal import refuse
from tracer.operands.stack import Recorder, running


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


class Outside:
    """The things that came into one trace, and how a later call gets them again."""

    def __init__(self, recorder: Recorder, fn: Callable[..., Any] | None, resumed: bool):
        self._recorder, self.fn, self._resumed = recorder, fn, resumed
        self.objects: list[tuple[str, Any]] = []  # arguments that are no data: what hangs on them is within reach
        self.captured: list[Capture] = []
        self.arguments: list[Storage] = []
        self.given: list[Any] = []  # Variables among the arguments
        self.memory: list[tuple[Storage, np.ndarray]] = []  # the caller's arrays among what entered, while the function runs
        self.pathless: list[tuple[weakref.ref[np.ndarray], Any]] = []  # arrays that became constants, and what they held
        self.grads: list[tuple[Any, Any]] = []  # Variables met, and their gradients before the trace
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

    @property
    def closed(self) -> bool:
        """Whether the run is over."""
        return self._recorder.closed

    def forget(self) -> None:
        """The run is over: lets go of all that came from outside, without waiting for the garbage collector."""
        self.fn, self._reach, self.captured = None, None, []
        for held in (self.objects, self.arguments, self.given, self.memory, self.pathless, self.grads):
            held.clear()
        for known in (self.made, self._lifted, self._numbers):
            known.clear()

    # ---- arrays and numbers
    def lift_array(self, array: np.ndarray) -> Value:
        """The Value of a plain array: a captured input where the function reaches it by a path, otherwise a constant."""
        known = self._lifted.get(id(array))
        if known is not None:
            return known[1].value
        check_array(array)
        found = self.reach.path_to(array) if array.ndim or array.size else None
        if found is None:
            self._recorder.noted.meet_unknown()
            self.pathless.append((weakref.ref(array), fingerprint(array)))
            graph = self._recorder.graph
            return constant_as_it_lies(graph, array, user_line()) if self._recorder.exact else graph.constant(array, user_line())
        spec = Spec(array.shape, native(array.dtype))
        return self._enter(array, found.fetch, "array", spec, found.name, array).value

    def lift_device_array(self, array: Any) -> Value:
        """The Value of a device's array, which the function must reach by a path: it is no constant, whose numbers a graph holds."""
        found = self.reach.path_to(array)
        if found is None:
            raise refuse(
                "an array on a device is used that no name, attribute or item leads to",
                "pass it as an argument, or keep it in a variable that the function closes over",
            )
        memory = backends.memory_of(array)
        assert memory is not None
        return self._enter(array, found.fetch, "array", Spec(array.shape, native(array.dtype)), found.name, memory).value

    def lift_number(self, number: Any) -> Value:
        """The Value of a Python number or NumPy scalar."""
        if isinstance(number, np.generic):
            check_array(number)
            self._recorder.noted.meet_unknown()
            return self._recorder.graph.constant(number, user_line())
        key = (type(number), number if number and type(number) is not complex else repr(number))  # zeros have signs
        known = self._numbers.get(key)
        if known is None:
            if isinstance(number, int) and not isinstance(number, bool) and not -(2**63) <= number < 2**64:
                raise NumberRangeError(
                    f"the integer {number} does not fit any dtype", mend="use a float, or scale it", op="number", line=user_line()
                )
            known = self._numbers[key] = self._recorder.graph.constant(number, user_line())
        return known

    def enter_number(self, found: Found, spec: Spec) -> tuple[Value, int]:
        """A captured Python number as an input, and its place among the inputs."""
        line, index = user_line(), len(self._recorder.graph.inputs)
        value = self._recorder.graph.input(spec, "captured", Line(line.file, line.number, line.function, text=found.name) if line else None)
        self.captured.append(Capture(index, "number", found.name, found.fetch, spec))
        return value, index

    # ---- Variables
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
        return self._recorder.graph.inputs[source]

    def variables(self) -> list[Any]:
        """The Variables from outside met so far, in the order in which they were met."""
        return [c.holder for c in self.captured if c.kind == "variable"]

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

    # ---- of a trace around this one
    def adopt(self, array: TracedArray) -> TracedArray:
        """The array as this trace sees it: itself, or a captured input where it belongs to a trace around this one."""
        owner = array.storage.tracing
        if owner is self._recorder or (owner.graph is self._recorder.graph and not owner.closed):
            return array
        if owner.closed or owner not in running():
            raise leaked(array)
        base = self._enter(
            array.storage,
            lambda: TracedArray(array.storage, (), array.storage.value.spec.strong(), None),
            "traced",
            array.storage.value.spec,
            None,
        )
        for step in array.path:
            indices = [self._recorder.value_of(owner.wrap(v)) for v in step.indices]
            base = base.viewed(step.op, dict(step.attrs), indices)
        return base

    def adopt_number(self, scalar: TracedScalar) -> Value:
        """A number of a trace around this one, as a captured input."""
        if scalar.known and scalar.value.graph not in [t.graph for t in running()]:
            return self.lift_number(scalar.concrete)
        if all(t.graph is not scalar.value.graph for t in running()):
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
        if self._resumed:
            raise refuse(
                f"a backward rule reads {name or 'something'} that is no operand of its function",
                "pass it to the function as an input, or keep it from forward on self",
            )
        line = user_line()
        index = len(self._recorder.graph.inputs)
        value = self._recorder.graph.input(
            spec,
            {"variable": "state"}.get(kind, "captured"),
            Line(line.file, line.number, line.function, text=name or "") if line else None,
        )
        storage = Storage(self._recorder, value, source=index, writeable=kind != "array")
        if array is not None:
            storage.swapped, storage.gaps = not array.dtype.isnative, has_gaps(array)
            self.memory.append((storage, array))
            aliases.link(self.memory, len(self.memory) - 1)
        strided = stand_in(spec, array.strides) if array is not None and not array.flags.c_contiguous else None
        traced = TracedArray(storage, (), spec, strided, scalar=False)
        self._lifted[id(thing)] = (thing, traced)
        self.captured.append(Capture(index, kind, name or "", fetch, spec, thing if kind == "variable" else None))
        return traced


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
