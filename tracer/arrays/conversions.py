"""What a traced array was to become a plain one for: the user's instruction in, what it is called and the mend out.

NumPy asks for an array in many places and never says why; the instruction that runs in the user's code does.
"""
from __future__ import annotations

import dis
import linecache
import re
from itertools import islice
from types import CodeType

from ir.errors import TraceError
from ir.source import user_spot
from ir.spec import Spec
from tracer.operands.refusal import needs_value

_BUFFER = "make the buffer with np.zeros_like(x), or np.zeros(shape, like=x), or pass an array from outside as an argument"
_ANY = (
    "turning it into a plain array",
    "x is an array already: drop the call; x.copy() for a copy, x.astype for a dtype; np.stack([a, b]) for an array of several; " + _BUFFER,
)
_FLOAT = "float()", "keep the 0-d array, return it to read its value; np.exp(x) in place of math.exp(x)"
_WRITE = "writing it into a plain array, plain[i] = x,", _BUFFER
_FILL = "filling a plain array with it", _BUFFER
_LOOK_UP = "looking it up in a plain array, plain[x] or np.take(plain, x),", "np.asarray(plain, like=x)[x]; or make plain an argument"
_JOIN = "np.r_ or np.c_", "np.concatenate([a, b]); np.stack([a, b], axis=1) for columns"
_STACK = "np.array of a list", "np.stack([a, b]) for arrays of one shape, np.concatenate for rows"
_AGAIN = "np.array", "x is an array already: drop the call; x.copy() for a copy, x.astype for a dtype"
_CALLS: tuple[tuple[str, tuple[str, str]], ...] = (  # the beginning of the call, and what it is
    (r"[\w.]*\b(array|asarray|asanyarray)\(\s*[\[(]", _STACK),
    (r"[\w.]*\b(array|asarray|asanyarray)\(", _AGAIN),
    (r"[\w.]*\b(float|int|uint|complex)(8|16|32|64|128)\(", ("a NumPy scalar of it", "x.astype(dtype)")),
    (r"[^(]*\btake\(", _LOOK_UP),  # NumPy looks at the array alone, not at the index
    (r"[\w.]*\bfull\(", ("np.full", "np.full_like(x, value), or value * np.ones(shape)")),
)


def to_array(spec: Spec) -> TraceError:
    """The refusal of `__array__`."""
    return _refusal(_ANY, spec, "x")


def to_float(spec: Spec) -> TraceError:
    """The refusal of `__float__`, which is also how NumPy writes a 0-d value into a plain array."""
    return _refusal(_FLOAT, spec, "value")


def _refusal(otherwise: tuple[str, str], spec: Spec, name: str) -> TraceError:
    spot = user_spot(2)
    what, mend = _use(*spot, otherwise) if spot is not None else otherwise
    return needs_value(what, mend, **{name: spec})


def _use(code: CodeType, at: int, otherwise: tuple[str, str]) -> tuple[str, str]:
    running = [i for i in dis.get_instructions(code) if i.offset <= at][-1]  # `at` may lie in the cache behind it
    if running.opname == "STORE_SUBSCR":
        return _WRITE
    text = _text(code, at)
    if otherwise is _FLOAT:
        return _FILL if re.match(r"[^(]*\.fill\(", text) else otherwise
    if running.opname == "BINARY_SUBSCR" or (running.opname == "BINARY_OP" and running.argrepr == "[]"):
        return _JOIN if re.match(r"[\w.]*\b[rc]_\[", text) else _LOOK_UP
    return next((use for start, use in _CALLS if re.match(start, text)), otherwise)


def _text(code: CodeType, at: int) -> str:
    """What the user wrote there."""
    first, last, start, end = next(islice(code.co_positions(), at // 2, None), (None, None, None, None))
    if first is None or last is None:
        return ""
    lines = [linecache.getline(code.co_filename, n).encode() for n in range(first, last + 1)]
    lines[-1] = lines[-1][:end]
    return b"".join([lines[0][start:], *lines[1:]]).decode()
