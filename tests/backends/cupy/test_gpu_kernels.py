"""What the emulated device and driver prove of generated kernels, on a GPU: `python -m pytest -m gpu`; skipped where there is none."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backends
from backends.cupy.array import cupy, current_device
from backends.cupy.kernel_program import KernelProgram
from ir.errors import BackendUnavailable
from ir.evaluate import evaluate
from tests.backends.cupy.programs import SMALL, planned, traced
from tests.backends.cupy.test_kernel_program import trained
from tests.backends.cupy.test_plans import inputs

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def gpu() -> Any:
    """The real CuPy, and the real driver."""
    try:
        current_device()
        return cupy()
    except BackendUnavailable as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", SMALL)
def test_workloads_as_one_graph(name: str, gpu: Any) -> None:
    graph = traced(SMALL[name])
    given = inputs(graph)
    instance = KernelProgram(planned(SMALL[name]), current_device).bind()
    held = [gpu.asarray(x) if isinstance(x, np.ndarray) else x for x in given]
    expected = list(given)
    for _ in range(3):
        results = instance.run(held)
        wanted, new = evaluate(graph, [np.array(x) if isinstance(x, np.ndarray) else x for x in expected])
        for (state, _), value in zip(graph.updates, new, strict=True):
            k = graph.inputs.index(state)
            expected[k] = value
            np.testing.assert_allclose(held[k].get(), value, rtol=1e-4, atol=1e-5)
        for got, value in zip(results, wanted, strict=True):
            np.testing.assert_allclose(backends.to_host(got), value, rtol=1e-4, atol=1e-5)


def test_the_seeds_training_step() -> None:
    losses, params, _ = trained("cupy", mode="kernels")
    expected, wanted, _ = trained("numpy")
    np.testing.assert_allclose(losses, expected, rtol=1e-9)
    for got, value in zip(params, wanted):
        np.testing.assert_allclose(got, value, rtol=1e-9, atol=1e-12)
