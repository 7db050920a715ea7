"""CUDA's text of a loop form: a kernel in, its text with grid and block out. Pure text; nothing here needs CuPy or a GPU.

Each section is a range of blocks. Its outer iterations are spread over them as `mapping.py` says; a sweep is a loop over what a thread has
of the columns, a reduction a tree in a fixed order (shuffles within a warp, shared memory between warps), an accumulator a register. No
thread returns before a barrier, all of a warp shuffle, and nothing is added atomically, so the bits depend on the text alone.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from backends.cupy import scalars
from backends.cupy.mapping import LANES, Mapping, count, inner_loops, kept, mapped
from ir.affine import Atom, Bound, Dim, Held, Index, Quotient, Rest, apart, index
from ir.errors import NotLowered
from ir.kernel import (
    Barrier,
    Literal,
    Load,
    Loop,
    LoopForm,
    Operand,
    Param,
    Position,
    Reduce,
    Scalar,
    Statement,
    Store,
    Test,
    Valued,
    literal,
    operands_of,
)
from ir.source import Line


@dataclass(frozen=True)
class KernelText:
    """One kernel: `source` without the functions that it calls (`module` has them); `params` are all pointers, in this order."""

    name: str
    source: str
    grid: int
    block: int
    params: tuple[str, ...]


def kernel_text(form: LoopForm) -> KernelText:
    """The CUDA text of a loop form. Raises NotLowered for what has no text."""
    maps = [mapped(section) for section in form.sections]
    block = max([m.block for m in maps], default=LANES)
    maps = [mapped(section, block) for section in form.sections]
    lines = [f'extern "C" __global__ void __launch_bounds__({block}) {form.name}(']
    lines[0] += ", ".join([_param(p) for p in form.params]) + ") {"
    first = 0
    sections: list[tuple[int, list[str]]] = []
    for section, mapping in zip(form.sections, maps):
        printer = _Section(form, section, mapping, first)
        body = list(printer.text())
        sections.append((first + mapping.blocks, body))
        lines += [f"  {line}" for line in printer.shared if f"  {line}" not in lines]
        first += mapping.blocks
    for k, (stop, body) in enumerate(sections):
        if len(sections) == 1:
            lines += ["  " + line for line in body]
            continue
        lines.append("  " + ("} else " if k else "") + (f"if (blockIdx.x < {stop}) {{" if k < len(sections) - 1 else "{"))
        lines += ["    " + line for line in body]
    lines += ["  }"] * (len(sections) > 1) + ["}"]
    return KernelText(form.name, "\n".join(lines), max(1, first), block, tuple([p.name for p in form.params]))


def module(kernels: Sequence[KernelText]) -> str:
    """The text of a module: the functions that the kernels call, then the kernels."""
    text = "\n\n".join([k.source for k in kernels])
    rows = row_functions(text)
    helpers = scalars.helpers("\n".join([*rows, text]))
    return "\n".join([*helpers, *rows, "", text]).lstrip("\n") + "\n"


def _param(param: Param) -> str:
    return f"{'' if param.writes else 'const '}{scalars.memory_type(param.dtype)}* __restrict__ {param.name}"


# ---- reductions among threads
_ROW = re.compile(r"\brow_([a-z_]+)_((?:f|i|u|b)[1248])_(\d+)\(")


def row_functions(text: str) -> list[str]:
    """The functions by which the lanes of a row reduce, that a text calls."""
    return [_row_function(combine, t, int(n)) for combine, t, n in sorted(set(_ROW.findall(text)), key=lambda x: (x[0], x[1], int(x[2])))]


def _row_function(combine: str, t: str, lanes: int) -> str:
    dtype = literal(0, "?" if t == "b1" else t).dtype
    own = scalars.c_type(dtype)
    moved = "int" if dtype.itemsize < 4 else own

    def join(a: str, b: str) -> str:
        return scalars.combined(combine, a, b, dtype)

    lines = [f"__device__ {own} row_{combine}_{t}_{lanes}({own} v{f', {own}* part' if lanes > LANES else ''}) {{"]
    lines.append(f"  for (int d = {min(lanes, LANES) // 2}; d; d >>= 1) {{")
    lines.append(f"    const {own} other = ({own})__shfl_xor_sync(0xffffffffu, ({moved})v, d);")
    lines += [f"    v = {join('v', 'other')};", "  }"]
    if lanes > LANES:
        warps = lanes // LANES
        lines += ["  __syncthreads();", "  if ((threadIdx.x & 31) == 0) part[threadIdx.x >> 5] = v;", "  __syncthreads();"]
        lines.append(f"  const int first = threadIdx.x / {lanes} * {warps};")
        lines += ["  v = part[first];", f"  for (int w = 1; w < {warps}; w++) v = {join('v', 'part[first + w]')};"]
    return "\n".join([*lines, "  return v;", "}"])


def _tag(statement: Reduce) -> str:
    code = scalars.code(statement.dtype)
    return "b1" if code == "?" else code


# ---- one section
@dataclass
class _Section:
    """The text of one section, in the blocks from `first` on."""

    form: LoopForm
    section: Loop
    mapping: Mapping
    first: int
    shared: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.serial, self.sweeps = inner_loops(self.section)
        self.dims: dict[Dim, str] = {}
        self.made: dict[str, Valued] = {}
        self.keeps = {s.name for s in kept(self.sweeps)} if self.mapping.keeps else set()
        self.put: dict[Dim, Index] = {}
        self.line: Line | None = None
        self.called = ""  # the number that was declared last

    def text(self) -> Iterator[str]:
        flat = self.serial is None and not self.sweeps
        yield from self._flat() if flat else self._rows()

    # ---- a thread for each outer iteration
    def _flat(self) -> Iterator[str]:
        n, block = count(self.section.dims), self.mapping.block
        yield from self._place("t", n, f"{self._block()} * {block} + threadIdx.x", self.section.dims)
        guard = self.mapping.blocks * block != n
        yield from self._guarded([f"{self.called} < {n}"] if guard else [], self._body(self.section.body))

    # ---- rows of lanes
    def _rows(self) -> Iterator[str]:
        m, n = self.mapping, count(self.section.dims)
        if m.groups == 1:
            yield "const int lane = threadIdx.x;"
        elif m.lanes == 1:
            yield "const int group = threadIdx.x;"
        else:
            yield f"const int lane = threadIdx.x % {m.lanes}, group = threadIdx.x / {m.lanes};"
        live: list[str] = []
        if self.serial is not None:
            where = self._block() if m.chunks == 1 else f"{self._block()} / {m.chunks}"
            if n > 1:
                yield from self._place("p", n, where, self.section.dims)
            else:
                self.put.update({dim: Index() for dim in self.section.dims})
        elif n > 1 or m.groups > 1:
            where = self._block() if m.groups == 1 else f"{self._block()} * {m.groups} + group"
            yield from self._place("p", n, where, self.section.dims)
            live = [f"{self.called} < {n}"] if m.blocks * m.groups != n else []
        else:
            self.put.update({dim: Index() for dim in self.section.dims})
        yield from self._level(self.section.body, live)

    def _level(self, body: Sequence[Statement], live: list[str]) -> Iterator[str]:
        """What stands between the sweeps is done by all lanes of a row; one of them writes."""
        after = False
        for statement in body:
            if isinstance(statement, Loop) and statement.kind == "serial":
                yield from self._serial(statement)
                after = True
            elif isinstance(statement, Loop):
                yield from self._sweep(statement, self._ended(live) if after else live)
            elif isinstance(statement, Store):
                one = ["threadIdx.x == 0"] if after else [*live, *(["lane == 0"] if self.mapping.lanes > 1 else [])]
                yield from self._guarded(one if not after or self.mapping.block > 1 else [], [self._store(statement)])
            elif isinstance(statement, Reduce):
                yield from self._added_by_row(statement, live)
            elif isinstance(statement, Barrier):
                yield "__syncthreads();"
            else:
                yield self._value(statement, live)

    def _ended(self, live: list[str]) -> list[str]:
        return [*live, *(["group == 0"] if self.mapping.groups > 1 else [])]

    def _serial(self, loop: Loop) -> Iterator[str]:
        (row,) = loop.dims
        groups = self.mapping.groups
        sums = [s for _, s in _statements(loop.body) if isinstance(s, Reduce) and row in s.over]
        for s in sums:
            self.made[s.name] = s
            items = self._many() if self._columns(s) else ""
            start = self._operand(s.identity)
            yield f"{scalars.c_type(s.dtype)} {_c(s.name)}{items}{'' if items else f' = {start}'};"
            if items:
                yield f"for (int n = 0; n < {self.mapping.items}; n++) {_c(s.name)}[n] = {start};"
        times = -(-row.size // groups)
        self.dims[row] = _c(row.name)
        live = [f"{row.name} < {row.size}"] if times * groups != row.size else []
        live += self._bounds(loop.when)
        if groups == 1:
            yield f"for (int {row.name} = 0; {row.name} < {row.size}; {row.name}++) {{"
        else:
            yield f"for (int n0 = 0; n0 < {times}; n0++) {{"
            yield f"  const int {row.name} = n0 * {groups} + group;"
        if live:
            yield f"  const bool live = {' && '.join(live)};"
        for line in self._level(loop.body, ["live"] if live else []):
            yield "  " + line
        yield "}"
        for s in sums:
            yield from self._joined(s)

    def _joined(self, s: Reduce) -> Iterator[str]:
        """An accumulator of all groups of a block."""
        m, name, own = self.mapping, _c(s.name), scalars.c_type(s.dtype)
        if self._columns(s):
            if m.groups == 1:
                return
            self._share(f"__shared__ {own} column_{_tag(s)}[{m.block}];")
            at = f"g * {m.lanes} + lane" if m.lanes > 1 else "g"
            joined = scalars.combined(s.combine, self._operand(s.name), f"column_{_tag(s)}[{at}]", s.dtype)
            body = ["__syncthreads();", f"column_{_tag(s)}[threadIdx.x] = {self._operand(s.name)};", "__syncthreads();"]
            body.append(f"if (group == 0) for (int g = 1; g < {m.groups}; g++) {self._operand(s.name)} = {joined};")
            yield from body if m.items == 1 else [f"for (int n = 0; n < {m.items}; n++) {{", *["  " + line for line in body], "}"]
            return
        start = self._operand(s.identity)
        once = not any(set(s.over) & set(loop.dims) for loop in self.sweeps if s in loop.body)
        mine = f"lane == 0 ? {name} : {start}" if once and m.lanes > 1 else name
        yield f"{name} = {self._row_call(s, mine, m.block)};"

    def _columns(self, s: Reduce) -> bool:
        """Whether it is one for each column."""
        loop = next((loop for loop in self.sweeps if s in loop.body), None)
        if loop is None:
            return False
        mine = set(s.over) & set(loop.dims)
        if mine and mine != set(loop.dims):
            raise NotLowered(f"{s.combine} over some of the columns and rows").at(line=s.line)
        return not mine

    def _row_call(self, s: Reduce, value: str, lanes: int) -> str:
        if lanes == 1:
            return value
        if lanes > LANES:
            self._share(f"__shared__ {scalars.c_type(s.dtype)} part_{_tag(s)}[{self.mapping.block // LANES}];")
        part = f", part_{_tag(s)}" if lanes > LANES else ""
        return f"row_{s.combine}_{_tag(s)}_{lanes}({value}{part})"

    def _share(self, line: str) -> None:
        if line not in self.shared:
            self.shared.append(line)

    def _added_by_row(self, s: Reduce, live: list[str]) -> Iterator[str]:
        joined = scalars.combined(s.combine, _c(s.name), self._operand(s.operand), s.dtype)
        self.made[s.name] = s
        yield from self._guarded(live, [f"{_c(s.name)} = {joined};"])

    # ---- sweeps
    def _sweep(self, loop: Loop, live: list[str]) -> Iterator[str]:
        m, n = self.mapping, count(loop.dims)
        reduces = [s for s in loop.body if isinstance(s, Reduce) and set(s.over) <= set(loop.dims)]
        for s in loop.body:
            if isinstance(s, Valued) and s.name in self.keeps:
                yield f"{scalars.c_type(s.dtype)} {_c(s.name)}{self._many()};"
        for s in reduces:
            yield f"{scalars.c_type(s.dtype)} {_c(s.name)} = {self._operand(s.identity)};"
        column = "lane" if m.lanes > 1 else ""
        whole = m.lanes * m.items * m.chunks == n
        inside: list[str] = []
        if m.items > 1:
            column = f"{column} + n * {m.lanes}" if column else "n"
        if m.chunks > 1:
            column = f"{self._block()} % {m.chunks} * {m.lanes * m.items} + {column or '0'}"
        before = dict(self.dims), dict(self.put)
        inside += self._place("c", n, column or "0", loop.dims, m.lanes * m.items * m.chunks)
        guards = [*live, *([] if whole else [f"{self.called} < {n}"])]
        body = list(self._body(loop.body))
        self.dims, self.put = before
        inside += self._guarded(guards, body)
        if m.items > 1:
            yield "#pragma unroll"
            yield f"for (int n = 0; n < {m.items}; n++) {{"
            yield from ["  " + line for line in inside]
            yield "}"
        else:
            yield "{"
            yield from ["  " + line for line in inside]
            yield "}"
        for s in reduces:
            self.made[s.name] = s
            if m.lanes > 1:
                yield f"{_c(s.name)} = {self._row_call(s, _c(s.name), m.lanes)};"

    def _body(self, body: Sequence[Statement]) -> Iterator[str]:
        """The statements of a sweep, before them again what it reads of earlier ones and is not kept."""
        here = {s.name for s in body if isinstance(s, Valued)}
        again: list[Valued] = []
        todo = [v for s in body for v in operands_of(s)]
        while todo:
            name = todo.pop()
            known = self.made.get(name)
            if name in here or known is None or name in self.keeps or isinstance(known, Reduce) or name not in self._swept():
                continue
            here.add(name)
            again.append(known)
            todo += operands_of(known)
        order = {name: k for k, name in enumerate(self.made)}
        for s in [*sorted(again, key=lambda s: order[s.name]), *body]:
            if isinstance(s, Store):
                yield self._store(s)
            elif isinstance(s, Reduce):
                target = self._operand(s.name)
                yield f"{target} = {scalars.combined(s.combine, target, self._operand(s.operand), s.dtype)};{self._comment(s.line)}"
            elif isinstance(s, Valued):
                yield self._value(s, [])
            else:
                raise NotLowered("loops nested deeper than sweeps of a row have no text in CUDA")

    def _is_column(self, s: Reduce) -> bool:
        return self.serial is not None and bool(set(s.over) & set(self.serial.dims)) and self._columns(s)

    def _swept(self) -> set[str]:
        return {s.name for loop in self.sweeps for s in loop.body if isinstance(s, Valued)}

    # ---- statements
    def _value(self, s: Valued, live: list[str]) -> str:
        self.made[s.name] = s
        own = scalars.c_type(s.dtype)
        match s:
            case Load():
                text = f"{s.param}[{self._index(s.at)}]"
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
        held = self._operand(s.name) if s.name in self.keeps else f"const {own} {_c(s.name)}"
        return f"{held} = {text};{self._comment(s.line)}"

    def _store(self, s: Store) -> str:
        guards = self._bounds(s.when)
        text = f"{s.param}[{self._index(s.at)}] = {self._operand(s.operand)};"
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
            return _c(operand) + ("[n]" if self.mapping.items > 1 else "")
        return _c(operand)

    def _many(self) -> str:
        """How a value of each of a thread's columns is declared."""
        return f"[{self.mapping.items}]" if self.mapping.items > 1 else ""

    def _dtype(self, operand: Operand) -> np.dtype:
        return operand.dtype if isinstance(operand, Literal) else self.made[operand].dtype

    # ---- indices
    def _block(self) -> str:
        return f"(blockIdx.x - {self.first})" if self.first else "blockIdx.x"

    def _place(self, name: str, n: int, where: str, dims: Sequence[Dim], most: int = 0) -> list[str]:
        """Declares a number from 0 to n - 1 and says what the dims are in it."""
        if len(dims) == 1 and dims[0].size > 1:
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


def _statements(body: Sequence[Statement]) -> Iterator[tuple[Loop | None, Statement]]:
    for s in body:
        if isinstance(s, Loop):
            yield from [(s, inner) for inner in s.body]
        else:
            yield None, s


def _c(name: str) -> str:
    """A value's name in C: %0 is v0."""
    return "v" + re.sub(r"\W", "_", name.lstrip("%"))
