"""The real device against a driver that is not: its calls, captures and arguments, in a process that finds the fake driver first."""
from __future__ import annotations

import pytest

from backends.cupy.cuda_device import CudaDevice
from ir.errors import BackendUnavailable
from tests.backends.cupy import emulated
from tests.backends.cupy.fake_cuda import needs_bindings, run_inside


@needs_bindings
@emulated.needs_compiler
def test_on_the_fake_driver() -> None:
    done = run_inside("inside_fake_cuda.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout


@needs_bindings
def test_without_a_driver() -> None:
    try:
        CudaDevice()
    except BackendUnavailable as error:
        assert "there is no usable NVIDIA driver" in str(error) and "nvidia-smi" in str(error)
    else:
        pytest.skip("there is a GPU here")
