"""One trace made ready to run: the graph after all passes, its plan and program, and what a call does around them.

`gather` turns the leaves of a call into the program's inputs, or says by None that this trace does not hold for them; `run` gives the
result in the tree that the function built. An entry keeps no argument and no result.
"""
from __future__ import annotations

import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

import backends
from backends.base import Arrays, Backend, Settle
from backends.interrupts import without_interrupts
from backends.straight.finish import finish
from ir import Graph, Plan, Value, planning
from ir.errors import ArgumentError
from ir.passes import Record, optimize, prepare
from ir.planning.kept import kept_in_fortran_order
from ir.spec import Spec
from tracer import trees
from tracer.calls.captured import Apart, Captured
from tracer.calls.keys import check_native, has_gaps, lies
from tracer.calls.shortcut import Call, is_plain, shortcut
from tracer.eager.lazy import record_graph
from tracer.eager.sharing import Reading, Writing, shared_by, standing
from tracer.explain import TraceRecord, baked_texts, other_thing, plan_texts, record_of
from tracer.tracing.outcome import LeafIn, LeafOut, Trace
from tracer.tracing.pause import no_collection
from tracer.variable import Variable


class Entry:
    """A `Trace` with the rest of the way to results. `flat`: the arguments are positional and no containers."""

    def __init__(
        self, traced: Trace, backend: Backend, leaves: Sequence[Any], exact: bool = False, ticks: Iterator[int] | None = None,
        memory_limit: int | None = None,
    ):  # fmt: skip
        self.traced, self._backend, self._exact, self._ticks, self._memory_limit = traced, backend, exact, ticks, memory_limit
        self._passes: list[Record] = []
        self._began = time.time()
        graph = traced.graph
        if exact and any(out.kind == "variable" for out in traced.outs):
            raise ArgumentError(
                "the function returns a Variable, whose value and gradient are computed with what reads it later",
                op="exact", mend="return v.data, or compile without exact=True",
            )
        self.records_variables = any(out.kind == "variable" for out in traced.outs) and not graph.updates and not traced.writes
        if memory_limit is not None and self.records_variables:
            raise ArgumentError(
                "the function returns a Variable, which is planned together with what reads it later", op="memory_limit",
                mend="return v.data, or compile without a limit",
            )
        arrays = backend.arrays
        self._layouts = {leaf.input: _layout(leaves[k], exact, arrays) for k, leaf in enumerate(traced.leaves) if leaf.input is not None}
        self._from_leaf = [
            (leaf.input, k, _direct(leaf, leaves[k], arrays)) for k, leaf in enumerate(traced.leaves) if leaf.input is not None
        ]
        self._all_direct = all(direct and position == k for position, k, direct in self._from_leaf) and len(self._from_leaf) == len(leaves)
        updated = graph.updated()
        for c in traced.captured:
            self._layouts[c.input] = _layout(c.holder.data if c.holder is not None else c.fetch(), exact, arrays)
        otherwise = {k for k in updated if self._layouts[k] != "C"}
        if otherwise:
            fortran = {k for k in otherwise if self._layouts[k] == "F"}
            kept = fortran if exact else kept_in_fortran_order(graph, self._layouts, backend.target())
            self._layouts.update(dict.fromkeys(otherwise - kept, "C"))
        self._gapped = {k for k, at, _ in self._from_leaf if self._layouts[k] == "any" and has_gaps(leaves[at])}
        self._captured = [Captured(c, self._layouts[c.input], c.input in updated, exact, arrays) for c in traced.captured]
        apart = Apart(self._captured) if updated else None
        for captured in self._captured:
            captured.apart = apart
        of_input = {leaf.input: k for k, leaf in enumerate(traced.leaves)}
        given = [leaves[leaf] for _, leaf, _ in self._from_leaf] + [c.fetch() for c in traced.captured if c.kind == "array"]
        self._uploaded = 0 if arrays.on_host else sum([x.nbytes for x in given if isinstance(x, np.ndarray)])
        self._written = [(of_input[position], output) for position, output in traced.writes.items()]
        self._meets = shared_by([c.holder for c in traced.captured if c.kind == "variable"])
        traced.captured = [replace(c, holder=None) for c in traced.captured]  # found by path at each call: not kept alive
        self._baked = baked_texts(graph)
        self._traced_nodes = len(graph) - len(graph.inputs)
        self._checks = [g.check for g in traced.guards]
        self._single = traced.outs[0] if len(traced.outs) == 1 and traced.out_tree == trees.flatten(None)[1] else None
        self.call: Call | None = None  # the short way for a call like this one, where it is open
        if traced.in_tree.flat_args and self._all_direct and is_plain(leaves, arrays):
            self.call = self._shortcut(leaves)
        self._fetches = [c.variable if self.records_variables else c.now for c in self._captured]
        self._also_arrays = any(out.kind in ("array", "scalar", "number", "truth") for out in traced.outs)
        self._loops: dict[tuple[int, tuple[int, ...]], Any] = {}

    # ---- made when first needed
    @cached_property
    def graph(self) -> Graph:
        """The graph after the graph passes. The traced one is kept where Variables are given: their history needs it unoptimised."""
        with no_collection():
            graph = self.traced.graph.copy()[0] if self.records_variables else self.traced.graph
            optimize(graph, exact=self._exact, log=self._passes)
        return graph

    @cached_property
    def prepared(self) -> Graph:
        """The graph that is planned: after the plan passes as well, where there are any for it."""
        graph = self.graph
        if not graph.updates or self._exact:
            return graph
        with no_collection():
            twin = graph.copy()[0]
            prepare(twin, self._backend.target(), may_join=self._may_join, log=self._passes)
        return twin

    @cached_property
    def plan(self) -> Plan:
        return self._planned(memory_limit=self._memory_limit)

    def _planned(self, regions: bool = True, memory_limit: int | None = None) -> Plan:
        target = self._backend.target(self._exact)
        layouts = self._layouts | dict.fromkeys(self._gapped, "gaps")
        with no_collection():
            return planning.plan(
                self.prepared, target if regions else replace(target, regions=False), layouts=layouts, exact=self._exact,
                gate=self.traced.gate, counted=self._ticks is not None, memory_limit=memory_limit,
            )  # fmt: skip

    @cached_property
    def program(self) -> Any:
        with no_collection():
            return self._shared(self._backend.emit(self.plan, ticks=self._ticks, settle=self._settle()))

    def _shared(self, program: Any) -> Any:
        """The program, careful of other threads where it reads or updates Variables that the function closes over."""
        if not self._meets:
            return program
        return Writing(program, self._meets) if self.traced.graph.updates else Reading(program, self._meets)

    def _may_join(self, states: list[Value]) -> bool:
        """Whether these may be laid in one pack."""
        fetches = self._of_input()
        at = {value: k for k, value in enumerate(states[0].graph.inputs)}
        return self._backend.arrays.may_pack([fetches[at[state]]().data for state in states])

    def _of_input(self) -> dict[int, Any]:
        """How what the function closes over is fetched, by input."""
        return {c.input: held.fetch for c, held in zip(self.traced.captured, self._captured)}

    def _settle(self) -> Settle | None:
        """What lays the states of each pack one behind the other, and all states where the backend has them: Variables keep their shape
        and values.
        """
        packs, fetches, arrays = self.plan.packs, self._of_input(), self._backend.arrays
        if not arrays.on_host:
            packed = {k for members in packs for k in members}
            packs += [(c.input,) for c in self.traced.captured if c.kind == "variable" and c.input not in packed]

        def settle(inputs: Sequence[Any]) -> list[Any]:
            found = list(inputs)
            for members in packs:
                for k, array in zip(members, arrays.states([inputs[k] for k in members])):
                    fetches[k]().data = found[k] = array
            return found

        return settle if packs else None

    # ---- a call
    def _shortcut(self, leaves: Sequence[Any]) -> Call:
        out = self._single
        if out is not None and out.kind in ("array", "scalar") and not self.traced.writes and not self.records_variables:
            return shortcut(leaves, self.traced.guards, self._captured, False, self.program, out, self._backend.arrays.on_host)
        me = weakref.proxy(self)
        return shortcut(leaves, self.traced.guards, self._captured, self.records_variables, lambda inputs: me.run(inputs))

    def gather(self, leaves: Sequence[Any]) -> list[Any] | None:
        """The program's inputs for these leaves; None where a guard or a captured thing is no longer what it was."""
        for check in self._checks:
            if not check(leaves):  # type: ignore[arg-type]
                return None
        if self._all_direct:
            inputs = list(leaves)
        else:
            inputs = [leaves[k] if direct else self._prepared(position, leaves[k]) for position, k, direct in self._from_leaf]
        for fetch in self._fetches:
            thing = fetch()
            if thing is None:
                return None
            inputs.append(thing)
        return inputs

    def why_not(self, leaves: Sequence[Any]) -> tuple[str, bool]:
        """Which guard or captured thing has changed, and whether that is a number or the numbers in an array."""
        for guard in self.traced.guards:
            if not guard.check(list(leaves)):
                return guard.changed(leaves), guard.of_values
        changed = [other_thing(c) for c, fetch in zip(self.traced.captured, self._fetches) if fetch() is None]
        return ", ".join(changed) or "a part of an argument was replaced", False

    def run(self, inputs: list[Any], leaves: Sequence[Any] | None = None) -> Any:
        """The function's result for gathered inputs; writes into arguments are carried out, all when nothing can fail any more.

        `leaves`: the arguments that the inputs were made of, where they are not the inputs themselves.
        """
        if self.records_variables:
            return self._recorded(inputs)
        if self._written:
            results = self._writing(inputs, inputs if leaves is None else leaves)
        else:
            results = self.program(inputs)
        if self._single is not None:
            return self._given(self._single, results)
        return trees.unflatten(self.traced.out_tree, [self._given(out, results) for out in self.traced.outs])

    def _writing(self, inputs: list[Any], given: Sequence[Any]) -> list[Any]:
        """Runs the program and writes into the arguments; where it updates states as well, Ctrl-C waits until both are done."""
        with without_interrupts() if self.traced.graph.updates else nullcontext():
            results: list[Any] = self.program(inputs)
            finish([(self._backend.arrays.write, _memory(given[k]), results[output]) for k, output in self._written])
        return results

    def loop(self, trips: int, inputs: list[Any], changing: Mapping[int, Sequence[Any]]) -> Any:
        """`trips` runs as one Loop step; the outputs stacked along a new first axis. `changing`: numbers of each trip, by input."""
        if any(out.kind == "number" for out in self.traced.outs):
            raise ArgumentError(
                "a Python number among the results can't be stacked", op="run", mend="return arrays, or call the step itself"
            )
        if self.traced.writes:
            written = ", ".join([leaf.name for leaf in self.traced.leaves if leaf.input in self.traced.writes])
            raise ArgumentError(
                f"the function writes into {written}, so repeating the call is no repetition", op="run",
                mend="write into a copy inside the function, or call the step itself",
            )
        pinned = [guard.description for guard in self.traced.guards if guard.number in changing]
        if pinned:
            raise ArgumentError(
                f"the trace needs the value of a number that changes from one iteration to the next: {pinned[0]}", op="run",
                mend="use np.where in place of a branch on it, or call the step itself",
            )
        key = trips, tuple(changing)
        program = self._loops.get(key)
        if program is None:
            if len(self._loops) >= 16:
                self._loops.clear()
            made = planning.loop(self.plan, trips, tuple(changing))
            program = self._loops[key] = self._shared(self._backend.emit(made, ticks=self._ticks, settle=self._settle()))
        results = self._looped(program, trips, inputs, changing)
        return trees.unflatten(
            self.traced.out_tree, [out.value if out.output is None else _array(out.kind, results[out.output]) for out in self.traced.outs]
        )

    def _looped(self, program: Any, trips: int, inputs: list[Any], changing: Mapping[int, Sequence[Any]]) -> list[Any]:
        """The outputs of the program of a loop, stacked."""
        results: list[Any] = program([changing.get(k, thing) for k, thing in enumerate(inputs)] if changing else inputs)
        return results

    def _prepared(self, position: int, leaf: Any) -> Any:
        """A leaf that is no plain native array, as the program takes it."""
        if isinstance(leaf, Variable):
            if self.records_variables:
                return leaf
            data = leaf.data
            if _layout(data, self._exact, self._backend.arrays) == self._layouts[position]:
                return data
            return np.ascontiguousarray(data) if isinstance(data, np.ndarray) else data.copy()
        if self.traced.graph.inputs[position].spec.weak:
            return leaf
        if isinstance(leaf, Spec):
            return leaf
        if isinstance(leaf, np.generic):
            return np.asarray(leaf)
        if leaf.dtype.isnative:
            return np.asarray(leaf)  # a memmap: the array itself
        order = self._layouts[position]
        return np.array(leaf, leaf.dtype.newbyteorder("="), order="F" if order == "F" else "C")

    def _given(self, out: LeafOut, results: Sequence[Any]) -> Any:
        """A leaf of the result; a plain array that the function returned is the caller's own copy."""
        if out.output is None:
            return out.value.copy("K") if type(out.value) is np.ndarray else out.value
        return (_plain if self._backend.arrays.on_host else _on_device)(out.kind, results[out.output])

    def _recorded(self, inputs: list[Any]) -> Any:
        """Variables are given: the call is recorded with its graph, so that gradients pass through it."""
        with standing(self._meets):
            results = record_graph(Variable, self.traced.graph, inputs)
        plain = [v.data for v in results] if self._also_arrays else results
        given = []
        for out in self.traced.outs:
            given.append(results[out.output] if out.kind == "variable" and out.output is not None else self._given(out, plain))
        return trees.unflatten(self.traced.out_tree, given)

    # ---- for explain
    def record(self, why: str) -> TraceRecord:
        """What happened, as text: it holds none of the arrays."""
        if self.records_variables:
            steps = ["recorded with its graph, planned with what reads it"]
        else:
            steps = [*plan_texts(self.plan), *self._backend.remarks(self.plan, self._uploaded)]
        seconds = time.time() - self._began
        return record_of(self.traced, self.graph, self._passes, self._baked, self._traced_nodes, steps, self._began, seconds, why)


def _direct(leaf: LeafIn, given: Any, arrays: Arrays) -> bool:
    """Whether leaves of this key go into the program as they are."""
    return leaf.kind == "number" or (type(given) is np.ndarray and given.dtype.isnative) or (not arrays.on_host and arrays.owns(given))


def _layout(thing: Any, exact: bool, arrays: Arrays) -> str | tuple[int, ...]:
    """How the program gets an argument or what is closed over. ArgumentError for an array on a device, where the program runs elsewhere."""
    data = thing.data if isinstance(thing, Variable) else thing
    if exact and isinstance(data, np.ndarray):
        check_native(data, "a captured array")
    if not arrays.on_host:
        return arrays.layout(data)
    if (backend := backends.owner(data)) is not None:
        raise ArgumentError(
            f"an array on a {backend.name} device is given to what runs on the host", op="compile",
            mend=f'compile with backend="{backend.name}", or move it: v.to_cpu() for a Variable, x.get() for an array',
        )
    return lies(data, exact) if isinstance(data, np.ndarray) else "C"


def _plain(kind: str, result: Any) -> Any:
    """NumPy's own kind of thing: a scalar where NumPy has one, a 0-d array where it has that; a Variable where the function gave one."""
    if kind == "array":
        return result if type(result) is np.ndarray else np.asarray(result)
    if kind == "scalar":
        return result[()] if type(result) is np.ndarray else result
    if kind == "truth":
        return bool(result)
    return Variable(np.asarray(result)) if kind == "variable" else result


def _on_device(kind: str, result: Any) -> Any:
    """What a device has computed as it is: whoever needs the numbers waits for them."""
    return bool(result) if kind == "truth" else _array(kind, result)


def _memory(thing: Any) -> Any:
    """The array that is written where an argument is."""
    return thing.settled() if isinstance(thing, Variable) else thing


def _array(kind: str, result: Any) -> Any:
    return Variable(result) if kind == "variable" else result
