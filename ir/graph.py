"""The graph: applications of operations over a `networkx.MultiDiGraph`, built and rewritten through a few methods that keep it valid.

A `Node` is one application; a `Value` is one of its outputs and there is exactly one object for it, so values compare by identity.
A node owns its tuple of operands; the edges of `graph.nx` (producer -> consumer, keyed by operand position, `index` = which output)
mirror it. The order of a graph is not stored: `order()` walks from the outputs, so that equal graphs list equal nodes in equal
order however they were built or rewritten.
"""
from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np

from ir.constant import Constant
from ir.errors import Error, VerifyError
from ir.op import Op, Trait, no_flops
from ir.source import Line, user_line
from ir.spec import Spec


def constant_spec(*, value: Constant) -> Spec:
    return value.spec


CONSTANT = Op(
    "constant", "source", (), spec=constant_spec, meaning=lambda *, value: value.value, vjp=lambda g, y, **_: (),
    axes=lambda out_specs, specs, **_: (), flops=no_flops, traits=Trait.SOURCE | Trait.ARRAY,
)
INPUT = Op(
    "input", "source", (), spec=lambda *, spec, **_: spec, meaning=lambda **_: None, vjp=lambda g, y, **_: (),
    axes=lambda out_specs, specs, **_: (), flops=no_flops, traits=Trait.SOURCE | Trait.ARRAY | Trait.OPAQUE,
)


class Value:
    """Output `index` of `node`. Python operators on Values build nodes (attached in `ir/__init__.py`); `==` is identity."""

    __slots__ = ("node", "index", "spec", "__weakref__")

    def __init__(self, node: Node, index: int, spec: Spec):
        self.node, self.index, self.spec = node, index, spec

    @property
    def graph(self) -> Graph:
        return self.node.graph

    @property
    def shape(self) -> tuple[int, ...]:
        return self.spec.shape

    @property
    def dtype(self) -> np.dtype:
        return self.spec.dtype

    @property
    def ndim(self) -> int:
        return len(self.spec.shape)

    def __repr__(self) -> str:
        return f"<{self.node.op.name}.{self.index} : {self.spec}>"

    if TYPE_CHECKING:  # attached in `ir/__init__.py`

        def __add__(self, other: Any) -> Value: ...
        def __radd__(self, other: Any) -> Value: ...
        def __sub__(self, other: Any) -> Value: ...
        def __rsub__(self, other: Any) -> Value: ...
        def __mul__(self, other: Any) -> Value: ...
        def __rmul__(self, other: Any) -> Value: ...
        def __truediv__(self, other: Any) -> Value: ...
        def __rtruediv__(self, other: Any) -> Value: ...
        def __floordiv__(self, other: Any) -> Value: ...
        def __mod__(self, other: Any) -> Value: ...
        def __pow__(self, other: Any) -> Value: ...
        def __rpow__(self, other: Any) -> Value: ...
        def __matmul__(self, other: Any) -> Value: ...
        def __rmatmul__(self, other: Any) -> Value: ...
        def __lt__(self, other: Any) -> Value: ...
        def __le__(self, other: Any) -> Value: ...
        def __gt__(self, other: Any) -> Value: ...
        def __ge__(self, other: Any) -> Value: ...
        def __neg__(self) -> Value: ...
        def __pos__(self) -> Value: ...
        def __abs__(self) -> Value: ...


class Node:
    """One application of `op`. `attrs` holds hashable values; `line` is the user's; `outputs` its Values.

    `recompute_of`: the node whose results it computes a second time, so that they need not be kept (`ir/planning/recompute.py`).
    """

    __slots__ = ("graph", "op", "operands", "attrs", "line", "outputs", "serial", "recompute_of", "__weakref__")

    def __init__(
        self, graph: Graph, op: Op, operands: tuple[Value, ...], attrs: dict[str, Any], specs: tuple[Spec, ...], line: Line | None
    ):
        self.graph, self.op, self.operands, self.attrs, self.line = graph, op, operands, attrs, line
        self.outputs = (Value(self, 0, specs[0]),) if len(specs) == 1 else tuple([Value(self, k, spec) for k, spec in enumerate(specs)])
        self.serial = 0
        self.recompute_of: Node | None = None

    @property
    def specs(self) -> tuple[Spec, ...]:
        return tuple([v.spec for v in self.outputs])

    @property
    def phase(self) -> str:
        return self.line.phase if self.line is not None else "forward"

    def __repr__(self) -> str:
        return f"<node {self.op.name} {', '.join(map(str, self.specs))}>"


class Graph:
    """Inputs, nodes and outputs. `updates` ties a state input to the Value that replaces it when the run is over.

    `apply` builds, `replace` and `remove` rewrite, `order` walks; nothing else changes the structure.
    """

    def __init__(self) -> None:
        self.nx = nx.MultiDiGraph()
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self.updates: list[tuple[Value, Value]] = []
        self._line: Line | None = None
        self._order: list[Node] | None = None
        self._ordered: list[Value] = []
        self._serial = 0

    # ---- building
    def apply(self, op: Op, operands: Sequence[Any], attrs: dict[str, Any] | None = None, line: Line | None = None) -> Any:
        """Adds a node; gives its Value, or a tuple where the operation has several outputs. Numbers and arrays become constants.

        Raises the rule's ShapeError or DTypeError with operation, operand specs and line added; the graph is then unchanged.
        """
        attrs = attrs or {}
        line = line or self._line or user_line()
        values = tuple([v if type(v) is Value else self.constant(v, line) for v in operands])
        try:
            specs = op.infer(tuple([v.spec for v in values]), attrs)
        except Error as error:
            raise error.at(op=op.name, operands=zip(op.names(len(values)), [v.spec for v in values]), line=line)
        outputs = self._add(op, values, attrs, specs, line).outputs
        return outputs[0] if len(outputs) == 1 else outputs

    def constant(self, value: Any, line: Line | None = None) -> Value:
        """A constant node for an array (copied), NumPy scalar, Python number or Constant."""
        held = value if isinstance(value, Constant) else Constant(value)
        return self._add(CONSTANT, (), {"value": held}, (held.spec,), line or self._line).outputs[0]

    def input(self, spec: Spec, kind: str = "argument", line: Line | None = None) -> Value:
        """A new input at the end of `inputs`. `kind`: "argument", "captured" or "state"; a weak spec is a Python number's."""
        value = self._add(INPUT, (), {"kind": kind, "spec": spec}, (spec,), line).outputs[0]
        self.inputs.append(value)
        return value

    def _add(self, op: Op, operands: tuple[Value, ...], attrs: dict[str, Any], specs: tuple[Spec, ...], line: Line | None) -> Node:
        for position, operand in enumerate(operands):
            if operand.node.graph is not self:
                raise VerifyError(f"operand {position} of {op.name} belongs to another graph").at(op=op.name, line=line)
        node = Node(self, op, operands, attrs, specs, line)
        node.serial = self._serial = self._serial + 1
        succ, pred = self.nx._succ, self.nx._pred  # what `add_edge` does, in a quarter of its time: the node is new
        self.nx._node[node], succ[node] = {}, {}
        given: dict[Node, dict[int, dict[str, int]]] = {}
        pred[node] = given
        for position, operand in enumerate(operands):
            edge = {"index": operand.index}
            if operand.node in given:
                given[operand.node][position] = edge
            else:
                given[operand.node] = succ[operand.node][node] = {position: edge}
        nx._clear_cache(self.nx)
        self._order = None
        return node

    def at(self, line: Line | None) -> AbstractContextManager[None]:
        """New nodes inherit `line` (rewrites and gradients: the line of what they replace or differentiate)."""
        return _At(self, line)

    def inline(self, other: Graph, operands: Sequence[Value], phase: str | None = None) -> dict[Value, Value]:
        """Copies `other`'s nodes into this graph, its inputs standing for `operands`. Gives the map from its Values to ours."""
        mapped: dict[Value, Value] = dict(zip(other.inputs, operands, strict=True))
        again: list[tuple[Node, Node]] = []
        for node in other.order():
            if node.op is INPUT:
                continue
            line = node.line.during(phase) if phase and node.line else node.line
            copy = self._add(node.op, tuple([mapped[v] for v in node.operands]), dict(node.attrs), node.specs, line)
            mapped.update(zip(node.outputs, copy.outputs))
            if node.recompute_of is not None:
                again.append((copy, node.recompute_of))
        for copy, first in again:
            found = mapped.get(first.outputs[0])
            copy.recompute_of = found.node if found is not None else None
        return mapped

    def copy(self, into: Graph | None = None) -> tuple[Graph, dict[Value, Value]]:
        """A copy (in `into`, an empty graph), and the map from the Values of this graph to the copy's."""
        twin = Graph() if into is None else into
        inputs = [twin.input(v.spec, v.node.attrs["kind"], v.node.line) for v in self.inputs]
        mapped = twin.inline(self, inputs)
        twin.outputs = [mapped[v] for v in self.outputs]
        twin.updates = [(mapped[a], mapped[b]) for a, b in self.updates]
        return twin, mapped

    # ---- rewriting
    def replace(self, old: Value, new: Value, is_result: bool = True) -> list[Node]:
        """Every use of `old` (operands, outputs, updates) becomes `new`; gives the nodes that used it. The specs must be equal.

        `is_result`: False where it is known that `old` is no output and no new value of a state, so that they need not be looked through.
        """
        if old is new:
            return []
        if old.spec != new.spec:
            raise VerifyError(f"a rewrite replaces {old.spec} by {new.spec}").at(op=old.node.op.name, line=old.node.line)
        uses = self.uses(old)
        for node, position in uses:
            self.rewire(node, position, new)
        if is_result:
            self.outputs = [new if v is old else v for v in self.outputs]
            self.updates = [(state, new if v is old else v) for state, v in self.updates]
        self._order = None
        return [node for node, _ in uses]

    def rewire(self, node: Node, position: int, new: Value) -> None:
        """Operand `position` of the node becomes `new`; its outputs keep their specs."""
        old = node.operands[position]
        node.operands = (*node.operands[:position], new, *node.operands[position + 1 :])
        self.nx.remove_edge(old.node, node, key=position)
        self.nx.add_edge(new.node, node, position, index=new.index)
        self._order = None

    def remove(self, nodes: Iterable[Node]) -> None:
        """Removes nodes that nothing else uses."""
        self.nx.remove_nodes_from(nodes)
        self._order = None

    # ---- asking
    def uses(self, value: Value) -> list[tuple[Node, int]]:
        """(node, operand position) for each use as an operand, in the order in which the uses were made."""
        index = value.index
        return [(user, at) for user, edges in self.users(value.node).items() for at, edge in edges.items() if edge["index"] == index]

    def users(self, node: Node) -> Mapping[Node, Mapping[int, Mapping[str, int]]]:
        """The nodes with an operand from `node`, each with its edges by operand position. Not to be written into."""
        return self.nx._succ[node]  # `nx.succ` wraps every level in a view, which takes ten times as long

    def updated(self) -> set[int]:
        """The indices of the inputs that updates give new values."""
        states = {state for state, _ in self.updates}
        return {k for k, value in enumerate(self.inputs) if value in states}

    def late(self, order: Iterable[Node]) -> set[Node]:
        """The nodes of `order` that new values of states alone need: they may run at the very end and write over the old ones."""
        early: set[Node] = set()
        todo = [v.node for v in self.outputs]
        while todo:
            node = todo.pop()
            if node not in early:
                early.add(node)
                todo += [v.node for v in node.operands]
        return {node for node in order if node not in early}

    def results(self) -> list[Value]:
        """The outputs, then the new values of states."""
        return self.outputs + [new for _, new in self.updates]

    def order(self) -> list[Node]:
        """All nodes, operands first: the inputs, then a depth-first walk from the results, then what nothing needs, as built.

        The list is shared until the next change: do not write into it.
        """
        ends = [*self.inputs, *self.results()]
        if self._order is None or self._ordered != ends:
            seen = {v.node for v in self.inputs}
            found = list(dict.fromkeys([v.node for v in self.inputs]))
            for value in self.results():
                _walk(value.node, seen, found)
            if len(found) < len(self.nx):
                for node in sorted((n for n in self.nx if n not in seen), key=lambda n: n.serial):
                    _walk(node, seen, found)
            self._order, self._ordered = found, ends
        return self._order

    @property
    def constants(self) -> dict[str, np.ndarray]:
        """The arrays of the constant nodes by `sha256:...`, as `ir.parse(text, constants=...)` takes them (Python numbers: in the text)."""
        held = [n.attrs["value"] for n in self.order() if n.op is CONSTANT]
        return {f"sha256:{c.sha}": c.array() for c in held if c.spec.weak is None}

    def __len__(self) -> int:
        return len(self.nx)

    if TYPE_CHECKING:  # attached in `ir/__init__.py`

        @property
        def rules(self) -> dict[str, Any]: ...
        def text(self, lines: bool = True) -> str: ...
        def verify(self) -> None: ...
        def to_dot(self) -> str: ...
        def render(self, path: str | os.PathLike[str]) -> None: ...


class _At:
    """What `Graph.at` gives."""

    __slots__ = ("graph", "line", "before")

    def __init__(self, graph: Graph, line: Line | None):
        self.graph, self.line = graph, line

    def __enter__(self) -> None:
        self.before, self.graph._line = self.graph._line, self.line

    def __exit__(self, *error: object) -> None:
        self.graph._line = self.before


def _walk(root: Node, seen: set[Node], found: list[Node]) -> None:
    """Appends what `root` needs, and `root`, operands first (a depth-first post-order by operand position; no recursion)."""
    if root in seen:
        return
    seen.add(root)
    stack = [(root, iter(root.operands))]
    while stack:
        node, operands = stack[-1]
        for operand in operands:
            if operand.node not in seen:
                seen.add(operand.node)
                stack.append((operand.node, iter(operand.node.operands)))
                break
        else:
            found.append(node)
            stack.pop()

