"""All workloads against all peers, in one run: `python -m benchmarks`. Prints the tables and writes them into docs/performance.md.

    --only softmax mlp       these workloads alone; the page is not written
    --rounds 3               in place of nine; the page says how many
    --memory                 also by how much each contestant's process grows
    --without PyTensor ...   leaves contestants out ("variants": other sizes and orders of ours); the page is not written

benchmarks/workloads/ has a file for each workload, benchmarks/worker.py how a contestant runs, benchmarks/measure.py the rounds.
"""
from __future__ import annotations

import argparse
import os
import sys

from benchmarks import report
from benchmarks.measure import measured
from benchmarks.workloads import WORKLOADS

ROUNDS = 9


def main() -> None:
    names = [w.name for w in WORKLOADS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="WORKLOAD", help=f"of {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"in place of {ROUNDS}")
    parser.add_argument("--memory", action="store_true", help="also by how much each contestant's process grows")
    parser.add_argument("--without", nargs="+", default=[], metavar="NAME", help="contestants, or: variants")
    asked = parser.parse_args()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    say = lambda line: print(line, file=sys.stderr, flush=True)
    outcomes = [measured(w, asked.rounds, asked.memory, asked.without, say) for w in WORKLOADS if w.name in asked.only]
    print(report.text(outcomes, asked.rounds))
    if asked.only == names and not asked.without:
        report.PAGE.write_text(report.page(outcomes, asked.rounds), encoding="utf-8")
        say(f"written: {report.PAGE}")


if __name__ == "__main__":
    main()
