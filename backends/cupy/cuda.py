"""CUDA's text of a loop form: a kernel in, its text with grid and block out. Pure text; nothing here needs CuPy or a GPU.

Each section is a range of blocks. Its outer iterations are spread over them as `mapping.py` says; a sweep is a loop over what a thread has
of the columns, a reduction a tree in a fixed order (shuffles within a warp, shared memory between warps), an accumulator a register. No
thread returns before a barrier, all of a warp shuffle, and nothing is added atomically, so the bits depend on the text alone.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backends.cupy import scalars
from backends.cupy.mapping import LANES, count, inner_loops, mapped
from backends.cupy.parts import SectionText, called, declared
from backends.cupy.rows import row_functions
from backends.cupy.section import Section
from ir.kernel import LoopForm


@dataclass(frozen=True)
class KernelText:
    """One kernel: `source` without the functions that it calls (`module` has them); `params` are all pointers, in this order."""

    name: str
    source: str
    grid: int
    block: int
    params: tuple[str, ...]


def kernel_text(form: LoopForm) -> KernelText:
    """The CUDA text of a loop form. Raises NotLowered for what has no text."""
    params = {p.name: p for p in form.params}
    block = max([mapped(section, params).block for section in form.sections], default=LANES)
    maps = [mapped(section, params, block) for section in form.sections]
    head = f'extern "C" __global__ void __launch_bounds__({block}) {form.name}('
    lines = [head + ", ".join([declared(p, p.name) for p in form.params]) + ") {"]
    first = 0
    sections: list[SectionText] = []
    for section, mapping in zip(form.sections, maps):
        printer = Section(form, section, mapping, first)
        body = tuple(printer.text())
        plain = mapping.vector == 1 and not any(inner_loops(section))
        sections.append(SectionText(first, first + mapping.blocks, body, count(section.dims) if plain else 0))
        lines += [f"  {line}" for line in printer.shared if f"  {line}" not in lines]
        first += mapping.blocks
    functions, sections = called(form, sections)
    for k, text in enumerate(sections):
        if len(sections) == 1:
            lines += ["  " + line for line in text.body]
            continue
        lines.append("  " + ("} else " if k else "") + (f"if (blockIdx.x < {text.stop}) {{" if k < len(sections) - 1 else "{"))
        lines += ["    " + line for line in text.body]
    lines += ["  }"] * (len(sections) > 1) + ["}"]
    return KernelText(form.name, "\n".join([*functions, *lines]), max(1, first), block, tuple([p.name for p in form.params]))


def module(kernels: Sequence[KernelText]) -> str:
    """The text of a module: the functions that the kernels call, then the kernels."""
    text = "\n\n".join([k.source for k in kernels])
    rows = row_functions(text)
    helpers = scalars.helpers("\n".join([*rows, text]))
    return "\n".join([*helpers, *rows, "", text]).lstrip("\n") + "\n"
