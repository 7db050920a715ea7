"""Runs a program by NumPy and compiled, three calls with other data, and says what does not hold.

Compared after each call: the result, the arguments with the memory around them, what the program closes over, warnings; at the end the
results of earlier calls. A program that NumPy refuses must be refused; one that only the library refuses, by an honest Error, is counted.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tracer
from tests.drawn import noise
from tests.drawn.compare import different, snapshot
from tests.drawn.program import Loaded, Program
from tests.drawn.twin import LIBRARY
from tracer import Function
from tracer import functions as F

CALLS = 3
OURS = {"F": F, "Function": Function, "data": lambda x: np.atleast_1d(x.data) * 1}


@dataclass
class Outcome:
    """`wrong`: what does not hold; `refused`: the library's own refusal, by kind; `raised`: NumPy raised too; `compared`: gradients that
    were; `regions`: in its plan, where these were looked at."""

    wrong: list[str] = field(default_factory=list)
    refused: str = ""
    raised: str = ""
    judged: int = 0
    compared: int = 0
    regions: int = 0


@dataclass
class Call:
    """What one side did in one call."""

    result: Any = None
    error: BaseException | None = None
    arguments: Any = None
    around: Any = None
    things: Any = None
    warned: frozenset[str] = frozenset()


def run(program: Program, *, exact: bool = False, calls: int = CALLS) -> Outcome:
    """What does not hold of a program."""
    outcome = Outcome()
    eager, ours = Loaded(program, LIBRARY), Loaded(program, OURS)
    try:
        fast = compiled(ours.fn, exact)
        kept: list[tuple[Any, Any]] = []
        for k in range(calls):
            eager.change(k)
            ours.change(k)
            want = perform(eager.fn, eager, eager.arguments(k))
            got = perform(fast, ours, ours.arguments(k))
            if not compare(program, outcome, k, got, want, exact):
                break
            kept.append((got.result, snapshot(got.result)))
        for k, (result, then) in enumerate(kept):
            outcome.wrong += [f"result of call {k}, after later calls: {d}" for d in different(result, then, exact=True)]
    finally:
        eager.close()
        ours.close()
    return outcome


def compiled(fn: Any, exact: bool) -> Any:
    """The function compiled."""
    return tracer.compile(fn, exact=True) if exact else tracer.compile(fn)  # type: ignore[call-overload]


def perform(fn: Any, loaded: Loaded, arguments: list[Any]) -> Call:
    """Calls a loaded program, as it is or compiled, and notes all that it did."""
    call = Call()
    with warnings.catch_warnings(record=True) as warned, np.errstate(all="warn", under="ignore"):
        warnings.simplefilter("always")
        try:
            call.result = settled(fn(*arguments))
        except Exception as error:
            call.error = error
    call.warned = frozenset([_kind(str(w.message)) for w in warned])
    call.arguments = arguments
    call.around = [a.base for a in arguments if isinstance(a, np.ndarray) and a.base is not None]
    call.things = snapshot(loaded.things())
    if call.error is None and loaded.fn is fn:
        call.result = snapshot(call.result)
    return call


def settled(tree: Any) -> Any:
    """Variables as their arrays: on NumPy's side the library's functions give arrays."""
    if isinstance(tree, (list, tuple)):
        return type(tree)([settled(part) for part in tree])
    if isinstance(tree, dict):
        return {k: settled(v) for k, v in tree.items()}
    return tree.data if isinstance(tree, tracer.Variable) else tree


def _kind(message: str) -> str:
    """A floating-point warning by its kind, other warnings by their first words."""
    if re.match("Mean of empty slice|Degrees of freedom", message):
        return "invalid value"  # what NumPy says beforehand of a division of nothing by nothing
    found = re.match(r"(overflow|divide by zero|invalid value|underflow)", message)
    return found.group(1) if found else message[:30]


def compare(program: Program, outcome: Outcome, k: int, got: Call, want: Call, exact: bool) -> bool:
    """Adds what is wrong with call k; whether the next call still means anything."""
    if want.error is not None:
        outcome.raised = f"{type(want.error).__name__}: {want.error}"
        if got.error is None:
            outcome.wrong.append(f"call {k}: NumPy raises {outcome.raised:.100}, compiled it gives a result")
        return False
    if got.error is not None:
        if isinstance(got.error, tracer.Error):
            outcome.refused = refusal(got.error)
        else:
            outcome.wrong.append(f"call {k}: CRASH {type(got.error).__name__}: {got.error!s:.300}")
        return False
    wrong = different(got.result, want.result, exact=exact)
    wrong += [f"argument {d}" for d in different(got.arguments, want.arguments, exact=exact)]
    wrong += [f"around {d}" for d in different(got.around, want.around, exact=exact)]
    wrong += [f"captured {d}" for d in different(got.things, want.things, exact=exact)]
    if wrong and not exact:
        wrong, judged = _judged(program, k, wrong, got, want)
        outcome.judged += judged
    extra = got.warned - want.warned
    if extra:
        wrong.append(f"WARNS {sorted(extra)}")
    outcome.wrong += [f"call {k}: {w}" for w in wrong]
    return not wrong


def refusal(error: BaseException) -> str:
    """A refusal by its kind: the first line without what differs from program to program."""
    first = str(error).splitlines()[0]
    return re.sub(r"\(.*?\)|\[.*?\]|[0-9]+|'[^']*'", "_", first)[:90]


def _judged(program: Program, k: int, wrong: list[str], got: Call, want: Call) -> tuple[list[str], int]:
    """What is left of differences in value when those are taken out that rounding alone explains; how many these were."""
    if not any(" VALUE " in w for w in wrong):
        return wrong, 0
    runs = [run for n in range(noise.RUNS) if (run := _noisy(program, k, n)) is not None]
    trees = {"": "result", "argument ": "arguments", "around ": "around", "captured ": "things"}
    left = []
    for line in wrong:
        head = next((h for h in ("argument ", "around ", "captured ") if line.startswith(h)), "")
        part = trees[head]
        path = line.removeprefix(head).partition(": ")[0]
        if " VALUE " not in line or not runs:
            left.append(line)
            continue
        mine, theirs = noise.paths(getattr(got, part)), noise.paths(getattr(want, part))
        jittered = [noise.paths(getattr(run, part)) for run in runs]
        if not all(path in j for j in jittered) or not noise.within(mine[path], theirs[path], [j[path] for j in jittered]):
            left.append(line)
    return left, len(wrong) - len(left)


def _noisy(program: Program, k: int, n: int) -> Call | None:
    """Call k by NumPy on jittered arrays, the calls before it included."""
    noise.Noisy.draws = np.random.default_rng((program.seed, n))
    loaded = Loaded(program, LIBRARY)
    try:
        for call in range(k + 1):
            loaded.change(call)
            for thing in program.captured:
                loaded.set(thing, noise.wrapped(loaded.get(thing)))
            done = perform(loaded.fn, loaded, [noise.wrapped(a) for a in loaded.arguments(call)])
            if done.error is not None:
                return None
        done.around = [noise.plain(a).base for a in done.arguments if isinstance(a, np.ndarray)]
        return done
    finally:
        loaded.close()
