"""Floating-point errors of what must not stop halfway: noted while it runs, told as the caller's `np.errstate` asks when it is over."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

_KEYS = {"divide by zero": "divide", "overflow": "over", "underflow": "under", "invalid value": "invalid"}


@contextmanager
def errors_at_end(where: str) -> Iterator[None]:
    """Inside, nothing raises or warns of a floating-point error; afterwards each kind that came is told once, as an error of `where`.

    >>> with np.errstate(divide="raise"):
    ...     try:
    ...         with errors_at_end("a test"):
    ...             a = np.ones(2) / np.zeros(2)
    ...     except FloatingPointError as error:
    ...         print(error, a)
    divide by zero encountered in a test [inf inf]
    """
    modes, handler = np.geterr(), np.geterrcall()
    came: list[tuple[str, int]] = []
    noted: dict[str, Any] = {key: "ignore" if mode == "ignore" else "call" for key, mode in modes.items()}
    with np.errstate(**noted, call=lambda kind, flag: came.append((kind, flag))):
        yield
    for kind, flag in dict(came).items():
        _tell(modes[_KEYS[kind]], f"{kind} encountered in {where}", kind, flag, handler)  # type: ignore[literal-required]


def _tell(mode: str, text: str, kind: str, flag: int, handler: Any) -> None:
    if mode == "raise":
        raise FloatingPointError(text)
    if mode == "warn":
        warnings.warn(text, RuntimeWarning, stacklevel=4)
    elif mode == "print":
        print(f"Warning: {text}", file=sys.stderr)
    elif mode == "call" and callable(handler):
        handler(kind, flag)
    elif handler is not None:
        handler.write(f"Warning: {text}\n")
