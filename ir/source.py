"""Which line of the user's code is running: the innermost frame that belongs to neither this project nor NumPy.

Finding it happens once for each recorded operation, so the question 'whose file is this?' is answered from a dict.
"""
from __future__ import annotations

import linecache
import os
import sys
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from types import CodeType

import numpy as np

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LIBRARY = tuple(
    os.path.join(folder, "")
    for folder in (
        *(os.path.join(_ROOT, name) for name in ("ir", "backends", "tracer")),
        os.path.dirname(os.path.abspath(np.__file__)),
    )
)
_ours: dict[str, bool] = {}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of user code. `phase` is "forward", "backward" or "update": what the operation does for that line.

    `text` is set where the code is not to be read from the file (a parsed graph), `errstate` where it stands in a block of
    `np.errstate`: the (kind, mode) pairs that hold there.
    """

    file: str
    number: int
    function: str = ""
    phase: str = "forward"
    text: str | None = field(default=None, compare=False)
    errstate: tuple[tuple[str, str], ...] = ()

    @property
    def code(self) -> str:
        """The source of the line, '' where the file can't be read."""
        return linecache.getline(self.file, self.number).strip() if self.text is None else self.text

    def place(self) -> str:
        """`model.py:12 in predict`, with ` (backward)` behind it where the phase is not forward."""
        inside = f" in {self.function}" if self.function else ""
        return f"{os.path.basename(self.file)}:{self.number}{inside}" + ("" if self.phase == "forward" else f" ({self.phase})")

    def during(self, phase: str) -> Line:
        """The same line in another phase."""
        return self if self.phase == phase else _in_phase(self, self.text, phase)


@lru_cache(1 << 14)
def _in_phase(line: Line, text: str | None, phase: str) -> Line:
    return replace(line, text=text, phase=phase)  # equal lines may show different texts


@lru_cache(1 << 14)
def _line(file: str, number: int, function: str, phase: str) -> Line:
    return Line(file, number, function, phase)


def is_library(file: str) -> bool:
    """True for files of this project's packages, NumPy and the interpreter's frozen modules."""
    known = _ours.get(file)
    if known is None:
        known = _ours[file] = file.startswith("<frozen") or os.path.abspath(file).startswith(_LIBRARY)
    return known


def user_line(phase: str = "forward") -> Line | None:
    """The innermost frame of the user's, or None when there is no such frame."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not (_ours.get(code.co_filename) or is_library(code.co_filename)):
            return _line(code.co_filename, frame.f_lineno, code.co_name, phase)
        frame = frame.f_back  # type: ignore[assignment]
    return None


Spot = tuple[CodeType, int]


def user_spot(above: int = 1) -> Spot | None:
    """As `user_line`, for what is asked often and shown seldom: the code and the place in it, of which `line_at` makes a Line.

    `above`: how many frames up to look first; those between are known to be ours.
    """
    frame = sys._getframe(above)
    while frame is not None:
        code = frame.f_code
        ours = _ours.get(code.co_filename)
        if not (is_library(code.co_filename) if ours is None else ours):
            return code, frame.f_lasti
        frame = frame.f_back  # type: ignore[assignment]
    return None


def line_at(spot: Spot) -> Line:
    """The line of a spot."""
    code, at = spot
    number = next((start[0] for start in islice(code.co_positions(), at // 2, None)), None)
    return _line(code.co_filename, number or code.co_firstlineno, code.co_name, "forward")


def module_of(kind: type) -> str:
    """The module of a class; none where the class has a property of that name for its objects, as proxies and classes made in C do."""
    return kind.__module__ if isinstance(kind.__module__, str) else ""
