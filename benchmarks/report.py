"""Outcomes to text: the table that is printed and docs/performance.md. Figures only; what stands below the page's mark is kept."""
from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks import peers
from benchmarks.case import OURS, Goal
from benchmarks.measure import Outcome
from benchmarks.timing import machine

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
MARK = "<!-- written by hand from here on; `python -m benchmarks` keeps it -->"
HEAD = "<!-- written by `python -m benchmarks`, down to the mark below -->\n# Performance\n"


def page(outcomes: Sequence[Outcome], rounds: int) -> str:
    """The page, with what stands below the mark in the present one."""
    below = PAGE.read_text(encoding="utf-8").partition(MARK)[2] if PAGE.exists() else "\n"
    return f"{HEAD}\n{text(outcomes, rounds)}\n{MARK}{below or chr(10)}"


def text(outcomes: Sequence[Outcome], rounds: int) -> str:
    """The description of the machine and all tables."""
    parts = [described(rounds), goals(outcomes), milliseconds(outcomes), variants(outcomes), memory(outcomes), threads(outcomes)]
    return "\n".join([part for part in parts if part])


def described(rounds: int) -> str:
    cores, gib = len(os.sched_getaffinity(0)), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{machine()}, {cores} cores ({features()}), {gib:.0f} GiB, {datetime.date.today()}. {peers.versions()}.\n\n"
        f"Medians of {rounds} interleaved rounds; each contestant in a process of its own, with the number of threads that it has by\n"
        "default. Before it is timed, its values are compared with NumPy's; each turn begins with a tenth of a second that is not timed,\n"
        "since processors wake up slowly. float32, forward and backward pass, unless said. `NumPy` is\n"
        "the formulas line by line, `NumPy out=` writes into buffers kept from call to call, `NumPy warm` is the first of them with\n"
        "malloc's thresholds raised, so that freed memory is kept and touched again (`gradplan warm`: ours so; no goal counts it).\n"
    )


def features() -> str:
    """The widest vector instructions."""
    with open("/proc/cpuinfo") as lines:
        flags = next((line for line in lines if line.startswith("flags")), "").split()
    return "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "no AVX2"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, all columns but the first to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join([f"| {' | '.join(line)} |" for line in lines]) + "\n"


def goals(outcomes: Sequence[Outcome]) -> str:
    """A row for each goal."""
    rows = [row(outcome, goal) for outcome in outcomes for goal in outcome.workload.goals]
    return table(["workload", "gradplan, ms", "against, ms", "ratio", "goal", "", "fastest peer, ms", "ratio"], rows)


def row(outcome: Outcome, goal: Goal) -> list[str]:
    """A goal, and the fastest peer beside it where that is another one."""
    start = [outcome.workload.title, ms(outcome, OURS)]
    reached, best = outcome.reached(goal), outcome.fastest()
    if reached is None or best is None:
        return [*start, f"{' or '.join(goal.against)}: not here", "", f"{goal.bound:g}", "open", "", ""]
    other, ratio = reached
    met = [f"{other} {ms(outcome, other)}", f"{ratio:.2f}", f"{goal.bound:g}", "met" if ratio <= goal.bound else "**missed**"]
    return [*start, *met, f"{best} {ms(outcome, best)}", f"{outcome.median(OURS) / outcome.median(best):.2f}"]


def ms(outcome: Outcome, name: str) -> str:
    """Milliseconds, three digits, and the spread of the rounds where it is large."""
    if name not in outcome.rounds:
        return outcome.absent.get(name, "")
    value, spread = outcome.median(name) * 1e3, outcome.spread(name)
    digits = 4 if value < 0.1 else 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}" + (f" ±{spread:.0%}" if spread > 0.1 else "")


def milliseconds(outcomes: Sequence[Outcome]) -> str:
    """A column for each contestant; those that one workload alone has stand in the last."""
    columns = [name for name in peers.COLUMNS if any(name in o.workload.names for o in outcomes)]
    rows = []
    for outcome in outcomes:
        others = [name for name in outcome.workload.names if name not in columns]
        beside = ", ".join([f"{name} {ms(outcome, name)}" for name in others])
        rows.append([outcome.workload.title, *[ms(outcome, name) for name in columns], beside])
    head = "Milliseconds an iteration (an empty cell: not written for it; ± is half the distance of the quartiles, where above 10 %):\n\n"
    return head + table(["ms", *columns, "others"], rows)


def variants(outcomes: Sequence[Outcome]) -> str:
    """Ours in other shapes and orders."""
    rows = []
    for outcome in outcomes:
        for name, ratio in outcome.variants().items():
            of = outcome.workload.variant(name).of
            rows.append([outcome.workload.title, name, ms(outcome, name), f"{ratio:.2f}" + (f" of {of}" if of != "round" else "")])
    head = "Other sizes and orders of the inputs, ours: time for each unit of work, as a ratio to the round one. Goal: 0.9 to 1.1.\n\n"
    return head + table(["workload", "inputs", "ms", "ratio"], rows) if rows else ""


def memory(outcomes: Sequence[Outcome]) -> str:
    """Our plan's bill and, where they were measured, by how much the processes grew."""
    columns = [name for name in peers.COLUMNS if any(name in o.grown for o in outcomes)]
    rows = []
    for outcome in outcomes:
        facts = outcome.facts[OURS]
        ratio = f"{facts.moved_bytes / outcome.least_bytes:.2f}" if facts.moved_bytes else ""
        planned = [mb(facts.peak_bytes), mb(facts.lower_bound_bytes), mb(outcome.least_bytes), mb(facts.moved_bytes), ratio]
        rows.append([outcome.workload.title, *planned, *[mb(outcome.grown[name]) if name in outcome.grown else "" for name in columns]])
    head = (
        "Memory, MB (10**6 bytes): what our plan asks for (`peak_bytes`; results held) and its lower bound for that order; the least\n"
        "that has to be moved (inputs read once, outputs written once), what the plan's steps move (a region: what it takes from\n"
        "outside and gives), and the ratio of the two."
    )
    grew = "" if not columns else (
        " Then by how much the resident size of each contestant's process\ngrows beyond its inputs and imports, while it is made and"
        " called twice; its compiler's memory is in it."
    )
    return f"{head}{grew}\n\n" + table(["MB", "peak_bytes", "lower bound", "least moved", "moved", "ratio", *columns], rows)


def mb(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:.3g}" if count < 1e8 else f"{count / 1e6:.0f}"


def threads(outcomes: Sequence[Outcome]) -> str:
    """The pools of threads of each contestant: those of the last workload in which it took part."""
    found: dict[str, str] = {}
    for outcome in outcomes:
        for name, facts in outcome.facts.items():
            if name in outcome.workload.names:
                workers = f"gradplan {facts.workers}, " if facts.workers is not None else ""
                found[name] = f"{workers}{facts.threads}"
    return "Threads: " + "; ".join([f"{name}: {pools}" for name, pools in found.items()]) + ".\n"
