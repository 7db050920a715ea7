"""Graphs for tests of generated code: a function of Values in; its loop form, and what the interpreter and the reference evaluator make of
it, out.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ir import Graph, evaluate
from ir.constant import Constant
from ir.kernel import LoopForm
from ir.kernel_run import run
from ir.kernel_verify import verify
from ir.lowering import lower
from ir.spec import Spec


@dataclass
class Case:
    """`fn(*values)` gives a Value or a list of them, of which the last `parts` are left in `shares`. `over`: outputs over inputs.
    `strides` of the inputs; those `turned` lie backwards.
    """

    fn: Callable[..., Any]
    arrays: Sequence[np.ndarray]
    parts: int = 0
    shares: int = 1
    over: Mapping[int, int] = field(default_factory=dict)
    strides: Sequence[tuple[int, ...] | None] = ()
    name: str = "kernel"
    turned: Sequence[int] = ()

    def __post_init__(self) -> None:
        self.graph = self.built([a.dtype for a in self.arrays])
        self.form: LoopForm
        self.constants: Mapping[str, Constant]
        self.form, self.constants = lower(
            self.graph, self.name, parts=(self.shares,) * self.parts, strides=self.strides, over=self.over
        )
        verify(self.form)

    def built(self, dtypes: Sequence[Any]) -> Graph:
        graph = Graph()
        found = self.fn(*[graph.input(Spec(a.shape, d)) for a, d in zip(self.arrays, dtypes)])
        graph.outputs = list(found) if isinstance(found, list | tuple) else [found]
        return graph

    def memory(self, fill: int = 0x77) -> dict[str, np.ndarray]:
        """One-dimensional arrays for all params; what is only written is filled with bytes that mean nothing."""
        made = {}
        for param in self.form.params:
            if param.name.startswith("in"):
                array = self.arrays[int(param.name[2:])]
                flat = array.T.reshape(-1) if self.strides else array.reshape(-1)
                made[param.name] = (flat[::-1] if int(param.name[2:]) in self.turned else flat).copy()
            elif param.name.startswith("const"):
                made[param.name] = self.constants[param.name].array().reshape(-1).copy()
            else:
                made[param.name] = np.full(param.count * param.dtype.itemsize, fill, np.uint8).view(param.dtype)
        return made

    def results(self, memory: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs in the memory after a run, shares joined."""
        found = []
        for k, value in enumerate(self.graph.outputs):
            lies = memory.get(f"in{self.over[k]}" if k in self.over else f"out{k}")
            whole = np.zeros(0, value.dtype) if lies is None else lies
            if k < len(self.graph.outputs) - self.parts:
                found.append(whole.reshape(value.shape))
            else:
                shares = whole.reshape(self.shares, *value.shape)
                found.append(value.node.op.combines.reduce(shares, axis=0, dtype=value.dtype))
        return found

    def interpreted(self) -> list[np.ndarray]:
        memory = self.memory()
        run(self.form, memory)
        return self.results(memory)

    def expected(self) -> list[np.ndarray]:
        """What the operations mean."""
        with np.errstate(all="ignore"):
            return [np.asarray(x) for x in evaluate(self.graph, list(self.arrays))[0]]

    def exact(self) -> list[np.ndarray]:
        """The same function of float64 inputs in place of float32 ones."""
        wide = [np.dtype(np.float64) if a.dtype == np.float32 else a.dtype for a in self.arrays]
        with np.errstate(all="ignore"):
            return [np.asarray(x) for x in evaluate(self.built(wide), [a.astype(d) for a, d in zip(self.arrays, wide)])[0]]


def drawn(seed: int, *shapes: tuple[int, ...], dtype: Any = np.float32) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def ulps(got: np.ndarray, exact: np.ndarray, scale: np.ndarray | None = None) -> float:
    """How many units in the last place (of `scale`) the worst element is off; infinite where one is NaN and the other is not."""
    narrow = exact.astype(got.dtype)
    same = (got == narrow) | (np.isnan(got) & np.isnan(narrow))
    with np.errstate(all="ignore"):
        unit = np.spacing(np.abs(narrow if scale is None else scale).astype(got.dtype))
        off = np.abs(got.astype(np.float64) - exact.astype(np.float64)) / unit
    off = np.where(same, 0, np.where(np.isnan(off), np.inf, off))
    return float(off.max(initial=0))
