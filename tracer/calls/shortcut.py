"""The short way of a call like the one that made an entry: its checks, its inputs and its run as one straight-line function.

In: what an entry expects of plain positional arguments, its guards, the things it closes over, and how it runs. Out: a function from
the arguments to the result, or to MISSED where the long way must decide. Loops and calls between the pieces cost more than the pieces
themselves (11 us of a step of 76, of which the program took 54), so they are written out, and the common beginnings of fetches are
made once. It says MISSED rather than err: whatever it does not know, the long way looks at.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from backends.base import Arrays
from tracer.captures.fetch import Fetch, FetchWriter
from tracer.captures.seen import fingerprint
from tracer.config import SWITCHES
from tracer.eager.records import TAPE
from tracer.eager.sharing import Writing
from tracer.tracing.guards.guard import Guard
from tracer.tracing.outcome import LeafOut

MISSED = object()
BY_VALUE = (bool, int, str, bytes)
Call = Callable[[Any], Any]
_GIVEN = {"array": "found if type(found) is ndarray else asarray(found)", "scalar": "found[()] if type(found) is ndarray else found"}


def shortcut(
    leaves: Sequence[Any], guards: Sequence[Guard], captured: Sequence[Any], as_variables: bool, run: Any, out: LeafOut | None = None,
    on_host: bool = True,
) -> Call:  # fmt: skip
    """The function, for a trace made with `leaves`: arrays (NumPy's in native order, or a device's) and Python numbers, each an input
    in its place.

    `run` gets the list of inputs; what it gives is the result, or the result is the array or NumPy scalar `out` of it (`on_host`; what lies
    on a device is given as it is).
    """
    names: dict[str, Any] = {
        "ndarray": np.ndarray, "asarray": np.asarray, "missed": MISSED, "fingerprint": fingerprint, "run": run,
        "tape": TAPE, "switches": SWITCHES, "backprop": SWITCHES.enable_backprop, "train": SWITCHES.train,
    }  # fmt: skip
    fetches = FetchWriter(names)
    lines = fetches.lines
    lines.append("if switches.enable_backprop is not backprop or switches.train is not train: return missed")
    lines.append(f"{''.join([f'a{k}, ' for k in range(len(leaves))]) or '()'} = args")
    for k, leaf in enumerate(leaves):
        if hasattr(leaf, "strides"):
            names |= {f"s{k}": leaf.shape, f"t{k}": leaf.strides, f"d{k}": leaf.dtype, f"k{k}": type(leaf)}
            lines.append(f"if type(a{k}) is not k{k} or a{k}.shape != s{k} or a{k}.strides != t{k}: return missed")
            lines.append(f"if a{k}.dtype is not d{k} and a{k}.dtype != d{k}: return missed")
        else:
            names[f"k{k}"] = type(leaf)
            lines.append(f"if type(a{k}) is not k{k}: return missed")
    for k, guard in enumerate(guards):
        _hold(guard, k, fetches)
    for k, thing in enumerate(captured):
        _fetch(thing, k, fetches, as_variables)
    inputs = [f"a{k}" for k in range(len(leaves))] + [f"c{k}" for k in range(len(captured))]
    text = ["def call(args):", "    try:", *[f"        {line}" for line in lines]]
    text += ["    except (LookupError, AttributeError, ValueError, TypeError):", "        return missed"]
    ran = f"found = run([{', '.join(inputs)}])" + ("" if out is None else f"[{out.output}]")
    shared = run.alone if type(run) is Writing else None
    if shared is not None:  # `Writing`, written out
        names |= {"run": run.program.__call__, "shared": shared, "lock": shared.lock}
        text += ["    with lock:", "        shared.writes += 1", f"        try: {ran}", "        finally: shared.writes += 1"]
    else:
        text.append(f"    {ran}")
    text.append("    return found" if out is None else f"    return {_GIVEN[out.kind] if on_host else 'found'}")
    exec("\n".join(text), names)
    call: Call = names.pop("call")  # in a circle with its globals it would outlive its entry
    return call


def _hold(guard: Guard, k: int, fetches: FetchWriter) -> None:
    """The lines of one guard: by what it compares, or by its own check."""
    names, lines = fetches.names, fetches.lines
    if guard.fetch is None:
        names[f"check{k}"] = guard.check
        lines.append(f"if not check{k}(args): return missed")
        return
    thing = fetches.walk(guard.fetch)
    seen = names[f"seen{k}"] = guard.seen
    kind, held = seen if isinstance(seen, tuple) and len(seen) == 2 else (None, None)
    names |= {f"kind{k}": kind, f"held{k}": held}
    if isinstance(seen, weakref.ref):
        wrong = f"{thing} is None or {thing} is not seen{k}()"
    elif kind in (list, tuple) and type(held) is int:
        wrong = f"type({thing}) is not kind{k} or len({thing}) != {held}"
    elif kind is dict and type(held) is tuple:
        wrong = f"type({thing}) is not dict or tuple({thing}) != held{k}"
    elif kind in BY_VALUE:
        wrong = f"type({thing}) is not kind{k} or {thing} != held{k}"
    elif kind is type(None):
        wrong = f"{thing} is not None"
    else:
        wrong = f"fingerprint({thing}) != seen{k}"
    lines.append(f"if {wrong}: return missed")


def _fetch(thing: Any, k: int, fetches: FetchWriter, as_variables: bool) -> None:
    """The lines that fetch one thing the function closes over."""
    names, lines = fetches.names, fetches.lines
    names |= {f"thing{k}": thing, f"z{k}": thing.shape}
    if isinstance(thing.fetch, Fetch):
        found = fetches.walk(thing.fetch)
    else:
        names[f"fetch{k}"] = thing.fetch
        found = f"fetch{k}()"
    if thing.number is not None:
        names[f"n{k}"] = thing.number
        lines.append(f"c{k} = {found}")
        lines.append(f"if type(c{k}) is not n{k}: return missed")
        return
    if as_variables:
        lines.append(f"c{k} = thing{k}.variable()")
    else:
        lines.append(f"c{k} = {found}{'._value' if thing.is_variable else ''}")
        unsettled = f" or {found}._read > tape.done" if thing.is_variable else ""  # see `settled`; what is pending was never seen
        lines += [f"if c{k} is not thing{k}.seen or c{k}.shape != z{k}{unsettled}:", f"    c{k} = thing{k}.now()"]
        lines.append(f"    if c{k} is None: return missed")
        return
    lines.append(f"if c{k} is None: return missed")


def is_plain(leaves: Sequence[Any], arrays: Arrays) -> bool:
    """Whether the short way is open to such arguments."""
    return all(map(partial(_is_plain, arrays), leaves))


def _is_plain(arrays: Arrays, x: Any) -> bool:
    if type(x) is np.ndarray:
        return x.dtype.isnative and bool(x.flags.aligned)
    return type(x) in (int, float) or arrays.owns(x) and not arrays.on_host
