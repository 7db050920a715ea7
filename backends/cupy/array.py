"""The border to CuPy: the only file that imports it, and only when it is used."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from backends.cupy.cuda_device import CudaDevice
from backends.cupy.unavailable import available


def cupy() -> Any:
    """The module; BackendUnavailable where it can't be used here."""
    found = sys.modules.get("cupy")
    if found is None and importlib.util.find_spec("cupy") is not None:
        found = importlib.import_module("cupy")
    return available(found)


class CupyArrays:
    """See `backends.base.Arrays`: CuPy's arrays, on the current device, in order on the current stream."""

    on_host = False

    def owns(self, thing: Any) -> bool:
        """Whether it is an array of CuPy's. Imports nothing: who holds one has imported it."""
        module = sys.modules.get("cupy")
        return module is not None and isinstance(thing, module.ndarray)

    def layout(self, array: Any) -> str:
        """How programs see it: what is uploaded lies in C order."""
        if not self.owns(array):
            return "C"
        flags = array.flags
        return "C" if flags.c_contiguous else "F" if flags.f_contiguous else "any"

    def geometry(self, array: Any) -> np.ndarray:
        """Where it lies on the device."""
        return np.asarray(_Geometry(array))

    def may_pack(self, arrays: Sequence[Any]) -> bool:
        """Each state has memory of its own."""
        return False

    def states(self, arrays: Sequence[Any]) -> list[Any]:
        """The arrays on the device, in C order: copies of what is not there yet."""
        return [upload(array) for array in arrays]

    def to_host(self, array: Any) -> np.ndarray:
        """A copy on the host; waits until it is computed."""
        return array.get()

    def write(self, target: Any, value: Any) -> None:
        """`target[...] = value`, whichever of the two is on the device. What goes to the host is waited for."""
        if self.owns(target):
            target[...] = upload(value)
        else:
            np.copyto(target, self.to_host(value) if self.owns(value) else value)


class PoolMemory:
    """Bytes of CuPy's pool in use, given back to it with the last reference."""

    def __init__(self, nbytes: int):
        self.pointer, self.nbytes = cupy().cuda.alloc(nbytes), nbytes
        self.ptr: int = self.pointer.ptr


def array_over(memory: PoolMemory, shape: tuple[int, ...], dtype: Any, strides: Sequence[int] | None) -> Any:
    """An array over memory of the pool, which it keeps."""
    return cupy().ndarray(shape, dtype, memory.pointer, strides)


def current_device() -> CudaDevice:
    """The GPU that is current for CuPy, with CuPy's pool and stream."""
    module = cupy()
    ordinal = module.cuda.runtime.getDevice()
    with _opening:
        if ordinal not in _devices:
            _devices[ordinal] = CudaDevice(
                ordinal, PoolMemory, lambda: module.cuda.get_current_stream().ptr, array_over,
                spare=lambda: module.get_default_memory_pool().free_bytes())  # fmt: skip
        return _devices[ordinal]


_devices: dict[int, CudaDevice] = {}
_opening = threading.Lock()


class _Geometry:
    def __init__(self, array: Any):
        self.__array_interface__ = {
            "shape": array.shape, "typestr": array.dtype.str, "data": (array.data.ptr, False), "strides": array.strides, "version": 3,
        }  # fmt: skip


def upload(array: Any) -> Any:
    """The array itself if it lives on the device, else a copy there in C order, in the dtype's native byte order."""
    module = cupy()
    if isinstance(array, module.ndarray):
        return array
    array = np.asarray(array)
    return module.array(array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("=")), order="C")


def placed(array: np.ndarray) -> Any:
    """A constant on the device with the strides that it has on the host."""
    if array.flags.c_contiguous:
        return upload(array)
    low, high = byte_bounds(array)
    start = array.__array_interface__["data"][0] - low
    block = np.zeros(high - low, np.uint8)  # what lies between its elements is 0
    np.ndarray(array.shape, array.dtype, block, start, array.strides)[...] = array
    return cupy().ndarray(array.shape, array.dtype, upload(block).data + start, array.strides)
