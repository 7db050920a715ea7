"""Ctrl-C, and other signals whose handlers may raise, held back over writes that belong together.

Python delivers signals between two steps of the main thread, so that thread alone has to wait.
"""
from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_HELD = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGALRM") if hasattr(signal, name)]


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Inside, signals do nothing; if one came, its handler is called at the end.

    >>> import signal
    >>> done = []
    >>> try:
    ...     with without_interrupts():
    ...         signal.raise_signal(signal.SIGINT)
    ...         done.append("all")
    ... except KeyboardInterrupt:
    ...     done.append("stopped")
    >>> done
    ['all', 'stopped']
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _HELD}
    came: list[tuple[int, Any]] = []
    for number, handler in handlers.items():
        if callable(handler) and not isinstance(handler, signal.Handlers):  # else nothing of Python's is called
            signal.signal(number, lambda *what: came.append(what))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if callable(handler) and not isinstance(handler, signal.Handlers):
                signal.signal(number, handler)
        for number, frame in came:
            handlers[number](number, frame)  # type: ignore[operator,misc]
