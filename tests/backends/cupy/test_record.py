"""The record of what CuPy takes is that of the installed CuPy; programs call nothing that is not in it."""
from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import backends
from tests.backends.cupy.record import METHODS, RECORD, UFUNCS, record

RECORDED = json.loads(RECORD.read_text())
CUPY_MISSING = importlib.util.find_spec("cupy") is None and not os.environ.get("GRADPLAN_REQUIRE_NVRTC")
FOLDER = Path(sys.modules["backends"].__file__ or "").parent / "cupy"


@pytest.mark.skipif(CUPY_MISSING, reason="needs the wheel of CuPy: pip install cupy-cuda13x (no driver needed)")
def test_the_record_is_true() -> None:
    found = record()
    if found["version"] != RECORDED["version"]:
        pytest.skip(f"the record is of CuPy {RECORDED['version']}, installed is {found['version']}: python -m tests.backends.cupy.record")
    assert found == RECORDED


@pytest.mark.skipif(CUPY_MISSING, reason="needs the wheel of CuPy: pip install cupy-cuda13x (no driver needed)")
def test_cupy_takes_the_loop_that_numpy_takes() -> None:
    """For all dtypes that both have: the same loop, or one of wider integers, or bools asked as numbers; with CuPy's own choice."""
    import cupy

    kinds = [np.dtype(c) for c in "?bBhHiIlLefdFD"]
    wider = {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "divide", "isnan", "isinf", "isfinite"}
    for name in UFUNCS:
        ours, theirs = getattr(np, name), getattr(cupy, name)
        for operands in np.ndindex(*(len(kinds),) * ours.nin):
            given = tuple([kinds[k] for k in operands])
            try:
                loop = ours.resolve_dtypes((*given, None))
            except TypeError:
                continue
            chosen = theirs._ops._guess_routine_from_in_types(tuple([d.type for d in given]))
            if chosen is None:
                assert name.startswith("logical_") and any(d.kind == "c" for d in given), (name, given)
                continue
            got = [np.dtype(getattr(t, "type", t)) for t in (*chosen.in_types, *chosen.out_types)]
            same = [(d.kind, d.itemsize) for d in got] == [(d.kind, d.itemsize) for d in loop]
            if not same and not name.startswith("logical_"):
                assert name in wider or (name, given[0].char) == ("power", "?"), (name, given, got, loop)
                assert all(d.kind in "biu" for d in given), (name, given, got, loop)


def test_every_name_in_the_kernels_is_recorded() -> None:
    known = {*RECORDED["functions"], *RECORDED["ufuncs"], *RECORDED["elsewhere"]}
    for path in FOLDER.glob("*.py"):
        for name in re.findall(r"\bcp\.(\w+)", path.read_text()):
            assert name in known, f"{path.name} uses cupy.{name}, which record.py does not have"
    assert set(METHODS) == set(RECORDED["methods"])
    for group in backends.get("cupy").target().kernels.values():
        for kernel in group:
            for line in kernel.body if isinstance(kernel.body, tuple) else ():
                for name in re.findall(r"\bcp\.(\w+)", line):
                    assert name in known, f"{kernel.name} uses cupy.{name}"
