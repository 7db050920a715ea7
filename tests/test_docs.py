"""The generated pages are what running their examples gives, and what they name exists."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tracer

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ERRORS = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "seed"), [("generate", "0"), ("generate", "1"), ("errors", "0"), ("errors", "1")])
def test_the_page_is_what_its_example_gives(name, seed, tmp_path):
    """From another folder, and whatever the hash seed: the page depends on nothing but the code."""
    code = f"import sys; from docs import {name}; sys.stdout.buffer.write({name}.page().encode())"
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode() == (PAGE if name == "generate" else ERRORS), "run `python -m docs.generate`"


def test_every_kind_of_error_is_on_the_page():
    kinds = [name for name, kind in vars(tracer).items() if isinstance(kind, type) and issubclass(kind, tracer.Error)]
    assert len(kinds) > 10 and [name for name in kinds if name != "Error" and f"\n## {name}\n" not in ERRORS] == []
    assert ERRORS.count("\n### ") == ERRORS.count("```text\n") >= 35 and "/" not in "".join(re.findall(r"^  \S+\.py", ERRORS, flags=re.M))


def test_files_that_the_page_names_exist():
    named = set(re.findall(r"`((?:ir|backends|tracer|docs)/[\w/.]*)`", PAGE))
    assert len(named) > 20
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_the_page_tells_the_whole_way():
    for words in ("## Traced", "fuse_linear", "## The joint graph", "(backward)", "(update)", "update %", "peak_bytes", "def run(inputs):"):
        assert words in PAGE, words
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.S)
    assert 3000 < len(prose) < 8000  # one to two pages
