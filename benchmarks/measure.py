"""One workload measured: every contestant in its own process, values compared first, then interleaved rounds. Out: an Outcome."""
from __future__ import annotations

import statistics
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from benchmarks import peers
from benchmarks.case import HAND, OURS, OURS_WARM, ROUND, WARM, Goal, Workload, arrays, compare
from benchmarks.timing import times
from benchmarks.worker import Facts, Failed, Worker, grown


@dataclass
class Outcome:
    """`rounds[name]` has the seconds an iteration in each round, a variant of ours under its own name; `absent` says why not."""

    workload: Workload
    rounds: dict[str, list[float]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Facts] = field(default_factory=dict)
    grown: dict[str, int] = field(default_factory=dict)
    least_bytes: int = 0

    def median(self, name: str) -> float:
        return statistics.median(self.rounds[name])

    def spread(self, name: str) -> float:
        """Half the distance of the quartiles, as a part of the median."""
        low, _, high = statistics.quantiles(self.rounds[name], n=4, method="inclusive")
        return (high - low) / 2 / self.median(name)

    def fastest(self, names: Collection[str] = ()) -> str | None:
        """The fastest of these contestants, of all peers where none are named."""
        apart = {OURS, OURS_WARM, *self.workload.references}
        among = [name for name in (names or [n for n in self.workload.names if n not in apart]) if name in self.rounds]
        return min(among, key=self.median, default=None)

    def reached(self, goal: Goal) -> tuple[str, float] | None:
        """Against whom the goal is measured, and the ratio; None where nobody of them is here."""
        other = self.fastest(goal.against)
        return (other, self.median(OURS) / self.median(other)) if other is not None else None

    def variants(self) -> dict[str, float]:
        """Our time for each unit of work in each variant, as a multiple of what it takes in the variant that it is compared with."""
        found = {}
        for variant in self.workload.variants:
            if variant.name in self.rounds:
                of = OURS if variant.of == ROUND else variant.of
                ratio = self.median(variant.name) / self.median(of)
                found[variant.name] = ratio * self.workload.amount(variant.of) / self.workload.amount(variant.name)
        return found


def measured(
    workload: Workload, rounds: int, memory: bool = False, without: Collection[str] = (), say: Callable[[str], None] = print
) -> Outcome:
    """Raises AssertionError where a contestant's values are not NumPy's, and Failed where ours or NumPy fails."""
    outcome, workers = Outcome(workload), {}
    try:
        for name in sorted(workload.names, key=lambda name: name != HAND):
            reason = "left out" if name in without else peers.missing(name)
            if reason:
                outcome.absent[name] = reason
                continue
            say(f"{workload.name}: {name}")
            try:
                workers[name] = worker = Worker(workload.name, name)
            except Failed as error:
                if name in (HAND, OURS):
                    raise
                outcome.absent[name] = f"failed: {error}"
                continue
            _check(workload, name, worker, workers[HAND])
        inputs = workload.made()
        outcome.least_bytes = sum([a.nbytes for a in (*arrays(inputs), *workers[HAND].values)]) + workload.kept(inputs)
        del inputs
        for worker in workers.values():
            worker.values = None
        for variant in workload.variants:
            if "variants" in without:
                break
            say(f"{workload.name}: ours, {variant.name}")
            hand = Worker(workload.name, HAND, variant.name)
            hand.close()
            workers[variant.name] = worker = Worker(workload.name, OURS, variant.name)
            _check(workload, f"ours, {variant.name}", worker, hand)
            worker.values = None
        outcome.rounds = times(workers, rounds, least=1)
        outcome.facts = {name: worker.facts() for name, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.close()
    if memory:
        for name in outcome.rounds:
            if name in workload.names and name not in (WARM, OURS_WARM, *workload.references):
                say(f"{workload.name}: memory of {name}")
                outcome.grown[name] = grown(workload.name, name)
    return outcome


def _check(workload: Workload, name: str, worker: Worker, hand: Worker) -> None:
    if worker.values is not None:
        compare(workload, name, worker.values, hand.values)
