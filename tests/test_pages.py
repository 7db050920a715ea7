"""Every ```python block of the pages for users runs as it stands; the page of promises shows each of its points."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.pages import ROOT, Block, sections

PAGES = ("README.md", "docs/semantics.md", "docs/gradients.md")
SECTIONS = {f"{page}: {heading}": blocks for page in PAGES for heading, blocks in sections(page).items()}
PROMISES = (ROOT / "docs" / "semantics.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", SECTIONS)
def test_the_blocks_of_a_section_run(name: str) -> None:
    names = {"__name__": name}
    for block in SECTIONS[name]:
        block.run(names)


def test_every_block_is_read() -> None:
    for page in PAGES:
        blocks = {block.line for group in sections(page).values() for block in group}
        assert len(blocks) == (ROOT / page).read_text(encoding="utf-8").count("```python\n") > 1


def test_a_failure_names_page_and_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n## One\n\n```python\nx = 1\nassert x == 2\n```\n\n```python\nprint(x)\n```\n\n```text\n2\n```\n")
    first, second = sections(str(page))["One"]
    with pytest.raises(AssertionError) as caught:
        first.run({})
    assert (caught.traceback[-1].path, caught.traceback[-1].lineno + 1) == (page, 7)
    with pytest.raises(AssertionError, match=r"page\.md:11 prints\n1"):
        second.run({"x": 1})
    second.run({"x": 2})


def test_each_point_has_a_section_a_row_and_an_example() -> None:
    headings = re.findall(r"^## ((\d+)\. .+)$", PROMISES, flags=re.M)
    assert [int(number) for _, number in headings] == list(range(1, 16))
    anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading, _ in headings]
    assert re.findall(r"^\| \[[^\]]+\]\(#([^)]+)\) \|", PROMISES, flags=re.M) == anchors
    own: dict[str, list[Block]] = sections("docs/semantics.md")
    start = set(next(iter(own.values()))) & set.intersection(*map(set, own.values()))
    for heading, _ in headings:
        shown = [block for block in own[heading] if block not in start]
        assert shown and all(("assert" in block.code or block.printed) and len(block.code.splitlines()) >= 5 for block in shown), heading
