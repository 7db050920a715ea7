"""Where a function uses or changes something that it closes over: the path of the thing in, the user's line out.

Read off the bytecode of the functions within reach: a line that names the thing, and stores into it or calls a method that changes.
"""
from __future__ import annotations

import dis
import inspect
import re
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ir.source import Line, is_library
from tracer.captures.paths import Found

_STORES = ("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_ATTR", "DELETE_ATTR", "STORE_DEREF", "STORE_GLOBAL", "STORE_SLICE", "DELETE_GLOBAL")
_METHODS = frozenset(
    [
        "append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse", "update", "setdefault", "popitem", "add",
        "discard", "appendleft", "popleft", "extendleft", "rotate", "fill", "put", "itemset", "resize", "partition", "write",
        "subtract", "difference_update", "intersection_update", "symmetric_difference_update", "at", "copyto",
    ]
)  # fmt: skip
_QUOTED = re.compile(r"(['\"]).*?\1")


def line_of_change(path: str, fn: Callable[..., Any], found: Sequence[Found]) -> Line | None:
    """The first line of `fn`, or of a function within its reach, that changes what is reached by `path`; None where none is seen to."""
    return _line_with(path, fn, found, changing=True)


def line_of_use(path: str, fn: Callable[..., Any], found: Sequence[Found]) -> Line | None:
    """As `line_of_change`, of any line that names what is reached by `path`."""
    return _line_with(path, fn, found, changing=False)


def _line_with(path: str, fn: Callable[..., Any], found: Sequence[Found], changing: bool) -> Line | None:
    parts = words(path)
    best: tuple[int, Line] | None = None
    for code in codes(fn, found):
        for number, names, changes in lines(code):
            count = sum([part in names for part in parts]) - (code.co_name == "__init__")  # which runs when a thing is made
            if (changes or not changing) and parts and parts[-1] in names and (best is None or count > best[0]):
                best = count, Line(code.co_filename, number, code.co_name)
    return best[1] if best is not None else None


def words(path: str) -> list[str]:
    """The names in a path."""
    return re.findall(r"[A-Za-z_]\w*", _QUOTED.sub("", path))


def codes(fn: Callable[..., Any], found: Sequence[Found]) -> Iterator[types.CodeType]:
    """The code of a function, of the user's functions within its reach, and of those made inside them. Of functions that are only called,
    what is found is the code alone.
    """
    things = [inspect.unwrap(fn), *[f.thing for f in found]]
    functions = [t.__func__ if isinstance(t, types.MethodType) else t for t in things]
    held = [f.__code__ if isinstance(f, types.FunctionType) else f for f in functions]
    own = [c for c in held if isinstance(c, types.CodeType) and not is_library(c.co_filename)]
    stack = list(reversed(dict.fromkeys(own)))
    while stack:
        code = stack.pop()
        yield code
        stack += [c for c in reversed(code.co_consts) if isinstance(c, types.CodeType)]


def lines(code: types.CodeType) -> Iterator[tuple[int, set[str], bool]]:
    """For each line its number, the names in it, and whether it changes something."""
    names: dict[int, set[str]] = {}
    changing = set()
    for instruction in dis.get_instructions(code):
        number = instruction.positions.lineno if instruction.positions else None
        if number is None:
            continue
        held = names.setdefault(number, set())
        if isinstance(instruction.argval, str):
            held.add(instruction.argval)
        called = instruction.opname in ("LOAD_METHOD", "LOAD_ATTR") and instruction.argval in _METHODS
        if instruction.opname in _STORES or called:
            changing.add(number)
    for number, held in names.items():
        yield number, held, number in changing
