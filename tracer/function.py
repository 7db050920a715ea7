"""Functions of the user's own: `forward` on arrays, `backward` on Variables, in the form of the course that this style comes from.

Inside a trace, `forward` runs on traced arrays and one `custom` node ties its results to its inputs, whose rule is `backward`. Outside,
forward is traced once for each class, state and kind of operands, and the graph is recorded like an operation. Either way the
gradient is what `backward` says, and since that records too, it differentiates again.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ir.errors import ArgumentError, Error, ShapeError
from ir.gradient import zeros
from ir.graph import Graph, Value
from ir.ops import TABLE
from ir.source import user_line
from tracer.config import Config, using_config
from tracer.context import Tracing, resume
from tracer.lazy import record_graph
from tracer.records import Held, array_spec
from tracer.seen import PLAIN, comparable, fingerprint
from tracer.stack import current, entered
from tracer.traced import TracedArray
from tracer.variable import Variable, as_array, as_variable, wrapped

FORWARDS = 1024  # traced forwards kept


class Function:
    """An operation with a gradient of its own. Subclasses give

        forward(self, *xs)     arrays in (None for an operand that is None), an array or a tuple of arrays out
        backward(self, *gys)   a Variable for each result in, a Variable or None for each operand out (alone or in a tuple)

    `self.inputs` (Variables) and `self.outputs` (callables that give Variables) can be read in `backward`, and so can whatever
    `forward` kept on `self`.

    >>> class Square(Function):
    ...     def forward(self, x):
    ...         return x ** 2
    ...     def backward(self, gy):
    ...         x, = self.inputs
    ...         return 2 * x * gy
    >>> x = Variable(np.array(3.0))
    >>> y = Square()(x)
    >>> y.backward()
    >>> y, x.grad
    (variable(9.0), variable(6.0))
    """

    inputs: list[Variable]
    outputs: list[Callable[[], Any]]

    def __call__(self, *inputs: Any) -> Any:
        """Applies the function to Variables, arrays, numbers or None; gives a Variable, or a list of them where there are several."""
        tracing = current()
        outs = self._eager(inputs) if tracing is None else self._traced(tracing, inputs)
        return outs if len(outs) > 1 else outs[0]

    def forward(self, *xs: Any) -> Any:
        """The result of the function for arrays."""
        raise ArgumentError(f"{type(self).__name__} has no forward", mend="define forward(self, *xs)", line=user_line())

    def backward(self, *gys: Any) -> Any:
        """The gradients by the operands, given those by the results."""
        raise ArgumentError(f"{type(self).__name__} has no backward", mend="define backward(self, *gys)", line=user_line())

    def _traced(self, tracing: Tracing, inputs: tuple[Any, ...]) -> list[Variable]:
        variables = [_entering(tracing, x) for x in inputs]
        xs = [v.data for v in variables]
        ins = [x.value for x in xs if x is not None]
        made = self.forward(*xs)
        made = made if isinstance(made, tuple) else (made,)
        ys = [tracing.value_of(as_array(y)) for y in made]
        self.inputs = variables
        if not Config.enable_backprop or not ins:
            return [wrapped(tracing.wrap(y, array=True)) for y in ys]
        kept: list[Value] = []

        def keep(array: TracedArray) -> TracedArray:
            kept.append(array.value)
            return array

        state = {name: _exchange(held, keep) for name, held in _state(self).items()}
        rule = Rule(type(self), state, [x is not None for x in xs])
        given = TABLE["custom"](*ys, *ins, *kept, outs=len(ys), rule=rule)
        outs = [wrapped(tracing.wrap(v, array=True)) for v in (given if isinstance(given, tuple) else (given,))]
        self.outputs = [weakref.ref(out) for out in outs]
        return outs

    def _eager(self, inputs: tuple[Any, ...]) -> list[Variable]:
        variables = [Variable(None) if x is None else as_variable(x) for x in inputs]
        forward = _forward_of(self, variables)
        operands: list[Any] = [v for v in variables if not v.absent]
        operands += [getattr(self, name) for name in forward.arrays]
        operands += [fetch() for fetch in forward.fetch]
        outs = list(record_graph(Variable, forward.graph, operands))
        self.inputs, self.outputs = variables, [weakref.ref(out) for out in outs]
        return outs


class Rule:
    """The gradient rule of one call: `backward` of the class, on an object with the state that forward left."""

    __slots__ = ("name", "_kind", "_state", "_given")

    def __init__(self, kind: type[Function], state: dict[str, Any], given: list[bool]):
        self.name, self._kind, self._state, self._given = kind.__name__, kind, state, given

    def vjp(self, g: tuple[Value | None, ...], outs: tuple[Value, ...], ins: tuple[Value, ...]) -> tuple[Value | None, ...]:
        """Runs `backward` on Variables of the graph that is being differentiated."""
        graph = outs[0].graph
        count = sum(self._given)
        with resume(graph) as tracing, using_config("enable_backprop", True):
            rest, kept = iter(ins[:count]), iter(ins[count:])

            def restore(array: TracedArray) -> TracedArray:
                return tracing.wrap(next(kept), array=not array.scalar)

            twin = self._kind.__new__(self._kind)
            vars(twin).update({name: _exchange(held, restore) for name, held in self._state.items()})
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


def _covers(shape: tuple[int, ...], operand: tuple[int, ...]) -> bool:
    """Whether `operand` broadcasts to `shape`: such a gradient is summed over the axes that were broadcast."""
    return len(shape) >= len(operand) and all(n in (1, m) for n, m in zip(reversed(operand), reversed(shape)))


def _always(held: Variable) -> Callable[[], Variable]:
    return lambda: held


def _entering(tracing: Tracing, x: Any) -> Variable:
    """An operand of a traced call as a Variable."""
    if isinstance(x, Variable):
        return x
    if x is None:
        return Variable(None)
    return wrapped(x if type(x) is TracedArray else tracing.wrap(tracing.value_of(as_array(x)), array=True))


def _state(function: Function) -> dict[str, Any]:
    """What is kept on the object, without what a call leaves there."""
    return {name: held for name, held in vars(function).items() if name not in ("inputs", "outputs")}


def _exchange(held: Any, change: Callable[[TracedArray], Any]) -> Any:
    """What was kept on `self` with every traced array in it, in lists, tuples and dicts too, exchanged."""
    if type(held) is TracedArray:
        return change(held)
    if type(held) in (list, tuple):
        return type(held)([_exchange(part, change) for part in held])
    if type(held) is dict:
        return {key: _exchange(part, change) for key, part in held.items()}
    return held


class _Forward:
    """A traced forward: its graph takes the operands, then the array attributes `arrays` of the object, then what `fetch` gives.

    `guards` are plain values and arrays out of the graph that tracing may have read: (how to get it, what it was).
    """

    __slots__ = ("graph", "arrays", "fetch", "guards")

    def __init__(self, graph: Graph, arrays: list[str], fetch: list[Callable[[], Any]], guards: Sequence[tuple[Callable[[], Any], Any]]):
        self.graph, self.arrays, self.fetch, self.guards = graph, arrays, fetch, guards

    def holds(self) -> bool:
        """Whether all that tracing may have read is as it was."""
        return all(fingerprint(fetch()) == seen for fetch, seen in self.guards)


_forwards: dict[tuple[Any, ...], _Forward] = {}


def _forward_of(function: Function, variables: list[Variable]) -> _Forward:
    """The traced forward for an object in this state and operands of these kinds; traced now if there is none."""
    state = _state(function)
    arrays = [name for name, held in state.items() if isinstance(held, np.ndarray)]
    specs = [None if v.absent else (v.shape, v.dtype) for v in variables]
    attrs = tuple([(name, array_spec(held) if name in arrays else _frozen(held)) for name, held in state.items()])
    key = (type(function), Config.train, attrs, *specs)
    found = _forwards.get(key)
    if found is None or not found.holds():
        found = _trace_forward(function, variables, arrays, state)
        if len(_forwards) >= FORWARDS:
            del _forwards[next(iter(_forwards))]
        _forwards[key] = found
    return found


def _trace_forward(function: Function, variables: list[Variable], arrays: list[str], state: dict[str, Any]) -> _Forward:
    twin = type(function).__new__(type(function))
    vars(twin).update(state)
    tracing = Tracing(fn=twin.forward)
    graph = tracing.graph
    with entered(tracing), using_config("enable_backprop", True):
        operands = [None if v.absent else tracing.wrap(graph.input(array_spec_of(v)), array=True) for v in variables]
        for name in arrays:
            setattr(twin, name, tracing.wrap(graph.input(array_spec(state[name])), array=True))
        outs = twin._traced(tracing, tuple(operands))
        graph.outputs = [out.data.value for out in outs]
    tracing.closed = True
    inside = tracing.entered_ids()
    guards = [
        (found.fetch, fingerprint(found.thing))
        for found in tracing.reach.found
        if not found.name.startswith("self") and id(found.thing) not in inside and comparable(found.thing)
    ]
    return _Forward(graph, arrays, [c.fetch for c in tracing.captured], guards)


def array_spec_of(held: Variable) -> Any:
    """The spec of a Variable's data, without computing it."""
    return held._out.spec if held._out is not None else array_spec(held._value)


def _frozen(held: Any) -> Any:
    """A hashable stand-in for a part of a function's state: equal for equal plain values and containers of them, else by identity."""
    if isinstance(held, (*PLAIN, type, np.dtype)):
        return type(held), repr(held) if isinstance(held, float) else held
    if type(held) in (list, tuple):
        return type(held), tuple([_frozen(part) for part in held])
    if type(held) is dict:
        return dict, tuple([(key, _frozen(part)) for key, part in held.items()])
    return _Identity(held)


class _Identity:
    """Equal to the stand-in of the same object only; keeps it alive, so that no other can take its identity."""

    __slots__ = ("thing",)

    def __init__(self, thing: Any):
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.thing is self.thing

    def __hash__(self) -> int:
        return id(self.thing)
