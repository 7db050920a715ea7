"""Iterators, files and queues within reach: what is taken from one while tracing, every replay would repeat, so it is an error.

An iterator can't be asked how far it is; what can be seen of one is compared before and after.
"""
from __future__ import annotations

import gc
import io
import itertools
import queue
import types
from collections.abc import Iterator
from typing import Any

from backends.numpy import workers
from tracer.captures.paths import Found
from tracer.captures.seen import is_open


def iterators_within(found: list[Found]) -> list[tuple[Found, Any]]:
    """The iterators, files and queues of Python's own kinds, and how far they are."""
    held = [f for f in found if isinstance(f.thing, (*_READ, Iterator)) and not is_open(type(f.thing))]
    return [(f, progress(f.thing)) for f in held]


def taken(iterator: Any, before: Any) -> bool:
    """Whether elements were taken since its progress was `before`. Of queues other threads may take, and anybody may put there."""
    now = progress(iterator)
    return now < before and workers.alone() if isinstance(iterator, _QUEUES) else bool(now != before)


_QUEUES = (queue.Queue, queue.SimpleQueue)
_READ = (io.IOBase, *_QUEUES)


def _place(file: Any) -> Any:
    """How far a file is read. What can be written moves when it is: of such ones only those in memory tell reading from writing."""
    try:
        if isinstance(file, (io.StringIO, io.BytesIO)):
            return file.tell() - len(file.getvalue())
        return file.tell() if file.readable() and not file.writable() else None
    except (OSError, ValueError):  # a pipe, a file that is iterated over, a closed one
        return None


def progress(iterator: Any) -> Any:
    """Another thing whenever an element was taken, as far as that can be seen: of one over others, how far these are.

    >>> numbers = map(abs, [1, 2, 3])
    >>> before = progress(numbers)
    >>> next(numbers), progress(numbers) == before
    (1, False)
    """
    if isinstance(iterator, _READ):
        return iterator.qsize() if isinstance(iterator, _QUEUES) else _place(iterator)
    found: list[Any] = []
    seen: set[int] = set()
    queue = [iterator]
    while queue:
        one = queue.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if type(one) is types.GeneratorType:
            frame = one.gi_frame
            found.append(None if frame is None else (frame.f_lasti, [(name, id(held)) for name, held in frame.f_locals.items()]))
        elif isinstance(one, itertools.count):
            found.append(repr(one))
        elif hasattr(one, "__length_hint__"):
            found.append(one.__length_hint__())
        else:
            queue += [held for held in gc.get_referents(one) if isinstance(held, (Iterator, tuple))]
    return found
