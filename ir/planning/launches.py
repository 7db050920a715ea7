"""Groups for Targets that generate code: a graph in, sets of nodes out, each of which one generated kernel computes.

A generated kernel computes any number of results of any shapes; what it may not do is read what other parts of it have yet to finish. So
nodes have *levels*: a node stands as low as what it reads allows, one higher where it reads a product, or a reduction that is spread over
the whole machine; all nodes of a level are one kernel.

    h = sigmoid(dot(x, W))       level 1: the product first
    s = sum(h, 1)                level 1: a row's sum is made where the row is
    y = h / s                    level 1
    b = sum(y, 0)                level 1: in shares, which level 2 adds up

Whether a reduction is read in the kernel that makes it is a matter of time: its rows must keep the machine busy (`lone_bandwidth` is
what one row's worker moves), or be so small that waiting takes no longer than another call. What only new values of states need stands as
high as may be, so that one kernel at the end updates all of them.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ir.graph import CONSTANT, INPUT, Graph, Node, Value
from ir.ops import TABLE
from ir.planning.blocks import Blocked
from ir.planning.follow import shows
from ir.planning.select import slot_dtype
from ir.planning.shares import PARTS, pays, rows_of
from ir.spec import Spec
from ir.target import TOO_LONG, Target

DEEP = 8  # slices one behind the other in a kernel, at most


@dataclass
class Launch:
    """The nodes of one generated kernel, in the order of the graph; `blocked`: as a graph of their own; `operands` and `outputs` of it."""

    nodes: list[Node]
    operands: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    blocked: Blocked | None = None
    why: str = ""


def source(value: Value) -> Value:
    """What a view is a view of, through all views."""
    while shows(value.node.op):
        value = value.node.operands[0]
    return value


def sliced(value: Value) -> bool:
    """Whether a slice is among the views through which a value is read."""
    while shows(value.node.op):
        if "index" in value.node.attrs:
            return True
        value = value.node.operands[0]
    return False


# ---- levels
def launches(graph: Graph, target: Target) -> tuple[list[Launch], dict[Node, str]]:
    """The kernels, each of which reads only what those before it, and products, give; and why other nodes are in none."""
    finder = _Finder(graph, target)
    return finder.found(), {n: why for n, why in finder.refused.items() if why}


class _Finder:
    def __init__(self, graph: Graph, target: Target):
        assert target.generator is not None
        self.graph, self.target, self.generator = graph, target, target.generator
        self.order = graph.order()
        self.refused = {n: self._refusal(n) for n in self.order}
        self.made = [n for n in self.order if not self.refused[n]]
        self.apart: set[tuple[Node, Node]] = set()  # pairs of which the second reads what another kernel has made
        self.alone: set[Node] = set()
        self.deep = DEEP
        self.late = graph.late(self.order)

    def _refusal(self, node: Node) -> str:
        if node.op in (INPUT, CONSTANT) or shows(node.op) or any(v.spec.weak for v in node.outputs):
            return "it computes no array"
        if node.op is PARTS:
            return ""
        if len(node.outputs) != 1:
            return "it has several results"
        return self.generator.refuses(node)

    def found(self) -> list[Launch]:
        while True:
            made = [self._launch(nodes) for nodes in self._groups()]
            failed = [launch for launch in made if launch.blocked is None]
            if not failed:
                return made
            if any(launch.why == TOO_LONG for launch in failed) and self.deep:
                self.deep //= 2
                continue
            for launch in failed:
                self._part(launch)

    def _part(self, launch: Launch) -> None:
        """Fewer nodes together: reductions and who reads them apart, and if none is left to be taken apart, all of them."""
        inside = set(launch.nodes)
        pairs = [(o.node, n) for n in launch.nodes for v in n.operands if (o := source(v)).node in inside]
        reduced = [(o, n) for o, n in pairs if o.op.family == "reduce" and (o, n) not in self.apart]
        if not reduced and len(launch.nodes) == 1:
            node = launch.nodes[0]
            self.refused[node] = "it can't be written as loops by itself"
            self.made.remove(node)
        self.apart.update(reduced or pairs or [(a, b) for a in launch.nodes for b in launch.nodes if a is not b])
        if not reduced and not pairs:
            self.alone.update(launch.nodes)

    def _groups(self) -> Iterator[list[Node]]:
        level = self._levels()
        last = max([level[n] for n in self.made], default=0)
        ends = {source(v).node for _, v in self.graph.updates}
        closing = any(level.get(n) == last and n in self.late for n in ends)
        groups: dict[tuple[int, bool, Node | None], list[Node]] = {}
        for node in self.made:
            final = closing and node in self.late and level[node] == last
            groups.setdefault((level[node], final, node if node in self.alone else None), []).append(node)
        yield from groups.values()

    def _levels(self) -> dict[Node, int]:
        """As low as may be; then what is late as high as may be."""
        level: dict[Node, int] = {}
        rows: dict[Node, int] = {}  # of a node that a row makes: how many there are
        depth: dict[Node, int] = {}  # how many slices of what the kernel itself computes lie one behind the other
        made = set(self.made)
        for node in self.order:
            if node.op in (INPUT, CONSTANT) or shows(node.op):
                continue
            reads = [o for v in node.operands if (o := source(v).node) in level]
            if node not in made:
                level[node] = max([level[o] for o in reads], default=0)
                continue
            for o in reads:
                if o in rows and level[o] + self._after(o, node, made) == level[o] and not self._fits(node, rows[o]):
                    self.apart.add((o, node))
            cut = {source(v).node for v in node.operands if sliced(v)} & made
            for o in reads:
                if o in cut and depth.get(o, 0) >= self.deep:
                    self.apart.add((o, node))
            level[node] = max([level[o] + self._after(o, node, made) for o in reads], default=0)
            near = [o for o in reads if o in made and level[o] == level[node] and not self._after(o, node, made)]
            depth[node] = max([depth.get(o, 0) + (o in cut) for o in near], default=0)
            own = [rows[o] for o in near if o in rows] + ([rows_of(node)] if node.op.family == "reduce" else [])
            if own:
                rows[node] = max(own)
        self._raise(level, made)
        return level

    def _raise(self, level: dict[Node, int], made: set[Node]) -> None:
        top = max([level[n] for n in made], default=0)
        high: dict[Node, int] = {}
        for node in reversed(self.order):
            if node in level:
                if node in made and node in self.late:
                    level[node] = max(level[node], high.get(node, top))
                for v in node.operands:
                    o = source(v).node
                    if o in level:
                        high[o] = min(high.get(o, top), level[node] - self._after(o, node, made))

    def _after(self, o: Node, node: Node, made: set[Node]) -> int:
        """How much higher than `o` a node stands that reads it."""
        if node not in made:
            return 0
        return 1 if o not in made or o.op is PARTS or (o, node) in self.apart else 0

    def _fits(self, node: Node, rows: int) -> bool:
        """Whether a node can be made by so many rows, and without taking longer, by more than a call, than all of the machine would."""
        if node.op is PARTS:
            return True
        if node.op.family == "reduce" and rows_of(node) < rows:  # it reduces over the rows themselves
            return False
        largest = max([v.spec for v in (*node.operands, *node.outputs)], key=lambda s: s.nbytes)
        return pays(largest, rows, True, self.target)

    # ---- as a graph of its own
    def _launch(self, nodes: list[Node]) -> Launch:
        launch = Launch(nodes)
        inside = set(nodes)
        wanted = {source(v) for v in self.graph.results()}
        whole: list[Value] = []
        parts: list[Value] = []
        for node in nodes:
            out = node.outputs[0]
            if out in wanted or any(u not in inside for u in self._readers(out)):
                (parts if node.op is PARTS else whole).append(out)
        launch.outputs = [*whole, *parts]
        shares = tuple([v.node.attrs["shares"] for v in parts])
        graph, launch.operands = self._copied(launch)
        why, lends = self.generator.lends(graph, shares)
        launch.why = why
        if not why:
            launch.blocked = Blocked(graph, 1, {}, len(parts), lends=lends, each=shares)
        return launch

    def _readers(self, value: Value) -> Iterator[Node]:
        """Who reads a value, through views or not."""
        todo = [value]
        while todo:
            for user in self.graph.users(todo.pop().node):
                if shows(user.op):
                    todo.append(user.outputs[0])
                else:
                    yield user

    def _copied(self, launch: Launch) -> tuple[Graph, list[Value]]:
        graph = Graph()
        mapped: dict[object, Value] = {}
        operands: list[Value] = []

        def give(node: Node, position: int) -> Value:
            value = node.operands[position]
            key: object = value
            if value.spec.weak and value.node.op is not CONSTANT:
                dtype = slot_dtype(node, position) if value.spec.weak == "int" else value.dtype
                key = (value, dtype)
            if key not in mapped:
                if isinstance(key, tuple):
                    spec = Spec((), key[1]) if key[1].kind in "iu" else value.spec
                    mapped[key] = graph.input(spec, line=value.node.line)
                    operands.append(value)
                elif value.node.op is CONSTANT:
                    mapped[key] = graph.constant(value.node.attrs["value"], value.node.line)
                else:
                    mapped[key] = graph.input(value.spec, line=value.node.line)
                    operands.append(value)
            return mapped[key]

        for node in self._with_views(launch.nodes):
            given = [give(node, k) for k in range(len(node.operands))]
            if node.op is PARTS:
                attrs = {k: v for k, v in node.attrs.items() if k not in ("of", "shares")}
                mapped[node.outputs[0]] = graph.apply(TABLE[node.attrs["of"]], given, attrs, node.line)
            else:
                mapped[node.outputs[0]] = graph.apply(node.op, given, node.attrs, node.line)
        graph.outputs = [mapped[v] for v in launch.outputs]
        return graph, operands

    def _with_views(self, nodes: Sequence[Node]) -> list[Node]:
        """The nodes, and the views through which they read."""
        inside = set(nodes)
        todo = [v.node for n in nodes for v in n.operands]
        while todo:
            node = todo.pop()
            if node not in inside and shows(node.op):
                inside.add(node)
                todo.append(node.operands[0].node)
        return [n for n in self.order if n in inside]
