"""CudaDevice on the fake driver; run by `test_cuda_device.py` in a process of its own."""
from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from backends.cupy.cuda_device import CudaDevice
from backends.cupy.device import Device, Gemm, Operand
from backends.cupy.graph_run import GraphInstance
from ir.errors import Error, MemoryLimitError
from tests.backends.cupy import network
from tests.backends.cupy.fake_cuda import Fake, PlainProducts, build_for_the_cpu, host_array
from tests.backends.cupy.programs import SMALL
from tests.backends.cupy.test_graph_run import RATES, Faulty, resident, train
from tests.backends.cupy.test_plan_program import made, run

TEXT = """
extern "C" __global__ void scaled(const float* x, const float* by, float* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < 40) y[i] = x[i] * by[0];
}
extern "C" __global__ void far(float* y) { if (threadIdx.x == 7) y[1024] = 0; }
"""
FAKE = Fake()


@pytest.fixture(scope="module", autouse=True)
def what_was_imported_is_not_looked_at_again() -> None:
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    FAKE.reset()
    names = ("outstanding", "execs", "graphs", "modules")
    before = [FAKE.count(name) for name in names]
    yield
    lost = bool(FAKE.fault())  # after a fault the driver takes nothing back
    FAKE.reset()
    gc.collect()
    assert lost or [FAKE.count(name) for name in names] == before, "something was not given back"


@pytest.fixture(params=["late", "at once", "reversed, from the start of pages"])
def device(request: pytest.FixtureRequest) -> CudaDevice:
    FAKE.set("eager", request.param == "at once")
    FAKE.set("reversed", request.param.startswith("reversed"))
    FAKE.set("at_start", request.param.startswith("reversed"))
    return CudaDevice(array=host_array, build=build_for_the_cpu, products=PlainProducts)


@pytest.fixture
def late() -> CudaDevice:
    for name in ("eager", "reversed", "at_start"):
        FAKE.set(name, 0)
    return CudaDevice(array=host_array, build=build_for_the_cpu, products=PlainProducts)


def place(device: Device, values: np.ndarray) -> Any:
    memory = device.allocate(values.nbytes)
    device.upload(memory.ptr, values)
    return memory


def scaled(device: Device, module: Any, x: Any, by: Any, y: Any) -> None:
    device.launch(module, "scaled", (2,), (32,), [Operand(x.ptr, 160), Operand(by.ptr, 4), Operand(y.ptr, 160, True)])


def test_work_runs_in_order(device: CudaDevice) -> None:
    x = np.arange(40, dtype="f")
    with device.call():
        at, by, to = place(device, x), place(device, np.array([3], "f")), place(device, np.zeros(40, "f"))
        module = device.compile(TEXT)
        scaled(device, module, at, by, to)
        device.copy(at.ptr, to.ptr, 160)
        scaled(device, module, at, by, to)
        np.testing.assert_array_equal(device.download(to.ptr, (40,), np.float32), 9 * x)
        np.testing.assert_array_equal(device.view(to, (4, 10), np.float32), 9 * x.reshape(4, 10))
        np.testing.assert_array_equal(device.view(to, (10, 4), np.float32, (4, 40)), 9 * x.reshape(4, 10).T)
    assert device.capability == (9, 0) and FAKE.count("nonblocking") > 0


def test_capture_and_replay(device: CudaDevice) -> None:
    with device.call():
        at, by, to = place(device, np.arange(40, dtype="f")), place(device, np.array([3], "f")), place(device, np.zeros(40, "f"))
        host, module = device.pinned(4), device.compile(TEXT)
        host.bytes.view("f")[:] = 7
        with device.capture() as graph:
            device.copy(by.ptr, host.ptr, 4)
            scaled(device, module, at, by, to)
        assert FAKE.nodes(graph) == ["copy", "launch"]
        assert not device.download(to.ptr, (40,), np.float32).any(), "nothing ran while capturing"
        mark = None
        for value in (2.0, 5.0, -1.0):
            host.bytes.view("f")[:] = value
            device.replay(graph)
            mark = device.mark(mark)
            device.synchronize(mark)
            np.testing.assert_array_equal(device.download(to.ptr, (40,), np.float32), value * np.arange(40, dtype="f"))


def test_a_pinned_block_written_too_early_is_seen(late: CudaDevice) -> None:
    with late.call():
        by, host = place(late, np.array([3], "f")), late.pinned(4)
        with late.capture() as graph:
            late.copy(by.ptr, host.ptr, 4)
        host.bytes.view("f")[:] = 1
        late.replay(graph)
        host.bytes.view("f")[:] = 2
        assert late.download(by.ptr, (1,), np.float32) == 2, "the fake reads pinned memory when the copy runs, as a GPU does"


FORBIDDEN: dict[str, Callable[[CudaDevice, Any], object]] = {
    "cuMemAlloc": lambda d, p: d.allocate(4),
    "cuMemHostAlloc": lambda d, p: d.pinned(4),
    "cuMemcpyAsync": lambda d, p: d.upload(p, np.zeros(1)),
    "cuModuleLoadData": lambda d, p: d.compile(TEXT),
    "cuEventRecord": lambda d, p: d.mark(),
    "cuStreamSynchronize": lambda d, p: d.synchronize(),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_a_capture_forbids(name: str, device: CudaDevice) -> None:
    with device.call():
        memory = place(device, np.zeros(40, "f"))
        with pytest.raises(Error, match=f"{name} failed: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"), device.capture():
            FORBIDDEN[name](device, memory.ptr)
        with device.capture() as graph:  # afterwards all is as it was
            device.copy(memory.ptr, memory.ptr + 80, 80)
        device.replay(graph)
        device.synchronize()


def test_an_error_swallowed_while_capturing_still_spoils_the_graph(device: CudaDevice) -> None:
    with device.call(), pytest.raises(Error, match="cuStreamEndCapture failed: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"), \
            device.capture(), pytest.raises(Error):
        device.allocate(4)


def test_memory_that_dies_while_capturing_is_freed_afterwards(device: CudaDevice) -> None:
    with device.call():
        kept, dying = place(device, np.zeros(40, "f")), place(device, np.zeros(40, "f"))
        before = FAKE.count("outstanding")
        with device.capture() as graph:
            del dying
            device.copy(kept.ptr, kept.ptr + 80, 80)
        other = device.allocate(16)
        del other
        assert graph.nodes == 1 and FAKE.count("outstanding") == before - 160


def test_products(device: CudaDevice) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(4, 3)).astype("f"), rng.normal(size=(5, 4)).astype("f")  # column by column: 3 x 4 and 4 x 5
    with device.call():
        at, to, out, room = place(device, a), place(device, b), place(device, np.zeros((5, 3), "f")), device.allocate(256)
        prepared = device.prepare(Gemm(3, 5, 4, "float32", 3, 4, 3))
        with device.capture() as graph:
            device.gemm(prepared, at.ptr, to.ptr, out.ptr, workspace=room.ptr)
        device.replay(graph)
        np.testing.assert_allclose(device.download(out.ptr, (5, 3), np.float32), b @ a, rtol=1e-6)


@pytest.mark.parametrize("rates", [RATES, RATES[:1], RATES[:2]])
def test_a_training_step_is_one_graph(device: CudaDevice, rates: list[float]) -> None:
    names = ("cuStreamBeginCapture", "cuGraphLaunch", "cuModuleLoadData")
    before = [FAKE.count(name) for name in names]
    instance = train(device, network.program(move=True), rates)
    assert [FAKE.count(name) - n for name, n in zip(names, before)][:2] == [len(rates) > 1, len(rates) - 1]
    if len(rates) > 1:
        assert FAKE.nodes(instance._graphs[False][1]) == ["copy", "launch", "copy", *["launch"] * 8]


@pytest.mark.parametrize("name", SMALL)
def test_workloads_as_one_graph(late: CudaDevice, name: str) -> None:
    run(late, *made(name))


def test_many_steps_wait_for_nobody(device: CudaDevice) -> None:
    x, t, params = network.data()
    states, wide = resident(device, params), [p.astype(float) for p in params]
    instance = GraphInstance(network.program(), device)
    waits = FAKE.count("cuStreamSynchronize") + FAKE.count("cuEventSynchronize")
    losses, = instance.run_many([0.5, x, t, *states], 20)
    assert FAKE.count("cuStreamSynchronize") + FAKE.count("cuEventSynchronize") == waits
    with device.call():
        device.synchronize()
    np.testing.assert_allclose(losses, [network.by_numpy(x.astype(float), t.astype(float), wide, 0.5) for _ in range(20)], rtol=1e-5)


@pytest.mark.parametrize(("fault", "said"), [
    ("a pinned block written too early", "Not equal|Mismatch"), ("a stale scalar", "Not equal|Mismatch"),
    ("an allocation while capturing", "cuMemAlloc failed: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"),
    ("a wait while capturing", "cuStreamSynchronize failed: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"),
])
def test_planted_faults_of_a_runner_are_caught(fault: str, said: str, late: CudaDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Faulty, "fault", fault)
    with pytest.raises((AssertionError, Error), match=said):
        train(late, network.program(), [0.5, 0.5, 0.5, 0.1, 2.0], runner=Faulty)


def test_a_write_past_a_buffer_is_raised_where_somebody_waits(late: CudaDevice) -> None:
    text = network.TEXT.replace("b2[i] -=", "b2[i + 1024] -=")
    with pytest.raises(Error, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
        train(late, network.program(text=text), RATES)
    assert "touches memory outside its buffers" in FAKE.fault()


def user_stream(device: CudaDevice) -> Any:
    device.checked("cuCtxPushCurrent", device._context)
    stream = device.checked("cuStreamCreate", 1)
    device.checked("cuCtxPopCurrent")
    return stream


@pytest.mark.parametrize("ordered", [True, False])
def test_work_is_ordered_with_the_users_stream(late: CudaDevice, ordered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = user_stream(late)
    late._user_stream = lambda: stream
    with late.call():
        mine, theirs, out = (place(late, np.zeros(1, "f")) for _ in range(3))
        host = late.pinned(4)
        late.synchronize()
    host.bytes.view("f")[:] = 5
    if not ordered:
        monkeypatch.setattr(late, "_follow", lambda *args: None)
    late.checked("cuCtxPushCurrent", late._context)
    late.checked("cuMemcpyAsync", theirs.ptr, host.ptr, 4, stream)  # the user writes, we read, the user reads
    with late.call():
        late.copy(mine.ptr, theirs.ptr, 4)
    late.checked("cuMemcpyAsync", out.ptr, mine.ptr, 4, stream)
    late.checked("cuStreamSynchronize", stream)
    late.checked("cuStreamDestroy", stream)
    late.checked("cuCtxPopCurrent")
    assert host_array(out, (1,), np.float32)[0] == (5 if ordered else 0)
    monkeypatch.undo()
    late._user_stream = lambda: 0


def test_a_fault_in_a_kernel_is_raised_where_somebody_waits(late: CudaDevice) -> None:
    with pytest.raises(Error, match="cuStreamSynchronize failed: CUDA_ERROR_ILLEGAL_ADDRESS"), late.call():
        memory, module = late.allocate(160), late.compile(TEXT)
        late.launch(module, "far", (1,), (32,), [Operand(memory.ptr, 160, True)])
        late.synchronize()
    assert FAKE.fault().startswith("line 0, block 0, thread 7: touches memory outside its buffers")


def test_kernels_that_are_not_there(device: CudaDevice) -> None:
    with device.call():
        module = device.compile(TEXT)
        with pytest.raises(Error, match="cuModuleGetFunction failed: CUDA_ERROR_NOT_FOUND"):
            device.launch(module, "other", (1,), (32,), [])


def test_memory_that_is_not_there(device: CudaDevice) -> None:
    with device.call():
        free = device.available()
        with pytest.raises(MemoryLimitError, match="the GPU has no memory left"):
            device.allocate(free + 1)
        assert device.available() == free


def test_memory_that_is_handed_in() -> None:
    taken = []

    class Block:
        def __init__(self, nbytes: int) -> None:
            self.bytes = np.zeros(nbytes, np.uint8)
            self.ptr, self.nbytes = self.bytes.ctypes.data, nbytes
            taken.append(nbytes)

    device = CudaDevice(take=Block, build=build_for_the_cpu)
    with device.call():
        assert device.allocate(24).nbytes == 24 and taken == [24]


def test_nothing_is_current_outside_a_call(device: CudaDevice) -> None:
    with pytest.raises(Error, match="cuMemAlloc failed: CUDA_ERROR_INVALID_CONTEXT"):
        device.allocate(4)
    with device.call(), pytest.raises(Error, match="a call inside a call"), device.call():
        pass
    with pytest.raises(ZeroDivisionError), device.call():
        print(1 // 0)
    assert not int(device.checked("cuCtxGetCurrent"))


def test_an_upload_from_pinned_memory_is_over_when_it_returns(late: CudaDevice) -> None:
    with late.call():
        host, memory = late.pinned(4), late.allocate(4)
        host.bytes.view("f")[:] = 1
        late.upload(memory.ptr, host.bytes)
        host.bytes.view("f")[:] = 2
        assert late.download(memory.ptr, (1,), np.float32) == 1


def test_another_gpu() -> None:
    FAKE.set("major", 8)
    device = CudaDevice(1, build=build_for_the_cpu)
    FAKE.set("major", 9)
    assert device.capability == (8, 0)
    with pytest.raises(Error, match="cuDeviceGet failed"):
        CudaDevice(2)
