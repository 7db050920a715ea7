"""What the NumPy functions share: taking operands, axes, results with `out=`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import backends
from ir.errors import TraceError
from ir.ops.views import resolve_axes, resolve_axis
from ir.spec import Spec, spec_of
from tracer.operands.apply import apply
from tracer.operands.refusal import bad_dtype, bad_shape, refuse
from tracer.operands.stack import Operand, current, keeps_bits


def operand(x: Any) -> Any:
    """`x` as an operand of `apply`: lists become arrays; a list that holds traced arrays is refused, as NumPy would turn it to objects."""
    if isinstance(x, (Operand, np.ndarray, np.generic)) or type(x) in (int, float, complex, bool):
        return x
    return x if backends.owner(x) is not None else plain(x)


def plain(x: Any) -> np.ndarray:
    """A plain array of a list or of anything else that is not traced."""
    if any(is_traced(leaf) for leaf in leaves(x)):
        raise refuse("a Python list of traced values stands for an array", "np.stack([a, b]) first, or np.array([a, b], like=x)")
    if x is None:
        raise bad_dtype("None stands where an array is wanted", "ask with `x is None`, not `x == None`; an operand is an array or a number")
    return np.asarray(x)


def array(x: Any) -> Any:
    """`x` as an operand with shape and dtype: Python numbers become 0-d arrays."""
    x = operand(x)
    return np.asarray(x) if type(x) in (int, float, complex, bool) else x


def leaves(x: Any) -> list[Any]:
    """What nested lists and tuples hold."""
    found, queue = [], [x]
    while queue:
        part = queue.pop()
        if isinstance(part, (list, tuple)) and not isinstance(part, Operand):
            queue += part
        else:
            found.append(part)
    return found


def is_traced(x: Any) -> bool:
    """Whether `x` is a traced array or Variable, one that can be written into if it is traced."""
    return isinstance(x, Operand) and type(x).rank >= 2


def spec(x: Any) -> Spec:
    """The spec of any operand, weak for numbers."""
    if isinstance(x, Operand):
        if type(x).rank == 4:  # a selection: what is elementwise asks for its dtype
            return x.full.spec  # type: ignore[attr-defined]
        return x.value.spec if type(x).rank == 1 else Spec(x.shape, x.dtype)  # type: ignore[attr-defined]
    return spec_of(x)


def all_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """NumPy's `axis=` of a reduction (None, an int, a tuple) as axes counted from 0."""
    return tuple(range(ndim)) if axis is None else tuple(sorted(resolve_axes(axis, ndim)))


def one_axis(axis: Any, ndim: int) -> int:
    """One axis counted from 0."""
    return resolve_axis(axis, ndim)


def known(number: Any, what: str) -> Any:
    """A number that must be known while tracing: of a traced one its value, for which alone the trace then holds."""
    return number.pin(what) if isinstance(number, Operand) and type(number).rank == 1 else number  # type: ignore[attr-defined]


def truth(flag: Any) -> bool:
    """A flag that may be `np._NoValue`."""
    return False if flag is np._NoValue else bool(flag)


def given(value: Any) -> bool:
    """Whether an optional argument was given."""
    return value is not None and value is not np._NoValue


def cast(x: Any, dtype: Any) -> Any:
    """`x` in that dtype; itself where it has it."""
    return x if spec(x) == spec(x).strong() and x.dtype == dtype else apply("cast", x, dtype=np.dtype(dtype).newbyteorder("="))


def rounds_apart(what: str, mend: str) -> None:
    """Refuses, where every bit counts, what is composed here in another way than in NumPy."""
    if keeps_bits():
        raise refuse(f"{what} is rounded in another way than NumPy rounds it, and exact=True keeps every bit", mend, op="exact")


def in_order(x: Any, order: Any) -> Any:
    """A copy of `x` that lies in that order: "K" (as x), "A", "C" or "F"."""
    if order not in ("K", "C", "F", "A"):
        raise refuse(f"order={order!r} is none", 'use order="K", "A", "C" or "F"', op="copy")
    lies = x.stand_in().flags if hasattr(x, "stand_in") else x.flags if isinstance(x, np.ndarray) else None
    if lies is None or x.ndim < 2:
        return apply("copy", x)
    if order == "F" or (order == "A" and lies.f_contiguous and not lies.c_contiguous):
        turned = tuple(reversed(range(x.ndim)))
        return apply("transpose", in_order(apply("transpose", x, axes=turned), "C"), axes=turned)
    return apply("copy", x) if order == "K" or lies.c_contiguous else apply("copy", x, order="C")


def settled(result: Any) -> Any:
    """A result of no axes as the NumPy scalar that a ufunc would give; others as they are."""
    return result if result.ndim else result[()]


def plain_target(target: Any, name: str) -> TraceError:
    """The refusal of a write into a plain array: plain code that reads it while tracing would not see what is written."""
    tracing = current()
    found = None
    while found is None and isinstance(target, np.ndarray) and tracing is not None:
        found, target = tracing.name_of(target), target.base
    if found is None:
        mend = "start from np.zeros_like(x), or np.zeros(shape, like=x)"
        return refuse("a traced value is written into a plain array (out=, +=)", mend, op=name)
    return refuse(
        f"{found}, an array that the function reaches by itself, is written", op=name,
        mend=f"pass it as an argument, which is written when the call is over, or keep it in a Variable and write {found}.data[...]",
    )


def store(out: Any, result: Any, name: str, casting: Any = "same_kind") -> Any:
    """`out=`: writes the result into a traced array and gives it. DTypeError, ShapeError as NumPy; TraceError for a plain array."""
    target = out[0] if type(out) is tuple else out
    if target is None:
        return result
    if not is_traced(target):
        raise plain_target(target, name)
    if type(target).rank == 3:
        raise refuse("out= is a Variable", "write variable.data[...] = value", op=name)
    mine = spec(result)
    if not np.can_cast(mine.dtype, target.dtype, casting):
        raise bad_dtype(
            f"cannot cast output from {mine.dtype!r} to {target.dtype!r} with casting rule {casting!r}",
            f"make a new array (x = x + y), or cast first: x.astype({mine.dtype})",
            op=name,
            operands=[("out", target.spec), ("result", mine)],
        )
    fits = mine.ndim <= target.ndim and all(n in (1, m) for n, m in zip(reversed(mine.shape), reversed(target.shape)))
    if not fits:
        raise bad_shape(
            f"non-broadcastable output operand with shape {target.shape} doesn't match the broadcast shape {mine.shape}",
            "make a new array (x = x + y)",
            op=name,
            operands=[("out", target.spec), ("result", mine)],
        )
    target.assign(result)
    return target


def no_more(name: str, kwargs: dict[str, Any], allowed: Iterable[str] = ()) -> None:
    """Refuses keyword arguments that the traced function does not know."""
    for key, value in kwargs.items():
        if key not in allowed and given(value):
            raise refuse(f"{key}= is not traced", "leave it out, or compose it from other functions", op=name)
