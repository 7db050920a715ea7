"""What each operation's elements are made of: for a node and the indices of an element, which elements of its operands it needs (`reads`),
and the statements that make it of them (`build`). The table at the end names every operation that has a rule; `rule_of` refuses the
others by name.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ir.affine import ZERO, Bound, apart, flat
from ir.errors import NotLowered
from ir.graph import Node
from ir.kernel import Operand, literal
from ir.lowering import rules_index, rules_reduce
from ir.lowering.elements import At, Elements, Key, Rule, broadcast_at, first
from ir.op import Trait
from ir.ops.places import ranges
from ir.planning.select import COMPARISONS, slot_dtype
from ir.spec import promote, ufunc_dtypes

BOOL = np.dtype(bool)
SIZES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (4, 8)}


def rule_of(node: Node) -> Rule:
    """The operation's rule; NotLowered where there is none for it or its dtypes."""
    rule = RULES.get(node.op.name) or (ELEMENTWISE if node.op.has(Trait.ELEMENTWISE) and node.op.ufunc is not None else None)
    unfit = [v.dtype for v in (*node.operands, *node.outputs) if v.dtype.itemsize not in SIZES.get(v.dtype.kind, ())]
    if rule is None or unfit:
        cause = f"{'the operation' if rule is None else unfit[0]} is not lowered to generated code"
        operands = zip(node.op.names(len(node.operands)), [v.spec for v in node.operands])
        raise NotLowered(cause).at(op=node.op.name, operands=operands, line=node.line)
    return rule


# ---- elementwise
def _pointwise(e: Elements, node: Node, at: At) -> list[Key | None]:
    return [(v, broadcast_at(v, at)) for v in node.operands]


def _elementwise(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    """The operands cast to what NumPy's loop takes, then the scalar operation."""
    dtypes = list(ufunc_dtypes(node.op.ufunc, tuple([v.spec for v in node.operands])))
    dtypes = [np.dtype(np.float32) if d == np.float16 else d for d in dtypes]  # in which NumPy asks small integers for their sign
    if node.op.ufunc in COMPARISONS and dtypes[0].kind in "iu":
        dtypes[:2] = [slot_dtype(node, k) if v.spec.weak else v.dtype for k, v in enumerate(node.operands)]
        wide = np.result_type(*dtypes[:2])
        if wide.kind == "f":  # uint64 beside a signed one
            raise NotLowered("uint64 compared with signed integers is not lowered", mend="cast one to the other's dtype").at(
                op=node.op.name, line=node.line
            )
        dtypes[:2] = [wide, wide]
    operands = [e.cast(v, dtype, node.line) for v, dtype in zip(given, dtypes)]
    return e.scalar(node.op.name, operands, dtypes[-1], node.line)


def _where(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    dtype = node.outputs[0].dtype
    return e.scalar("where", [e.cast(given[0], BOOL, node.line), *[e.cast(v, dtype, node.line) for v in given[1:]]], dtype, node.line)


def _cast(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    return e.cast(given[0], node.outputs[0].dtype, node.line)


def _sigmoid(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    dtype = node.outputs[0].dtype
    return e.scalar("sigmoid", [e.cast(given[0], dtype, node.line)], dtype, node.line)


def _relu(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    dtype = node.outputs[0].dtype
    return e.scalar("maximum", [e.cast(given[0], dtype, node.line), literal(0, dtype)], dtype, node.line)


def _clip(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    dtype = node.outputs[0].dtype
    x, low, high = [e.cast(v, dtype, node.line) for v in given]
    return e.scalar("minimum", [e.scalar("maximum", [x, low], dtype, node.line), high], dtype, node.line)


def _imag(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    return literal(0, node.outputs[0].dtype)


# ---- views
def _reshaped(e: Elements, node: Node, at: At) -> list[Key | None]:
    x, out = node.operands[0], node.outputs[0]
    strides = [math.prod(out.shape[k + 1 :]) for k in range(out.ndim)]
    return [(x, apart(flat(at, strides), x.shape))]


def _transposed(e: Elements, node: Node, at: At) -> list[Key | None]:
    axes = node.attrs["axes"]
    return [(node.operands[0], tuple([at[axes.index(k)] for k in range(len(axes))]))]


def _expanded(e: Elements, node: Node, at: At) -> list[Key | None]:
    return [(node.operands[0], tuple([i for k, i in enumerate(at) if k not in node.attrs["axis"]]))]


def _squeezed(e: Elements, node: Node, at: At) -> list[Key | None]:
    left = iter(at)
    return [(node.operands[0], tuple([ZERO if k in node.attrs["axis"] else next(left) for k in range(node.operands[0].ndim)]))]


def _sliced(e: Elements, node: Node, at: At) -> list[Key | None]:
    x = node.operands[0]
    return [(x, tuple([r.start + r.step * i for r, i in zip(ranges(node.attrs["index"], x.shape), at)]))]


# ---- joined, or written into a slice
def _joined(e: Elements, node: Node, at: At) -> list[Key | None]:
    axis, start = node.attrs["axis"], 0
    found: list[Key | None] = []
    for x in node.operands:
        found.append((x, (*at[:axis], at[axis] - start, *at[axis + 1 :])))
        start += x.shape[axis]
    return found


def _join(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    axis, dtype, stop = node.attrs["axis"], node.outputs[0].dtype, node.outputs[0].shape[node.attrs["axis"]]
    parts = [(x, e.cast(v, dtype, node.line)) for x, v in zip(node.operands, given) if x.shape[axis]]
    found = parts[-1][1] if parts else literal(0, dtype)
    for x, v in reversed(parts):
        start = stop - x.shape[axis]
        if v is not found:
            inside = e.test([Bound(at[axis], 0, stop)], node.line)
            found = e.scalar("where", [inside, v, found], dtype, node.line)
        stop = start
    return found


def _written(node: Node, at: At) -> tuple[list[Bound], At]:
    """Whether the element is one that is written, and the indices of the value that is written there."""
    base, value = node.operands
    bounds, inside = [], []
    for i, r in zip(at, ranges(node.attrs["index"], base.shape)):
        away = i - r.start if r.step > 0 else -1 * i + r.start
        step = abs(r.step)
        bounds.append(Bound(away // step, 0, len(r)))
        if step > 1:
            bounds.append(Bound(away % step, 0, 1))
        inside.append(away // step)
    lead = value.ndim - base.ndim
    own = [ZERO] * max(0, lead) + inside[max(0, -lead) :]
    return bounds, tuple([ZERO if n == 1 else i for n, i in zip(value.shape, own)])


def _base_and_value(e: Elements, node: Node, at: At) -> list[Key | None]:
    return [(node.operands[0], at), (node.operands[1], _written(node, at)[1])]


def _set_slice(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    inside, dtype = e.test(_written(node, at)[0], node.line), node.outputs[0].dtype
    return e.scalar("where", [inside, e.cast(given[1], dtype, node.line), e.cast(given[0], dtype, node.line)], dtype, node.line)


def _add_slice(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    base, value = node.operands
    inside, wide = e.test(_written(node, at)[0], node.line), promote(base.spec.strong(), value.spec)
    total = e.scalar("add", [e.cast(v, wide, node.line) for v in given], wide, node.line)
    old = e.cast(given[0], base.dtype, node.line)
    return e.scalar("where", [inside, e.cast(total, base.dtype, node.line), old], base.dtype, node.line)


ELEMENTWISE = Rule(_pointwise, _elementwise)
RULES: dict[str, Rule] = {
    "where": Rule(_pointwise, _where), "cast": Rule(_pointwise, _cast), "copy": Rule(_pointwise, first), "clip": Rule(_pointwise, _clip),
    "sigmoid": Rule(_pointwise, _sigmoid), "relu": Rule(_pointwise, _relu), "positive": Rule(_pointwise, first),
    "conj": Rule(_pointwise, _cast), "real": Rule(_pointwise, first), "imag": Rule(_pointwise, _imag),
    "reshape": Rule(_reshaped, first), "transpose": Rule(_transposed, first), "broadcast_to": Rule(_pointwise, first),
    "expand_dims": Rule(_expanded, first), "squeeze": Rule(_squeezed, first), "slice": Rule(_sliced, first),
    "concatenate": Rule(_joined, _join), "set_slice": Rule(_base_and_value, _set_slice), "add_slice": Rule(_base_and_value, _add_slice),
    **rules_index.RULES, **rules_reduce.RULES,
}  # fmt: skip
