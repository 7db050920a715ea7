"""Whether any region of a plan forks: the steps of a draft in, the same steps out, or none of them forked.

Invariant: the number of workers decides nothing, since bits depend on the number of BLAS's threads.
"""
from __future__ import annotations

from dataclasses import replace

from ir.ops.nn import linear, linear_vjp
from ir.plan import Call, Region, Step
from ir.planning.draft import Draft
from ir.planning.region import work_ns
from ir.planning.work import node_ns


def without_forks(draft: Draft, steps: list[Step]) -> list[Step]:
    """The steps, no region forked where the products that stand outside take longer than all that forks: where one forks, BLAS has one
    thread in the whole run. What either gains by more threads is the same part of it, so how many there are does not count.
    """
    forked = [s for s in steps if isinstance(s, Region) and s.blas_threads is not None]
    inside = sum([work_ns(s.body, draft.target) * (s.size // s.rows) for s in forked])
    calls = [s for s in steps if isinstance(s, Call) and (s.node.op.family == "matmul" or s.node.op in (linear, linear_vjp))]
    if sum([node_ns(s.node, draft.target, (s.kernel,)) for s in calls]) <= inside:
        return steps
    kept = {place.buffer for s in forked for place in s.private[:1]}
    gone = {place.buffer for s in forked for place in s.private} - kept
    draft.buffers[:] = [buffer for buffer in draft.buffers if buffer not in gone]
    alone = {s: replace(s, workers=1, private=s.private[:1], blas_threads=None, follows=False) for s in forked}
    return [alone.get(s, s) if isinstance(s, Region) else s for s in steps]
