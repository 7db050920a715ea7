"""What a workload is: its inputs by size, who runs it, in which other shapes and orders ours is timed, and the goals. Data, no timing."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.timing import Contestant

# The contestants' names, also the columns of the table. `benchmarks/peers.py` says what each needs.
OURS, OURS_WARM = "gradplan", "gradplan warm"
HAND, OUT, WARM = "NumPy", "NumPy out=", "NumPy warm"
AUTOGRAD, JAX, TORCH, COMPILED = "autograd", "JAX jit", "PyTorch", "torch.compile"
PYTENSOR, NUMEXPR, NUMBA = "PyTensor", "numexpr", "Numba"
ROUND = "round"

Inputs = dict[str, Any]
Make = Callable[[Inputs], Contestant]


@dataclass(frozen=True)
class Goal:
    """Ours is to take at most `bound` times what the fastest of `against` takes; an empty `against` is every peer."""

    bound: float
    against: tuple[str, ...] = ()


@dataclass(frozen=True)
class Variant:
    """The workload in another size (`sizes` replace the round ones) or with inputs in another order (`arrange`).

    Its time for each unit of work is compared with that of the variant `of`.
    """

    name: str
    sizes: Mapping[str, int] = field(default_factory=dict)
    arrange: Callable[[Inputs], Inputs] | None = None
    of: str = ROUND


@dataclass(frozen=True)
class Workload:
    """`inputs(**sizes)` makes the arrays, `contestants` are made from them, `work(**sizes)` counts what grows with the size.

    Every contestant's values after `calls` iterations are NumPy's but for `tolerance` of the largest. `references` are contestants that
    do a part of the job, so no peers. `kept(inputs)`: the bytes read and written at each call that are neither inputs nor values.
    """

    name: str
    title: str
    inputs: Callable[..., Inputs]
    sizes: Mapping[str, int]
    tiny: Mapping[str, int]
    contestants: Mapping[str, Make]
    goals: tuple[Goal, ...]
    variants: tuple[Variant, ...] = ()
    work: Callable[..., float] = lambda **sizes: 1.0
    tolerance: float = 2e-4
    calls: int = 1
    references: tuple[str, ...] = ()
    kept: Callable[[Inputs], int] = lambda inputs: 0

    @property
    def names(self) -> list[str]:
        """Of all contestants: those of `contestants` and, with malloc's thresholds raised, NumPy and ours again."""
        return [*self.contestants, WARM, OURS_WARM]

    def maker(self, name: str) -> Make:
        """How the contestant of this name is made."""
        return self.contestants[{WARM: HAND, OURS_WARM: OURS}.get(name, name)]

    def variant(self, name: str) -> Variant:
        return next((v for v in self.variants if v.name == name), Variant(ROUND))

    def made(self, variant: str = ROUND, tiny: bool = False) -> Inputs:
        """The inputs of a variant; tiny ones have the tiny sizes, in the variant's order."""
        chosen = self.variant(variant)
        inputs = self.inputs(**(self.tiny if tiny else {**self.sizes, **chosen.sizes}))
        return chosen.arrange(inputs) if chosen.arrange else inputs

    def amount(self, variant: str = ROUND) -> float:
        """The work of a variant."""
        return self.work(**{**self.sizes, **self.variant(variant).sizes})


def each(call: Callable[[], Any], **options: Any) -> Contestant:
    """A contestant of whose `call` each is one iteration."""

    def run(n: int) -> Any:
        found = None
        for _ in range(n):
            found = call()
        return found

    return Contestant(run, **options)


def products(*triples: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Contestant:
    """The products (a, b, out) alone, through np.dot; nothing to compare."""

    def call() -> None:
        for a, b, out in triples:
            np.dot(a, b, out=out)

    return each(call, values=None)


# ---- orders of inputs
def strided(a: np.ndarray) -> np.ndarray:
    """Every second element of the last axis of a larger array."""
    base = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    base[..., ::2] = a
    return base[..., ::2]


def window(a: np.ndarray) -> np.ndarray:
    """A part of the rows of a larger array."""
    base = np.zeros((*a.shape[:-1], a.shape[-1] + 24), a.dtype)
    base[..., 8:-16] = a
    return base[..., 8:-16]


def middle(a: np.ndarray) -> np.ndarray:
    """With an axis of size 1 before the last."""
    return a[..., None, :]


def leading(a: np.ndarray) -> np.ndarray:
    """With an axis of size 1 before the first."""
    return a[None]


def arranged(how: Callable[[np.ndarray], np.ndarray], *names: str) -> Callable[[Inputs], Inputs]:
    """The inputs, those of these names (arrays or lists of them) in another order."""

    def arrange(inputs: Inputs) -> Inputs:
        changed = {name: [how(a) for a in inputs[name]] if isinstance(inputs[name], list) else how(inputs[name]) for name in names}
        return {**inputs, **changed}

    return arrange


def orders(*names: str, one: Callable[[np.ndarray], np.ndarray] = middle, ones: Sequence[str] = ()) -> tuple[Variant, ...]:
    """The four usual orders of these inputs; the axis of size 1 is put into `ones`, or else into the same."""
    return (
        Variant("every second column", arrange=arranged(strided, *names)),
        Variant("window of wider rows", arrange=arranged(window, *names)),
        Variant("Fortran order", arrange=arranged(np.asfortranarray, *names)),
        Variant("an axis of size 1", arrange=arranged(one, *(ones or names))),
    )


# ---- what the contestants share
def arrays(tree: Any) -> list[np.ndarray]:
    """The arrays of a tree of lists, tuples and dicts, in order; other kinds of arrays turned into NumPy's, numbers into 0-d ones."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, (list, tuple)):
        return [a for branch in tree for a in arrays(branch)]
    return [np.asarray(tree)]


def compare(workload: Workload, name: str, got: Any, want: Any) -> None:
    """Raises AssertionError unless a contestant's values are NumPy's."""
    found, due = arrays(got), arrays(want)
    if len(found) != len(due):
        raise AssertionError(f"{workload.name}: {name} gives {len(found)} arrays where {len(due)} are due")
    for k, (a, b) in enumerate(zip(found, due)):
        if a.size != b.size or a.dtype != b.dtype:
            raise AssertionError(f"{workload.name}: {name}: array {k} is {a.dtype}{a.shape} where {b.dtype}{b.shape} is due")
        off = np.abs(a.reshape(b.shape) - b).max() if b.size else 0.0
        if not off <= workload.tolerance * np.abs(b).max():
            raise AssertionError(f"{workload.name}: {name}: array {k} is off by {off:.3g} where the largest is {np.abs(b).max():.3g}")
