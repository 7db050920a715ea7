"""Planning: a graph and a Target in, a Plan out, through stages that stand below in their order. Nothing here runs or asks a device.

`plan` makes the steps of one run; `loop` wraps them in a step that repeats them.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from ir.graph import CONSTANT, Graph, Node, Value
from ir.place import Buffer, Place
from ir.plan import Call, Copy, Fill, Gate, Host, Loop, Plan, Region, Step, Tick
from ir.planning import arena, commit, generated, lifetimes, limit, order, packs, places, region, results, standing
from ir.planning.blocks import REGION
from ir.planning.contract import contract
from ir.planning.draft import Draft
from ir.planning.forks import without_forks
from ir.planning.inside import Inside
from ir.planning.reuse import lend, settle_writes
from ir.planning.select import choose
from ir.planning.strides import c_strides
from ir.planning.together import together
from ir.spec import Spec
from ir.target import Target

Orders = dict[tuple[Graph, frozenset[Node]], order.Schedule]
IN_ARENA = ("arena", "scalar")


def plan(
    graph: Graph, target: Target, *, layouts: Mapping[int, str | tuple[int, ...]] | None = None, exact: bool = False,
    gate: int | None = None, counted: bool = False, memory_limit: int | None = None,
) -> Plan:  # fmt: skip
    """The plan of one run of `graph` on `target`.

    `layouts` says how the caller's arrays lie, by index of the input: "C" (assumed), "F", strides in bytes, or "any" (only the call will
    tell; what is computed from such an array is C-ordered), or "gaps" (the same, and elements next to each other are likely to lie apart).
    `exact` takes only kernels with the bits of the operations' references.
    `gate`: the index of an output, a 0-d bool: where it is false, no state is written and NotFiniteError is raised. `counted`: each run
    counts, together with its writes of states. Raises ArgumentError where the target lacks a kernel, or for a layout that is none.
    `memory_limit`: bytes that `peak_bytes` may not exceed, for which values are computed again if need be; MemoryLimitError where no such
    plan is found.

    >>> from ir.ops.elementwise import exp
    >>> from ir.target import Kernel
    >>> graph = Graph()
    >>> graph.outputs = [exp(exp(graph.input(Spec((2, 3)))))]
    >>> target = Target("toy", {"exp": (Kernel("exp", "exp", None, overwrites=(0,)),)})
    >>> print(plan(graph, target).text(lines=False))
    plan for toy: 2 steps
      peak_bytes 48 = arena 0 + alignment 0 + results 48 + scratch 0
      lower_bound_bytes 48
      beside it: inputs 48, states 0, constants 0
      results: result0 f64[2,3]
      step  kernel  value  reads    writes   bytes  birth  death
         0  exp     %1     input0   result0     48      0      1
         1  exp     %2     result0  result0     48      0      1
    """
    laid = dict(layouts or {})
    contracted, left = contract(graph, target, exact, laid)

    def build(graph: Graph, run: Sequence[Node], aim: Target) -> Plan:
        made = _plan(graph, aim, laid, exact, gate, counted, run=run, once=standing.ONCE if memory_limit is None else {})
        made.notes["outside regions"] = left
        return made

    return limit.kept(graph, contracted, target, memory_limit, build)


def loop(plan: Plan, trips: int, changing: tuple[int, ...] = ()) -> Plan:
    """A plan of one Loop step: `plan`'s graph run `trips` times, states carried in place, each output stacked along a new first axis.

    `changing`: inputs, by index, that are Python numbers and given as a sequence, one for each trip.

    >>> from ir.ops.elementwise import exp
    >>> from ir.target import Kernel
    >>> graph = Graph()
    >>> graph.outputs = [exp(graph.input(Spec((2, 3))))]
    >>> once = plan(graph, Target("toy", {"exp": (Kernel("exp", "exp", None),)}))
    >>> loop(once, 10).results[0].shape
    (10, 2, 3)
    """

    def build(graph: Graph, run: Sequence[Node], aim: Target) -> Plan:
        return _loop(plan, graph, run, trips, changing, aim)

    return limit.kept(plan.uncut or plan.graph, plan.traced or plan.graph, plan.target, plan.memory_limit, build)


def _loop(plan: Plan, graph: Graph, run: Sequence[Node], trips: int, changing: tuple[int, ...], target: Target) -> Plan:
    """`loop` of a graph that computes what the plan's does, in the order of `run`."""
    once = standing.ONCE_A_LOOP if plan.memory_limit is None else {}
    body = _plan(graph, target, plan.layouts, plan.exact, plan.gate, plan.counted, results.place_rows, run, once=once)
    shared = [b for b in body.buffers if b.kind in ("input", "state", "const")]
    first = max([b.id for b in body.buffers], default=-1) + 1
    held = [Buffer(first, "arena", body.arena_bytes, offset=0)] if body.arena_bytes else []
    rows = tuple([_stack(index, v.spec, trips, first + 1 + index) for index, v in enumerate(graph.outputs)])
    made = Plan(
        graph=graph, target=target, steps=[Loop(body, trips, rows, None, changing, _again(body, changing))],
        buffers=shared + held + [p.buffer for p in rows],
        places={v: body.places[v] for v in graph.inputs if v in body.places}, views=[], results=rows, states=body.states,
        order=body.order, arena_bytes=body.arena_bytes, scratch_bytes=body.scratch_bytes, exact=plan.exact, layouts=plan.layouts,
        gate=plan.gate, counted=plan.counted,
    )
    _bill(made, arena.most_live([b for b in body.buffers if b.kind in IN_ARENA]))
    return made


def _again(body: Plan, changing: tuple[int, ...]) -> tuple[Host | Fill, ...]:
    """The Host and Fill steps that hang on these inputs, in their order."""
    moving = {body.graph.inputs[k] for k in changing}
    found: list[Host | Fill] = []
    for step in body.steps:
        if isinstance(step, Host) and any(v in moving for v in step.node.operands):
            moving.update(step.node.outputs)
            found.append(step)
        elif isinstance(step, Fill) and step.value in moving:
            found.append(step)
    return tuple(found)


def _stack(index: int, spec: Spec, trips: int, id: int) -> Place:
    whole = Spec((trips, *spec.shape), spec.dtype)
    buffer = Buffer(id, "result", whole.nbytes, index=index)
    return Place(buffer, 0, whole.shape, c_strides(whole.shape, whole.dtype.itemsize), whole.dtype)


def _plan(
    graph: Graph, target: Target, layouts: dict[int, str | tuple[int, ...]], exact: bool, gate: int | None = None, counted: bool = False,
    rows: Callable[[Draft], tuple[Place | None, ...]] = results.place_results, run: Sequence[Node] = (),
    over: Mapping[int, int] | None = None, once: Mapping[str, str] | None = None, turned: Collection[int] = (),
    orders: Orders | None = None,
) -> Plan:  # fmt: skip
    """The stages. `rows` gives the outputs their places: a caller's results, the rows of a loop, the blocks of a region.

    `run`: the order to take, if one is given. `over`: outputs that are to be written over inputs, by index. `once`: which copies may
    stand, see `standing.py`. `turned`: inputs that are laid in rows before they are read. `orders`: those found so far, where a graph
    may be planned more than once.
    """
    draft = Draft(graph, target, layouts, exact)
    states = places.place_inputs(draft)
    end = commit.commit(draft)
    last, orders = frozenset(end.nodes), {} if orders is None else orders
    if (graph, last) not in orders:
        orders[graph, last] = order.schedule(graph, last, run)
    schedule = replace(orders[graph, last])
    for node in graph.order():
        if node.op is CONSTANT:
            places.place_constant(draft, node)
    draft.hosts = [Host(node) for node in schedule.hosts]
    for index, k in (over or {}).items():
        schedule.nodes = order.behind(schedule.nodes, graph.outputs[index], graph.inputs[k])
    inside = Inside(draft, schedule.nodes)
    lend(draft, over or {})
    given = {v: draft.places[v] for k in turned if (v := graph.inputs[k])}
    draft.turned.update(given)
    for node in schedule.nodes:
        _compute(draft, node, inside, {})
    ends = rows(draft)
    aside = results.set_aside(draft)
    if gate is not None:
        draft.steps.append(Gate(draft.places[graph.outputs[gate]], graph.outputs[gate].node.line))
    draft.commit()
    for node in end.nodes:
        _compute(draft, node, inside, end.homes)
    results.write_states(draft, aside)
    draft.places.update(given)  # an input's place is where it is given
    if counted:
        draft.steps.append(Tick())
    made = _finish(draft, states, ends, schedule, standing.standing(draft, once or {}))
    made.gate, made.counted = gate, counted
    return made


def _compute(draft: Draft, node: Node, inside: Inside, homes: Mapping[Value, Value]) -> None:
    """One node: a view, or a Call with what its kernel needs. `homes`: the states that values are written over."""
    for value in [v for v in dict.fromkeys(node.operands) if v in draft.turned]:
        draft.turned.remove(value)
        draft.set_aside(value, "laid in rows", node.line, order="C")
    if packs.is_view(node):
        if node.outputs[0] not in draft.places:  # else it was placed before its operand was written into
            draft.order.append(node)
            places.place_view(draft, node)
        return
    if node.op is REGION and draft.target.generator is not None:
        generated.place(draft, node, homes)
        return
    if node.op is REGION:
        region.place(draft, node, homes, _body)
        return
    if inside.join(node):
        return
    kernel, reads, writes = choose(draft, node)
    draft.use(node)
    if node.outputs[0] in homes:
        writes = (draft.places[homes[node.outputs[0]]],)
    elif lent := inside.lent(node, writes):
        writes = tuple([lent.get(k) or draft.keep(w) for k, w in enumerate(writes)])
    else:
        reads, writes = settle_writes(draft, node, kernel, reads, writes)
    draft.order.append(node)
    temps = draft.temps(kernel, node)
    draft.steps.append(Call(kernel, node, reads, writes, temps))
    for value, place in zip(node.outputs, writes):
        draft.put(value, place)


def _body(
    graph: Graph, target: Target, layouts: dict[int, str | tuple[int, ...]], exact: bool, wholes: tuple[Spec, ...], over: Mapping[int, int],
    turned: Collection[int], orders: Orders,
) -> Plan:  # fmt: skip
    """The plan of a region's block, whose outputs are blocks of arrays of these specs, or written `over` operands."""
    rows = partial(results.place_blocks, wholes=wholes)
    return _plan(graph, target, layouts, exact, rows=rows, over=over, turned=turned, orders=orders)


def _finish(draft: Draft, states: tuple[Place, ...], rows: tuple[Place | None, ...], schedule: order.Schedule, once: list[Copy]) -> Plan:
    front: list[Step] = [*draft.hosts, *draft.fills, *once, *together(draft, draft.main)]
    steps = without_forks(draft, [*front, *together(draft, draft.tail)])
    lifetimes.set_lifetimes(steps, draft.buffers, draft.kept)
    items = [b for b in draft.buffers if b.kind in IN_ARENA]
    arena_bytes = arena.place_buffers(items, draft.target.alignment)
    scratch = max([_scratch(s) for s in steps], default=0)
    made = Plan(
        graph=draft.graph, target=draft.target, steps=steps, buffers=draft.buffers, places=draft.places, views=draft.views,
        results=rows, states=states, order=[*schedule.hosts, *draft.order], arena_bytes=arena_bytes, scratch_bytes=scratch,
        tail=len(front), exact=draft.exact, layouts=draft.layouts,
    )
    _bill(made, arena.most_live(items))
    return made


def _scratch(step: Step) -> int:
    """Bytes that a step asks for behind our back; each worker of a region may do so at once."""
    if isinstance(step, Region):
        return step.workers * max([b.scratch_bytes for b in (step.first, step.body, step.last) if b is not None])
    return step.kernel.scratch(step.reads, step.writes, step.node.attrs) if isinstance(step, Call) else 0


def _bill(plan: Plan, live: int) -> None:
    """Peak: the arena with its slack, the results and the largest scratch. The bound has the same items, the arena at its fullest step."""
    beside = plan.result_bytes + plan.scratch_bytes + plan.arena_request - plan.arena_bytes
    plan.peak_bytes, plan.lower_bound_bytes = plan.arena_bytes + beside, live + beside
