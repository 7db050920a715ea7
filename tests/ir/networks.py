"""Graphs that several tests draw or print."""
from __future__ import annotations

from ir import Graph, Line, Spec
from ir.gradient import append_gradient
from ir.ops import nn, reduce


def line(number: int, code: str, phase: str = "forward") -> Line:
    return Line("model.py", number, "loss", phase, code)


def two_layers() -> Graph:
    """A two-layer sigmoid network, forward and gradient and update, over 100 points."""
    graph = Graph()
    named = {"x": (100, 1), "y": (100, 1), "W1": (1, 10), "b1": (10,), "W2": (10, 1), "b2": (1,)}
    inputs = [graph.input(Spec(s), "argument" if n in "xy" else "state", line(10, n)) for n, s in named.items()]
    x, y, *parameters = inputs
    w1, b1, w2, b2 = parameters
    with graph.at(line(12, "h = F.sigmoid(F.linear(x, W1, b1))")):
        h = nn.sigmoid(nn.linear(x, w1, b1))
    with graph.at(line(13, "difference = F.linear(h, W2, b2) - y")):
        difference = nn.linear(h, w2, b2) - y
    with graph.at(line(14, "return F.sum(difference * difference) / 100.0")):
        loss = reduce.sum(difference * difference, axis=(0, 1), keepdims=False, dtype=None) / 100.0
    with graph.at(line(14, "return F.sum(difference * difference) / 100.0", "backward")):
        one = graph.constant(1.0)
    gradients = append_gradient(graph, [loss], [one], parameters)
    with graph.at(line(20, "W.data -= lr * W.grad.data", "update")):
        graph.updates = [(w, w - 0.2 * g) for w, g in zip(parameters, gradients, strict=True)]
    graph.outputs = [loss]
    return graph
