"""Stand-ins for the Python numbers that a function has from its cells, globals and defaults: inputs of the trace, as arguments are.

In: a trace and the function that it is about to call. Out: a twin with the same code, whose cells, globals and defaults give stand-ins
for ints, floats and complex numbers and twins for the functions that are only called; `type(x)` gives them the type of what a stand-in
stands for. Invariants: the function itself, its cells and its globals stay as they are; a stand-in becomes an input when the graph or
Python first asks for it; every other reader of the number sees the number.
"""
from __future__ import annotations

import functools
import types
from dataclasses import replace
from typing import Any

from backends.numpy import workers
from ir.graph import Value
from ir.spec import weak_spec
from tracer.arrays.scalar import TracedScalar
from tracer.captures.capture import NUMBERS
from tracer.captures.paths import Found, always, filled, now
from tracer.operands.refusal import refuse
from tracer.operands.stack import Operand
from tracer.tracing.outside import Outside


class Numbers:
    """The captured numbers of one trace. `entered`: graph input -> the number; `stood_in`: the places where functions see stand-ins."""

    def __init__(self, outside: Outside, enabled: bool = True):
        self._outside, self.enabled = outside, enabled
        self.entered: dict[int, Found] = {}
        self.stood_in: set[Any] = set()
        self._twins: dict[int, types.FunctionType] = {}
        self._cells: dict[int, tuple[Any, Any, Any]] = {}  # id of a cell -> it, its content, its twin
        self._globals: dict[int, Globals] = {}
        self._scalars: dict[Any, TracedScalar] = {}
        self._empty: list[tuple[Any, types.FunctionType]] = []  # twins of cells, and the functions whose twins they are to hold

    def twin(self, fn: Any) -> Any:
        """What to call in place of `fn`: a twin where `fn` is the user's and nothing tells the two apart, else `fn`."""
        if not self.enabled and not self._outside.reach.asks_type:
            return fn
        kind = type(fn)
        if kind is types.MethodType:
            func = self.twin(fn.__func__)
            return fn if func is fn.__func__ else types.MethodType(func, fn.__self__)
        known = id(fn) in self._outside.reach.only_called
        if kind is functools.partial:
            if not known:
                return fn
            args = [self._number(fn, "args", k, v) for k, v in enumerate(fn.args)]
            return functools.partial(self.twin(fn.func), *args, **{k: self._number(fn, "keywords", k, v) for k, v in fn.keywords.items()})
        if kind is not types.FunctionType:
            call = vars(kind).get("__call__")
            return types.MethodType(self.twin(call), fn) if type(call) is types.FunctionType and self._is_known(call) else fn
        if not known:
            return fn
        made = self._twin(fn)
        while self._empty:
            cell, held = self._empty.pop()
            cell.cell_contents = self._twin(held)
        return made

    def settle(self) -> None:
        """Numbers that the function itself changed stay what they were, as all that happens only when tracing. Those that another thread
        rebound were given as they were when the trace began, and are fetched anew at each call.

        TraceError where one was changed in its cell behind the back of the stand-in, so that the trace did not see the new one.
        """
        captured = self._outside.captured
        for k, capture in enumerate(captured):
            found = self.entered.get(capture.input)
            if found is not None and now(found.fetch) is not found.thing and not self.is_others(found):
                captured[k] = replace(capture, fetch=always(found.thing))
                del self.entered[capture.input]
        for cell, content, _ in self._cells.values():
            changed = not filled(cell) or cell.cell_contents is not content
            if changed and workers.alone():  # another thread may: the number is then that of one moment
                raise refuse(
                    f"the captured {content!r:.40} was changed while the function was traced, by code that can't be followed",
                    "call again; if it happens each time, pass the number as an argument",
                )

    def forget(self) -> None:
        """The run is over: lets go of functions, cells and numbers."""
        for held in (self.entered, self._twins, self._cells, self._globals, self._scalars):
            held.clear()

    def _is_known(self, fn: types.FunctionType) -> bool:
        return id(fn) in self._outside.reach.only_called

    def _twin(self, fn: types.FunctionType) -> types.FunctionType:
        known = self._twins.get(id(fn))
        if known is None:
            names = fn.__code__.co_freevars
            cells = tuple([self._cell(fn, name, cell) for name, cell in zip(names, fn.__closure__ or ())])
            defaults = tuple([self._number(fn, "default", k, v) for k, v in enumerate(fn.__defaults__ or ())])
            known = types.FunctionType(fn.__code__, self.globals_of(fn), fn.__name__, defaults or None, cells)
            if fn.__kwdefaults__:
                known.__kwdefaults__ = {k: self._number(fn, "kwdefault", k, v) for k, v in fn.__kwdefaults__.items()}
            known.__qualname__, known.__dict__ = fn.__qualname__, fn.__dict__
            self._twins[id(fn)] = known
        return known

    def globals_of(self, fn: types.FunctionType) -> Globals:
        """The globals as the twin of a function sees them; functions of one module share them."""
        held = fn.__globals__
        known = self._globals.get(id(held))
        if known is None:
            known = self._globals[id(held)] = Globals(self, held)
        for name in self._outside.reach.globals_of(fn):
            found = self._outside.reach.number(fn, "global", name) if self.enabled else None
            if found is not None and not name.startswith("__"):
                known.numbers[name] = found
                self.stood_in.add(found.place)
        return known

    def _cell(self, fn: types.FunctionType, name: str, cell: Any) -> Any:
        known = self._cells.get(id(cell))
        if known is not None:
            if type(known[1]) in NUMBERS:
                self.stood_in.add((id(fn), "cell", name))
            return known[2]
        if not filled(cell) or id(cell) in self._outside.reach.stored:
            return cell
        content = cell.cell_contents
        if type(content) is types.FunctionType and self._is_known(content):
            twin = types.CellType()
            self._empty.append((twin, content))
        else:
            scalar = self._number(fn, "cell", name, content)
            if scalar is content:
                return cell
            twin = types.CellType(scalar)
        self._cells[id(cell)] = cell, content, twin
        return twin

    def _number(self, holder: Any, part: str, key: Any, thing: Any) -> Any:
        """The stand-in for a number in its place, or the thing as it is."""
        found = self._outside.reach.number(holder, part, key) if self.enabled else None
        if found is None or (found.thing is not thing and not self.is_others(found)):
            return thing
        self.stood_in.add(found.place)
        return self.scalar(found, found.place)

    def scalar(self, found: Found, where: Any) -> TracedScalar:
        """The stand-in for a number; one for each place."""
        known = self._scalars.get(where)
        if known is None:
            known = self._scalars[where] = TracedScalar.later(found.thing, lambda: self._enter(found))
        return known

    def called(self, fn: Any) -> Any:
        """The twin of a function that a name of the user's stands for, where one may run in its place."""
        return self.twin(fn) if type(fn) is types.FunctionType else fn

    def is_others(self, found: Found) -> bool:
        """Whether no function within reach rebinds this number, but another thread may: it is given as it was when the trace began."""
        return self._outside.reach.is_others(found)

    @property
    def closed(self) -> bool:
        return self._outside.closed

    def _enter(self, found: Found) -> Value:
        value, index = self._outside.enter_number(found, weak_spec(type(found.thing).__name__))
        self.entered[index] = found
        return value


class Globals(dict[str, Any]):
    """The globals of twins: those of the module as they are at that moment, but for numbers and for functions that are only called.

    It holds the special names alone (`__name__`, `__builtins__`: CPython reads these past `__missing__`), so every other look-up by name
    comes here. A number that the function has rebound since the trace began is given as it is.
    """

    def __init__(self, owner: Numbers, real: dict[str, Any]):
        super().__init__({name: held for name, held in real.items() if name.startswith("__")})
        self._owner, self._real = owner, real
        self.numbers: dict[str, Found] = {}

    def __missing__(self, name: str) -> Any:
        if name == "type" and name not in self._real and not self._owner.closed:
            return kind_of  # twins do nothing else with it than call it
        thing = self._real[name]
        if self._owner.closed:
            return thing
        found = self.numbers.get(name)
        if found is not None and (found.thing is thing or self._owner.is_others(found)):
            return self._owner.scalar(found, (id(self._real), name))
        return self._owner.called(thing)


def kind_of(*args: Any, **kwargs: Any) -> Any:
    """`type`, which for a stand-in gives the type of what it stands for.

    >>> kind_of(2.5)
    <class 'float'>
    """
    stands_in = len(args) == 1 and isinstance(args[0], Operand) and type(args[0]).rank != 3
    return args[0].__class__ if stands_in else type(*args, **kwargs)
