"""The contestants' packages: which each needs, their versions, how many threads they have, and malloc's thresholds."""
from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import shutil
import sys

from benchmarks import case

# contestant -> the package it needs; one that isn't here: the longest of these names that its own begins with, else NumPy
PACKAGES = {
    case.OURS: "numpy", case.OURS_WARM: "numpy", case.HAND: "numpy", case.OUT: "numpy", case.WARM: "numpy", case.AUTOGRAD: "autograd",
    case.JAX: "jax", case.TORCH: "torch", case.COMPILED: "torch", case.PYTENSOR: "pytensor", case.NUMEXPR: "numexpr", case.NUMBA: "numba",
}
COLUMNS = tuple(PACKAGES)  # of the tables
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _FOUR_GB = -1, -3, 2**31 - 1


def missing(name: str) -> str | None:
    """Why a contestant can't take part, or None."""
    package = PACKAGES[max([known for known in PACKAGES if name.startswith(known)], key=len, default=case.HAND)]
    if importlib.util.find_spec(package) is None:
        return "not installed"
    if name.startswith(case.COMPILED) and not shutil.which(os.environ.get("CXX", "g++")):
        return "no C compiler"
    return None


def raise_thresholds() -> None:
    """Large arrays come from malloc's heap from now on, and what is freed stays there: no page faults once it is warm."""
    libc = ctypes.CDLL(None)
    for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
        if not libc.mallopt(option, _FOUR_GB):
            raise OSError(f"mallopt({option}) refused")


def threads() -> str:
    """The pools of threads that this process has by now, each with its size: "openblas 2, openmp 1"."""
    found = {}
    if importlib.util.find_spec("threadpoolctl"):
        import threadpoolctl

        found |= {pool["internal_api"]: pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
    asked = {"torch": "get_num_threads", "numba": "get_num_threads", "numexpr": "get_num_threads"}
    found |= {name: getattr(sys.modules[name], ask)() for name, ask in asked.items() if name in sys.modules}
    if "jax" in sys.modules:
        found["XLA"] = len(os.sched_getaffinity(0))  # its pool has a thread for each core and can't be asked
    return ", ".join([f"{name} {count}" for name, count in found.items()])


def versions() -> str:
    """The versions of all packages that are installed."""
    names = dict.fromkeys(["numpy", *PACKAGES.values()])
    found = [f"{name} {importlib.metadata.version(name)}" for name in names if importlib.util.find_spec(name)]
    return ", ".join(found)
