"""How a section's loops are spread over a grid of blocks of threads: a written cost model, a section in, a Mapping out.

A section without inner loops gives each of its outer iterations a thread. One with inner loops gives each row as many lanes (threads side
by side) as its columns can use: a row of 8 takes 8 lanes and a block 32 rows at a time, one of 10,000 takes a whole block. A lane holds
what later sweeps read again in registers, `items` numbers of each value, where those are few; otherwise it reads and computes it again.
Rows that are accumulated over belong to one block: its groups of lanes take them in turns, and join what they have at the end.
"""
from __future__ import annotations

import math
from collections.abc import Mapping as Mapping_
from collections.abc import Sequence
from dataclasses import dataclass

from ir.affine import Dim, apart, index
from ir.kernel import Load, Loop, Param, Reduce, Statement, Store, Valued, operands_of

BLOCK = 256  # threads: eight warps hide the latency of memory, and eight blocks fill a multiprocessor
WIDE = 1024  # of a block whose rows are long
LANES = 32  # of a warp
VECTOR_BYTES = 16  # that a thread moves at once
VECTORS_FROM = 1 << 16  # elements: of fewer, one a thread, so that more threads have something to do
REGISTERS = 48  # 4-byte numbers that a thread holds from sweep to sweep, or adds up: more would leave fewer threads than hide latency
EACH = 4  # columns that a lane has before more lanes are worth their part of a reduction


@dataclass(frozen=True)
class Mapping:
    """`lanes` threads a row of `columns`, `items` columns a lane, in blocks of `block`; `blocks` of them, `chunks` for each row where its
    columns are split between blocks. `keeps`: whether values are held from sweep to sweep. `vector`: elements that a thread of a section
    without inner loops has, which lie together.
    """

    block: int
    lanes: int
    items: int
    blocks: int
    chunks: int = 1
    keeps: bool = True
    vector: int = 1

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


def mapped(section: Loop, params: Mapping_[str, Param], block: int | None = None) -> Mapping:
    """The mapping of a section, in blocks of so many threads if they are given."""
    serial, sweeps = inner_loops(section)
    outer = count(section.dims)
    if serial is None and not sweeps:
        size, vector = block or BLOCK, vector_width(section, params)
        return Mapping(size, 1, 1, max(1, -(-outer // (size * vector))), vector=vector)
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


def vector_width(section: Loop, params: Mapping_[str, Param]) -> int:
    """How many elements a thread moves at once: as many as all that is written, and something that is read, lie together in."""
    n = count(section.dims)
    stores = [s for s in section.body if isinstance(s, Store)]
    loads = [s for s in section.body if isinstance(s, Load)]
    for width in (4, 2) if n >= VECTORS_FROM else ():
        read = any(lies_together(s, section, params, width) for s in loads)
        if n % width == 0 and read and all(lies_together(s, section, params, width) for s in stores):
            return width
    return 1


def lies_together(s: Load | Store, section: Loop, params: Mapping_[str, Param], width: int) -> bool:
    """Whether `width` iterations, one after the other, touch as many elements side by side, at an address that vectors may have."""
    whole = Dim("t", count(section.dims))
    at = s.at.put(dict(zip(section.dims, apart(index(whole), tuple([d.size for d in section.dims])))))
    param = params[s.param]
    nbytes = width * param.dtype.itemsize
    plain = param.low == 0 and at.terms == ((whole, 1),) and at.constant % width == 0 and not s.when
    return plain and nbytes <= VECTOR_BYTES and param.aligned % nbytes == 0


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
