"""How a thing is fetched again: from a function by cells, globals, attributes and items, one step after another.

A Fetch is a step from what another gives. Calling it gives what is there now, and raises what Python raises where nothing is. As each
kind of step is a piece of Python text, a call can be written that makes many fetches, and their common beginnings only once.
"""
from __future__ import annotations

from collections.abc import Callable
from keyword import iskeyword
from typing import Any

STEPS = {
    "is": "{key}",
    "weak": "{key}()",
    "cell": "{key}.cell_contents",  # a function's cells never change, only what is in them; which function it is, is guarded
    "attribute": "getattr({before}, {key})",
    "held": "{before}.__dict__[{key}]",
    "member": "vars({before})[{key}]",
    "item": "{before}[{key}]",
    "dict item": "dict.__getitem__({before}, {key})",  # where a class of the user's has an item access of its own
    "list item": "list.__getitem__({before}, {key})",
    "tuple item": "tuple.__getitem__({before}, {key})",
    "global": "{before}.__globals__[{key}]",
    "default": "{before}.__defaults__[{key}]",
    "kwdefault": "{before}.__kwdefaults__[{key}]",
    "type": "type({before})",
    "call": "{before}()",
    "get": "{before}.get(None)",
    "lacks": "{before}.keys().isdisjoint({key})",
    "list": "list({before})",
    "tuple": "tuple({before})",
}
_TAKE: dict[str, Callable[[Any, Any], Any]] = {
    step: eval(f"lambda before, key: {text.format(before='before', key='key')}") for step, text in STEPS.items()
}


class Fetch:
    """`step` is one of STEPS, taken with `key` from what `before` gives.

    >>> class Config: rate = 0.5
    >>> fetch = Fetch(Fetch(None, "is", {"config": Config()}), "item", "config")
    >>> Fetch(fetch, "attribute", "rate")()
    0.5
    """

    __slots__ = ("before", "step", "key")

    def __init__(self, before: Fetch | None, step: str, key: Any = None):
        self.before, self.step, self.key = before, step, key

    def __call__(self) -> Any:
        return _TAKE[self.step](self.before() if self.before is not None else None, self.key)

    def put(self, thing: Any) -> None:
        """Puts a thing where this gets one: into a cell, an attribute or an item."""
        if self.step == "cell":
            self.key.cell_contents = thing
            return
        assert self.before is not None
        before = self.before()
        if self.step in ("attribute", "member"):
            setattr(before, self.key, thing)
        else:
            (vars(before) if self.step == "held" else before)[self.key] = thing

    def same_way(self, other: Fetch) -> bool:
        """Whether both take the same steps from the same beginning."""
        one: Fetch | None = self
        two: Fetch | None = other
        while one is not None and two is not None and one is not two:
            same = one.key is two.key or (type(one.key) in (str, int) and one.key == two.key)
            if one.step != two.step or not same:
                return False
            one, two = one.before, two.before
        return one is two


class FetchWriter:
    """Writes fetches as lines of Python, each beginning once. `names` gets the objects that the lines mention."""

    def __init__(self, names: dict[str, Any]):
        self.names, self.lines = names, list[str]()
        self._done: dict[int, tuple[Fetch, str]] = {}  # the Fetch is kept, so that its id stays its own

    def walk(self, fetch: Fetch) -> str:
        """The name that holds what the fetch gives, after `lines`."""
        way: list[Fetch] = []
        one: Fetch | None = fetch
        while one is not None and id(one) not in self._done:
            way.append(one)
            one = one.before
        before = self._done[id(one)][1] if one is not None else ""
        for one in reversed(way):
            name = f"p{len(self._done)}"
            self.lines.append(f"{name} = {self._step(one, before)}")
            self._done[id(one)] = one, name
            before = name
        return before

    def _step(self, fetch: Fetch, before: str) -> str:
        if fetch.step == "attribute" and fetch.key.isascii() and fetch.key.isidentifier() and not iskeyword(fetch.key):
            return f"{before}.{fetch.key}"  # a third of the time
        return STEPS[fetch.step].format(before=before, key=self._key(fetch.key))

    def _key(self, key: Any) -> str:
        if type(key) in (int, str):
            return repr(key)
        name = f"key{len(self._done)}"
        self.names[name] = key
        return name
