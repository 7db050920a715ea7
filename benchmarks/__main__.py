"""All workloads against all peers, in one run: `python -m benchmarks`. Prints the tables and writes them into docs/performance.md.

    --only softmax mlp       these workloads alone; the page is not written
    --quick                  three rounds; the page is not written
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

ROUNDS, QUICK = 9, 3


def main() -> None:
    names = [w.name for w in WORKLOADS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="WORKLOAD", help=f"of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} rounds in place of {ROUNDS}")
    parser.add_argument("--memory", action="store_true", help="also by how much each contestant's process grows")
    parser.add_argument("--without", nargs="+", default=[], metavar="NAME", help="contestants, or: variants")
    asked = parser.parse_args()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    rounds = QUICK if asked.quick else ROUNDS
    say = lambda line: print(line, file=sys.stderr, flush=True)
    outcomes = [measured(w, rounds, asked.memory, asked.without, say) for w in WORKLOADS if w.name in asked.only]
    print(report.text(outcomes, rounds))
    if asked.only == names and not asked.quick and not asked.without:
        report.PAGE.write_text(report.page(outcomes, rounds), encoding="utf-8")
        say(f"written: {report.PAGE}")


if __name__ == "__main__":
    main()
