"""Tracing: a function runs once on traced arguments; out comes a `Trace`: the graph and all that a call must do around it.

What enters: arrays, NumPy scalars, Specs and Variables as inputs, Python numbers as weak inputs, all else as itself. What leaves: the
returned tree, whose traced leaves are outputs of the graph, and the final values of arguments that the function wrote into. A trace
that fails leaves nothing behind: no trace is running, no random state is spent, no Variable holds a traced array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ir.errors import Error, TraceError
from ir.graph import Graph
from ir.source import user_line
from tracer import trees
from tracer.arrays import aliases
from tracer.captures.changes import line_of_change
from tracer.captures.draws import Drawn, no_draws
from tracer.captures.paths import now
from tracer.captures.seen import comparable, fingerprint
from tracer.operands.refusal import in_our_words, remembered, swallowed, where_raised
from tracer.operands.stack import Operand, current
from tracer.tracing.context import Tracing, entered
from tracer.tracing.enter import enter, one_for_each
from tracer.tracing.guards.all import guards_of
from tracer.tracing.leave import leave, same_containers
from tracer.tracing.leftovers import no_gradients_left, no_plain_writes, no_settings_left, nothing_left, settings
from tracer.tracing.outcome import Trace


def trace(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Graph:
    """Runs `fn` once on traced stand-ins of the arguments and gives the graph of what it did.

    Arguments are arrays, `Spec(shape, dtype)`s, Python numbers, Variables, and trees of them; other leaves are passed as they are. The
    graph's inputs are the array and number leaves in order, then what the function captured; its outputs are the array leaves of the
    result in order, then the new content of arguments that were written into.

    >>> import numpy as np
    >>> graph = trace(lambda x: np.sum(x * 2.0), np.ones(3))
    >>> [str(v.spec) for v in graph.outputs]
    ['f64[]']

    Raises TraceError where the function needs a value, draws random numbers, or uses what is not traced; ShapeError and DTypeError
    as the operations do. Each names the user's line.
    """
    return run_trace(fn, args, kwargs, exact=None).graph


def run_trace(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], captures_of: Callable[..., Any] | None = None,
    exact: bool | None = False, numbers: bool = True,
) -> Trace:
    """Traces one call. `captures_of` is the function whose closure counts, where `fn` is a wrapper around it. `exact`: what is composed
    in another way than in NumPy is refused; None, where the graph is all that is wanted: what is compiled exactly is exact in it.

    With `numbers` captured Python numbers are inputs, unless the function does with them what their stand-ins don't take: then it is
    traced again with the numbers themselves, as guards.
    """
    tracing = Tracing(captures_of or fn, exact=exact, numbers=numbers)
    try:
        return _run(tracing, fn, args, kwargs)
    except Drawn:
        raise
    except Exception as error:
        if not tracing.numbers.stood_in:
            if isinstance(error, TraceError):
                remembered(error, current())  # of the trace around this one
            raise
    finally:
        tracing.forget()
    return run_trace(fn, args, kwargs, captures_of, exact, numbers=False)


def _run(tracing: Tracing, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Trace:
    leaves, in_tree = trees.flatten((args, kwargs))
    described = enter(tracing, fn, args, leaves, in_tree)
    aliases.link(tracing.outside.memory)
    tracing.outside.objects += [(leaf.name, thing) for thing, leaf in described if leaf.kind == "static" and not isinstance(thing, Operand)]
    if tracing.outside.reach.asks_is:
        described = one_for_each(tracing, leaves, described)
    before = [(found, fingerprint(found.thing)) for found in tracing.outside.reach.found if comparable(found.thing)]
    set_before = settings()
    with no_draws(tracing.outside.fn or fn, tracing.outside.reach.found, tracing.outside.objects), entered(tracing):
        try:
            args, kwargs = trees.unflatten(in_tree, [new for new, _ in described])
            result = tracing.numbers.twin(fn)(*args, **kwargs)
            if tracing.noted.refused is not None:
                raise swallowed(tracing.noted.refused)
            tracing.numbers.settle()
            same_containers((args, kwargs), in_tree, described)
            traced = Trace(
                tracing.graph, in_tree, trees.flatten(None)[1], [leaf for _, leaf in described], [], tracing.outside.captured,
                numbers=tracing.numbers.enabled, clocks=tracing.outside.reach.clocks,
            )
            leave(tracing, traced, result, described)
            no_gradients_left(tracing)
        except Error as error:
            if tracing.noted.refused is not None and not isinstance(error, TraceError):
                raise swallowed(tracing.noted.refused) from error
            line, op = where_raised(error)
            raise error.at(op=op, line=line or user_line())
        except Exception as error:
            found = hidden(error)
            if found is not None:
                raise found from None
            if tracing.noted.refused is not None:
                raise swallowed(tracing.noted.refused) from error
            ours = in_our_words(error)
            if ours is None:
                raise
            raise ours from error
        finally:
            tracing.closed = True
            tracing.outside.memory.clear()
            _restore(tracing)
    nothing_left(tracing, before)
    no_settings_left(tracing, set_before)
    traced.guards += guards_of(tracing, traced, leaves, before)
    traced.baked, traced.notes = tracing.noted.baked, tracing.noted.remarks
    changed = [f for f, seen in before if fingerprint(now(f.fetch)) != seen]
    if changed:
        traced.impure = [(f.name, line_of_change(f.name, tracing.outside.fn or fn, tracing.outside.reach.found)) for f in changed]
    no_plain_writes(tracing, traced.impure, before)
    return traced


def hidden(error: Exception) -> TraceError | None:
    """The TraceError that NumPy hid behind an error of its own."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, TraceError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _restore(tracing: Tracing) -> None:
    """Takes traced gradients off the Variables from outside."""
    for variable, before in tracing.outside.grads:
        if getattr(variable, "grad", None) is not before:
            variable.grad = before
