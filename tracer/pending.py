"""Running what is pending: the records that living Variables wait for, as one compiled program, or in pieces where they are many.

In: the tape. Out: Variables and Outs with their arrays. What a later gradient reads is kept on the Outs, nothing else. The programs
are found again by the fingerprint of the records, so equal work is compiled once. If a run fails, all that waited still waits.
"""
from __future__ import annotations

from typing import Any

import numpy as np

import backends
from ir.graph import Graph
from ir.passes import optimize
from ir.planning import plan
from tracer.fingerprint import Wiring, gather, is_pending, needs
from tracer.records import PENDING, TAPE, Out, Raw, Record

PIECE = 1000  # records in one program at the most
PHASE = 32  # so many entries in a row must agree for two places to count as the same place of a loop
PROGRAMS = 1024  # programs kept

WANTED, CUT, LATER = 1, 2, 4
LAYOUTS = ("C", "F", "any")
_programs: dict[tuple[Any, ...], tuple[Any, list[tuple[int, bool]]]] = {}


def flush() -> None:
    """Computes every value that a living Variable waits for."""
    with TAPE.lock:
        number = TAPE.number
        TAPE.number = number + 1
        waiting, TAPE.waiting = TAPE.waiting, []
        try:
            compute([held._out for ref in waiting if (held := ref()) is not None and held._value is PENDING and held._out is not None])
        except BaseException:
            TAPE.waiting[:0] = waiting
            raise
        TAPE.done = max(TAPE.done, number)


def trim() -> None:
    """Keeps the tape short: forgets results that nobody can ask for, and runs a piece where there is enough to run."""
    with TAPE.lock:
        waiting = [ref for ref in TAPE.waiting if (held := ref()) is not None and held._value is PENDING]
        records = gather([held._out for ref in waiting if (held := ref()) is not None and held._out is not None], is_pending)
        if len(records) >= PIECE // 2:
            cut = boundary(records)
            run(records[:cut], records[cut:])
            waiting = [ref for ref in waiting if (held := ref()) is not None and held._value is PENDING]
        TAPE.waiting = waiting


def compute(outs: list[Out]) -> None:
    """Computes these results and all that they need."""
    records = gather(outs, is_pending)
    while len(records) > PIECE:
        cut = boundary(records[: PIECE + PHASE])
        run(records[:cut], records[cut:])
        records = records[cut:]
    if records:
        run(records, [])


def boundary(records: list[Record]) -> int:
    """Where to cut: at a place of a loop like the one where the list begins, so that pieces of a loop are alike; else at PIECE."""
    entries = [record.entry for record in records]
    head = entries[:PHASE]
    for k in range(min(len(entries) - PHASE, PIECE), len(entries) // 2, -1):
        if entries[k] is head[0] and entries[k : k + PHASE] == head:
            return k
    return min(len(entries), PIECE)


def run(records: list[Record], later: list[Record]) -> None:
    """Computes the records as one program. `later` are pending records that may read their results."""
    wiring = Wiring(records)
    key = wiring.key
    if later:
        read = {x for record in later for x in record.inputs if type(x) is Out}
        key += [(WANTED if out.wanted() else 0) | (CUT if out.cut else 0) | (LATER if out in read else 0) for out in wiring.outs]
    else:
        for out in wiring.outs:
            held = out.holder()
            key.append((WANTED if held is not None and held._value is PENDING else 0) | (CUT if out.cut else 0))
    values = []
    for leaf in wiring.leaves:
        value = leaf.value if isinstance(leaf, (Out, Raw)) else leaf._value
        values.append(value)
        flags = getattr(value, "flags", None)
        key.append(0 if flags is None or flags.c_contiguous else 1 if flags.f_contiguous else 2)
    found = _programs.get(fingerprint := tuple(key))
    if found is None:
        found = _compile(wiring, key[len(key) - len(values) - len(wiring.outs) : len(key) - len(values)], key[len(key) - len(values) :])
        if len(_programs) >= PROGRAMS:
            del _programs[next(iter(_programs))]
        _programs[fingerprint] = found
    program, deliver = found
    _deliver(wiring, deliver, program(values))


def _compile(wiring: Wiring, facts: list[int], layouts: list[int]) -> tuple[Any, list[tuple[int, bool]]]:
    """The program, and for each of its results: of which Out, and whether a gradient or a later record reads it."""
    keep = _kept(wiring, facts)
    deliver = [(n, n in keep) for n, fact in enumerate(facts) if n in keep or fact & WANTED]
    graph = Graph()
    _, values = wiring.build(graph)
    graph.outputs = [values[n] for n, _ in deliver]
    optimize(graph)
    backend = backends.get("numpy")
    planned = plan(graph, backend.target(), layouts={k: LAYOUTS[layout] for k, layout in enumerate(layouts)})
    return backend.emit(planned), deliver


def _kept(wiring: Wiring, facts: list[int]) -> set[int]:
    """The numbers of the results that must outlive the run: read by a later record, or by a gradient."""
    keep = {n for n, fact in enumerate(facts) if fact & LATER}
    first = 0
    for record, operands in wiring.operand_numbers():
        count = len(record.outs)
        if not all(fact & CUT for fact in facts[first : first + count]):
            reads, gives = needs(record.entry)
            keep.update(n for n, read in zip(operands, reads) if read and n >= 0)
            keep.update(first + k for k, read in enumerate(gives) if read)
        first += count
    return keep


def _deliver(wiring: Wiring, deliver: list[tuple[int, bool]], results: list[Any]) -> None:
    outs = wiring.outs
    for (n, keep), value in zip(deliver, results):
        out = outs[n]
        array = value if type(value) is np.ndarray else np.asarray(value)
        if keep:
            out.value = array
        held = out.holder()
        if held is not None and held._value is PENDING:
            held._value = array
    for record in wiring.records:
        for out in record.outs:
            out.done = True
        settle(record)


def settle(record: Record) -> None:
    """Lets go of what a record no longer needs: where no gradient passes, its results are plain data and its inputs are free."""
    cut = True
    for out in record.outs:
        if out.cut and out.done:
            held = out.holder()
            if held is not None and held._out is out:
                held._out = None
        else:
            cut = False
    if cut:
        record.inputs = ()
