"""Regions at run time: the same straight line of calls, block after block, in buffers of a worker's own.

The blocks are dealt to a fixed number of shares, each a run of blocks with a row of its own in what is joined: so the bits depend
neither on how many workers there are nor on who runs what.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from backends.numpy.errors_at_end import errors_at_end
from backends.numpy.workers import fork

Block = Callable[..., None]
Cut = tuple[int, int, int, int] | None


class Blocks:
    """`run(*arrays)` with a region's operands and results in its plan's order.

    `bodies`: for each worker the block's function and those of the first and the last block (None where they are like others), over that
    worker's buffers. `cuts`: the axis along which each array is cut, its indices for a row, and how many indices further on a block
    begins and ends; None for what each block gets whole; the last arrays, one for each of `starts`, have a row a share, which begins as
    that number.
    """

    def __init__(
        self, size: int, rows: int, first: int, last: int, shares: int, cuts: Sequence[Cut], starts: Sequence[Any],
        bodies: Sequence[tuple[Block, Block | None, Block | None]],
    ):  # fmt: skip
        self.spans = spans(size, rows, last, shares, first)
        self.size, self.starts = size, tuple(starts)
        self.cuts = tuple([None if cut is None else ((slice(None),) * cut[0], *cut[1:]) for cut in cuts])
        self.bodies = tuple(bodies)

    def run(self, *arrays: Any) -> None:
        """All shares, by as many workers as there are bodies."""
        left = list(range(len(self.spans) - 1, -1, -1))
        if len(self.bodies) == 1:
            self._work(self.bodies[0], left, arrays)
        else:
            fork([partial(self._work, bodies, left, arrays) for bodies in self.bodies])

    def run_through(self, *arrays: Any) -> None:
        """As `run`, for what must not stop halfway: floating-point errors are told when all blocks are done, each kind once."""
        with errors_at_end("the update of a state"):
            self.run(*arrays)

    def _work(self, bodies: tuple[Block, Block | None, Block | None], left: list[int], arrays: tuple[Any, ...]) -> None:
        """Takes shares until none is left (`pop` is atomic) and runs their blocks in the buffers of one worker."""
        body, first, last = bodies
        first, last = first or body, last or body
        whole = len(arrays) - len(self.starts)
        given = list(zip(arrays[:whole], self.cuts))
        while left:
            try:
                share = left.pop()
            except IndexError:
                return
            parts = [array[share, ...] for array in arrays[whole:]]
            for part, start in zip(parts, self.starts):
                part.fill(start)
            for low, high in self.spans[share]:
                block = [
                    a if cut is None else a[(*cut[0], slice(max(0, low * cut[1] + cut[2]), high * cut[1] + cut[3]))] for a, cut in given
                ]
                (last if high == self.size else body if low else first)(*block, *parts)


def spans(size: int, rows: int, last: int, shares: int, first: int = 0) -> list[list[tuple[int, int]]]:
    """(first, end) of each block, the blocks of one share together; all shares have as many, but for the first few.

    >>> spans(10, 3, 1, 2)
    [[(0, 3), (3, 6)], [(6, 9), (9, 10)]]
    >>> spans(7, 3, 4, 2)
    [[(0, 3)], [(3, 7)]]
    """
    bounds = [(0, first)] * (first > 0) + [(low, low + rows) for low in range(first, size - last, rows)]
    if last:
        bounds.append((size - last, size))
    each, more = divmod(len(bounds), shares)
    found, start = [], 0
    for share in range(shares):
        end = start + each + (share < more)
        found.append(bounds[start:end])
        start = end
    return found
