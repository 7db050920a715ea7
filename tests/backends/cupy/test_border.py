"""What a user of backend="cupy" meets, on the stand-in: what moves when, what waits, what comes back, what is said where it can't be."""
from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tracer
from backends.cupy import unavailable
from ir.errors import ArgumentError, MemoryLimitError, NotLowered, TraceError
from tests.backends.cupy import standin
from tracer import Variable, cuda, optimizers
from tracer import functions as F
from tracer.calls.shortcut import MISSED

Rng = np.random.default_rng


@pytest.fixture
def cupy() -> Iterator[Any]:
    with standin.installed() as module:
        yield module


def network(seed: int = 0) -> tuple[Any, list[Variable], Any, Any]:
    """The seed's network: predict, its parameters, data."""
    rng = Rng(seed)
    x = rng.random((100, 1))
    y = np.sin(2 * np.pi * x) + rng.random((100, 1))
    W1, b1 = Variable(0.01 * rng.normal(size=(1, 10)), name="W1"), Variable(np.zeros(10), name="b1")
    W2, b2 = Variable(0.01 * rng.normal(size=(10, 1)), name="W2"), Variable(np.zeros(1), name="b2")

    def predict(x: Any) -> Any:
        return F.linear(F.sigmoid(F.linear(x, W1, b1)), W2, b2)

    return predict, [W1, b1, W2, b2], x, y


def trained(backend: str, **options: Any) -> tuple[Any, Any, list[Variable], Any, Any]:
    predict, params, x, y = network()
    step = tracer.train_step(lambda x, y: F.mean_squared_error(y, predict(x)), optimizers.SGD(lr=0.2), params, backend=backend, **options)
    return step, predict, params, x, y


def test_the_seeds_step(cupy: Any) -> None:
    """Losses are those of the NumPy backend but for rounding; nothing waits for one, and the parameters go up once."""
    ours, _, params, x, y = trained("numpy")
    wanted = [float(ours(x, y)) for _ in range(30)]
    step, _, moved, x, y = trained("cupy", mode="calls")
    first = step(x, y)
    uploaded = cupy.uploaded
    losses = [first, *[step(x, y) for _ in range(29)]]
    assert cupy.waits == 0
    assert all(type(loss) is cupy.ndarray and loss.shape == () for loss in losses)
    np.testing.assert_allclose([float(loss) for loss in losses], wanted, rtol=1e-13)
    assert cupy.uploaded - uploaded == 29 * (x.nbytes + y.nbytes)
    for a, b in zip(moved, params):
        assert type(a.data) is cupy.ndarray
        np.testing.assert_allclose(a.data.get(), b.data, rtol=1e-12)


def test_run_and_fit_give_numpys_losses(cupy: Any) -> None:
    step, _, _, x, y = trained("cupy")
    ours, _, _, x, y = trained("numpy")
    for got, wanted in ((step.run(x, y, steps=7), ours.run(x, y, steps=7)), (step.fit([(x, y)] * 3), ours.fit([(x, y)] * 3))):
        assert type(got) is np.ndarray
        np.testing.assert_allclose(got, wanted, rtol=1e-13)


def test_arrays_on_the_device_are_used_in_place(cupy: Any) -> None:
    step, _, _, x, y = trained("cupy")
    there = cupy.array(x), cupy.array(y)
    step(*there)
    uploaded = cupy.uploaded
    step(*there)
    assert cupy.uploaded == uploaded
    assert "uploads" not in str(step.explain()) and "plain calls" in str(step.explain())
    step(x, y)
    assert f"uploads {x.nbytes + y.nbytes:,} bytes at each call" in str(step.explain())


def test_the_plot(cupy: Any) -> None:
    """A prediction with what was trained is on the GPU; `to_cpu` is the one line more."""
    step, predict, params, x, y = trained("cupy")
    step(x, y)
    t = np.arange(0, 1, 0.01)[:, np.newaxis]
    for found in (predict(t), tracer.compile(predict, backend="cupy")(t)):
        assert type(found.data) is cupy.ndarray
        found.to_cpu()
        assert type(found.data) is np.ndarray
        W1, b1, W2, b2 = [v.data.get() for v in params]
        np.testing.assert_allclose(found.data, (np.tanh((t @ W1 + b1) / 2) / 2 + 0.5) @ W2 + b2, rtol=1e-12)


def test_define_by_run_on_the_device(cupy: Any) -> None:
    """Operations on Variables whose data was moved run there, gradients too."""

    def losses(move: bool) -> list[float]:
        predict, params, x, y = network()
        for v in params if move else ():
            v.to_gpu()
        found = []
        for _ in range(3):
            loss = F.mean_squared_error(y, predict(x))
            for v in params:
                v.cleargrad()
            loss.backward()
            assert all((type(v.grad.data) is cupy.ndarray) == move for v in params)
            for v in params:
                v.data = v.data - v.grad.data * 0.2
            found.append(float(cuda.as_numpy(loss)))
        return found

    np.testing.assert_allclose(losses(move=True), losses(move=False), rtol=1e-13)


def test_moving(cupy: Any) -> None:
    v = Variable(np.arange(3.0))
    v.to_cpu()
    assert type(v.data) is np.ndarray
    v.to_gpu()
    held = v.data
    v.to_gpu()
    assert v.data is held and type(held) is cupy.ndarray
    assert cuda.get_array_module(held) is cupy and cuda.get_array_module(np.ones(2)) is np
    np.testing.assert_array_equal(cuda.as_numpy(v), np.arange(3.0))
    assert cuda.as_cupy(v) is held and type(cuda.as_cupy(np.ones(2))) is cupy.ndarray
    (v * v).backward()
    v.to_cpu()
    np.testing.assert_array_equal(v.data, np.arange(3.0))
    assert repr(v) == "variable([0. 1. 2.])"


def test_state_and_params_can_be_read_and_set(cupy: Any) -> None:
    params = {"w": np.ones((2, 3)), "v": cupy.array(np.ones(3))}
    step = tracer.train_step(lambda p, x: ((x @ p["w"] * p["v"]) ** 2).sum(), optimizers.Adam(lr=0.1), params, backend="cupy")
    plain = {"w": np.ones((2, 3)), "v": np.ones(3)}
    ours = tracer.train_step(lambda p, x: ((x @ p["w"] * p["v"]) ** 2).sum(), optimizers.Adam(lr=0.1), plain)
    x = Rng(1).normal(size=(4, 2))
    for _ in range(3):
        np.testing.assert_allclose(float(step(x)), ours(x), rtol=1e-12)
    np.testing.assert_allclose(cuda.as_numpy(step.params["w"]), ours.params["w"], rtol=1e-12)
    np.testing.assert_allclose(cuda.as_numpy(step.state["m"]["v"]), ours.state["m"]["v"], rtol=1e-12)
    step.params, step.state = ours.params, ours.state
    step.iteration = ours.iteration
    np.testing.assert_allclose(float(step(x)), ours(x), rtol=1e-12)
    assert type(params["w"]) is np.ndarray and (params["w"] == 1).all()


def test_a_loss_that_is_not_finite(cupy: Any) -> None:
    """`on_nan="raise"` waits, and nothing is updated; aux comes back beside the loss."""
    w = tracer.Parameter(np.ones(3))
    step = tracer.train_step(
        lambda x: (F.sum(w * x), {"w": w * 2}), optimizers.SGD(lr=0.1), [w], backend="cupy", has_aux=True, on_nan="raise"
    )
    loss, aux = step(np.ones(3))
    assert float(loss) == 3.0 and aux["w"].get().tolist() == [2.0, 2.0, 2.0] and cupy.waits
    held = w.data.get()
    with pytest.raises(tracer.NotFiniteError, match="iteration 1"):
        step(np.array([1.0, np.nan, 1.0]))
    assert (w.data.get() == held).all() and step.iteration == 1


def test_numbers_too_large_are_numpys_errors(cupy: Any) -> None:
    fast = tracer.compile(lambda x, k: x + k, backend="cupy")
    x = np.ones(3, np.int8)
    assert fast(x, 100).get().tolist() == [101] * 3
    with pytest.raises(OverflowError):
        fast(x, 300)


def test_results(cupy: Any) -> None:
    """Arrays and numbers are the device's, each the caller's own; trees, truths and Python numbers are what they are."""
    fast = tracer.compile(lambda x, k: {"sum": x.sum(), "twice": x * 2, "all": (x > 0).all(), "k": k + 1, "same": x}, backend="cupy")
    x = cupy.array(np.arange(4.0))
    found, again = fast(x, 2), fast(x, 3)
    assert found["k"] == 3 and again["k"] == 4
    assert float(found["sum"]) == 6.0 and found["sum"].shape == ()
    assert found["same"] is not x and found["same"].data.ptr != x.data.ptr
    assert found["twice"].data.ptr != again["twice"].data.ptr and found["sum"].data.ptr != again["sum"].data.ptr
    assert bool(found["all"]) is False


def test_writes_into_arguments(cupy: Any) -> None:
    def clear(a: Any) -> Any:
        a[0] = 5.0
        return a.sum()

    fast = tracer.compile(clear, backend="cupy")
    host, device = np.zeros(3), cupy.array(np.zeros(3))
    assert float(fast(host)) == 5.0 and host[0] == 5.0
    assert float(fast(device)) == 5.0 and device.get()[0] == 5.0
    both = tracer.compile(lambda a, b: clear(a) + b.sum(), backend="cupy")
    a = cupy.array(np.ones(3))
    assert float(both(a, a)) == 14.0  # the same array twice: what is written into one is read in the other
    assert float(both(cupy.array(np.ones(3)), cupy.array(np.ones(3)))) == 10.0


def test_captured_arrays(cupy: Any) -> None:
    """A table on the device is read in place; one on the host is uploaded at each call, as it is then."""
    device, host = cupy.array(np.arange(3.0)), np.arange(3.0)
    there, here = tracer.compile(lambda x: x * device, backend="cupy"), tracer.compile(lambda x: x * host, backend="cupy")
    for _ in range(2):
        np.testing.assert_array_equal(there(np.ones(3)).get(), device.get())
        np.testing.assert_array_equal(here(np.ones(3)).get(), host)
        device[0], host[0] = 7.0, 8.0
    with pytest.raises(TraceError, match="no name, attribute or item leads to"):
        tracer.compile(lambda x: x * cupy.array(host), backend="cupy")(np.ones(3))


def test_layouts(cupy: Any) -> None:
    fast = tracer.compile(lambda x: (x + 1.0).sum(0), backend="cupy")
    wide = Rng(0).normal(size=(6, 8))
    for x in (wide, wide.T, wide[::2, ::3], np.asfortranarray(wide), wide.astype(">f8")):
        np.testing.assert_allclose(fast(x).get(), (x + 1.0).sum(0), rtol=1e-14)
    there = cupy.array(wide)
    for x in (there, there.T, there[::2, ::3]):
        np.testing.assert_allclose(fast(x).get(), (x.get() + 1.0).sum(0), rtol=1e-14)


def test_names_of_the_users_that_programs_use_too(cupy: Any) -> None:
    def names(cp: Any) -> Any:
        given = cp * 2
        set_at = given + 1
        arena = np.tanh(set_at)
        return arena[np.array([0, 0, 2])] + set_at

    x = np.arange(3.0)
    np.testing.assert_allclose(tracer.compile(names, backend="cupy")(x).get(), names(x), rtol=1e-14)


def test_streams(cupy: Any) -> None:
    """A run on another stream waits for what the one before still does in the same memory."""
    fast = tracer.compile(lambda x: (x * 2 + 1).sum(), backend="cupy")
    fast(np.ones(3))
    fast(np.ones(3))
    other = cupy.stream = standin.Stream(7)
    fast(np.ones(3))
    fast(np.ones(3))
    assert other.waited == [("event", 0)]


def test_another_gpu_is_refused(cupy: Any) -> None:
    fast = tracer.compile(lambda x: x * 2, backend="cupy")
    fast(np.ones(3))
    cupy.device = 1
    with pytest.raises(ArgumentError, match="on GPU 0 and is called while GPU 1"):
        fast(np.ones(3))


def test_what_is_refused(cupy: Any) -> None:
    v = Variable(np.ones(3))
    v.to_gpu()
    for fn, why in (
        (lambda: tracer.compile(lambda x: x * v.data)(np.ones(3)), "given to what runs on the host"),
        (lambda: tracer.compile(lambda x: x * 2)(v.data), "given to what runs on the host"),
        (lambda: tracer.grad(lambda x: (x * 2).sum())(v.data), "given to what runs on the host"),
        (lambda: tracer.compile(lambda x: x, backend="cupy", exact=True), "other last bits"),
        (lambda: tracer.compile(lambda x: x, backend="cupy", check=True), "check"),
        (lambda: tracer.compile(lambda x: np.sort(x), backend="cupy", mode="kernels")(np.ones(3)), "no kernel is generated"),
        (lambda: tracer.compile(lambda x: x, backend="cupy", mode="fast"), "no mode 'fast'"),
        (lambda: tracer.compile(lambda x: x, mode="calls"), "no mode 'calls'"),
        (lambda: tracer.compile(lambda x: x ** -x, backend="cupy")(np.arange(3)), "may be negative"),
    ):
        with pytest.raises((ArgumentError, NotLowered), match=why) as raised:
            fn()
        assert raised.value.mend


def deep(x: Any) -> Any:
    for _ in range(30):
        x = np.tanh(x)
    return np.sum(x)


def test_out_of_memory() -> None:
    """The bill is checked before anything is allocated: what it is, what is free, and what a limit could reach."""
    x = np.linspace(-1, 1, 1000)
    fast = tracer.compile(tracer.grad(deep), backend="cupy")
    consts = sum([b.bytes for b in fast.plan(x).buffers if b.kind == "const"])
    bill = fast.plan(x).peak_bytes + consts
    limit = bill // 2 - consts
    for free, said in ((bill // 2, f"compile with memory_limit={limit}: values are computed again"), (9000, "the least found is")):
        with standin.installed(free=free) as cupy, pytest.raises(MemoryLimitError, match=said) as raised:
            fast(x)
        error = raised.value
        assert f"needs {bill:,} bytes" in str(error) and f"{free:,} are free" in str(error) and cupy.uploaded == 0
        assert error.floor_bytes <= error.smallest_bytes < bill
    with standin.installed(free=bill // 2):
        tight = tracer.compile(tracer.grad(deep), backend="cupy", memory_limit=limit)
        np.testing.assert_allclose(tight(x).get(), tracer.grad(deep)(x), rtol=1e-12)


def test_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is planned can be read where nothing can run; running says what is missing, each time with what to install."""
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if it were not installed
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    unavailable.forget()
    step, _, params, x, y = trained("cupy")
    assert "cp.tanh" in step.source(x, y) and step.plan(x, y).peak_bytes and str(step.graph(x, y)) and step.plan(x, y).to_dot()
    assert "plain calls" in str(step.explain())
    with pytest.raises(tracer.BackendUnavailable, match="CuPy is not installed") as raised:
        step(x, y)
    assert "gradplan[cuda13]" in str(raised.value)
    assert all(type(v.data) is np.ndarray for v in params) and step.iteration == 0
    with pytest.raises(tracer.BackendUnavailable):
        Variable(np.ones(2)).to_gpu()
    step, _, _, x, y = trained("cupy", mode="kernels")
    assert "__global__" in step.source(x, y) and "one graph of" in str(step.explain())
    with pytest.raises(tracer.BackendUnavailable, match="CuPy is not installed"):
        step(x, y)


@pytest.mark.parametrize("what", ["driver", "device", "none visible", "nvrtc", "cublas"])
def test_what_else_may_be_missing(what: str) -> None:
    def fails(error: Exception) -> Any:
        def run(*_: Any) -> Any:
            raise error

        return run

    step, _, _, x, y = trained("cupy")
    with standin.installed() as cupy:
        if what == "driver":
            cupy.cuda.runtime.getDeviceCount = fails(standin.CUDARuntimeError(35, "cudaErrorInsufficientDriver"))
        elif what == "device":
            cupy.cuda.runtime.getDeviceCount = fails(standin.CUDARuntimeError(100, "cudaErrorNoDevice"))
        elif what == "none visible":
            cupy.cuda.runtime.getDeviceCount = lambda: 0
        elif what == "nvrtc":
            cupy.cuda.nvrtc = types.SimpleNamespace(getVersion=fails(RuntimeError("libnvrtc.so.13 not found")))
        else:
            del cupy.cuda.cublas
        said = {"driver": "no usable NVIDIA driver", "nvrtc": "NVRTC", "cublas": "cublasLt"}.get(what, "sees no GPU")
        with pytest.raises(tracer.BackendUnavailable, match=said) as raised:
            step(x, y)
        assert raised.value.mend


def test_steps_share_parameters(cupy: Any) -> None:
    """Two steps over the same Variables meet in the same arrays."""
    predict, params, x, y = network()

    def loss(x: Any, y: Any) -> Any:
        return F.mean_squared_error(y, predict(x))

    one, two = [tracer.train_step(loss, optimizers.SGD(lr=lr), params, backend="cupy") for lr in (0.2, 0.1)]
    one(x, y)
    held = [v.data for v in params]
    two(x, y)
    assert all(v.data is a for v, a in zip(params, held))
    params[1].data = np.zeros(10)  # rebound: it goes up again
    two(x, y)
    assert type(params[1].data) is cupy.ndarray and params[1].data is not held[1]


def test_the_short_way_is_open_to_the_devices_arrays(cupy: Any) -> None:
    fast = tracer.compile(lambda x, k: x * k, backend="cupy")
    there = cupy.array(np.arange(3.0))
    fast(there, 2.0)
    assert fast._last is not None and fast._last.call is not None
    np.testing.assert_array_equal(fast._last.call((there, 3.0)).get(), [0.0, 3.0, 6.0])
    assert fast._last.call((np.arange(3.0), 3.0)) is MISSED and fast._last.call((there[::-1], 3.0)) is MISSED
