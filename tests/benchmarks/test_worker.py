"""A contestant in a process of its own: its values, times and facts come back, and so does its error."""
from __future__ import annotations

import pytest

from benchmarks import case, worker
from benchmarks.workloads import named


def test_values_times_and_facts():
    alone = worker.Worker("mlp", case.OURS)
    try:
        made = named("mlp").contestants[case.OURS](named("mlp").made())
        case.compare(named("mlp"), "ours", alone.values, case.arrays(made.values(made.run(named("mlp").calls))))
        assert alone.seconds(2) > 0
        facts, plan = alone.facts(), made.plan()
        assert (facts.peak_bytes, facts.moved_bytes, facts.workers) == (plan.peak_bytes, worker.moved(plan), plan.target.workers)
    finally:
        alone.close()


def test_what_fails_and_what_takes_too_long_says_so(monkeypatch):
    with pytest.raises(worker.Failed, match="KeyError: 'nobody'"):
        worker.Worker("mlp", "nobody")
    monkeypatch.setattr(worker, "LIMIT", 0)
    with pytest.raises(worker.Failed, match="no answer in 0 s"):
        worker.Worker("mlp", case.HAND)
