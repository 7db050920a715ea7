"""What a user types, in the mode of kernels: compiled functions and training steps over the stand-in's arrays, on the emulated device."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import backends
import tracer
from ir.errors import ArgumentError, NotLowered
from ir.planning import plan
from tests.backends.cupy import emulated, standin
from tests.backends.cupy.emulated_device import EmulatedDevice
from tracer import Variable, optimizers
from tracer import functions as F


class StandinDevice(EmulatedDevice):
    """Arrays of the stand-in lie on it, its results are such arrays. What they need is held for ever: nothing here lives long."""

    def address(self, array: Any) -> int | None:
        if not isinstance(array, standin.ndarray):
            return None
        block = array._block
        self._held[block.ctypes.data] = Block(block)
        return array.data.ptr

    def view(self, memory: Any, shape: Any, dtype: Any, strides: Any = None) -> Any:
        return standin.ndarray(tuple(shape), dtype, standin.MemoryPointer(memory.bytes, memory.ptr), strides)


class Block:
    def __init__(self, block: np.ndarray) -> None:
        self.bytes, self.ptr, self.nbytes = block, block.ctypes.data, block.nbytes


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandinDevice]:
    made = StandinDevice(late=False)
    monkeypatch.setattr("backends.cupy.current_device", lambda: made)
    with standin.installed():
        yield made


def data() -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(33, 1))
    return x, np.sin(6 * x) + rng.uniform(size=x.shape), [rng.normal(size=s) / 3 for s in ((1, 10), (10,), (10, 1), (1,))]


def trained(backend: str, **more: Any) -> tuple[list[float], list[np.ndarray], Any]:
    """The seed's network: steps with a rate that changes, then many in one call."""
    x, y, values = data()
    params = [Variable(v.copy()) for v in values]

    def loss(x: Any, y: Any) -> Any:
        W1, b1, W2, b2 = params
        return F.mean_squared_error(y, F.linear_simple(F.sigmoid(F.linear_simple(x, W1, b1)), W2, b2))

    optimizer = optimizers.SGD(lr=0.2)
    step = tracer.train_step(loss, optimizer, params, backend=backend, **more)
    losses = []
    for lr in (0.2, 0.2, 0.1, 0.1, 0.3):
        optimizer.lr = lr
        found = step(x, y)
        losses.append(float(backends.to_host(found)))
    losses += [float(v) for v in step.run(x, y, steps=6)]
    assert step.iteration == 11
    return losses, [backends.to_host(p.data) for p in params], step


@emulated.needs_compiler
def test_the_seeds_training_step(device: StandinDevice) -> None:
    losses, params, step = trained("cupy", mode="kernels")
    expected, wanted, _ = trained("numpy")
    np.testing.assert_allclose(losses, expected, rtol=1e-9)
    for got, value in zip(params, wanted):
        np.testing.assert_allclose(got, value, rtol=1e-9, atol=1e-12)
    assert device.counts["capture"] == 2, "of the single step and of the loop's: a new rate captures nothing"
    assert "runs as one graph of" in str(step.explain())


@emulated.needs_compiler
def test_a_compiled_function(device: StandinDevice) -> None:
    @tracer.compile(backend="cupy", mode="kernels")
    def normed(x: Any, scale: float) -> Any:
        return (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5) * scale

    x = np.random.default_rng(1).normal(size=(7, 70)).astype("f")
    for scale in (2.0, 3.0, 3.0):
        got = normed(x, scale)
        assert isinstance(got, standin.ndarray)
        wide = x.astype(float)
        wanted = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5) * scale
        np.testing.assert_allclose(got.get(), wanted, rtol=2e-5, atol=1e-6)


@emulated.needs_compiler
def test_a_program_stays_on_its_gpu(device: StandinDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = backends.get("cupy", "kernels")
    devices = [device, device, StandinDevice()]
    monkeypatch.setattr(kernels, "device", lambda: devices.pop(0))
    instance = kernels.emit(plan(tracer.trace(lambda x: x * 2 + 1, np.ones(3)), kernels.target())).bind()
    for _ in range(2):
        instance.run([np.ones(3)])
    with pytest.raises(ArgumentError, match="memory on another GPU"):
        instance.run([np.ones(3)])


def test_plans_and_texts_need_no_device() -> None:
    x, y, values = data()
    params = [Variable(v) for v in values]
    step = tracer.train_step(
        lambda x, y: F.mean_squared_error(y, F.linear(F.sigmoid(F.linear(x, params[0], params[1])), params[2], params[3])),
        optimizers.SGD(lr=0.2), params, backend="cupy", mode="kernels")
    text = step.source(x, y)
    assert text.startswith("// one graph of ") and "cublasLt arena" in text and 'extern "C" __global__' in text
    assert int(text.split()[4]) <= 10, "nine and the scalars' copy"


def test_watched_runs_have_another_mode() -> None:
    kernels = backends.get("cupy", "kernels")
    made = plan(tracer.trace(lambda x: x * 2 + 1, np.ones(3)), kernels.target())
    with pytest.raises(ArgumentError, match='(?s)looked at one by one.*mode="calls"'):
        kernels.emit(made, look=lambda k, after, values: None)


@pytest.mark.parametrize(("fn", "dtype"), [(np.sort, "f8"), (np.cumsum, "f4"), (lambda x: x + 1, "f2")])
def test_what_has_no_kernel_is_named_with_its_line(fn: Any, dtype: str) -> None:
    compiled = tracer.compile(lambda x: fn(x), backend="cupy", mode="kernels")
    with pytest.raises(ArgumentError, match='(?s)no kernel is generated for it.*test_kernel_program.py:.*mode="calls"'):
        compiled.source(np.ones(5, dtype))


@emulated.needs_compiler
def test_numbers_among_the_results(device: StandinDevice) -> None:
    compiled = tracer.compile(lambda x, n: (n * 2, x + 1, n, 7, x * n), backend="cupy", mode="kernels")
    for n in (3, 4):
        twice, more, same, seven, scaled = compiled(np.ones(5), n)
        assert (twice, same, seven) == (2 * n, n, 7)
        np.testing.assert_array_equal(more.get(), 2)
        np.testing.assert_array_equal(scaled.get(), n)


def test_steps_that_no_graph_has_are_refused() -> None:
    W = Variable(np.ones(3))
    step = tracer.train_step(lambda x: F.sum(x * W), optimizers.SGD(), [W], backend="cupy", mode="kernels", on_nan="raise")
    with pytest.raises(NotLowered, match='(?s)Gate.*mode="calls"'):
        step.source(np.ones(3))


def test_modes_have_targets_of_their_own() -> None:
    assert backends.get("cupy", "kernels").target() is not backends.get("cupy", "calls").target()
