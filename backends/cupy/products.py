"""Products of row-major views as column-major products. Job: the one place that knows both conventions.

In: shapes and strides (in elements) of a, b and d for d = a @ b over the last two axes, leading axes broadcast by strides of 0. Out: a
`Gemm` and which of the views is its A, without a copy; None where the strides can't be said so (then the plan packs first). A row-major
matrix is its own transpose column by column, so d = a @ b becomes d' = b' a': b is A, a is B, and d's last axis runs along the rows of D,
where a bias lies.
"""
from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from backends.cupy.device import Gemm, itemsize

SWAPPED = {"sum_a": "bgradb", "sum_b": "bgrada"}
STRAIGHT = {"sum_a": "bgrada", "sum_b": "bgradb"}


@dataclass(frozen=True)
class View:
    """A strided array: axes (..., rows, columns); strides in elements."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Product:
    """A `Gemm`, and how it is called: with `swapped` its A is b and its B is a. It runs once for each of `offsets`: elements to be added to
    where a, b and d begin (leading axes that no single stride can walk)."""

    gemm: Gemm
    swapped: bool
    offsets: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class _Stored:
    """A matrix as it lies: column-major with this leading dimension, perhaps to be transposed."""

    ld: int
    trans: bool


def product(a: View, b: View, d: View, dtype: str, *, epilogue: str = "none", precision: str = "", out: str = "", beta: float = 0.0,
            conj_a: bool = False, conj_b: bool = False, align: int = 16) -> Product | None:
    """d = epilogue(a @ b + beta * d), or None. `epilogue`: of `Gemm`, but "sum_a" (a's rows summed over k) and "sum_b" (b's columns)
    for the gradients of a bias; a bias lies along d's last axis. `align`: a power of 2 that
    divides the addresses where a, b and d begin.

    >>> found = product(View((100, 20), (20, 1)), View((20, 10), (10, 1)), View((100, 10), (10, 1)), "float32", epilogue="bias").gemm
    >>> (found.m, found.n, found.k), (found.lda, found.ldb, found.ldd), (found.trans_a, found.trans_b)
    ((10, 100, 20), (10, 20, 10), (False, False))
    """
    (rows, k), columns = a.shape[-2:], b.shape[-1]
    assert b.shape[-2] == k and d.shape[-2:] == (rows, columns) and a.shape[:-2] == b.shape[:-2] == d.shape[:-2], f"{a} @ {b} is not {d}"
    if not rows or not columns or not k or 0 in d.shape:
        return None
    for swapped in (True, False):
        first, second, result = (_turned(b), _turned(a), _turned(d)) if swapped else (a, b, d)
        conj_first, conj_second = (conj_b, conj_a) if swapped else (conj_a, conj_b)
        if "bias" in epilogue and not swapped:
            continue
        stored = _stored(first, conj_first), _stored(second, conj_second), _stored(result)
        batch = _batch(first, second, result)
        if None in stored or stored[2].trans or batch is None:  # type: ignore[union-attr]
            continue
        one, two, three = stored
        size, strides, offsets = batch
        terms = SWAPPED if swapped else STRAIGHT
        align = math.gcd(align, *[itemsize(dtype) * offset for at in offsets for offset in at])
        gemm = Gemm(
            result.shape[-2], result.shape[-1], k, dtype, one.ld, two.ld, three.ld, one.trans, two.trans,  # type: ignore[union-attr]
            conj_first, conj_second, size, *strides, out, precision, terms.get(epilogue, epilogue), beta, align)
        return Product(gemm, swapped, tuple((y, x, z) if swapped else (x, y, z) for x, y, z in offsets))
    return None


def _turned(view: View) -> View:
    (*shape, m, n), (*strides, s, t) = view.shape, view.strides
    return View((*shape, n, m), (*strides, t, s))


def _stored(view: View, conj: bool = False) -> _Stored | None:
    """How a matrix lies, rows first: as it is where its columns are runs of memory, transposed where its rows are, as conjugates must."""
    (m, n), (s, t) = view.shape[-2:], view.strides[-2:]
    if not conj and (s == 1 or m == 1) and (n == 1 or t >= m):
        return _Stored(t if n > 1 else m, False)
    if (t == 1 or n == 1) and (m == 1 or s >= n):
        return _Stored(s if m > 1 else n, True)
    return None


def _batch(*views: View) -> tuple[int, tuple[int, int, int], tuple[tuple[int, ...], ...]] | None:
    """The longest run of leading axes, last first, that one stride walks in each view; the other axes as offsets, one for each call."""
    axes = [(n, tuple(v.strides[i] for v in views)) for i, n in enumerate(views[0].shape[:-2]) if n > 1]
    runs: list[tuple[int, tuple[int, ...]]] = []
    for n, strides in reversed(axes):
        if runs and all(s == length * t for s, t, length in zip(strides, runs[-1][1], (runs[-1][0],) * 3)):
            runs[-1] = (runs[-1][0] * n, runs[-1][1])
        else:
            runs.append((n, strides))
    usable = [run for run in runs if min(run[1]) >= 0 and run[1][2] > 0]
    if runs and not usable:
        return None
    best = max(usable, key=lambda run: run[0]) if runs else (1, (0, 0, 0))
    rest = [run for run in runs if run is not best]
    offsets = tuple(_sum(steps, [strides for _, strides in rest]) for steps in itertools.product(*[range(n) for n, _ in rest]))
    return best[0], (best[1][0], best[1][1], best[1][2]), offsets


def _sum(steps: Sequence[int], strides: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sum(step * stride[i] for step, stride in zip(steps, strides)) for i in range(3))
