"""A graph's elements, one by one: a value and the indices of an element in, the statements that compute it out, with the dims that they
vary along. What loops they stand in is decided in `nest.py`.

An element is followed from the results to the inputs: an elementwise operation asks for its operands' elements at the same indices, a view
at others, a reduction for a whole range of them, along a dim of its own or along one that the kernel has anyway. Statements that would do
the same are made once, so `x - mean(x)` reads x once, by name at least.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ir.affine import ZERO, Bound, Dim, Held, Index, flat, index
from ir.constant import Constant
from ir.errors import NotLowered
from ir.graph import CONSTANT, INPUT, Graph, Node, Value
from ir.kernel import Literal, Load, Operand, Param, Position, Reduce, Scalar, Store, Test, Valued, literal
from ir.op import Same
from ir.planning.classes import Classes
from ir.planning.strides import c_strides
from ir.source import Line
from ir.spec import Spec
from ir.target import TOO_LONG

At = tuple[Index, ...]
Key = tuple[Value, At]
NAMES = "ijklmn"
FAR = 1 << 62  # an index that was read may be anything


@dataclass(frozen=True)
class Rule:
    """How an operation's elements are made. `reads` gives the operands' elements that are needed (and any further ones), None for one that
    is not; `build` gets them in that order.
    """

    reads: Callable[[Elements, Node, At], Sequence[Key | None]]
    build: Callable[[Elements, Node, At, Sequence[Any]], Operand]


@dataclass(frozen=True, slots=True)
class Gather:
    """An index that is read: the element of `value` at `at`, an index of an axis of `size`; `mode`: what is made of one out of range."""

    value: Value
    at: At
    size: int
    mode: str


@dataclass
class Elements:
    """`statements` stand behind what they read; `domain`: the dims along which each value varies.

    `rules`: how each operation's elements are made. `strides`: of each input in bytes, None for C order. `params`: in the order of use.
    """

    graph: Graph
    rules: Callable[[Node], Rule]
    strides: Sequence[tuple[int, ...] | None] = ()
    most: int = 0
    statements: list[Valued] = field(default_factory=list)
    domain: dict[str, frozenset[Dim]] = field(default_factory=dict)
    params: dict[str, Param] = field(default_factory=dict)
    constants: dict[str, Constant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._classes = Classes()
        for node in self.graph.order():
            self._unite(node)
        self._dims: dict[Any, list[Dim]] = {}
        self._made: dict[Key, Operand] = {}
        self._needs: dict[Key, list[Key]] = {}
        self._over: dict[tuple[Node, At], tuple[Dim, ...]] = {}
        self._known: dict[Node, Rule] = {}
        self._same: dict[Any, str] = {}
        self._gathers: dict[Gather, str] = {}
        self._wanted: dict[str, Gather] = {}
        self._input = {v: k for k, v in enumerate(self.graph.inputs)}

    def _unite(self, node: Node) -> None:
        if not node.operands:
            return
        rules = node.op.axes(node.specs, tuple([v.spec for v in node.operands]), **node.attrs)
        out = node.outputs[0]
        for value, axes in zip(node.operands, rules):
            for axis, how in enumerate(axes):
                if isinstance(how, Same) and value.shape[axis] == out.shape[how.axis] > 1:
                    self._classes.unite((value, axis), (out, how.axis), 1)

    # ---- dims
    def dim(self, value: Value, axis: int, taken: frozenset[Dim]) -> Dim:
        """The dim along an axis: the one of its class, or, where that is taken, another."""
        known = self._dims.setdefault(self._classes.root((value, axis)), [])
        for dim in known:
            if dim not in taken:
                return dim
        count = sum(map(len, self._dims.values()))
        made = Dim(NAMES[count] if count < len(NAMES) else f"d{count}", value.shape[axis])
        known.append(made)
        return made

    def natural(self, value: Value) -> At:
        """A dim for each axis, 0 for those of one element."""
        found: list[Index] = []
        taken: frozenset[Dim] = frozenset()
        for axis, n in enumerate(value.shape):
            if n == 1:
                found.append(ZERO)
            else:
                dim = self.dim(value, axis, taken)
                taken |= {dim}
                found.append(index(dim))
        return tuple(found)

    def over(self, node: Node, at: At, axes: Sequence[int]) -> tuple[Dim, ...]:
        """The dims along which a reduction that gives the element `at` reads these axes of its operand; axes of one element have none."""
        if (node, at) not in self._over:
            taken = frozenset([d for i in at for d in self._dims_in(i)])
            dims: list[Dim] = []
            for axis in axes:
                if node.operands[0].shape[axis] != 1:
                    dims.append(self.dim(node.operands[0], axis, taken | frozenset(dims)))
            self._over[node, at] = tuple(dims)
        return self._over[node, at]

    def fresh(self, node: Node, at: At, sizes: Sequence[int]) -> tuple[Dim, ...]:
        """Dims of these sizes that go with nothing else, the same for the same element."""
        if (node, at) not in self._over:
            dims: list[Dim] = []
            for n in sizes:
                known = self._dims.setdefault((node, len(dims)), [])
                count = sum(map(len, self._dims.values()))
                known.append(Dim(f"d{count}", n))
                dims.append(known[-1])
            self._over[node, at] = tuple(dims)
        return self._over[node, at]

    def _dims_in(self, at: Index) -> frozenset[Dim]:
        found = at.dims
        for atom in at.atoms():
            if isinstance(atom, Held):
                for i in self._wanted[str(atom.key)].at:
                    found |= self._dims_in(i)
        return found

    def gathered(self, value: Value, at: At, size: int, mode: str = "raise") -> Index:
        """The index that the element of an index array names, negative ones counted from the end."""
        if value.node.op is CONSTANT:
            held = value.node.attrs["value"].array()
            if held.ndim == 1 and held.shape[0] <= size and np.array_equal(held, np.arange(held.shape[0])):
                return at[0]
            if held.size == 1 and 0 <= int(held.reshape(-1)[0]) < size:
                return index(int(held.reshape(-1)[0]))
        wanted = Gather(value, at, size, mode)
        if wanted not in self._gathers:
            name = f"%g{len(self._gathers)}"
            self._gathers[wanted] = name
            self._wanted[name] = wanted
        low, high = (-FAR, FAR) if mode == "raise" else (0, size - 1)
        return index(Held(self._gathers[wanted], low, high))

    # ---- elements
    def element(self, value: Value, at: At) -> Operand:
        """The value's element, computed by `statements`."""
        todo: list[Key] = [(value, at)]
        while todo:
            key = todo[-1]
            if key in self._made:
                todo.pop()
                continue
            if key not in self._needs:
                self._needs[key] = self._needed(*key)
            missing = [k for k in self._needs[key] if k not in self._made]
            if missing:
                todo += reversed(missing)
            else:
                self._made[key] = self._build(*key)
                todo.pop()
        return self._made[value, at]

    def _needed(self, value: Value, at: At) -> list[Key]:
        found = [key for i in at for key in self.gathers_in(i)]
        if value.node.op not in (INPUT, CONSTANT):
            found += [key for key in self._rule(value.node).reads(self, value.node, at) if key is not None]
        return found

    def gathers_in(self, at: Index) -> list[Key]:
        """The elements of index arrays on which an index hangs."""
        return [(g.value, g.at) for atom in at.atoms() if isinstance(atom, Held) for g in [self._wanted[str(atom.key)]]]

    def gather_all(self, at: Index, line: Line | None) -> None:
        """Makes the values that stand for them, which must have been needed before."""
        for atom in at.atoms():
            if isinstance(atom, Held):
                self._gather(self._wanted[str(atom.key)], line)

    def _rule(self, node: Node) -> Rule:
        known = self._known.get(node)
        if known is None:
            known = self._known[node] = self.rules(node)
        return known

    def _build(self, value: Value, at: At) -> Operand:
        node = value.node
        for i in at:
            self.gather_all(i, node.line)
        if node.op is INPUT:
            return self.load(f"in{self._input[value]}", value.spec, at, self._strides(value), node.line)
        if node.op is CONSTANT:
            return self._constant(node, at)
        operands = [None if key is None else self._made[key] for key in self._rule(node).reads(self, node, at)]
        return self._rule(node).build(self, node, at, operands)

    def _gather(self, wanted: Gather, line: Line | None) -> None:
        name = self._gathers[wanted]
        if name in self.domain:
            return
        i8 = np.dtype(np.int64)
        read, size = self._made[wanted.value, wanted.at], literal(wanted.size, i8)
        at = self.cast(read, i8, line)
        if wanted.mode == "clip":
            low = self.scalar("maximum", (at, literal(0, i8)), i8, line)
            self.scalar("minimum", (low, literal(wanted.size - 1, i8)), i8, line, name)
        elif wanted.mode == "wrap":
            self.scalar("remainder", (at, size), i8, line, name)
        else:
            below = self.scalar("less", (at, literal(0, i8)), np.dtype(bool), line)
            self.scalar("where", (below, self.scalar("add", (at, size), i8, line), at), i8, line, name)

    def _constant(self, node: Node, at: At) -> Operand:
        held: Constant = node.attrs["value"]
        array = held.array()
        if array.size == 1:
            return literal(array.reshape(-1)[0], held.spec.dtype)
        if array.size and len({array.reshape(-1)[k : k + 1].tobytes() for k in range(array.size)} if array.size <= 4096 else "ab") == 1:
            return literal(array.reshape(-1)[0], held.spec.dtype)
        if array.ndim == 1 and array.dtype.kind in "iu" and np.array_equal(array, np.arange(array.size)):
            return self.position(at[0], held.spec.dtype, node.line)
        name = next((n for n, c in self.constants.items() if c == held), f"const{len(self.constants)}")
        self.constants[name] = held
        return self.load(name, held.spec, at, c_strides(held.spec.shape, held.spec.dtype.itemsize), node.line)

    def _strides(self, value: Value) -> tuple[int, ...]:
        k = self._input[value]
        known = self.strides[k] if k < len(self.strides) else None
        return c_strides(value.shape, value.dtype.itemsize) if known is None else known

    # ---- statements
    def memory(self, name: str, spec: Spec, at: At, strides: Sequence[int], writes: bool = False) -> tuple[Index, tuple[Bound, ...]]:
        """Where in the param an element lies, and the bounds of the axes that are not known to hold. Notes the param."""
        size = spec.dtype.itemsize
        if any(stride % size for stride, n in zip(strides, spec.shape) if n > 1):
            raise NotLowered(f"{name} lies in steps of {tuple(strides)} bytes, no multiples of {size}", mend="np.ascontiguousarray")
        steps = [stride // size if n > 1 else 0 for stride, n in zip(strides, spec.shape)]
        ends = [step * (n - 1) for step, n in zip(steps, spec.shape)]
        low, high = sum([e for e in ends if e < 0]), sum([e for e in ends if e > 0])
        known = self.params.get(name, Param(name, spec.dtype, 0, low=low))
        count = high - low + 1 if spec.size else 0
        self.params[name] = replace(known, count=max(known.count, count), reads=known.reads or not writes, writes=known.writes or writes)
        return flat(at, steps), tuple([Bound(i, 0, n) for i, n in zip(at, spec.shape) if not i.within(0, n)])

    def load(self, name: str, spec: Spec, at: At, strides: Sequence[int], line: Line | None) -> Operand:
        where, when = self.memory(name, spec, at, strides)
        return self._emit(Load("", name, where, spec.dtype, when, line), ("load", name, where, when))

    def store(self, name: str, spec: Spec, at: At, strides: Sequence[int], operand: Operand, line: Line | None) -> Store:
        where, when = self.memory(name, spec, at, strides, writes=True)
        return Store(name, where, operand, when, line)

    def scalar(self, op: str, operands: Sequence[Operand], dtype: np.dtype, line: Line | None, name: str = "") -> Operand:
        given = tuple(operands)
        return self._emit(Scalar(name, op, given, dtype, line), ("scalar", op, given, dtype, name))

    def cast(self, operand: Operand, dtype: np.dtype, line: Line | None) -> Operand:
        if self.dtype(operand) == dtype:
            return operand
        if isinstance(operand, Literal):
            with np.errstate(all="ignore"):
                return literal(operand.value, dtype)
        return self.scalar("cast", (operand,), dtype, line)

    def test(self, when: Sequence[Bound], line: Line | None) -> Operand:
        """Whether the bounds hold; those that always do are left out."""
        left = tuple([b for b in when if not b.at.within(b.low, b.high)])
        if not left:
            return literal(True, bool)
        return self._emit(Test("", left, line), ("test", left))

    def position(self, at: Index, dtype: np.dtype, line: Line | None) -> Operand:
        if not at.terms:
            return literal(at.constant, dtype)
        return self._emit(Position("", at, dtype, line), ("position", at, dtype))

    def reduce(self, combine: str, operand: Operand, over: tuple[Dim, ...], identity: Literal, line: Line | None) -> Operand:
        return self._emit(Reduce("", combine, operand, over, identity, line), ("reduce", combine, operand, over, identity))

    def dtype(self, operand: Operand) -> np.dtype:
        return operand.dtype if isinstance(operand, Literal) else self._dtypes[operand]

    @property
    def _dtypes(self) -> dict[str, np.dtype]:
        return self.__dict__.setdefault("_dtype_of", {})

    def _emit(self, statement: Valued, key: Any) -> str:
        known = self._same.get(key)
        if known is not None:
            return known
        if self.most and len(self.statements) >= self.most:
            raise NotLowered(TOO_LONG).at(line=statement.line)
        name = statement.name or f"%{len(self.statements)}"
        made = replace(statement, name=name)
        self.statements.append(made)
        self.domain[name] = self.varies(made)
        self._dtypes[name] = made.dtype
        self._same[key] = name
        return name

    def varies(self, statement: Valued | Store) -> frozenset[Dim]:
        """The dims along which it has to be done."""
        from_dims: frozenset[Dim] = frozenset()
        indices: list[Index] = []
        operands: list[Operand] = []
        if isinstance(statement, Load | Position | Store):
            indices.append(statement.at)
        if isinstance(statement, Load | Test | Store):
            indices += [b.at for b in statement.when]
        if isinstance(statement, Scalar):
            operands += statement.operands
        if isinstance(statement, Reduce | Store):
            operands.append(statement.operand)
        for at in indices:
            from_dims |= at.dims
            operands += [str(atom.key) for atom in at.atoms() if isinstance(atom, Held)]
        for operand in operands:
            from_dims |= self.domain[operand] if isinstance(operand, str) else frozenset()
        return from_dims - frozenset(statement.over) if isinstance(statement, Reduce) else from_dims


def broadcast_at(value: Value, at: At) -> At:
    """Of an operand that is broadcast to a result, the indices that go with those of the result."""
    lead = len(at) - value.ndim
    return tuple([ZERO if n == 1 else at[lead + k] for k, n in enumerate(value.shape)])


def first(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    """The rule's `build` of what moves elements: the one that it is."""
    return given[0]
