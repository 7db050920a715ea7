"""`compile`: a function to a callable that traces once for each kind of arguments and then replays a planned program.

A call goes through three steps: find the entry (by tree structure and the specs of the leaves, then by what the trace rested on),
gather its inputs (arguments, and what the function closes over, fetched anew), run its program. An entry holds graph, plan and
program; the cache is bounded and keeps no argument or result of a past call.
"""
from __future__ import annotations

import functools
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, overload

import backends
from backends.numpy import workers
from ir import Graph, Plan
from ir.errors import ArgumentError, TraceError
from ir.source import Line, user_line
from ir.spec import Spec
from tracer import trees
from tracer.calls.copies import Copies
from tracer.calls.entry import Entry
from tracer.calls.keys import changes, exact_key, leaf_key
from tracer.calls.method import Method, WeakMethod
from tracer.calls.shortcut import MISSED
from tracer.captures.capture import Reach
from tracer.captures.changes import line_of_use
from tracer.checking.audit import audited, repeats, settles
from tracer.checking.check import CheckedEntry
from tracer.config import Config
from tracer.explain import Explanation, History
from tracer.operands.refusal import refuse
from tracer.sizes import bytes_of
from tracer.tracing.context import called, current
from tracer.tracing.outcome import Trace
from tracer.tracing.pause import no_collection
from tracer.tracing.trace import run_trace

F = TypeVar("F", bound=Callable[..., Any])
TRIES = 10  # traces in one call, where another thread changes what they rest on
LIMIT = 256  # entries kept by one compiled function, the least recently used go first


@overload
def compile(
    fn: Callable[..., Any], *, backend: str = "numpy", check: bool = False, audit: bool = False, exact: bool = False,
    memory_limit: int | str | None = None, mode: str | None = None,
) -> Compiled: ...  # fmt: skip
@overload
def compile(
    fn: None = None, *, backend: str = "numpy", check: bool = False, audit: bool = False, exact: bool = False,
    memory_limit: int | str | None = None, mode: str | None = None,
) -> Callable[[Callable[..., Any]], Compiled]: ...  # fmt: skip
def compile(
    fn: Callable[..., Any] | None = None, *, backend: str = "numpy", check: bool = False, audit: bool = False, exact: bool = False,
    memory_limit: int | str | None = None, mode: str | None = None,
) -> Any:  # fmt: skip
    """`fn` compiled: traced at the first call for each kind of arguments, replayed after. A decorator too, with or without options.

    Arguments are arrays, Python numbers, Variables, None, strings, and trees of them; results come back as `fn` builds them, and belong
    to the caller. Arrays, numbers and Variables that `fn` closes over are fetched again at each call. A new shape, dtype or tree, or
    another value of something that Python branched on, traces again. Raises ArgumentError for an unknown backend, and what tracing raises.

    `backend`: "numpy", or "cupy" for an NVIDIA GPU: NumPy arguments are uploaded at each call, CuPy's are used where they are, Variables
    move to the GPU once, and results are CuPy arrays, which nothing waits for. `mode`: which way of the backend's to run plans:
    "calls" of CuPy's functions (so too None), or "kernels": generated ones and library products, as one graph replayed by one call.

    `exact`: results have the bits and the order of axes that NumPy gives them, signs of zero included; a gradient has those of its
    formulas run line by line. Otherwise rounding is up to the plan. What has no exact form is then refused: functions composed here in
    another way than in NumPy, results that are Variables, byte-swapped arrays.

    `check`: each call is first run on copies and compared, operation by operation, with what the operations mean; CheckError names the
    line where a value turned NaN or infinite, or the pass or kernel that changed one. For finding faults: it takes many times as long.

    `audit`: each kind of call is traced several times, also under another clock, with other random states and other numbers in what the
    function closes over; AuditError names the lines whose results would be baked in. What it prints is printed each time.

    `memory_limit`: bytes, or text such as "200MB" (10**6) or "200MiB" (2**20), within which `plan.peak_bytes` stays. Where need be, values
    are let go and computed again; results keep their bits, unless blocks must be shorter too. MemoryLimitError is raised before anything
    runs where no such plan is found.

    >>> import numpy as np, tracer
    >>> fast = tracer.compile(lambda x, k: np.tanh(x) * k)
    >>> fast(np.zeros(2), 3.0), fast(np.zeros(2), 4.0), fast.explain().traces
    (array([0., 0.]), array([0., 0.]), 1)
    """
    if fn is None:
        return functools.partial(compile, backend=backend, check=check, audit=audit, exact=exact, memory_limit=memory_limit, mode=mode)
    return Compiled(fn, backend=backend, check=check, audit=audit, exact=exact, memory_limit=memory_limit, mode=mode)


class Compiled(Copies):
    """A compiled function. `graph`, `plan`, `source` show what a call with these arguments would run; `explain` what happened so far."""

    def __init__(
        self, fn: Callable[..., Any], *, backend: str = "numpy", check: bool = False, audit: bool = False, exact: bool = False,
        memory_limit: int | str | None = None, mode: str | None = None, captures_of: Callable[..., Any] | None = None,
        ticks: Iterator[int] | None = None,
    ):  # fmt: skip
        if not callable(fn):
            raise ArgumentError(f"{fn!r:.40} is no function", op="compile", mend="give a function: tracer.compile(fn)").at(line=user_line())
        self._backend, self._entry_kind, self.exact = backends.get(backend, mode), CheckedEntry if check else Entry, exact
        if exact:
            self._backend.target(exact=True)  # which says so where it has none
        if check and not self._backend.arrays.on_host:
            raise ArgumentError(
                "check=True compares step by step with what is on the host", op="compile", line=user_line(),
                mend=f'check with backend="numpy", run with {backend!r}',
            )  # fmt: skip
        self._ticks = ticks  # whose next is taken with each write of states
        self._fn, self._captures_of = fn, captures_of or fn
        self.memory_limit = bytes_of(memory_limit)
        self._options: dict[str, Any] = {  # for methods and copies
            "backend": backend, "check": check, "audit": audit, "exact": exact, "memory_limit": memory_limit, "mode": mode,
        }  # fmt: skip
        self._recipe = (functools.partial(compile, **self._options), fn)
        self._entries: OrderedDict[Any, list[Entry]] = OrderedDict()
        self._last: Entry | None = None  # of the last call: the next one most often has its kind
        self._history = History(getattr(fn, "__name__", type(fn).__name__))
        self._last_key: Any = None
        self._set_up = ""  # by the call before, in words
        self._lock = threading.RLock()
        self._methods: dict[int, Compiled] = {}
        _alive.add(self)
        self._captured_numbers = True  # whether captured numbers are inputs: not where the function takes no stand-ins for them
        functools.update_wrapper(self, fn, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = MISSED if kwargs else self.again(args)
        return self.anew(args, kwargs) if result is MISSED else result

    def again(self, args: tuple[Any, ...]) -> Any:
        """What a call with these arguments gives if it is like the last one; MISSED where `anew` must decide."""
        last = self._last
        if last is None or last.call is None or current() is not None:
            return MISSED
        self._history.calls += 1
        result = last.call(args)
        if result is MISSED:
            self._history.calls -= 1
        return result

    def anew(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call whose trace is still to be found or made."""
        if current() is not None:
            return self._inlined(*args, **kwargs)
        self._history.calls += 1
        leaves, structure = trees.flatten((args, kwargs))
        if any(type(leaf) is Spec for leaf in leaves):
            raise ArgumentError(
                "a Spec has no value to compute with", op=self._history.name, mend="call it with arrays; graph, plan and source take Specs"
            )
        entry, inputs = self._find(leaves, structure)
        self._last = entry
        return entry.run(inputs, leaves)

    def _inlined(self, *args: Any, **kwargs: Any) -> Any:
        """In a running trace: what it does belongs to the trace around it, which must be exact for its sake."""
        tracing = current()
        if tracing is None or tracing.exact or not self.exact:
            return called(self._fn)(*args, **kwargs)
        if tracing.exact is False:
            outer, name = getattr(tracing.outside.fn, "__name__", "a function"), self._history.name
            raise refuse(
                f"{name}, which is compiled with exact=True, is called inside {outer}, which runs without it: its bits would be others",
                f"compile {outer} with exact=True as well, or call {name}.__wrapped__, where the bits don't matter", op="exact",
            )
        tracing.exact = True
        try:
            return called(self._fn)(*args, **kwargs)
        finally:
            tracing.exact = None

    def loop(self, trips: int, changing: Mapping[int, Sequence[Any]], *args: Any) -> Any:
        """`trips` runs in one call, as one Loop step; each output stacked. `changing` has the numbers of each trip for arguments that are
        numbers, by position; `args` has those of the first trip.
        """
        leaves, structure = trees.flatten((args, {}))
        entry, inputs = self._find(leaves, structure)
        self._history.calls += 1
        return entry.loop(trips, inputs, changing)

    def on_host(self, tree: Any) -> Any:
        """The tree with NumPy's arrays in place of the device's."""
        if self._backend.arrays.on_host:
            return tree
        leaves, structure = trees.flatten(tree)
        return trees.unflatten(structure, [backends.to_host(leaf) if backends.owner(leaf) is not None else leaf for leaf in leaves])

    def graph(self, *args: Any, **kwargs: Any) -> Graph:
        """The graph after all passes for these arguments (arrays, or Specs in their place)."""
        return self._entry(args, kwargs).graph

    def plan(self, *args: Any, **kwargs: Any) -> Plan:
        """The plan for these arguments."""
        return self._entry(args, kwargs).plan

    def source(self, *args: Any, **kwargs: Any) -> str:
        """The program that runs for these arguments, as readable text."""
        return self._entry(args, kwargs).program.source

    def explain(self) -> Explanation:
        """What was traced, when and why, and what each pass did. Prints as text."""
        return Explanation(self._history)

    def _entry(self, args: Any, kwargs: Any) -> Entry:
        leaves, structure = trees.flatten((args, kwargs))
        return self._find(leaves, structure)[0]

    def _find(self, leaves: list[Any], structure: trees.Structure) -> tuple[Entry, list[Any]]:
        """The entry for these leaves, traced now if there is none, and its inputs."""
        key = (structure, (Config.enable_backprop, Config.train), *map(exact_key if self.exact else leaf_key, leaves))
        with self._lock:
            held = self._entries.get(key)
            if held is None:
                held = self._entries[key] = []
            self._entries.move_to_end(key)
            for tries in range(TRIES):
                for entry in reversed(held):
                    inputs = entry.gather(leaves)
                    if inputs is not None:
                        if entry.traced.sets_up:
                            held.remove(entry)  # the next call finds what this one set up
                            self._set_up = f"the call before set up {', '.join(entry.traced.sets_up)}"
                            if not held:
                                del self._entries[key]
                        elif tries:
                            self._bound_cache()
                        return entry, inputs
                why = held[-1].why_not(leaves) if held else (self._set_up, False) if self._set_up else None
                self._set_up = ""
                try:
                    entry = self._trace(leaves, structure, key, why)
                finally:
                    if not held:
                        del self._entries[key]
                self._entries[key] = held
                held.append(entry)
        raise TraceError(
            f"what {self._history.name} reads was another at the end of each trace than at its beginning: another thread changes it",
            op=self._history.name, line=user_line(), mend="pass what changes as an argument, or call while nothing changes it",
        )

    def _trace(self, leaves: list[Any], structure: trees.Structure, key: Any, why: tuple[str, bool] | None) -> Entry:
        def run(leaves: list[Any], numbers: bool = self._captured_numbers) -> Trace:
            args, kwargs = trees.unflatten(structure, leaves)
            return run_trace(self._fn, args, kwargs, captures_of=self._captures_of, exact=self.exact, numbers=numbers)

        with no_collection():
            if self._options["audit"]:
                traced = audited(run, leaves, self._captures_of, self._history.name)
            else:
                traced = run(leaves)
                if traced.clocks:
                    repeats(traced, run, leaves, self._captures_of)
                if any(line is not None for _, line in traced.impure) or (traced.impure and workers.alone()):  # else another thread did
                    traced.sets_up = settles(traced, functools.partial(run, leaves, False), self._captures_of, leaves)
        self._captured_numbers = traced.numbers
        entry = self._entry_kind(traced, self._backend, leaves, self.exact, self._ticks, self.memory_limit)
        if traced.sets_up:
            entry.call = None
        because, of_values = why or (changes(self._last_key, key, [leaf.name for leaf in traced.leaves]), False)
        self._history.add(entry.record(because), self._used if of_values else None)
        self._last_key = key
        return entry

    def _used(self, path: str) -> Line | None:
        """The line that uses what is captured by this path."""
        return line_of_use(path, self._captures_of, Reach(self._captures_of).found)

    def _bound_cache(self) -> None:
        """Drops the oldest entries of the keys least recently used, until LIMIT are left."""
        surplus = sum([len(held) for held in self._entries.values()]) - LIMIT
        for key in list(self._entries):
            if surplus <= 0:
                break
            held = self._entries[key]
            count = min(surplus, len(held))
            surplus -= count
            if count < len(held):
                del held[:count]
            else:
                del self._entries[key]

    def __get__(self, holder: Any, kind: type | None = None) -> Any:
        """A method: compiled for each object on its own, so that `self` is what it closes over."""
        return self if holder is None else Method(holder, self._for(holder, kind))

    def _for(self, holder: Any, kind: type | None) -> Compiled:
        """The compiled method of one object, by identity: forgotten with the object."""
        key = id(holder)
        with self._lock:
            known = self._methods.get(key)
            if known is None:
                fn = WeakMethod(self._fn, holder, kind, gone=lambda _: self._methods.pop(key, None))
                known = self._methods[key] = Compiled(fn, **self._options)
            return known


def _unlock() -> None:
    """In a forked child: the threads that were tracing are not there any more."""
    for compiled in _alive:
        compiled._lock = threading.RLock()


_alive: weakref.WeakSet[Compiled] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_unlock)
