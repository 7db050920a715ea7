"""A guard: what must still hold for a trace to be used again, as a question to a call's arguments; and those that fetch a thing anew.

Guards hold paths and copies, never the objects themselves.
"""
from __future__ import annotations

import re
import types
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tracer.captures.fetch import Fetch
from tracer.captures.paths import GONE, Found, now
from tracer.captures.seen import fingerprint

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


def still(what: str, found: Found, seen: Any, change: Callable[[Sequence[Any]], str]) -> Guard:
    """What is found there still has the fingerprint `seen`; where that is a weak reference, to something alive."""
    fetch = found.fetch

    def check(leaves: list[Any]) -> bool:
        thing = now(fetch)
        return thing is not None and thing is seen() if isinstance(seen, weakref.ref) else fingerprint(thing) == seen

    return Guard(f"{found.name} {what}", check, fetch=fetch, seen=seen, change=change)


def captured_changed(found: Found, where: str = "") -> Callable[[Sequence[Any]], str]:
    name, fetch, was = found.name, found.fetch, shown(found.thing)

    def change(leaves: Sequence[Any]) -> str:
        thing = now(fetch)
        after = "nothing" if thing is GONE else shown(thing)
        return f"captured {name}: {was} -> {f'another {after}' if after == was else after}{where}"

    return change


def shown(thing: Any) -> str:
    """The thing in a few words, the same in each run: without its place in memory."""
    if isinstance(thing, types.CodeType):
        return f"the code of line {thing.co_firstlineno}"
    if isinstance(thing, (list, tuple, dict, set, frozenset)) and _is_long(thing):
        return f"a {type(thing).__name__} of {len(thing)}"
    try:
        return f"{_ADDRESS.sub('', repr(thing)):.60}"
    except Exception:  # a user's own __repr__, which is not what this is about
        return f"a {type(thing).__name__}"


def _is_long(thing: Any) -> bool:
    """Whether the text would be long to make: more than 20 things are in a container and those in it, an array being as many as 7."""
    todo, count = [thing], 0
    while todo and count <= 20:
        inside = todo.pop()
        if isinstance(inside, (list, tuple, dict, set, frozenset)):
            count += len(inside)
            todo.extend(inside.values() if isinstance(inside, dict) else inside)
        elif hasattr(inside, "dtype"):
            count += 6
    return count > 20
