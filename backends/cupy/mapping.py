"""How a section's loops are spread over a grid of blocks of threads: a written cost model, a section in, a Mapping out.

A section without inner loops gives each of its outer iterations a thread. One with inner loops gives each row as many lanes (threads side
by side) as its columns can use: a row of 8 takes 8 lanes and a block 32 rows at a time, one of 10,000 takes a whole block. A lane holds
what later sweeps read again in registers, `items` numbers of each value, where those are few; otherwise it reads and computes it again.
Rows that are accumulated over belong to one block: its groups of lanes take them in turns, and join what they have at the end.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ir.affine import Dim
from ir.kernel import Loop, Reduce, Statement, Store, Valued, operands_of

BLOCK = 256  # threads: eight warps hide the latency of memory, and eight blocks fill a multiprocessor
WIDE = 1024  # of a block whose rows are long
LANES = 32  # of a warp
REGISTERS = 48  # 4-byte numbers that a thread holds from sweep to sweep, or adds up: more would leave fewer threads than hide latency
EACH = 4  # columns that a lane has before more lanes are worth their part of a reduction


@dataclass(frozen=True)
class Mapping:
    """`lanes` threads a row of `columns`, `items` columns a lane, in blocks of `block`; `blocks` of them, `chunks` for each row where its
    columns are split between blocks. `keeps`: whether values are held from sweep to sweep.
    """

    block: int
    lanes: int
    items: int
    blocks: int
    chunks: int = 1
    keeps: bool = True

    @property
    def groups(self) -> int:
        """Rows that a block has at a time."""
        return self.block // self.lanes


def count(dims: Sequence[Dim]) -> int:
    return math.prod([dim.size for dim in dims])


def inner_loops(section: Loop) -> tuple[Loop | None, list[Loop]]:
    """The serial loop, if there is one, and the sweeps."""
    serial = next((s for s in section.body if isinstance(s, Loop) and s.kind == "serial"), None)
    body = section.body if serial is None else serial.body
    return serial, [s for s in body if isinstance(s, Loop) and s.kind != "serial"]


def mapped(section: Loop, block: int | None = None) -> Mapping:
    """The mapping of a section, in blocks of so many threads if they are given."""
    serial, sweeps = inner_loops(section)
    outer = count(section.dims)
    if serial is None and not sweeps:
        size = block or BLOCK
        return Mapping(size, 1, 1, max(1, -(-outer // size)))
    columns = max([count(loop.dims) for loop in sweeps], default=1)
    held = _held(sweeps)
    added = _added(serial, sweeps)
    size = block or (WIDE if columns * (held + added) > BLOCK * REGISTERS or columns > BLOCK * LANES else BLOCK)
    lanes = 1
    while lanes < size and columns > lanes * (1 if lanes < LANES else EACH):
        lanes *= 2
    while lanes < size and -(-columns // lanes) * (held + added) > REGISTERS:
        lanes *= 2
    if serial is not None and lanes < size and count(serial.dims) * lanes <= size // 2:  # few rows: no group stays idle
        lanes = min(size, max(lanes, _power(columns)))
    items = max(1, -(-columns // lanes))
    keeps = items * (held + added) <= REGISTERS
    if serial is None:
        return Mapping(size, lanes, items, max(1, -(-outer // (size // lanes))), keeps=keeps)
    chunks = 1
    if items * added > REGISTERS and splits(serial, sweeps):
        items = max(1, REGISTERS // (2 * max(1, added)))
        chunks = -(-columns // (lanes * items))
    return Mapping(size, lanes, items, max(1, outer) * chunks, chunks, keeps)


def _power(n: int) -> int:
    return 1 << max(0, n - 1).bit_length()


def splits(serial: Loop, sweeps: Sequence[Loop]) -> bool:
    """Whether the columns have nothing to do with each other: one sweep, and what is added up is added up for each column."""
    if len(sweeps) != 1 or any(isinstance(s, Reduce | Store) for s in serial.body):
        return False
    return not any(isinstance(s, Reduce) and set(s.over) & set(sweeps[0].dims) for s in sweeps[0].body)


def kept(sweeps: Sequence[Loop]) -> list[Valued]:
    """The values of a sweep that a later one over the same dims reads."""
    found = []
    for k, loop in enumerate(sweeps):
        later = {v for other in sweeps[k + 1 :] if other.dims == loop.dims for s in other.body for v in operands_of(s)}
        found += [s for s in loop.body if not isinstance(s, Store | Loop | Reduce) and getattr(s, "name", "") in later]
    return found  # type: ignore[return-value]


def _held(sweeps: Sequence[Loop]) -> int:
    """How many 4-byte numbers a column holds from sweep to sweep."""
    return sum([_words(s) for s in kept(sweeps)])


def _added(serial: Loop | None, sweeps: Sequence[Loop]) -> int:
    """How many are added up in each column from row to row."""
    rows = set(serial.dims) if serial is not None else set()
    return sum([_words(s) for loop in sweeps for s in loop.body if isinstance(s, Reduce) and set(s.over) <= rows])


def _words(statement: Statement) -> int:
    return max(1, statement.dtype.itemsize // 4) if isinstance(statement, Valued) else 0
