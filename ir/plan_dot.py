"""Plans as pictures: a plan in, dot text out. Steps run down the page; beside them each buffer of the arena stands as long as it lives.

Buffers that never live at the same time may share a column, low offsets first, so the picture is nearly a map of the arena over time.
What lies outside the arena (inputs, states, constants) is a table below. The body of a loop is a picture of its own, with an arrow to it.
"""
from __future__ import annotations

import os
from collections.abc import Iterable

from ir.dot import COLOURS, escape, input_name, new_digraph, render_text, shorten
from ir.graph import Value
from ir.place import Buffer, Place
from ir.plan import Call, Copy, Fill, Gate, Host, Loop, Plan, Region, Step, Tick
from ir.text import comment, value_names

FILLS = {"arena": "#dcebfa", "scalar": "#f4f4e4", "result": "#d6f0da", "state": "#fff6d6", "input": "#ffffff", "const": "#ececec"}
_HEAD = ("step", "kernel", "value", "reads", "writes", "line")
_ALIVE = ("arena", "scalar", "result")


def to_dot(plan: Plan) -> str:
    """The plan as dot text, which begins with `digraph`."""
    dot = new_digraph("plan")
    pending: list[tuple[str, Plan]] = [("plan", plan)]
    while pending:
        id_, shown = pending.pop()
        dot.node(id_, _table(shown), shape="plain", style="")
        for k, step in enumerate(shown.steps):
            if isinstance(step, Loop):
                body = f"{id_}_{k}"
                dot.edge(f"{id_}:step{k}", body, label=f"<&nbsp;{step.trips} times>")
                pending.append((body, step.body))
    return dot.source


def render(plan: Plan, path: str | os.PathLike[str]) -> None:
    """Draws the plan into a file: .svg, .png, .pdf, or .dot for the text itself. RenderError where `dot` is missing or fails."""
    render_text(to_dot(plan), path)


def _table(plan: Plan) -> str:
    """Title and bill, then a row a step with the lifetimes beside it, then what lies outside."""
    columns = lanes([b for b in plan.buffers if b.kind in _ALIVE], len(plan.steps))
    width = len(_HEAD) + len(columns)
    rows = [[_cell(f"<B>{escape(line)}</B>" if k == 0 else escape(line), span=width)] for k, line in enumerate(_bill(plan))]
    living = [_cell("<B>arena and results, while they live</B>", span=len(columns))] if columns else []
    rows.append([_cell(f"<B>{h}</B>") for h in _HEAD] + living)
    names = value_names(plan.graph)
    for k, step in enumerate(plan.steps):
        rows.append(_step_cells(k, step, names) + [text for column in columns for start, text in column if start == k])
    rows += [[_cell(text, span=width, fill=FILLS[kind])] for kind, text in _outside(plan)]
    body = "".join([f"<TR>{''.join(row)}</TR>" for row in rows])
    return f'<<TABLE BORDER="0" CELLBORDER="1" CELLSPACING="0" CELLPADDING="3" COLOR="#b0b0b0">{body}</TABLE>>'


def lanes(buffers: Iterable[Buffer], steps: int) -> list[list[tuple[int, str]]]:
    """Columns of (first step, cell): each buffer's cell spans its lifetime, blank ones span what is between."""
    held: list[list[Buffer]] = []
    for buffer in sorted(buffers, key=lambda b: (b.offset is None, b.offset or 0, b.birth, b.id)):
        free = (lane for lane in held if all(buffer.death < b.birth or b.death < buffer.birth for b in lane))
        lane = next(free, None)
        if lane is None:
            held.append([buffer])
        else:
            lane.append(buffer)
    return [_column(sorted(lane, key=lambda b: b.birth), steps) for lane in held]


def _column(lane: list[Buffer], steps: int) -> list[tuple[int, str]]:
    cells: list[tuple[int, str]] = []
    at = 0
    for buffer in lane:
        if buffer.birth > at:
            cells.append((at, _cell("", rows=buffer.birth - at)))
        last = min(buffer.death, steps - 1)
        cells.append((buffer.birth, _cell(_buffer_text(buffer), rows=last - buffer.birth + 1, fill=FILLS[buffer.kind])))
        at = last + 1
    if at < steps:
        cells.append((at, _cell("", rows=steps - at)))
    return cells


def _buffer_text(buffer: Buffer) -> str:
    where = "" if buffer.offset is None else f" @{buffer.offset}"
    return f"<B>{buffer_name(buffer)}</B>{where}<BR/>{buffer.bytes:,} B"


def buffer_name(buffer: Buffer) -> str:
    """`#7` in the arena; `input0`, `state1`, `const2`, `result0` elsewhere."""
    if buffer.offset is not None:
        return f"#{buffer.id}"
    return f"{buffer.kind}{buffer.id if buffer.index is None else buffer.index}"


def _step_cells(k: int, step: Step, names: dict[Value, str]) -> list[str]:
    kernel, value, reads, writes, fill = _step_texts(step, names)
    line = "" if step.line is None else shorten(comment(step.line), 60)
    first = _cell(str(k), fill=fill, port=f"step{k}")
    return [first, *[_cell(escape(text), fill=fill) for text in (kernel, value, reads, writes, line)]]


def _step_texts(step: Step, names: dict[Value, str]) -> tuple[str, str, str, str, str]:
    """kernel, value, reads, writes, colour."""
    if isinstance(step, Call):
        values = ", ".join([names[v] for v in step.node.outputs])
        temps = f" (with {_places(step.temps)})" if step.temps else ""
        return step.kernel.name, values, _places(step.reads), _places(step.writes) + temps, COLOURS.get(step.node.op.family, "#ffffff")
    if isinstance(step, Host):
        reads = ", ".join([names[v] for v in step.node.operands])
        return f"host {step.node.attrs.get('fn', step.node.op.name)}", names[step.node.outputs[0]], reads, "", COLOURS["scalar"]
    if isinstance(step, Fill):
        return "fill", "", names[step.value], _places((step.write,)), COLOURS["scalar"]
    if isinstance(step, Gate):
        return "go on if true", "", _places((step.read,)), "", COLOURS["scalar"]
    if isinstance(step, Tick):
        return "count", "", "", "", COLOURS["scalar"]
    if isinstance(step, Copy):
        return f"copy{step.when and ', ' + step.when} ({step.why})", "", _places((step.read,)), _places((step.write,)), COLOURS["shape"]
    if isinstance(step, Region):
        values = ", ".join([names[v] for v in step.node.outputs])
        kernel = f"region {step.size} by {step.rows}, {len(step.body.steps)} steps a block"
        private = f" (with {_places(step.private)})" if step.private else ""
        return kernel, values, _places(step.reads), _places(step.writes) + private, "#ffffff"
    return f"loop {step.trips} times", "", "", _places(step.stacked), "#ffffff"


def _places(places: Iterable[Place]) -> str:
    return ", ".join([buffer_name(p.buffer) for p in places])


def _bill(plan: Plan) -> list[str]:
    results = sum([b.bytes for b in plan.buffers if b.kind == "result"])
    slack = plan.arena_request - plan.arena_bytes
    parts = f"arena {plan.arena_bytes:,} + alignment {slack} + results {results:,} + scratch {plan.scratch_bytes:,}"
    return [
        f"plan for {plan.target.name}: {len(plan.steps)} step{'' if len(plan.steps) == 1 else 's'}",
        f"peak {plan.peak_bytes:,} bytes = {parts}; lower bound {plan.lower_bound_bytes:,}",
    ]


def _outside(plan: Plan) -> list[tuple[str, str]]:
    """Inputs, states and constants with their names, several where states are packed, and bytes: (kind, text)."""
    inside: dict[Buffer, list[str]] = {}
    for value in plan.graph.inputs:
        if value in plan.places:
            inside.setdefault(plan.places[value].buffer, []).append(input_name(plan.graph, value))
    found = []
    for buffer in plan.buffers:
        if buffer.kind not in _ALIVE:
            named = f" {escape(', '.join(inside[buffer]))}" if buffer in inside else ""
            found.append((buffer.kind, f"<B>{buffer_name(buffer)}</B>{named}: {buffer.bytes:,} B, outside the arena for the whole run"))
    return found


def _cell(text: str, *, span: int = 1, rows: int = 1, fill: str = "#ffffff", port: str = "") -> str:
    """A table cell; `text` is already escaped."""
    more = f' COLSPAN="{span}"' if span > 1 else ""
    more += f' ROWSPAN="{rows}"' if rows > 1 else ""
    more += f' PORT="{port}"' if port else ""
    return f'<TD BGCOLOR="{fill}" ALIGN="LEFT" BALIGN="LEFT"{more}>{text}</TD>'
