"""The forward of a user's Function outside a trace: traced once and recorded as a graph, or run at once on the arrays themselves.

A forward is traced for each class, state and kind of operands. Where it needs values, draws random numbers or changes what it finds
(a counter, a list), define-by-run is the only way: it runs at each call, and its results are operands of a recorded `custom` node.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from ir.graph import Graph
from ir.ops import TABLE
from tracer.arrays.traced import TracedArray
from tracer.captures.capture import Reach
from tracer.captures.draws import no_draws, sources_within
from tracer.captures.paths import now
from tracer.captures.seen import PLAIN, comparable, fingerprint
from tracer.config import Config, using_config
from tracer.custom.rule import Rule, exchange, state_of
from tracer.eager.records import array_spec
from tracer.operands.stack import entered
from tracer.tracing.context import Tracing
from tracer.tracing.trace import hidden
from tracer.variable import Variable, as_array

FORWARDS = 1024  # traced forwards kept
_ARRAYS = (np.ndarray, np.generic)


class OwnFunction(Protocol):
    """A `Function` of the user's, as far as its forward goes."""

    def forward(self, *xs: Any) -> Any:
        """The result for arrays."""

    def _traced(self, tracing: Tracing, inputs: tuple[Any, ...]) -> list[Variable]:
        """What it does in a trace."""


class _Forward:
    """A traced forward: its graph takes the operands, then the array attributes `arrays` of the object, then what `fetch` gives.

    `guards` are plain values and arrays out of the graph that tracing may have read: (how to get it, what it was).
    """

    __slots__ = ("graph", "arrays", "fetch", "guards")

    def __init__(self, graph: Graph, arrays: list[str], fetch: list[Callable[[], Any]], guards: Sequence[tuple[Callable[[], Any], Any]]):
        self.graph, self.arrays, self.fetch, self.guards = graph, arrays, fetch, guards

    def operands(self, function: OwnFunction, variables: list[Variable]) -> list[Any]:
        """What the graph takes, for a call."""
        given: list[Any] = [v for v in variables if not v.absent]
        return given + [getattr(function, name) for name in self.arrays] + [fetch() for fetch in self.fetch]

    def holds(self) -> bool:
        """Whether all that tracing may have read is as it was."""
        return all(fingerprint(fetch()) == seen for fetch, seen in self.guards)


_forwards: dict[tuple[Any, ...], _Forward | None] = {}
_customs: dict[tuple[Any, ...], Graph] = {}


def applied(function: OwnFunction, variables: list[Variable]) -> tuple[Graph, list[Any]]:
    """The graph to record for a call, and what it takes.

    The first call of a kind runs on the arrays and is watched: if it drew random numbers or changed anything within its reach, so will
    those to come, and they run on the arrays too. Else the second one is traced.
    """
    state = state_of(function)
    arrays = [name for name, held in state.items() if isinstance(held, np.ndarray)]
    specs = [None if v.absent else (v.shape, v.dtype) for v in variables]
    attrs = tuple([(name, array_spec(held) if name in arrays else _frozen(held)) for name, held in state.items()])
    key = (type(function), Config.train, attrs, *specs)
    if key not in _forwards:
        watched = _Watched(function)
        made = at_once(function, variables)
        _remember(_forwards, key, None if watched.changed() else _UNTRACED)
        return made
    found = _forwards[key]
    if found is _UNTRACED or (found is not None and not found.holds()):
        found = _remember(_forwards, key, _trace_forward(function, variables, arrays, state))
    return at_once(function, variables) if found is None else (found.graph, found.operands(function, variables))


_UNTRACED: Any = object()


class _Watched:
    """What a function's forward can reach, and the state of random numbers, as they were before it ran."""

    def __init__(self, function: OwnFunction):
        reach = Reach(function.forward)
        self._sources = sources_within(reach.found)
        self._seen = [(found.fetch, fingerprint(found.thing)) for found in reach.found if comparable(found.thing)]

    def changed(self) -> bool:
        """Whether anything of it is otherwise now."""
        return any(source.moved() for source in self._sources) or any(fingerprint(now(fetch)) != seen for fetch, seen in self._seen)


def _remember(cache: dict[tuple[Any, ...], Any], key: tuple[Any, ...], made: Any) -> Any:
    if len(cache) >= FORWARDS:
        del cache[next(iter(cache))]
    cache[key] = made
    return made


def _trace_forward(function: OwnFunction, variables: list[Variable], arrays: list[str], state: dict[str, Any]) -> _Forward | None:
    """None where forward needs values."""
    twin = type(function).__new__(type(function))
    vars(twin).update(state)
    tracing = Tracing(fn=twin.forward)
    graph, reach = tracing.graph, tracing.outside.reach
    try:
        with no_draws(twin.forward, reach.found), entered(tracing), using_config("enable_backprop", True):
            operands = [None if v.absent else tracing.wrap(graph.input(array_spec_of(v)), array=True) for v in variables]
            for name in arrays:
                setattr(twin, name, tracing.wrap(graph.input(array_spec(state[name])), array=True))
            outs = twin._traced(tracing, tuple(operands))
            graph.outputs = [out.data.value for out in outs]
        inside = tracing.outside.entered_ids()
        guards = [
            (found.fetch, fingerprint(found.thing))
            for found in reach.found
            if not found.name.startswith("self") and id(found.thing) not in inside and comparable(found.thing)
        ]
        return _Forward(graph, arrays, [c.fetch for c in tracing.outside.captured], guards)
    except Exception as error:
        if hidden(error) is None:
            raise
        return None
    finally:
        tracing.forget()


def at_once(function: OwnFunction, variables: list[Variable]) -> tuple[Graph, list[Any]]:
    """Runs forward on the arrays; gives the graph that ties its results to the operands by its rule, and what that graph takes."""
    made = function.forward(*[v.data for v in variables])
    results = [np.asarray(as_array(y)) for y in (made if isinstance(made, tuple) else (made,))]
    given = [v for v in variables if not v.absent]
    kept: list[Any] = []

    def collect(array: Any) -> Any:
        kept.append(array)
        return array_spec(array)

    state = state_of(function)
    frozen = tuple([(name, _frozen(exchange(held, collect, _ARRAYS))) for name, held in state.items()])
    key = (type(function), frozen, *[v.absent for v in variables], *[array_spec(x) for x in (*results, *[v.data for v in given], *kept)])
    graph = _customs.get(key)
    if graph is None:
        graph = _remember(_customs, key, _custom(function, state, results, variables))
    return graph, [*results, *given, *kept]


def _custom(function: OwnFunction, state: dict[str, Any], results: list[Any], variables: list[Variable]) -> Graph:
    tracing = Tracing()
    graph = tracing.graph

    def enter(array: Any) -> TracedArray:
        return tracing.wrap(graph.input(array_spec(array)), array=not isinstance(array, np.generic))

    ys = [graph.input(array_spec(y)) for y in results]
    ins = [graph.input(array_spec_of(v)) for v in variables if not v.absent]
    held = {name: exchange(held, enter, _ARRAYS) for name, held in state.items()}
    rule = Rule(type(function), held, [not v.absent for v in variables])
    outs = TABLE["custom"](*graph.inputs, outs=len(ys), rule=rule) if ins else tuple(ys)
    graph.outputs = list(outs) if isinstance(outs, tuple) else [outs]
    tracing.forget()
    return graph


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
