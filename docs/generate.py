"""Writes docs/architecture.md and docs/errors.md by running their examples: `python -m docs.generate`; tests compare the pages.

This file makes the page of the architecture, `docs/errors.py` that of the errors.
"""
from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import tracer
from backends.numpy.target import TARGET
from docs import errors
from docs import predict as example
from ir import passes, planning
from ir.plan import Plan

PAGE = Path(__file__).with_name("architecture.md")


def block(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.rstrip()}\n```\n"


def after_each_pass() -> str:
    """The graph of `predict` after every pass of the first round that changed it."""
    graph = tracer.trace(example.predict, example.x)
    parts = []
    for module in passes.PASSES:
        before = graph.text(lines=False)
        module.run(graph, exact=False)
        name = module.__name__.rpartition(".")[2]
        if graph.text(lines=False) != before:
            parts.append(f"After `ir/passes/{name}.py`:\n\n" + block(graph.text(lines=False)))
    return "\n".join(parts)


def normalised(x: Any, scale: Any, shift: Any) -> Any:
    """The rows of x brought to mean 0 and variance 1, scaled and shifted; the sum of squares."""
    centred = x - x.mean(1, keepdims=True)
    rows = centred / np.sqrt((centred * centred).mean(1, keepdims=True) + 1e-5) * scale + shift
    return (rows * rows).sum()


def in_blocks() -> Plan:
    """The plan of its gradient by x and scale, 4096 rows of 256, for two workers."""
    x, scale = tracer.Spec((4096, 256), np.float32), tracer.Spec((256,), np.float32)
    graph = tracer.trace(tracer.grad(normalised, argnums=(0, 1)), x, scale, scale)
    passes.optimize(graph)
    return planning.plan(graph, replace(TARGET, workers=2))


def page() -> str:
    """The page's text."""
    x, y, step = example.x, example.y, example.step
    return TEMPLATE.format(
        example=block(Path(example.__file__).read_text(encoding="utf-8"), "python"),
        traced=block(str(tracer.trace(example.predict, x))),
        passes=after_each_pass(),
        pass_names=", ".join([f"`{module.__name__.rpartition('.')[2]}`" for module in passes.PASSES]),
        joint=block(str(step.graph(x, y))),
        plan=block(step.plan(x, y).text(lines=False)),
        program=block(step.source(x, y), "python"),
        normalised=block(inspect.getsource(normalised), "python"),
        regions=block(in_blocks().text(lines=False)),
    )


TEMPLATE = """<!-- written by `python -m docs.generate`; change the template there -->
# Architecture: the way of the data

```
user function ──trace──▶ Graph ──gradient──▶ joint Graph ──passes──▶ Graph         tracer/, ir/
   ──plan for a Target: kernels and places ▶ order ▶ lifetimes ▶ offsets──▶ Plan    ir/planning/
   ──emit──▶ Program (text) ──bind──▶ Instance ──call──▶ arrays in, arrays out      backends/numpy/
```

Imports go one way, `tracer -> backends -> ir`. `ir` is the whole compiler and runs nothing but the reference evaluator; a backend is
data for the planner and an emitter; `tracer` is what a user holds.

| stage | files |
| --- | --- |
| what records operations, and who is asked for them | `tracer/operands/` |
| the function's arrays and numbers while it is traced | `tracer/arrays/`, `tracer/numpy_api/` |
| run the function once on them | `tracer/tracing/`: `trace.py`, `context.py`, `outside.py` |
| a view of a storage, writes as functional updates | `tracer/arrays/storage.py`, `ir/ops/update.py` |
| the graph, its operations, its text | `ir/graph.py`, `ir/ops/`, `ir/text.py`, `ir/parse.py`, `ir/verify.py` |
| reverse mode, graph to graph | `ir/gradient.py`, `ir/support.py`, the `vjp` of each record in `ir/ops/` |
| rewriting | `ir/pattern.py`, `ir/rules.py`, `ir/rewrite.py`, `ir/passes/` |
| kernels, places, order, lifetimes, offsets | `ir/target.py`, `ir/place.py`, `ir/plan.py`, `ir/planning/` |
| regions: groups of nodes that run block by block | `ir/planning/regions.py`, `contract.py`, `halo.py`, `blocks.py`, `region.py` |
| chains as one axis; regions by one fork | `ir/planning/flat.py`, `together.py` |
| regions as generated kernels | `ir/planning/launches.py`, `ir/kernel.py`, `ir/lowering/`, `backends/cupy/cuda.py` |
| NumPy's kernels, the program, its memory | `backends/numpy/target.py`, `backends/numpy/emit*.py`, `backends/straight/` |
| what the function reaches besides its arguments; the guards | `tracer/captures/`, `tracer/tracing/guards/` |
| the cache of traces and its key, a call | `tracer/compile.py`, `tracer/calls/` |
| training | `tracer/train.py`, `tracer/training/`, `tracer/optimizers.py`, `tracer/schedules.py` |
| the end of a run: states written in place, all or none | `ir/planning/commit.py` |
| define-by-run Variables, recorded lazily; functions recorded as one | `tracer/variable.py`, `tracer/eager/`, `tracer/custom/` |
| the lockstep checker, the audit | `tracer/checking/` |

## The worked example

All that follows is what `docs/predict.py` gives when it is run. The first layer is written with operators, the second with
`linear_simple`: two spellings of the same thing.

{example}
## Traced

`tracer.trace(predict, x)` (`tracer/tracing/trace.py`) calls the function once. In place of `x` it sees a traced array, a view of a storage
whose current value is a `Value` of the graph; each operator, method and NumPy function on it adds a node (`ir/graph.py`) for an
operation of the table in `ir/ops/`, whose record gives the spec of the result. What the function closes over becomes an input as well,
fetched again at each call (`tracer/captures/capture.py`); Python numbers too, for which a twin of the function sees stand-ins
(`tracer/tracing/numbers.py`). What can't be an input is a guard (`tracer/tracing/guards/`). Every node keeps the user's line.

{traced}
## After each pass

`ir/passes/__init__.py` runs its list over the graph until nothing changes; under pytest `ir/verify.py` recomputes every spec between
any two passes. The list: {pass_names}. Those that change something here:

{passes}
`x @ W + b`, `F.linear` and `F.linear_simple` have become the same node: the product before the bias has no buffer of its own.

## The joint graph

`step.graph(x, y)`. A training step (`tracer/train.py`) traces the loss, appends the backward nodes to the same graph
(`ir/gradient.py`: each operation's `vjp` builds nodes, so gradients differentiate again) and the optimizer's update, and runs the
passes over all of it at once. The comments say which part is forward, backward and update; `update %a <- %b` ties a parameter to its
new value. The learning rate is an input: a new one never traces again.

{joint}
## The plan

`step.plan(x, y)`. `ir/planning/` asks the backend's Target (`backends/numpy/target.py`) which kernels can do each node and at what
cost, gives every value a place in a buffer (its own, an operand's that is dead by then, or a view), orders the steps, and packs the
buffers of one arena by their births and deaths. `peak_bytes` is what NumPy's allocator will be asked for, to the byte, and no choice
of offsets goes below `lower_bound_bytes`. The states are written last: all of them or none.

Before that, plan passes make of a graph that updates states what the Target plans best (`print(step.plan(x, y).graph)`):
`ir/passes/pack_states.py` joins states that are updated alike, so that one call updates them all where they lie side by side, and
`carry_ones.py` lets a layer's input carry a row of ones, so that its bias is added inside the product.

{plan}
## The program

`step.source(x, y)`. `backends/straight/writer.py` turns each step into the calls that its kernel stands for; nothing is decided here any
more. `bind` makes every view into the arena once (`backends/straight/run.py` keeps a pool of such instances, so that threads and
re-entrant calls never meet), `run` is what a call runs. `step.run(x, y, steps=n)` is the same program inside one loop.

{program}
## Regions

What the program of a small step pays for is the number of its calls; large arrays cost memory traffic: each operation writes a full-size
result that the next one reads back. So groups of nodes over arrays larger than a worker's cache run *block by block*, each block through
all of the group's steps, in buffers that stay in the cache. `ir/planning/regions.py` finds the groups: axes are followed from operand to
result by the operations' `axes` records, so "the rows" of a whole network are one class, and each node joins the class along which most
of what it reads is cut. A group may hold elementwise chains, reductions over other axes (softmax, layer norm), views, products of rows
with a small matrix and batched ones, writes of states; what it reduces along the rows themselves is taken in eight shares and joined by
a step of its own, in the same order whatever the number of workers. Groups are convex, and one pays if fewer bytes cross its border than
its nodes would move one by one, and if these would not stay in the cache anyway, or the group forks. What fits one block stays outside.

Slices that leave out little at either end of the rows (`u[1:-1]`, `u[:-2]`, `new[1:-1] += ...`) are in groups too: a block then reads some
rows before and after its own, its *halo*, which `ir/planning/halo.py` counts and the plan shows (`input0 rows -1..+1`). Rows of a halo that
the group computes itself are computed in both of the neighbouring blocks, so a group holds as many steps of a stencil as its blocks have
rows for; what it reads at shifted rows it never writes over. The first and the last block, cut short by the ends, have plans of their own.

`ir/planning/contract.py` puts a node `region` in the place of each group, in a copy of the graph that is the planner's alone;
`ir/planning/blocks.py` makes the graph of one block, and `ir/planning/region.py` has it planned like any other graph, with as many rows
as the cache takes. `backends/numpy/blocks.py` runs the blocks, the shares by the pool of `backends/numpy/workers.py`.

Chains of elementwise operations have no rows of their own: `ir/planning/flat.py` sees operands that lie alike as one axis, whatever their
shapes, so a block is one run of memory, and one plan of a block does for tensors of many sizes. `ir/planning/together.py` lets regions that
have nothing to do with each other run by one fork, those with the longest blocks first: the updates of thirty parameters keep all workers
busy to the end (`with it` in the plan), and share one buffer for each worker.

{normalised}
The gradient by `x` and `scale` for 4096 rows of 256: no intermediate of the size of `x` exists.

{regions}"""


if __name__ == "__main__":
    for path, text in ((PAGE, page()), (errors.PAGE, errors.page())):
        path.write_text(text, encoding="utf-8")
        print(path)
