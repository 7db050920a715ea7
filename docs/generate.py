"""Writes docs/architecture.md by running its example: `python -m docs.generate`; a test compares the page with what this gives."""
from __future__ import annotations

from pathlib import Path

import tracer
from docs import predict as example
from ir import passes

PAGE = Path(__file__).with_name("architecture.md")


def block(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.rstrip()}\n```\n"


def after_each_pass() -> str:
    """The graph of `predict` after every pass of the first round that changed it."""
    graph = tracer.trace(example.predict, example.x, example.W1, example.b1, example.W2, example.b2)
    parts = []
    for module in passes.PASSES:
        before = graph.text(lines=False)
        module.run(graph, exact=False)
        name = module.__name__.rpartition(".")[2]
        if graph.text(lines=False) != before:
            parts.append(f"After `ir/passes/{name}.py`:\n\n" + block(graph.text(lines=False)))
    return "\n".join(parts)


def page() -> str:
    """The page's text."""
    arrays = (example.x, example.W1, example.b1, example.W2, example.b2)
    params = [example.W1, example.b1, example.W2, example.b2]
    step = tracer.train_step(example.loss, tracer.optimizers.SGD(lr=0.2), params)
    source = Path(example.__file__).read_text()
    return TEMPLATE.format(
        example=block(source, "python"),
        traced=block(str(tracer.trace(example.predict, *arrays))),
        passes=after_each_pass(),
        joint=block(str(step.graph(example.x, example.y))),
        plan=block(step.plan(example.x, example.y).text(lines=False)),
        program=block(step.source(example.x, example.y), "python"),
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
| run the function once on traced arrays | `tracer/trace.py`, `context.py`, `traced.py`, `numpy_api/`, `functions.py` |
| a view of a storage, writes as functional updates | `tracer/storage.py`, `ir/ops/update.py` |
| the graph, its operations, its text | `ir/graph.py`, `ir/ops/`, `ir/text.py`, `ir/parse.py`, `ir/verify.py` |
| reverse mode, graph to graph | `ir/gradient.py`, the `vjp` of each record |
| rewriting | `ir/pattern.py`, `ir/passes/` |
| kernels, places, order, lifetimes, offsets | `ir/target.py`, `ir/plan.py`, `ir/planning/` |
| NumPy's kernels, the program, its memory | `backends/numpy/target.py`, `emit.py`, `run.py` |
| the cache of entries | `tracer/compile.py`, `entry.py`, `keys.py` |
| training | `tracer/train.py`, `optimizers.py` |
| define-by-run Variables, recorded lazily | `tracer/variable.py`, `lazy.py`, `pending.py`, `eager_backward.py` |

## The worked example

{example}
## Traced

`tracer.trace(predict, x, W1, b1, W2, b2)` runs the function once. Each operation carries the user's line.

{traced}
## After each pass

{passes}
`x @ W + b`, `F.linear` and `F.linear_simple` have become the same node: the product before the bias has no buffer of its own.

## The joint graph

`tracer.train_step(loss, SGD(lr=0.2), [W1, b1, W2, b2])` traces the loss, appends the gradient and the update, and runs the passes over
all of it at once. The comments say which part is forward, backward and update; `update %a <- %b` ties a parameter to its new value.

{joint}
## The plan

Every buffer with its birth and death; `peak_bytes` is what NumPy's allocator will be asked for, to the byte.

{plan}
## The program

{program}"""


if __name__ == "__main__":
    PAGE.write_text(page())
    print(PAGE)
