"""Regions at run time: the same straight line of calls, block after block, in buffers of a worker's own.

The blocks are dealt to a fixed number of shares, each a run of blocks with a row of its own in what is joined: so the bits depend
neither on how many workers there are nor on who runs what.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, TypeVar

from backends.numpy.errors_at_end import errors_at_end
from backends.numpy.workers import fork

Block = Callable[..., None]
Cut = tuple[int, int, int, int] | None
Task = TypeVar("Task")


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
        _deal(len(self.bodies), range(len(self.spans)), partial(self.share, arrays))

    def run_through(self, *arrays: Any) -> None:
        """As `run`, for what must not stop halfway: floating-point errors are told when all blocks are done, each kind once."""
        with errors_at_end("the update of a state"):
            self.run(*arrays)

    def share(self, arrays: tuple[Any, ...], share: int, worker: int) -> None:
        """The blocks of one share, in the buffers of one worker."""
        body, first, last = self.bodies[worker]
        first, last = first or body, last or body
        whole = len(arrays) - len(self.starts)
        given = list(zip(arrays[:whole], self.cuts))
        parts = [array[share, ...] for array in arrays[whole:]]
        for part, start in zip(parts, self.starts):
            part.fill(start)
        for low, high in self.spans[share]:
            block = [a if cut is None else a[(*cut[0], slice(max(0, low * cut[1] + cut[2]), high * cut[1] + cut[3]))] for a, cut in given]
            (last if high == self.size else body if low else first)(*block, *parts)


class Together:
    """Regions that do not depend on each other, by one fork: `run(*arrays)` with the arrays of all of them, one after the other."""

    def __init__(self, *members: Blocks):
        self.members = members
        ends = list(accumulate([len(member.cuts) for member in members]))
        self.given = [slice(end - len(member.cuts), end) for member, end in zip(members, ends)]
        self.shares = [(k, share) for k, member in enumerate(members) for share in range(len(member.spans))]

    def run(self, *arrays: Any) -> None:
        """All shares of all, those of the first member first."""
        given = [arrays[part] for part in self.given]

        def do(task: tuple[int, int], worker: int) -> None:
            self.members[task[0]].share(given[task[0]], task[1], worker)

        _deal(len(self.members[0].bodies), self.shares, do)

    def run_through(self, *arrays: Any) -> None:
        """As `run`; see there."""
        with errors_at_end("the update of a state"):
            self.run(*arrays)


def _deal(workers: int, tasks: Sequence[Task], do: Callable[[Task, int], None]) -> None:
    """Does all tasks, each by the first worker that is free, in their order."""
    if workers == 1:
        for task in tasks:
            do(task, 0)
        return
    left = list(reversed(tasks))

    def work(worker: int) -> None:
        while left:  # `pop` is atomic
            try:
                task = left.pop()
            except IndexError:
                return
            do(task, worker)

    fork([partial(work, worker) for worker in range(workers)])


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
