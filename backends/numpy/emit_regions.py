"""A region in, its lines out: the functions of its blocks are made in `bind`, one for each worker over its buffers, and called in `run`."""
from __future__ import annotations

from itertools import takewhile

from backends.numpy.steps import NumpyStepWriter
from backends.straight.names import Names, states_of
from backends.straight.site import type_name
from backends.straight.steps import indent
from backends.straight.writer import Writer
from ir.plan import Fill, Host, Plan, Region, Step


class RegionWriter(NumpyStepWriter, Writer):
    def __init__(self, plan: Plan, around: Names | None = None):
        super().__init__(plan, around)
        self.blocks: dict[Plan, str] = {}

    def _step(self, step: Step) -> list[str]:
        return self._region(step) if isinstance(step, Region) else super()._step(step)

    def _region(self, region: Region, at_end: bool = False) -> list[str]:
        """One call for all regions that run together, none for those that follow."""
        if region.follows:
            return []
        names, members, run = self.names, self._together(region), "run_through" if at_end else "run"
        names.need("backends.numpy.blocks", "Blocks")
        if len(members) == 1:
            name, given = self._blocks(region, f".{run}")
            return [f"{name}({', '.join(given)})"]
        names.need("backends.numpy.blocks", "Together")
        made = [self._blocks(member) for member in members]
        name = names.fresh("regions_")
        names.bound.append(f"{name} = Together({', '.join([each for each, _ in made])}).{run}")
        return [f"{name}({', '.join([array for _, given in made for array in given])})"]

    def _together(self, region: Region) -> list[Region]:
        """The region and those that follow it."""
        steps = self.body.steps
        at = next(k for k, step in enumerate(steps) if step is region)
        return [region, *takewhile(lambda step: isinstance(step, Region) and step.follows, steps[at + 1 :])]  # type: ignore[list-item]

    def _blocks(self, region: Region, method: str = "") -> tuple[str, list[str]]:
        """(the name of what runs a region or of its method, the arrays that it is given); the functions of its blocks are made in `bind`,
        for each worker over its own buffers.
        """
        names = self.names
        plans = ((region.body, region.rows), (region.first, region.first_rows), (region.last, region.last_rows))
        make = [None if plan is None else (self._block(plan, region), f", {rows}" if region.scales else "") for plan, rows in plans]
        bodies = []
        for place in region.private or (None,) * region.workers:
            work = names.place(place) if place is not None else "None"
            bodies.append(f"({', '.join(['None' if each is None else f'{each[0]}({work}{each[1]})' for each in make])})")
        cuts = [None if cut is None else (*cut, *extent) for cut, extent in zip(region.cuts, region.extents)]
        starts = [names.const(f"np.{type_name(start.dtype)}({start.item()!r})", f"start_{start.item()}") for start in region.starts]
        name = names.fresh("region_")
        places = (*region.reads, *region.writes)
        once = len(region.reads)  # what is written over is given as what is read
        given = [(p, cut) for k, (p, cut) in enumerate(zip(places, cuts)) if k < once or p not in region.reads]
        names.bound += [
            "",
            f"{name} = Blocks(",
            f"    {region.size}, {region.rows}, {region.first_rows}, {region.last_rows}, {region.shares},",
            f"    {tuple([cut for _, cut in given])},",
            f"    ({''.join([f'{start}, ' for start in starts])}), ({', '.join(bodies)},),",
            f"){method}",
        ]
        return name, [names.place(p) for p, _ in given]

    def _block(self, plan: Plan, region: Region) -> str:
        """Defines what makes the function of a block over a worker's buffers, once for equal regions; gives its name."""
        if plan not in self.blocks:
            writer = _Block(plan, self.names)
            writer.names.scaled = (region.rows,) if region.scales else None
            self.blocks[plan] = self.names.fresh("block_")
            self.names.bound += writer.definition(self.blocks[plan])
        return self.blocks[plan]


class _Block(NumpyStepWriter):
    """Writes the body of a region: a function of blocks of its operands and results, then of the parts it adds to."""

    def definition(self, name: str) -> list[str]:
        steps = self.body.steps
        main = [line for step in steps if isinstance(step, (Host, Fill)) for line in self._step(step)]
        main += self._steps([s for s in steps if not isinstance(s, (Host, Fill))])
        states = states_of(self.plan)
        names = self.names
        results = [names.place(p) for p in self.plan.results if p is not None and p.buffer.kind == "result"]
        given = [n for k, n in enumerate(names.inputs) if k not in states] + results + [names.inputs[k] for k in states]
        inner = ["", f"def block({', '.join(given)}):", *indent([*names.called, *main] or ["pass"]), "", "return block"]
        return ["", f"def {name}(arena{', length' if names.scaled else ''}):", *indent([*names.bound, *inner])]
