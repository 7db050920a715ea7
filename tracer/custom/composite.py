"""Functions made of several operations, recorded as one.

Outside a trace such a function is a graph, traced once for each kind of operands; its intermediate values are nobody's, so there is one
record to make and to find again instead of one for each operation. Inside a trace it is the operations that it is made of.
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ir.graph import Graph
from ir.spec import Spec
from tracer.arrays.scalar import TracedScalar
from tracer.config import using_config
from tracer.eager.lazy import record_graph
from tracer.operands.stack import entered
from tracer.tracing.context import Tracing, current
from tracer.variable import Variable


def composed(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` takes arrays and numbers by position and gives one array; it is built from operations on its operands alone."""

    def graph_for(specs: tuple[Spec, ...]) -> Graph:
        tracing = Tracing()
        graph = tracing.graph
        inputs = [graph.input(spec) for spec in specs]
        with entered(tracing), using_config("enable_backprop", True):
            result = fn(*[TracedScalar(v, None) if v.spec.weak else tracing.wrap(v, array=True) for v in inputs])
            graph.outputs = [tracing.value_of(result)]
        tracing.forget()
        return graph

    @functools.wraps(fn)
    def function(*operands: Any) -> Any:
        return fn(*operands) if current() is not None else record_graph(Variable, graph_for, operands)[0]

    return function
