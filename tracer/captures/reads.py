"""Which captured arrays Python reads numbers out of: the bytecode of the functions within reach in, the paths of those arrays out.

Nobody sees how NumPy answers `table.sum() > 0` or `float(table[0])` from an array that also stands in the graph, but the code says that it
is asked: names are followed along the stack, and through local variables, to branches, texts and indices. What asks for shapes and
dtypes alone reads no numbers. It is no proof: a value that goes through an attribute, a container or `eval` is lost from sight.
"""
from __future__ import annotations

import dis
import re
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from tracer.captures.changes import codes, lines, words
from tracer.captures.paths import Found

_READS = frozenset(["float", "int", "bool", "complex", "str", "repr", "format", "item", "tolist", "tobytes"])
_NO_NUMBERS = frozenset(
    ["shape", "ndim", "dtype", "size", "nbytes", "itemsize", "strides", "flags", "len", "type", "isinstance", "issubclass", "id", "hasattr"]
)
_NAMED = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_CLOSURE", "LOAD_FROM_DICT_OR_DEREF")
_TAKE = ("STORE_", "POP_", "DELETE_", "RETURN_", "RAISE_", "JUMP_IF_", "YIELD_")  # what they take from the stack goes nowhere on it
_PART = re.compile(r"\[[^\]]*\]\Z")


def read_values(paths: Sequence[str], fn: Callable[..., Any], found: Sequence[Found]) -> set[str]:
    """Those of the paths whose numbers decide something: a branch (`if table.any()`), a text, an index, `float(table[0])` and its kin."""
    wanted = {path: _sought(path) for path in paths if words(path)}
    last = {name.rstrip("=") for name, _ in wanted.values()}
    whole: set[str] = set()  # words that are read, in whichever part
    flows: set[frozenset[str]] = set()
    for code in codes(fn, found) if paths else ():
        if code.co_name == "__init__":  # which runs when a thing is made
            continue
        if not _READS.isdisjoint(code.co_names):
            whole.update(*[names for _, names, _ in lines(code) if not _READS.isdisjoint(names)])
        if not last.isdisjoint((*code.co_names, *code.co_freevars, *code.co_varnames)):
            flows.update([names for names in _read(code) if names])
    return {path for path, (name, part) in wanted.items() if name.rstrip("=") in whole or any({name, *part} <= names for names in flows)}


def _sought(path: str) -> tuple[str, list[str]]:
    """The name by which code gets hold of what is reached by a path (a keyword as `k=`), and its place in a container, `[0]`."""
    return words(path)[-1] + ("=" if path.endswith("=") else ""), _PART.findall(path)


class _Item(NamedTuple):
    """A value on the stack: the names that it is made of, constant subscripts as `['a']`, parameters as `k=`; whether it was computed."""

    names: frozenset[str] = frozenset()
    computed: bool = False


def _read(code: types.CodeType) -> Iterator[frozenset[str]]:
    """The names behind each value that decides something. Instructions are looked at once, in the order in which they stand."""
    stack: list[_Item] = []
    local: dict[str, frozenset[str]] = {}
    constant: Any = None  # what the instruction before has pushed, where that is a constant
    for one in dis.get_instructions(code):
        name, effect = one.opname, dis.stack_effect(one.opcode, one.arg, jump=False)
        top = stack[-1] if stack else _Item()
        is_branch = "JUMP" in name and "_IF_" in name and not name.endswith("NONE")
        is_subscript = name == "BINARY_SUBSCR" or (name == "BINARY_OP" and one.argrepr == "[]")
        if is_branch or (is_subscript and top.computed):
            yield top.names
        elif name.startswith("FORMAT_"):  # a value, and perhaps how it is to look
            yield frozenset[str]().union(*[item.names for item in stack[effect - 1 :]])
        if name.startswith("STORE_FAST") and isinstance(one.argval, str):
            local[one.argval] = local.get(one.argval, frozenset()) | top.names
        if name in ("COPY", "SWAP") and one.arg is not None and one.arg <= len(stack):
            if name == "COPY":
                stack.append(stack[-one.arg])
            else:
                stack[-1], stack[-one.arg] = stack[-one.arg], stack[-1]
        elif name == "LOAD_CONST" or name == "PUSH_NULL":
            stack.append(_Item())
        elif name in _NAMED or name.startswith("LOAD_FAST"):
            names = one.argval if isinstance(one.argval, tuple) else (one.argval,)
            pushed = [_Item(frozenset([n]) if name in _NAMED else local.get(n, frozenset([f"{n}="]))) for n in names]
            stack += [_Item()] * (effect - len(pushed)) + pushed
        elif name in ("LOAD_ATTR", "LOAD_METHOD"):
            _take(stack, 1)
            asked = frozenset([one.argval]) if one.argval in _NO_NUMBERS else top.names | {one.argval}
            stack += [_Item(asked, top.computed)] * (1 + effect)
        elif name.startswith(_TAKE) or is_branch:
            _take(stack, -effect)
        elif effect >= 0 and name != "IS_OP":
            stack += [top] * effect  # of an iterator what it gives, of a sequence its parts
        else:
            made = frozenset[str]().union(*[item.names for item in _take(stack, 1 - effect)])
            if is_subscript and isinstance(constant, (int, str)):
                made |= {f"[{constant!r}]"}
            none = name == "IS_OP" or ("CALL" in name and not _NO_NUMBERS.isdisjoint(made))
            stack.append(_Item() if none else _Item(made, True))
        constant = one.argval if name == "LOAD_CONST" else None


def _take(stack: list[_Item], count: int) -> list[_Item]:
    """Takes so many values off, fewer where the order of the instructions is not that of the run."""
    taken = stack[len(stack) - count :] if count and count <= len(stack) else stack[:] if count else []
    del stack[len(stack) - len(taken) :]
    return taken
