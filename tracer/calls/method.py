"""Compiled methods: each object has a compiled function of its own, which lives as long as the object and does not keep it alive."""
from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Protocol

from tracer.tracing.context import called


class CompiledFunction(Protocol):
    """What a compiled function offers."""

    @property
    def graph(self) -> Callable[..., Any]:
        """Of a call with these arguments the graph."""

    @property
    def plan(self) -> Callable[..., Any]:
        """The plan."""

    @property
    def source(self) -> Callable[..., Any]:
        """The program."""

    @property
    def explain(self) -> Callable[..., Any]:
        """What happened so far."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """A call."""


class Method:
    """A compiled method of one object, which it keeps alive as a bound method does. It offers what a compiled function does."""

    def __init__(self, holder: Any, compiled: CompiledFunction):
        self.__self__, self.__wrapped__ = holder, compiled
        self.__name__: str = compiled.__name__  # type: ignore[attr-defined]
        self.__doc__ = compiled.__doc__
        self.graph, self.plan, self.source, self.explain = compiled.graph, compiled.plan, compiled.source, compiled.explain

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)

    def __reduce__(self) -> Any:
        """As a bound method: of the object's copy."""
        return getattr, (self.__self__, self.__name__)


class WeakMethod:
    """A method of an object that it does not keep alive: what the compiled function calls. `gone` is called when the object goes."""

    def __init__(self, fn: Callable[..., Any], holder: Any, kind: type | None, gone: Callable[[Any], Any]):
        self._fn, self._holder, self._kind = fn, _weakly(holder, gone), kind
        self.__name__, self.__doc__ = getattr(fn, "__name__", type(fn).__name__), fn.__doc__

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        return self._fn.__get__(self._holder(), self._kind)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return called(self.__wrapped__)(*args, **kwargs)


def _weakly(thing: Any, gone: Callable[[Any], Any]) -> Callable[[], Any]:
    """A weak reference; to what allows none (named tuples, some classes with __slots__) a strong one."""
    try:
        return weakref.ref(thing, gone)
    except TypeError:
        return lambda: thing
