"""The device that stands in for a GPU: what it keeps, what it refuses, and what it notices."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from backends.cupy.device import Device, Gemm, Operand
from tests.backends.cupy import emulated
from tests.backends.cupy.emulated_device import EmulatedDevice, Misuse

pytestmark = emulated.needs_compiler

TEXT = """
extern "C" __global__ void scaled(const float* x, const float* by, float* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < 40) y[i] = x[i] * by[0];
}
extern "C" __global__ void beside(float* y) { y[threadIdx.x + 1] = 0; }
extern "C" __global__ void into(const float* x, float* y) { ((float*)x)[threadIdx.x] = y[threadIdx.x] = 1; }
"""


def place(device: EmulatedDevice, values: np.ndarray) -> int:
    memory = device.allocate(values.nbytes)
    device.upload(memory.ptr, values)
    return memory.ptr


@pytest.fixture(params=[False, True], ids=["at once", "late"])
def device(request: pytest.FixtureRequest) -> EmulatedDevice:
    return EmulatedDevice(late=request.param)


def scaled(device: EmulatedDevice, x: int, by: int, y: int) -> None:
    device.launch(device.compile(TEXT), "scaled", (2,), (32,), [Operand(x, 160), Operand(by, 4), Operand(y, 160, True)])


def test_is_a_device() -> None:
    device: Device = EmulatedDevice()
    assert device.allocate(10).nbytes == 10


def test_work_runs_in_order(device: EmulatedDevice) -> None:
    x = np.arange(40, dtype="f")
    at, by, to = place(device, x), place(device, np.array([3], "f")), place(device, np.zeros(40, "f"))
    scaled(device, at, by, to)
    device.copy(at, to, 160)
    scaled(device, at, by, to)
    np.testing.assert_array_equal(device.download(to, (40,), np.float32), 9 * x)
    assert device.counts["launch"] == 2 and device.counts["copy"] == 1


def test_a_captured_graph_reads_what_lies_there_when_it_is_replayed(device: EmulatedDevice) -> None:
    at, by, to = place(device, np.ones(40, "f")), place(device, np.array([3], "f")), place(device, np.zeros(40, "f"))
    host = device.pinned(4)
    module = device.compile(TEXT)
    with device.capture() as graph:
        device.copy(by, host.ptr, 4)
        device.launch(module, "scaled", (2,), (32,), [Operand(at, 160), Operand(by, 4), Operand(to, 160, True)])
    assert graph.names == ["copy", "launch"] and not device.download(to, (40,), np.float32).any()
    for value in (2.0, 5.0):
        host.bytes.view("f")[:] = value
        device.replay(graph)
        np.testing.assert_array_equal(device.download(to, (40,), np.float32), value)


def test_a_pinned_block_written_too_early_is_seen() -> None:
    device = EmulatedDevice(late=True)
    by, host = place(device, np.array([3], "f")), device.pinned(4)
    host.bytes.view("f")[:] = 1
    device.copy(by, host.ptr, 4)
    mark = device.mark()
    device.synchronize(mark)
    host.bytes.view("f")[:] = 2
    assert device.download(by, (1,), np.float32) == 1
    device.copy(by, host.ptr, 4)
    host.bytes.view("f")[:] = 3
    assert device.download(by, (1,), np.float32) == 3, "the copy came after the write that should have waited for it"


FORBIDDEN: dict[str, Callable[[EmulatedDevice], object]] = {
    "allocate": lambda d: d.allocate(4), "pinned": lambda d: d.pinned(4), "upload": lambda d: d.upload(0, np.zeros(1)),
    "download": lambda d: d.download(0, (1,), "f"), "compile": lambda d: d.compile(TEXT), "mark": lambda d: d.mark(),
    "prepare": lambda d: d.prepare(Gemm(1, 1, 1, "float32", 1, 1, 1)), "synchronize": lambda d: d.synchronize(),
    "replay": lambda d: d.replay(None),  # type: ignore[arg-type]
    "capture": lambda d: d.capture().__enter__(),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_a_capture_forbids(name: str, device: EmulatedDevice) -> None:
    with pytest.raises(Misuse, match=f"{name} while a graph is captured"), device.capture():
        FORBIDDEN[name](device)


def test_pointers_lie_inside_their_buffers(device: EmulatedDevice) -> None:
    at = place(device, np.zeros(40, "f"))
    with pytest.raises(Misuse, match=r"scaled, parameter 0: 160 bytes at .*\+4 reach past a buffer of 160"):
        scaled(device, at + 4, at, at)
    with pytest.raises(Misuse, match="copy: no buffer holds the address 0xc"):
        device.copy(at, 12, 4)
    with pytest.raises(Misuse, match="source and destination overlap"):
        device.copy(at + 4, at, 8)


def test_memory_given_back_is_not_touched(device: EmulatedDevice) -> None:
    memory = device.allocate(160)
    device.free(memory)
    with pytest.raises(Misuse, match="no buffer holds"):
        device.download(memory.ptr, (4,), "f")


def test_kernels_write_what_they_say(device: EmulatedDevice) -> None:
    x, y, module = place(device, np.zeros(40, "f")), place(device, np.zeros(40, "f")), device.compile(TEXT)
    for name, operands in (("beside", [Operand(y, 128, True)]), ("into", [Operand(x, 128), Operand(y, 128, True)])):
        with pytest.raises((Misuse, emulated.Fault), match="writes into what it only reads|writes beside its operands|outside its buffers"):
            device.launch(module, name, (1,), (32,), operands)
            device.synchronize()


def test_a_kernel_may_write_where_it_reads(device: EmulatedDevice) -> None:
    at, by = place(device, np.ones(40, "f")), place(device, np.array([3], "f"))
    scaled(device, at, by, at)
    np.testing.assert_array_equal(device.download(at, (40,), np.float32), 3)


def test_operands_keep_their_alignment(device: EmulatedDevice) -> None:
    text = 'extern "C" __global__ void f(float* x) { if (threadIdx.x == 0) *(float4*)x = make_float4(1, 2, 3, 4); }'
    at = place(device, np.zeros(40, "f"))
    device.launch(device.compile(text), "f", (1,), (32,), [Operand(at + 16, 16, True)])
    device.synchronize()
    with pytest.raises(emulated.Fault, match="not aligned"):
        device.launch(device.compile(text), "f", (1,), (32,), [Operand(at + 4, 16, True)])
        device.synchronize()


def test_products(device: EmulatedDevice) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(4, 3)).astype("f"), rng.normal(size=(5, 4)).astype("f")  # column by column: 3 x 4 and 4 x 5
    at, to, out, room = place(device, a), place(device, b), place(device, np.zeros((5, 3), "f")), device.allocate(1 << 10)
    device.gemm(device.prepare(Gemm(3, 5, 4, "float32", 3, 4, 3)), at, to, out, workspace=room.ptr)
    np.testing.assert_allclose(device.download(out, (5, 3), np.float32), b @ a, rtol=1e-6)
    with pytest.raises(Misuse, match="product, D: 60 bytes at"):
        device.gemm(device.prepare(Gemm(3, 5, 4, "float32", 3, 4, 3)), at, to, out + 4, workspace=room.ptr)
    with pytest.raises(Misuse, match="product: D overlaps B"):
        device.gemm(device.prepare(Gemm(3, 5, 4, "float32", 3, 4, 3)), at, to, to, workspace=room.ptr)


def test_dead_memory_is_nan(device: EmulatedDevice) -> None:
    at, by, to = place(device, np.ones(40, "f")), place(device, np.array([3], "f")), place(device, np.zeros(40, "f"))
    module = device.compile(TEXT)
    with device.capture() as graph:
        for _ in range(2):
            device.launch(module, "scaled", (2,), (32,), [Operand(at, 160), Operand(by, 4), Operand(to, 160, True)])
    graph.dead = {0: [(by, 4)]}
    device.replay(graph)
    assert np.isnan(device.download(to, (40,), np.float32)).all()


def test_a_call_is_no_part_of_another(device: EmulatedDevice) -> None:
    with pytest.raises(Misuse, match="a call inside a call"), device.call(), device.call():
        pass
