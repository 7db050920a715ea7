"""A toy Target and graphs to plan: kernels that do nothing, some of them picky; a training step of a plain network; drawn graphs."""
from __future__ import annotations

import networkx as nx
import numpy as np
from hypothesis import strategies as st

from ir.gradient import append_gradient
from ir.graph import Graph, Value
from ir.op import Trait
from ir.ops import TABLE
from ir.ops import elementwise as e
from ir.ops.nn import linear, sigmoid
from ir.ops.opaque import opaque
from ir.ops.reduce import sum
from ir.spec import Spec
from ir.target import Kernel, Target


def in_order(reads, writes, attrs):
    return all(p.contiguous("C") for p in (*reads, *writes))


def blas(reads, writes, attrs):
    return all(p.contiguous("C") or p.contiguous("F") for p in (*reads, *writes))


def some_scratch(reads, writes, attrs):
    return 3 * reads[0].buffer.bytes % 1000


def a_row(specs, outs, attrs):
    return (outs[0].with_shape(outs[0].shape[-1:]),)


def _is_single(op) -> bool:
    return op.has(Trait.ELEMENTWISE) or op.name in ("set_slice", "add_slice")


def _kernels() -> dict[str, tuple[Kernel, ...]]:
    computed = [op for op in TABLE.values() if op.view_of is None and op.name != "python"]
    found = {op.name: (Kernel(op.name, op.name, None, overwrites=op.overwrites, single=_is_single(op)),) for op in computed}
    found["sum"] = (Kernel("add.reduce", "sum", None, accepts=in_order, scratch=some_scratch),)
    found["dot"] = (
        Kernel("dot", "dot", None, accepts=blas, cost=lambda specs, outs, attrs: 2.0),
        Kernel("fast dot", "dot", None, accepts=in_order, exact=False, cost=lambda specs, outs, attrs: 1.0),
    )
    found["linear"] = (Kernel("gemm", "linear", None, accepts=blas, temps=a_row),)
    found["tanh"] = (Kernel("tanh", "tanh", None),)  # which overwrites nothing
    return found


TOY = Target("toy", _kernels())


def network(layers: int, batch: int, width: int, train: bool) -> Graph:
    """Linear and sigmoid by turns, squared error, gradients; with `train`, updates of the states by a learning rate."""
    graph = Graph()
    x, t = graph.input(Spec((batch, width))), graph.input(Spec((batch, width)))
    params = [graph.input(Spec(shape), "state" if train else "argument") for _ in range(layers) for shape in ((width, width), (width,))]
    rate = graph.input(Spec((), "float64", "float")) if train else None
    h = x
    for k in range(layers):
        h = linear(h, params[2 * k], params[2 * k + 1])
        h = sigmoid(h) if k < layers - 1 else h
    d = e.subtract(h, t)
    loss = sum(e.multiply(d, d), axis=(0, 1), keepdims=False)
    grads = append_gradient(graph, [loss], [graph.constant(np.float64(1.0))], params)
    graph.outputs = [loss] if train else [loss, *grads]
    if train:
        graph.updates = [(p, e.subtract(p, e.multiply(rate, g))) for p, g in zip(params, grads)]
    needed = {v.node for v in graph.inputs}.union(*[nx.ancestors(graph.nx, v.node) | {v.node} for v in graph.results()])
    graph.remove([node for node in graph.nx if node not in needed])
    return graph


@st.composite
def graphs(draw: st.DrawFn, nodes: int = 25) -> Graph:
    """Graphs of all that the planner treats differently: views, reshapes, updates, numbers, states, several outputs."""
    graph = Graph()
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    shape = (rows, columns)
    values: list[Value] = [graph.input(Spec(shape), draw(st.sampled_from(["argument", "state"]))) for _ in range(3)]
    states = [v for v in values if v.node.attrs["kind"] == "state"]
    values.append(graph.constant(np.arange(float(rows * columns)).reshape(shape)))
    numbers = [graph.input(Spec((), "float64", "float")), graph.constant(0.5)]
    pick = st.integers(0, 10**6)

    def value(where=lambda v: True) -> Value:
        fitting = [v for v in values if where(v)]
        return fitting[-1 - draw(pick) % min(len(fitting), 6)]

    for _ in range(draw(st.integers(1, nodes))):
        x = value()
        kind = draw(st.integers(0, 12))
        if kind <= 2:
            y = value(lambda v, shape=x.shape: v.shape == shape)
            made = draw(st.sampled_from([e.add, e.multiply, e.subtract]))(x, y)
        elif kind == 3:
            made = e.multiply(x, numbers[draw(pick) % len(numbers)])
        elif kind == 4:
            made = draw(st.sampled_from([e.exp, e.tanh]))(x)
        elif kind == 5 and x.ndim == 2:
            made = TABLE["transpose"](x, axes=(1, 0))
        elif kind == 6:
            made = TABLE["reshape"](x, shape=draw(st.sampled_from([(x.spec.size,), x.shape[::-1], (1, x.spec.size), (x.spec.size, 1)])))
        elif kind == 7 and x.ndim and x.shape[0] > 1:
            index = draw(st.sampled_from([(1, None, 1), (0, None, 2), (0, 1, 1), (None, None, -1)]))
            made = TABLE["slice"](x, index=(_triple(index, x.shape[0]), *[(0, n, 1) for n in x.shape[1:]]))
        elif kind == 8:
            y = value(lambda v, shape=x.shape: v.shape in (shape, shape[1:], ()))
            made = TABLE[draw(st.sampled_from(["set_slice", "add_slice"]))](x, y, index=tuple((0, n, 1) for n in x.shape))
        elif kind == 9:
            made = TABLE["broadcast_to"](x, shape=(2, *x.shape)) if x.spec.size < 100 else e.exp(x)
        elif kind == 10 and x.ndim:
            made = sum(x, axis=(draw(st.integers(0, x.ndim - 1)),), keepdims=draw(st.booleans()))
        elif kind == 11:
            one, other = opaque(x, value(), specs=(x.spec, Spec((3,), "float32")))
            values.append(e.cast(other, dtype=np.dtype("float64")))
            made = one
        elif x.ndim == 2:
            y = value(lambda v: v.ndim == 2)
            made = TABLE["dot"](x, y) if x.shape[1] == y.shape[0] else TABLE["dot"](x, TABLE["transpose"](x, axes=(1, 0)))
        else:
            made = TABLE["python"](numbers[0], numbers[-1], fn="mul")
            numbers.append(made)
            continue
        values.append(made)
    graph.outputs = [values[draw(pick) % len(values)] for _ in range(draw(st.integers(0, 4)))]
    if draw(st.booleans()):
        graph.outputs.append(numbers[draw(pick) % len(numbers)])
    for state in states:
        fitting = [v for v in values if v.spec == state.spec]
        if draw(st.booleans()):
            new = draw(st.sampled_from(fitting[-3:]))
            graph.updates.append((state, e.subtract(state, new) if draw(st.booleans()) else new))
    return graph


def _triple(index, size):
    start, stop, step = index
    return (size - 1, None, -1) if step < 0 else (start, size if stop is None else stop, step)
