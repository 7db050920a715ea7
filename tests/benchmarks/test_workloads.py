"""Every contestant of every workload computes the same at a tiny size, in every order of the inputs that is timed."""
from __future__ import annotations

import pytest

from benchmarks import case, peers
from benchmarks.workloads import WORKLOADS

SLOW = (case.COMPILED, case.PYTENSOR, case.NUMBA, "stencil-JAX", "sine-PyTorch", "sine-autograd")  # seconds of compiling or of steps each


def values(workload, name, inputs):
    made = workload.contestants[name](inputs)
    return None if made.values is None else made.values(made.run(max(workload.calls // made.unit, 1)))


CASES = [
    pytest.param(w, name, id=f"{w.name}-{name}", marks=[pytest.mark.long] if any(s in f"{w.name}-{name}" for s in SLOW) else [])
    for w in WORKLOADS for name in w.contestants if name != case.HAND
]


@pytest.mark.parametrize(("workload", "name"), CASES)
def test_contestants_agree(workload, name):
    if reason := peers.missing(name):
        pytest.skip(reason)
    want = case.arrays(values(workload, case.HAND, workload.made(tiny=True)))
    got = values(workload, name, workload.made(tiny=True))
    if name in workload.references:
        assert got is None
    else:
        case.compare(workload, name, got, want)


@pytest.mark.parametrize(("workload", "variant"), [
    pytest.param(w, v.name, id=f"{w.name}-{v.name}") for w in WORKLOADS for v in w.variants if v.arrange
])
def test_ours_in_other_orders(workload, variant):
    want = case.arrays(values(workload, case.HAND, workload.made(variant, tiny=True)))
    case.compare(workload, case.OURS, values(workload, case.OURS, workload.made(variant, tiny=True)), want)


def test_a_wrong_contestant_is_an_error():
    workload = WORKLOADS[2]
    want = case.arrays(values(workload, case.HAND, workload.made(tiny=True)))
    with pytest.raises(AssertionError, match="array 1 is off by"):
        case.compare(workload, "other", [want[0], want[1] + 0.01, *want[2:]], want)
    with pytest.raises(AssertionError, match="is due"):
        case.compare(workload, "other", [want[0].astype("f8"), *want[1:]], want)
