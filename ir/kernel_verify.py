"""What must hold of a loop form, checked from scratch: it trusts nothing of what made it.

In: a loop form. Out: nothing, or a VerifyError with the statement and the user's line. Checked are names and where values are seen, dtypes,
that no read or write may leave its param, that no two iterations write the same element, and that nobody reads what another iteration
writes.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ir.affine import Bound, Held, Index, Quotient
from ir.errors import VerifyError
from ir.kernel import (
    COMBINES,
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
    dims_of,
    operands_of,
    statement_text,
)
from ir.op import Trait
from ir.ops import TABLE

KINDS = ("parallel", "reduce", "serial")
UNLIKE = {"cast": 1, "copy": 1, "where": 3, "sigmoid": 1}  # operations that are no ufunc, with the number of their operands


def verify(form: LoopForm) -> None:
    """Raises VerifyError for the first thing that does not hold."""
    _Verifier(form).run()


class _Verifier:
    def __init__(self, form: LoopForm):
        self.form = form
        self.params: dict[str, Param] = {}
        self.made: dict[str, tuple[Valued, tuple[Loop, ...]]] = {}
        self.accesses: dict[str, list[tuple[tuple[Loop, ...], Load | Store]]] = {}

    def run(self) -> None:
        for param in self.form.params:
            if param.name in self.params:
                raise VerifyError(f"{self.form.name}: two params are called {param.name}")
            self.params[param.name] = param
        for section in self.form.sections:
            if not isinstance(section, Loop) or section.kind != "parallel":
                raise VerifyError(f"{self.form.name}: a section is a parallel loop, not {statement_text(section)}")
        for loops, statement in self.form.statements():
            self._loops(loops, statement)
            self._reads(loops, statement)
            self._dtypes(statement)
            if isinstance(statement, Load | Store):
                self._memory(loops, statement)
            if isinstance(statement, Valued):
                if statement.name in self.made:
                    raise _fault(statement, "another statement has that name")
                self.made[statement.name] = statement, loops
        for name, found in self.accesses.items():
            self._races(self.params[name], found)

    def _loops(self, loops: tuple[Loop, ...], statement: Statement) -> None:
        dims = dims_of(loops)
        if len(set(dims)) < len(dims):
            raise _fault(statement, "a loop stands inside another one over the same dim")
        for loop in loops:
            if loop.kind not in KINDS:
                raise _fault(statement, f"a loop is {' or '.join(KINDS)}, not {loop.kind}")
        if isinstance(statement, Reduce):
            over = [loop for loop in loops if set(loop.dims) & set(statement.over)]
            if not statement.over or not set(statement.over) <= set(dims):
                raise _fault(statement, "it reduces over dims that are not around it")
            if any(loop.kind == "parallel" for loop in over):
                raise _fault(statement, "it reduces over a parallel loop")

    def _reads(self, loops: tuple[Loop, ...], statement: Statement) -> None:
        dims = set(dims_of(loops))
        for at in _indices(statement):
            for dim in sorted(at.dims - dims):
                raise _fault(statement, f"{dim} is no dim of a loop around it")
        for name in operands_of(statement):
            if name not in self.made:
                raise _fault(statement, f"{name} is not computed before it")
            source, around = self.made[name]
            held = set(dims_of(around)) - (set(source.over) if isinstance(source, Reduce) else set())
            if not held <= dims:
                raise _fault(statement, f"{name} varies along {', '.join(map(str, sorted(held - dims)))}, and no such loop is around it")
            if isinstance(source, Reduce):
                inner = next(k for k, loop in enumerate(around) if set(loop.dims) & set(source.over))
                if len(loops) > inner and loops[inner] is around[inner]:
                    raise _fault(statement, f"{name} is read before the loop that reduces it has ended")
            if loops[0] is not around[0]:
                raise _fault(statement, f"{name} belongs to another section")

    def _dtypes(self, statement: Statement) -> None:
        match statement:
            case Scalar():
                self._scalar(statement)
            case Load():
                if statement.param in self.params and self.params[statement.param].dtype != statement.dtype:
                    raise _fault(statement, f"the param holds {self.params[statement.param].dtype}")
            case Store():
                if statement.param in self.params and self.params[statement.param].dtype != self._dtype(statement.operand):
                    raise _fault(statement, f"the param holds {self.params[statement.param].dtype}, not {self._dtype(statement.operand)}")
            case Reduce():
                if statement.combine not in COMBINES:
                    raise _fault(statement, f"{statement.combine} joins no parts of a reduction")
                if self._dtype(statement.operand) != statement.dtype:
                    raise _fault(statement, f"the operand is {self._dtype(statement.operand)}")

    def _dtype(self, operand: Operand) -> np.dtype:
        return operand.dtype if isinstance(operand, Literal) else self.made[operand][0].dtype

    def _scalar(self, statement: Scalar) -> None:
        op = TABLE.get(statement.op)
        if op is None or not op.has(Trait.ELEMENTWISE) or op.ufunc is None and statement.op not in UNLIKE:
            raise _fault(statement, "there is no such scalar operation")
        given = [self._dtype(v) for v in statement.operands]
        if len(given) != UNLIKE.get(statement.op, len(op.operands)):
            raise _fault(statement, f"it takes {len(op.operands)} operands")
        if statement.op in ("cast",):
            return
        if statement.op in UNLIKE:
            if any(d != statement.dtype for d in given[statement.op == "where" :]) or statement.op == "where" and given[0].kind != "b":
                raise _fault(statement, f"its operands are {', '.join(map(str, given))}")
            return
        try:
            wanted = op.ufunc.resolve_dtypes((*given, None))
        except TypeError:
            wanted = ()
        if tuple(wanted) != (*given, statement.dtype):
            raise _fault(statement, f"NumPy has no such loop: its operands are {', '.join(map(str, given))}")

    def _memory(self, loops: tuple[Loop, ...], statement: Load | Store) -> None:
        param = self.params.get(statement.param)
        if param is None:
            raise _fault(statement, "there is no such param")
        if not (param.writes if isinstance(statement, Store) else param.reads):
            raise _fault(statement, f"the param is {'read' if isinstance(statement, Store) else 'written'} alone")
        self.accesses.setdefault(param.name, []).append((loops, statement))
        bounds = [*statement.when, *[b for loop in loops for b in loop.when]]
        low, high = _narrowed(statement.at, bounds)
        empty = any(dim.size == 0 for dim in dims_of(loops)) or any(b.low >= b.high for b in bounds)
        if not empty and (low < param.low or high >= param.low + param.count):
            raise _fault(statement, f"elements {low} to {high} are touched, and the param has {param.low} to {param.low + param.count - 1}")
        if isinstance(statement, Store):
            used = statement.at.dims | {d for b in statement.when if b.high - b.low == 1 for d in b.at.dims}
            for dim in dims_of(loops):
                if dim.size > 1 and dim not in used:
                    raise _fault(statement, f"every index of {dim} writes the same element")

    def _races(self, param: Param, found: list[tuple[tuple[Loop, ...], Load | Store]]) -> None:
        """What is written is read at the same index alone, by the iteration that writes it, unless a barrier stands between."""
        stores = [(loops, s) for loops, s in found if isinstance(s, Store)]
        for loops, store in stores:
            for other_loops, other in found:
                if other is store:
                    continue
                if other_loops[0] is not loops[0]:
                    raise _fault(other, f"{param.name} is written in another section")
                if other.at != store.at and not self._apart(other_loops[0]):
                    raise _fault(other, f"{param.name} is written at {store.at} by other iterations")

    def _apart(self, section: Loop) -> bool:
        return any(isinstance(s, Barrier) for s in section.body)


def _indices(statement: Statement) -> list[Index]:
    found = [statement.at] if isinstance(statement, Load | Store | Position) else []
    return found + ([b.at for b in statement.when] if isinstance(statement, Load | Store | Test) else [])


def _narrowed(at: Index, bounds: Sequence[Bound]) -> tuple[int, int]:
    """The span of an index where the bounds hold: each is taken out of it once, as far as it stands in it, and out of its quotients."""
    for bound in [*bounds, *[inner for outer in bounds for inner in _of_quotient(outer)]]:
        lead = next(((a, k) for a, k in bound.at.terms), None)
        if lead is None:
            continue
        factor = at.factor(lead[0])
        if factor % lead[1] or not factor:
            continue
        times = factor // lead[1]
        inside = Index(((Held(("bound", len(str(bound))), bound.low, bound.high - 1), 1),))
        tried = at - times * bound.at + times * inside
        if tried.span[1] - tried.span[0] <= at.span[1] - at.span[0]:
            at = tried
    for k, (atom, factor) in enumerate(at.terms):
        if isinstance(atom, Quotient):
            low, high = _narrowed(atom.of, bounds)
            inside = Index(((Held(("quotient", k), low // atom.by, high // atom.by), factor),))
            tried = at + inside - factor * Index(((atom, 1),))
            if tried.span[1] - tried.span[0] < at.span[1] - at.span[0]:
                at = tried
    return at.span


def _of_quotient(bound: Bound) -> list[Bound]:
    """What a bound of a quotient says of what is divided."""
    if len(bound.at.terms) != 1:
        return []
    (atom, factor), away = bound.at.terms[0], bound.at.constant
    if not isinstance(atom, Quotient) or factor != 1:
        return []
    return [Bound(atom.of, atom.by * (bound.low - away), atom.by * (bound.high - away))]


def _fault(statement: Statement, cause: str) -> VerifyError:
    return VerifyError(f"{statement_text(statement)}: {cause}").at(line=getattr(statement, "line", None))



