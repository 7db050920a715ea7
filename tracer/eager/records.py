"""The records of operations on eager Variables: what was applied to what, and which values are still to be computed.

A `Record` is one application and the place of its result. An application with several results is a `Several` with a `Part` for each.
A Variable holds its place (a Record or Part), the place knows the Variable weakly, and records refer to what they read, never to what
reads them: so there are no cycles, and records live as long as someone can ask for a value or gradient that needs them. Inputs are

    Record, Part  the result of another record: pending, or done and then with its value
    Held          a Variable without history: its data is read when the record runs
    Raw           a plain array or number, copied when recorded; `of` is the Variable whose data it is a copy of

`Entry` is what equal applications share: operation, attributes, specs. It stands for all of them in fingerprints, by identity.
`TAPE` is the list of results not yet computed.
"""
from __future__ import annotations

import itertools
import threading
import weakref
from typing import Any, ClassVar

import numpy as np

import backends
from ir.graph import Graph, Value
from ir.op import Op
from ir.source import user_spot
from ir.spec import Spec, check_dtype, weak_spec
from tracer.operands.stack import Operand


class Pending:
    """The type of `PENDING`, which stands for data not yet computed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "pending"


PENDING = Pending()


class Held(Operand):
    """The state of a Variable. `_value`: an array, a traced array, None, or PENDING; `_out`: its place in the history, if any.

    `_read` is the number of the last tape that holds a record reading `_value`: such records run before the value is handed out.
    """

    __slots__ = ("_value", "_out", "_read", "name", "grad", "__weakref__")
    rank: ClassVar[int] = 3
    _value: Any
    _out: Place | None
    _read: int
    name: str | None
    grad: Any


class Entry:
    """Operation or graph, attributes and specs of an application. `numbers`: by operand position, the numbers that are constants.

    `weight` is the number of its nodes. `needs` is filled when first asked for: which inputs and which outputs a gradient reads.
    """

    __slots__ = ("op", "attrs", "specs", "outs", "numbers", "weight", "needs")

    def __init__(self, op: Op | Graph, attrs: dict[str, Any], specs: tuple[Spec, ...], outs: tuple[Spec, ...], numbers: dict[int, Any]):
        self.op, self.attrs, self.specs, self.outs, self.numbers = op, attrs, specs, outs, numbers
        self.weight = len(op) if isinstance(op, Graph) else 1
        self.needs: tuple[tuple[bool, ...], tuple[bool, ...]] | None = None

    def build(self, graph: Graph, inputs: list[Value]) -> tuple[Value, ...]:
        """Adds the application to a graph; `inputs` are the operands that are no constants."""
        if isinstance(self.op, Graph):
            mapped = graph.inline(self.op, inputs)
            return tuple([mapped[v] for v in self.op.outputs])
        operands: list[Any] = list(inputs)
        for position, number in self.numbers.items():
            operands.insert(position, number)
        found = graph.apply(self.op, operands, self.attrs)
        return found if type(found) is tuple else (found,)


class Raw:
    """An operand's value as it was when recorded. `of`: the Variable that it was the data of."""

    __slots__ = ("value", "spec", "of")

    def __init__(self, value: Any, spec: Spec, of: Held | None = None):
        self.value, self.spec, self.of = value, spec, of


class Record:
    """One application with one result. `serial` orders records as they were made; `spec` is the result's.

    `spot` is the user's line, as `ir.source.user_spot` gives it. `done`: it was computed. `cut`: no gradient passes. `value`: the result
    while a gradient or a pending record may need it.
    `holder`: weak reference to the Variable.
    """

    __slots__ = ("entry", "inputs", "serial", "spot", "spec", "value", "done", "cut", "holder", "__weakref__")

    def __init__(self, entry: Entry, inputs: list[Input], cut: bool, holder: weakref.ref[Held]):
        self.entry, self.inputs, self.cut, self.holder = entry, inputs, cut, holder
        self.spec = entry.outs[0]
        self.serial, self.spot = next(_serials), user_spot(4)  # above `_add`, `_record` and `record`
        self.value: np.ndarray | None = None
        self.done = False

    @property
    def record(self) -> Record:
        """The application whose result this is."""
        return self

    @property
    def outputs(self) -> list[weakref.ref[Held]]:
        """Weak references to the Variables that it gave."""
        return [self.holder]

    def __repr__(self) -> str:
        return f"<record {_name(self.entry)} : {self.spec}>"


class Several:
    """One application with several results: `parts` are weak references to their places."""

    __slots__ = ("entry", "inputs", "serial", "spot", "parts")

    def __init__(self, entry: Entry, inputs: list[Input]):
        self.entry, self.inputs = entry, inputs
        self.serial, self.spot = next(_serials), user_spot()
        self.parts: tuple[weakref.ref[Part], ...] = ()

    @property
    def outputs(self) -> list[Any]:
        """Weak references to the Variables that it gave; None where one is gone for good."""
        return [part.holder if (part := ref()) is not None else None for ref in self.parts]

    def __repr__(self) -> str:
        return f"<record {_name(self.entry)} : {', '.join(map(str, self.entry.outs))}>"


class Part:
    """One result of a `Several`; fields as those of a Record."""

    __slots__ = ("record", "index", "spec", "value", "done", "cut", "holder", "__weakref__")

    def __init__(self, record: Several, index: int, cut: bool, holder: weakref.ref[Held]):
        self.record, self.index, self.cut, self.holder = record, index, cut, holder
        self.spec = record.entry.outs[index]
        self.value: np.ndarray | None = None
        self.done = False


Place = Record | Part
Application = Record | Several
Input = Record | Part | Held | Raw


def _name(entry: Entry) -> str:
    return "graph" if isinstance(entry.op, Graph) else entry.op.name


def places(record: Application) -> list[Place | None]:
    """Where its results are, in order; None for a result that nobody can ask for any more."""
    return [record] if type(record) is Record else [ref() for ref in record.parts]  # type: ignore[union-attr]


class Tape:
    """What is pending. `number` counts the tapes begun, `done` is the last one of which nothing is left to run.

    A record is put on the tape before the Variables it reads are marked with `number`; a run first takes a new number, then the
    tape. So a mark above `done` covers every record that may still read the Variable, in whatever thread it was made.

    `setting` is NumPy's setting of floating-point errors under which all that waits was recorded; `strict` if it raises any.
    """

    __slots__ = ("waiting", "number", "done", "lock", "setting", "strict")

    def __init__(self) -> None:
        self.waiting: list[weakref.ref[Held]] = []
        self.number = 1
        self.done = 0
        self.setting: Any = None
        self.strict = False
        self.lock = threading.RLock()


TAPE = Tape()
_serials = itertools.count()
_specs: dict[tuple[Any, ...], Spec] = {}
_LIMIT = 1 << 16
DEVICES: set[type] = set()  # the types of arrays on a device that Variables have held: empty where all lives on the host


def is_on_device(value: Any) -> bool:
    """Whether it is an array on a device; its type is known from then on."""
    found = backends.owner(value) is not None
    if found:
        DEVICES.add(type(value))
    return found


def array_spec(array: Any) -> Spec:
    """The spec of an array or NumPy scalar: the same object for equal ones. DTypeError for dtypes that are not taken."""
    key = (array.shape, array.dtype)
    found = _specs.get(key)
    if found is None:
        if len(_specs) >= _LIMIT:
            _specs.clear()
        check_dtype(array.dtype)
        found = _specs[key] = shared(Spec(array.shape, check_dtype(array.dtype)))
    return found


def shared(spec: Spec) -> Spec:
    """The one object that stands for all specs equal to this one."""
    return weak_spec(spec.weak) if spec.weak else _specs.setdefault((spec.shape, spec.dtype), spec)
