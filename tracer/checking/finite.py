"""Where a value turned NaN or infinite: the operation whose operands were finite, on the way to a result that is not.

In: the traced graph and the values of a call. Out: a CheckError for the first such operation, or None. What does not get out is no
fault: the logarithm of a number that `where` then leaves aside, an overflow that is divided by. A comparison, an index or a whole
number made of NaN counts as getting out, since nothing shows afterwards that there was one.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from ir.errors import CheckError
from ir.graph import Node, Value
from ir.op import Trait
from tracer.checking.stages import Stage

_ASKS = ("isnan", "isinf", "isfinite", "signbit")  # made for such values


def first_turned(stage: Stage, values: dict[Value, Any]) -> CheckError | None:
    """The error to raise for the first operation that turned a value on its way to a result."""
    bad = {value for value, held in values.items() if not np.all(_finite(held))}
    if not bad:
        return None
    operands_of = dict(stage.nodes)
    reached: set[Node] = set()
    stack = [v for v in stage.results if v in bad]
    for node, operands in stage.nodes:
        if node.phase == "forward" and node.op.name not in _ASKS and all(v.dtype.kind not in "fc" for v in node.outputs):
            stack += [v for v in operands if v in bad]
    while stack:
        node = stack.pop().node
        if node not in reached and node in operands_of:
            reached.add(node)
            stack += [v for v in operands_of[node] if v in bad]
    for node, operands in stage.nodes:
        if node in reached and operands:
            error = _turned(node, operands, values)
            if error is not None:
                return error
    return None


def _turned(node: Node, operands: tuple[Value, ...], values: dict[Value, Any]) -> CheckError | None:
    found = [np.asarray(values[v]) for v in node.outputs]
    if node.op.has(Trait.ELEMENTWISE):
        clean = np.ones(found[0].shape, bool)
        for v in operands:
            clean = clean & _finite(values[v])
    elif all(np.all(_finite(values[v])) for v in operands):
        clean = np.array(True)
    else:
        return None
    for result in found:
        turned = np.asarray(~_finite(result) & clean)
        if turned.any():
            return _error(node, operands, values, result, turned)
    return None


def _error(node: Node, operands: tuple[Value, ...], values: dict[Value, Any], result: np.ndarray, turned: np.ndarray) -> CheckError:
    where = tuple([int(n) for n in np.argwhere(turned)[0]]) if turned.ndim else ()
    kind = "NaN" if np.isnan(result[where]) else "infinite"
    names = node.op.names(len(operands))
    if node.op.has(Trait.ELEMENTWISE):
        shown = [f"{name} is {np.broadcast_to(values[v], turned.shape)[where]!s}" for name, v in zip(names, operands)]
    else:
        shown = [f"{name} {_range(values[v])}" for name, v in zip(names, operands)]
    count = int(np.count_nonzero(turned))
    place = f" at {list(where)}" if where else ""
    among = f" ({count} of {turned.size} elements)" if turned.ndim else ""
    gradient = ", in the gradient of this line" if node.phase == "backward" else ""
    error = CheckError(
        f"turned {kind} here{place}{among}{gradient}, where {', '.join(shown)}; plain NumPy gives the same",
        op=node.op.name, operands=zip(names, [v.spec for v in operands]), line=node.line,
        mend="keep the operands where the operation is defined, with np.where or np.clip on the operand itself"
        + (", or take a larger dtype" if kind == "infinite" else ""),
    )
    return error.by("the value")


def _range(value: Any) -> str:
    array = np.asarray(value)
    if not array.size or array.dtype.kind not in "biuf":
        return f"has {array.size} elements"
    return f"is {array[()]!s}" if array.size == 1 else f"lies between {array.min()!s} and {array.max()!s}"


def _finite(value: Any) -> Any:
    array = np.asarray(value)
    return np.isfinite(array) if array.dtype.kind in "fc" else np.ones(array.shape, bool)
