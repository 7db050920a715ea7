"""What a trace rests on: guards, which a later call must pass before the trace is used again.

Numbers that Python needed; plain values within reach of the function; arrays within reach whose content was read out of the graph's
sight; how an argument that is written lies to other arrays. Guards hold paths and copies, never the objects themselves.
"""

from __future__ import annotations

import re
import time
import types
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from ir.errors import TraceError
from ir.spec import Spec
from tracer.arrays.aliases import Relation, relation
from tracer.captures.changes import read_values
from tracer.captures.fetch import Fetch
from tracer.captures.paths import GONE, Found, now
from tracer.captures.seen import LARGE, fingerprint
from tracer.operands.stack import Operand
from tracer.tracing.kinds import kind_holds

if TYPE_CHECKING:
    from tracer.tracing.context import Capture, Tracing
    from tracer.tracing.trace import Trace


SHARING: Any = 10_000  # work spent on the question whether two arrays share an element; past it they are taken to
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass(frozen=True)
class Guard:
    """What must still hold for the trace to be used again. `check(leaves)` gets the flat arguments of a call.

    `number`: the position of the argument, a Python number, that it is about. With a `fetch` it holds where what that gives has the
    fingerprint `seen`. `change(leaves)`: what is no longer as it was, in words.
    """

    description: str
    check: Callable[[list[Any]], bool]
    number: int | None = None
    fetch: Fetch | None = None
    seen: Any = None
    change: Callable[[Sequence[Any]], str] | None = None

    @property
    def of_values(self) -> bool:
        """Whether it is about a number, or the numbers in an array."""
        kind = self.seen[0] if isinstance(self.seen, tuple) else None
        return self.number is not None or kind in (int, float, complex) or (type(kind) is tuple and len(self.seen) == 3)

    def changed(self, leaves: Sequence[Any]) -> str:
        """Why the trace does not hold for these arguments."""
        return self.change(leaves) if self.change is not None else f"no longer holds: {self.description}"


def guards_of(tracing: Tracing, traced: Trace, leaves: list[Any], before: list[tuple[Found, Any]]) -> list[Guard]:
    """Pinned numbers; plain values within reach; arrays within reach that did not enter the graph (all, where something is unknown)."""
    guards = []
    of_input = {leaf.input: k for k, leaf in enumerate(traced.leaves) if leaf.input is not None}
    for source, (line, what) in sorted(tracing.pinned.items()):
        k, where = of_input.get(source), f" ({line.place()}: {what})" if line else f" ({what})"
        if k is not None:
            name = traced.leaves[k].name
            became = _argument_changed(f"argument {name}: {leaves[k]!r} -> ", where, k)
            guards.append(Guard(f"{name} is {leaves[k]!r}{where}", _same_number(k, leaves[k]), k, change=became))
        elif source in tracing.numbers.entered:
            found = tracing.numbers.entered[source]
            guards.append(_still(f"is {found.thing!r}{where}", found, fingerprint(found.thing), _captured_changed(found, where)))
    getters = {source: _leaf(k) for source, k in of_input.items()}
    getters |= {source: _reached(found.fetch) for source, found in tracing.numbers.entered.items()}
    for power in tracing.powers:
        if power.graph is tracing.graph and (check := kind_holds(power, getters)) is not None:
            where = f" ({power.node.line.place()})" if power.node.line else ""
            guards.append(Guard(f"a power is {'an' if power.spec.weak == 'int' else 'a'} {power.spec.weak}{where}", check))
    inside = tracing.entered_ids()
    arrays = [found.name for found, _ in before if isinstance(found.thing, np.ndarray)]
    as_numbers = read_values(arrays, tracing.fn, tracing.reach.found) if tracing.fn is not None else set()
    compared: list[tuple[str, Any]] = []
    read: list[Found] = []  # arrays that NumPy may have read out of the graph's sight
    for found, seen in before:
        thing = now(found.fetch)
        if fingerprint(thing) != seen and (thing is found.thing or not tracing.reach.is_others(found)):
            continue  # the function itself changes it
        if found.place in tracing.numbers.stood_in:
            continue
        if isinstance(found.thing, np.ndarray):
            if id(found.thing) not in inside or tracing.unknown is not None or tracing.plain_result or found.name in as_numbers:
                guards.append(_still("holds the same numbers", found, seen, _array_changed(found)))
                compared.append((found.name, found.thing))
                read += [found] if tracing.reach.names_it(found) else []
        else:
            guards.append(_still(f"is {_shown(found.thing)}", found, seen, _captured_changed(found)))
    guards += [_still_one(found, first) for found, first in tracing.reach.aliases if now(found.fetch) is now(first)]
    for ref, seen in tracing.pathless:
        if (array := ref()) is not None and fingerprint(array) == seen:
            guards.append(Guard("an array that became a constant holds the same numbers", _same_while_alive(ref, seen)))
            compared.append(("a constant", ref()))
    if tracing.reach.asks_is:
        reached = [f for f in tracing.reach.found if isinstance(f.thing, (np.ndarray, Operand))]
        guards += [_still("is the same one", f, weakref.ref(f.thing), _captured_changed(f)) for f in reached]
        ways = [f.fetch for f in reached]
        same = _which_are_one(leaves, ways)
        guards.append(Guard("the same arguments are one array", lambda leaves: _which_are_one(leaves, ways) == same))
    traced.cost = _cost(tracing, compared)
    guard = _apart_or_as_traced(tracing, traced, leaves, read)
    return guards if guard is None else [*guards, guard]


def _leaf(k: int) -> Callable[[list[Any]], Any]:
    return lambda leaves: leaves[k]


def _reached(fetch: Fetch) -> Callable[[list[Any]], Any]:
    return lambda leaves: now(fetch)


def _cost(tracing: Tracing, compared: list[tuple[str, Any]]) -> str | None:
    """Where arrays of more than LARGE bytes are compared at each call: which, why, what it costs, and the way out."""
    arrays = [(name, array) for name, array in compared if array is not None]
    total = sum([array.nbytes for _, array in arrays])
    if total <= LARGE:
        return None
    began = time.perf_counter()
    for _, array in arrays:
        fingerprint(array)
    cost = (time.perf_counter() - began) * 1e3
    names, line = ", ".join(dict.fromkeys([name for name, _ in arrays])), tracing.unknown
    why = f"{line.place()} computes with what NumPy made while tracing" if line else "Python or NumPy read them while tracing"
    return (
        f"{names}: {total} bytes are compared by checksum at each call, about {cost:.1f} ms, because {why}. "
        "Pass the arrays as arguments, or compute from them outside and pass the result."
    )


def _same_number(position: int, number: Any) -> Callable[[list[Any]], bool]:
    kind, shown = type(number), repr(number)
    return lambda leaves: type(leaves[position]) is kind and repr(leaves[position]) == shown


def _which_are_one(leaves: Sequence[Any], ways: list[Fetch]) -> list[int]:
    """For each argument, and what is reached by these ways, the first that is the same array or Variable."""
    things = [*leaves, *[now(way) for way in ways]]
    ids = [id(thing) if isinstance(thing, (np.ndarray, Operand)) else k for k, thing in enumerate(things)]
    return [ids.index(one) for one in ids]


def _still_one(found: Found, first: Fetch) -> Guard:
    """What is reached by two ways is still one thing."""
    again = found.fetch
    return Guard(f"{found.name} is still the same by each way", lambda leaves: now(again) is now(first))


def _argument_changed(before: str, where: str, k: int) -> Callable[[Sequence[Any]], str]:
    return lambda leaves: f"{before}{leaves[k]!r}{where}"


def _captured_changed(found: Found, where: str = "") -> Callable[[Sequence[Any]], str]:
    name, fetch, was = found.name, found.fetch, _shown(found.thing)

    def change(leaves: Sequence[Any]) -> str:
        thing = now(fetch)
        after = "nothing" if thing is GONE else _shown(thing)
        return f"captured {name}: {was} -> {f'another {after}' if after == was else after}{where}"

    return change


def _array_changed(found: Found) -> Callable[[Sequence[Any]], str]:
    name, fetch, was = found.name, found.fetch, _spec(found.thing)

    def change(leaves: Sequence[Any]) -> str:
        thing = now(fetch)
        if not isinstance(thing, np.ndarray):
            return f"captured {name}: {was} -> {'nothing' if thing is GONE else _shown(thing)}"
        after = _spec(thing)
        return f"captured {name}: {was} with other numbers" if after == was else f"captured {name}: {was} -> {after}"

    return change


def _spec(array: np.ndarray) -> str:
    known = array.dtype.kind in "biufc"
    return str(Spec(array.shape, array.dtype)) if known else f"{array.dtype}{list(array.shape)}"


def _shown(thing: Any) -> str:
    """The thing in a few words, the same in each run: without its place in memory."""
    if isinstance(thing, types.CodeType):
        return f"the code of line {thing.co_firstlineno}"
    if isinstance(thing, (list, tuple, dict, set, frozenset)) and len(thing) > 20:
        return f"a {type(thing).__name__} of {len(thing)}"
    try:
        return f"{_ADDRESS.sub('', repr(thing)):.60}"
    except Exception:  # a user's own __repr__, which is not what this is about
        return f"a {type(thing).__name__}"


def _still(what: str, found: Found, seen: Any, change: Callable[[Sequence[Any]], str]) -> Guard:
    """What is found there still has the fingerprint `seen`; where that is a weak reference, to something alive."""
    fetch = found.fetch

    def check(leaves: list[Any]) -> bool:
        thing = now(fetch)
        return thing is not None and thing is seen() if isinstance(seen, weakref.ref) else fingerprint(thing) == seen

    return Guard(f"{found.name} {what}", check, fetch=fetch, seen=seen, change=change)


def _same_while_alive(ref: weakref.ref[np.ndarray], seen: Any) -> Callable[[list[Any]], bool]:
    def check(leaves: list[Any]) -> bool:
        array = ref()
        return array is None or fingerprint(array) == seen

    return check


def _apart_or_as_traced(tracing: Tracing, traced: Trace, leaves: list[Any], read: list[Found]) -> Guard | None:
    """Where arguments are written: each can be written, and lies to the other arrays as it did. None where nothing is written.

    TraceError where an argument and a Variable that the function closes over share memory and one of them is written, or where an
    argument that is written shares memory with an array that plain NumPy may have `read` while tracing: it would have read the old values.
    """
    updated = {tracing.graph.inputs.index(state) for state, _ in tracing.graph.updates}
    of_input = {leaf.input: k for k, leaf in enumerate(traced.leaves)}
    written = [of_input[source] for source in traced.writes]
    captured = [c for c in traced.captured if c.kind in ("array", "variable")]
    states = [c for c in captured if c.kind == "variable"]
    for c in states:
        for k in range(len(leaves)) if c.input in updated else written:
            if _relation(memory(leaves[k]), memory(c.holder)) is not None:
                name = c.name or "a Variable"
                raise TraceError(
                    f"{traced.leaves[k].name} and {name} share memory, and the function writes into one of them",
                    line=traced.graph.inputs[c.input].node.line, op="assignment", mend=f"pass a copy: {name}.data.copy()",
                )
    _states_apart(traced, captured, updated)
    for c in states:
        for found in read if c.input in updated else ():
            if _relation(memory(c.holder), found.thing) is not None:
                raise TraceError(
                    f"{c.name or 'a Variable'} and {found.name} share memory; the one is written, the other may be read by plain NumPy, "
                    "which would see the values from before the call",
                    line=traced.graph.inputs[c.input].node.line, op="assignment",
                    mend=f"read {c.name or 'the Variable'}.data, or make the Variable with a copy: Variable(array.copy())",
                )
    if not written:
        return None
    for found in read:
        for k in written:
            if _relation(memory(leaves[k]), found.thing) is not None:
                name = traced.leaves[k].name
                raise TraceError(
                    f"{name}, which the function writes, shares memory with {found.name}, which the function also reaches by itself; what "
                    "plain NumPy reads there while tracing is not what has been written",
                    line=traced.graph.outputs[traced.writes[traced.leaves[k].input]].node.line, op="assignment",  # type: ignore[index]
                    mend=f"pass a copy as {name}, or {found.name} as an argument as well",
                )
    fetches = [c.fetch for c in captured] + [found.fetch for found in read]

    def lie(leaves: list[Any]) -> list[Any]:
        arrays = [memory(leaf) for leaf in leaves]
        others = arrays + [memory(now(fetch)) for fetch in fetches]
        return [
            (arrays[k] is None or arrays[k].flags.writeable, [_relation(arrays[k], b) for j, b in enumerate(others) if j != k])
            for k in written
        ]

    seen = lie(leaves)
    return Guard("what is written can be, and shares memory with other arrays as it did when traced", lambda leaves: lie(leaves) == seen)


def _states_apart(traced: Trace, captured: list[Capture], updated: set[int]) -> None:
    """TraceError where the data of a Variable that is written shares memory with another thing that the function closes over."""
    spans = []
    for c in captured if updated else ():
        array = memory(c.holder) if c.kind == "variable" else now(c.fetch)
        if isinstance(array, np.ndarray) and array.size:
            spans.append((*byte_bounds(array), c, array))
    spans.sort(key=lambda span: span[0])
    behind: list[Any] = []  # those that reach past the start of the one looked at
    for low, high, c, array in spans:
        behind = [span for span in behind if span[1] > low]
        for _, _, other, its in behind:
            if (c.input in updated or other.input in updated) and np.may_share_memory(array, its, max_work=SHARING):
                one, two = sorted((other, c), key=lambda x: x.input)
                raise TraceError(
                    f"{one.name or one.kind} and {two.name or two.kind} share memory, and one of them is written",
                    line=traced.graph.inputs[two.input].node.line, op="assignment",
                    mend="use one Variable for both, or give one of them a copy: Variable(array.copy())",
                )
        behind.append((low, high, c, array))


def memory(thing: Any) -> Any:
    """The plain array that holds a thing's value, None where there is none."""
    return thing.memory() if isinstance(thing, Operand) else thing if isinstance(thing, np.ndarray) else None


def _relation(a: Any, b: Any) -> Relation | None:
    return None if a is None or b is None else relation(a, b)
