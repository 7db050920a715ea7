"""What each operation claims of axes and of memory, judged by running its meaning.

One element of an operand is changed; the elements of the first output that change must be among those that the `axes` claim lets
read it. Views must share memory with their operand and others must not; fresh results must have the memory order that is claimed.
"""
from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from ir.op import Axes, Mixed, Op, Part, Reduced, Same, Shift
from ir.ops import TABLE
from tests.ir.cases import ALL, IDS, WITHOUT, Case, cases, specs

ARRAYS = [(pair, name) for pair, name in zip(ALL, IDS) if any(s.ndim for s in specs(pair[1]))]


def meaning(op: Op, operands: Any, attrs: dict[str, Any]) -> np.ndarray:
    """The first output."""
    with np.errstate(all="ignore"):
        found = op.meaning(*operands, **attrs)
    return np.asarray(found[0] if type(found) is tuple else found)


def claim(op: Op, case: Case) -> Axes:
    return op.axes(op.infer(specs(case), case[1]), specs(case), **case[1])


def changed_element(x: np.ndarray, at: tuple[int, ...]) -> np.ndarray:
    """`x` with another value at one element; integers stay in the range that they have."""
    x = x.copy()
    x[at] = {"b": not x[at], "f": x[at] + 3.7}.get(x.dtype.kind, x.min() if x[at] != x.min() else x.max())
    return x


def reads(axes: tuple[Any, ...], at: tuple[int, ...], shape: tuple[int, ...], out: tuple[int, ...]) -> np.ndarray:
    """A mask over the output: which elements may read element `at` of an operand of `shape` with these claims."""
    mask = np.ones(out, bool)
    grid = np.indices(out)
    groups: dict[tuple[int, ...], tuple[list[int], list[int]]] = {}
    for k, (axis, j) in enumerate(zip(axes, at)):
        match axis:
            case Same(a):
                if shape[k] == out[a]:
                    mask &= grid[a] == j
            case Shift(a, start, step):
                mask &= start + step * grid[a] == j
            case Part(a, start, step):
                mask &= grid[a] == start + step * j
            case Mixed(group):
                sizes, indices = groups.setdefault(group, ([], []))
                sizes.append(shape[k])
                indices.append(j)
    for group, (sizes, indices) in groups.items():
        flat = np.ravel_multi_index(tuple(indices), tuple(sizes))
        place = np.zeros(out, int)
        for a in group:
            place = place * out[a] + grid[a]
        mask &= place == flat
    return mask


@pytest.mark.parametrize(("op", "case"), [pair for pair, _ in ARRAYS], ids=[name for _, name in ARRAYS])
def test_axes(op: Op, case: Case) -> None:
    operands, attrs = case
    before = meaning(op, operands, attrs)
    claims = claim(op, case)
    assert len(claims) == len(operands)
    for k, (x, axes) in enumerate(zip(operands, claims)):
        x = np.asarray(x)
        assert len(axes) == x.ndim
        seen: list[np.ndarray] = []
        for at in np.ndindex(x.shape):
            after = meaning(op, [changed_element(x, at) if p == k else o for p, o in enumerate(operands)], attrs)
            changed = after != before
            allowed = reads(axes, at, x.shape, before.shape)
            assert not (changed & ~allowed).any(), f"operand {k} at {at} is read at {np.argwhere(changed & ~allowed).tolist()}: {axes}"
            seen.append(changed)
        if any(isinstance(a, Reduced) for a in axes) and x.size and op.name in ("sum", "mean", "dot", "matmul", "linear", "linear_vjp"):
            every = np.array(seen).reshape(*x.shape, *before.shape)
            for axis, a in enumerate(axes):
                if isinstance(a, Reduced):
                    assert (every == every.take([0], axis)).all(), f"not every index of axis {axis} of operand {k} is read alike"


@pytest.mark.parametrize("op", [op for op in TABLE.values() if op.view_of is not None], ids=lambda op: op.name)
def test_views_share_memory(op: Op) -> None:
    for operands, attrs in cases(op):
        found = meaning(op, operands, attrs)
        source = np.asarray(operands[op.view_of or 0])
        if found.size and source.size:
            assert np.shares_memory(found, source)


@pytest.mark.parametrize(
    "op", [op for op in TABLE.values() if op.view_of is None and op.name not in (*WITHOUT, "python")], ids=lambda op: op.name
)
def test_others_do_not_and_leave_their_operands_alone(op: Op) -> None:
    for operands, attrs in cases(op):
        before = [np.array(x) for x in operands]
        found = op.meaning(*operands, **attrs)
        for x, copy in zip(operands, before):
            np.testing.assert_array_equal(x, copy)
            for result in found if type(found) is tuple else (found,):
                assert not np.shares_memory(np.asarray(result), np.asarray(x))


def layouts(x: Any) -> list[Any]:
    """The array in C order, in F order and, for three axes, with its last two exchanged in memory."""
    if not isinstance(x, np.ndarray) or x.ndim < 2:
        return [x]
    return [x, np.asfortranarray(x), np.swapaxes(np.swapaxes(x, -1, -2).copy(), -1, -2)]


@pytest.mark.parametrize(("op", "case"), ALL, ids=IDS)
def test_memory_order_of_results(op: Op, case: Case) -> None:
    """ "C" is C order whatever the operands' order; "K" is F order where the operands are in F order and have the result's shape."""
    operands, attrs = case
    for given in itertools.product(*[layouts(x) for x in operands]):
        found = meaning(op, given, attrs)
        if op.order == "C":
            assert found.flags.c_contiguous
        elif op.order == "gather":
            assert found.transpose(np.argsort([-s for s in found.strides], kind="stable")).flags.c_contiguous
            assert found.strides == gathered_strides(op, given, attrs)
    if op.order == "K" and all(np.ndim(x) < 2 or np.shape(x) == meaning(op, operands, attrs).shape for x in operands):
        assert meaning(op, [layouts(x)[-2] if np.ndim(x) > 1 else x for x in operands], attrs).flags.f_contiguous


def gathered_strides(op: Op, given: tuple[Any, ...], attrs: dict[str, Any]) -> tuple[int, ...]:
    """The axes of the index arrays slowest, in C order, then the other axes in the order that they have in the operand."""
    x, *indices = given
    claims = op.axes((), specs((given, attrs)), **attrs)
    kept = [(k, a.axis) for k, a in enumerate(claims[0]) if isinstance(a, Same)]
    shape = meaning(op, given, attrs).shape
    slow = [a for a in range(len(shape)) if a not in [p for _, p in kept]]
    order = slow + [p for k, p in sorted(kept, key=lambda pair: (-x.strides[pair[0]], pair[0]))]
    strides, step = [0] * len(shape), x.itemsize
    for a in reversed(order):
        strides[a] = step
        step *= shape[a]
    return tuple(strides)


def test_aliasing_names_operands() -> None:
    for op in TABLE.values():
        variadic = bool(op.operands) and op.operands[-1].startswith("*")
        for k in (*op.overwrites, *op.inside, *([] if op.view_of is None else [op.view_of])):
            assert k >= 0 and (variadic or k < len(op.operands)), op
