"""Statements and indices of a loop form in C: what a section's text is made of, with what is known while it is printed."""
from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from backends.cupy import scalars
from backends.cupy.mapping import Mapping, count, inner_loops, kept
from ir.affine import Atom, Bound, Dim, Held, Index, Quotient, Rest, apart, index
from ir.errors import NotLowered
from ir.kernel import (
    Literal,
    Load,
    Loop,
    LoopForm,
    Operand,
    Position,
    Reduce,
    Scalar,
    Statement,
    Store,
    Test,
    Valued,
    literal,
)
from ir.source import Line


class Statements:
    """One section's, in the blocks from `first` on.

    `put`: what stands for a dim in C's text; `made`: the values so far; `keeps`: those held from sweep to sweep; `wide`: what vectors move.
    """

    def __init__(self, form: LoopForm, section: Loop, mapping: Mapping, first: int):
        self.form, self.section, self.mapping, self.first = form, section, mapping, first
        self.serial, self.sweeps = inner_loops(section)
        self.items = {s.name: columns_each(loop, mapping) for loop in self.sweeps for s in loop.body if isinstance(s, Valued)}
        self.dims: dict[Dim, str] = {}
        self.made: dict[str, Valued] = {}
        self.keeps = {s.name for s in kept(self.sweeps)} if mapping.keeps else set()
        self.low = {p.name: p.low for p in form.params}
        self.put: dict[Dim, Index] = {}
        self.line: Line | None = None
        self.wide: dict[Statement, str] = {}
        self.called = ""  # the number that was declared last

    def _is_column(self, s: Reduce) -> bool:
        """Whether it is added up from row to row, one for each column."""
        if self.serial is None or not set(s.over) & set(self.serial.dims):
            return False
        loop = next((loop for loop in self.sweeps if s in loop.body), None)
        mine = set(s.over) & set(loop.dims) if loop is not None else set()
        if loop is not None and mine and mine != set(loop.dims):
            raise NotLowered(f"{s.combine} over some of the columns and rows").at(line=s.line)
        return loop is not None and not mine

    # ---- statements
    def _value(self, s: Valued, live: list[str]) -> str:
        self.made[s.name] = s
        own = scalars.c_type(s.dtype)
        match s:
            case Load():
                text = self.wide.get(s) or f"{s.param}[{self._element(s)}]"
                text += " != 0" if s.dtype.kind == "b" else ""
                guards = [*live, *self._bounds(s.when)]
                if guards:
                    text = f"{' && '.join(guards)} ? {text} : {scalars.number(literal(0, s.dtype))}"
            case Scalar():
                given = [self._operand(v) for v in s.operands]
                dtype = self._dtype(s.operands[-1])
                literals = [v if isinstance(v, Literal) else None for v in (*s.operands, "", "")]
                text = scalars.expression(s.op, given, dtype, s.dtype, literals)
            case Test():
                text = " && ".join(self._bounds(s.when))
            case Position():
                text = f"({own})({self._index(s.at)})"
            case _:
                raise NotLowered("a reduction outside a sweep has no text in CUDA")
        held = self._operand(s.name) if s.name in self.keeps else f"const {own} {c_name(s.name)}"
        return f"{held} = {text};{self._comment(s.line)}"

    def _store(self, s: Store) -> str:
        guards = self._bounds(s.when)
        text = f"{self.wide.get(s) or f'{s.param}[{self._element(s)}]'} = {self._operand(s.operand)};"
        return (f"if ({' && '.join(guards)}) {text}" if guards else text) + self._comment(s.line)

    def _comment(self, line: Line | None) -> str:
        if line is None or line == self.line:
            return ""
        self.line = line
        code = line.code.replace("\\", "/")
        return f"  // {line.place()}  {code}".rstrip()

    def _operand(self, operand: Operand) -> str:
        if isinstance(operand, Literal):
            return scalars.number(operand)
        known = self.made.get(operand)
        if operand in self.keeps or isinstance(known, Reduce) and self._is_column(known):
            return c_name(operand) + ("[n]" if self.items[operand] > 1 else "")
        return c_name(operand)

    def _many(self, name: str) -> str:
        """How a value of each of a thread's columns is declared."""
        return f"[{self.items[name]}]" if self.items[name] > 1 else ""

    def _dtype(self, operand: Operand) -> np.dtype:
        return operand.dtype if isinstance(operand, Literal) else self.made[operand].dtype

    # ---- indices
    def _block(self) -> str:
        return f"(blockIdx.x - {self.first})" if self.first else "blockIdx.x"

    def _place(self, name: str, n: int, where: str, dims: Sequence[Dim], most: int = 0) -> list[str]:
        """Declares a number from 0 to n - 1 and says what the dims are in it."""
        if len(dims) == 1 and dims[0].size > 1 and len(self.form.sections) == 1:  # else alike sections have alike texts
            name = dims[0].name
        far = max(n, most, self.mapping.blocks * self.mapping.block)
        kind = "int" if far < 1 << 31 else "long long"
        whole = Dim(name, n)
        self.dims[whole] = self.called = name
        cast = f"({kind})" if "blockIdx" in where or "threadIdx" in where else ""
        lines = [f"const {kind} {name} = {f'{cast}({where})' if cast else where};"]
        if len(dims) == 1:
            self.put[dims[0]] = index(whole) if n > 1 else Index()
            self.dims[dims[0]] = name
            return lines
        for dim, at in zip(dims, apart(index(whole), tuple([d.size for d in dims]))):
            self.put[dim] = at
        return lines

    def _element(self, s: Load | Store) -> str:
        """Where in the param it lies, whose address is that of the first element that is touched."""
        return self._index(s.at + -self.low[s.param])

    def _index(self, at: Index) -> str:
        return self._expression(at.put(self.put))

    def _expression(self, at: Index) -> str:
        low, high = at.span
        big = high >= 1 << 31 or low < -(1 << 31)

        def atom(a: Atom) -> str:
            match a:
                case Dim():
                    return f"(long long){a.name}" if big else a.name
                case Held():
                    return self._operand(str(a.key))
                case Quotient() | Rest():
                    inner = self._expression(a.of)
                    if a.of.span[0] < 0:
                        wide = "i8" if any(isinstance(x, Held) for x in a.of.atoms()) or a.of.span[0] < -(1 << 31) else "i4"
                        return f"{'floordiv' if isinstance(a, Quotient) else 'floormod'}_{wide}({inner}, {a.by})"
                    inner = inner if re.fullmatch(r"\w+", inner) else f"({inner})"
                    return f"{inner} {'/' if isinstance(a, Quotient) else '%'} {a.by}"

        return at.text(atom)

    def _bounds(self, bounds: Iterable[Bound]) -> list[str]:
        found = []
        for bound in bounds:
            at = bound.at.put(self.put)
            low, high = at.span
            text = self._expression(at)
            grouped = text if re.fullmatch(r"\w+", text) else f"({text})" if "/" in text or "%" in text else text
            if bound.high - bound.low == 1 and low < bound.low and high >= bound.high:
                found.append(f"{grouped} == {bound.low}")
                continue
            if low < bound.low:
                found.append(f"{grouped} >= {bound.low}")
            if high >= bound.high:
                found.append(f"{grouped} < {bound.high}")
        return found

    def _guarded(self, guards: Sequence[str], body: Iterable[str]) -> list[str]:
        lines = list(body)
        if not guards:
            return lines
        if len(lines) == 1 and not lines[0].startswith(("const", "if", "//")):
            return [f"if ({' && '.join(guards)}) {lines[0]}"]
        return [f"if ({' && '.join(guards)}) {{", *["  " + line for line in lines], "}"]


def columns_each(loop: Loop, mapping: Mapping) -> int:
    """How many columns of a sweep a lane has."""
    return mapping.items if mapping.chunks > 1 else max(1, -(-count(loop.dims) // mapping.lanes))


def c_name(name: str) -> str:
    """A value's name in C: %0 is v0."""
    return "v" + re.sub(r"\W", "_", name.lstrip("%"))
