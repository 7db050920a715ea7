"""Pictures: what the dot text holds, that nothing a user writes breaks it, and files that come whole or not at all."""
from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ir import Graph, Line, Spec
from ir.errors import RenderError
from ir.ops import elementwise as e
from ir.place import Buffer, Place
from ir.plan import Call, Copy, Fill, Loop, Plan
from ir.plan_dot import lanes
from ir.target import Kernel, Target
from tests.ir.networks import two_layers

HAS_DOT = shutil.which("dot") is not None
if os.environ.get("GRADPLAN_REQUIRE_DOT"):
    assert HAS_DOT, "the program dot is missing"
needs_dot = pytest.mark.skipif(not HAS_DOT, reason="the program dot is missing")


def small(code: str = "x", value: object = 0.5) -> Graph:
    graph = Graph()
    x = graph.input(Spec((3, 5)), line=Line("model.py", 1, "f", text=code))
    with graph.at(Line("model.py", 2, "f", text=code)):
        graph.outputs = [e.multiply(x, value)]
    return graph


def nodes(text: str) -> dict[str, str]:
    """Each node's line of the dot text."""
    return {m[1]: m[0] for m in re.finditer(r"^\t+(\w+) \[.*\]$", text, re.M) if m[1] not in ("graph", "node", "edge")}


def test_it_begins_with_digraph_and_shows_specs_on_edges() -> None:
    text = small().to_dot()
    assert text.startswith("digraph")
    assert "f64[3,5]" in text
    assert ">0.5<" not in text and "<0.5>" in text


def test_equal_graphs_have_equal_pictures() -> None:
    assert two_layers().to_dot() == two_layers().to_dot()


def test_the_three_phases_stand_in_frames() -> None:
    text = two_layers().to_dot()
    assert re.findall(r"subgraph cluster_(\w+)", text) == ["forward", "backward", "update"]
    assert "subgraph" not in small().to_dot()


def test_inputs_are_named_and_parameters_look_like_themselves() -> None:
    text = two_layers().to_dot()
    shown = {m[1]: m[2] for m in re.finditer(r"<<B>(\w+)</B>.*shape=(\w+)", text)}
    assert shown["x"] == "ellipse"
    assert shown["W1"] == "cylinder"
    assert "new W1" in text and "replaces %2" in text


def test_fused_operations_have_a_double_border() -> None:
    found = nodes(two_layers().to_dot()).values()
    fused = [n for n in found if re.search("<B>(linear|sigmoid|linear_vjp)</B>", n)]
    plain = [n for n in found if re.search(">|<(multiply|sum)<", n) and "shape=box" in n and n not in fused]
    assert fused and all("peripheries=2" in n for n in fused)
    assert plain and not any("peripheries" in n for n in plain)


def test_families_have_colours_and_a_legend() -> None:
    text = two_layers().to_dot()
    legend = nodes(text)["legend"]
    for family in ("elementwise", "reduce", "fused"):
        colour = re.search(rf'BGCOLOR="(#\w+)">{family}', legend)
        assert colour is not None and f'fillcolor="{colour[1]}"' in text
    assert "custom" not in legend


def test_large_constants_are_named_by_their_spec() -> None:
    text = small(value=np.arange(15.0).reshape(3, 5)).to_dot()
    assert "constant f64[3,5]" in text
    text = small(value=np.array([1.0, -0.0, 2.0, 3.0, 4.0])).to_dot()
    assert "1.0, -0.0, 2.0, 3.0, 4.0" in text


def test_lines_are_tooltips() -> None:
    assert 'tooltip="model.py:2 in f  y = a &lt; b"' in small("y = a < b").to_dot()


NASTY = [
    "a \"b\" c", "a\\b\\", "\\N \\L \\n", "<b>&amp;</b>", "a\nb\tc", "\0\x1b[31m", "é ü 漢字 🎉", "{|}",
    "%0 -> n1", "\ud800", "<>", "\"", "\\",
]


@needs_dot
@pytest.mark.parametrize("code", NASTY, ids=repr)
def test_anything_a_user_writes_can_be_drawn(code: str, tmp_path: Path) -> None:
    graph = small(code)
    graph.render(tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    assert "multiply" in drawn


def test_what_a_user_writes_can_be_read() -> None:
    text = small('x < "y" \\N').to_dot()
    assert "x &lt; &quot;y&quot; &#92;N" in text


@needs_dot
@settings(max_examples=15)
@given(code=st.text(max_size=30))
def test_any_text_can_be_drawn(code: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    small(code).render(tmp_path_factory.mktemp("drawn") / "a.svg")


@needs_dot
@pytest.mark.parametrize("suffix, magic", [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF"), ("SVG", b"<?xml")])
def test_the_suffix_says_the_format(suffix: str, magic: bytes, tmp_path: Path) -> None:
    two_layers().render(tmp_path / f"a.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_bytes().startswith(magic)
    assert [p.name for p in tmp_path.iterdir()] == [f"a.{suffix}"]


def test_dot_text_needs_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    graph = small("漢字")
    graph.render(str(tmp_path / "a.dot"))
    assert (tmp_path / "a.dot").read_text(encoding="utf-8") == graph.to_dot()


def test_without_dot_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "a.svg").write_text("before")
    with pytest.raises(RenderError) as caught:
        small().render(tmp_path / "a.svg")
    for command in ("apt install", "dnf install", "brew install", "winget install", "choco install", "conda install"):
        assert f"{command} graphviz" in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a.svg"]
    assert (tmp_path / "a.svg").read_text() == "before"


@pytest.mark.parametrize("name", ["a.gif", "a", "a.txt"])
def test_other_suffixes_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="suffix"):
        small().render(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        small().render(tmp_path / "no" / "a.dot")
    assert not list(tmp_path.iterdir())


# ---- plans
def toy() -> Plan:
    """Two calls through one slot of the arena, and a copy into the result."""
    graph = small()
    x, half, y = (node.outputs[0] for node in graph.order())
    kernel = Kernel("multiply <&>", "multiply", None)
    given, held = Buffer(0, "input", 120, index=0, death=3), Buffer(1, "scalar", 8, offset=0, death=1)
    first, second = Buffer(2, "arena", 120, offset=64, birth=1, death=2), Buffer(3, "arena", 120, offset=192, birth=2, death=3)
    result = Buffer(4, "result", 120, birth=3, death=3, index=0)
    place = {b: Place(b, 0, (3, 5), (40, 8), np.dtype(float)) for b in (given, first, second, result)}
    slot = Place(held, 0, (), (), np.dtype(float))
    steps = [
        Fill(half, slot),
        Call(kernel, y.node, (place[given], slot), (place[first],)),
        Call(kernel, y.node, (place[first], slot), (place[second],)),
        Copy(place[second], place[result], "the result"),
    ]
    return Plan(
        graph, Target("toy", {}), steps, [given, held, first, second, result], {x: place[given]}, [], (place[result],), order=graph.order(),
        arena_bytes=312, peak_bytes=496, lower_bound_bytes=496,
    )


def test_a_plan_shows_steps_in_order_and_buffers_with_lifetimes() -> None:
    text = toy().to_dot()
    assert text.startswith("digraph")
    steps = re.findall(r'PORT="step(\d)">\d</TD><TD [^>]*>([^<]*)</TD>', text)
    assert steps == [("0", "fill"), ("1", "multiply &lt;&amp;&gt;"), ("2", "multiply &lt;&amp;&gt;"), ("3", "copy (the result)")]
    assert 'ROWSPAN="2"><B>#2</B> @64<BR/>120 B' in text
    assert "<B>input0</B> x: 120 B" in text
    assert "peak 496 bytes" in text


def test_columns_hold_buffers_that_never_meet_and_fill_every_row() -> None:
    plan = toy()
    columns = lanes([b for b in plan.buffers if b.kind != "input"], len(plan.steps))
    for column in columns:
        rows = 0
        for start, cell in column:
            assert start == rows
            span = re.search(r'ROWSPAN="(\d+)"', cell)
            rows += int(span[1]) if span else 1
        assert rows == len(plan.steps)
    assert len(columns) == 2


@needs_dot
def test_a_plan_and_its_loop_can_be_drawn(tmp_path: Path) -> None:
    body = toy()
    loop = Plan(body.graph, body.target, [Loop(body, 500, ())], [], {}, [], ())
    loop.render(tmp_path / "a.svg")
    assert "500 times" in (tmp_path / "a.svg").read_text().replace("&#160;", " ")
