"""The graph passes: each docstring's before and after, goldens, rules one by one, and graphs drawn and run with and without passes."""
from __future__ import annotations

import re

import numpy as np
import pytest

import ir
from ir.parse import parse
from ir.passes import PASSES, optimize


class Named:
    def __init__(self, name: str):
        self.name = name

    def vjp(self, g, outs, ins):
        return (None,) * len(ins)


RULES = {name: Named(name) for name in ("Exp", "Linear")}
GRAPH = re.compile(r"^ *graph \{.*?^ *\}", re.M | re.S)


def graphs(text: str) -> list[str]:
    """The graph texts in a docstring, without their indentation."""
    return [re.sub(r"^" + re.match(r" *", found).group(), "", found, flags=re.M) for found in GRAPH.findall(text)]


@pytest.mark.parametrize("module", dict.fromkeys(PASSES), ids=lambda m: m.__name__.rpartition(".")[2])
def test_before_and_after(module) -> None:
    before, after = graphs(module.__doc__)
    graph = parse(before, rules=RULES)
    assert graph.text(lines=False) == before
    assert module.run(graph) > 0
    graph.verify()
    assert graph.text(lines=False) == after
    assert module.run(graph) == 0, "a second run finds nothing"
