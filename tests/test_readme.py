"""The README's commands are whole, the gate runs the second of them, and what it names is there. Its code: `test_pages.py`."""
from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import tracer

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def command(name: str) -> str:
    """The one line of the command that is marked by `<!-- name -->`."""
    lines = re.search(rf"<!-- {name} -->\n```\w*\n(.*?)```", README, flags=re.S)
    assert lines is not None
    (line,) = lines[1].strip().splitlines()
    return line


def test_each_command_makes_its_own_environment():
    for name in ("train", "tests"):
        line = command(name)
        assert line.startswith("python3 -m venv .venv && .venv/bin/python -m pip install ")
    assert command("train").endswith(".venv/bin/python examples/sine.py") and ".[examples]" in command("train")
    assert command("tests").endswith(".venv/bin/python -m pytest -q -n 2 --dist worksteal") and ".[test,test-cuda]" in command("tests")


def test_the_gate_runs_the_second_command_as_written():
    gate = (ROOT / ".ci" / "run").read_text()
    extraction = re.search(r"^command=\$\((.*)\)$", gate, flags=re.M)
    assert extraction is not None and 'bash -euo pipefail -c "$command"' in gate
    found = subprocess.run(["bash", "-c", extraction[1]], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == command("tests")
    after = gate.index('-c "$command"')
    assert after < gate.index("-m ruff check .") and after < gate.index("-m mypy")
    assert "GRADPLAN_REQUIRE_DOT=1" in gate and "graphviz" in gate
    assert "GRADPLAN_REQUIRE_GXX=1" in gate and "install -y -qq g++" in gate


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)\)|\| `(\w+/)` \|", README))
def test_paths_that_the_readme_names_exist(path):
    assert (ROOT / (path[0] or path[1])).exists()


def test_names_that_the_readme_uses_are_public():
    for name in set(re.findall(r"tracer\.(\w+)", README)):
        assert hasattr(tracer, name), name
