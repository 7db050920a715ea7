"""An independent judge of plans: it replays a plan over memory whose every byte remembers which element was last written there.

Job: a Plan in, AssertionError out where it lies. It knows the graph and the records, and shares no code with the planner. Each element
of each Value has a tag (views share the tags of what they view); a step that reads a place must find there the tags of the Value it
claims to read.
"""
from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ir.graph import CONSTANT, INPUT, Node, Value
from ir.op import Trait
from ir.ops.places import keys
from ir.place import Buffer, Place
from ir.plan import Call, Copy, Fill, Gate, Host, Loop, Plan, Tick
from ir.planning.blocks import Blocked

POISON = -1


def check(plan: Plan) -> None:
    """Everything that a plan claims, but for its text."""
    if any(isinstance(step, Loop) for step in plan.steps):
        check_loop(plan)
        return
    check_order(plan)
    check_offsets(plan)
    check_bill(plan)
    Replay(plan).run()


def check_loop(plan: Plan) -> None:
    (step,) = plan.steps
    assert isinstance(step, Loop)
    body = step.body
    check_order(body)
    check_offsets(body)
    check_bill(body)
    for _ in range(2):
        Replay(body).run(in_loop=True)
    assert len(step.stacked) == len(plan.graph.outputs)
    for value, place in zip(plan.graph.outputs, step.stacked):
        assert place.shape == (step.trips, *value.shape) and place.dtype == value.dtype and place.contiguous()
        assert place.buffer.kind == "result" and place.buffer.bytes == value.spec.nbytes * step.trips
    assert plan.arena_bytes == body.arena_bytes and plan.scratch_bytes == body.scratch_bytes
    results = sum(max(place.buffer.bytes, 1) for place in step.stacked)
    assert plan.peak_bytes == body.arena_request + results + body.scratch_bytes
    assert plan.lower_bound_bytes <= plan.peak_bytes


def check_order(plan: Plan) -> None:
    done: set[Node] = {v.node for v in plan.graph.inputs}
    expected = [n for n in plan.graph.order() if n.op not in (INPUT, CONSTANT)]
    done |= {n for n in plan.graph.order() if n.op is CONSTANT}
    assert len(plan.order) == len(expected) and set(plan.order) == set(expected)
    for node in plan.order:
        assert all(v.node in done for v in node.operands), f"{node} runs before its operands"
        done.add(node)
    steps = [s.node for s in plan.steps if isinstance(s, (Call, Host))]
    assert steps == [n for n in plan.order if n in set(steps)]


def places_of(step: Any) -> list[Place]:
    if isinstance(step, Call):
        return [*step.reads, *step.writes, *step.temps]
    if isinstance(step, Copy):
        return [step.read, step.write]
    if isinstance(step, Gate):
        return [step.read]
    return [step.write] if isinstance(step, Fill) else []


def lifetimes(plan: Plan) -> dict[Buffer, tuple[int, int]]:
    """First and last step that touches each buffer of the arena; slots and copies that stand to the end; in a loop the outputs too."""
    touched: dict[Buffer, list[int]] = {}
    for index, step in enumerate(plan.steps):
        for place in places_of(step):
            touched.setdefault(place.buffer, []).append(index)
    held = {p.buffer for p in plan.results if p is not None} | {s.write.buffer for s in plan.steps if isinstance(s, Copy) and s.when}
    last = len(plan.steps) - 1
    found = {}
    for buffer, steps in touched.items():
        if buffer.kind in ("arena", "scalar"):
            stays = buffer.kind == "scalar" or buffer in held
            found[buffer] = (0 if buffer.kind == "scalar" else min(steps), last if stays else max(steps))
    return found


def check_offsets(plan: Plan) -> None:
    assert len({buffer.id for buffer in plan.buffers}) == len(plan.buffers)
    alive = lifetimes(plan)
    for buffer, (birth, death) in alive.items():
        assert buffer.birth <= birth and buffer.death >= death
        assert buffer.offset is not None and buffer.offset >= 0 and buffer.offset + buffer.bytes <= plan.arena_bytes
        if buffer.bytes:
            align = min(plan.target.alignment, 1 << (buffer.bytes - 1).bit_length())
            assert buffer.offset % align == 0
    for (a, (a0, a1)), (b, (b0, b1)) in itertools.combinations(alive.items(), 2):
        if a0 <= b1 and b0 <= a1 and a.bytes and b.bytes:
            assert a.offset + a.bytes <= b.offset or b.offset + b.bytes <= a.offset, f"{a} and {b} overlap"
    assert plan.arena_bytes == max([b.offset + b.bytes for b in alive if b.bytes], default=0)


def check_bill(plan: Plan) -> None:
    """Peak and bound, by adding up what a run asks for."""
    alive = lifetimes(plan)
    buffers = {p.buffer for p in plan.results if p is not None and p.buffer.kind == "result"}
    assert buffers == {b for b in plan.buffers if b.kind == "result"}
    results = sum(max(b.bytes, 1) for b in buffers)  # NumPy asks for a byte at least
    scratch = [s.kernel.scratch(s.reads, s.writes, s.node.attrs) for s in plan.steps if isinstance(s, Call)]
    request = plan.arena_bytes + plan.target.alignment if plan.arena_bytes else 0
    assert plan.arena_request == request
    assert plan.peak_bytes == request + results + max(scratch, default=0)
    live = max([sum(b.bytes for b, (x, y) in alive.items() if x <= k <= y) for k in range(len(plan.steps))], default=0)
    assert plan.lower_bound_bytes == live + plan.peak_bytes - plan.arena_bytes
    assert plan.lower_bound_bytes <= plan.peak_bytes


def part(node: Node) -> Any:
    """Where an update by slices writes; None for other nodes."""
    return keys(node.attrs["index"]) if node.op.family == "update" and "index" in node.attrs else None


class Replay:
    """`memory` holds a tag for each byte: of the arena, and of each buffer outside it."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.arena = np.full(plan.arena_bytes, POISON)
        self.outside: dict[Buffer, np.ndarray] = {}
        self.tags: dict[Value, np.ndarray] = {}
        self.next = 0
        self.unknown = {view.place: view for view in plan.views if view.place.strides is None}
        for value in plan.graph.inputs:
            self.tag(value)
            if value.spec.weak is None:
                place = plan.places[value]
                assert place.buffer.kind == ("state" if value.node.attrs["kind"] == "state" else "input")
                self.put(place, self.tags[value])
        for node in plan.graph.order():
            if node.op is CONSTANT:
                self.tag(node.outputs[0])
                if node.outputs[0].spec.weak is None:
                    place = plan.places[node.outputs[0]]
                    assert place.buffer.kind == "const" and place.buffer.data.tobytes() == node.attrs["value"].array().tobytes()
                    self.put(place, self.tags[node.outputs[0]])

    # ---- tags and bytes
    def tag(self, value: Value) -> None:
        self.tags[value] = np.arange(self.next, self.next + value.spec.size).reshape(value.shape)
        self.next += value.spec.size

    def bytes_of(self, place: Place) -> np.ndarray:
        """Indices of the bytes of each element, within memory: shape (*shape, itemsize)."""
        strides = place.strides
        if place in self.unknown:
            view = self.unknown[place]
            return view.node.op.meaning(self.bytes_of(view.source)[..., 0], **view.node.attrs)[..., None] + np.arange(place.dtype.itemsize)
        if strides is None:  # the checker runs the call where such an input lies in C order
            strides = tuple(int(np.prod(place.shape[k + 1 :])) * place.dtype.itemsize for k in range(len(place.shape)))
        found = np.full(place.shape, place.offset)
        for axis, (size, stride) in enumerate(zip(place.shape, strides)):
            found = found + (np.arange(size) * stride).reshape((-1,) + (1,) * (len(place.shape) - axis - 1))
        found = found[..., None] + np.arange(place.dtype.itemsize)
        assert found.size == 0 or (found.min() >= 0 and found.max() < place.buffer.bytes), f"{place} leaves its buffer"
        return found

    def memory(self, buffer: Buffer) -> tuple[np.ndarray, int]:
        if buffer.kind in ("arena", "scalar"):
            return self.arena, buffer.offset or 0
        if buffer not in self.outside:
            self.outside[buffer] = np.full(buffer.bytes, POISON)
        return self.outside[buffer], 0

    def put(self, place: Place, tags: Any) -> None:
        memory, start = self.memory(place.buffer)
        at = self.bytes_of(place)
        assert len(np.unique(at)) == at.size, "a written place has elements that share memory"
        memory[start + at] = np.asarray(tags)[..., None]

    def get(self, place: Place) -> np.ndarray:
        memory, start = self.memory(place.buffer)
        found = memory[start + self.bytes_of(place)]
        assert (found == found[..., :1]).all(), "an element is torn"
        return found[..., 0]

    def expect(self, place: Place, value: Value, what: str) -> None:
        if value.node.op is CONSTANT and value.spec.weak:
            assert place.buffer.kind == "const" and place.buffer.data == np.array(value.node.attrs["value"].value, place.dtype)
            return
        assert place.shape == value.shape and (place.dtype == value.dtype or value.spec.weak)
        assert (self.get(place) == self.tags[value]).all(), f"{what}: not what {value} wrote"

    # ---- running
    def run(self, in_loop: bool = False) -> None:
        plan = self.plan
        called = {step.node for step in plan.steps if isinstance(step, Call)}
        for node in plan.graph.order():
            if node.op.name == "concatenate" and node not in called:  # its operands were computed where they stand
                self.tags[node.outputs[0]] = np.concatenate([self.tags[v] for v in node.operands], **node.attrs)
            elif node.op.view_of is not None:
                self.tags[node.outputs[0]] = node.op.meaning(self.tags[node.operands[0]], **node.attrs)
            elif node.op not in (INPUT, CONSTANT):
                for value in node.outputs:
                    self.tag(value)
                if part(node) is not None:  # the other elements are those of the base
                    new, base = self.tags[node.outputs[0]], np.array(self.tags[node.operands[0]])
                    base[part(node)] = new[part(node)]
                    self.tags[node.outputs[0]] = base
        front = 0
        for index, step in enumerate(plan.steps):
            places = step.writes if isinstance(step, Call) else (step.write,) if isinstance(step, (Copy, Fill)) else ()
            writes = [p.buffer for p in places]
            assert all(b.kind not in ("input", "const") for b in writes), "writes what is not its own"
            states = [b for b in writes if b.kind == "state"]
            assert not states or index >= plan.tail, "states are written at the end"
            if index >= plan.tail:
                assert isinstance(step, (Copy, Tick)) or (isinstance(step, Call) and step.kernel.single), "the end is made of single calls"
            if isinstance(step, Gate):
                assert index == plan.tail - 1 and plan.gate is not None
                self.expect(step.read, plan.graph.outputs[plan.gate], "the gate")
            if isinstance(step, Tick):
                assert plan.counted and index == len(plan.steps) - 1
            if isinstance(step, (Host, Fill)):
                assert index == front, "Host and Fill steps come first"
                front += 1
            if isinstance(step, Copy) and step.when:
                assert index == front, "copies that stand come next"
                front += 1
            if isinstance(step, Fill):
                self.put(step.write, self.tags[step.value])
            elif isinstance(step, Copy):
                assert step.read.shape == step.write.shape and step.read.dtype == step.write.dtype
                assert not self.overlap(step.read, step.write)
                self.put(step.write, self.get(step.read))
            elif isinstance(step, Call):
                self.call(step)
        for step in plan.steps:
            if isinstance(step, Copy) and step.when:
                assert (self.get(step.write) == self.get(step.read)).all(), "what stands was written over"
        self.ends(in_loop)

    def call(self, step: Call) -> None:
        node = step.node
        assert step.kernel.accepts(step.reads, step.writes, node.attrs)
        assert step.kernel.exact or not self.plan.exact
        for temp in step.temps:
            self.put(temp, np.full(temp.shape, POISON))
        for place, value in zip(step.reads, node.operands, strict=True):
            self.expect(place, value, f"{node} reads")
        may = {*step.kernel.overwrites, *([0] if node.op.family == "update" else [])}
        taken = [k for k, read in enumerate(step.reads) if self.identical(read, step.writes[0]) and k in may]
        if node.op.family == "update":
            assert 0 in taken
        for k, read in enumerate(step.reads):
            for write in step.writes:
                if part(node) is not None and k > 0:
                    assert not self.overlap(read, write, part(node)), "an update reads what it writes"
                elif self.overlap(read, write) and isinstance(held := node.attrs.get("blocked"), Blocked):
                    assert self.identical(read, write) and k in held.over(step.writes.index(write))
                elif self.overlap(read, write):
                    assert taken and self.identical(read, step.writes[0]) and write is step.writes[0]
                    assert k in taken or node.op.has(type(node.op.traits).ELEMENTWISE)
        written = [*step.writes, *step.temps]
        for a, b in itertools.combinations(written, 2):
            assert not self.overlap(a, b)
        for value, place in zip(node.outputs, step.writes, strict=True):
            assert place.shape == value.shape and place.dtype == value.dtype
            self.put(place, self.tags[value])

    @staticmethod
    def identical(a: Place, b: Place) -> bool:
        return (a.buffer, a.offset, a.shape, a.strides, a.dtype) == (b.buffer, b.offset, b.shape, b.strides, b.dtype)

    def overlap(self, a: Place, b: Place, of_b: Any = ...) -> bool:
        (one, start), (other, begin) = self.memory(a.buffer), self.memory(b.buffer)
        return one is other and bool(np.intersect1d(start + self.bytes_of(a), begin + self.bytes_of(b)[of_b]).size)

    def ends(self, in_loop: bool) -> None:
        """Results and states hold what they should; results are arrays of their own, or scalars that are read from where they lie."""
        plan = self.plan
        for value, place in zip(plan.graph.outputs, plan.results, strict=True):
            assert (place is None) == (value.spec.weak is not None)
            if place is not None:
                self.expect(place, value, "a result")
        if in_loop:
            assert all(p.buffer.kind != "state" for p in plan.results if p is not None)
        else:
            pairs = zip(plan.graph.outputs, plan.results)
            arrays = [p for v, p in pairs if p is not None and (v.shape or Trait.ARRAY in v.node.op.traits)]
            assert all(p.buffer.kind == "result" for p in arrays)
            assert len({p.buffer for p in arrays}) == len(arrays)
        news = dict(plan.graph.updates)
        inputs = [v for v in plan.graph.inputs if v.spec.weak is None]
        states = [v for v in inputs if v.node.attrs["kind"] == "state"]
        assert [plan.places[v] for v in states] == list(plan.states)
        for value in inputs:
            self.expect(plan.places[value], news.get(value, value), "a state" if value in states else "an input")
