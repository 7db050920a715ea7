"""A plan as text: the bill, then a row for each step."""
from __future__ import annotations

from ir.graph import Value
from ir.place import Place
from ir.plan import Copy, Fill, Gate, Host, Loop, Plan, Region, Step, Tick
from ir.spec import dtype_name
from ir.text import comment, value_names


def text(plan: Plan, lines: bool = True) -> str:
    """The bill, then a row for each step; `lines=False` leaves the user's lines out.

    A place is its buffer (`#3@128` in the arena, `input0`, `state1`, `const2`, `result0`), its offset within (`+16`) and its strides
    where they are not those of C order; bytes and lifetimes are of the buffers that a step writes.
    """
    return "\n".join(_plan_text(plan, lines))


def _plan_text(plan: Plan, lines: bool, body: bool = False) -> list[str]:
    beside = {kind: sum([b.bytes for b in plan.buffers if b.kind == kind]) for kind in ("input", "state", "const")}
    slack = plan.arena_request - plan.arena_bytes
    shown = ", ".join(["a Python number" if p is None else f"{_place_text(p)} {_spec_text(p)}" for p in plan.results])
    return [
        f"plan for {plan.target.name}{', exact' if plan.exact else ''}: {len(plan.steps)} step{'' if len(plan.steps) == 1 else 's'}",
        f"  peak_bytes {plan.peak_bytes} = arena {plan.arena_bytes} + alignment {slack} + results {plan.result_bytes}"
        f" + scratch {plan.scratch_bytes}",
        f"  lower_bound_bytes {plan.lower_bound_bytes}",
        *([] if body else _floor_text(plan)),
        f"  beside it: inputs {beside['input']}, states {beside['state']}, constants {beside['const']}",
        f"  results: {shown}".rstrip(),
        *_table(plan, lines),
    ]


def _floor_text(plan: Plan) -> list[str]:
    """How far the peak is above the floor, where it is or where there is a limit."""
    floor, limit = plan.floor_bytes, plan.memory_limit
    if limit is None and plan.peak_bytes <= floor:
        return []
    asked = f", the limit is {limit}" if limit is not None else ""
    return [f"  floor_bytes {floor}: peak_bytes is {plan.peak_bytes - floor} above it{asked}"]


def _table(plan: Plan, lines: bool) -> list[str]:
    """The steps in columns; the body of a loop stands indented under its row."""
    names = value_names(plan.graph)
    rows: list[tuple[str, ...]] = [("step", "kernel", "value", "reads", "writes", "bytes", "birth", "death")]
    rows += [(str(k), *_row(step, names)) for k, step in enumerate(plan.steps)]
    widths = [max([len(row[c]) for row in rows]) for c in range(len(rows[0]))]
    right = (0, 5, 6, 7)
    found = []
    for k, row in enumerate(rows):
        text = "  ".join([cell.rjust(w) if c in right else cell.ljust(w) for c, (cell, w) in enumerate(zip(row, widths))])
        step = plan.steps[k - 1] if k else None
        line = step.line if step is not None and lines else None
        found.append(f"  {text}".rstrip() + (f"   # {comment(line)}" if line is not None else ""))
        if isinstance(step, Region):
            found.append(_moved_text(step))
        if isinstance(step, (Loop, Region)):
            found += _body_text(plan, k - 1, lines)
    return found


def _moved_text(region: Region) -> str:
    """The modelled bytes that it takes and gives, and what its operations would move as steps of their own."""
    single, border = region.node.attrs["blocked"].moved
    return f"    moves {border} bytes; one by one its operations would move {single}"


def _body_text(plan: Plan, index: int, lines: bool) -> list[str]:
    """The body of a loop or region, once for regions that run the same."""
    step = plan.steps[index]
    assert isinstance(step, (Loop, Region))
    for k, other in enumerate(plan.steps[:index]):
        if isinstance(other, Region) and other.body is step.body:
            return [f"    as in step {k}"]
    return [f"    {inner}".rstrip() for inner in _plan_text(step.body, lines, body=True)]


def _row(step: Step, names: dict[Value, str]) -> tuple[str, ...]:
    """kernel, value, reads, writes, bytes, birth, death."""
    if isinstance(step, Host):
        reads = ", ".join([names[v] for v in step.node.operands])
        return f"host {step.node.attrs.get('fn', step.node.op.name)}", names[step.node.outputs[0]], reads, "", "", "", ""
    if isinstance(step, Fill):
        return ("fill", "", names[step.value], *_written((step.write,)))
    if isinstance(step, Copy):
        return (f"copy{step.when and ', ' + step.when} ({step.why})", "", _place_text(step.read), *_written((step.write,)))
    if isinstance(step, Gate):
        return "go on if true", "", _place_text(step.read), "", "", "", ""
    if isinstance(step, Tick):
        return "count", "", "", "", "", "", ""
    if isinstance(step, Loop):
        changing = f" over {', '.join([f'input{k}' for k in step.changing])}" if step.changing else ""
        return (f"loop {step.trips} times{changing}", "", "", *_written(step.stacked))
    values = ", ".join([names[v] for v in step.node.outputs])
    if isinstance(step, Region):
        private = f" (with {', '.join(map(_place_text, step.private))})" if step.private else ""
        written = _written(step.writes)
        reads = ", ".join([f"{_place_text(p)}{_halo_text(e)}" for p, e in zip(step.reads, step.extents)])
        forks = ", with it" if step.follows else f", {step.workers} workers" if step.workers > 1 else ""
        return (f"region {step.size} by {step.rows}{forks}", values, reads, written[0] + private, *written[1:])
    temps = f" (with {', '.join(map(_place_text, step.temps))})" if step.temps else ""
    written = _written(step.writes)
    return (step.kernel.name, values, ", ".join(map(_place_text, step.reads)), written[0] + temps, *written[1:])


def _written(places: tuple[Place, ...]) -> tuple[str, str, str, str]:
    """writes, bytes, birth, death."""
    buffers = [p.buffer for p in places]
    return (
        ", ".join(map(_place_text, places)), ", ".join([str(b.bytes) for b in buffers]),
        ", ".join([str(b.birth) for b in buffers]), ", ".join([str(b.death) for b in buffers]),
    )


def _halo_text(extent: tuple[int, int]) -> str:
    """Which rows besides its own a block reads."""
    return "" if extent == (0, 0) else f" rows {extent[0]:+}..{extent[1]:+}"


def _place_text(place: Place) -> str:
    buffer = place.buffer
    number = buffer.id if buffer.index is None else buffer.index
    text = f"{buffer.kind}{number}" if buffer.offset is None else f"#{buffer.id}@{buffer.offset}"
    if place.offset:
        text += f"+{place.offset}"
    if place.strides is None:
        return f"{text} strides of the call"
    return text if place.contiguous() else f"{text} strides ({', '.join(map(str, place.strides))})"


def _spec_text(place: Place) -> str:
    return f"{dtype_name(place.dtype)}[{','.join(map(str, place.shape))}]"
