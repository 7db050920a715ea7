"""Why CuPy can't be used here: five reasons, each found by asking and each with what to install.

CuPy is asked in the order in which things must be there. `cupy.is_available()` is not used: it keeps its first answer for ever.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ir.errors import BackendUnavailable

INSTALL = "pip install 'gradplan[cuda13]' (for a CUDA 12 driver: 'gradplan[cuda12]')"
_ready: list[Any] = []  # the module that was found to be usable


def available(module: Any) -> Any:
    """The module, if it can compute here; BackendUnavailable with the first reason why not."""
    if _ready and _ready[0] is module:
        return module
    if module is None:
        _fail("CuPy is not installed", INSTALL)
    _check_device(module)
    _check_nvrtc(module)
    _ready[:] = [module]
    return module


def forget() -> None:
    """Asks anew the next time: something was installed, or the module is another."""
    _ready.clear()


def _check_device(module: Any) -> None:
    runtime = module.cuda.runtime
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        if getattr(error, "status", None) == runtime_status("no device"):
            count = 0
        else:
            _fail(
                f"there is no usable NVIDIA driver: {error}",
                "install NVIDIA's driver, at least of the CUDA version that CuPy was made for (nvidia-smi shows it)", error,
            )
    if count == 0:
        _fail("the driver sees no GPU", "give the process a GPU: check nvidia-smi, CUDA_VISIBLE_DEVICES, the container's --gpus")


def runtime_status(name: str) -> int:
    """CUDA's number for an error."""
    return {"no device": 100, "insufficient driver": 35}[name]


def _check_nvrtc(module: Any) -> None:
    try:
        module.cuda.nvrtc.getVersion()
    except (RuntimeError, ImportError, AttributeError) as error:
        _fail("NVRTC, which compiles kernels, is missing", f"{INSTALL}, or pip install nvidia-cuda-nvrtc", error)


def check_products(module: Any) -> None:
    """BackendUnavailable where there is no cuBLAS (the package has cublasLt too)."""
    try:
        module.cuda.cublas  # noqa: B018
    except (RuntimeError, ImportError, AttributeError) as error:
        _fail("cublasLt and cuBLAS, which multiply matrices, are missing", f"{INSTALL}, or pip install nvidia-cublas", error)


def _fail(cause: str, mend: str, error: Exception | None = None) -> NoReturn:
    raise BackendUnavailable(cause, op="cupy", mend=mend) from error
