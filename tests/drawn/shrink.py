"""The least program that still fails in the same way: outputs first, then statements, changes and calls, one by one."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import replace

from tests.drawn.program import Program


def shrink(program: Program, fails: Callable[[Program], bool]) -> Program:
    """Takes away what can go while `fails` stays true."""
    for _ in range(4):
        smaller = _statements(_parts(_returns(program, fails), fails), fails)
        if smaller == program:
            break
        program = smaller
    return program


def _returns(program: Program, fails: Callable[[Program], bool]) -> Program:
    names = list(dict.fromkeys(ast.unparse(n) for n in _leaves(ast.parse(program.returns, mode="eval").body)))
    for name in names:
        one = replace(program, returns=name)
        if fails(one):
            return one
    for name in names:
        rest = [n for n in names if n != name]
        one = replace(program, returns=f"({', '.join(rest)},)")
        if rest and fails(one):
            program, names = one, rest
    return program


def _leaves(tree: ast.expr) -> list[ast.expr]:
    if isinstance(tree, (ast.Tuple, ast.List)):
        return [leaf for part in tree.elts for leaf in _leaves(part)]
    if isinstance(tree, ast.Dict):
        return [leaf for part in tree.values for leaf in _leaves(part)]
    return [tree]


def _statements(program: Program, fails: Callable[[Program], bool]) -> Program:
    width = max(len(program.statements) // 2, 1)
    while width:
        k = len(program.statements) - width
        while k >= 0:
            kept = program.statements[:k] + program.statements[k + width :]
            one = replace(program, statements=kept)
            if fails(one):
                program = one
            k -= width
            k = min(k, len(program.statements) - width)
        width //= 2
    return program


def _parts(program: Program, fails: Callable[[Program], bool]) -> Program:
    for change in program.changes:
        one = replace(program, changes=tuple([c for c in program.changes if c != change]))
        if fails(one):
            program = one
    return program


def kind(line: str) -> str:
    """What a line of an outcome is about, without what differs from program to program."""
    found = re.search(r"(VALUE|KIND|DTYPE|SHAPE|CRASH \w+|WARNS|structure|NumPy raises|after later)", line)
    return found.group(1) if found else line[:20]
