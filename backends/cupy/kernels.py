"""The Target of generated kernels and library products: what the planner must know to make plans of few launches.

Figures are a data-centre GPU's, from its data sheet and not measured here: 3 us a launch, 2,000 bytes a nanosecond from memory, of which
one block of threads alone moves about 25; a reduction is spread over two blocks a multiprocessor.
"""
from __future__ import annotations

from backends.cupy.cuda import kernel_text
from ir.affine import Dim, Index
from ir.errors import NotLowered
from ir.graph import Graph, Node
from ir.kernel import Load, LoopForm, Store, dims_of
from ir.lowering import lower
from ir.lowering.rules import rule_of
from ir.ops import TABLE
from ir.planning.blocks import REGION
from ir.spec import Spec
from ir.target import Kernel, Target

OFTEN, MANY = 4, 100  # statements of a kernel: so many for each node, and so many more
PRODUCTS = ("dot", "matmul", "linear", "linear_vjp")


class CudaGenerator:
    """See `ir.target.Generator`."""

    def refuses(self, node: Node) -> str:
        """Why an operation has no generated code."""
        try:
            rule_of(node)
        except NotLowered as error:
            return error.cause
        return ""

    def lends(self, graph: Graph, parts: tuple[int, ...]) -> tuple[str, tuple[tuple[int, ...], ...]]:
        """Why a graph is no single kernel; for each output the inputs that it may be written over."""
        try:
            form, _ = lower(graph, parts=parts, most=OFTEN * len(graph.order()) + MANY)
            kernel_text(form)
        except NotLowered as error:
            return error.cause, ()
        lent = overwritable(form, graph)
        return "", tuple([lent.get(k, ()) if k < len(graph.outputs) - len(parts) else () for k in range(len(graph.outputs))])


def overwritable(form: LoopForm, graph: Graph) -> dict[int, tuple[int, ...]]:
    """For each output the inputs of its spec that the kernel reads only at the element that it writes, and in the same iteration."""
    reads: dict[str, set[tuple[int, frozenset[Dim], Index]]] = {}
    writes: dict[str, tuple[int, frozenset[Dim], Index]] = {}
    for loops, statement in form.statements():
        if isinstance(statement, Load | Store):
            where = id(loops[0]), frozenset(dims_of(loops)), statement.at
            if isinstance(statement, Load):
                reads.setdefault(statement.param, set()).add(where)
            else:
                writes[statement.param] = where
    inputs: dict[tuple[Spec, tuple[int, frozenset[Dim], Index]], list[int]] = {}
    for k, value in enumerate(graph.inputs):
        found = reads.get(f"in{k}", set())
        if len(found) == 1:
            inputs.setdefault((value.spec, next(iter(found))), []).append(k)
    given = [(k, writes.get(f"out{k}")) for k in range(len(graph.outputs))]
    return {k: tuple(inputs.get((graph.outputs[k].spec, where), ())) for k, where in given if where is not None}


GENERATED = Kernel("kernel", REGION.name, None, single=True)
KERNELS = Target(
    "cupy", {**{name: (Kernel(f"cublas.{name}", name, None),) for name in PRODUCTS if name in TABLE}, REGION.name: (GENERATED,)},
    call_ns=3000.0, fork_ns=float("inf"), cache_bytes=0, bandwidth=2000.0, alignment=256, regions=True, region_buffers=False,
    region_products=False, generator=CudaGenerator(), lone_bandwidth=25.0, shares=256,
    lacking={"": "no kernel is generated for it", "power": "no kernel is generated for integers raised to powers that may be negative"},
    lacking_mend='mode="calls" runs it as a call of CuPy\'s',
)  # fmt: skip
