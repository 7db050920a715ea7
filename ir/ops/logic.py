"""Elementwise operations that decide: comparison, logic, bits, rounding and tests, all constant between their jumps; and `where`.

Their derivative is 0 almost everywhere (`ZERO`). `where` alone hands a cotangent on, and a strong zero to the branch not taken.
"""
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ir.op import ZERO, Op, Trait, broadcast_axes, elements
from ir.ops.ufunc import elementwise
from ir.spec import Spec, broadcast, promote

if TYPE_CHECKING:
    from ir.graph import Value

decide = partial(elementwise, vjp=ZERO, traits=Trait.NONE)
decide_either = partial(elementwise, vjp=ZERO, traits=Trait.COMMUTATIVE)

# ---- comparison
equal = decide_either("equal", "x y", np.equal)
not_equal = decide_either("not_equal", "x y", np.not_equal)
less = decide("less", "x y", np.less)
less_equal = decide("less_equal", "x y", np.less_equal)
greater = decide("greater", "x y", np.greater)
greater_equal = decide("greater_equal", "x y", np.greater_equal)

# ---- logic and bits
logical_and = decide_either("logical_and", "x y", np.logical_and)
logical_or = decide_either("logical_or", "x y", np.logical_or)
logical_xor = decide_either("logical_xor", "x y", np.logical_xor)
logical_not = decide("logical_not", "x", np.logical_not)
bitwise_and = decide_either("bitwise_and", "x y", np.bitwise_and)
bitwise_or = decide_either("bitwise_or", "x y", np.bitwise_or)
bitwise_xor = decide_either("bitwise_xor", "x y", np.bitwise_xor)
invert = decide("invert", "x", np.invert)
left_shift = decide("left_shift", "x y", np.left_shift)
right_shift = decide("right_shift", "x y", np.right_shift)

# ---- rounding
floor = decide("floor", "x", np.floor)
ceil = decide("ceil", "x", np.ceil)
rint = decide("rint", "x", np.rint)
trunc = decide("trunc", "x", np.trunc)

# ---- tests
isnan = decide("isnan", "x", np.isnan)
isinf = decide("isinf", "x", np.isinf)
isfinite = decide("isfinite", "x", np.isfinite)
signbit = decide("signbit", "x", np.signbit)


# ---- choice
def _where_spec(c: Spec, x: Spec, y: Spec) -> Spec:
    return Spec(broadcast((c.shape, x.shape, y.shape)), promote(x, y))


def _where_vjp(g: Value, z: Value, c: Value, x: Value, y: Value) -> tuple[Any, ...]:
    return None, where(c, g, 0), where(c, 0, g)


where = Op(
    "where", "elementwise", ("c", "x", "y"), spec=_where_spec, meaning=np.where, vjp=_where_vjp, axes=broadcast_axes, flops=elements,
    traits=Trait.ELEMENTWISE | Trait.ARRAY, overwrites=(0, 1, 2), order="K",
)
