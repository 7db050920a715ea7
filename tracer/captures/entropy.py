"""Random generators made without a seed while tracing: NumPy asks the system for one, which is seen here.

NumPy's one way to ask is its `randbits`; while any trace runs a pass-through stands in its place that notes the line of a thread that
is tracing. What it gives is never changed.
"""
from __future__ import annotations

import linecache
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numpy.random import bit_generator

from ir.source import Line, is_library, user_line

_UNSEEDED = re.compile(r"RandomState\(\s*(seed\s*=\s*)?(None)?\s*\)")
_lock = threading.Lock()
_running = 0
_original: Any = None
_notes = threading.local()  # `lines`: where the thread's innermost trace made a generator without a seed


@contextmanager
def watched() -> Iterator[list[Line | None]]:
    """The lines on which this thread makes generators without a seed inside the block."""
    before, lines = getattr(_notes, "lines", None), list[Line | None]()
    _notes.lines = lines
    _install(1)
    try:
        yield lines
    finally:
        _install(-1)
        _notes.lines = before


def _install(step: int) -> None:
    global _running, _original
    with _lock:
        _running += step
        if step > 0 and _running == 1:
            _original = getattr(bit_generator, "randbits", None)
            if _original is not None:
                bit_generator.randbits = _asked  # type: ignore[attr-defined]
        elif _running == 0 and _original is not None:
            bit_generator.randbits = _original  # type: ignore[attr-defined]


def _asked(bits: int) -> int:
    lines = getattr(_notes, "lines", None)
    if lines is not None and not _seeds_itself(sys._getframe(1)):
        lines.append(user_line())
    return int(_original(bits))


def _seeds_itself(frame: Any) -> bool:
    """Whether this is `RandomState(seed)`, which asks the system too, but seeds itself afterwards."""
    while frame is not None and is_library(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return False
    spans = [span for k, span in enumerate(frame.f_code.co_positions()) if k == frame.f_lasti // 2]
    first, last, begin, end = spans[0] if spans else (None, None, None, None)
    if first is None or first != last:
        return False
    call = linecache.getline(frame.f_code.co_filename, first).encode()[begin:end].decode()
    return "RandomState(" in call and _UNSEEDED.search(call) is None
