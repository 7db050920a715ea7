"""The text of a traced array: a description for people, which stands where its numbers would stand.

In: what describes a stand-in. Out: the same, where the text is only shown: printed, logged, or said by an error; anywhere else a
TraceError, since code that counts, compares or reads the letters would go another way than with the numbers. Which it is, the user's
statement tells; debuggers may always look.
"""
from __future__ import annotations

import ast
import linecache
import sys
from functools import lru_cache
from itertools import islice
from types import CodeType, FrameType

from ir.source import is_library
from ir.spec import Spec
from tracer.operands.refusal import needs_value
from tracer.operands.stack import current

_LOOKERS = frozenset(["logging", "warnings", "traceback", "pdb", "bdb", "unittest", "_pytest", "IPython", "pydevd"])
_DESCRIBERS = frozenset(["__repr__", "__str__", "__format__"])  # of the user's objects: whoever asks for their text decides
_PRINTS = frozenset(["print", "pprint", "warn"])
_LOGS = frozenset(["debug", "info", "warning", "error", "exception", "critical", "log", "write", "warn", "print", "pprint"])
Span = tuple[int, int, int, int]  # first and last line, first and last column


def described(text: str, spec: Spec) -> str:
    """`text`, which describes something of that spec. TraceError where a trace runs and the text is not just shown."""
    if current() is None or _only_shown(sys._getframe(1)):
        return text
    raise needs_value(
        "a text (str, repr, an f-string)", "return x and make the text of the result; print(x), logging and error messages may describe x",
        x=spec,
    )


def _only_shown(frame: FrameType | None) -> bool:
    while frame is not None:
        code = frame.f_code
        if frame.f_globals.get("__name__", "").partition(".")[0] in _LOOKERS:
            return True
        if not is_library(code.co_filename) and code.co_name not in _DESCRIBERS:
            span = next(islice(code.co_positions(), frame.f_lasti // 2, None), (None, None, None, None))
            return _is_shown_by(code, frame.f_lineno, span)
        frame = frame.f_back
    return True


def _is_shown_by(code: CodeType, line: int, span: tuple[int | None, int | None, int | None, int | None]) -> bool:
    first, last, start, end = span
    if first is None or last is None or start is None or end is None:
        first, last, start, end = line, line, 0, 0
    text = "".join(linecache.getlines(code.co_filename))
    try:
        shown = _shown_in(text)
    except SyntaxError:
        shown = ()
    if not text:  # typed in, or made by exec: the names in the code must do
        return not _LOGS.isdisjoint(code.co_names)
    return any((a, c) <= (first, start) and (last, end) <= (b, d) for a, b, c, d in shown)


@lru_cache(64)
def _shown_in(text: str) -> tuple[Span, ...]:
    """Where in a file of Python texts are only shown: arguments of print, logging calls that stand alone, `raise`, messages of `assert`."""
    found: list[ast.AST] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Raise):
            found.append(node)
        elif isinstance(node, ast.Assert) and node.msg is not None:
            found.append(node.msg)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _PRINTS:
            found.append(node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
            found += [node] if node.value.func.attr in _LOGS else []
    return tuple([(n.lineno, n.end_lineno, n.col_offset, n.end_col_offset) for n in found])  # type: ignore[attr-defined]
