"""Sections that do the same on other arrays, as one function: thirty tensors' updates are compiled once and called thirty times.

In: the texts of a kernel's sections. Out: functions, and the sections that call them in place of their own text. Two sections are alike
if they are equal but for the names of params and values, the number of elements, and the first of their blocks.
"""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backends.cupy.scalars import memory_type
from ir.kernel import LoopForm, Param

FEW = 3  # sections that may as well stand for themselves
_NAME = re.compile(r"\b(?:(?:in|out|const)\d+|v[a-z]*\d+\w*)\b")
_BLOCK = re.compile(r"\(blockIdx\.x - \d+\)|\bblockIdx\.x\b")


@dataclass(frozen=True)
class SectionText:
    """`body` of a section in the blocks from `first` to `stop`; `size`: of its elements, if a thread has one each, else 0."""

    first: int
    stop: int
    body: tuple[str, ...]
    size: int


def called(form: LoopForm, sections: Sequence[SectionText]) -> tuple[list[str], list[SectionText]]:
    """The functions, and the sections as they are then."""
    params = {p.name: p for p in form.params}
    forms: dict[tuple[str, ...], list[int]] = {}
    for k, section in enumerate(sections):
        if section.size:
            body, names = _anonymous(section)
            forms.setdefault((*[line.split("  //")[0] for line in body], *[declared(params[n], "") for n in names]), []).append(k)
    functions: list[str] = []
    made = list(sections)
    for members in forms.values():
        if len(members) < FEW:
            continue
        name = f"{form.name}_part{len(functions)}"
        functions.append(_function(name, sections[members[0]], params))
        for k in members:
            section = sections[k]
            where = f"blockIdx.x - {section.first}" if section.first else "blockIdx.x"
            call = f"{name}({', '.join([where, str(section.size), *_anonymous(section)[1]])});"
            made[k] = SectionText(section.first, section.stop, (call,), section.size)
    return functions, made


def declared(param: Param, name: str) -> str:
    """A param as a function's argument."""
    return f"{'' if param.writes else 'const '}{memory_type(param.dtype)}* __restrict__ {name}"


def _function(name: str, section: SectionText, params: Mapping[str, Param]) -> str:
    body, names = _anonymous(section)
    arguments = ", ".join(["int block", "int n", *[declared(params[p], f"p{k}") for k, p in enumerate(names)]])
    return "\n".join([f"__device__ __noinline__ void {name}({arguments}) {{", *["  " + line for line in body], "}"])


def _anonymous(section: SectionText) -> tuple[list[str], list[str]]:
    """The body with names by their order, and the params in that order."""
    known: dict[str, str] = {}
    params: list[str] = []

    def renamed(found: re.Match[str]) -> str:
        name = found[0]
        if name not in known:
            if name[0] == "v":
                known[name] = f"v{len(known) - len(params)}"
            else:
                known[name] = f"p{len(params)}"
                params.append(name)
        return known[name]

    lines = []
    for line in section.body:
        code, mark, comment = line.partition("  //")
        code = re.sub(rf"\bt < {section.size}\b", "t < n", _BLOCK.sub("block", _NAME.sub(renamed, code)))
        lines.append(code + mark + comment)
    return lines, params
