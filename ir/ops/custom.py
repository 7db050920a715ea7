"""A rule of the user's: `custom` ties the results of a traced forward to the inputs, and its gradient is the user's backward.

`custom(*outs, *inputs, outs=n, rule=rule)` is the identity on its first n operands. The gradient goes to the inputs alone, through
`rule.vjp`: what computed the outs is not differentiated. Once gradients are built, a pass replaces each node by its first operands.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ir.errors import ArgumentError, ShapeError
from ir.op import Axes, Op, Same, Trait, Whole, no_flops
from ir.spec import Spec

if TYPE_CHECKING:
    from ir.graph import Value


class Rule(Protocol):
    """What `custom` asks of its `rule`: a name for texts, and a vjp. Rules compare by identity."""

    name: str

    def vjp(self, g: tuple[Value | None, ...], outs: tuple[Value, ...], ins: tuple[Value, ...]) -> tuple[Value | None, ...]:
        """One cotangent (None: no flow) for each of `ins`, from one (None: nothing depends on it) for each of `outs`."""
        ...


def _spec(*specs: Spec, outs: int, rule: Rule) -> tuple[Spec, ...]:
    if not 0 < outs <= len(specs):
        raise ShapeError(f"{outs} results but {len(specs)} operands", mend="the operands are the results, then the inputs")
    return specs[:outs]


def _vjp(g: Any, y: Any, *operands: Value, outs: int, rule: Rule) -> tuple[Value | None, ...]:
    gs, ys = (g, y) if outs > 1 else ((g,), (y,))
    ins = operands[outs:]
    given = rule.vjp(tuple(gs), tuple(ys), ins)
    if len(given) != len(ins):
        cause = f"{rule.name} gave {len(given)} gradients for {len(ins)} inputs"
        raise ArgumentError(cause, mend="give one for each input, None where there is none")
    return (None,) * outs + tuple(given)


def _axes(out_specs: tuple[Spec, ...], specs: tuple[Spec, ...], **attrs: Any) -> Axes:
    first = tuple([Same(k) for k in range(specs[0].ndim)])
    return (first, *[(Whole(),) * s.ndim for s in specs[1:]])


custom = Op(
    "custom", "custom", ("*operands",), spec=_spec, meaning=lambda *xs, outs, rule: xs[0] if outs == 1 else xs[:outs],
    vjp=_vjp, axes=_axes, flops=no_flops, traits=Trait.ARRAY | Trait.HOLDS, view_of=0, order="view",
)
