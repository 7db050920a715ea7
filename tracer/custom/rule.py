"""One call of a user's Function in a graph: `backward` as the gradient rule of a `custom` node, and `forward` as code of a `host` node.

Either holds the class and the state of the object, and no array: those of the state are operands, behind the function's own.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ir.errors import ArgumentError, Error, ShapeError
from ir.gradient import zeros
from ir.graph import Value
from ir.ops import TABLE
from ir.source import user_line
from ir.spec import Spec, check_dtype
from tracer.arrays.traced import TracedArray
from tracer.config import using_config
from tracer.eager.records import Held
from tracer.operands.stack import suspended
from tracer.tracing.context import Tracing, resume
from tracer.variable import Variable, as_array, wrapped


class Rule:
    """The gradient rule of one call: `backward` of the class, on an object with the state that forward left."""

    __slots__ = ("name", "_kind", "_state", "_given")

    def __init__(self, kind: type[Any], state: dict[str, Any], given: list[bool]):
        self.name, self._kind, self._state, self._given = kind.__name__, kind, state, given

    def vjp(self, g: tuple[Value | None, ...], outs: tuple[Value, ...], ins: tuple[Value, ...]) -> tuple[Value | None, ...]:
        """Runs `backward` on Variables of the graph that is being differentiated."""
        graph = outs[0].graph
        count = sum(self._given)
        with resume(graph) as tracing, using_config("enable_backprop", True):
            rest, kept = iter(ins[:count]), iter(ins[count:])

            def restore(array: TracedArray) -> TracedArray:
                return tracing.wrap(next(kept), array=not array.scalar)

            twin = object.__new__(self._kind)
            vars(twin).update({name: exchange(held, restore, TracedArray) for name, held in self._state.items()})
            twin.inputs = [wrapped(tracing.wrap(next(rest), array=True)) if given else Variable(None) for given in self._given]
            ys = [wrapped(tracing.wrap(y, array=True)) for y in outs]
            twin.outputs = [_always(y) for y in ys]
            gys = [wrapped(tracing.wrap(zeros(graph, y) if gy is None else gy, array=True)) for gy, y in zip(g, outs)]
            found = twin.backward(*gys)
            found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
            if len(found) != len(self._given):
                raise ArgumentError(
                    f"backward of {self.name} gave {len(found)} gradients for {len(self._given)} operands",
                    mend="give one for each operand of forward, None where there is none",
                )
            values = [self._gradient(k, gx, tracing) for k, gx in enumerate(found)]
            shapes = iter([v.shape for v in ins[:count]])
            for k, (value, shape) in enumerate(zip(values, [next(shapes) if given else None for given in self._given])):
                if shape is not None and value is not None and not _covers(value.shape, shape):
                    raise ShapeError(
                        f"backward of {self.name} gave a gradient of shape {value.shape} for operand {k} of shape {shape}",
                        mend="a gradient has the shape of its operand, or one that it broadcasts to; F.broadcast_to and F.reshape help",
                    )
        return (*[v for v, given in zip(values, self._given) if given], *[None] * (len(ins) - count))


    def _gradient(self, k: int, given: Any, tracing: Tracing) -> Value | None:
        """What backward gave for an operand, as a Value."""
        if given is None or (isinstance(given, Held) and given._value is None):
            return None
        try:
            return tracing.value_of(as_array(given))
        except Error as error:
            cause = f"backward of {self.name} gave a {type(given).__name__} for operand {k}: {error.cause}"
            raise type(error)(cause, mend=error.mend) from None


class Hosted:
    """A forward as code of the user's in a graph: run on an object with the state that there was when it was called."""

    __slots__ = ("name", "line", "_kind", "_state", "_given")

    def __init__(self, kind: type[Any], state: dict[str, Any], given: list[bool]):
        self.name, self.line = kind.__name__, user_line()
        self._kind, self._state, self._given = kind, state, given

    def __call__(self, *arrays: np.ndarray) -> Any:
        count = sum(self._given)
        rest, kept = iter(arrays[:count]), iter(arrays[count:])
        twin = object.__new__(self._kind)
        vars(twin).update({name: exchange(held, lambda _: next(kept), TracedArray) for name, held in self._state.items()})
        with suspended():
            return twin.forward(*[next(rest) if given else None for given in self._given])


def hosted(tracing: Tracing, function: Any, xs: list[Any]) -> list[Value]:
    """The results of forward as those of a `host` node, of the kinds that its `spec` declares."""
    declared = function.spec(*[None if x is None else x.spec for x in xs])
    specs = tuple([Spec(spec.shape, check_dtype(spec.dtype)) for spec in (declared if isinstance(declared, tuple) else (declared,))])
    operands = [x.value for x in xs if x is not None]

    def keep(array: Any) -> TracedArray:
        operands.append(tracing.value_of(array))
        return tracing.wrap(operands[-1], array=True)

    state = {name: exchange(held, keep, (TracedArray, np.ndarray)) for name, held in state_of(function).items()}
    code = Hosted(type(function), state, [x is not None for x in xs])
    made = tracing.graph.apply(TABLE["host"], operands, {"gives": specs, "fn": code})
    return list(made) if isinstance(made, tuple) else [made]


def _covers(shape: tuple[int, ...], operand: tuple[int, ...]) -> bool:
    """Whether `operand` broadcasts to `shape`: such a gradient is summed over the axes that were broadcast."""
    return len(shape) >= len(operand) and all(n in (1, m) for n, m in zip(reversed(operand), reversed(shape)))


def _always(held: Variable) -> Callable[[], Variable]:
    return lambda: held


def state_of(function: Any) -> dict[str, Any]:
    """What is kept on the object, without what a call leaves there."""
    return {name: held for name, held in vars(function).items() if name not in ("inputs", "outputs")}


def exchange(held: Any, change: Callable[[Any], Any], kinds: type | tuple[type, ...]) -> Any:
    """What was kept on `self` with everything of these kinds in it, in lists, tuples and dicts too, exchanged."""
    if isinstance(held, kinds):
        return change(held)
    if type(held) in (list, tuple):
        return type(held)([exchange(part, change, kinds) for part in held])
    if type(held) is dict:
        return {key: exchange(part, change, kinds) for key, part in held.items()}
    return held
