"""A plan as text: golden tables, stable, the user's lines on demand, no addresses."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ir.graph import Graph
from ir.ops import TABLE
from ir.ops import elementwise as e
from ir.planning import loop, plan
from ir.source import Line
from ir.spec import Spec
from tests.ir.plan_toys import TOY, network

GOLDEN = Path(__file__).parent / "golden"


def views() -> Graph:
    """What a table can show: a slot, a host step, a copied reshape, strides, an offset, temps, a result that is a copy."""
    graph = Graph()
    with graph.at(Line("model.py", 7, "predict", text="y = x.T.ravel()")):
        x, n = graph.input(Spec((4, 3))), graph.input(Spec((), "float64", "float"))
        t = TABLE["transpose"](x, axes=(1, 0))
        y = TABLE["reshape"](t, shape=(12,))
        z = e.multiply(y, TABLE["python"](n, 2.0, fn="mul"))
        u = TABLE["slice"](e.exp(t), index=((1, 3, 1), (0, 4, 1)))
        v = TABLE["linear"](e.exp(u), graph.input(Spec((4, 2))), graph.input(Spec((2,))))
    graph.outputs = [z, v, x, TABLE["python"](n, n, fn="add")]
    return graph


PLANS = {
    "plan_network": lambda: plan(network(2, 100, 10, train=True), TOY),
    "plan_views": lambda: plan(views(), TOY, exact=True),
    "plan_loop": lambda: loop(plan(network(1, 4, 3, train=True), TOY), 10),
}


@pytest.mark.parametrize("name", PLANS)
def test_golden(name):
    assert PLANS[name]().text(lines=False) + "\n" == (GOLDEN / f"{name}.txt").read_text()


def test_lines_stand_behind_their_steps():
    text = str(plan(views(), TOY))
    assert text == plan(views(), TOY).text(lines=True)
    assert "# model.py:7 in predict  y = x.T.ravel()" in text
    assert "model.py" not in plan(views(), TOY).text(lines=False)


@pytest.mark.parametrize("name", PLANS)
def test_no_addresses(name):
    assert not re.search(r"0x[0-9a-f]{6,}| at 0x|object", str(PLANS[name]()))


def test_text_does_not_hang_on_the_hash_seed():
    program = (
        "from tests.ir.plan_toys import TOY, network; from ir.planning import plan; import hashlib;"
        "print(hashlib.sha256(plan(network(3, 8, 8, True), TOY).text(lines=False).encode()).hexdigest())"
    )
    root = Path(__file__).parents[2]

    def run(seed: str) -> str:
        seeded = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run([sys.executable, "-c", program], cwd=root, env=seeded, capture_output=True, text=True, check=True).stdout

    assert run("1") == run("2") != ""
