"""Lowering: a graph of operations in, the loop form that computes its outputs out (`ir/kernel.py`).

`elements.py` follows each output's element to the inputs' by the rules of `rules.py`; `nest.py` puts the statements into loops.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from ir.affine import Dim, index
from ir.constant import Constant
from ir.errors import NotLowered
from ir.graph import Graph
from ir.kernel import LoopForm, Reduce, Store
from ir.lowering.elements import Elements
from ir.lowering.nest import Sum, sections
from ir.lowering.rules import rule_of
from ir.planning.strides import c_strides
from ir.spec import Spec

Strides = Sequence[tuple[int, ...] | None]


def lower(
    graph: Graph, name: str = "kernel", *, parts: Sequence[int] = (), strides: Strides = (), out_strides: Strides = (),
    over: Mapping[int, int] | None = None, most: int = 0,
) -> tuple[LoopForm, dict[str, Constant]]:  # fmt: skip
    """The loop form of a graph, and its constant params by name; others are called `in0`, `out0` by the graph's inputs and outputs.

    The last outputs are reductions that are left in shares, so many for each of `parts`: their memory has an axis more in front. `strides`
    and `out_strides` say in bytes how inputs and outputs lie (None: C order); `over`: outputs that are written over inputs, by index.
    Raises NotLowered, with the operation and its line, where there is no way to write it as loops, and with `TOO_LONG` where that takes
    more than `most` statements (0: any number will do).
    """
    e, laid = Elements(graph, rule_of, strides, most), dict(over or {})
    given = len(graph.outputs) - len(parts)
    stores: list[Store] = []
    sums: list[Sum] = []
    for k, value in enumerate(graph.outputs):
        at = e.natural(value)
        operand = e.element(value, at)
        known = out_strides[k] if k < len(out_strides) else None
        if k < given:
            lies = e._strides(graph.inputs[laid[k]]) if k in laid else known or c_strides(value.shape, value.dtype.itemsize)
            stores.append(e.store(f"in{laid[k]}" if k in laid else f"out{k}", value.spec, at, lies, operand, value.node.line))
            continue
        reduce = next((s for s in e.statements if s.name == operand and isinstance(s, Reduce)), None)
        if reduce is None:
            raise NotLowered("what is to be added up in parts is no reduction").at(op=value.node.op.name, line=value.node.line)
        shares = parts[k - given]
        spec = Spec((shares, *value.shape), value.dtype)
        share = index(Dim("s", shares) if shares > 1 else 0)
        store = e.store(f"out{k}", spec, (share, *at), c_strides(spec.shape, spec.dtype.itemsize), operand, value.node.line)
        sums.append(Sum(store, reduce, shares))
    return LoopForm(name, tuple(e.params.values()), sections(e, stores, sums)), e.constants
