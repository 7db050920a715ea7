"""Views of views, axes that come and go, broadcasts that the operation does anyway; and one spelling for sums and means."""
from __future__ import annotations

from collections.abc import Sequence

from ir.graph import CONSTANT, Value
from ir.op import Op
from ir.ops.reduce import sum
from ir.ops.shape import broadcast_to, transpose
from ir.rules import Condition, Match, Rule, rank, same
from ir.spec import broadcast


def _composed(m: Match) -> Value:
    return transpose(m["x"], axes=tuple([m["first"][k] for k in m["second"]]))


def _identity_axes(m: Match) -> bool:
    """No axis with more than one index moves."""
    moved = [k for k in m["axes"] if m["x"].shape[k] != 1]
    return moved == sorted(moved)


def _only_lead(m: Match) -> bool:
    """The reshape only adds or drops leading axes of size 1, which broadcasting does anyway."""
    short, long = sorted((m["x"].shape, m["reshape"].shape), key=len)
    lead = len(long) - len(short)
    return long == (1,) * lead + short


def _filled(m: Match) -> Value | None:
    """A constant filled with one number broadcasts as that number does."""
    number = m.facts.fill(m["x"])
    return None if number is None else broadcast_to(m.graph.constant(number), shape=m.root.shape)


def _without_broadcasts(m: Match) -> Value | None:
    """The operation on what its operands broadcast; broadcast afterwards where no other operand has the whole shape.

    Of an empty result nothing is computed, so it could not warn, as one element may.
    """
    small = [v.node.operands[0] if v.node.op is broadcast_to else v for v in m["xs"]]
    if not m.root.spec.size and broadcast([v.shape for v in small]) != m.root.shape:
        return None
    found = m.graph.apply(m.root.node.op, small, m.root.node.attrs)
    return found if found.shape == m.root.shape else broadcast_to(found, shape=m.root.shape)


def _any_broadcast(ops: Sequence[Op]) -> bool:
    return broadcast_to in ops


def _whole_shape_left(m: Match) -> bool:
    small = [v.node.operands[0] if v.node.op is broadcast_to else v for v in m["xs"]]
    return m.root.node.op.name != "power" and broadcast([v.shape for v in small]) == m.root.shape


def _read_once(m: Match) -> bool:
    """Nothing else reads the first reshape: if it has to be a copy, both would be."""
    return m.facts.uses_of(m.root.node.operands[0], 2) == 1


def _kept_axes(m: Match) -> Value | None:
    """A reduction whose kept axes are dropped at once, without keeping them."""
    reduction = m["x"].node
    attrs = reduction.attrs | {"keepdims": False}
    if reduction.op.family != "reduce" or m.facts.uses_of(m["x"], 2) != 1 or reduction.attrs.get("keepdims") is not True:
        return None
    found = m.graph.apply(reduction.op, reduction.operands, attrs)
    return found if found.shape == m.root.shape else None


def _default_dtype(m: Match) -> Value | None:
    """The sum without its `dtype`, where that is the one it has anyway."""
    return sum(m["x"], axis=m["axis"], keepdims=m["keepdims"])


def _all_of_it(m: Match) -> bool:
    return tuple(m["where"]) == tuple([(0, n, 1) for n in m["x"].shape])


RULES: tuple[Rule, ...] = (
    # views
    Rule("transposed twice", "transpose(transpose(x, axes=first), axes=second)", to=_composed),
    Rule("nothing transposed", "transpose(x, axes=axes)", to="x", where=same("x") & Condition(_identity_axes)),
    Rule("axes added", "expand_dims(x)", to="reshape(x, shape=root.shape)"),
    Rule("axes dropped", "squeeze(x)", to="reshape(x, shape=root.shape)"),
    Rule("reduced axes dropped", "reshape(x)", to=_kept_axes),
    Rule("nothing reshaped", "reshape(x)", to="x", where=same("x")),
    Rule("reshaped twice", "reshape(reshape(x))", to="reshape(x, shape=root.shape)", where=Condition(_read_once), exact=False),
    Rule("nothing broadcast", "broadcast_to(x)", to="x", where=same("x")),
    Rule("broadcast twice", "broadcast_to(broadcast_to(x))", to="broadcast_to(x, shape=root.shape)"),
    Rule(
        "a filled constant broadcast", "broadcast_to(x)", needs=lambda ops: ops[0] is CONSTANT, where=Condition(lambda m: m["x"].ndim > 0),
        to=_filled,
    ),
    Rule("axes that broadcasting adds", "broadcast_to(reshape(x))", to="broadcast_to(x, shape=root.shape)", where=Condition(_only_lead)),
    Rule(
        "a number transposed", "transpose(broadcast_to(x))", to="broadcast_to(x, shape=root.shape)", where=rank("x", 0),
    ),
    Rule("a number reshaped", "reshape(broadcast_to(x))", to="broadcast_to(x, shape=root.shape)", where=rank("x", 0)),
    Rule(
        "operands that broadcast anyway", "ELEMENTWISE(*xs)", to=_without_broadcasts, exact=Condition(_whole_shape_left),
        needs=_any_broadcast,
    ),
    Rule("all of it read", "slice(x, index=where)", to="x", where=Condition(_all_of_it)),
    Rule("all of it written", "set_slice(base, x, index=where)", to="x", where=same("x") & Condition(_all_of_it), exact=False),
    # spelling
    Rule("mean without a dtype", "mean(x, axis=axis, keepdims=keepdims, dtype=None)", to="mean(x, axis=axis, keepdims=keepdims)"),
    Rule("sum in its own dtype", "sum(x, axis=axis, keepdims=keepdims, dtype=dtype)", to=_default_dtype),
)
