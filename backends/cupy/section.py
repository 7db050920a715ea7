"""One section of a loop form in CUDA's text: its outer iterations to threads or rows of lanes, as its Mapping says, and what these do."""
from __future__ import annotations

from collections.abc import Iterator, Sequence

from backends.cupy import scalars
from backends.cupy.mapping import LANES, Mapping, count, lies_together
from backends.cupy.rows import tag
from backends.cupy.statements import Statements, c_name, columns_each
from ir.affine import Dim, Index, index
from ir.errors import NotLowered
from ir.kernel import Barrier, Load, Loop, LoopForm, Reduce, Statement, Store, Valued, operands_of

VECTORS = {16: "uint4", 8: "uint2", 4: "unsigned", 2: "unsigned short"}  # by bytes


FEW = 4  # columns of a lane whose reads are under way at the same time


class Section(Statements):
    """`text` prints it; `shared`: the lines that declare its shared memory."""

    def __init__(self, form: LoopForm, section: Loop, mapping: Mapping, first: int):
        super().__init__(form, section, mapping, first)
        self.shared: list[str] = []

    def text(self) -> Iterator[str]:
        flat = self.serial is None and not self.sweeps
        yield from self._flat() if flat else self._rows()

    # ---- a thread for each outer iteration
    def _flat(self) -> Iterator[str]:
        n, block = count(self.section.dims), self.mapping.block
        if self.mapping.vector > 1:
            yield from self._vectors(n, self.mapping.vector)
            return
        yield from self._place("t", n, f"{self._block()} * {block} + threadIdx.x", self.section.dims)
        guard = self.mapping.blocks * block != n or len(self.form.sections) > 1
        yield from self._guarded([f"{self.called} < {n}"] if guard else [], self._body(self.section.body))

    def _vectors(self, n: int, width: int) -> Iterator[str]:
        """A thread for so many of them: what lies together is moved at once, between memory and arrays that are registers."""
        m, params = self.mapping, {p.name: p for p in self.form.params}
        wide = [s for s in self.section.body if isinstance(s, Load | Store) and lies_together(s, self.section, params, width)]
        lines = self._place("t", n, "u", self.section.dims)
        yield f"const {lines[0].split()[1]} u = {width} * ({lines[0].split()[1]})({self._block()} * {m.block} + threadIdx.x);"
        before, behind = [], []
        for s in wide:
            own = scalars.memory_type(params[s.param].dtype)
            moved = VECTORS[width * params[s.param].dtype.itemsize]
            at = self._expression(s.at.put(self.put).put({Dim(self.called, n): index(Dim("u", n))}))
            name = f"w{c_name(s.name)[1:]}" if isinstance(s, Load) else f"w_{s.param}"
            self.wide[s] = f"{name}[e]"
            before.append(f"__align__({width * params[s.param].dtype.itemsize}) {own} {name}[{width}];")
            if isinstance(s, Load):
                before.append(f"*({moved}*){name} = *(const {moved}*)({s.param} + {at});")
            else:
                behind.append(f"*({moved}*)({s.param} + {at}) = *(const {moved}*){name};")
        inside = [lines[0].replace("= u;", "= u + e;"), *self._body(self.section.body)]
        loop = ["#pragma unroll", f"for (int e = 0; e < {width}; e++) {{", *["  " + line for line in inside], "}"]
        guard = m.blocks * m.block * width != n
        yield from self._guarded([f"u < {n}"] if guard else [], [*before, *loop, *behind])

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
        sums = [s for _, s in _inside(loop.body) if isinstance(s, Reduce) and row in s.over]
        for s in sums:
            self.made[s.name] = s
            items = self._many(s.name) if self._is_column(s) else ""
            start = self._operand(s.identity)
            yield f"{scalars.c_type(s.dtype)} {c_name(s.name)}{items}{'' if items else f' = {start}'};"
            if items:
                yield f"for (int n = 0; n < {self.items[s.name]}; n++) {c_name(s.name)}[n] = {start};"
        times = -(-row.size // groups)
        self.dims[row] = c_name(row.name)
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
        m, name, own = self.mapping, c_name(s.name), scalars.c_type(s.dtype)
        if self._is_column(s):
            if m.groups == 1:
                return
            self._share(f"__shared__ {own} column_{tag(s)}[{m.block}];")
            at = f"g * {m.lanes} + lane" if m.lanes > 1 else "g"
            joined = scalars.combined(s.combine, self._operand(s.name), f"column_{tag(s)}[{at}]", s.dtype)
            body = ["__syncthreads();", f"column_{tag(s)}[threadIdx.x] = {self._operand(s.name)};", "__syncthreads();"]
            body.append(f"if (group == 0) for (int g = 1; g < {m.groups}; g++) {self._operand(s.name)} = {joined};")
            items = self.items[s.name]
            yield from body if items == 1 else [f"for (int n = 0; n < {items}; n++) {{", *["  " + line for line in body], "}"]
            return
        start = self._operand(s.identity)
        once = not any(set(s.over) & set(loop.dims) for loop in self.sweeps if s in loop.body)
        mine = f"lane == 0 ? {name} : {start}" if once and m.lanes > 1 else name
        yield f"{name} = {self._row_call(s, mine, m.block)};"

    def _row_call(self, s: Reduce, value: str, lanes: int) -> str:
        if lanes == 1:
            return value
        if lanes > LANES:
            self._share(f"__shared__ {scalars.c_type(s.dtype)} part_{tag(s)}[{self.mapping.block // LANES}];")
        part = f", part_{tag(s)}" if lanes > LANES else ""
        return f"row_{s.combine}_{tag(s)}_{lanes}({value}{part})"

    def _share(self, line: str) -> None:
        if line not in self.shared:
            self.shared.append(line)

    def _added_by_row(self, s: Reduce, live: list[str]) -> Iterator[str]:
        joined = scalars.combined(s.combine, c_name(s.name), self._operand(s.operand), s.dtype)
        self.made[s.name] = s
        yield from self._guarded(live, [f"{c_name(s.name)} = {joined};"])

    # ---- sweeps
    def _sweep(self, loop: Loop, live: list[str]) -> Iterator[str]:
        m, n, items = self.mapping, count(loop.dims), columns_each(loop, self.mapping)
        reduces = [s for s in loop.body if isinstance(s, Reduce) and set(s.over) <= set(loop.dims)]
        for s in loop.body:
            if isinstance(s, Valued) and s.name in self.keeps:
                yield f"{scalars.c_type(s.dtype)} {c_name(s.name)}{self._many(s.name)};"
        for s in reduces:
            yield f"{scalars.c_type(s.dtype)} {c_name(s.name)} = {self._operand(s.identity)};"
        column = "lane" if m.lanes > 1 else ""
        whole = m.lanes * items * m.chunks == n
        inside: list[str] = []
        if items > 1:
            column = f"{column} + n * {m.lanes}" if column else "n"
        if m.chunks > 1:
            column = f"{self._block()} % {m.chunks} * {m.lanes * items} + {column or '0'}"
        before = dict(self.dims), dict(self.put)
        inside += self._place("c", n, column or "0", loop.dims, m.lanes * items * m.chunks)
        guards = [*live, *([] if whole else [f"{self.called} < {n}"])]
        body = list(self._body(loop.body))
        self.dims, self.put = before
        inside += self._guarded(guards, body)
        if items > 1:
            touched = [v for s in loop.body for v in [*operands_of(s), getattr(s, "name", "")]]
            arrays = self.keeps.intersection(touched) or any(isinstance(s, Reduce) and self._is_column(s) for s in loop.body)
            yield "#pragma unroll" if arrays or items <= FEW else f"#pragma unroll {FEW}"  # all, so that arrays are registers
            yield f"for (int n = 0; n < {items}; n++) {{"
            yield from ["  " + line for line in inside]
            yield "}"
        else:
            yield "{"
            yield from ["  " + line for line in inside]
            yield "}"
        for s in reduces:
            self.made[s.name] = s
            if m.lanes > 1:
                yield f"{c_name(s.name)} = {self._row_call(s, c_name(s.name), m.lanes)};"

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

    def _swept(self) -> set[str]:
        return {s.name for loop in self.sweeps for s in loop.body if isinstance(s, Valued)}


def _inside(body: Sequence[Statement]) -> Iterator[tuple[Loop | None, Statement]]:
    for s in body:
        if isinstance(s, Loop):
            yield from [(s, inner) for inner in s.body]
        else:
            yield None, s
