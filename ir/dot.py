"""Graphs as pictures: a graph in, dot text out, and files drawn by Graphviz's `dot` program.

Boxes are operations, coloured by family; what is fused has a double border. Inputs are ellipses, states (parameters) cylinders,
constants their values (small ones are drawn at each use). An edge carries what flows along it, `W: f64[3,10]`, named as the operation
names its operand. Forward, backward and update stand in frames of their own. The user's line is each node's tooltip. Equal graphs
give equal texts.
"""
from __future__ import annotations

import html
import os
from pathlib import Path
from typing import Any

import graphviz

from ir.errors import RenderError
from ir.graph import CONSTANT, INPUT, Graph, Node, Value
from ir.op import Trait
from ir.text import attrs_text, comment, elements_text, rule_names, value_names

COLOURS = {
    "elementwise": "#dcebfa", "reduce": "#e4dcf7", "matmul": "#fcdcc0", "shape": "#ececec", "index": "#d6f0da", "update": "#fad4e2",
    "nn": "#ffe48f", "scalar": "#f4f4e4", "custom": "#cdeff0", "opaque": "#ffffff",
}
FRAMES = {"forward": ("#f7fbff", "#3f74ab"), "backward": ("#fff8f2", "#b8701f"), "update": ("#f6fff4", "#3f8a33")}
KINDS = {
    "argument": ("argument", "ellipse", "#ffffff"),
    "captured": ("captured array", "note", "#ffffff"),
    "state": ("parameter", "cylinder", "#fff6d6"),
}
FORMATS = ("svg", "png", "pdf")
FUSED = frozenset({"nn"})
_FONT = "Helvetica"
_SHORT = 40
INSTALL = (
    "install Graphviz: apt install graphviz (Debian, Ubuntu), dnf install graphviz (Fedora), brew install graphviz (macOS), "
    "winget install graphviz or choco install graphviz (Windows), conda install graphviz (conda); a path that ends in .dot needs none"
)


def to_dot(graph: Graph) -> str:
    """The graph as dot text, which begins with `digraph`.

    >>> from ir.spec import Spec
    >>> graph = Graph()
    >>> graph.outputs = [graph.input(Spec((2, 3)))]
    >>> to_dot(graph).startswith("digraph")
    True
    """
    names, rules = value_names(graph), rule_names(graph)
    ids = {node: f"n{k}" for k, node in enumerate(graph.order())}
    dot = new_digraph("gradplan")
    phases = [p for p in FRAMES if any(n.phase == p for n in ids if not n.op.has(Trait.SOURCE))]
    frames = {p: graphviz.Digraph(f"cluster_{p}", graph_attr=frame_attrs(p)) for p in phases}
    shared = {v.node for v in graph.results()}
    for node, id_ in ids.items():
        into = frames[node.phase] if len(phases) > 1 and node.op is not INPUT else dot
        if not is_small(node) or node in shared:
            _draw_node(into, graph, node, id_, names, rules)
        for position, operand in enumerate(node.operands):
            if is_small(operand.node):
                _draw_node(into, graph, operand.node, f"{id_}_{position}", names, rules)
    if len(phases) > 1:
        for frame in frames.values():
            dot.subgraph(frame)
    for node, id_ in ids.items():
        _draw_operands(dot, node, id_, ids)
    _draw_results(dot, graph, ids, names)
    dot.node("legend", legend(list(ids)), shape="plain")
    return dot.source


def is_small(node: Node) -> bool:
    """Whether a node is a constant of one element, which each use shows for itself."""
    return node.op is CONSTANT and node.outputs[0].spec.size == 1


def new_digraph(name: str) -> graphviz.Digraph:
    """An empty picture in our fonts and spacing."""
    return graphviz.Digraph(
        name,
        graph_attr={"rankdir": "TB", "fontname": _FONT, "nodesep": "0.35", "ranksep": "0.5", "tooltip": " "},
        node_attr={"fontname": _FONT, "fontsize": "12", "style": "filled", "fillcolor": "#ffffff", "color": "#606060"},
        edge_attr={"fontname": _FONT, "fontsize": "9", "fontcolor": "#404040", "color": "#707070", "arrowsize": "0.7"},
    )


def frame_attrs(phase: str) -> dict[str, str]:
    """How the frame around a phase looks."""
    fill, border = FRAMES[phase]
    title = phase if phase == "update" else f"{phase} pass"
    look = {"style": "rounded,filled", "fillcolor": fill, "color": border, "fontcolor": border, "fontsize": "14", "labeljust": "l"}
    return {"label": title, **look}


def escape(text: str) -> str:
    """Any text for an HTML-like label or tooltip: markup and backslashes are spelled out, control characters shown as `\\x00`."""
    shown = text
    if not text.isprintable():
        shown = "".join([c if c.isprintable() else c.encode("unicode_escape").decode() for c in text])
    return html.escape(shown.encode("utf-8", "backslashreplace").decode()).replace("\\", "&#92;")


def label(title: str, *small: str, bold: bool = False) -> str:
    """An HTML-like label: a title over small grey lines. Everything given is escaped."""
    head = f"<B>{escape(title)}</B>" if bold else escape(title)
    return "<" + head + "".join([f'<BR/><FONT POINT-SIZE="9" COLOR="#505050">{escape(s)}</FONT>' for s in small if s]) + ">"


def shorten(text: str, length: int = _SHORT) -> str:
    """At most `length` characters, the last `...` where some were left out."""
    return text if len(text) <= length else text[: length - 3] + "..."


def input_name(graph: Graph, value: Value) -> str:
    """The user's name for an input, which its line carries; `input 0` where it has none."""
    line = value.node.line
    return shorten(line.text, 24) if line is not None and line.text else f"input {graph.inputs.index(value)}"


def _draw_node(
    dot: graphviz.Digraph, graph: Graph, node: Node, id_: str, names: dict[Value, str], rules: dict[Any, str]
) -> None:
    tooltip = escape(comment(node.line)) if node.line is not None else " "
    if node.op is INPUT:
        said, shape, fill = KINDS[node.attrs["kind"]]
        title, small = input_name(graph, node.outputs[0]), f"{said} {names[node.outputs[0]]}"
        dot.node(id_, label(title, small, bold=True), shape=shape, fillcolor=fill, tooltip=tooltip)
    elif node.op is CONSTANT:
        held = node.attrs["value"]
        text = elements_text(held)
        shown = text if len(text) <= _SHORT and not text.startswith("sha256:") else f"constant {held.spec}"
        dot.node(id_, label(shown), shape="plaintext", fillcolor="none", style="", height="0.2", width="0.2", tooltip=escape(text))
    else:
        fused = node.op.family in FUSED
        results = ", ".join([names[v] for v in node.outputs])
        if node.line is not None:
            results += f"   {os.path.basename(node.line.file)}:{node.line.number}"
        look = {"peripheries": "2", "style": "filled"} if fused else {"style": "rounded,filled"}
        fill = COLOURS.get(node.op.family, "#ffffff")
        attrs = {k: v for k, v in node.attrs.items() if v is not None and v is not False}
        first = node.recompute_of
        again = f"computes {names[first.outputs[0]]} again" if first is not None and first.outputs[0] in names else ""
        said = label(node.op.name, shorten(attrs_text(attrs, rules)), again, results, bold=fused)
        dot.node(id_, said, shape="box", fillcolor=fill, tooltip=tooltip, **look)


def _draw_operands(dot: graphviz.Digraph, node: Node, id_: str, ids: dict[Node, str]) -> None:
    roles = node.op.names(len(node.operands))
    for position, (role, operand) in enumerate(zip(roles, node.operands)):
        source = f"{id_}_{position}" if is_small(operand.node) else ids[operand.node]
        told_apart = len(node.operands) > 1 and not node.op.has(Trait.COMMUTATIVE)
        named = f"{role}: " if told_apart else ""
        dot.edge(source, id_, label=f"<&nbsp;{escape(f'{named}{_flow(operand)}')}>", tooltip=escape(f"{role}: {operand.spec}"))


def _flow(value: Value) -> str:
    """What an edge carries; which output it is, where the node has several."""
    return str(value.spec) if len(value.node.outputs) == 1 else f"{value.spec} (output {value.index})"


def _draw_results(dot: graphviz.Digraph, graph: Graph, ids: dict[Node, str], names: dict[Value, str]) -> None:
    for k, value in enumerate(graph.outputs):
        said = label(f"result {k}" if len(graph.outputs) > 1 else "result")
        dot.node(f"out{k}", said, shape="ellipse", fillcolor="#e8e8e8", peripheries="2")
        dot.edge(ids[value.node], f"out{k}", label=f"<&nbsp;{escape(_flow(value))}>")
    for k, (state, new) in enumerate(graph.updates):
        name = f"new {input_name(graph, state)}"
        dot.node(f"update{k}", label(name, f"replaces {names[state]}"), shape="cylinder", fillcolor="#fff6d6", style="filled,dashed")
        dot.edge(ids[new.node], f"update{k}", label=f"<&nbsp;{escape(_flow(new))}>", style="bold", color=FRAMES["update"][1])


def legend(nodes: list[Node]) -> str:
    """A table of what the colours and shapes mean, for what the picture has."""
    families = [f for f in COLOURS if any(n.op.family == f for n in nodes)]
    kinds = {n.attrs["kind"] for n in nodes if n.op is INPUT}
    rows = [("<B>legend</B>", "#ffffff")]
    rows += [("fused (double border)" if f in FUSED else f, COLOURS[f]) for f in families]
    rows += [(f"{said}: {shape}", fill) for kind, (said, shape, fill) in KINDS.items() if kind in kinds]
    cells = "".join([f'<TR><TD BGCOLOR="{fill}">{said}</TD></TR>' for said, fill in rows])
    return f'<<TABLE BORDER="0" CELLBORDER="1" CELLSPACING="0" CELLPADDING="3" COLOR="#a0a0a0">{cells}</TABLE>>'


def render(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Draws the graph into a file. The suffix says how: .svg, .png, .pdf, or .dot for the text itself.

    Raises RenderError where `dot` is missing or fails; then nothing is written.
    """
    render_text(to_dot(graph), path)


def render_text(text: str, path: str | os.PathLike[str]) -> None:
    """Draws dot text into a file, as `render` does: the whole file or nothing."""
    path = Path(path)
    suffix = path.suffix.lower().lstrip(".")
    if suffix in ("dot", "gv"):
        drawn = text.encode()
    elif suffix in FORMATS:
        drawn = _run_dot(text, suffix)
    else:
        known = ", ".join([f".{f}" for f in FORMATS])
        raise RenderError(f"can't draw into {path.name}: its suffix is no picture format", mend=f"end the path in {known} or .dot")
    _write_whole(path, drawn)


def _run_dot(text: str, suffix: str) -> bytes:
    try:
        return graphviz.pipe("dot", suffix, text.encode())
    except graphviz.ExecutableNotFound as error:
        raise RenderError("the program `dot` was not found", mend=INSTALL) from error
    except graphviz.CalledProcessError as error:
        said = (error.stderr or b"").decode(errors="replace").strip()
        raise RenderError(f"`dot` failed: {said or error}", mend="render into a .dot file to see the text") from error


def _write_whole(path: Path, data: bytes) -> None:
    """Writes beside the path first, so that an error or interrupt leaves what was there."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
