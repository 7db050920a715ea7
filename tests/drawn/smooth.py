"""Gradients of drawn programs against differences of NumPy's own run in extended precision, along drawn directions.

In: a smooth program (`draw_program(..., smooth=True)`): float64 alone, and a scalar at its end. Out: what does not hold. A point where the
differences of two widths do not agree is a kink or a jump, of which nothing is said.

With `exact` the gradients are also those of the reference evaluator on the traced graph, forward and backward in one, before any pass,
and the loss is NumPy's own, both to the last bit.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import tracer
from ir.evaluate import evaluate
from tests.drawn.compare import same_bits
from tests.drawn.program import Loaded, Program
from tests.drawn.runner import OURS, Outcome, refusal
from tests.drawn.twin import LIBRARY
from tracer.tracing.trace import run_trace

STEP = 1e-5
CLOSE = 1e-6


def run_smooth(program: Program, *, exact: bool = False) -> Outcome:
    """What does not hold of the value and the gradient of a smooth program."""
    outcome = Outcome()
    ours = Loaded(program, OURS)
    wrt = tuple([k for k, t in enumerate(program.parameters) if t.kind.dtype == "d" and t.kind.number != "int"])
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            both = tracer.value_and_grad(ours.fn, argnums=wrt)
            fast = tracer.compile(both, exact=exact)
            for call in range(3 if exact else 2):
                ours.change(call)
                if _at(program, call, {}) is None:
                    outcome.raised = "NumPy raises"
                    break
                try:
                    value, grads = fast(*ours.arguments(call))
                except tracer.Error as error:
                    outcome.refused = refusal(error)
                    return outcome
                except Exception as error:
                    outcome.wrong.append(f"gradient: CRASH {type(error).__name__}: {error!s:.200}")
                    return outcome
                if exact:
                    outcome.compared += len(wrt)
                    names = ["the loss", *[f"by {program.parameters[k].name}" for k in wrt]]
                    outcome.wrong += _other_bits(call, names, [value, *grads], _reference(both, ours.arguments(call)))
                    outcome.wrong += _other_bits(call, ["NumPy's loss"], [value], [_at(program, call, {}, np.float64)])
                else:
                    _compare(outcome, program, call, value, dict(zip(wrt, grads)))
    finally:
        ours.close()
    return outcome


def _reference(both: Any, arguments: list[Any]) -> list[Any]:
    """Loss and gradients by the reference evaluator, on the graph as it is traced; then what is written into the arguments."""
    trace = run_trace(both, tuple(arguments), {}, exact=True)
    return evaluate(trace.graph, [*arguments, *[c.fetch() for c in trace.captured]])[0]


def _other_bits(call: int, names: list[str], got: list[Any], want: list[Any]) -> list[str]:
    pairs = [(name, np.asarray(g), np.asarray(w)) for name, g, w in zip(names, got, want)]
    return [f"call {call}: gradient VALUE, {name}: {g.tolist()} for {w.tolist()}" for name, g, w in pairs if not same_bits(g, w)]


def _compare(outcome: Outcome, program: Program, call: int, value: Any, grads: dict[int, Any]) -> None:
    want, rounded = _at(program, call, {}), _at(program, call, {}, np.float64)
    if want is None or rounded is None or not np.isfinite(want) or abs(want - rounded) > 1e-9 * (1 + abs(want)):
        return  # too ill-conditioned to say anything
    if not np.isclose(float(value), float(want), rtol=1e-6, atol=1e-6):
        outcome.wrong.append(f"call {call}: gradient VALUE of the loss: {value} for {want}")
    draws = np.random.default_rng((program.seed, call))
    for k, grad in grads.items():
        kind = program.parameters[k].kind
        direction = np.asarray(draws.uniform(-1, 1, kind.shape))
        if np.shape(grad) != kind.shape or np.asarray(grad).dtype != np.float64:
            outcome.wrong.append(f"call {call}: gradient KIND by {k}: {np.asarray(grad).dtype}{np.shape(grad)}")
            continue
        slope = _slope(program, call, k, direction)
        if slope is None:
            continue
        if not np.all(np.isfinite(grad)):
            outcome.judged += 1  # an infinite slope on the way, as of sqrt at 0, gives no number
            continue
        outcome.compared += 1
        terms = np.asarray(grad) * direction
        room = CLOSE * (1 + float(np.sum(np.abs(terms))) + abs(slope))
        if not abs(float(np.sum(terms)) - slope) <= room:
            outcome.wrong.append(f"call {call}: gradient VALUE by {program.parameters[k].name}: {float(np.sum(terms))} for {slope}")


def _slope(program: Program, call: int, k: int, direction: np.ndarray) -> float | None:
    """The slope along a direction; None where the function is not smooth there, or too steep to tell."""
    found = []
    for step in (STEP, STEP / 4):
        ahead, here, behind = [_at(program, call, {k: direction * s}) for s in (step, 0.0, -step)]
        if ahead is None or here is None or behind is None or not all(np.isfinite([ahead, here, behind])):
            return None
        found.append((float((ahead - behind) / (2 * step)), float((ahead - here) / step), float((here - behind) / step)))
    scale = 1 + abs(found[1][0])
    smooth = abs(found[0][0] - found[1][0]) <= 1e-7 * scale and abs(found[1][1] - found[1][2]) <= 1e-3 * scale
    return found[1][0] if smooth else None


def _at(program: Program, call: int, moved: dict[int, np.ndarray], dtype: Any = np.longdouble) -> Any:
    """NumPy's value of a call, in extended precision, with some arguments moved."""
    loaded = Loaded(program, LIBRARY)
    try:
        for earlier in range(call + 1):
            loaded.change(earlier)
        for thing in program.captured:
            loaded.set(thing, _extended(loaded.get(thing), dtype))
        arguments = [_extended(a, dtype) for a in loaded.arguments(call)]
        for k, by in moved.items():
            arguments[k] += by  # an array in place, so that it lies as it lay
        return np.longdouble(loaded.fn(*arguments))
    except Exception:
        return None
    finally:
        loaded.close()


def _extended(x: Any, dtype: Any) -> Any:
    """In another precision, lying as it lies."""
    if isinstance(x, np.ndarray) and not x.ndim:
        return np.array(x, dtype)
    if isinstance(x, np.ndarray) and x.dtype.kind == "f":
        size = np.dtype(dtype).itemsize
        turned = tuple([slice(None, None, -1 if s < 0 else 1) for s in x.strides])
        strides = [abs(s) // x.itemsize * size for s in x.strides]
        room = np.zeros(1 + sum([s * (n - 1) for s, n in zip(strides, x.shape) if n]) // size, dtype)
        wide = np.lib.stride_tricks.as_strided(room, x.shape, strides)[turned]
        wide[...] = x
        return wide
    return dtype(x) if isinstance(x, np.floating) else x
