"""The operation record: everything the compiler knows about one operation, as data and small functions.

An operation is declared once, in `ir/ops/<family>.py`, and listed in `ir/ops/__init__.py`. Nothing else in `ir` names an operation
to decide what to do with it: passes, gradient, planner and printer ask the record.

In the rules below `x, y, ...` are the operands in order and `attrs` the node's attributes as keywords:

    spec(*specs, **attrs)            -> Spec or tuple of Specs     raises ShapeError or DTypeError without context
    meaning(*arrays, **attrs)        -> array or tuple of arrays   plain NumPy; the reference for folding and tests
    vjp(g, out, *operands, **attrs)  -> one cotangent an operand (a tuple; a bare Value where there is one operand; None: no flow)
    axes(out_specs, specs, **attrs)  -> for each operand, for each of its axes: how the first output reads it
    flops(out_specs, specs, **attrs) -> int

`g` and `out` are Values (tuples of them where there are several outputs; an entry of `g` may be None). A vjp need not sum over
broadcast axes nor cast: the gradient brings each cotangent to the operand's shape and dtype.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Flag, auto
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ir.spec import Spec

if TYPE_CHECKING:
    pass


class Trait(Flag):
    """Facts that passes and the planner ask for."""

    NONE = 0
    ELEMENTWISE = auto()  # one output element from one element of each operand, broadcast
    COMMUTATIVE = auto()  # of its first two operands, to the bit
    ROUNDS = auto()  # the result is rounded: reassociating changes bits
    ARRAY = auto()  # a 0-d result is an array in NumPy, not a scalar (views, copies)
    SOURCE = auto()  # no operands: inputs and constants
    OPAQUE = auto()  # never folded, merged or simplified
    HOLDS = auto()  # an attribute is an object of the user's, which no cache may keep alive
    MOVES = auto()  # its vjp moves elements and adds them up, times positive constants at most
    SELECTS = auto()  # so it does, and it leaves exact zeros at elements of its first operand that were not read (or written over)
    BILINEAR = auto()  # a product that adds up: linear in each operand


class Same(NamedTuple):
    """The operand's axis follows output axis `axis`, index for index (size 1 against n: broadcast)."""

    axis: int


class Shift(NamedTuple):
    """Output index i of `axis` reads operand index start + step * i."""

    axis: int
    start: int
    step: int


class Part(NamedTuple):
    """The operand's axis lies in output axis `axis` from index `start` on (concatenate, an update's value)."""

    axis: int
    start: int
    step: int = 1


class Mixed(NamedTuple):
    """The operand's axis belongs to a group of axes that a reshape merges or splits into output axes `axes`."""

    axes: tuple[int, ...]


class Reduced(NamedTuple):
    """Each output element reads the whole axis and combines it."""


class Gathered(NamedTuple):
    """Which indices are read depends on another operand's values."""


class Whole(NamedTuple):
    """Any output element may read any index of it (sort, cumulated sums)."""


Axis = Same | Shift | Part | Mixed | Reduced | Gathered | Whole
Axes = tuple[tuple[Axis, ...], ...]


@dataclass(frozen=True)
class NoVjp:
    """Stands where an operation has no vjp. `zero`: the derivative is 0 almost everywhere; otherwise asking is an error, for `reason`."""

    reason: str
    zero: bool = False


ZERO = NoVjp("piecewise constant", zero=True)


@dataclass(frozen=True, eq=False)
class Op:
    """One operation. See the module's docstring for the rules; `operands` names them, a last `*name` stands for any number.

    The four facts of aliasing: `view_of` is the operand that the output is a view of (a reshape may still have to copy, which its
    placement decides); `overwrites` the operands whose memory the output may take over in any kernel; `inside` the operands that
    may be computed in place inside the output; `order` NumPy's memory order of the result ("C", "K" as the operands, "view",
    "gather": the axes of the index arrays slowest, in C order, then the others in the order that they have in the operand).
    `combines`: the ufunc that joins the results over two parts of an axis that is reduced, where one does.
    `cancels`: of what size the numbers are that the reference meaning takes from one another last: its result is off by an ulp of that.
    """

    name: str
    family: str
    operands: tuple[str, ...]
    spec: Callable[..., Any]
    meaning: Callable[..., Any]
    vjp: Callable[..., Any] | NoVjp
    axes: Callable[..., Axes]
    flops: Callable[..., int]
    traits: Trait = Trait.NONE
    view_of: int | None = None
    overwrites: tuple[int, ...] = ()
    inside: tuple[int, ...] = ()
    order: str = "C"
    ufunc: Any = field(default=None)
    combines: Any = field(default=None)
    cancels: float = 0.0

    def __call__(self, *operands: Any, **attrs: Any) -> Any:
        """Adds a node to the graph of the first Value among the operands; numbers and arrays become constants."""
        for operand in operands:
            graph = getattr(operand, "graph", None)
            if graph is not None:
                return graph.apply(self, operands, attrs)
        raise TypeError(f"{self.name}: none of the operands is a Value")

    def infer(self, specs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
        """The output specs by the operation's rule."""
        rule = _infer.__wrapped__ if self.has(Trait.HOLDS) else _infer
        return rule(self, specs, tuple(attrs.items()))

    def names(self, count: int) -> list[str]:
        """A name for each of `count` operands, for errors and tables."""
        fixed = [n for n in self.operands if not n.startswith("*")]
        rest = self.operands[-1][1:] if len(fixed) < len(self.operands) else "operand"
        return fixed[:count] + [f"{rest}{k}" for k in range(count - len(fixed))]

    def has(self, trait: Trait) -> bool:
        return self.traits._value_ & trait._value_ != 0  # `&` of two Flags takes ten times as long, and passes ask this a lot

    def __repr__(self) -> str:
        return f"<op {self.name}>"


@lru_cache(1 << 16)
def _infer(op: Op, specs: tuple[Spec, ...], attrs: tuple[tuple[str, Any], ...]) -> tuple[Spec, ...]:
    found = op.spec(*specs, **dict(attrs))
    return found if type(found) is tuple else (found,)


def elements(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], **attrs: Any) -> int:
    """The flops rule of operations with one flop for each output element."""
    return sum(s.size for s in out_specs)


def no_flops(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], **attrs: Any) -> int:
    """The flops rule of views and moves."""
    return 0


def broadcast_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], **attrs: Any) -> Axes:
    """The axes rule of elementwise operations: aligned from the last axis."""
    ndim = out_specs[0].ndim
    return tuple(tuple(Same(ndim - s.ndim + k) for k in range(s.ndim)) for s in specs)


def whole_axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], **attrs: Any) -> Axes:
    """The axes rule of operations that may read everything."""
    return tuple((Whole(),) * s.ndim for s in specs)
