"""The loops: statements, each with the dims that it varies along, and the writes that are wanted in, sections of loops out.

    parallel rows            a section: the dims along which nothing is reduced, or the shares of an accumulated one
      serial row             only where something is accumulated from row to row
        reduce columns       a sweep: what the next row-long reductions need
        ...                  what is one number a row stands between the sweeps
        parallel columns     a sweep that writes

A value that a later sweep reads is not computed there: the form leaves to the backend whether it is kept or computed again. What only later
sweeps read stands in the first of those. Writes over what is read come in the last sweep.
"""
from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ir.affine import Bound, Dim, Index, apart, index
from ir.errors import NotLowered
from ir.kernel import Load, Loop, Operand, Position, Reduce, Scalar, Statement, Store, Test, Valued, operands_of, walk
from ir.lowering.elements import Elements

NOT_NESTED = "what one reduction gives varies along the axis that another one reduces"


@dataclass(frozen=True)
class Sum:
    """What is added up over rows in so many shares: the write of the shares, and the reduction that they are of."""

    store: Store
    reduce: Reduce
    shares: int


@dataclass
class _Section:
    """`outer` parallel dims, `rows` that are accumulated over, `inner` ones that sweeps go over; `stores` and `sums` (accumulators)."""

    outer: frozenset[Dim]
    rows: tuple[Dim, ...]
    inner: frozenset[Dim]
    loads: set[str] = field(default_factory=set)
    stores: list[Store] = field(default_factory=list)
    sums: list[Sum] = field(default_factory=list)


def sections(e: Elements, stores: Sequence[Store], sums: Sequence[Sum]) -> tuple[Loop, ...]:
    """Loops for all writes. Those that read something in common stand in one section if their loops can be the same."""
    known = {s.name: s for s in e.statements}
    accumulated = {s.reduce.name for s in sums}
    found: list[_Section] = []
    for added in sums:
        inside, loads = _inside(e, known, added.reduce, accumulated), _loads(known, added.reduce)
        own = tuple([dim for dim in added.reduce.over if dim not in inside])
        for section in found:
            rows = tuple([dim for dim in section.rows if dim in own])
            others = frozenset([d for s in section.sums for d in _inside(e, known, s.reduce, accumulated)])
            if rows and section.sums[0].shares == added.shares and section.loads & loads and not others & set(rows):
                section.rows = rows
                break
        else:
            if not own:
                raise NotLowered("it is added up along what a row is reduced along").at(line=added.reduce.line)
            section = _Section(frozenset(), own, frozenset())
            found.append(section)
        section.sums.append(added)
        section.loads |= loads
    for section in found:
        _spread(e, known, section, accumulated)
    plain = [(store, _inside(e, known, store, accumulated)) for store in stores]
    for store, inside in sorted(plain, key=lambda pair: not pair[1]):  # those with reductions first: the others go where they fit
        dims, loads = e.varies(store), _loads(known, store)
        outer = _results(e, known, store, accumulated) if inside else dims
        for section in found:
            along = frozenset(section.rows)
            if along or not inside:
                fits = along <= dims - inside and dims - along - section.inner == section.outer
            else:
                fits = outer == section.outer
            if fits and section.loads & loads:
                break
        else:
            section = _Section(outer, (), frozenset())
            found.append(section)
        section.inner |= (inside | dims) - section.outer - frozenset(section.rows)
        section.loads |= loads
        section.stores.append(store)
    made: list[Loop] = []
    used: set[str] = set()
    for section in found:
        loop = _Nest(e, section, known, accumulated).loop()
        names = [s.name for _, s in walk([loop]) if isinstance(s, Valued)]
        made.append(renamed(loop, {name: f"{name}.s{len(made)}" for name in names if name in used}))
        used |= set(names)
    return tuple(made)


def _spread(e: Elements, known: Mapping[str, Valued], section: _Section, accumulated: set[str]) -> None:
    """Which dims besides the rows are swept: those along which a row is reduced or added up, and all where nothing else is."""
    reduces = [s.reduce for s in section.sums]
    inside = frozenset([d for r in reduces for d in _inside(e, known, r, accumulated)])
    over = frozenset([d for r in reduces for d in r.over])
    rest = (over | frozenset([d for r in reduces for d in e.domain[r.name]])) - frozenset(section.rows) - inside
    swept = rest & over if inside else rest
    section.outer, section.inner = rest - swept, inside | swept


def _loads(known: Mapping[str, Valued], root: Statement) -> set[str]:
    return {name for name in _behind(known, [root]) if isinstance(known[name], Load) and known[name].at.dims}  # type: ignore[union-attr]


def _inside(e: Elements, known: Mapping[str, Valued], root: Statement, accumulated: set[str]) -> frozenset[Dim]:
    """The dims over which the reductions go that it reads."""
    return frozenset([dim for r in _reduces(known, root) if r.name not in accumulated for dim in r.over])


def _results(e: Elements, known: Mapping[str, Valued], root: Statement, accumulated: set[str]) -> frozenset[Dim]:
    """The dims along which those vary that the reductions give."""
    return frozenset([dim for r in _reduces(known, root) if r.name not in accumulated for dim in e.domain[r.name]])


def _behind(known: Mapping[str, Valued], roots: Sequence[Statement]) -> set[str]:
    """The values that these hang on."""
    seen: set[str] = set()
    todo = [name for root in roots for name in operands_of(root)]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += operands_of(known[name])
    return seen


def _reduces(known: Mapping[str, Valued], root: Statement) -> list[Reduce]:
    return [s for name in _behind(known, [root]) if isinstance(s := known[name], Reduce)]


Where = tuple[int, tuple[Dim, ...]]  # a sweep: after how many reductions, over what


class _Nest:
    """One section's statements put into sweeps."""

    def __init__(self, e: Elements, section: _Section, known: Mapping[str, Valued], accumulated: set[str]):
        self.section, self.e, self.known, self.accumulated = section, e, known, accumulated
        self.rows, self.inner = frozenset(section.rows), section.inner
        behind = _behind(known, [*section.stores, *[s.reduce for s in section.sums]])
        self.needed = [s for s in known.values() if s.name in behind]
        self.order = self._dim_order()
        self.stage = self._stages()

    def _dim_order(self) -> dict[Dim, int]:
        """Outermost first: those with the longest steps in memory, in what is written if it varies along them, else in what is read."""
        steps: dict[Dim, tuple[int, int]] = {}
        writes: list[Any] = [*self.section.stores, *[s.store for s in self.section.sums]]
        for late, group in enumerate((writes, [s for s in self.needed if isinstance(s, Load)])):
            for statement in group:
                for dim in sorted(statement.at.dims):
                    step = abs(statement.at.factor(dim))
                    if dim not in steps or steps[dim][0] == late and steps[dim][1] < step:
                        steps[dim] = (late, step)
        for statement in self.needed:
            for dim in sorted(self.e.domain[statement.name]) + (list(statement.over) if isinstance(statement, Reduce) else []):
                steps.setdefault(dim, (2, 0))
        for added in self.section.sums:
            for dim in added.reduce.over:
                steps.setdefault(dim, (2, 0))
        ordered = sorted(steps, key=lambda dim: -steps[dim][1])
        return {dim: k for k, dim in enumerate(ordered)}

    def _ordered(self, dims: Iterable[Dim]) -> tuple[Dim, ...]:
        return tuple(sorted(dims, key=lambda dim: (self.order.get(dim, -1), dim)))

    def _stages(self) -> dict[str, int]:
        """After how many sweeps, one behind the other, each value can be had."""
        found: dict[str, int] = {}
        for statement in self.needed:
            found[statement.name] = max([found[v] for v in operands_of(statement)], default=0)
            if isinstance(statement, Reduce):
                if self.e.domain[statement.name] & self.inner or set(statement.over) - self.inner:
                    raise NotLowered(NOT_NESTED).at(line=statement.line)
                found[statement.name] += 1
        return found

    def _at(self, statement: Statement) -> int:
        return max([self.stage[v] for v in operands_of(statement)], default=0)

    # ---- sweeps
    def loop(self) -> Loop:
        section = self.section
        roots: list[tuple[Where, Statement]] = []
        for statement in self.needed:
            if isinstance(statement, Reduce):
                dims = self.e.domain.get(str(statement.operand), frozenset()) | frozenset(statement.over)
                roots.append(((self._at(statement), self._ordered(dims & self.inner)), statement))
        for r in [s.reduce for s in section.sums]:
            dims = self.e.domain.get(str(r.operand), frozenset()) | frozenset(r.over)
            roots.append(((self._at(r), self._ordered(dims & self.inner)), r))
        last = max([q for (q, _), _ in roots] + [self._at(s) for s in section.stores], default=0)
        for store in section.stores:
            overwrites = self.e.params[store.param].reads
            roots.append(((last if overwrites else self._at(store), self._ordered(self.e.varies(store) & self.inner)), store))
        body = self._body(roots)
        if not section.rows:
            return Loop("parallel", self._ordered(section.outer), tuple(body))
        return self._in_shares(body)

    def _body(self, roots: Sequence[tuple[Where, Statement]]) -> list[Statement]:
        placed: dict[Where, list[Statement]] = {}
        first: dict[tuple[Dim, ...], dict[str, int]] = {}
        own: dict[int, list[Statement]] = {}
        for where, root in roots:
            q, key = where
            if not key:
                own.setdefault(q, []).append(root)
                continue
            placed.setdefault(where, []).append(root)
            mine = first.setdefault(key, {})
            todo = operands_of(root)
            while todo:
                name = todo.pop()
                if self.e.domain[name] & self.inner and mine.get(name, q + 1) > q:
                    mine[name] = q
                    todo += operands_of(self.known[name])
        names = {key: self._names(key, mine, k) for k, (key, mine) in enumerate(first.items())}
        body: list[Statement] = []
        for q in range(max([*[w[0] for w in placed], *own], default=0) + 1):
            for statement in self.needed:
                flat = not self.e.domain[statement.name] & self.inner and not isinstance(statement, Reduce)
                if flat and self.stage[statement.name] == q:
                    body.append(statement)
            body += [s for s in own.get(q, ()) if isinstance(s, Reduce)]
            for key in first:
                if (q, key) in placed or any(at == q for at in first[key].values()):
                    new = [s for s in self.needed if first[key].get(s.name) == q]
                    ends = sorted(placed.get((q, key), ()), key=lambda s: isinstance(s, Store))  # writes last
                    statements = [renamed(s, names[key]) for s in (*new, *ends)]
                    reduces = any(isinstance(s, Reduce) and set(s.over) & set(key) for s in ends)
                    body.append(Loop("reduce" if reduces else "parallel", key, tuple(statements)))
            body += [s for s in own.get(q, ()) if isinstance(s, Store)]
        return body

    def _names(self, key: tuple[Dim, ...], mine: Mapping[str, int], count: int) -> dict[str, str]:
        """The statements of the second and further kinds of sweeps are made anew."""
        return {name: f"{name}.{count}" for name in mine} if count else {}

    # ---- rows that are accumulated over
    def _in_shares(self, body: list[Statement]) -> Loop:
        rows = self.section.rows
        count = math.prod([dim.size for dim in rows])
        shares = self.section.sums[0].shares
        each = -(-count // shares)
        share, row = Dim("s", shares), Dim("r", each)
        at = index(row) + (each * index(share) if shares > 1 else 0)
        instead = dict(zip(rows, apart(at, tuple([dim.size for dim in rows]))))
        when = () if at.within(0, count) else (Bound(at, 0, count),)
        top = [s for s in body if isinstance(s, Valued) and self._stands(s)]
        below = [put(s, instead, (row,)) for s in body if s not in top]
        ends: list[Statement] = []
        for added in self.section.sums:
            key = self._ordered(self.e.domain[added.reduce.name] & self.inner)
            ends.append(Loop("parallel", key, (added.store,)) if key else added.store)
        dims = (*self._ordered(self.section.outer), *((share,) if shares > 1 else ()))
        return Loop("parallel", dims, (*top, Loop("serial", (row,), tuple(below), when), *ends))

    def _stands(self, statement: Valued) -> bool:
        """Whether it is the same for all rows and hangs on nothing that a row gives."""
        name = statement.name
        return not isinstance(statement, Reduce) and not self.stage[name] and not self.e.domain[name] & self.rows


def renamed(statement: Any, names: Mapping[str, str]) -> Any:
    """The statement, or all of a loop, with other names for the values that it reads and gives."""
    if not names:
        return statement
    if isinstance(statement, Loop):
        return replace(statement, body=tuple([renamed(s, names) for s in statement.body]))

    def operand(v: Operand) -> Operand:
        return names.get(v, v) if isinstance(v, str) else v

    def at(i: Index) -> Index:
        from_names = {a: index(replace(a, key=names[str(a.key)])) for a in i.atoms() if not isinstance(a, Dim) and str(a.key) in names}
        return i.put(from_names)

    changes: dict[str, Any] = {}
    if not isinstance(statement, Store):
        changes["name"] = names.get(statement.name, statement.name)
    if isinstance(statement, Scalar):
        changes["operands"] = tuple([operand(v) for v in statement.operands])
    if isinstance(statement, Reduce | Store):
        changes["operand"] = operand(statement.operand)
    if isinstance(statement, Load | Store | Position):
        changes["at"] = at(statement.at)
    if isinstance(statement, Load | Store | Test):
        changes["when"] = tuple([Bound(at(b.at), b.low, b.high) for b in statement.when])
    return replace(statement, **changes)


def put(statement: Statement, instead: Mapping[Any, Index], row: tuple[Dim, ...]) -> Statement:
    """The statement with dims replaced; what is reduced over them is reduced over `row`."""
    if isinstance(statement, Loop):
        return replace(statement, body=tuple([put(s, instead, row) for s in statement.body]))
    if isinstance(statement, Reduce):
        if not set(statement.over) & set(instead):
            return statement
        return replace(statement, over=(*row, *[dim for dim in statement.over if dim not in instead]))
    if isinstance(statement, Load | Store):
        return replace(statement, at=statement.at.put(instead), when=tuple([b.put(instead) for b in statement.when]))
    if isinstance(statement, Test):
        return replace(statement, when=tuple([b.put(instead) for b in statement.when]))
    if isinstance(statement, Position):
        return replace(statement, at=statement.at.put(instead))
    return statement
