"""A training step as one graph on the emulated device: values, what is asked of the device, and planted faults."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backends.cupy.graph_run import GraphInstance
from backends.cupy.work import Program
from ir.errors import MemoryLimitError
from tests.backends.cupy import emulated, network
from tests.backends.cupy.emulated_device import EmulatedDevice, Misuse

pytestmark = emulated.needs_compiler


def resident(device: Any, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """States: arrays over memory of the device."""
    with device.call():
        memories = [device.allocate(a.nbytes) for a in arrays]
        for memory, a in zip(memories, arrays):
            device.upload(memory.ptr, a)
        device.synchronize()
        return [device.view(memory, a.shape, a.dtype) for memory, a in zip(memories, arrays)]


def train(
    device: Any, program: Program, rates: list[float], hook: Callable[[GraphInstance], None] | None = None,
    runner: type[GraphInstance] = GraphInstance,
) -> GraphInstance:
    """Steps on the device and in NumPy, which agree in losses and parameters."""
    x, t, params = network.data()
    states, wide = resident(device, params), [p.astype(float) for p in params]
    instance = runner(program, device)
    losses = []
    for k, lr in enumerate(rates):
        losses += instance.run([lr, x, t, *states])
        if k == 1 and hook:
            hook(instance)
    expected = [network.by_numpy(x.astype(float), t.astype(float), wide, lr) for lr in rates]
    with device.call():
        device.synchronize()
    np.testing.assert_allclose([float(loss) for loss in losses], expected, rtol=2e-6)
    for state, p in zip(states, wide):
        np.testing.assert_allclose(state, p, rtol=1e-5, atol=2e-6)
    return instance


RATES = [0.5, 0.5, 0.5, 0.1, 0.1, 2.0, 0.0, 0.5]


@pytest.mark.parametrize("order", emulated.ORDERS)
@pytest.mark.parametrize("at", ["end", "start"])
@pytest.mark.parametrize("late", [False, True])
def test_steps_with_changing_rates(order: str, at: str, late: bool) -> None:
    device = EmulatedDevice(order, at, late)
    train(device, network.program(), RATES)
    assert device.counts["capture"] == 1 and device.counts["replay"] == len(RATES) - 1
    assert device.counts["compile"] == 1 and device.counts["prepare"] == 5


def test_what_dies_is_not_read() -> None:
    def poison(instance: GraphInstance) -> None:
        graph = instance._graphs[False][1]
        assert graph.names == ["copy", "product", "launch", "product", "launch", "product", "product", "launch", "product", "launch"]
        base = instance._base["arena", 0]
        graph.dead = {node: [(base + network.spot(name).offset, network.spot(name).nbytes) for name in names]
                      for node, names in network.DEAD.items()}

    train(EmulatedDevice(), network.program(), RATES, poison)


def test_memory_said_to_be_dead_too_early_shows() -> None:
    def poison(instance: GraphInstance) -> None:
        spot = network.spot("h")
        instance._graphs[False][1].dead = {3: [(instance._base["arena", 0] + spot.offset, spot.nbytes)]}

    with pytest.raises(AssertionError, match="nan"):
        train(EmulatedDevice(), network.program(), RATES, poison)


def test_epilogues_that_are_not_offered_have_a_way_round() -> None:
    device = EmulatedDevice(offers=lambda gemm: gemm.epilogue != "bgrada" or gemm.m != network.OUT)
    train(device, network.program(), RATES[:3])
    assert device.counts["product"] == 10 and device.counts["launch"] == 10, "twice asked for: once alone, once while captured"
    with pytest.raises(AssertionError, match="nothing computes"):
        train(EmulatedDevice(offers=lambda gemm: gemm.epilogue == "none"), network.program(), RATES[:1])


def test_one_allocation_a_plan_and_one_for_each_result() -> None:
    device = EmulatedDevice()
    x, t, params = network.data()
    states = resident(device, params)
    instance = GraphInstance(network.program(), device)
    before = device.counts["allocate"]
    for _ in range(5):
        instance.run([0.5, x, t, *states])
    assert device.counts["allocate"] == before + 1 + 5 and device.counts["pinned"] == 1


def test_a_new_number_captures_nothing_and_an_old_one_writes_nothing() -> None:
    device = EmulatedDevice()
    x, t, params = network.data()
    states = resident(device, params)
    instance = GraphInstance(network.program(), device)
    waits = []
    for lr in (0.5, 0.5, 0.5, 0.25, 0.25, float("nan"), float("nan"), 0, 0.0, -0.0):
        before = device.counts.get("synchronize", 0)
        instance.run([lr, x, t, *states])
        waits.append(device.counts.get("synchronize", 0) - before)
    assert waits == [0, 0, 0, 1, 0, 1, 0, 1, 1, 1] and device.counts["capture"] == 1


def test_states_that_moved_are_captured_anew() -> None:
    device = EmulatedDevice()
    x, t, params = network.data()
    states, others = resident(device, params), resident(device, params)
    instance = GraphInstance(network.program(), device)
    losses = [instance.run([0.5, x, t, *s])[0] for s in (states, states, states, others, others, others)]
    device.synchronize()
    assert [float(v) for v in losses[:3]] == [float(v) for v in losses[3:]] and device.counts["capture"] == 2
    np.testing.assert_array_equal(states[0], others[0])


def test_results_are_the_callers() -> None:
    device = EmulatedDevice()
    x, t, params = network.data()
    states = resident(device, params)
    instance = GraphInstance(network.program(), device)
    kept = [instance.run([0.5, x, t, *states])[0] for _ in range(3)]
    device.synchronize()
    assert len({float(v) for v in kept}) == 3
    kept[0][()] = 7
    instance.run([0.5, x, t, *states])
    device.synchronize()
    assert kept[0] == 7


def test_inputs_on_the_device_are_copied_there() -> None:
    device = EmulatedDevice()
    x, t, params = network.data()
    states, given = resident(device, params), resident(device, [x, t])
    instance = GraphInstance(network.program(), device)
    before = device.counts["uploaded bytes"]
    for _ in range(3):
        loss, = instance.run([0.5, *given, *states])
    device.synchronize()
    assert device.counts["uploaded bytes"] == before
    expected = [network.by_numpy(x.astype(float), t.astype(float), params, 0.5) for _ in range(3)]
    np.testing.assert_allclose(float(loss), expected[-1], rtol=1e-5)


def test_many_steps_with_a_rate_each() -> None:
    device = EmulatedDevice()
    x, t, params = network.data()
    states, wide = resident(device, params), [p.astype(float) for p in params]
    losses, = GraphInstance(network.program(), device).run_many([RATES, x, t, *states], len(RATES), [0])
    device.synchronize()
    np.testing.assert_allclose(losses, [network.by_numpy(x.astype(float), t.astype(float), wide, lr) for lr in RATES], rtol=1e-5)


@pytest.mark.parametrize("capacity", [4096, 7])
def test_many_steps_wait_for_nobody(capacity: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.cupy.graph_run.KEPT_ROWS", capacity)
    device = EmulatedDevice()
    x, t, params = network.data()
    states, wide = resident(device, params), [p.astype(float) for p in params]
    instance = GraphInstance(network.program(), device)
    before = dict(device.counts)
    losses, = instance.run_many([0.5, x, t, *states], 20)
    assert device.counts.get("synchronize") == before.get("synchronize") and "download" not in device.counts
    device.synchronize()
    assert losses.shape == (20,) and losses.dtype == np.float32
    np.testing.assert_allclose(losses, [network.by_numpy(x.astype(float), t.astype(float), wide, 0.5) for _ in range(20)], rtol=1e-5)
    assert device.counts["capture"] == 1 and device.counts["replay"] == 19
    again, = instance.run_many([0.5, x, t, *states], 3)
    device.synchronize()
    assert device.counts["capture"] == 1 and again[0] < losses[-1]
    one, = instance.run([0.5, x, t, *states])
    device.synchronize()
    assert one < again[-1] and instance.run_many([0.5, x, t, *states], 0)[0].shape == (0,)


def test_the_bill_is_checked_before_anything_is_taken() -> None:
    device = EmulatedDevice()
    x, t, params = network.data()
    states = resident(device, params)
    device.limit = device.outstanding + 10_000
    before = device.counts["allocate"]
    with pytest.raises(MemoryLimitError, match=r"the plan takes \d+ bytes of the GPU \(arena \d+, .*input 2640.*\), 10000 are free"):
        GraphInstance(network.program(), device).run([0.5, x, t, *states])
    assert device.counts["allocate"] == before


FAULTS: dict[str, tuple[Callable[[], Program], str]] = {
    "a barrier removed": (lambda: network.program(barrier=""), "nan|Mismatch|Not equal"),
    "an index too far": (lambda: network.program(text=network.TEXT.replace(f"i < {network.ROWS * network.HIDDEN}) h", "i < 2000) h")),
                         "sigmoid: line .* touches memory outside its buffers|sigmoid writes beside its operands"),
    "one element left out": (lambda: network.program(text=network.TEXT.replace(f"< {network.HIDDEN}) b1", f"< {network.HIDDEN - 1}) b1")),
                             "Mismatch|Not equal"),
    "a write into what is read": (lambda: network.program(text=network.TEXT.replace(
        "h[i] = 1.0f", "((float*)z)[i] = h[i] = 1.0f")), "sigmoid writes into what it only reads"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(fault: str) -> None:
    made, said = FAULTS[fault]
    with pytest.raises((AssertionError, emulated.Fault, Misuse), match=said):
        for order in emulated.ORDERS:
            train(EmulatedDevice(order), made(), RATES[:3])


class Faulty(GraphInstance):
    """A runner with a fault."""

    fault = ""

    def _set_scalars(self, numbers: tuple[Any, ...]) -> None:
        if self.fault == "a pinned block written too early":
            self._mark = None
        if self.fault == "a stale scalar" and self._numbers is not None:
            return
        super()._set_scalars(numbers)

    def _work(self, many: bool) -> None:
        if self.fault == "an allocation while capturing" and self._warm.get(many):
            self.device.allocate(16)
        if self.fault == "a wait while capturing" and self._warm.get(many):
            self.device.synchronize()
        super()._work(many)


@pytest.mark.parametrize(("fault", "said"), [
    ("a pinned block written too early", "Mismatch|Not equal"), ("a stale scalar", "Mismatch|Not equal"),
    ("an allocation while capturing", "allocate while a graph is captured"),
    ("a wait while capturing", "synchronize while a graph is captured"),
])
def test_planted_faults_of_a_runner_are_caught(fault: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Faulty, "fault", fault)
    with pytest.raises((AssertionError, Misuse), match=said):
        train(EmulatedDevice(), network.program(), [0.5, 0.5, 0.5, 0.1, 2.0], runner=Faulty)
