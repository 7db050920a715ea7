"""Pages that run: the ```python blocks of a page, by section. In: a page of Markdown. Out: blocks, and a run of a section's blocks.

A section is what stands under one `## ` heading; its blocks share a namespace. Blocks before the first heading are the page's beginning
and run at the start of each section. Where a ```text block follows a ```python block directly, it is what that block prints. Code is
compiled under the page's own path and lines, so that a failure, and every error of the project, names the page's line.
"""
from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.S | re.M)


@dataclass(frozen=True)
class Block:
    """Code at `line` (of its first statement) of a page, and what it is to print, where the page says so."""

    page: Path
    line: int
    code: str
    printed: str | None

    def run(self, names: dict[str, Any]) -> None:
        """Runs in `names`; AssertionError where it prints something else than the page says."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile("\n" * (self.line - 1) + self.code, str(self.page), "exec"), names)
        if self.printed is not None and out.getvalue().rstrip() != self.printed.rstrip():
            raise AssertionError(f"{self.page.name}:{self.line} prints\n{out.getvalue()}")


def sections(name: str) -> dict[str, list[Block]]:
    """The blocks of a page of this repository by heading, each list beginning with the blocks before the first heading."""
    page = ROOT / name
    text = page.read_text(encoding="utf-8")
    fences = list(_FENCE.finditer(text))
    headings = [m for m in re.finditer(r"^## (.+)$", text, flags=re.M) if not any(f.start() < m.start() < f.end() for f in fences)]
    start: list[Block] = []
    found: dict[str, list[Block]] = {}
    for fence, after in zip(fences, [*fences[1:], None]):
        if fence[1] != "python":
            continue
        follows = after is not None and after[1] == "text" and not text[fence.end() : after.start()].strip()
        block = Block(page, text.count("\n", 0, fence.start(2)) + 1, fence[2], after[2] if after is not None and follows else None)
        above = [m[1] for m in headings if m.start() < fence.start()]
        if above:
            found.setdefault(above[-1], list(start)).append(block)
        else:
            start.append(block)
    return found or {"beginning": start}
