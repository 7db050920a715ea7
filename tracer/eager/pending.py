"""Running what is pending: the records that living Variables wait for, as one compiled program, or in pieces where they are many.

In: the tape. Out: Variables and places with their arrays. What a later gradient reads is kept in its place, nothing else. Programs are
found again by the fingerprint of the records, so equal work is compiled once. If a run is interrupted, all that waited still waits.
"""
from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

import backends
from backends.numpy.support import setting, under
from ir.evaluate import evaluate
from ir.graph import Graph
from ir.op import Trait
from ir.passes import optimize
from ir.planning import plan
from ir.source import Spot, line_at
from tracer.eager.fingerprint import Wiring, needs, pending
from tracer.eager.records import DEVICES, PENDING, TAPE, Application, Held, Input, Part, Place, Raw, Record, array_spec, places
from tracer.eager.sharing import read_eagerly

PIECE = 1000  # records in one program at the most
HALF = PIECE // 2  # in one piece of a loop
LARGEST = 2000  # nodes in one program at the most, unless one record has more
PHASE = 32  # so many entries in a row must agree for two places to count as the same place of a loop
PROGRAMS = 1024  # programs kept

WANTED, CUT, LATER, GONE = 1, 2, 4, 8
RUNNING = "while running"
LAYOUTS = ("C", "F", "any")
Deliver = list[tuple[int, bool]]  # for each result of a program: the number of its place, and whether to keep it there
_programs: dict[tuple[Any, ...], tuple[Any, Deliver]] = {}


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=TAPE.lock.acquire, after_in_parent=TAPE.lock.release, after_in_child=TAPE.lock.release)


@contextmanager
def taken() -> Iterator[list[weakref.ref[Held]]]:
    """The tape's content, for a run of all of it: afterwards nothing waits. If the run fails, everything waits again."""
    with TAPE.lock:
        number = TAPE.number
        TAPE.number = number + 1
        waiting, TAPE.waiting = TAPE.waiting, []
        try:
            yield waiting
        except BaseException:
            TAPE.waiting[:0] = waiting
            raise
        TAPE.done = max(TAPE.done, number)


def awaited(waiting: list[weakref.ref[Held]]) -> list[Place]:
    """The places whose Variables live and wait."""
    return [held._out for ref in waiting if (held := ref()) is not None and held._value is PENDING and held._out is not None]


def flush(held: Held | None = None) -> None:
    """Computes every value that a living Variable waits for, that of `held` among them.

    What fails is nobody else's matter: it is set aside, and raises when it is looked at itself.
    """
    try:
        with taken() as waiting:
            compute(_roots(waiting, held))
    except Exception:
        _one_by_one(held)


def _roots(waiting: list[weakref.ref[Held]], held: Held | None) -> list[Place]:
    roots = awaited(waiting)
    if held is not None and held._value is PENDING and held._out is not None and held._out not in roots:
        roots.append(held._out)
    return roots


def _one_by_one(held: Held | None) -> None:
    """As `flush`, where something fails. What is set aside waits no longer, with copies of the data that it reads."""
    failed: Exception | None = None
    with taken() as waiting:
        roots = _roots(waiting, held)
        every = pending(roots)
        for root in roots:
            try:
                if not root.done:
                    compute([root], every)
            except Exception as error:
                copies: dict[Held, Raw] = {}
                for record in pending([root]):
                    for x in record.inputs:
                        if isinstance(x, Held) and x not in copies:
                            copies[x] = Raw(x._value.copy(), array_spec(x._value), x)
                    record.inputs = [copies[x] if isinstance(x, Held) else x for x in record.inputs]
                if held is not None and root is held._out:
                    failed = error
    if failed is not None:
        raise failed


def trim() -> None:
    """Keeps the tape short: forgets results that nobody can ask for, and runs pieces where there is enough to run."""
    with TAPE.lock:
        records = pending(awaited(TAPE.waiting))
        while len(records) >= HALF:
            cut = boundary(records)
            run(records[:cut], records[cut:])
            records = records[cut:]
        TAPE.waiting = [place.holder for place in awaited(TAPE.waiting)]


def compute(roots: Sequence[Place], later: Sequence[Application] = ()) -> None:
    """Computes these results and all that they need. `later` are other pending records, which may read some of it."""
    records = pending(roots)
    while (cut := boundary(records)) < len(records):
        run(records[:cut], [*records[cut:], *later])
        records = records[cut:]
    if records:
        run(records, later)


def weight(records: Sequence[Application]) -> int:
    """The number of nodes that these records are in a graph."""
    return sum(record.entry.weight for record in records)


def boundary(records: Sequence[Application]) -> int:
    """Where to cut: a loop at a place like the one where the list begins, and always after as many rounds, whenever it is cut; so its
    pieces are alike, and those of the next such loop too. What is no loop at PIECE. A piece is lighter than LARGEST, or one record.
    """
    entries = [record.entry for record in records[:PIECE]]
    total = 0
    for k, entry in enumerate(entries):
        total += entry.weight
        if total > LARGEST:
            return max(k, 1)
    if len(entries) >= HALF:
        head = entries[:PHASE]
        for k in range(HALF - PHASE, HALF // 2, -1):
            if entries[k] is head[0] and entries[k : k + PHASE] == head:
                return k
    return len(entries)


def run(records: list[Application], later: Sequence[Application]) -> None:
    """Computes the records as one program. `later` are pending records that may read their results."""
    wiring = Wiring(records)
    facts = [WANTED * _wanted(out) | CUT * out.cut if out is not None else GONE for out in wiring.outs]
    if later:
        read = {x for record in later for x in record.inputs if isinstance(x, (Record, Part))}
        facts = [fact | LATER * (out in read) for fact, out in zip(facts, wiring.outs)]
    values, layouts = operands(wiring.leaves)
    found = _programs.get(key := (*wiring.key, *facts, *layouts))
    if found is None:
        graph = Graph()
        deliver = to_deliver(wiring, facts)
        _, made = wiring.build(graph)
        graph.outputs = [made[n] for n, _ in deliver]
        found = remember(_programs, key, (compiled(graph, layouts), deliver))
    program, deliver = found
    hand_out(wiring, deliver, ran(program, values, wiring))


def ran(program: Any, values: list[Any], wiring: Wiring) -> list[Any]:
    """The program's results under the settings of the tape. An exception gets a note that names the user's line."""
    try:
        if setting() is TAPE.setting:
            return read_eagerly(program, values, wiring.leaves)
        with under(TAPE.setting):
            return read_eagerly(program, values, wiring.leaves)
    except Exception as error:
        spot = culprit(wiring, values)
        if spot is not None:
            line = line_at(spot)
            notes = getattr(error, "__notes__", [])
            notes[:] = [note for note in notes if not note.startswith(RUNNING)]  # of the line that compiled such a program first
            error.add_note(f"{RUNNING} {line.place()}   {line.code}")
        raise


def culprit(wiring: Wiring, values: Sequence[Any]) -> Spot | None:
    """The spot of the first record whose reference meaning raises for these leaves; None where they lie on a device."""
    if any(type(value) in DEVICES for value in values):
        return None
    results: list[Any] = []
    with under(TAPE.setting):
        for record, operands in wiring.operand_numbers():
            graph = Graph()
            graph.outputs = list(record.entry.build(graph, [graph.input(spec) for spec in record.entry.specs]))
            if any(node.op.has(Trait.HOLDS) for node in graph.order()):
                return None  # code of the user's is not called twice; its own traceback says where it failed
            try:
                results += evaluate(graph, [values[~n] if n < 0 else results[n] for n in operands])[0]
            except Exception:
                return record.spot
    return None


def _wanted(out: Place) -> bool:
    held = out.holder()
    return held is not None and held._value is PENDING


def operands(leaves: list[Input]) -> tuple[list[Any], list[Any]]:
    """The arrays and numbers of leaves, and how the arrays lie: an index into LAYOUTS for each, last the device's name if there is one."""
    values: list[Any] = []
    layouts: list[Any] = []
    for leaf in leaves:
        value: Any = leaf._value if isinstance(leaf, Held) else leaf.value
        values.append(value)
        flags = getattr(value, "flags", None)
        layouts.append(0 if flags is None or flags.c_contiguous else 1 if flags.f_contiguous else 2)
    return values, _on_device(values, layouts) if DEVICES else layouts


def _on_device(values: list[Any], layouts: list[int]) -> list[Any]:
    """The layouts of values some of which are on a device, where the others are uploaded in C order."""
    backend = next(filter(None, map(backends.owner, values)), None)
    if backend is None:
        return layouts
    return [*[n if type(value) in DEVICES else 0 for value, n in zip(values, layouts)], backend.name]


def compiled(graph: Graph, layouts: Sequence[Any]) -> Any:
    """The program of a graph whose first inputs lie as `layouts` says."""
    optimize(graph)
    backend = backends.get(layouts[-1] if layouts and type(layouts[-1]) is str else "numpy")
    lie = {k: LAYOUTS[layout] for k, layout in enumerate(layouts) if type(layout) is int}
    return backend.emit(plan(graph, backend.target(), layouts=lie))


def remember(cache: dict[tuple[Any, ...], Any], key: tuple[Any, ...], made: Any) -> Any:
    """Puts what was made into a bounded cache: the oldest goes first."""
    if len(cache) >= PROGRAMS:
        del cache[next(iter(cache))]
    cache[key] = made
    return made


def to_deliver(wiring: Wiring, facts: Sequence[int]) -> Deliver:
    """Which results a run must give: those that a Variable waits for, and those that a later record or a gradient reads."""
    keep = {n for n, fact in enumerate(facts) if fact & LATER}
    first = 0
    for record, numbers in wiring.operand_numbers():
        count = len(record.entry.outs)
        if not all(fact & (CUT | GONE) for fact in facts[first : first + count]):
            reads, gives = needs(record.entry)
            keep.update(n for n, read in zip(numbers, reads) if read and n >= 0)
            keep.update(first + k for k, read in enumerate(gives) if read)
        first += count
    return [(n, n in keep) for n, fact in enumerate(facts) if not fact & GONE and (n in keep or fact & WANTED)]


def hand_out(wiring: Wiring, deliver: Deliver, results: Sequence[Any]) -> None:
    """Brings the results to Variables and places. All records are done then."""
    outs = wiring.outs
    for (n, keep), value in zip(deliver, results):
        out = outs[n]
        if out is not None:
            array = value if type(value) is np.ndarray or type(value) in DEVICES else np.asarray(value)
            if keep:
                out.value = array
            held = out.holder()
            if held is not None and held._value is PENDING:
                held._value = array
    for out in outs:
        if out is not None:
            out.done = True
            if out.cut:
                settle(out)


def settle(place: Place) -> None:
    """Lets go of what is no longer needed where no gradient passes: a result that is done is plain data, and inputs are free."""
    if place.cut and place.done:
        held = place.holder()
        if held is not None and held._out is place:
            held._out = None
        record = place.record
        if type(record) is Record or all(p is None or p.cut and p.done for p in places(record)):
            record.inputs = []
