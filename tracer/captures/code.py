"""What a function's code does with the names from outside, read off its bytecode: code in, a `Uses` out.

Functions that are only ever called by a name may be exchanged for twins without anyone noticing; a cell that is stored into, or a
function that looks at its globals by other ways than by name, may not. Whatever is not clear counts as such a use.
"""
from __future__ import annotations

import dis
import re
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass

_CACHE, _EXTENDED = dis.opmap["CACHE"], dis.EXTENDED_ARG
_PUSH_NULL, _GLOBAL, _DEREF = dis.opmap["PUSH_NULL"], dis.opmap["LOAD_GLOBAL"], dis.opmap["LOAD_DEREF"]
_IS, _CONST, _IMPORT = dis.opmap["IS_OP"], dis.opmap["LOAD_CONST"], dis.opmap["IMPORT_NAME"]
_ATTRIBUTE, _FAST = dis.opmap["LOAD_ATTR"], dis.opmap["LOAD_FAST"]
_METHOD_BIT = sys.version_info >= (3, 12)  # the lowest bit of LOAD_ATTR says that a method is called
_STORES_GLOBAL = {dis.opmap["STORE_GLOBAL"], dis.opmap["DELETE_GLOBAL"]}
_STORES_CELL = {dis.opmap["STORE_DEREF"], dis.opmap["DELETE_DEREF"]}
_CALLEE_FIRST = sys.version_info >= (3, 13)  # before, the NULL of a call stands in front of the function
_OPTIMIZED = 1  # CO_OPTIMIZED: not the body of a class
_LOOKS = frozenset(  # names by which code sees its own function, cells and globals
    ["globals", "vars", "dir", "eval", "exec", "_getframe", "currentframe", "stack", "__globals__", "__closure__", "__code__"]
)
_EVALUATES = frozenset(["eval", "exec"])


@dataclass(frozen=True)
class Uses:
    """`names`: all names, of globals, attributes and in strings, of nested functions too. `globals_`: those of globals. `called`:
    globals and cells that are called and nothing else. `stored`: cells that are stored into. `by_name`: the globals are read by name
    alone and never stored into. `asks_is`: it asks whether two things are one, and not just whether one is None, True or False, or what
    a name of its own stands for: `compared` has these, the global or cell and then attributes, as in `mode is Mode.A`.
    `imports`: the modules that it imports.
    `asks_type`: it calls `type(x)`, and does nothing else with `type`.
    """

    names: tuple[str, ...]
    globals_: tuple[str, ...]
    called: frozenset[str]
    stored: frozenset[str]
    by_name: bool
    asks_is: bool
    compared: frozenset[tuple[str, ...]]
    imports: frozenset[str]
    asks_type: bool


def uses(code: types.CodeType) -> Uses:
    """The uses of one function and of the functions made inside it."""
    names: list[str] = []
    globals_: list[str] = []
    called: set[str] = set()
    otherwise: set[str] = set()
    stored: set[str] = set()
    imports: set[str] = set()
    compared: set[tuple[str, ...]] = set()
    by_name, asks_is, outermost, stack = True, False, code, [code]
    while stack:
        one = stack.pop()
        evaluates = not _EVALUATES.isdisjoint(one.co_names)
        names += [*one.co_names, *[word for c in one.co_consts if type(c) is str for word in _words(c, evaluates)]]
        stack += [c for c in one.co_consts if isinstance(c, types.CodeType)]
        by_name = by_name and (one is outermost or bool(one.co_flags & _OPTIMIZED))
        own = [*one.co_varnames, *[c for c in one.co_cellvars if c not in one.co_varnames], *one.co_freevars]
        done: list[tuple[int, int]] = []
        for op, arg, beside in _steps(one):
            if op == _IS and (not done or done[-1][0] != _CONST):
                name = _named_before(one, own, done) if one is outermost else None
                asks_is = asks_is or name is None
                compared.update([name] if name is not None else [])
            done.append((op, arg))
            if op == _GLOBAL:
                globals_.append(one.co_names[arg >> 1])
                (called if arg & 1 else otherwise).add(globals_[-1])
            elif op == _DEREF:
                (called if beside == _PUSH_NULL else otherwise).add(own[arg])
            elif op == _IMPORT:
                imports.add(one.co_names[arg])
            elif op in _STORES_CELL:
                stored.add(own[arg])
            elif op in _STORES_GLOBAL:
                globals_.append(one.co_names[arg])
                by_name = False
    by_name = by_name and _LOOKS.isdisjoint(names) and "type" not in otherwise
    asks_is, asks_type = asks_is or "id" in globals_, by_name and "type" in called
    every = tuple(dict.fromkeys(names))
    outside = tuple(dict.fromkeys(globals_)) if by_name else every
    once = frozenset(called - otherwise)
    return Uses(every, outside, once, frozenset(stored), by_name, asks_is, frozenset(compared), frozenset(imports), asks_type)


def _named_before(code: types.CodeType, own: list[str], done: list[tuple[int, int]]) -> tuple[str, ...] | None:
    """The global or cell, and its attributes, that the last steps put on the stack, a local variable behind it or not; None for others."""
    at = len(done) - (2 if done and done[-1][0] == _FAST else 1)
    attributes: list[str] = []
    while at >= 0:
        op, arg = done[at]
        if op == _ATTRIBUTE and not (_METHOD_BIT and arg & 1):
            attributes.insert(0, code.co_names[arg >> 1 if _METHOD_BIT else arg])
        elif op == _GLOBAL and not arg & 1:
            return (code.co_names[arg >> 1], *attributes)
        else:
            return (own[arg], *attributes) if op == _DEREF and own[arg] in code.co_freevars else None
        at -= 1
    return None


def _words(text: str, evaluated: bool) -> list[str]:
    """The names that a text may be: it, or those in it where it may be code."""
    return re.findall(r"[^\W\d]\w*", text) if evaluated else [text] if text.isidentifier() else []


def _steps(code: types.CodeType) -> Iterator[tuple[int, int, int]]:
    """(operation, argument, the operation beside it that would be the NULL of its call), inline caches left out."""
    raw = code.co_code
    before, high = 0, 0
    for k in range(0, len(raw), 2):
        op = raw[k]
        if op == _CACHE:
            continue
        arg = high << 8 | raw[k + 1]
        if op == _EXTENDED:
            high = arg
            continue
        after = raw[k + 2] if k + 2 < len(raw) else 0
        yield op, arg, after if _CALLEE_FIRST else before
        before, high = op, 0
