"""Where NumPy's bits hang on more than the numbers: powers of scalars, complex scalars, complex products in place.

NumPy's loops over complex arrays contract a product and a sum into one rounding where they use the machine's vectors; for its scalars,
for one element, and for some strides in place they do not. With exact=True such a product is taken apart as NumPy takes it, or refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ir.spec import ufunc_dtypes
from tracer.numpy_api.common import cast, spec
from tracer.operands.apply import apply
from tracer.operands.refusal import refuse
from tracer.operands.stack import Operand, keeps_bits


def are_complex_scalars(*operands: Any) -> bool:
    """Whether every bit counts and all operands are complex NumPy scalars or Python numbers."""
    return keeps_bits() and all(_is_scalar(x) and spec(x).dtype.kind == "c" for x in operands)


def _is_scalar(x: Any) -> bool:
    if isinstance(x, Operand):
        return type(x).rank == 1 or type(x).rank == 2 and x.scalar  # type: ignore[attr-defined]
    return isinstance(x, (np.generic, int, float, complex))


def scalar_product(x: Any, y: Any) -> Any:
    """The product of two complex scalars: four products, each rounded, as NumPy's scalars have it."""
    x, y = [cast(part, dtype) for part, dtype in zip((x, y), ufunc_dtypes(np.multiply, (spec(x), spec(y))))]
    (a, b), (c, d) = [(apply("real", part), apply("imag", part)) for part in (x, y)]
    real = apply("subtract", apply("multiply", a, c), apply("multiply", b, d))
    imag = apply("add", apply("multiply", a, d), apply("multiply", b, c))
    return apply("set_imag", apply("set_real", x, real), imag)[()]


def is_power_of_scalars(x: Any, p: Any) -> bool:
    """Whether every bit counts and the power is one of real NumPy scalars, by their own operator."""
    return keeps_bits() and _is_scalar(x) and _is_scalar(p) and ufunc_dtypes(np.power, (spec(x), spec(p)))[0].char in "fd"


def scalar_power(x: Any, p: Any) -> Any:
    """`x ** p` of real scalars, always by C's `pow`: np.power takes squares, roots and reciprocals where there is one exponent, so two."""
    x, p = [cast(part, dtype) for part, dtype in zip((x, p), ufunc_dtypes(np.power, (spec(x), spec(p))))]
    return apply("power", x, apply("multiply", p, np.ones(2, p.dtype)))[0]


def scalar_magnitude(x: Any) -> Any:
    """`abs` of a complex scalar, as NumPy's scalars have it."""
    return apply("hypot", apply("real", x), apply("imag", x))


def check_in_place(ufunc: np.ufunc, operands: list[Any], out: Any) -> None:
    """Refuses, where every bit counts, a complex product into one of its factors that NumPy rounds in another way than a new product."""
    target = out[0] if type(out) is tuple else out
    if ufunc not in (np.multiply, np.square) or not keeps_bits() or getattr(type(target), "rank", 0) != 2 or target.dtype.kind != "c":
        return
    arrays = [x for x in (target, *operands) if isinstance(x, Operand) and type(x).rank == 2]
    if any(spec(x).dtype.kind != "c" for x in operands) or all(x.storage is not target.storage for x in arrays[1:]):  # type: ignore
        return
    lies = target.stand_in()
    straight = lies.flags.c_contiguous or lies.flags.f_contiguous
    if lies.size == 1 or not straight and (ufunc is np.square or any(s < 0 for s in lies.strides)):
        raise refuse(
            "NumPy rounds a complex product in place in another way than a new one, for one element or through a view with gaps",
            f"x[...] = np.{ufunc.__name__}(...): a new product, then written", op="exact",
        )
