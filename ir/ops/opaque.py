"""An operation with specs and nothing else, so that tests of liveness, schedule and memory need no real operation."""
from __future__ import annotations

from typing import Any

from ir.errors import VerifyError
from ir.op import NoVjp, Op, Trait, no_flops, whole_axes
from ir.spec import Spec


def _meaning(*arrays: Any, specs: tuple[Spec, ...]) -> Any:
    raise VerifyError("opaque has no meaning", op="opaque", mend="it is for tests of plans, which run nothing")


opaque = Op(
    "opaque", "opaque", ("*xs",), spec=lambda *xs, specs: specs, meaning=_meaning, vjp=NoVjp("it has no meaning"),
    axes=whole_axes, flops=no_flops, traits=Trait.OPAQUE | Trait.ARRAY,
)
