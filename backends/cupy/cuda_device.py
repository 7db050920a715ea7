"""The real device: `Device` on CUDA's driver (`cuda.bindings.driver`), one object a GPU.

In: an ordinal, and from the border to CuPy (`array.py`) what only it knows: how to take memory, which stream the user is on, how to make
an array over memory. Out: the calls of `device.py`. All of it happens inside `call()`, on a stream of our own that does not block others:
events put it behind the user's current stream and put that behind ours. The GPU's context is the one CuPy uses and is current inside
`call()` only. Arguments of a launch are packed into a block that the driver reads before it returns.
"""
from __future__ import annotations

import ctypes
import importlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from weakref import finalize

import numpy as np

from backends.cupy import nvrtc
from backends.cupy.cublaslt import Products
from backends.cupy.device import Gemm, Memory, Operand
from ir.errors import BackendUnavailable, Error, MemoryLimitError

INSTALL = "pip install 'gradplan[cuda13]' (for a CUDA 12 driver: 'gradplan[cuda12]'), or pip install cuda-bindings"
DRIVER = "install NVIDIA's driver, at least of the CUDA version that the packages are made for (nvidia-smi shows it)"
MAJOR, MINOR = 75, 76  # compute capability, as attributes of a device


def _at_end(owner: object, device: CudaDevice, name: str, handle: Any) -> None:
    """Free a handle with its owner; when the interpreter ends, the driver frees all by itself."""
    finalize(owner, device.give_back, name, handle).atexit = False


class OwnMemory:
    """Memory from the driver itself, given back with the last reference."""

    def __init__(self, device: CudaDevice, nbytes: int) -> None:
        self.nbytes = nbytes
        self.ptr = int(device.checked("cuMemAlloc", max(nbytes, 1)))
        _at_end(self, device, "cuMemFree", self.ptr)


class PinnedMemory:
    """Host memory that stays where it is, so that copies may read it later."""

    def __init__(self, device: CudaDevice, nbytes: int) -> None:
        self.nbytes = nbytes
        self.ptr = int(device.checked("cuMemHostAlloc", max(nbytes, 1), 0))
        self.bytes = np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(self.ptr))
        _at_end(self, device, "cuMemFreeHost", self.ptr)


class Graph:
    """A captured graph, ready to be launched."""

    def __init__(self, device: CudaDevice) -> None:
        self._device = device
        self.exec: Any = None
        self.nodes = 0

    def take(self, captured: Any) -> None:
        _, self.nodes = self._device.checked("cuGraphGetNodes", captured, 0)
        self.exec = self._device.checked("cuGraphInstantiate", captured, 0)
        self._device.checked("cuGraphDestroy", captured)
        _at_end(self, self._device, "cuGraphExecDestroy", self.exec)


class Mark:
    """A place in a stream that others can wait for; without timing."""

    def __init__(self, device: CudaDevice) -> None:
        self.event = device.checked("cuEventCreate", 2)
        _at_end(self, device, "cuEventDestroy", self.event)


class Packed:
    """Addresses as a launch wants them: the address of an array of pointers to the arguments. The driver reads both before it returns."""

    def __init__(self, values: Sequence[int]) -> None:
        self._values = np.array([*values, 0], np.uint64)
        first = self._values.__array_interface__["data"][0]
        self._pointers = first + 8 * np.arange(len(self._values), dtype=np.uint64)
        self.address: int = self._pointers.__array_interface__["data"][0]


class Module:
    """Loaded machine code; its functions are looked up once each."""

    def __init__(self, device: CudaDevice, image: bytes) -> None:
        self._device, self.handle = device, device.checked("cuModuleLoadData", image)
        self.functions: dict[str, Any] = {}
        _at_end(self, device, "cuModuleUnload", self.handle)

    def function(self, name: str) -> Any:
        found = self.functions.get(name)
        if found is None:
            found = self.functions[name] = self._device.checked("cuModuleGetFunction", self.handle, name.encode())
        return found


class CudaDevice:
    """See the module. `take(nbytes)`: memory, the driver's own where None. `user_stream()`: a stream's handle. `array(memory, shape, dtype,
    strides)`: an array of the user's. `build(text, arch, fused)`: machine code. `products`: see `cublaslt.py`.
    `spare()`: bytes that `take` has besides those that are free on the GPU.
    """

    def __init__(
        self,
        ordinal: int = 0,
        take: Callable[[int], Memory] | None = None,
        user_stream: Callable[[], int] = lambda: 0,
        array: Callable[..., Any] | None = None,
        build: Callable[[str, str, bool], bytes] | None = None,
        products: Callable[[CudaDevice], Any] = Products,
        spare: Callable[[], int] = lambda: 0,
    ) -> None:
        self.driver = _driver()
        self._handle = self.checked("cuDeviceGet", ordinal)
        self._context = self.checked("cuDevicePrimaryCtxRetain", self._handle)
        attribute = self.driver.CUdevice_attribute
        self.capability = tuple([int(self.checked("cuDeviceGetAttribute", attribute(what), self._handle)) for what in (MAJOR, MINOR)])
        self._take = take or partial(OwnMemory, self)
        self._user_stream, self._array, self._spare = user_stream, array, spare
        self._build = build or (lambda text, arch, fused: nvrtc.compile_module(text, arch, fused).image)
        self._make_products = products
        self._products: Any = None
        self._lock = threading.RLock()
        self._inside = self._capturing = False
        self._to_free: list[tuple[str, Any]] = []
        with self._current():
            self.stream = self.checked("cuStreamCreate", 1)
            self._before, self._after = Mark(self), Mark(self)

    # one call after another

    def checked(self, name: str, *args: Any) -> Any:
        """What a call of the driver gives beside its status."""
        return _checked(self.driver, name, *args)

    @contextmanager
    def _current(self) -> Iterator[None]:
        self.checked("cuCtxPushCurrent", self._context)
        try:
            yield
        finally:
            self.checked("cuCtxPopCurrent")

    def give_back(self, name: str, handle: Any) -> None:
        """Free something of the driver's, as finalizers do: from whatever thread, and whenever, so also while a graph is captured, which to
        free would spoil: then it waits. After a fault the driver frees nothing: all is lost.
        """
        self._to_free.append((name, handle))
        if not self._capturing:
            with suppress(Error), self._current():
                while self._to_free:
                    self.checked(*self._to_free.pop())

    @contextmanager
    def call(self) -> Iterator[None]:
        with self._lock:
            if self._inside:
                raise Error("a call inside a call", op="cupy")
            self.checked("cuCtxPushCurrent", self._context)
            self._inside = True
            try:
                user = self._user_stream()
                self._follow(user, self._before, self.stream)
                try:
                    yield
                except BaseException:
                    with suppress(Error):  # what went wrong first is what is raised
                        self._follow(self.stream, self._after, user)
                    raise
                self._follow(self.stream, self._after, user)
            finally:
                self._inside = False
                self.checked("cuCtxPopCurrent")

    def _follow(self, first: Any, mark: Mark, then: Any) -> None:
        """What one stream is given from now on runs after what another has been given so far."""
        self.checked("cuEventRecord", mark.event, first)
        self.checked("cuStreamWaitEvent", then, mark.event, 0)

    # memory

    def allocate(self, nbytes: int) -> Memory:
        return self._take(nbytes)

    def pinned(self, nbytes: int) -> PinnedMemory:
        return PinnedMemory(self, nbytes)

    def available(self) -> int:
        return int(self.checked("cuMemGetInfo")[0]) + self._spare()

    def upload(self, ptr: int, host: np.ndarray) -> None:
        assert host.flags.c_contiguous, "an upload takes C-ordered arrays"
        if not host.nbytes:
            return
        source = host.__array_interface__["data"][0]
        self.copy(ptr, source, host.nbytes)
        if self._is_pinned(source):  # the driver reads such memory later, pageable memory before it returns
            self.synchronize()

    def _is_pinned(self, ptr: int) -> bool:
        what = self.driver.CUpointer_attribute.CU_POINTER_ATTRIBUTE_MEMORY_TYPE
        return self.driver.cuPointerGetAttribute(what, ptr)[0] == 0

    def download(self, ptr: int, shape: Sequence[int], dtype: Any) -> np.ndarray:
        host = np.empty(tuple(shape), dtype)
        self.copy(host.__array_interface__["data"][0], ptr, host.nbytes)
        self.synchronize()
        return host

    def copy(self, dst: int, src: int, nbytes: int) -> None:
        self.checked("cuMemcpyAsync", dst, src, nbytes, self.stream)

    def address(self, array: Any) -> int | None:
        interface = getattr(array, "__cuda_array_interface__", None)
        return None if interface is None else int(interface["data"][0])

    def view(self, memory: Memory, shape: Sequence[int], dtype: Any, strides: Sequence[int] | None = None) -> Any:
        assert self._array is not None, "nobody said how arrays are made"
        return self._array(memory, tuple(shape), dtype, strides)

    # work

    def compile(self, text: str, fused: bool = True) -> Module:
        return Module(self, self._build(text, nvrtc.architecture(*self.capability), fused))

    def launch(self, module: Module, name: str, grid: Sequence[int], block: Sequence[int], operands: Sequence[Operand]) -> None:
        packed = Packed([operand.ptr for operand in operands])
        self.checked("cuLaunchKernel", module.function(name), *_three(grid), *_three(block), 0, self.stream, packed.address, 0)

    def prepare(self, gemm: Gemm) -> Any:
        if self._products is None:
            self._products = self._make_products(self)
        return self._products.prepare(gemm)

    def gemm(self, prepared: Any, a: int, b: int, d: int, bias: int = 0, workspace: int = 0) -> None:
        assert self._products is not None
        self._products.run(prepared, a, b, d, bias, workspace, int(self.stream))

    # order

    @contextmanager
    def capture(self) -> Iterator[Graph]:
        """Only calls of this thread can spoil it: other threads of the user's go on allocating as they please."""
        graph = Graph(self)
        self._capturing = True
        try:
            self.checked("cuStreamBeginCapture", self.stream, self.driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
            try:
                yield graph
            except BaseException:
                self.driver.cuStreamEndCapture(self.stream)  # spoilt or not, it is over
                raise
            captured = self.checked("cuStreamEndCapture", self.stream)
        finally:
            self._capturing = False
        graph.take(captured)

    def replay(self, graph: Graph) -> None:
        self.checked("cuGraphLaunch", graph.exec, self.stream)

    def mark(self, again: Mark | None = None) -> Mark:
        mark = again or Mark(self)
        self.checked("cuEventRecord", mark.event, self.stream)
        return mark

    def synchronize(self, mark: Mark | None = None) -> None:
        if mark is None:
            self.checked("cuStreamSynchronize", self.stream)
        else:
            self.checked("cuEventSynchronize", mark.event)


def _three(sizes: Sequence[int]) -> tuple[int, int, int]:
    x, y, z = (*sizes, 1, 1)[:3]
    return x, y, z


def _checked(driver: Any, name: str, *args: Any) -> Any:
    status, *values = getattr(driver, name)(*args)
    if status != 0:
        said = driver.cuGetErrorName(status)[1]
        text = said.decode() if isinstance(said, bytes) else str(status)
        if text == "CUDA_ERROR_OUT_OF_MEMORY":
            raise MemoryLimitError(f"the GPU has no memory left ({name})", op="cupy", mend="free arrays, or ask for less: memory_limit=")
        raise Error(f"{name} failed: {text}", op="cupy")
    return values[0] if len(values) == 1 else tuple(values)


def _driver() -> Any:
    """The bindings, once the driver has answered."""
    try:
        driver = importlib.import_module("cuda.bindings.driver")
    except ImportError as error:
        raise BackendUnavailable("the bindings of CUDA's driver are missing", op="cupy", mend=INSTALL) from error
    try:
        _checked(driver, "cuInit", 0)
    except (RuntimeError, Error) as error:
        raise BackendUnavailable(f"there is no usable NVIDIA driver: {error}", op="cupy", mend=DRIVER) from error
    return driver
