"""The loop form: what a region computes, as loops over dims around reads, scalar operations, reductions and writes.

One form for every backend that generates code; nothing in it says how loops are run. What holds of it is checked in `kernel_verify.py`, and
`kernel_run.py` gives it a meaning that shares no code with any printer.

    kernel softmax(x: f32 x 3000 read, y: f32 x 3000 write)
      parallel i < 100
        reduce j < 30
          %0 = load x[30*i + j]
          %1 = max %0 over j
        reduce j < 30
          %2 = subtract %0, %1            %0 of the loop above, at the same j: kept or computed again, as the backend likes
          ...

A loop is *parallel* (its iterations have nothing to do with each other), *reduce* (nothing but what they add up) or *serial* (one after
the other). Values are in static single assignment: each has one name, one statement, one dtype. A value is seen by what follows in its
own loop and inside, and in later loops over the same dims beside its own, where it is the value of the same iteration. A Reduce gives
its result where the loops over the dims that it reduces have ended.

Memory is read and written through Params, in elements from where the param begins. Loops at the top, the *sections*, have nothing to do
with each other.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.affine import Bound, Dim, Index
from ir.source import Line
from ir.spec import dtype_name

COMBINES = ("add", "multiply", "maximum", "minimum", "logical_or", "logical_and")


@dataclass(frozen=True, slots=True)
class Param:
    """Memory of `count` elements, counted from `low` on (below 0 where strides are negative): its address is that of element `low`.
    `aligned`: of how many bytes its address is known to be a multiple.
    """

    name: str
    dtype: np.dtype
    count: int
    reads: bool = False
    writes: bool = False
    low: int = 0
    aligned: int = 1

    def __str__(self) -> str:
        use = " ".join([word for word, so in (("read", self.reads), ("write", self.writes)) if so])
        return f"{self.name}: {dtype_name(self.dtype)} x {self.count} {use}" + (f" from {self.low}" if self.low else "")


@dataclass(frozen=True, slots=True)
class Literal:
    """A number; `bits` are its bytes, by which it is compared."""

    dtype: np.dtype
    bits: bytes

    @property
    def value(self) -> Any:
        return np.frombuffer(self.bits, self.dtype)[0]

    def __str__(self) -> str:
        return f"{self.value}" if self.dtype.kind == "b" else f"{self.value}:{dtype_name(self.dtype)}"


def literal(value: Any, dtype: Any) -> Literal:
    """The number as that dtype; one that it can't hold wraps around."""
    made = np.array(value).astype(dtype)
    return Literal(made.dtype, made.tobytes())


Operand = str | Literal


@dataclass(frozen=True, slots=True)
class Load:
    """`name` = the element `at` of the param; where a bound of `when` does not hold nothing is read, and it is 0."""

    name: str
    param: str
    at: Index
    dtype: np.dtype
    when: tuple[Bound, ...] = ()
    line: Line | None = None


@dataclass(frozen=True, slots=True)
class Scalar:
    """`name` = the elementwise operation `op` of the operands, all of which have the dtypes of its loop already."""

    name: str
    op: str
    operands: tuple[Operand, ...]
    dtype: np.dtype
    line: Line | None = None


@dataclass(frozen=True, slots=True)
class Test:
    """`name` = whether all bounds hold, a bool."""

    name: str
    when: tuple[Bound, ...]
    line: Line | None = None
    dtype: np.dtype = np.dtype(bool)


@dataclass(frozen=True, slots=True)
class Position:
    """`name` = an index as a number."""

    name: str
    at: Index
    dtype: np.dtype
    line: Line | None = None


@dataclass(frozen=True, slots=True)
class Reduce:
    """`name` = `combine` of the operand over the dims `over`, beginning with `identity`, in the dtype that it has."""

    name: str
    combine: str
    operand: Operand
    over: tuple[Dim, ...]
    identity: Literal
    line: Line | None = None

    @property
    def dtype(self) -> np.dtype:
        return self.identity.dtype


@dataclass(frozen=True, slots=True)
class Store:
    """The element `at` of the param becomes the operand, where all bounds of `when` hold."""

    param: str
    at: Index
    operand: Operand
    when: tuple[Bound, ...] = ()
    line: Line | None = None


@dataclass(frozen=True, slots=True)
class Barrier:
    """What iterations of the loops below have written before it may be read behind it by others of the same iteration around them."""


@dataclass(frozen=True, slots=True)
class Loop:
    """The body for each index of `dims`, the last the fastest, where all bounds of `when` hold. `kind`: parallel, reduce or serial."""

    kind: str
    dims: tuple[Dim, ...]
    body: tuple[Statement, ...]
    when: tuple[Bound, ...] = ()


Valued = Load | Scalar | Test | Position | Reduce
Statement = Valued | Store | Barrier | Loop


@dataclass(frozen=True, eq=False)
class LoopForm:
    """`sections` are loops at the top, which have nothing to do with each other."""

    name: str
    params: tuple[Param, ...]
    sections: tuple[Loop, ...]

    def statements(self) -> Iterator[tuple[tuple[Loop, ...], Statement]]:
        """Each statement but loops with the loops around it, in order."""
        return walk(self.sections)

    def text(self, lines: bool = True) -> str:
        """The form to be read; `lines` puts the user's line behind the first statement of each."""
        return "\n".join([_head(self), *_body(self, lines)])

    def __str__(self) -> str:
        return self.text()


def walk(statements: Sequence[Statement], around: tuple[Loop, ...] = ()) -> Iterator[tuple[tuple[Loop, ...], Statement]]:
    """Each statement but loops with the loops around it, in order."""
    todo: list[tuple[tuple[Loop, ...], Statement]] = [(around, s) for s in reversed(statements)]
    while todo:
        loops, statement = todo.pop()
        if isinstance(statement, Loop):
            todo += [((*loops, statement), s) for s in reversed(statement.body)]
        else:
            yield loops, statement


def dims_of(loops: Sequence[Loop]) -> tuple[Dim, ...]:
    """The dims of nested loops, outermost first."""
    return tuple([dim for loop in loops for dim in loop.dims])


def operands_of(statement: Statement) -> list[str]:
    """The names of the values that a statement reads, those in its indices and bounds too."""
    found: list[Operand] = []
    indices: list[Index] = []
    if isinstance(statement, Scalar):
        found += statement.operands
    elif isinstance(statement, Reduce | Store):
        found.append(statement.operand)
    if isinstance(statement, Load | Store | Position):
        indices.append(statement.at)
    if isinstance(statement, Load | Store | Test | Loop):
        indices += [bound.at for bound in statement.when]
    found += [str(atom.key) for at in indices for atom in at.atoms() if not isinstance(atom, Dim)]
    return [v for v in found if isinstance(v, str)]


# ---- text
def _head(form: LoopForm) -> str:
    return f"kernel {form.name}({', '.join(map(str, form.params))})"


def _body(form: LoopForm, lines: bool) -> Iterator[str]:
    last: Line | None = None
    shown: tuple[Loop, ...] = ()
    for loops, statement in form.statements():
        common = 0
        while common < min(len(loops), len(shown)) and loops[common] is shown[common]:
            common += 1
        for depth in range(common, len(loops)):
            yield "  " * (depth + 1) + _loop_text(loops[depth])
            last = None
        shown = loops
        line = getattr(statement, "line", None)
        text = "  " * (len(loops) + 1) + statement_text(statement)
        yield text + (f"   # {line.place()}  {line.code}".rstrip() if lines and line is not None and line != last else "")
        last = line or last


def _loop_text(loop: Loop) -> str:
    dims = ", ".join([f"{dim} < {dim.size}" for dim in loop.dims])
    return f"{loop.kind} {dims}".rstrip() + _when(loop.when)


def statement_text(statement: Statement) -> str:
    """One statement as it is read."""
    match statement:
        case Load():
            return f"{statement.name} = load {statement.param}[{statement.at}]{_when(statement.when)}"
        case Scalar():
            return f"{statement.name} = {statement.op} {', '.join(map(str, statement.operands))} : {dtype_name(statement.dtype)}"
        case Test():
            return f"{statement.name} = test{_when(statement.when)}"
        case Position():
            return f"{statement.name} = index {statement.at} : {dtype_name(statement.dtype)}"
        case Reduce():
            over = ", ".join(map(str, statement.over))
            return f"{statement.name} = {statement.combine} {statement.operand} over {over} from {statement.identity}"
        case Store():
            return f"store {statement.param}[{statement.at}] = {statement.operand}{_when(statement.when)}"
        case Barrier():
            return "barrier"
        case Loop():
            return _loop_text(statement)


def _when(bounds: Sequence[Bound]) -> str:
    return " when " + " and ".join(map(str, bounds)) if bounds else ""
