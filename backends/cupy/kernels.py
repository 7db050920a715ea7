"""The Target of generated kernels and library products: what the planner must know to make plans of few launches.

Figures are a data-centre GPU's, from its data sheet and not measured here: 3 us a launch, 2,000 bytes a nanosecond from memory, of which
one block of threads alone moves about 25; a reduction is spread over two blocks a multiprocessor.
"""
from __future__ import annotations

from collections.abc import Sequence

from backends.cupy.cuda import kernel_text
from ir.errors import NotLowered
from ir.graph import Graph, Node
from ir.kernel import Load, LoopForm, Store, dims_of
from ir.lowering import lower
from ir.lowering.rules import rule_of
from ir.ops import TABLE
from ir.planning.blocks import REGION
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
        return "", tuple([overwritable(form, graph, k) if k < len(graph.outputs) - len(parts) else () for k in range(len(graph.outputs))])


def overwritable(form: LoopForm, graph: Graph, output: int) -> tuple[int, ...]:
    """The inputs of an output's spec that the kernel reads only at the element that it writes, and in the same iteration."""
    reads: dict[str, list[tuple[Sequence[object], Load]]] = {}
    written = None
    for loops, statement in form.statements():
        if isinstance(statement, Load):
            reads.setdefault(statement.param, []).append(((loops[0], set(dims_of(loops))), statement))
        elif isinstance(statement, Store) and statement.param == f"out{output}":
            written = (loops[0], set(dims_of(loops))), statement
    if written is None:
        return ()
    (section, dims), store = written
    found = []
    for k, value in enumerate(graph.inputs):
        mine = reads.get(f"in{k}", [])
        alike = all(where[0] is section and where[1] == dims and load.at == store.at for where, load in mine)
        if mine and alike and value.spec == graph.outputs[output].spec:
            found.append(k)
    return tuple(found)


GENERATED = Kernel("kernel", REGION.name, None, single=True)
KERNELS = Target(
    "cupy", {**{name: (Kernel(f"cublas.{name}", name, None),) for name in PRODUCTS if name in TABLE}, REGION.name: (GENERATED,)},
    call_ns=3000.0, fork_ns=float("inf"), cache_bytes=0, bandwidth=2000.0, alignment=256, regions=True, region_buffers=False,
    region_products=False, generator=CudaGenerator(), lone_bandwidth=25.0, shares=256,
    lacking={"": "no kernel is generated for it", "power": "no kernel is generated for integers raised to powers that may be negative"},
    lacking_mend='mode="calls" runs it as a call of CuPy\'s',
)  # fmt: skip
