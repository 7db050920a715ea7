"""A plan's generated kernels: a plan in, for each step that is one its text, and where its params lie, out. Pure text and places."""
from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from backends.cupy.cuda import KernelText, kernel_text, module
from ir.graph import Constant, Graph
from ir.kernel import LoopForm
from ir.kernel_verify import verify
from ir.lowering import lower
from ir.ops import elementwise
from ir.place import Place
from ir.plan import Call, Copy, Plan
from ir.planning.blocks import REGION, Blocked
from ir.spec import Spec

ALIGNED = 256


@dataclass(frozen=True)
class Launch:
    """Step `step` of a plan as a kernel: `params`, in the order of `text.params`, are places, or constants to be uploaded once."""

    step: int
    form: LoopForm
    text: KernelText
    params: tuple[Place | Constant, ...]


def launches(plan: Plan, prefix: str = "k") -> Iterator[Launch]:
    """The kernels of a plan's steps (not of a loop's body: ask for its plan's), named by the index of the step."""
    for index, step in enumerate(plan.steps):
        if isinstance(step, Call) and step.node.op is REGION:
            held: Blocked = step.node.attrs["blocked"]
            yield _launch(index, f"{prefix}{index}", held.graph, held.each, step.reads, step.writes)
        elif isinstance(step, Copy):
            graph = Graph()
            x = graph.input(Spec(step.read.shape, step.read.dtype), line=step.line)
            same = step.read.dtype == step.write.dtype
            graph.outputs = [graph.apply(elementwise.copy, [x], None, step.line) if same else elementwise.cast(x, dtype=step.write.dtype)]
            yield _launch(index, f"{prefix}{index}", graph, (), (step.read,), (step.write,))


def source(plan: Plan, prefix: str = "k") -> str:
    """The text of the module of a plan's kernels."""
    return module([launch.text for launch in launches(plan, prefix)])


def _launch(
    index: int, name: str, graph: Graph, parts: tuple[int, ...], reads: tuple[Place, ...], writes: tuple[Place, ...]
) -> Launch:
    over = {k: j for k, w in enumerate(writes) for j, r in enumerate(reads) if w is r}
    form, constants = lower(
        graph, name, parts=parts, strides=[r.strides for r in reads], out_strides=[w.strides for w in writes], over=over
    )
    verify(form)
    places: dict[str, Place | Constant] = {f"in{k}": r for k, r in enumerate(reads)}
    places |= {f"out{k}": w for k, w in enumerate(writes)}
    places |= constants
    params = tuple([replace(p, aligned=_aligned(places[p.name])) for p in form.params])
    form = replace(form, params=params)
    return Launch(index, form, kernel_text(form), tuple([places[p.name] for p in params]))


def _aligned(where: Place | Constant) -> int:
    """Of how many bytes the address is a multiple. What the runner holds begins at one of `ALIGNED`; where a state lies is not known."""
    if isinstance(where, Constant):
        return ALIGNED
    if where.buffer.kind == "state":
        return 1
    return math.gcd(ALIGNED, where.offset + (where.buffer.offset or 0))
