"""Which nodes run block by block: a graph in, groups of its nodes out, each with the axis along which all it computes is cut.

Axes are followed from operand to result by the operations' `axes` records, so that "the rows" of a whole network are one class of
(value, axis). Each node joins the class along which most of what it reads and gives is cut; classes give groups:

    e = exp(x - max(x, 1))      max and sum read whole rows: the rows are the class, and one group holds all three.
    s = sum(e, 1)
    b = sum(e, 0)               along the class: computed in parts, which a step of its own adds up. Who reads b is in a later group.

A group is convex: a level is counted along every path, and it rises wherever a path leaves a group. It rises too at a value that is read
at shifted rows, where computing those in each block again would be too much: a group of blocks of many rows holds some steps of a
stencil, one of few rows one step. What only new values of states need is in groups of its own, which may write over the old ones.
Whether a group pays is a matter of bytes: what a block reads and writes in its own buffers stays in the cache, what crosses the group's
border is moved. Which class a node joins where there are several is told in `choice.py`.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping

from ir.errors import Error
from ir.graph import Graph, Node, Value
from ir.planning.body import block_attrs
from ir.planning.choice import Stepping, choose
from ir.planning.classes import Classes, Spot, ratio
from ir.planning.follow import Way, followed, reads_slice, shows, with_length, writes_nearly_all, writes_slice
from ir.planning.forms import forms, of_forms
from ir.planning.group import Group, combines, lack, products_beside, without_loose_views
from ir.planning.halo import Cut
from ir.planning.orders import predicted
from ir.planning.outside import unfit
from ir.target import Target

Ints = tuple[int, ...]
Cuts = tuple[Cut | tuple[()] | None, ...]  # of operands: () where the class is not in one, None where it is in several of its axes
FEW = 16  # a block computes up to two rows again for each so many that it has
NO_AXIS = "it has no axis along which its operands and its result can be cut alike"


def groups(
    graph: Graph, target: Target, exact: bool, layouts: Mapping[int, str | tuple[int, ...]]
) -> tuple[list[Group], dict[Node, str]]:
    """The groups that pay, in the order of their first nodes, and why each other node is in none. The groups share no nodes and may be
    contracted all together. `layouts`: how the inputs lie.
    """
    order = graph.order()
    finder = _Finder(graph, order, exact, target, predicted(graph, layouts))
    why = {node: finder.unfit[node] or NO_AXIS for node in order}
    found = finder.found()
    parts = {node for group in found for node in group.parts}
    kept = []
    for group in found:
        missing = lack(group, parts, target, exact)
        if not missing:
            kept.append(group)
        for node in group.nodes:
            why[node] = missing
    for group in products_beside(found, kept, target):
        kept.append(group)
        why.update(dict.fromkeys(group.nodes, ""))
    return kept, {node: missing for node, missing in why.items() if missing}


class _Finder:
    def __init__(self, graph: Graph, order: list[Node], exact: bool, target: Target, lies: Mapping[Value, tuple[int, ...]]):
        self.graph, self.order, self.exact, self.target = graph, order, exact, target
        self.stepping = Stepping(lies, target)
        self.classes = Classes()
        self.form = forms(order)
        self.unfit = of_forms(self.form, order, lambda n: unfit(n, exact, target))
        self.nodes = [n for n in order if not self.unfit[n]]
        self.followed: dict[Node, dict[tuple[int, int], Way]] = of_forms(self.form, self.nodes, followed)
        for node, ways in self.followed.items():
            for (position, axis), way in ways.items():
                value, out = node.operands[position], node.outputs[0]
                of = ratio(value.shape[axis], out.shape[way.axis]) if way.runs else 1
                self.classes.unite((value, axis), (out, way.axis), of)
        self.shifted = {node for node, ways in self.followed.items() if any(way.start for way in ways.values())}
        self.spots: dict[Value, dict[Spot, list[int]]] = {}
        self.cuts: dict[Value, dict[Spot, Cut | None]] = {}
        self.legal: dict[tuple[int, int, Cut | None, Cuts], bool] = {}

    def found(self) -> list[Group]:
        ways = {node: dict(self._ways(node)) for node in self.nodes}
        chosen, late = choose(ways, self.stepping), self.graph.late(self.order)
        spread = self._spread(chosen) if self.shifted else {}
        level: dict[Node, int] = {}
        reach: dict[Node, tuple[int, int]] = {}  # of a node's rows: from and to how many rows away in its group's operands they come
        stored: set[Value] = set()
        gathered: dict[tuple[Spot, int, bool], list[Node]] = {}
        for node in self.order:
            mine = chosen.get(node)
            high, near = 0, []
            for value in node.operands:
                there = level.get(value.node, 0)
                other = chosen.get(value.node)
                alike = mine is not None and other is not None and other[0] == mine[0] and (value.node in late) == (node in late)
                inside = alike and other is not None and other[1] is not None and value not in stored
                high = max(high, there + (other is not None and not inside))
                near += [value] * inside
            level[node] = high
            if mine is not None:
                gathered.setdefault((mine[0], high, node in late), []).append(node)
                if spread:
                    low, top = reach[node] = self._reach(node, mine[0], {v: reach[v.node] for v in near if level[v.node] == high})
                    value = node.outputs[0]
                    if spread.get(value, 0) and top - low + spread[value] > self._halo(value, mine[0]):
                        stored.add(value)
        made = [g for (spot, _, _), nodes in gathered.items() for g in self._connected(nodes, spot, chosen)]
        position = {node: k for k, node in enumerate(self.order)}
        return sorted(made, key=lambda g: position[g.nodes[0]])

    # ---- rows that are read at a shift
    def _shift(self, node: Node, position: int, spot: Spot) -> int:
        """How many rows further on a node's rows read those of an operand."""
        value = node.operands[position]
        for axis in self._along(value, spot) if node in self.shifted else ():
            way = self.followed[node].get((position, axis))
            if way is not None and way.start:
                return way.start // (self.classes.each((value, axis)) or 1)
        return 0

    def _spread(self, chosen: dict[Node, tuple[Spot, int | None]]) -> dict[Value, int]:
        """Of each value how many rows lie between the first and the last that are read of it for the same row."""
        shifts: dict[Value, list[int]] = {}
        for node, (spot, _) in chosen.items():
            for position, value in enumerate(node.operands) if not reads_slice(node) else ():
                shift = self._shift(node, position, spot)
                while reads_slice(value.node):
                    shift, value = shift + self._shift(value.node, 0, spot), value.node.operands[0]
                shifts.setdefault(value, []).append(shift)
        return {value: max(found) - min(found) for value, found in shifts.items()}

    def _reach(self, node: Node, spot: Spot, near: dict[Value, tuple[int, int]]) -> tuple[int, int]:
        """From and to how many rows away what a node's rows hang on comes; `near`: the operands of its own group."""
        low, high = [], []
        for position, value in enumerate(node.operands):
            if value in near:
                shift = self._shift(node, position, spot)
                low.append(near[value][0] + shift)
                high.append(near[value][1] + shift)
        return min(low, default=0), max(high, default=0)

    def _halo(self, value: Value, spot: Spot) -> int:
        """How many rows more than its own a block may have to compute: few beside those it has, but one on either side always."""
        row_bytes = max(1, value.spec.nbytes // (self._size(value, spot) or 1))
        return max(2, self.target.block_elements * 8 // row_bytes // FEW * 2)

    def _ways(self, node: Node) -> Iterator[tuple[Spot, int | None]]:
        """The classes along which the node can be computed in blocks."""
        out = node.outputs[0]
        spots = self._spots(out)
        for spot, axes in spots.items():
            if len(axes) == 1 and self._legal(node, spot, axes[0]):
                yield spot, axes[0]
        if combines(node) and not self.exact:
            for spot in dict.fromkeys([spot for v in node.operands for spot in self._spots(v)]):
                if spot not in spots and all(self._cut(v, spot) for v in node.operands):
                    yield spot, None

    def _spots(self, value: Value) -> dict[Spot, list[int]]:
        """The axes of a value by class. Asked for when the classes are made: they are found once."""
        found = self.spots.get(value)
        if found is None:
            found = self.spots[value] = {}
            for axis, n in enumerate(value.shape):
                if n > 1:
                    found.setdefault(self.classes.root((value, axis)), []).append(axis)
        return found

    def _along(self, value: Value, spot: Spot) -> list[int]:
        return self._spots(value).get(spot, [])

    def _cut(self, value: Value, spot: Spot) -> Cut | None:
        """Where the class is in a value; None where it is not, or not in one place alone."""
        return self._cuts(value).get(spot)

    def _cuts(self, value: Value) -> dict[Spot, Cut | None]:
        """Where each class of a value is in it; None for one that is not in one place alone. Asked for often: found once."""
        cuts = self.cuts.get(value)
        if cuts is None:
            cuts = self.cuts[value] = {}
            for own, axes in self._spots(value).items():
                each = self.classes.each((value, axes[0])) if len(axes) == 1 else None
                cuts[own] = None if each is None else (axes[0], each)
        return cuts

    def _size(self, value: Value, spot: Spot) -> int:
        """How many rows of the class a value has; 0 where it is not cut."""
        cut = self._cut(value, spot)
        return 0 if cut is None else -(-value.shape[cut[0]] // cut[1])

    def _legal(self, node: Node, spot: Spot, axis: int) -> bool:
        """Whether the operation, given blocks, gives the block. Asked once for nodes of one form that are cut alike."""
        out, cuts = self._cut(node.outputs[0], spot), tuple([self._cuts(v).get(spot, ()) for v in node.operands])
        key = self.form[node], axis, out, cuts
        found = self.legal.get(key)
        if found is None:
            found = self.legal[key] = out is not None and self._size(node.outputs[0], spot) > 1 and self._gives_block(node, axis, out, cuts)
        return found

    def _gives_block(self, node: Node, axis: int, out: Cut, cuts: Cuts) -> bool:
        """`_legal` of a node whose operands are cut so: its own spec rule is asked, but for slices."""
        followed, specs = self.followed[node], []
        for position, (value, cut) in enumerate(zip(node.operands, cuts)):
            if cut == ():
                specs.append(value.spec)
                continue
            way = followed.get((position, cut[0])) if cut else None
            if not cut or way is None or way.axis != axis:
                return False
            if cut[1] * (node.outputs[0].shape[axis] if way.runs else 1) != out[1] * (value.shape[cut[0]] if way.runs else 1):
                return False
            specs.append(with_length(value.spec, cut[0], 2 * cut[1]))
        if reads_slice(node) or writes_slice(node):
            return _slice_legal(node, axis, cuts)
        wanted = with_length(node.outputs[0].spec, axis, 2 * out[1])
        try:
            return node.op.infer(tuple(specs), block_attrs(node, axis, 2 * out[1])) == (wanted,)
        except Error:  # the rule refuses: not in blocks
            return False

    # ---- groups
    def _connected(self, nodes: list[Node], spot: Spot, chosen: dict[Node, tuple[Spot, int | None]]) -> Iterator[Group]:
        """The nodes as groups that share what they read or give; views that no node of the group needs are left outside."""
        nodes = without_loose_views(nodes)
        near: dict[Value, list[Node]] = {}
        for node in nodes:
            for value in (*node.operands, *node.outputs):
                if self._along(value, spot):
                    near.setdefault(value, []).append(node)
        left = dict.fromkeys(nodes)
        place = {node: k for k, node in enumerate(nodes)}
        while left:
            first = next(iter(left))
            todo, seen = [first], {first}
            while todo:
                node = todo.pop()
                for value in (*node.operands, *node.outputs):
                    for other in near.pop(value, ()):  # of the second to come here all have been seen
                        if other not in seen:
                            seen.add(other)
                            todo.append(other)
            mine = sorted(seen, key=place.__getitem__)
            for node in mine:
                del left[node]
            lent = self._slices_read(mine, spot)
            cuts = {v: cut for n in (*lent, *mine) for v in (*n.operands, *n.outputs) if (cut := self._cut(v, spot))}
            parts = {n for n in mine if chosen[n][1] is None}
            whole = [v for n in mine if not shows(n.op) for v in (n.operands if n in parts else n.outputs)]
            group = Group([*lent, *mine], max([self._size(v, spot) for v in whole], default=1), cuts, parts)
            group.steps_ns = self.stepping.of_group(group)
            yield group

    def _slices_read(self, nodes: list[Node], spot: Spot) -> list[Node]:
        """The slices that a group reads of what others compute: they come into it, so that it reads the one value, with a halo."""
        inside, found = set(nodes), []
        todo = [v.node for n in nodes for v in n.operands]
        while todo:
            node = todo.pop()
            if node in inside or not reads_slice(node) or node not in self.followed:
                continue
            along = self._along(node.outputs[0], spot)
            if len(along) == 1 and self._legal(node, spot, along[0]):
                inside.add(node)
                found.append(node)
                todo.append(node.operands[0].node)
        position = {node: k for k, node in enumerate(self.order)} if found else {}
        return sorted(found, key=position.__getitem__)


def _slice_legal(node: Node, axis: int, cuts: Cuts) -> bool:
    """Whether what is read of a slice, or written, is followed too; a value that is written may have one index for all."""
    if cuts[0] == ():
        return False
    if reads_slice(node):
        return True
    value = node.operands[1]
    lies = axis - (node.outputs[0].ndim - value.ndim)
    varies = lies >= 0 and value.shape[lies] > 1
    return writes_nearly_all(node, axis) and value.ndim <= node.outputs[0].ndim and (not varies or cuts[1] != ())
