"""What the stand-in proves of CuPy's calls, on a GPU: `python -m pytest -m gpu`. Skipped, with the reason, where there is none."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from backends.cupy.array import cupy
from ir import passes
from ir.errors import ArgumentError, BackendUnavailable
from ir.ops import TABLE
from tests.backends.cupy.test_border import trained
from tests.backends.cupy.test_calls import NAMES, against_the_reference, special_numbers
from tests.backends.cupy.test_calls_plans import CUPY, check, inputs_of
from tests.backends.drawn import draw_program
from tests.ir.golden_plans import PROGRAMS

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def gpu() -> Iterator[Any]:
    """The real CuPy."""
    try:
        module = cupy()
    except BackendUnavailable as error:
        pytest.skip(str(error))
    yield module
    module.cuda.Device().synchronize()


def all_of(run: Any, names: Any) -> None:
    """Runs for each of the names and tells of all that fail."""
    wrong = []
    for name in names:
        try:
            run(name)
        except Exception as error:  # whatever it is, the others are tried as well
            wrong.append(f"{name}: {type(error).__name__}: {error}\n{''.join(getattr(error, '__notes__', []))}")
    assert not wrong, f"{len(wrong)} are wrong:\n" + "\n\n".join(wrong)


@pytest.mark.parametrize("layout", ["C", "F", "any"])
def test_operations(layout: str) -> None:
    all_of(lambda name: against_the_reference(name, layout, nullcontext), NAMES)


def test_special_numbers() -> None:
    all_of(lambda name: special_numbers(name, nullcontext), [n for n in NAMES if TABLE[n].family == "elementwise"])


def test_programs() -> None:
    def run(name: str) -> None:
        graph = PROGRAMS[name]()
        passes.optimize(graph)
        passes.prepare(graph, CUPY.target())
        check(graph, inputs_of(graph), nullcontext)

    all_of(run, PROGRAMS)


def test_drawn_programs() -> None:
    def run(seed: int) -> None:
        try:
            check(*draw_program(seed), nullcontext)
        except ArgumentError as error:
            if "GPU lowering" not in str(error):
                raise

    all_of(run, range(40))


def test_the_seeds_step(gpu: Any) -> None:
    """Losses as NumPy's; the same bits twice; a stream of the user's; parameters on the device."""
    ours, _, _, x, y = trained("numpy")
    wanted = ours.run(x, y, steps=200)
    runs = []
    for stream in (gpu.cuda.Stream.null, gpu.cuda.Stream(non_blocking=True)):
        step, _, params, x, y = trained("cupy", mode="calls")
        with stream:
            runs.append([step(gpu.asarray(x), y), *step.run(x, y, steps=199)])
        assert all(type(v.data) is gpu.ndarray for v in params)
    np.testing.assert_allclose([float(v) for v in runs[0]], wanted, rtol=1e-10)
    assert [float(v) for v in runs[0]] == [float(v) for v in runs[1]]
