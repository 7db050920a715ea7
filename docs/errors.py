"""The page docs/errors.md: each kind of error with a program that raises it, and what it then says. Written by `docs/generate.py`.

In: CASES, (class, title, program) in the order of the page. Out: the page's text. A program that raises something else, or nothing,
is an AssertionError.
"""
from __future__ import annotations

import linecache
import sys
from pathlib import Path
from unittest.mock import patch

import tracer
from ir import errors

PAGE = Path(__file__).with_name("errors.md")
START = "import numpy as np, tracer\nfrom tracer import Function, Variable, optimizers, functions as F\n"

CASES: list[tuple[str, str, str]] = [
    ("TraceError", "a branch on a traced array", """
@tracer.compile
def clip(x):
    if x.sum() > 0:
        return x
    return 0 * x

clip(np.ones(3))
"""),
    ("TraceError", "`float()` of a traced array", """
fast = tracer.compile(lambda x: x * float(x[0]))
fast(np.ones(3))
"""),
    ("TraceError", "`x[mask]`, whose length the data decides", """
@tracer.compile
def positive(x):
    return x[x > 0]

positive(np.ones(3))
"""),
    ("TraceError", "`np.asarray` of a traced array", """
@tracer.compile
def plain(x):
    return np.asarray(x).sum()

plain(np.ones(3))
"""),
    ("TraceError", "writing a traced value into a plain array", """
@tracer.compile
def fill(x):
    out = np.zeros(3)
    out[0] = x[0]
    return out

fill(np.ones(3))
"""),
    ("TraceError", "a NumPy function that is not traced", """
fast = tracer.compile(lambda x: np.unique(x).sum())
fast(np.ones(3))
"""),
    ("TraceError", "random numbers while tracing", """
@tracer.compile
def noisy(x):
    return x + np.random.normal(size=3)

noisy(np.ones(3))
"""),
    ("TraceError", "a clock whose time would stay", """
import time

fast = tracer.compile(lambda x: x * np.full(3, time.time()))
fast(np.ones(3))
"""),
    ("TraceError", "a count that goes into the result", """
class Decay:
    t = 0

decay = Decay()

@tracer.compile
def decayed(x):
    decay.t += 1
    return x / decay.t

decayed(np.ones(3))
"""),
    ("TraceError", "a traced value left where a later call would not leave one", """
running = {"mean": np.zeros(3)}

@tracer.compile
def centred(x):
    running["mean"] = 0.9 * running["mean"] + 0.1 * x
    return x - running["mean"]

centred(np.ones(3))
"""),
    ("TraceError", "a traced value kept after its trace", """
kept = []
fast = tracer.compile(lambda x: kept.append(x) or x + 1)
fast(np.ones(3))
kept[0] + 1
"""),
    ("TraceError", "an argument whose tree the function changes", """
@tracer.compile
def add_total(batch):
    batch["total"] = batch["x"].sum()
    return batch["x"] * 2

add_total({"x": np.ones(3)})
"""),
    ("TraceError", "an argument and a Variable that share memory, one of them written", """
held = np.ones(3)
W = Variable(held)

@tracer.compile
def bump(x):
    x += 1
    return (W * 2).data

bump(held)
"""),
    ("TraceError", "a result that can't be made anew at each call", """
class Box:
    def __init__(self, x):
        self.x = x

fast = tracer.compile(lambda x: Box(x + 1))
fast(np.ones(3))
"""),
    ("TraceError", "a gradient left on a Variable from outside", """
W = Variable(np.ones(3))

@tracer.compile
def loss(x):
    y = F.sum(W * x)
    y.backward()
    return y.data

loss(np.ones(3))
"""),
    ("ShapeError", "shapes that do not fit", """
W, b = Variable(np.ones((4, 10))), Variable(np.zeros(10))

@tracer.compile
def layer(x):
    h = F.linear(x, W, b)
    return h

layer(np.ones((100, 3)))
"""),
    ("ShapeError", "shapes that do not broadcast", """
fast = tracer.compile(lambda x, y: x + y)
fast(np.ones((2, 3)), np.ones(4))
"""),
    ("ShapeError", "define by run: the line is that of the operation", """
x, W = Variable(np.ones((5, 3))), Variable(np.ones((4, 2)))
h = F.matmul(x, W)
"""),
    ("IndexRangeError", "an axis that is not there", """
fast = tracer.compile(lambda x: x.sum(axis=2))
fast(np.ones((2, 3)))
"""),
    ("IndexRangeError", "an index that is not there", """
fast = tracer.compile(lambda x: x[np.array([0, 7])])
fast(np.ones((2, 3)))
"""),
    ("DTypeError", "a dtype that is not taken", """
fast = tracer.compile(lambda x: x)
fast(np.array(["a", "b"]))
"""),
    ("DTypeError", "an operation without a loop for the dtype", """
fast = tracer.compile(lambda x: x << 1)
fast(np.ones(3))
"""),
    ("NumberRangeError", "a Python integer that the dtype can't hold", """
fast = tracer.compile(lambda x: x + 300)
fast(np.ones(3, np.uint8))
"""),
    ("GradientError", "the gradient of something that is no number", """
slope = tracer.grad(lambda x: x * 2)
slope(np.ones(3))
"""),
    ("GradientError", "the gradient by integers", """
slope = tracer.grad(lambda n: np.sum(n * 2.0))
slope(np.arange(3))
"""),
    ("GradientError", "a loss that is no float", """
step = tracer.train_step(lambda p, x: np.argmax(p * x), optimizers.SGD(lr=0.1), np.ones(3))
step(np.ones(3))
"""),
    ("GradientError", "nothing to train", """
step = tracer.train_step(lambda x: np.sum(x), optimizers.SGD(lr=0.1))
step(np.ones(3))
"""),
    ("NotFiniteError", "a loss or gradient that is not finite where `on_nan` is set", """
step = tracer.train_step(lambda p: np.sum(np.log(p)), optimizers.SGD(lr=0.5), np.ones(3), on_nan="raise")
with np.errstate(all="ignore"):
    step.run(steps=10)
"""),
    ("MemoryLimitError", "a memory limit that no plan was found for", """
def loss(x):
    for _ in range(20):
        x = np.tanh(x)
    return np.sum(x)

fast = tracer.compile(tracer.grad(loss), memory_limit="100 kB")
fast(np.ones((100, 100)))
"""),
    ("ArgumentError", "an unknown backend", """
tracer.compile(lambda x: x, backend="abacus")
"""),
    ("ArgumentError", "what is no function", """
tracer.compile(np.ones(3))
"""),
    ("ArgumentError", "an argument that can't be told from another", """
fast = tracer.compile(lambda x, names: x)
fast(np.ones(3), {"a", "b"})
"""),
    ("ArgumentError", "`exact=True` and byte-swapped arrays", """
fast = tracer.compile(lambda x: x.sum(), exact=True)
fast(np.ones(3, ">f8"))
"""),
    ("ArgumentError", "a Spec in place of a value", """
fast = tracer.compile(lambda x: x + 1)
fast(tracer.Spec((3,), np.float64))
"""),
    ("ArgumentError", "parameters that are none", """
tracer.train_step(lambda p, x: np.sum(p * x), optimizers.SGD(lr=0.1), np.arange(3))
"""),
    ("ArgumentError", "what is no optimizer", """
tracer.train_step(lambda p, x: np.sum(p * x), 0.1, np.ones(3))
"""),
    ("ArgumentError", "a number of steps that is none", """
step = tracer.train_step(lambda p, x: np.sum(p * x), optimizers.SGD(lr=0.1), np.ones(3))
step.run(np.ones(3), steps=-1)
"""),
    ("ValueArgumentError", "an argument with a value that makes no sense", """
fast = tracer.compile(lambda x: x[::0])
fast(np.ones(3))
"""),
    ("CheckError", "`check=True`: a value that turned NaN", """
@tracer.compile(check=True)
def entropy(p):
    logs = np.log(p)
    return -np.sum(p * logs)

entropy(np.array([0.5, 0.5, -0.1]))
"""),
    ("CheckError", "`check=True`: a gradient that turned infinite", """
step = tracer.train_step(lambda p: np.sum(np.sqrt(p)), optimizers.SGD(lr=0.1), np.array([0.0, 1.0]), check=True)
step()
"""),
    ("CheckError", "`check=True`: a fault of ours, here one that is planted", """
from ir.passes import simplify
from ir.rules import Rule, Rules
rules = simplify.RULES
simplify.RULES = Rules(*rules.rules, Rule("planted", "maximum(x, y)", to="minimum(x, y)"))
try:
    fast = tracer.compile(lambda x: np.maximum(x, 0.0) + 1, check=True)
    fast(np.array([-1.0, 2.0]))
finally:
    simplify.RULES = rules
"""),
    ("AuditError", "`audit=True`: a counter, and a branch on the numbers of an array", """
table, seen = np.ones(3), []

def raised(y, t):
    return y + 1 if t[0] > 0 else y

ways = [raised]

@tracer.compile(audit=True)
def scaled(x):
    seen.append(x.shape)
    return ways[0](x * table * len(seen), table)

scaled(np.ones(3))
"""),
    ("VerifyError", "a graph built by hand that breaks its own rules", """
graph = tracer.trace(lambda x: x + 1, np.ones(3))
other = tracer.trace(lambda x: x * 2, np.ones(3))
graph.outputs = other.outputs
graph.verify()
"""),
    ("ParseError", "a text that is no graph", """
import ir
ir.parse('''
graph {
  %0 = input() {kind="argument"} : f64[3]
  %1 = exp(%2) : f64[3]
  return %1
}''')
"""),
    ("RenderError", "a picture in no known format", """
graph = tracer.trace(lambda x: x + 1, np.ones(3))
graph.render("step.txt")
"""),
    ("BackendUnavailable", "a GPU where there is none, here for want of CuPy", """
tracer.cuda.as_cupy(np.ones(3))
"""),
]  # fmt: skip


def said(name: str, program: str) -> str:
    """What the program's error says, where CuPy is not installed: the last line of a traceback, and the lines of its text."""
    text = (START + program.strip("\n")).splitlines(keepends=True)
    file = "example.py"
    linecache.cache[file] = (len("".join(text)), None, text, file)
    try:
        with patch.dict(sys.modules, {"cupy": None}):
            exec(compile("".join(text), file, "exec"), {"__name__": "__main__"})
    except tracer.Error as error:
        public = next(kind.__name__ for kind in type(error).__mro__ if hasattr(tracer, kind.__name__))
        assert public == name, f"{name} was due, not {public}: {error}\n{program}"
        return f"{name}: {error}"
    finally:
        del linecache.cache[file]
    raise AssertionError(f"no error was raised by\n{program}")


def page() -> str:
    """The page's text."""
    parts, last = [HEAD.format(start=START.rstrip())], None
    for name, title, program in CASES:
        kind = getattr(errors, name)
        if name != last:
            parts.append(f"## {name}\n\n{_bases(kind)}{_first(kind.__doc__ or '')}\n")
        last = name
        parts.append(f"### {title[0].upper() + title[1:]}\n\n```python\n{program.strip()}\n```\n\n```text\n{said(name, program)}\n```\n")
    return "\n".join(parts)


def _bases(kind: type) -> str:
    """The errors of Python's own that it is one of."""
    also = [base.__name__ for base in kind.__bases__ if base is not tracer.Error and base is not Exception]
    return f"Caught as {' and '.join([f'`{name}`' for name in also])} too. " if also else ""


def _first(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())


HEAD = """<!-- written by `python -m docs.generate`; change docs/errors.py -->
# Errors

Every error of this project is a `tracer.Error`: what went wrong, the user's line, the operation with the specs of its operands, and how
to mend it. These are its fields as well: `cause`, `line`, `op`, `operands`, `mend`. What NumPy or the user's own code raises at a call
is raised as it is. A trace that fails leaves nothing behind: the next call begins afresh.

The programs below begin with

```python
{start}
```
"""
