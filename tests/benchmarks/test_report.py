"""The tables from known times: ratios, goals met and missed, who is left out, and the page's part that is written by hand."""
from __future__ import annotations

import numpy as np
import pytest

import tracer
from benchmarks import case, report
from benchmarks.measure import Outcome
from benchmarks.worker import Facts, moved
from benchmarks.workloads.adam import Given

WORK = case.Workload(
    name="w", title="a workload", inputs=lambda n: {}, sizes={"n": 10}, tiny={"n": 1}, work=lambda n: n,
    contestants=dict.fromkeys((case.HAND, case.OURS, case.JAX, case.TORCH, "part"), lambda inputs: None), references=("part",),
    goals=(case.Goal(0.5), case.Goal(0.8, (case.HAND,)), case.Goal(1.0, (case.TORCH,)), case.Goal(2.0, ("part",))),
    variants=(case.Variant("odd", {"n": 11}), case.Variant("other", {"n": 20}), case.Variant("odd other", {"n": 19}, of="other")),
)


@pytest.fixture
def outcome() -> Outcome:
    seconds = {case.HAND: 0.04, case.OURS: 0.03, case.JAX: 0.02, "part": 0.01, "odd": 0.033, "other": 0.05, "odd other": 0.095}
    facts = {name: Facts("openblas 2") for name in seconds} | {case.OURS: Facts("openblas 2", 24_000_000, 23_000_000, 12_000_000, 2)}
    rounds = {name: [9 * each, each, each, each, 0.9 * each] for name, each in seconds.items()}
    return Outcome(WORK, rounds, {case.TORCH: "not installed"}, facts, {case.JAX: 50_000_000}, 8_000_000)


def test_goals(outcome):
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in report.goals([outcome]).splitlines()[2:]]
    assert rows == [
        ["a workload", "30.0", "JAX jit 20.0", "1.50", "0.5", "**missed**", "JAX jit 20.0", "1.50"],
        ["a workload", "30.0", "NumPy 40.0", "0.75", "0.8", "met", "JAX jit 20.0", "1.50"],
        ["a workload", "30.0", "PyTorch: not here", "", "1", "open", "", ""],
        ["a workload", "30.0", "part 10.0", "3.00", "2", "**missed**", "JAX jit 20.0", "1.50"],
    ]


def test_what_is_no_peer_is_never_the_fastest(outcome):
    outcome.rounds |= {case.OURS_WARM: [1e-6] * 5, "part": [1e-6] * 5}
    assert outcome.fastest() == case.JAX


def test_variants_are_compared_by_work(outcome):
    assert outcome.variants() == pytest.approx({"odd": 1.0, "other": 0.05 / 0.03 / 2, "odd other": 2.0})
    assert "| odd other | 95.0 | 2.00 of other |" in report.variants([outcome])


def test_a_wide_spread_is_shown(outcome):
    outcome.rounds[case.JAX] = [0.02, 0.03, 0.01, 0.04, 0.005]
    assert "JAX jit 20.0 ±50%" in report.goals([outcome])


def test_memory_and_threads(outcome):
    assert "| a workload | 24 | 23 | 8 | 12 | 1.50 | 50 |" in report.memory([outcome])
    assert "gradplan: gradplan 2, openblas 2" in report.threads([outcome])
    assert "not installed" in report.milliseconds([outcome])


def test_moved_bytes_are_those_of_the_steps():
    fast = tracer.compile(lambda x, y: np.tanh(x * y) + x)
    x = np.ones((10, 4))
    assert moved(fast.plan(x, x[0].copy())) == (320 + 32 + 320) + (320 + 320) + (320 + 320 + 320)
    large = np.ones((2048, 512))
    plan = fast.plan(large, large[0].copy())
    assert len(plan.steps) == 1 and moved(plan) == 2 * large.nbytes + large[0].nbytes  # one region


def test_states_that_a_region_writes_over_are_moved_twice():
    g, p = np.ones((2048, 512), np.float32), np.zeros((2048, 512), np.float32)
    step = tracer.train_step(lambda p, g: Given()(p, g), tracer.optimizers.Adam(), p)
    assert 0 <= moved(step.plan(g)) - 7 * g.nbytes < 1000  # the gradient and three states read, these written


def test_what_is_written_by_hand_stays(outcome, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "PAGE", tmp_path / "page.md")
    report.PAGE.write_text(report.page([outcome], 5) + "## Where the time goes\n\nHere.\n")
    outcome.rounds[case.OURS] = [0.001] * 5
    again = report.page([outcome], 5)
    assert again.count("## Where the time goes") == 1 and again.endswith("Here.\n") and "| a workload | 1.00 |" in again
