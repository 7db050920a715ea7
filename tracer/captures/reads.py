"""Which captured arrays Python reads numbers out of: the bytecode of the functions within reach in, the paths of those arrays out.

Nobody sees how NumPy answers `table.sum() > 0` or `float(table[0])` from an array that also stands in the graph, but the code says that it
is asked: names are followed along the stack, through local variables and into the functions that are called by name, to branches, texts
and indices. What asks for shapes and dtypes alone reads no numbers. It is no proof: a value that goes through an attribute, a container or
`eval` is lost from sight.
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
_UNCALLED = frozenset(["__init__", "__post_init__", "__repr__", "__eq__", "__hash__"])  # of a held thing: when it is made, shown, compared
_PART = re.compile(r"\[[^\]]*\]\Z")


def read_values(paths: Sequence[str], fn: Callable[..., Any], found: Sequence[Found]) -> set[str]:
    """Those of the paths whose numbers decide something: a branch (`if table.any()`), a text, an index, `float(table[0])` and its kin."""
    wanted = {path: _sought(path) for path in paths if words(path)}
    last = {name.rstrip("=") for name, _ in wanted.values()}
    whole: set[str] = set()  # names that are read, in whichever part
    known = [code for code in codes(fn, found) if code.co_name not in _UNCALLED] if paths else []
    for code in known:
        if not _READS.isdisjoint(code.co_names):
            whole.update(*[names for _, names, _ in lines(code) if not _READS.isdisjoint(names)])
    flows = _decisions(known, last)
    return {path for path, (name, part) in wanted.items() if name.rstrip("=") in whole or any({name, *part} <= names for names in flows)}


def _decisions(known: Sequence[types.CodeType], last: set[str]) -> set[frozenset[str]]:
    """The names behind what decides, in the functions that name an array and in those that are given one, or something made of one."""
    flows: set[frozenset[str]] = set()
    passed: set[_Passed] = set()
    decided: set[tuple[str, str]] = set()  # (function, parameter)
    by_name: dict[str, list[types.CodeType]] = {}
    for code in known:
        by_name.setdefault(code.co_name, []).append(code)
    looked_at = [code for code in known if not last.isdisjoint((*code.co_names, *code.co_freevars, *code.co_varnames))]
    queued = {id(code) for code in looked_at}
    for code in looked_at:  # which grows meanwhile
        for one in _read(code):
            if isinstance(one, _Passed):
                passed.add(one)
                more = [c for name in sorted(one.callee) for c in by_name.get(name, ()) if id(c) not in queued]
                looked_at += more
                queued.update(map(id, more))
            else:
                flows.add(one)
                decided.update([(code.co_name, name[:-1]) for name in one if name.endswith("=")])
    parameters = {code.co_name: code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] for code in looked_at}
    while fresh := [one for one in passed if one.reaches(parameters, decided)]:
        passed.difference_update(fresh)
        flows.update([one.names for one in fresh])
        decided.update([(one.caller, name[:-1]) for one in fresh for name in one.names if name.endswith("=")])
    return flows


class _Passed(NamedTuple):
    """An argument of a call: the names of what is called, its place or keyword, and the names that the argument is made of."""

    caller: str
    callee: frozenset[str]
    place: int | str
    names: frozenset[str]

    def reaches(self, parameters: dict[str, tuple[str, ...]], decided: set[tuple[str, str]]) -> bool:
        """Whether a parameter that it may become decides something."""
        for name in self.callee & parameters.keys():
            held, place = parameters[name], self.place
            if isinstance(place, int):
                place += held[:1] == ("self",)
                place = held[place] if place < len(held) else ""
            if (name, place) in decided:
                return True
        return False


def _sought(path: str) -> tuple[str, list[str]]:
    """The name by which code gets hold of what is reached by a path (a keyword as `k=`), and its place in a container, `[0]`."""
    return words(path)[-1] + ("=" if path.endswith("=") else ""), _PART.findall(path)


class _Item(NamedTuple):
    """A value on the stack: the names that it is made of, constant subscripts as `['a']`, parameters as `k=`; whether it was computed."""

    names: frozenset[str] = frozenset()
    computed: bool = False


def _read(code: types.CodeType) -> Iterator[frozenset[str] | _Passed]:
    """The names behind each value that decides something, and what is passed on to other functions. Instructions are looked at once, in
    the order in which they stand.
    """
    stack: list[_Item] = []
    local: dict[str, frozenset[str]] = {}
    constant: Any = None  # what the instruction before has pushed, where that is a constant
    keywords: tuple[str, ...] = ()  # of the call that comes next
    for one in dis.get_instructions(code):
        name, effect = one.opname, dis.stack_effect(one.opcode, one.arg, jump=False)
        top = stack[-1] if stack else _Item()
        is_branch = "JUMP" in name and "_IF_" in name and not name.endswith("NONE")
        is_subscript = name == "BINARY_SUBSCR" or (name == "BINARY_OP" and one.argrepr == "[]")
        if is_branch or (is_subscript and top.computed):
            yield top.names
        elif name.startswith("FORMAT_"):  # a value, and perhaps how it is to look
            yield frozenset[str]().union(*[item.names for item in stack[effect - 1 :]])
        if name == "KW_NAMES":
            keywords = code.co_consts[one.arg or 0]
        elif name == "PRECALL" or (name == "CALL" and effect < -1):
            count = one.arg or 0
            callee = frozenset[str]().union(*[item.names for item in stack[-count - 2 : len(stack) - count]])
            for k, item in enumerate(stack[len(stack) - count :]):
                at = k - count + len(keywords)
                if item.names:
                    yield _Passed(code.co_name, callee, keywords[at] if at >= 0 else k, item.names)
            keywords = ()
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
